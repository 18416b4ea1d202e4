import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startTicks } from './qemu.ts';

/** Folder for what is expensive to make again: package lists, sources, built hypervisors, virtual machines. Outside any repository. */
export function cacheRoot(env: NodeJS.ProcessEnv = process.env): string {
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'livepatch-author');
}

/** What a long piece of work says of itself: sentences for the user; `stop` ends it. */
export interface Work {
  readonly say: (text: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/** @throws Error where the work was cancelled. */
export function check(work: Work): void {
  if (work.signal?.aborted) throw new Error('cancelled');
}

/**
 * Does something that only one process may do at a time, such as filling a folder of the cache. Waits, saying so, while another one
 * is at it; what a process left behind that is gone does not count.
 * @throws Error where the work was cancelled while it waited; whatever `task` throws.
 */
export async function withLock<T>(path: string, what: string, work: Work, task: () => Promise<T>): Promise<T> {
  await mkdir(dirname(path), { recursive: true });
  const own = `${process.pid} ${startTicks(process.pid) ?? ''}`;
  let told = false;
  while (!(await take(path, own))) {
    const holder = await readFile(path, 'utf8').catch(() => undefined);
    if (holder === undefined) continue;
    const pid = holder.split(' ')[0];
    if (await isLeftBehind(path, holder)) {
      // Two may find it at the same time: only one moves it away, and nobody takes away what the other has made since.
      const aside = `${path}.${process.pid}`;
      const now = await readFile(path, 'utf8').catch(() => undefined);
      if (now === holder && (await isLeftBehind(path, now))) await rename(path, aside).catch(() => {});
      await rm(aside, { force: true });
      continue;
    }
    if (!told && holder !== '') {
      work.say(`waiting for process ${pid}, which ${what}`);
      told = true;
    }
    await sleep(300);
    check(work);
  }
  try {
    // Cancelled while the lock was just taken: nothing is begun.
    check(work);
    return await task();
  } finally {
    await rm(path, { force: true });
  }
}

/** How long a lock may be empty, milliseconds: it is written right after it was made. */
const EMPTY_MAX = 10_000;

/** Whether whoever made a lock is gone, be it before it wrote down who it is. */
async function isLeftBehind(path: string, holder: string): Promise<boolean> {
  const [pid, ticks] = holder.split(' ');
  if (holder !== '') return startTicks(Number(pid)) !== ticks;
  const info = await stat(path).catch(() => undefined);
  return info !== undefined && Date.now() - info.mtimeMs > EMPTY_MAX;
}

async function take(path: string, text: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx');
    try {
      await file.writeFile(text);
    } catch (error) {
      // The disk is full: nobody could tell whose an empty lock is.
      await rm(path, { force: true });
      throw error;
    } finally {
      await file.close();
    }
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}
