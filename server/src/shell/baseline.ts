import { copyFile, lstat, mkdir, readdir, readFile, readlink, realpath, stat } from 'node:fs/promises';
import { dirname, extname, join, relative } from 'node:path';
import { isSource } from './commandIndex.ts';
import {
  differences,
  type GitContext,
  GitError,
  inSubmodule,
  readBlobs,
  resolveCommit,
  topLevel,
  treeOf,
  untracked,
} from './git.ts';
import { isWithin, type Replacement } from './mirror.ts';
import type { Config } from './types.ts';

/** The original sources cannot be had: the message says why and what to do. */
export class BaselineError extends Error {}

/** The sources that the running program was built from, as differences from the files on disk. */
export interface Baseline {
  /** `git:<commit>`, `folder:<path>`, `start:<ISO time>`: kept in the payload's manifest. */
  readonly description: string;
  /** Folders (in the spelling of the configuration) whose files belong to the baseline. */
  readonly trees: readonly string[];
  /** Whether a folder (real path) is mirrored file by file. */
  readonly descend: (folder: string) => boolean;
  /**
   * Files on disk that the baseline has otherwise, by real path. Asked anew each time; callers that overlap share one answer.
   * @param paths look at these only (real paths): much quicker in a large tree
   * @throws BaselineError
   */
  differing(paths?: readonly string[]): Promise<ReadonlyMap<string, Replacement>>;
  /** True where the baseline itself holds the file (real path); a generated or new file is not in it. */
  has(path: string): Promise<boolean>;
  /**
   * Sources on disk that the baseline does not have and that nobody excluded from version control: what the edit adds. Real paths, sorted.
   * @param paths look at these only (real paths); without them, those that `differing` tells as absent are left out
   * @throws BaselineError
   */
  added(paths?: readonly string[]): Promise<readonly string[]>;
  /** Keeps the present contents of a file that the baseline does not hold, as what it is compared with from now on. */
  remember(path: string): Promise<void>;
}

/** Runs one query at a time; a query that is asked while one runs gets a fresh one that starts after it. */
function shared<T>(query: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined;
  let next: Promise<T> | undefined;
  return () => {
    if (!running) {
      running = query().finally(() => {
        running = undefined;
      });
      return running;
    }
    next ??= running
      .catch(() => {})
      .then(() => {
        next = undefined;
        running = query().finally(() => {
          running = undefined;
        });
        return running;
      });
    return next;
  };
}

