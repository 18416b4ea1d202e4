// Bundles the three programs (extension, language server, command line) into dist/, with the wasm that they load beside them.
import { copyFileSync, mkdirSync } from 'node:fs';
import { build } from 'esbuild';

const root = import.meta.dirname;
mkdirSync(`${root}/dist`, { recursive: true });

/** Options that all three bundles share: CommonJS, since the extension host and the language client load it so. */
const common = {
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  sourcemap: process.argv.includes('--sourcemap'),
  minify: process.argv.includes('--minify'),
  // capstone-wasm's ES module build uses import.meta.url, which is empty in a CommonJS bundle.
  alias: { 'capstone-wasm': `${root}/node_modules/capstone-wasm/dist/index.cjs` },
  define: { 'import.meta.dirname': '__dirname' },
  logLevel: 'warning',
  absWorkingDir: root,
};

await Promise.all([
  build({ ...common, entryPoints: ['client/src/extension.ts'], outfile: 'dist/extension.cjs', external: ['vscode'] }),
  build({ ...common, entryPoints: ['server/src/main.ts'], outfile: 'dist/server.cjs' }),
  build({
    ...common,
    entryPoints: ['server/src/cli.ts'],
    outfile: 'dist/cli.cjs',
    banner: { js: '#!/usr/bin/env node' },
  }),
]);
copyFileSync('node_modules/capstone-wasm/dist/capstone.wasm', 'dist/capstone.wasm');
