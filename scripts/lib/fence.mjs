// The import fence: which room may import what. Each rule is about one file's imports; the messages say what to do instead.
import { readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, relative } from 'node:path';

/** Module names in `import`, `export ... from`, `import()`, `require()` and type imports of a source. */
export function importsOf(text) {
  const bare = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
  const pattern = /(?:\bfrom\s*|\bimport\s*\(\s*|\brequire\s*\(\s*|^\s*import\s+)(['"])([^'"\n]+)\1/gm;
  return [...bare.matchAll(pattern)].map((match) => match[2]);
}

const isBuiltin = (name) => name.startsWith('node:') || builtinModules.includes(name.split('/')[0]);

/** Packages of the core that only one module may import. */
const owners = { 'capstone-wasm': 'server/src/core/asm/decode.ts', elfy: 'server/src/core/elf/container.ts' };

/** Why `file` (relative to the repository) may not import `name`; undefined where it may. */
export function fenceProblem(file, name) {
  const relativeImport = name.startsWith('.');
  const target = relativeImport ? relative('.', join(dirname(file), name)) : undefined;
  if (file.startsWith('server/src/core/')) {
    if (target && !target.startsWith('server/src/core/'))
      return `the core imports nothing outside the core: pass it in instead (${name})`;
    if (isBuiltin(name)) return `the core is pure, no ${name}: pass the effect in`;
    if (/^vscode/.test(name)) return `the core knows no editor (${name})`;
  }
  if (owners[name] && file.startsWith('server/src/') && file !== owners[name])
    return `only ${owners[name]} imports ${name}`;
  if (file === 'server/src/protocol.ts') return `protocol.ts is shared with the client and imports nothing (${name})`;
  if (file.startsWith('client/') && target?.startsWith('server/') && target !== 'server/src/protocol.ts')
    return `the client imports nothing of the server but protocol.ts (${name})`;
  if (file.startsWith('server/src/') && target?.startsWith('client/'))
    return `the server imports nothing of the client (${name})`;
  if (file.startsWith('server/src/') && name === 'vscode')
    return 'the server runs outside the editor: no vscode module';
  if (file.startsWith('server/src/cli') && (target?.startsWith('server/src/lsp/') || name.startsWith('vscode-')))
    return `the command line starts fast: nothing of the language server in it (${name})`;
  return undefined;
}

/** Problems of all the files, as `file: why`. */
export function checkFence(root, files) {
  const problems = [];
  for (const file of files.filter((name) => /^(client|server)\/src\/.*\.ts$/.test(name))) {
    for (const name of importsOf(readFileSync(join(root, file), 'utf8'))) {
      const problem = fenceProblem(file, name);
      if (problem) problems.push(`${file}: ${problem}`);
    }
  }
  return problems;
}
