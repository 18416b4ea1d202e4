import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Analyser } from '../../server/src/analyse.ts';
import type { PatchUnit } from '../../server/src/core/payload/types.ts';
import { createSession } from '../../server/src/session.ts';
import { loadConfig } from '../../server/src/shell/config.ts';
import { must } from '../../server/src/targets/transport/local.ts';

/** A working copy of a built Xen tree, with a session on it. */
export interface WorkTree {
  readonly folder: string;
  /** Replaces text in a file of `xen/`; fails where `from` is not there exactly once. */
  edit(file: string, from: string, to: string): Promise<void>;
  /** Compares what the edits reach, with the real session. `commit` makes the present text the baseline afterwards. */
  units(): Promise<PatchUnit[]>;
  /** The present text becomes the baseline. */
  commit(): Promise<void>;
  /** Undoes one commit, and goes back to the text before it. */
  uncommit(): Promise<void>;
  /** The baseline again. */
  reset(): Promise<void>;
  close(): Promise<void>;
}

/** Copies a tree (hard links where the file system has them: edits replace files, never write into them). */
export async function workTree(tree: string, analyser: Analyser): Promise<WorkTree> {
  const top = await mkdtemp(join(tmpdir(), 'livepatch-xen-'));
  const folder = join(top, 'tree');
  const linked = await must('cp', ['-al', tree, folder], { seconds: 120 }).catch(() => undefined);
  if (!linked) await cp(tree, folder, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
  const git = (...args: string[]) =>
    must('git', ['-C', folder, '-c', 'user.name=test', '-c', 'user.email=test@localhost', '-c', 'gc.auto=0', ...args], {
      seconds: 120,
    });
  // Whoever works in the fetched tree itself has edits there: tests begin with what was built.
  await git('checkout', '-q', '--force', 'HEAD');
  const loaded = await loadConfig(folder, { buildDir: join(folder, 'xen') });
  // The hazards are those of a hypervisor, whatever the tree itself says.
  const config = { ...loaded.config, targets: [{ name: 'xen', kind: 'xen' as const, vm: 'xen' }] };
  const changed = new Set<string>();
  let session = await createSession(config, { analyser, watch: false, cacheDir: join(top, 'cache') });
  const write = async (path: string, text: string): Promise<void> => {
    await rm(path);
    await writeFile(path, text);
    changed.add(path);
  };
  const reopen = async (): Promise<void> => {
    await session.dispose();
    session = await createSession(config, { analyser, watch: false, cacheDir: join(top, 'cache') });
  };
  return {
    folder,
    async edit(file, from, to) {
      const path = join(folder, 'xen', file);
      const text = await readFile(path, 'utf8');
      const parts = text.split(from);
      if (parts.length !== 2)
        throw new Error(`${file}: the text to replace is there ${parts.length - 1} times: ${from}`);
      await write(path, parts.join(to));
    },
    async units() {
      for (const path of changed) session.saved(path);
      await session.idle();
      return session.units().flatMap((state) => {
        if (!state.result || state.phase !== 'ready')
          throw new Error(
            `${state.unit.command.file}: ${state.phase} ${state.message ?? ''} ${state.errors.map((one) => `${one.at.line}: ${one.message}`).join('; ')}`,
          );
        return [state.result];
      });
    },
    async commit() {
      await git('commit', '-q', '-a', '-m', 'patched');
      changed.clear();
      await reopen();
    },
    async uncommit() {
      await git('reset', '-q', '--hard', 'HEAD~1');
      changed.clear();
      await reopen();
    },
    async reset() {
      await git('checkout', '-q', '--force', 'HEAD');
      changed.clear();
      await reopen();
    },
    async close() {
      await session.dispose();
      await rm(top, { recursive: true, force: true });
    },
  };
}
