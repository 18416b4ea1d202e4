// Debian source packages, without touching the system's own apt lists: a private list of deb-src lines made from the
// machine's own configuration (same mirror, same keys), with its state and cache in a folder of ours.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { must, run } from './run.mjs';

/** Where fetched sources and built trees are kept between runs: outside the repository. */
export function cacheRoot() {
  const base =
    process.env.LIVEPATCH_TEST_CACHE ??
    join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'livepatch-author-tests');
  mkdirSync(base, { recursive: true });
  return base;
}

/** VERSION_CODENAME of this system, e.g. `bookworm`. */
function codename() {
  const text = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  return /^VERSION_CODENAME=(.+)$/m.exec(text)?.[1]?.replaceAll('"', '');
}

/** One-line entries (`deb [options] uri suite components`) of a sources.list file, turned into deb-src. */
export function sourceLines(text, release) {
  return text
    .split('\n')
    .map((line) => /^\s*deb(?:-src)?\s+(\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(.*)$/.exec(line.replace(/#.*/, '')))
    .filter((match) => match && match[3].split('/')[0].split('-')[0] === release)
    .map((match) => `deb-src ${match[1] ?? ''}${match[2]} ${match[3]} ${match[4]}`);
}

/** Stanzas of a deb822 `.sources` file for this release, with `Types: deb-src`. */
export function sourceStanzas(text, release) {
  return text
    .split(/\n\s*\n/)
    .map((stanza) =>
      stanza
        .split('\n')
        .filter((line) => !line.startsWith('#'))
        .join('\n')
        .trim(),
    )
    .filter((stanza) => {
      const suites = /^Suites:\s*(.+)$/im.exec(stanza)?.[1]?.trim().split(/\s+/) ?? [];
      const enabled = !/^Enabled:\s*(no|false|off|0)\s*$/im.test(stanza);
      return enabled && suites.some((suite) => suite.split('/')[0].split('-')[0] === release);
    })
    .map((stanza) => stanza.replace(/^Types:.*$/im, 'Types: deb-src'));
}

/** Options that point apt at the private list. Refreshes it when it is older than a day. Throws where apt cannot. */
async function privateApt(folder, say) {
  const release = codename();
  if (!release) throw new Error('no Debian release name in /etc/os-release');
  const etc = join(folder, 'etc');
  const parts = join(etc, 'parts');
  for (const name of ['etc/parts', 'lists/partial', 'cache/archives/partial'])
    mkdirSync(join(folder, name), { recursive: true });
  const lines = [];
  const stanzas = [];
  const main = '/etc/apt/sources.list';
  if (existsSync(main)) lines.push(...sourceLines(readFileSync(main, 'utf8'), release));
  const folderOfParts = '/etc/apt/sources.list.d';
  for (const name of existsSync(folderOfParts) ? readdirSync(folderOfParts) : []) {
    const text = () => readFileSync(join(folderOfParts, name), 'utf8');
    if (name.endsWith('.list')) lines.push(...sourceLines(text(), release));
    if (name.endsWith('.sources')) stanzas.push(...sourceStanzas(text(), release));
  }
  if (lines.length + stanzas.length === 0) throw new Error(`apt has no source of packages for ${release}`);
  writeFileSync(join(etc, 'sources.list'), `${[...new Set(lines)].join('\n')}\n`);
  writeFileSync(join(parts, 'private.sources'), `${stanzas.join('\n\n')}\n`);
  const options = [
    ['Dir::Etc::sourcelist', join(etc, 'sources.list')],
    ['Dir::Etc::sourceparts', parts],
    ['Dir::State::lists', join(folder, 'lists')],
    ['Dir::Cache', join(folder, 'cache')],
    // Files are ours, not root's: no sandbox user that could not write them.
    ['APT::Sandbox::User', ''],
    ['Acquire::Retries', '3'],
  ].flatMap(([key, value]) => ['-o', `${key}=${value}`]);
  const stamp = join(folder, 'updated');
  const fresh = existsSync(stamp) && Date.now() - Number(readFileSync(stamp, 'utf8')) < 24 * 3600 * 1000;
  if (!fresh) {
    say('reading the list of source packages');
    await must('apt-get', [...options, 'update', '-q'], { seconds: 300 });
    writeFileSync(stamp, String(Date.now()));
  }
  return options;
}

/**
 * Fetches and unpacks the newest version of a source package that downloads (mirrors may lack the very newest).
 * The package's patches are applied, as `dpkg-source -x` does, unless `withoutPatches`.
 * @param {string} name source package, e.g. `redis`
 * @param {{say?: (text: string) => void, withoutPatches?: boolean}} [options]
 * @returns {Promise<{folder: string, version: string}>} the unpacked tree: read only by agreement, copy it before building.
 */
export async function fetchSource(name, options = {}) {
  const say = options.say ?? (() => {});
  const root = cacheRoot();
  const kind = options.withoutPatches ? 'plain' : 'patched';
  const done = join(root, 'sources', `${name}-${kind}.json`);
  if (existsSync(done)) {
    const known = JSON.parse(readFileSync(done, 'utf8'));
    if (existsSync(known.folder)) return known;
  }
  const apt = await privateApt(join(root, 'apt'), say);
  const shown = await must('apt-cache', [...apt, 'showsrc', '--only-source', name], { seconds: 60 });
  const versions = [...new Set([...shown.stdout.matchAll(/^Version:\s*(\S+)$/gm)].map((match) => match[1]))];
  versions.sort((a, b) => (newer(a, b) ? -1 : 1));
  const problems = [];
  for (const version of versions) {
    const target = join(root, 'sources', `${name}-${version.replaceAll(/[^\w.+~-]/g, '_')}-${kind}`);
    const scratch = `${target}.new`;
    rmSync(scratch, { recursive: true, force: true });
    mkdirSync(scratch, { recursive: true });
    say(`fetching the source of ${name} ${version}`);
    const args = [...apt, '-q', '--only-source', '--download-only', 'source', `${name}=${version}`];
    const got = await run('apt-get', args, { cwd: scratch, seconds: 600 });
    const dsc = got.code === 0 ? readdirSync(scratch).find((file) => file.endsWith('.dsc')) : undefined;
    if (!dsc) {
      problems.push(`${version}: ${got.stderr.trim().split('\n').pop()}`);
      rmSync(scratch, { recursive: true, force: true });
      continue;
    }
    const flags = options.withoutPatches ? ['--skip-patches'] : [];
    await must('dpkg-source', ['--no-check', ...flags, '-x', dsc, 'tree'], { cwd: scratch, seconds: 300 });
    rmSync(target, { recursive: true, force: true });
    renameSync(scratch, target);
    const result = { folder: join(target, 'tree'), version };
    writeFileSync(done, JSON.stringify(result));
    return result;
  }
  throw new Error(`no source of ${name} could be downloaded: ${problems.join('; ') || 'no version is listed'}`);
}

/** True where Debian version `a` is newer than `b`, in dpkg's own order. */
function newer(a, b) {
  return spawnSync('dpkg', ['--compare-versions', a, 'gt', b]).status === 0;
}
