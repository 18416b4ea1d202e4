// Bundles the three programs (extension, language server, command line) into dist/, with the wasm and the native helper that
// they load beside them.
import { chmodSync, copyFileSync, existsSync, mkdirSync, renameSync } from 'node:fs';
import { build } from 'esbuild';

const root = import.meta.dirname;

/** Options that all bundles share: CommonJS, since the extension host and the language client load it so. */
export const common = {
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  sourcemap: process.argv.includes('--sourcemap'),
  minify: process.argv.includes('--minify'),
  // Its ES module build uses import.meta.url, which is empty in a CommonJS bundle.
  alias: { 'capstone-wasm': `${root}/node_modules/capstone-wasm/dist/index.cjs` },
  define: { 'import.meta.dirname': '__dirname' },
  logLevel: 'warning',
  absWorkingDir: root,
};

/**
 * Leaves the language client out of the bundle that VS Code loads at activation: reading it takes longer than all of the rest. It is
 * a bundle of its own, loaded with the first server.
 */
const loadedLater = {
  name: 'loaded-later',
  setup({ onResolve }) {
    onResolve({ filter: /\/folderServer\.ts$/ }, ({ kind }) =>
      kind === 'dynamic-import' ? { path: './folderServer.cjs', external: true } : undefined,
    );
  },
};

/** The programs that are shipped. */
export const bundles = [
  {
    ...common,
    entryPoints: ['client/src/extension.ts'],
    outfile: 'dist/extension.cjs',
    external: ['vscode'],
    plugins: [loadedLater],
    // Through `require`, which VS Code answers for the module `vscode`.
    supported: { 'dynamic-import': false },
  },
  { ...common, entryPoints: ['client/src/folderServer.ts'], outfile: 'dist/folderServer.cjs', external: ['vscode'] },
  { ...common, entryPoints: ['server/src/main.ts'], outfile: 'dist/server.cjs' },
  {
    ...common,
    entryPoints: ['server/src/cli.ts'],
    outfile: 'dist/cli.cjs',
    banner: { js: '#!/usr/bin/env node' },
  },
];

/** Copies a file into place at once, so that a running program never sees half of it. */
function place(from, to, mode) {
  copyFileSync(from, `${to}.new`);
  chmodSync(`${to}.new`, mode);
  renameSync(`${to}.new`, to);
}

/** Builds the programs into the folder `dist` below `folder`, with what they load beside them. */
export async function buildInto(folder) {
  const dist = `${folder}/dist`;
  mkdirSync(dist, { recursive: true });
  place(`${root}/node_modules/capstone-wasm/dist/capstone.wasm`, `${dist}/capstone.wasm`, 0o644);
  const helper = `${root}/server/native/build/livepatch-helper`;
  if (existsSync(helper)) place(helper, `${dist}/livepatch-helper`, 0o755);
  await Promise.all(bundles.map((options) => build({ ...options, outfile: `${folder}/${options.outfile}` })));
}

if (process.argv[1] === import.meta.filename) await buildInto(root);
