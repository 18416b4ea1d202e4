// Writes THIRD-PARTY-NOTICES.md: the licence of each package that is bundled, and of the libraries inside the native helper.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';
import { bundles } from '../esbuild.mjs';

const repository = join(import.meta.dirname, '..');

/** Libraries that are linked into the native helper: Debian's packages carry their licences here. */
const LINKED = [
  { name: 'libunwind', file: '/usr/share/doc/libunwind-dev/copyright', kept: 'server/native/LICENSE.libunwind' },
  { name: 'liblzma', file: '/usr/share/doc/liblzma-dev/copyright', kept: 'server/native/LICENSE.liblzma' },
];

/** Folders of the packages whose files are in a bundle, by esbuild's own account. */
async function bundledPackages() {
  const folders = new Set(['node_modules/capstone-wasm']);
  for (const options of bundles) {
    const { metafile } = await build({ ...options, write: false, metafile: true, logLevel: 'error' });
    for (const input of Object.keys(metafile.inputs)) {
      const found = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(input);
      if (found) folders.add(found[0]);
    }
  }
  return [...folders].sort();
}

function licenceText(folder) {
  const file = readdirSync(folder).find((name) => /^(licen[cs]e|copying)/i.test(name));
  return file ? readFileSync(join(folder, file), 'utf8').trim() : undefined;
}
