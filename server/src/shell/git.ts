import { join } from 'node:path';
import { run } from './runner.ts';

/** A git work tree and the trust that running git needs (its configuration can name programs). */
export interface GitContext {
  /** Folder in which git runs. */
  readonly folder: string;
  readonly isTrusted: () => boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Git's answer was an error: the message is git's own. */
export class GitError extends Error {}

const TIMEOUT = 60_000;
const LIMIT = 1 << 28;

/** Runs git without optional locks: not even the index of the user's repository is refreshed on disk. */
async function git(context: GitContext, args: readonly string[], input?: Uint8Array): Promise<Buffer> {
  const result = await run({
    arguments: ['git', '--literal-pathspecs', '-c', 'core.fsmonitor=false', '-c', 'core.quotePath=false', ...args],
    directory: context.folder,
    environment: { ...process.env, GIT_OPTIONAL_LOCKS: '0', LC_ALL: 'C', GIT_TERMINAL_PROMPT: '0' },
    timeout: TIMEOUT,
    isTrusted: context.isTrusted,
    signal: context.signal,
    outputLimit: LIMIT,
    ...(input ? { input } : {}),
  });
  if (result.kind === 'exited') {
    if (result.status === 0 && !result.cut) return result.stdout;
    throw new GitError(
      result.cut ? 'git wrote too much' : result.stderr.toString().trim().split('\n')[0] || `git ${args[0]} failed`,
    );
  }
  if (result.kind === 'missing') throw new GitError('git is not installed');
  if (result.kind === 'untrusted') throw new GitError('the workspace is not trusted, so git is not run');
  if (result.kind === 'timeout') throw new GitError(`git ${args[0]} took longer than ${TIMEOUT / 1000} s`);
  throw new GitError(result.kind === 'cancelled' ? 'cancelled' : result.message);
}

/** Top folder of the work tree that holds the context's folder, as git names it (symbolic links resolved). */
export async function topLevel(context: GitContext): Promise<string> {
  return (await git(context, ['rev-parse', '--show-toplevel'])).toString().replace(/\n$/, '');
}

/** Commit id that a revision names now. */
export async function resolveCommit(context: GitContext, revision: string): Promise<string> {
  if (revision.startsWith('-')) throw new GitError(`\`${revision}\` is not a revision`);
  const out = await git(context, [
    'rev-parse',
    '--verify',
    '--quiet',
    '--end-of-options',
    `${revision}^{commit}`,
  ]).catch((error) => {
    throw new GitError(
      error.message.startsWith('git rev-parse') ? `\`${revision}\` names no commit here` : error.message,
    );
  });
  return out.toString().trim().split('\n').at(-1)!;
}

/** A file of a commit that the work tree has otherwise. */
export interface GitDifference {
  /** Relative to the work tree's top. */
  readonly path: string;
  /** Blob in the commit; undefined for a file that the commit has not. */
  readonly blob: string | undefined;
  /** Octal file mode in the commit: 100644, 100755, 120000 (symbolic link), 160000 (submodule), 000000 (none). */
  readonly mode: string;
}

const NONE = /^0+$/;

/**
 * Files whose contents in the work tree differ from the commit, deleted and added ones included. Untracked files are not told.
 * @param paths only these (relative to the top): a few files of a large tree are looked at in a few milliseconds
 */
export async function differences(
  context: GitContext,
  commit: string,
  paths: readonly string[] = [],
): Promise<GitDifference[]> {
  const args = [
    'diff',
    '--raw',
    '-z',
    '--no-abbrev',
    '--no-renames',
    '--no-ext-diff',
    '--no-textconv',
    '--ignore-submodules=none',
  ];
  const fields = (await git(context, [...args, commit, '--', ...paths])).toString().split('\0');
  const found: GitDifference[] = [];
  for (let at = 0; at + 1 < fields.length; at += 2) {
    // :100644 100644 <old blob> <new blob> M\0path
    const [oldMode, , oldBlob] = fields[at]!.slice(1).split(' ');
    found.push({ path: fields[at + 1]!, blob: NONE.test(oldBlob!) ? undefined : oldBlob, mode: oldMode! });
  }
  return found;
}

/**
 * Files below the context's folder (relative to it) that git neither tracks nor ignores. Folders with a repository of their own are left out.
 * @param paths only these, where given
 */
export async function untracked(context: GitContext, paths: readonly string[] = []): Promise<string[]> {
  const out = await git(context, ['ls-files', '-z', '--others', '--exclude-standard', '--', ...paths]);
  return out
    .toString()
    .split('\0')
    .filter((path) => path !== '' && !path.endsWith('/'));
}

/** Paths (relative to the top) of all files of a commit, and of its submodules with their commits. */
export async function treeOf(
  context: GitContext,
  commit: string,
): Promise<{ files: Set<string>; submodules: Map<string, string> }> {
  const files = new Set<string>();
  const submodules = new Map<string, string>();
  for (const record of (await git(context, ['ls-tree', '-r', '-z', '--full-tree', commit])).toString().split('\0')) {
    const tab = record.indexOf('\t');
    if (tab < 0) continue;
    const [mode, , object] = record.slice(0, tab).split(' ');
    if (mode === '160000') submodules.set(record.slice(tab + 1), object!);
    else files.add(record.slice(tab + 1));
  }
  return { files, submodules };
}

/** Paths that a checkout converts: end of line, encoding, keywords, filters such as LFS. */
async function convertedPaths(context: GitContext, paths: readonly string[]): Promise<Set<string>> {
  const autocrlf = await git(context, ['config', '--get', 'core.autocrlf']).then(String, () => '');
  if (/true/.test(autocrlf)) return new Set(paths);
  const names = ['text', 'eol', 'crlf', 'ident', 'filter', 'working-tree-encoding'];
  const input = Buffer.from(paths.map((path) => `${path}\0`).join(''));
  const fields = (await git(context, ['check-attr', '-z', '--stdin', ...names], input)).toString().split('\0');
  const converted = new Set<string>();
  for (let at = 0; at + 2 < fields.length; at += 3) {
    if (!['unspecified', 'unset'].includes(fields[at + 2]!)) converted.add(fields[at]!);
  }
  return converted;
}

/**
 * Contents of blobs as a checkout would write them.
 * @param wanted blob id and path of each; the order of the answer is the same
 */
export async function readBlobs(
  context: GitContext,
  wanted: readonly { blob: string; path: string }[],
): Promise<Buffer[]> {
  if (wanted.length === 0) return [];
  const converted = await convertedPaths(
    context,
    wanted.map(({ path }) => path),
  );
  // `cat-file --filters --batch` announces the size before the conversion, so converted files are read one by one.
  const plain = wanted.filter(({ path }) => !converted.has(path));
  const found = new Map<string, Buffer>();
  const out =
    plain.length === 0
      ? Buffer.alloc(0)
      : await git(context, ['cat-file', '--batch'], Buffer.from(plain.map(({ blob }) => `${blob}\n`).join('')));
  let at = 0;
  for (const { blob, path } of plain) {
    const end = out.indexOf(10, at);
    const header = out.subarray(at, end).toString();
    const size = /^[0-9a-f]+ blob (\d+)/.exec(header)?.[1];
    if (end < 0 || size === undefined) throw new GitError(`git has no content for ${path} (${header})`);
    found.set(blob + path, out.subarray(end + 1, end + 1 + Number(size)));
    at = end + 1 + Number(size) + 1;
  }
  for (const { blob, path } of wanted) {
    if (converted.has(path))
      found.set(blob + path, await git(context, ['cat-file', '--filters', `--path=${path}`, blob]));
  }
  return wanted.map(({ blob, path }) => found.get(blob + path)!);
}

/** The context of a submodule. */
export function inSubmodule(context: GitContext, top: string, path: string): GitContext {
  return { ...context, folder: join(top, path) };
}
