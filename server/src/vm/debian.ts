import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { lastLines, must, type RunOptions, run } from '../targets/transport/local.ts';
import { check, type Work } from './cache.ts';

/**
 * Debian packages and source packages without touching the system's apt lists and without installing: a private list made
 * from the machine's own apt configuration (same mirrors, suites and keys), with state and cache in a folder of ours.
 */
export interface Debian {
  /** Source versions of a package, newest first. */
  versions(source: string): Promise<readonly string[]>;
  /** Unpacks the newest version of a source package that downloads (mirrors may lack the very newest), with Debian's patches unless `plain`. */
  source(name: string, work: Work, plain?: boolean): Promise<{ readonly folder: string; readonly version: string }>;
  /** Unpacks binary packages (names or `name=version`) into `folder`. */
  unpack(names: readonly string[], folder: string, work: Work): Promise<void>;
  /** Version that would be downloaded. */
  candidate(name: string): Promise<string | undefined>;
  /** The `Depends:` names of the candidate of a package, alternatives' first choice, without versions. */
  depends(name: string): Promise<readonly string[]>;
}

/** Does this suite belong to the release: `bookworm`, `bookworm-updates`, `bookworm-security`, `bookworm/updates`? */
function belongs(suite: string, release: string): boolean {
  return suite.split('/')[0]!.split('-')[0] === release;
}

