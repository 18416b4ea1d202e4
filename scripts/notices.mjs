// Writes THIRD-PARTY-NOTICES.md: the licence of each package that is bundled, and of what is linked into the native helper.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { bundles } from '../esbuild.mjs';

const repository = join(import.meta.dirname, '..');

/** Parts without an npm package: what they are part of, and where their licence is kept here. */
const OTHERS = [
  {
    name: 'Capstone 5.0 (in dist/capstone.wasm, by way of the npm package capstone-wasm)',
    file: 'scripts/licences/capstone.txt',
  },
  { name: 'libunwind 1.6 (linked into dist/livepatch-helper)', file: 'scripts/licences/libunwind.txt' },
  {
    name: 'liblzma of XZ Utils, zlib and the GNU C Library (linked into dist/livepatch-helper)',
    file: 'scripts/licences/system.txt',
  },
];

/** Folders of the packages whose files are in a bundle, by esbuild's own account. */
async function bundledPackages() {
  const folders = new Set();
  for (const options of bundles) {
    const { metafile } = await build({ ...options, write: false, metafile: true, logLevel: 'error' });
    for (const input of Object.keys(metafile.inputs)) {
      const found = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(input);
      if (found) folders.add(found[0]);
    }
  }
  return [...folders].sort();
}

/** Text of the licence file, else of the README's section about it; undefined where the package has neither. */
function licenceText(folder) {
  const names = readdirSync(folder);
  const file = names.find((name) => /^(licen[cs]e|copying)/i.test(name));
  if (file) return readFileSync(join(folder, file), 'utf8').trim();
  const readme = names.find((name) => /^readme/i.test(name));
  const section =
    readme && /^#+\s*licen[cs]e\s*$([\s\S]*?)(?=^#|(?![\s\S]))/im.exec(readFileSync(join(folder, readme), 'utf8'));
  return section?.[1]?.trim() || undefined;
}

/** Writes the notices anew; the same packages give the same text. */
export async function writeNotices() {
  const parts = ['# Third-party notices', '', 'What the packaged extension contains besides the project’s own code.'];
  const add = (title, text) => parts.push('', `## ${title}`, '', '~~~text', text.replaceAll('\r', ''), '~~~');
  const seen = new Set();
  for (const folder of await bundledPackages()) {
    const manifest = JSON.parse(readFileSync(join(repository, folder, 'package.json'), 'utf8'));
    const { name, version, license, repository: from } = manifest;
    if (seen.has(`${name} ${version}`)) continue;
    seen.add(`${name} ${version}`);
    const source = typeof from === 'string' ? from : from?.url;
    const named = license ? `the licence ${license}` : 'no licence of its own; its source is public';
    const text = licenceText(join(repository, folder)) ?? `The package names ${named}.`;
    add(`${name} ${version}`, source ? `${source}\n\n${text}` : text);
  }
  for (const { name, file } of OTHERS) add(name, readFileSync(join(repository, file), 'utf8').trim());
  writeFileSync(join(repository, 'THIRD-PARTY-NOTICES.md'), `${parts.join('\n')}\n`);
}

if (process.argv[1] === import.meta.filename) await writeNotices();
