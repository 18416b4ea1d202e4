import { homedir } from 'node:os';
import { join } from 'node:path';

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
