import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { cacheRoot, fetchSource } from '../../scripts/lib/debian-source.mjs';

const execute = promisify(execFile);

/** HAProxy of Debian's source package: built with its own Makefile, under git, clean. */
export interface HaproxyTree {
  /** Top folder; compile_commands.json is in it. */
  readonly root: string;
  readonly program: string;
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

/** Takes every edit back, committed ones too. */
export async function restore(tree: HaproxyTree): Promise<void> {
  await git(tree.root, 'reset', '-q', '--hard', 'built');
}

/** Commits the edits: the next patch is made against them, and goes on top. */
export async function commit(tree: HaproxyTree): Promise<void> {
  await git(tree.root, 'commit', '-q', '-a', '-m', 'edit');
}

/** Replaces a text that has to be there. */
export function edit(tree: HaproxyTree, file: string, from: string, to: string): void {
  const path = join(tree.root, file);
  const text = readFileSync(path, 'utf8');
  if (!text.includes(from)) throw new Error(`${file} of this version lacks: ${from}`);
  writeFileSync(
    path,
    text.replace(from, () => to),
  );
}

/** Fetches and builds HAProxy, recording the commands. Kept in the test cache, as Redis is. */
export async function haproxyTree(cli: readonly string[], say: (text: string) => void): Promise<HaproxyTree> {
  const source = await fetchSource('haproxy', { say });
  const compiler = await run('gcc', ['--version'], '/', 20);
  const recipe = readFileSync(join(import.meta.dirname, 'haproxy-tree.ts'));
  const key = createHash('sha256').update(source.version).update(compiler).update(recipe).digest('hex').slice(0, 12);
  const root = join(cacheRoot(), `haproxy-${key}`);
  const tree: HaproxyTree = { root, program: join(root, 'haproxy') };
  const done = join(root, '.git', 'built-by-test');
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
  await git(root, 'init', '-q');
  await git(root, 'add', '-A', '-f', '.');
  await git(root, 'commit', '-q', '-m', 'HAProxy');
  await git(root, 'tag', 'built');
  say(`building haproxy ${source.version} (about half a minute)`);
  const [node = 'node', ...script] = cli;
  await run(node, [...script, 'record', '--', 'make', '-j2', 'TARGET=linux-glibc', 'haproxy'], root, 900);
  writeFileSync(done, '');
  return tree;
}
