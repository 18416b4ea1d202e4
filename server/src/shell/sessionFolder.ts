import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/**
 * Makes the scratch folder of one session in the cache folder, and removes those of sessions whose process is gone (on
 * this host: the cache may be shared).
 */
export async function makeSessionFolder(cache: string): Promise<string> {
  const parent = join(cache, 'sessions');
  await mkdir(parent, { recursive: true, mode: 0o700 });
  const host = hostname().replace(/[^A-Za-z0-9.]/g, '_');
  for (const name of await readdir(parent).catch(() => [])) {
    const [owner, pid] = name.split('-');
    if (owner === host && /^\d+$/.test(pid ?? '') && !isAlive(Number(pid))) {
      await rm(join(parent, name), { recursive: true, force: true }).catch(() => {});
    }
  }
  return mkdtemp(join(parent, `${host}-${process.pid}-`));
}
