import { mkdir, open, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import type { AsmRow } from '../core/asm/types.ts';
import type { SourceHunk } from '../core/diff/types.ts';
import { canonical } from './commandIndex.ts';
import { sha256 } from './hashes.ts';

/** A source of a unit as it was when a patch was built. */
export interface BuiltFile {
  /** Hash of the text that the baseline had then; empty where it had no such file. */
  readonly base: string;
  /** Lines that the edits changed in it. */
  readonly hunks: readonly SourceHunk[];
  /** Text of its lines (from 1): those of the hunks, and those that the functions' code comes from. */
  readonly lines: ReadonlyMap<number, string>;
}

/** What a patch holds of one unit, and how that was compiled. */
export interface BuiltUnit {
  readonly compiler: string;
  readonly command: readonly string[];
  /** Code of each function, by the name that its change has. */
  readonly functions: ReadonlyMap<string, readonly AsmRow[]>;
  readonly files: ReadonlyMap<string, BuiltFile>;
}

/** The patch that was built last: all that a listing of its code needs. */
export interface LastBuilt {
  readonly id: string;
  /** ISO 8601. */
  readonly time: string;
  readonly units: ReadonlyMap<string, BuiltUnit>;
}

/** Version of the layout on disk: a file of another one is no news to anybody. */
const LAYOUT = 1;
/** Rows of a patch that is written: some hundred long functions. */
const MAX_ROWS = 200_000;
/** Bytes of a file, packed and as text. */
const [MAX_PACKED, MAX_TEXT] = [32 << 20, 256 << 20] as const;
/** Folders whose last patch is kept. */
const MAX_FOLDERS = 24;

/** Numbers of files that are being written, in this process. */
let written = 0;

function encode({ id, time, units }: LastBuilt): string {
  const unitEntries = [...units].map(([unit, { compiler, command, functions, files }]) => [
    unit,
    {
      compiler,
      command,
      functions: [...functions].map(([name, rows]) => [
        name,
        rows.map((row) => ({ ...row, bytes: Buffer.from(row.bytes).toString('hex') })),
      ]),
      files: [...files].map(([path, { base, hunks, lines }]) => [path, { base, hunks, lines: [...lines] }]),
    },
  ]);
  return JSON.stringify({ layout: LAYOUT, id, time, units: unitEntries });
}

type Entries<Value> = readonly (readonly [string, Value])[];
interface Encoded {
  readonly layout: number;
  readonly id: string;
  readonly time: string;
  readonly units: Entries<{
    readonly compiler: string;
    readonly command: readonly string[];
    readonly functions: Entries<readonly (Omit<AsmRow, 'bytes'> & { readonly bytes: string })[]>;
    readonly files: Entries<Omit<BuiltFile, 'lines'> & { readonly lines: readonly (readonly [number, string])[] }>;
  }>;
}

function decode(text: string): LastBuilt | undefined {
  const { layout, id, time, units } = JSON.parse(text) as Encoded;
  if (layout !== LAYOUT) return undefined;
  const decoded = units.map(([unit, { compiler, command, functions, files }]) => {
    const rows = functions.map(
      ([name, list]) => [name, list.map((row) => ({ ...row, bytes: Buffer.from(row.bytes, 'hex') }))] as const,
    );
    const sources = files.map(([path, file]) => [path, { ...file, lines: new Map(file.lines) }] as const);
    return [unit, { compiler, command, functions: new Map(rows), files: new Map(sources) }] as const;
  });
  return { id, time, units: new Map(decoded) };
}

/**
 * The patch that was built last from a workspace folder, in a file of the cache: so that it is still known when the server ended, or the
 * window was loaded again. One file for each folder, the newest ones only; packed, written beside and renamed.
 */
export class BuiltStore {
  readonly #folder: string;
  readonly #path: string;
  #writing: Promise<unknown> = Promise.resolve();

  /** @param root the workspace folder */
  constructor(cache: string, root: string) {
    this.#folder = join(cache, 'built');
    this.#path = join(this.#folder, `${sha256(canonical(root)).slice(0, 32)}.json.gz`);
  }

  /** What was kept; undefined where nothing was. Rejects where the file is damaged, and removes it: it is no use to anybody. */
  async read(): Promise<LastBuilt | undefined> {
    const file = await open(this.#path).catch(() => undefined);
    if (!file) return undefined;
    try {
      const { size } = await file.stat();
      if (size > MAX_PACKED) throw new Error(`it has ${size} bytes`);
      // The check sum of the packed file tells of damage.
      const text = await promisify(gunzip)(await file.readFile(), { maxOutputLength: MAX_TEXT });
      return decode(text.toString());
    } catch (error) {
      await rm(this.#path, { force: true });
      throw error;
    } finally {
      await file.close();
    }
  }

  /** Keeps a patch in place of the one before. Rejects where that cannot be; then none is kept: an older one is not the last. */
  keep(built: LastBuilt): Promise<void> {
    const work = this.#writing.then(() => this.#write(built));
    this.#writing = work.catch(() => {});
    return work;
  }

  /** Forgets the patch: what was built last is not known. */
  async drop(): Promise<void> {
    await rm(this.#path, { force: true });
  }

  async #write(built: LastBuilt): Promise<void> {
    const fresh = `${this.#path}.${process.pid}.${++written}.new`;
    try {
      const lists = [...built.units.values()].flatMap(({ functions }) => [...functions.values()]);
      const rows = lists.reduce((sum, list) => sum + list.length, 0);
      if (rows > MAX_ROWS) throw new Error(`${rows} instructions are more than are kept`);
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      const packed = await promisify(gzip)(encode(built), { level: 1 });
      if (packed.length > MAX_PACKED) throw new Error(`${packed.length} bytes are more than are kept`);
      await writeFile(fresh, packed, { mode: 0o600 });
      await rename(fresh, this.#path);
      await this.#trim();
    } catch (error) {
      await Promise.all([rm(fresh, { force: true }), this.drop()]).catch(() => {});
      throw error;
    }
  }

  /** Removes the oldest files beyond the number that is kept. */
  async #trim(): Promise<void> {
    const names = await readdir(this.#folder);
    if (names.length <= MAX_FOLDERS) return;
    const files = await Promise.all(
      names.map(async (name) => {
        const path = join(this.#folder, name);
        return { path, time: (await stat(path).catch(() => undefined))?.mtimeMs ?? 0 };
      }),
    );
    files.sort((a, b) => b.time - a.time);
    for (const { path } of files.slice(MAX_FOLDERS)) await rm(path, { force: true });
  }
}
