// `npm run package`: livepatch-author-VERSION.vsix with minified bundles, the disassembler's wasm and the native helper inside.
// `-- --repository URL` (or LIVEPATCH_REPOSITORY) names the public repository: the manifest and the links of the README need its address.
// Where it is on neither GitHub nor GitLab, `--links URL` and `--pictures URL` (LIVEPATCH_LINKS, LIVEPATCH_PICTURES) say where its files are.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { basesOf, packagedMarkdown } from './lib/markdown-links.mjs';
import { filesInZip } from './lib/zip.mjs';
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

function run(program, args, cwd, quiet) {
  const done = spawnSync(program, args, {
    cwd,
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
  run('make', ['-s', '-C', 'server/native'], repository, quiet);
  run(process.execPath, ['esbuild.mjs', '--minify'], repository, quiet);
  copyFileSync(join(repository, 'server/native/build/livepatch-helper'), join(repository, 'dist/livepatch-helper'));
  chmodSync(join(repository, 'dist/livepatch-helper'), 0o755);
}

/** Texts that VS Code and the marketplaces show as pages of the extension. */
const PAGES = ['README.md', 'CHANGELOG.md'];
const vsce = join(repository, 'node_modules', '@vscode', 'vsce', 'vsce');

/**
 * Copies what is packaged into a folder, with the manifest and the texts as they are published: the working copy knows no address of its repository,
 * and its texts link to files that are in no package.
 */
function stage(folder, files, bases) {
  const packaged = new Set(files);
  for (const name of files) {
    const to = join(folder, name);
    mkdirSync(dirname(to), { recursive: true });
    if (name.endsWith('.md')) {
      const text = readFileSync(join(repository, name), 'utf8');
      writeFileSync(to, packagedMarkdown(text, { path: name, isPage: PAGES.includes(name), packaged, bases }));
    } else copyFileSync(join(repository, name), to);
  }
  const manifest = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'));
  if (bases?.home) {
    manifest.repository = { type: 'git', url: `${bases.home}.git` };
    manifest.homepage = `${bases.home}#readme`;
    if (bases.issues) manifest.bugs = { url: bases.issues };
  }
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
}

/**
 * Makes the .vsix and returns its path. Throws where a part is missing or the file is larger than 5 MiB. `built`: the bundles and the helper
 * are there already.
 *
 * @param {{quiet?: boolean, log?: (line: string) => void, out?: string, built?: boolean, repository?: string, links?: string, pictures?: string}} options
 */
export async function packageExtension({ quiet = false, log = console.log, out, built = false, ...addresses } = {}) {
  const bases = basesOf({
    repository: addresses.repository ?? process.env.LIVEPATCH_REPOSITORY,
    links: addresses.links ?? process.env.LIVEPATCH_LINKS,
    pictures: addresses.pictures ?? process.env.LIVEPATCH_PICTURES,
  });
  const { version, name } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'));
  const vsix = out ?? join(repository, `${name}-${version}.vsix`);
  if (!built) {
    log('Building the bundles and the native helper …');
    build(quiet);
    await writeNotices();
  }
  for (const file of NEEDED)
    if (!existsSync(join(repository, file))) throw new Error(`${file} is missing: nothing was packaged.`);
  const folder = mkdtempSync(join(tmpdir(), 'lpa-package-'));
  try {
    const files = run(process.execPath, [vsce, 'ls', '--no-dependencies'], repository, true);
    stage(folder, files.split('\n').filter(Boolean), bases);
    // The native helper runs on no other platform.
    const flags = [
      '--target',
      'linux-x64',
      '--no-dependencies',
      ...(bases?.home ? [] : ['--allow-missing-repository']),
    ];
    run(process.execPath, [vsce, 'package', ...flags, '--out', vsix], folder, true);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const names = [...filesInZip(vsix).keys()].map((each) => each.replace(/^extension\//, '').toLowerCase());
  for (const file of NEEDED) if (!names.includes(file.toLowerCase())) throw new Error(`${file} is not inside ${vsix}.`);
  const { size } = statSync(vsix);
  log(`${vsix}: ${(size / 1024 / 1024).toFixed(2)} MiB, ${names.length} files`);
  if (!bases) log('No --repository: the manifest names none, and the README has neither pictures nor links to it.');
  if (size > LIMIT) throw new Error(`The package is larger than ${LIMIT / 1024 / 1024} MiB.`);
  return vsix;
}

if (process.argv[1] === import.meta.filename) {
  const { values } = parseArgs({
    options: { repository: { type: 'string' }, links: { type: 'string' }, pictures: { type: 'string' } },
  });
  await packageExtension(values);
}
