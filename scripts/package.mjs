// `npm run package`: livepatch-author-VERSION.vsix with minified bundles, the disassembler's wasm and the native helper inside.
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeNotices } from './notices.mjs';

const repository = join(import.meta.dirname, '..');
/** Without one of these the installed extension would be lame: a package that lacks one is not made. */
const NEEDED = [
  'package.json',
  'package.nls.json',
  'package.nls.de.json',
  'l10n/bundle.l10n.de.json',
  'dist/extension.cjs',
  'dist/folderServer.cjs',
  'dist/server.cjs',
  'dist/cli.cjs',
  'dist/capstone.wasm',
  'dist/livepatch-helper',
  'media/icon.png',
  'media/livepatch.svg',
  'media/panel-light.svg',
  'media/panel-dark.svg',
  'media/livepatch.schema.json',
  'syntaxes/livepatch-asm.tmLanguage.json',
  'docs/hazards/struct-layout.md',
  'THIRD-PARTY-NOTICES.md',
];
const LIMIT = 5 * 1024 * 1024;

function run(program, args, quiet) {
  const done = spawnSync(program, args, {
    cwd: repository,
    stdio: ['ignore', quiet ? 'pipe' : 'inherit', 'pipe'],
    encoding: 'utf8',
    timeout: 300_000,
  });
  if (done.error) throw done.error;
  if (done.status !== 0)
    throw new Error(`${program} ${args.join(' ')} ended with ${done.status}:\n${done.stdout ?? ''}${done.stderr}`);
  return done.stdout ?? '';
}

/** Builds all that goes into the package. */
function build(quiet) {
  run('make', ['-s', '-C', 'server/native'], quiet);
  run(process.execPath, ['esbuild.mjs', '--minify'], quiet);
  copyFileSync(join(repository, 'server/native/build/livepatch-helper'), join(repository, 'dist/livepatch-helper'));
  chmodSync(join(repository, 'dist/livepatch-helper'), 0o755);
}

/**
 * The README with its pictures inside: the page of an installed extension shows none that are beside it, and there is no address yet
 * from which they could be fetched. Returns the path of the file, relative to the repository.
 */
function readmeWithPictures() {
  const text = readFileSync(join(repository, 'README.md'), 'utf8').replace(
    /\]\((media\/[\w-]+\.png)\)/g,
    (_all, name) => `](data:image/png;base64,${readFileSync(join(repository, name)).toString('base64')})`,
  );
  const path = join('dist', 'README.md');
  writeFileSync(join(repository, path), text);
  return path;
}

/** Names in the .vsix below `extension/`, read from the zip's central directory. */
function namesIn(vsix) {
  const bytes = readFileSync(vsix);
  const end = bytes.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'));
  const names = [];
  for (let at = bytes.readUInt32LE(end + 16), left = bytes.readUInt16LE(end + 10); left > 0; left--) {
    const [name, extra, comment] = [28, 30, 32].map((offset) => bytes.readUInt16LE(at + offset));
    names.push(bytes.toString('utf8', at + 46, at + 46 + name).replace(/^extension\//, ''));
    at += 46 + name + extra + comment;
  }
  return names;
}

/**
 * Makes the .vsix and returns its path. Throws where a part is missing or the file is larger than 5 MiB.
 *
 * @param {{quiet?: boolean, log?: (line: string) => void}} options
 */
export async function packageExtension({ quiet = false, log = console.log } = {}) {
  const { version, name } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'));
  const vsix = join(repository, `${name}-${version}.vsix`);
  log('Building the bundles and the native helper …');
  build(quiet);
  await writeNotices();
  for (const file of NEEDED)
    if (!existsSync(join(repository, file))) throw new Error(`${file} is missing: nothing was packaged.`);
  const vsce = join(repository, 'node_modules', '@vscode', 'vsce', 'vsce');
  const flags = ['--no-dependencies', '--allow-missing-repository', '--no-rewrite-relative-links', '--skip-license'];
  run(process.execPath, [vsce, 'package', ...flags, '--readme-path', readmeWithPictures(), '--out', vsix], true);
  const names = new Set(namesIn(vsix).map((each) => each.toLowerCase()));
  for (const file of NEEDED) if (!names.has(file.toLowerCase())) throw new Error(`${file} is not inside ${vsix}.`);
  const { size } = statSync(vsix);
  log(`${vsix}: ${(size / 1024 / 1024).toFixed(2)} MiB, ${names.size} files`);
  if (size > LIMIT) throw new Error(`The package is larger than ${LIMIT / 1024 / 1024} MiB.`);
  return vsix;
}

if (process.argv[1] === import.meta.filename) await packageExtension();
