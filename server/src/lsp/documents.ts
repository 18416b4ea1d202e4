import { readFileSync, statSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { canonical } from '../shell/commandIndex.ts';

/** Path of a `file:` URI; undefined for other schemes. */
export function pathOf(uri: string): string | undefined {
  try {
    return uri.startsWith('file:') ? fileURLToPath(uri) : undefined;
  } catch {
    return undefined;
  }
}

export const uriOf = (path: string): string => pathToFileURL(path).toString();

/** Lines `start` up to `start + removed` (from 0) became `added` lines, at moment `at`. */
interface LineEdit {
  readonly at: number;
  readonly start: number;
  readonly removed: number;
  readonly added: number;
}

interface OpenDocument {
  text: string;
  lines: string[];
  /** Text that the session was told to be in the file, or in the buffer. */
  told: string | undefined;
  /** Text that is known to be in the file. */
  written: string | undefined;
  /** Moment up to which the session knows of the edits. */
  handed: number;
  readonly edits: LineEdit[];
}

/** More edits than anybody makes between two builds; older ones are forgotten. */
const MAX_EDITS = 2000;
/** Files that are not open whose lines are kept. */
const MAX_ON_DISK = 64;

/** The one change of lines that leads from `before` to `after`: what lies between their common start and end. */
function lineEdit(before: readonly string[], after: readonly string[], at: number): LineEdit | undefined {
  const shorter = Math.min(before.length, after.length);
  let start = 0;
  while (start < shorter && before[start] === after[start]) start++;
  let end = 0;
  while (end < shorter - start && before[before.length - 1 - end] === after[after.length - 1 - end]) end++;
  const [removed, added] = [before.length - start - end, after.length - start - end];
  return removed === 0 && added === 0 ? undefined : { at, start, removed, added };
}

/** Places at one moment, for `lineNow`: moment up to which each document's edits were in a build. */
export type Moment = ReadonlyMap<string, number>;

/**
 * The open documents by path: their text, what the session was told of it, and where a line of an older build stands now, so
 * that marks stay where they belong while somebody types.
 */
export class Documents {
  readonly #open = new Map<string, OpenDocument>();
  /** Paths of open documents by their canonical path. */
  readonly #spellings = new Map<string, string>();
  readonly #onDisk = new Map<string, { readonly key: string; readonly lines: readonly string[] }>();
  #clock = 0;

  /** Takes the text of a document that was opened or changed. Returns false where the text is the same. */
  take(path: string, text: string): boolean {
    const known = this.#open.get(path);
    const lines = text.split('\n');
    if (!known) {
      this.#open.set(path, { text, lines, told: undefined, written: undefined, handed: 0, edits: [] });
      this.#spellings.set(canonical(path), path);
      return true;
    }
    if (known.text === text) return false;
    const edit = lineEdit(known.lines, lines, ++this.#clock);
    if (edit) known.edits.push(edit);
    if (known.edits.length > MAX_EDITS) known.edits.splice(0, known.edits.length - MAX_EDITS);
    known.text = text;
    known.lines = lines;
    return true;
  }

  close(path: string): void {
    this.#open.delete(path);
    this.#spellings.delete(canonical(path));
  }

  /** The path as the editor spells it, where it has the file open: builds and editors may differ by symbolic links. */
  spelling(path: string): string {
    return this.#open.has(path) ? path : (this.#spellings.get(canonical(path)) ?? path);
  }

  /** True where both paths mean one file. */
  same(a: string | undefined, b: string): boolean {
    return a === b || (a !== undefined && canonical(a) === canonical(b));
  }

  isOpen(path: string): boolean {
    return this.#open.has(path);
  }

  paths(): string[] {
    return [...this.#open.keys()];
  }

  /** Text that the session works with was handed over; returns false where it had been told the same text before. */
  hand(path: string, text: string): boolean {
    const known = this.#open.get(path);
    if (!known) return true;
    known.handed = this.#clock;
    const news = known.told !== text;
    known.told = text;
    return news;
  }

  /** A text is in the file of an open document now; returns false where that was known. */
  wrote(path: string, text: string): boolean {
    const known = this.#open.get(path);
    if (!known || known.written === text) return false;
    known.written = text;
    return true;
  }

  /** How far each document's edits have been handed over by now. */
  moment(): Moment {
    return new Map([...this.#open].map(([path, known]) => [path, known.handed]));
  }

  /** Text of the buffer, else of the file; undefined where neither is. */
  text(path: string): string | undefined {
    return this.#open.get(path)?.text ?? fileText(path);
  }

  /** Lines of a file that is not open, kept while the file is the same: listings ask for thousands of them. */
  #linesOnDisk(path: string): readonly string[] {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (!stat) return [];
    const key = `${stat.mtimeMs} ${stat.size}`;
    const known = this.#onDisk.get(path);
    if (known?.key === key) return known.lines;
    const lines = fileText(path)?.split('\n') ?? [];
    if (this.#onDisk.size >= MAX_ON_DISK) this.#onDisk.clear();
    this.#onDisk.set(path, { key, lines });
    return lines;
  }

  /** A line's text, from 0. */
  line(path: string, line: number): string {
    const known = this.#open.get(path);
    return (known?.lines ?? this.#linesOnDisk(path))[line]?.replace(/\r$/, '') ?? '';
  }

  /** Where a line (from 0) of the build of `then` stands now. A line that has been replaced stands where its place is. */
  lineNow(path: string, line: number, then: Moment | undefined): number {
    let now = line;
    const since = then?.get(path) ?? 0;
    for (const edit of this.#open.get(path)?.edits ?? []) {
      if (edit.at <= since || now < edit.start) continue;
      now =
        now >= edit.start + edit.removed
          ? now + edit.added - edit.removed
          : Math.min(now, edit.start + Math.max(0, edit.added - 1));
    }
    return now;
  }

  /** The line of the build of `then` that stands at `line` now: the way back. */
  lineThen(path: string, line: number, then: Moment | undefined): number {
    let before = line;
    const since = then?.get(path) ?? 0;
    const edits = this.#open.get(path)?.edits ?? [];
    for (let index = edits.length - 1; index >= 0; index--) {
      const edit = edits[index]!;
      if (edit.at <= since || before < edit.start) continue;
      before = before >= edit.start + edit.added ? before - edit.added + edit.removed : edit.start;
    }
    return before;
  }
}

/** Text of a file; undefined where it cannot be read. */
export function fileText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