/** A git commit, fixed when the session starts. */
async function gitBaseline(config: Config, revision: string, isTrusted: () => boolean): Promise<Baseline> {
  const context: GitContext = { folder: config.root, isTrusted };
  const root = await realpath(config.root);
  const way =
    'Set `baseline` in livepatch.json (or --base) to a git revision or to a folder with the original sources.';
  try {
    const top = await topLevel(context);
    const commit = await resolveCommit(context, revision);
    const tree = await treeOf(context, commit);
    const prefix = relative(top, root);
    const inside = [...tree.files].some((file) => prefix === '' || file.startsWith(`${prefix}/`));
    if (!inside && tree.submodules.size === 0) {
      throw new BaselineError(`Git revision ${revision} has no file in ${config.root}. ${way}`);
    }
    const folders = new Set<string>();
    for (const file of [...tree.files, ...[...tree.submodules.keys()].map((path) => `${path}/.`)]) {
      for (let at = dirname(file); at !== '.' && !folders.has(join(top, at)); at = dirname(at))
        folders.add(join(top, at));
    }
    const remembered = new Map<string, Buffer>();
    const submodules = new Map<string, string>([...tree.submodules].map(([path, id]) => [join(top, path), id]));
    const blobs = new Map<string, Buffer>();

    const collect = async (
      from: string,
      id: string,
      into: Map<string, Replacement>,
      paths?: readonly string[],
    ): Promise<void> => {
      const at: GitContext = { ...context, folder: from };
      const inside = paths?.filter((path) => isWithin(path, from)).map((path) => relative(from, path));
      if (inside?.length === 0) return;
      const found = await differences(at, id, inside);
      const files = found.filter(({ blob, mode }) => blob !== undefined && mode !== '160000');
      const wanted = files.filter(({ blob, path }) => !blobs.has(`${blob} ${path}`)) as {
        blob: string;
        path: string;
      }[];
      const contents = await readBlobs(at, wanted);
      wanted.forEach(({ blob, path }, index) => {
        blobs.set(`${blob} ${path}`, contents[index]!);
      });
      for (const { path, blob, mode } of found) {
        if (mode === '160000') continue;
        const content = blob === undefined ? undefined : blobs.get(`${blob} ${path}`);
        if (content === undefined) into.set(join(from, path), 'absent');
        else into.set(join(from, path), mode === '120000' ? { link: content.toString() } : { content });
      }
    };
    const query = async (paths?: readonly string[]) => {
      const into = new Map<string, Replacement>();
      const owner = (path: string) => [...submodules.keys()].find((folder) => isWithin(path, folder)) ?? top;
      const of = (folder: string) => paths?.filter((path) => owner(path) === folder);
      await collect(top, commit, into, of(top));
      for (const [path, id] of submodules) {
        if (!(await stat(join(path, '.git')).catch(() => undefined))) continue;
        await collect(path, id, into, of(path));
      }
      for (const [path, content] of remembered) {
        if (paths && !paths.includes(path)) continue;
        const now = await readFile(path).catch(() => undefined);
        if (!now?.equals(content)) into.set(path, { content });
      }
      return into;
    };
    const ask = shared(() => query());
    const explain = (error: unknown): never => {
      if (error instanceof GitError)
        throw new BaselineError(`Git cannot give the original sources: ${error.message}. ${way}`);
      throw error;
    };
    const submoduleFiles = new Map<string, Promise<ReadonlySet<string>>>();
    const filesOf = (submodule: string): Promise<ReadonlySet<string>> => {
      const known =
        submoduleFiles.get(submodule) ??
        treeOf(inSubmodule(context, submodule, '.'), submodules.get(submodule)!).then(
          ({ files }) => files,
          () => new Set<string>(),
        );
      submoduleFiles.set(submodule, known);
      return known;
    };
    const has = async (path: string) => {
      const submodule = [...submodules.keys()].find((folder) => isWithin(path, folder));
      if (submodule === undefined) return isWithin(path, top) && tree.files.has(relative(top, path));
      return (await filesOf(submodule)).has(relative(submodule, path));
    };
    const added = async (paths?: readonly string[]) => {
      const found = new Set<string>();
      for (const [path, replacement] of paths ? await query(paths) : [])
        if (replacement === 'absent' && isSource(path)) found.add(path);
      for (const folder of [root, ...submodules.keys()]) {
        if (folder !== root && !(await stat(join(folder, '.git')).catch(() => undefined))) continue;
        const wanted = paths?.filter((path) => isWithin(path, folder)).map((path) => relative(folder, path));
        if (wanted?.length === 0) continue;
        for (const path of await untracked({ ...context, folder }, wanted)) {
          // A file that was taken out of the index only is in the commit all the same.
          if (isSource(path) && !(await has(join(folder, path)))) found.add(join(folder, path));
        }
      }
      return [...found].sort();
    };
    return {
      description: `git:${commit}`,
      trees: top === root ? [config.root] : [config.root, top],
      descend: (folder) =>
        isWithin(folder, root) || folders.has(folder) || [...submodules.keys()].some((path) => isWithin(folder, path)),
      differing: (paths) => (paths ? query(paths) : ask()).catch(explain),
      has,
      added: (paths) => added(paths).catch(explain),
      async remember(path) {
        if (!isWithin(path, top) || remembered.has(path) || (await has(path))) return;
        const content = await readFile(path).catch(() => undefined);
        if (content) remembered.set(path, content);
      },
    };
  } catch (error) {
    if (error instanceof GitError)
      throw new BaselineError(`Git revision ${revision} cannot be the baseline: ${error.message}. ${way}`);
    throw error;
  }
}

