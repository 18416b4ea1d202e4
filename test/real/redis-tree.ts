import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { cacheRoot, fetchSource } from '../../scripts/lib/debian-source.mjs';

const execute = promisify(execFile);

/** The two security fixes that the tree is built without, and that the test then applies to the running server. */
export const FIXES = { hyperloglog: '0006-CVE-2025-32023.patch', lua: 'CVE-2025-49844.patch' } as const;

/** Redis of Debian's source package: built, under git, clean. */
export interface RedisTree {
  /** Top folder; compile_commands.json and livepatch.json are in it. */
  readonly root: string;
  readonly version: string;
  readonly server: string;
  readonly benchmark: string;
}

async function run(program: string, args: readonly string[], cwd: string, seconds: number): Promise<string> {
  try {
    const { stdout } = await execute(program, args, { cwd, timeout: seconds * 1000, maxBuffer: 1 << 28 });
    return stdout;
  } catch (error) {
    const failure = error as Error & { stdout?: string; stderr?: string };
    const tail = `${failure.stdout ?? ''}\n${failure.stderr ?? ''}`.trim().split('\n').slice(-20).join('\n');
    throw new Error(`${program} ${args.join(' ')}: ${failure.message.split('\n')[0]}\n${tail}`);
  }
}

const git = (root: string, ...args: string[]) =>
  run(
    'git',
    ['-c', 'user.name=test', '-c', 'user.email=test@localhost', '-c', 'commit.gpgsign=false', ...args],
    root,
    120,
  );

/** Takes the named fix's patch into the tree, its tests included: the source edit of this test. */
export async function applyFix(tree: RedisTree, fix: keyof typeof FIXES): Promise<void> {
  await run('patch', ['-p1', '-s', '--no-backup-if-mismatch', '-i', join('debian/patches', FIXES[fix])], tree.root, 30);
}

/** Takes every edit back. */
export async function restore(tree: RedisTree): Promise<void> {
  await git(tree.root, 'checkout', '-q', '--', '.');
}

/**
 * Fetches, patches (without the two fixes) and builds Redis, recording the commands with `livepatch record`. Kept between runs
 * in the test cache; built again when the package's version, this file or the compiler changes.
 */
export async function redisTree(cli: readonly string[], say: (text: string) => void): Promise<RedisTree> {
  const source = await fetchSource('redis', { withoutPatches: true, say });
  const compiler = await run('gcc', ['--version'], '/', 20);
  const recipe = readFileSync(join(import.meta.dirname, 'redis-tree.ts'));
  const key = createHash('sha256').update(source.version).update(compiler).update(recipe).digest('hex').slice(0, 12);
  const root = join(cacheRoot(), `redis-${key}`);
  const tree: RedisTree = {
    root,
    version: source.version,
    server: join(root, 'src/redis-server'),
    benchmark: join(root, 'src/redis-benchmark'),
  };
  const done = join(root, '.git', 'built');
  if (existsSync(done)) {
    await restore(tree);
    return tree;
  }
  rmSync(root, { recursive: true, force: true });
  mkdirSync(dirname(root), { recursive: true });
  // Built where it stays: the debug information and the recorded commands name the folder.
  const scratch = `${root}.new`;
  rmSync(scratch, { recursive: true, force: true });
  cpSync(source.folder, scratch, { recursive: true });
  renameSync(scratch, root);
  for (const line of readFileSync(join(root, 'debian/patches/series'), 'utf8').split('\n')) {
    const name = line.replace(/#.*/, '').trim();
    if (name === '' || Object.values<string>(FIXES).includes(name)) continue;
    await run('patch', ['-p1', '-s', '--no-backup-if-mismatch', '-i', join('debian/patches', name)], root, 30);
  }
  say(`building redis ${source.version} without ${Object.values(FIXES).join(' and ')} (about a minute)`);
  const [node = 'node', ...script] = cli;
  await run(
    node,
    [...script, 'record', '--', 'make', '-j2', 'V=1', 'MALLOC=libc', 'BUILD_TLS=no', 'USE_SYSTEMD=no'],
    root,
    900,
  );
  writeFileSync(join(root, 'livepatch.json'), JSON.stringify({ binaries: ['src/redis-server'] }));
  await git(root, 'init', '-q');
  await git(root, 'add', '-A', '.');
  await git(root, 'commit', '-q', '-m', 'Redis without the two fixes');
  writeFileSync(done, '');
  return tree;
}
