import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { checkFence, fenceProblem, importsOf } from '../../scripts/lib/fence.mjs';

describe('import fence', () => {
  it('finds every form of import and nothing in comments', () => {
    const source = [
      "import a from './a.ts';",
      "import type { B } from '../b.ts';",
      "import './side-effect.ts';",
      "export { c } from './c.ts';",
      "const d = await import('node:fs');",
      "let e: import('./e.ts').E;",
      "// import f from './f.ts'",
      "/* export * from './g.ts' */",
    ].join('\n');
    assert.deepEqual(importsOf(source).sort(), [
      '../b.ts',
      './a.ts',
      './c.ts',
      './e.ts',
      './side-effect.ts',
      'node:fs',
    ]);
  });

  const refused: readonly [string, string][] = [
    ['server/src/core/diff/x.ts', '../../shell/runner.ts'],
    ['server/src/core/diff/x.ts', 'node:fs'],
    ['server/src/core/diff/x.ts', 'fs/promises'],
    ['server/src/core/x.ts', 'vscode-languageserver'],
    ['server/src/core/asm/listing.ts', 'capstone-wasm'],
    ['server/src/shell/x.ts', 'elfy'],
    ['server/src/protocol.ts', './session-types.ts'],
    ['client/src/x.ts', '../../server/src/shell/types.ts'],
    ['server/src/lsp/x.ts', '../../../client/src/names.ts'],
    ['server/src/lsp/x.ts', 'vscode'],
    ['server/src/cli/x.ts', '../lsp/hover.ts'],
    ['server/src/cli.ts', 'vscode-languageserver'],
  ];
  for (const [file, name] of refused) it(`refuses ${name} in ${file}`, () => assert.ok(fenceProblem(file, name)));

  const allowed: readonly [string, string][] = [
    ['server/src/core/diff/x.ts', '../asm/types.ts'],
    ['server/src/core/asm/decode.ts', 'capstone-wasm'],
    ['server/src/core/elf/container.ts', 'elfy'],
    ['server/src/shell/x.ts', 'node:fs'],
    ['client/src/x.ts', '../../server/src/protocol.ts'],
    ['client/src/x.ts', 'vscode'],
    ['server/src/lsp/x.ts', 'vscode-languageserver'],
  ];
  for (const [file, name] of allowed)
    it(`allows ${name} in ${file}`, () => assert.equal(fenceProblem(file, name), undefined));

  it('names the file of a breach', () => {
    const root = mkdtempSync(join(tmpdir(), 'lpa-fence-'));
    try {
      const file = 'server/src/core/breach.ts';
      mkdirSync(dirname(join(root, file)), { recursive: true });
      writeFileSync(join(root, file), "import { readFileSync } from 'node:fs';\n");
      const problems = checkFence(root, [file, 'README.md']);
      assert.equal(problems.length, 1);
      assert.match(problems[0]!, /^server\/src\/core\/breach\.ts: .*node:fs/);
    } finally {
      rmSync(root, { recursive: true });
    }
  });
});
