import { lstat, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { startTicks } from './qemu.ts';

/** How the temporary folder of a machine's run is called: its sockets have short paths (108 bytes), so it is not in the cache. */
export const RUN_FOLDER = 'livepatch-vm-';
/** The folder of a machine that ends with a process: by the process's number and start, since numbers come again. */
const OWNED = new RegExp(`^${RUN_FOLDER}(\\d+)-(\\d+)-`);

/**
 * Makes the folder of one run, and removes those of machines that ended with their owner where that was killed and could not clear away.
 *
 * @param keep the machine outlives this process
 */
export async function makeRunFolder(keep: boolean, parent = tmpdir()): Promise<string> {
  for (const name of await readdir(parent).catch(() => [])) {
    const [, pid, ticks] = OWNED.exec(name) ?? [];
    if (pid === undefined || startTicks(Number(pid)) === ticks) continue;
    const path = join(parent, name);
    const info = await lstat(path).catch(() => undefined);
    // Everybody writes to /tmp: what another user put there is theirs.
    if (info?.isDirectory() && info.uid === process.getuid?.())
      await rm(path, { recursive: true, force: true }).catch(() => {});
  }
  return mkdtemp(join(parent, keep ? RUN_FOLDER : `${RUN_FOLDER}${process.pid}-${startTicks(process.pid)}-`));
}

/** Whether a path is the folder of a run. */
export const isRunFolder = (path: string): boolean => basename(path).startsWith(RUN_FOLDER);
