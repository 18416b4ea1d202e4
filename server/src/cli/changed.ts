import { execFile } from 'node:child_process';
import { type Dirent, existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Config } from '../shell/types.ts';
import { CannotError } from './command.ts';

const execute = promisify(execFile);

/** Folders that hold no sources. */
const SKIPPED = new Set(['.git', '.hg', '.svn', 'node_modules']);

/**
 * Absolute paths of the files under the workspace whose content differs from the baseline's, new files included, deleted ones not.
 * @throws CannotError where the baseline cannot be read.
 */
export async function changedFiles(config: Config): Promise<string[]> {
  const { baseline, root } = config;
  const names =
    baseline.kind === 'git'
      ? await changedSince(root, baseline.revision)
      : await differingFrom(root, baseline.path, config.buildDir);
  return names.map((name) => join(root, name)).filter((path) => existsSync(path));
}

async function git(root: string, args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await execute('git', ['-C', root, ...args], { maxBuffer: 1 << 28 });
    return stdout;
  } catch (error) {
    const failure = error as NodeJS.ErrnoException & { stderr?: string };
    if (failure.code === 'ENOENT')
      throw new CannotError(
        'git is not installed; it is needed for a baseline that is a revision. Install git, or give a folder: --base DIR.',
      );
    throw new CannotError(
      `git cannot compare the working tree of ${root} with the baseline.`,
      failure.stderr ?? failure.message,
    );
  }
}

async function changedSince(root: string, revision: string): Promise<string[]> {
  // `--end-of-options`: a revision that begins with a dash is no option.
  const differing = await git(root, [
    'diff',
    '--name-only',
    '--no-renames',
    '--relative',
    '-z',
    '--end-of-options',
    revision,
    '--',
  ]);
  const untracked = await git(root, ['ls-files', '--others', '--exclude-standard', '-z']);
  return [...new Set([...differing.split('\0'), ...untracked.split('\0')])].filter((name) => name !== '');
}

/** Relative paths that exist in the tree and are absent or different in the folder with the original sources. */
async function differingFrom(root: string, original: string, buildDir: string): Promise<string[]> {
  if (!existsSync(original)) throw new CannotError(`The baseline folder ${original} does not exist.`);
  const names: string[] = [];
  const visit = async (below: string): Promise<void> => {
    const entries: Dirent[] = await readdir(join(root, below), { withFileTypes: true });
    for (const entry of entries) {
      const name = below ? `${below}/${entry.name}` : entry.name;
      const path = join(root, name);
      if (entry.isDirectory()) {
        if (!SKIPPED.has(entry.name) && path !== original && path !== buildDir) await visit(name);
      } else if (
        entry.isFile() &&
        /\.(c|h|inc|def|S|s|cc|cpp|hpp|tbl|in)$/.test(entry.name) &&
        (await differs(path, join(original, name)))
      ) {
        names.push(name);
      }
    }
  };
  await visit('');
  return names;
}

async function differs(path: string, original: string): Promise<boolean> {
  try {
    const [now, then] = await Promise.all([readFile(path), readFile(original)]);
    return !now.equals(then);
  } catch {
    return true;
  }
}
