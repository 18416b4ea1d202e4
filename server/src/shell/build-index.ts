import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Analyser } from '../analyse.ts';
import { reachOf, type UnitReach } from '../core/findings/reach.ts';
import type { Unit } from './types.ts';

/** Part of the stamp: what an older program wrote is not misread. */
const FORMAT = 2;
const LARGEST = 256 << 20;

/**
 * What the objects of the real build say of types and callers, read in the background and kept in the cache: again only where an object's size or
 * time changed. Without an object (the build was cleaned) a unit is not known.
 */
export class BuildIndex {
  readonly #folder: string;
  readonly #analyser: Analyser;
  readonly #known = new Map<string, { readonly stamp: string; readonly reach: UnitReach }>();

  constructor(cache: string, analyser: Analyser) {
    this.#folder = join(cache, 'reach');
    this.#analyser = analyser;
  }

  /** The object of a unit; undefined where there is none that can be read. */
  async of(unit: Unit): Promise<UnitReach | undefined> {
    const path = unit.command.output;
    if (path === undefined) return undefined;
    const info = await stat(path).catch(() => undefined);
    if (!info?.isFile() || info.size > LARGEST) return undefined;
    const stamp = `${FORMAT} ${path} ${info.size} ${info.mtimeMs} ${info.ino}`;
    const known = this.#known.get(path);
    if (known?.stamp === stamp) return known.reach;
    const file = join(this.#folder, `${createHash('sha256').update(path).digest('hex').slice(0, 32)}.json`);
    const reach = (await this.#kept(file, stamp)) ?? (await this.#read(path, file, stamp));
    if (reach) this.#known.set(path, { stamp, reach });
    return reach;
  }

  async #kept(file: string, stamp: string): Promise<UnitReach | undefined> {
    try {
      const entry = JSON.parse(await readFile(file, 'utf8')) as { stamp?: unknown; reach?: UnitReach };
      const { reach } = entry;
      return entry.stamp === stamp &&
        typeof reach?.types === 'object' &&
        typeof reach.calls === 'object' &&
        typeof reach.inlined === 'object'
        ? reach
        : undefined;
    } catch {
      return undefined;
    }
  }

  async #read(path: string, file: string, stamp: string): Promise<UnitReach | undefined> {
    // A make that runs takes objects away, and root's may be closed to others.
    const bytes = await readFile(path).catch(() => undefined);
    if (!bytes) return undefined;
    const { object } = this.#analyser.load(new Uint8Array(bytes));
    if (object?.elf.kind !== 'rel') return undefined;
    const reach = reachOf(object);
    try {
      await mkdir(this.#folder, { recursive: true });
      const scratch = `${file}.${process.pid}`;
      await writeFile(scratch, JSON.stringify({ stamp, reach }));
      await rename(scratch, file);
    } catch {
      // A full disk: it is read again the next time.
    }
    return reach;
  }
}