/** One-line entries of a sources.list file (sources.list(5)) of this release, as both `deb` and `deb-src`. */
export function listLines(text: string, release: string): string[] {
  return text
    .split('\n')
    .map((line) => /^\s*deb(?:-src)?\s+(\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(.*)$/.exec(line.replace(/#.*/, '')))
    .filter((match) => match !== null)
    .filter((match) => belongs(match[3]!, release))
    .flatMap((match) => {
      const rest = `${match[1] ?? ''}${match[2]} ${match[3]} ${match[4]!.trim()}`;
      return [`deb ${rest}`, `deb-src ${rest}`];
    });
}

/** Stanzas of a deb822 `.sources` file of this release, with `Types: deb deb-src`. Disabled ones are left out. */
export function stanzas(text: string, release: string): string[] {
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
      return !/^Enabled:\s*(no|false|off|0)\s*$/im.test(stanza) && suites.some((suite) => belongs(suite, release));
    })
    .map((stanza) => stanza.replace(/^Types:.*$/im, 'Types: deb deb-src'));
}

/** Something could not be fetched: no network, or the mirror has it no more. */
export class NoDownload extends Error {
  override readonly name = 'NoDownload';
}

/** Runs apt-get for something that comes over the network. */
async function fetched(args: readonly string[], what: string, options: RunOptions): Promise<void> {
  const result = await run('apt-get', args, options);
  if (result.ended === 'cancelled') throw new Error('cancelled');
  if (result.status === 0) return;
  const why = result.ended === 'timeout' ? 'no end in time' : lastLines(result.stderr, 3);
  throw new NoDownload(`${what} cannot be fetched: ${why || `apt-get ended with status ${result.status}`}`);
}

async function textOf(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}

/** Writes the private configuration and returns apt's options for it. The lists are read again when older than a day. */
async function privateApt(folder: string, work: Work): Promise<string[]> {
  const release = /^VERSION_CODENAME=(.+)$/m.exec(await textOf('/etc/os-release'))?.[1]?.replaceAll('"', '');
  if (!release) throw new NoDownload('no Debian release name in /etc/os-release: give a built tree with --source');
  const etc = join(folder, 'etc');
  const parts = join(etc, 'parts');
  for (const name of ['etc/parts', 'lists/partial', 'cache/archives/partial']) {
    await mkdir(join(folder, name), { recursive: true });
  }
  const lines = listLines(await textOf('/etc/apt/sources.list'), release);
  const more: string[] = [];
  const system = '/etc/apt/sources.list.d';
  for (const name of (await readdir(system).catch(() => [])).sort()) {
    if (name.endsWith('.list')) lines.push(...listLines(await textOf(join(system, name)), release));
    if (name.endsWith('.sources')) more.push(...stanzas(await textOf(join(system, name)), release));
  }
  if (lines.length + more.length === 0) throw new NoDownload(`apt has no source of packages for ${release}`);
  await writeFile(join(etc, 'sources.list'), `${[...new Set(lines)].join('\n')}\n`);
  await writeFile(join(parts, 'private.sources'), `${more.join('\n\n')}\n`);
  const settings: readonly (readonly [string, string])[] = [
    ['Dir::Etc::sourcelist', join(etc, 'sources.list')],
    ['Dir::Etc::sourceparts', parts],
    ['Dir::State::lists', join(folder, 'lists')],
    ['Dir::Cache', join(folder, 'cache')],
    // The files are ours: no sandbox user, who could not write them.
    ['APT::Sandbox::User', ''],
    ['Acquire::Retries', '3'],
  ];
  const options = settings.flatMap(([key, value]) => ['-o', `${key}=${value}`]);
  const stamp = join(folder, 'updated');
  const age = Date.now() - ((await stat(stamp).catch(() => undefined))?.mtimeMs ?? 0);
  if (age > 24 * 3600 * 1000) {
    work.say('reading the lists of packages');
    await fetched([...options, 'update', '-q'], 'The lists of packages', { seconds: 300, signal: work.signal });
    await writeFile(stamp, '');
  }
  return options;
}

/** Opens the private apt configuration under `root`. */
export async function openDebian(root: string, work: Work): Promise<Debian> {
  const options = await privateApt(join(root, 'apt'), work);
  const downloads = join(root, 'packages');
  await mkdir(downloads, { recursive: true });

  const versions = async (source: string): Promise<string[]> => {
    const shown = await must('apt-cache', [...options, 'showsrc', '--only-source', source], { seconds: 60 });
    const found = [...new Set([...shown.stdout.matchAll(/^Version:\s*(\S+)$/gm)].map((match) => match[1]!))];
    const sorted: string[] = [];
    for (const version of found) {
      let at = 0;
      while (at < sorted.length && (await run('dpkg', ['--compare-versions', version, 'lt', sorted[at]!])).status === 0)
        at++;
      sorted.splice(at, 0, version);
    }
    return sorted;
  };

  const download = async (name: string, work: Work): Promise<string> => {
    // `apt-get download` names the file itself; a folder for each package tells which it was.
    const folder = join(downloads, name.replaceAll(/[^\w.+~=-]/g, '_'));
    const have = async (): Promise<string | undefined> =>
      (await readdir(folder).catch(() => []))
        .filter((file) => file.endsWith('.deb'))
        .sort()
        .at(-1);
    const known = await have();
    if (known) return join(folder, known);
    await mkdir(folder, { recursive: true });
    work.say(`fetching ${name}`);
    const limits = { cwd: folder, seconds: 600, signal: work.signal };
    await fetched([...options, '-q', 'download', name], `The package ${name}`, limits);
    const file = await have();
    if (!file) throw new NoDownload(`apt-get download ${name} left no package`);
    return join(folder, file);
  };

  return {
    versions,
    async source(name, work, plain = false) {
      const problems: string[] = [];
      for (const version of await versions(name)) {
        check(work);
        const target = join(
          root,
          'sources',
          `${name}-${version.replaceAll(/[^\w.+~-]/g, '_')}${plain ? '-plain' : ''}`,
        );
        if (existsSync(target)) return { folder: join(target, 'tree'), version };
        const scratch = `${target}.new-${process.pid}`;
        await mkdir(scratch, { recursive: true });
        try {
          work.say(`fetching the source of ${name} ${version}`);
          const args = [...options, '-q', '--only-source', '--download-only', 'source', `${name}=${version}`];
          const got = await run('apt-get', args, { cwd: scratch, seconds: 900, signal: work.signal });
          const dsc = got.status === 0 ? (await readdir(scratch)).find((file) => file.endsWith('.dsc')) : undefined;
          if (!dsc) {
            problems.push(`${version}: ${got.stderr.trim().split('\n').at(-1)}`);
            continue;
          }
          await must('dpkg-source', ['--no-check', ...(plain ? ['--skip-patches'] : []), '-x', dsc, 'tree'], {
            cwd: scratch,
            seconds: 300,
            signal: work.signal,
          });
          await rename(scratch, target);
          return { folder: join(target, 'tree'), version };
        } finally {
          await rm(scratch, { recursive: true, force: true });
        }
      }
      throw new NoDownload(
        `no source of ${name} could be downloaded: ${problems.join('; ') || 'no version is listed'}`,
      );
    },
    async unpack(names, folder, work) {
      await mkdir(folder, { recursive: true });
      for (const name of names) {
        check(work);
        await must('dpkg', ['-x', await download(name, work), folder], { seconds: 120, signal: work.signal });
      }
    },
    async candidate(name) {
      const shown = await run('apt-cache', [...options, 'show', '--no-all-versions', name], { seconds: 60 });
      return /^Version:\s*(\S+)$/m.exec(shown.stdout)?.[1];
    },
    async depends(name) {
      const shown = await run('apt-cache', [...options, 'show', '--no-all-versions', name], { seconds: 60 });
      const list = /^Depends:\s*(.+)$/m.exec(shown.stdout)?.[1] ?? '';
      return list
        .split(',')
        .map(
          (entry) =>
            entry
              .split('|')[0]!
              .trim()
              .split(/[\s(:]/)[0]!,
        )
        .filter((entry) => entry !== '');
    },
  };
}
