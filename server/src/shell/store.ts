import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { sha256 } from './hashes.ts';

/** Folder of the cache: `$XDG_CACHE_HOME/livepatch-author`, `~/.cache/livepatch-author` (XDG Base Directory Specification). */
export function cacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  const base = environment.XDG_CACHE_HOME;
  return join(base !== undefined && isAbsolute(base) ? base : join(homedir(), '.cache'), 'livepatch-author');
}

/** A file that an object was made from, and its contents then. */
export interface StoredSource {
  readonly path: string;
  readonly hash: string;
}

/** A cached object with what it was made from. */
export interface StoredObject {
  readonly object: Uint8Array;
  readonly sources: readonly StoredSource[];
}

/** Version of the layout on disk, and of how objects are made: part of each key, so that an older program's entries are not misread, nor its mistakes kept. */
const LAYOUT = 2;
const MAX_VARIANTS = 8;

interface Entry {
  readonly object: string;
  readonly sources: readonly StoredSource[];
}

/**
 * Objects kept by content across sessions. Under a key (compiler, arguments, file) lies a list of source states, each naming
 * the object's bytes by their hash; so a changed or damaged file is noticed and dropped. Everything is written beside and
 * renamed; several programs may share the folder. The oldest entries go when the size limit is passed.
 */
export class ObjectStore {
  private readonly folder: string;
  private readonly limit: number;
  /** Bytes on disk, as last counted plus what was written since. */
  private size: number | undefined;

  /** @param limitMiB 0 turns the cache off */
  constructor(folder: string, limitMiB: number) {
    this.folder = join(folder, 'objects');
    this.limit = limitMiB * 1024 * 1024;
  }

  private listPath(key: string): string {
    return join(this.folder, `${sha256(`${LAYOUT} ${key}`)}.list`);
  }

  private async entries(key: string): Promise<Entry[]> {
    const path = this.listPath(key);
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch {
      return [];
    }
    try {
      const { check, entries } = JSON.parse(text) as { check: string; entries: Entry[] };
      if (check === sha256(JSON.stringify(entries))) return entries;
    } catch {
      // Dropped below, as a list with a wrong check sum is.
    }
    await rm(path, { force: true });
    return [];
  }

  /**
   * The object of a key whose sources are as `hashOf` says they are now.
   * @param hashOf hash of a source's contents
   */
  async find(key: string, hashOf: (path: string) => Promise<string>): Promise<StoredObject | undefined> {
    if (this.limit === 0) return undefined;
    for (const entry of await this.entries(key)) {
      const hashes = await Promise.all(entry.sources.map(({ path }) => hashOf(path)));
      if (!entry.sources.every(({ hash }, index) => hash === hashes[index])) continue;
      const path = join(this.folder, `${entry.object}.o`);
      const object = await readFile(path).catch(() => undefined);
      if (!object) continue;
      if (sha256(object) !== entry.object) {
        await rm(path, { force: true });
        continue;
      }
      const now = new Date();
      await Promise.all([utimes(path, now, now), utimes(this.listPath(key), now, now)]).catch(() => {});
      return { object: new Uint8Array(object), sources: entry.sources };
    }
    return undefined;
  }

  /** Keeps an object. Errors (a full disk) are returned, not thrown: the build does not depend on the cache. */
  async keep(key: string, stored: StoredObject): Promise<Error | undefined> {
    if (this.limit === 0) return undefined;
    try {
      await mkdir(this.folder, { recursive: true });
      const hash = sha256(stored.object);
      const old = (await this.entries(key)).filter(
        (entry) => JSON.stringify(entry.sources) !== JSON.stringify(stored.sources),
      );
      const entries = [{ object: hash, sources: stored.sources }, ...old].slice(0, MAX_VARIANTS);
      await this.write(join(this.folder, `${hash}.o`), stored.object);
      await this.write(this.listPath(key), JSON.stringify({ check: sha256(JSON.stringify(entries)), entries }));
      await this.trim();
      return undefined;
    } catch (error) {
      return error as Error;
    }
  }

  private async write(path: string, data: Uint8Array | string): Promise<void> {
    const fresh = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}.new`;
    try {
      await writeFile(fresh, data);
      await rename(fresh, path);
      if (this.size !== undefined) this.size += data.length;
    } catch (error) {
      await rm(fresh, { force: true });
      throw error;
    }
  }

  private async files(): Promise<{ path: string; size: number; used: number }[]> {
    const found: { path: string; size: number; used: number }[] = [];
    for (const name of await readdir(this.folder).catch(() => [])) {
      const path = join(this.folder, name);
      const info = await stat(path).catch(() => undefined);
      if (info?.isFile()) found.push({ path, size: info.size, used: info.mtimeMs });
    }
    return found;
  }

  /** Removes the files that were used longest ago until nine tenths of the limit are left. */
  private async trim(): Promise<void> {
    if (this.size !== undefined && this.size <= this.limit) return;
    const files = await this.files();
    let size = files.reduce((sum, file) => sum + file.size, 0);
    if (size > this.limit) {
      files.sort((a, b) => a.used - b.used);
      for (const file of files) {
        if (size <= this.limit * 0.9) break;
        await rm(file.path, { force: true });
        size -= file.size;
      }
    }
    this.size = size;
  }

  /** Removes everything. @returns bytes freed */
  async clear(): Promise<number> {
    const size = (await this.files()).reduce((sum, file) => sum + file.size, 0);
    await rm(this.folder, { recursive: true, force: true });
    this.size = 0;
    return size;
  }
}