/** A folder with the original sources, laid out like the workspace. */
async function folderBaseline(root: string, folder: string, description: string, spelling: string): Promise<Baseline> {
  const compared = new Map<string, { stamp: string; replacement: Replacement | undefined }>();
  const stampOf = async (path: string) => {
    const info = await lstat(path, { bigint: true }).catch(() => undefined);
    return info && { text: `${info.mode} ${info.size} ${info.ino} ${info.mtimeNs} ${info.ctimeNs}`, info };
  };
  const compare = async (original: string, now: string): Promise<Replacement | undefined> => {
    const [old, present] = await Promise.all([stampOf(original), stampOf(now)]);
    if (!old) return undefined;
    const stamp = `${old.text} | ${present?.text ?? ''}`;
    const known = compared.get(now);
    if (known?.stamp === stamp) return known.replacement;
    let replacement: Replacement | undefined;
    if (old.info.isSymbolicLink()) {
      const link = await readlink(original);
      if ((await readlink(now).catch(() => undefined)) !== link) replacement = { link };
    } else {
      const content = await readFile(original);
      const other =
        present && present.info.size === old.info.size ? await readFile(now).catch(() => undefined) : undefined;
      if (!other?.equals(content)) replacement = { content };
    }
    const recent = Date.now() - Number(present?.info.mtimeNs ?? 0n) / 1e6 < 100;
    if (!recent) compared.set(now, { stamp, replacement });
    return replacement;
  };
  const check = async () => {
    if (!(await stat(folder).catch(() => undefined))?.isDirectory()) {
      throw new BaselineError(
        `The folder with the original sources, ${folder}, is not there. Correct \`baseline.folder\` in livepatch.json (or --base).`,
      );
    }
  };
  const some = async (paths: readonly string[]) => {
    await check();
    const into = new Map<string, Replacement>();
    for (const path of paths) {
      if (!isWithin(path, root)) continue;
      const replacement = await compare(join(folder, relative(root, path)), path);
      if (replacement) into.set(path, replacement);
    }
    return into;
  };
  const query = async () => {
    await check();
    const into = new Map<string, Replacement>();
    const walk = async (at: string): Promise<void> => {
      for (const entry of await readdir(join(folder, at), { withFileTypes: true })) {
        const path = join(at, entry.name);
        if (entry.isDirectory()) {
          if (entry.name !== '.git' && entry.name !== 'node_modules') await walk(path);
        } else if (entry.isFile() || entry.isSymbolicLink()) {
          // Objects and the like of a build in that folder say nothing about the sources.
          if (/\.(o|a|so|d|ko|lo|la)$/.test(entry.name)) continue;
          const replacement = await compare(join(folder, path), join(root, path));
          if (replacement) into.set(join(root, path), replacement);
        }
      }
    };
    await walk('');
    return into;
  };
  const has = async (path: string) =>
    isWithin(path, root) && (await lstat(join(folder, relative(root, path))).catch(() => undefined)) !== undefined;
  return {
    description,
    trees: [spelling],
    descend: () => true,
    differing: (() => {
      const all = shared(query);
      return (paths?: readonly string[]) => (paths ? some(paths) : all());
    })(),
    has,
    added: async (paths) => {
      await check();
      const found: string[] = [];
      for (const path of paths ?? (await sourcesIn(root))) {
        if (!isWithin(path, root) || isWithin(path, folder) || !isSource(path)) continue;
        if (!(await has(path)) && (await lstat(path).catch(() => undefined))) found.push(path);
      }
      return found.sort();
    },
    async remember() {},
  };
}

/** Sources below a folder; what is hidden is none. */
async function sourcesIn(folder: string): Promise<string[]> {
  const found: string[] = [];
  const walk = async (at: string): Promise<void> => {
    for (const entry of await readdir(at, { withFileTypes: true }).catch(() => [])) {
      const path = join(at, entry.name);
      if (entry.isFile() && isSource(entry.name)) found.push(path);
      else if (entry.isDirectory() && !entry.name.startsWith('.') && entry.name !== 'node_modules') await walk(path);
    }
  };
  await walk(folder);
  return found;
}

const SOURCE = new Set(
  '.c .h .cc .cpp .cxx .hh .hpp .hxx .inc .inl .def .S .s .tbl .y .l .x .in .td .lds .json .txt'.split(' '),
);
const MAX_COPIED_FILES = 50_000;
const MAX_COPIED_BYTES = 512 << 20;

/** Copies the sources of a workspace that has no other baseline, when the session starts. */
async function copySources(root: string, to: string): Promise<void> {
  let files = 0;
  let bytes = 0;
  const walk = async (at: string): Promise<void> => {
    for (const entry of await readdir(join(root, at), { withFileTypes: true }).catch(() => [])) {
      const path = join(at, entry.name);
      if (entry.isDirectory() && !entry.name.startsWith('.') && entry.name !== 'node_modules') await walk(path);
      else if (entry.isFile() && SOURCE.has(extname(entry.name))) {
        bytes += (await stat(join(root, path)).catch(() => undefined))?.size ?? 0;
        if (++files > MAX_COPIED_FILES || bytes > MAX_COPIED_BYTES) {
          throw new BaselineError(
            `${root} is too large to keep a copy of its sources. Set \`baseline\` in livepatch.json to a git revision or to a folder with the original sources.`,
          );
        }
        await mkdir(dirname(join(to, path)), { recursive: true });
        await copyFile(join(root, path), join(to, path)).catch((error: NodeJS.ErrnoException) => {
          if (error.code === 'ENOSPC') throw error;
        });
      }
    }
  };
  await mkdir(to, { recursive: true });
  await walk('');
}

/**
 * Opens the baseline that the configuration names. A git revision is resolved to a commit now, so that a commit made later
 * does not move it.
 * @param scratch folder of this session, for a copy of the sources where there is no other baseline
 * @throws BaselineError with the way out
 */
export async function openBaseline(config: Config, scratch: string, isTrusted: () => boolean): Promise<Baseline> {
  const root = await realpath(config.root);
  const baseline = config.baseline;
  if (baseline.kind === 'git') return gitBaseline(config, baseline.revision, isTrusted);
  if (baseline.kind === 'folder') {
    const folder = await realpath(baseline.path).catch(() => baseline.path);
    return folderBaseline(root, folder, `folder:${baseline.path}`, config.root);
  }
  const copy = join(scratch, 'start');
  const started = new Date().toISOString();
  await copySources(root, copy);
  return folderBaseline(root, copy, `start:${started}`, config.root);
}
