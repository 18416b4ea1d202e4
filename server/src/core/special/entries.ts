import { X86_64 } from '../asm/machine.ts';
import { type Body, isCode, lastAtOrBefore, type Places, placesOf } from '../asm/places.ts';
import { relocationMeaning } from '../asm/relocation.ts';
import { relocationsIn } from '../asm/targets.ts';
import type { ElfFile, Relocation, Section } from '../elf/types.ts';
import { type SpecialKind, specialKind } from './kinds.ts';
import { entrySize } from './sizes.ts';

/** One entry of a special section. */
export interface SpecialEntry {
  readonly table: SpecialTable;
  /** Bytes from the start of the section, and bytes. */
  readonly start: number;
  readonly size: number;
  /** The place in the code that it is about. */
  readonly about: { readonly section: number; readonly offset: number };
  /** The function that it belongs to: the one around the place; of code out of line the one that this serves. */
  readonly owner: Body | undefined;
  /** The relocations of the entry's own bytes. */
  readonly relocations: readonly Relocation[];
}

/** A special section, split into its entries. */
export interface SpecialTable {
  readonly section: Section;
  readonly kind: SpecialKind;
  /** Bytes of an entry. The last one may be shorter where only its beginning is aligned (.parainstructions). */
  readonly entrySize: number;
  readonly entries: readonly SpecialEntry[];
}

/** A section that could not be split. */
export interface SpecialProblem {
  readonly section: Section;
  readonly why: string;
}

/** The special sections of an object. */
export interface SpecialTables {
  readonly tables: readonly SpecialTable[];
  /** Entries by the function that they are about, each in the order of the places in the code. */
  readonly byOwner: ReadonlyMap<Body, readonly SpecialEntry[]>;
  readonly problems: readonly SpecialProblem[];
}

const cache = new WeakMap<ElfFile, SpecialTables>();
const ALLOC = 2;

/** Splits the special sections of an object into entries; kept with the file. Linear in the size of the tables; never throws. */
export function specialTables(elf: ElfFile, structSize?: (tag: string) => number | undefined): SpecialTables {
  let made = cache.get(elf);
  if (!made) {
    made = build(elf, structSize);
    cache.set(elf, made);
  }
  return made;
}

/** An entry whose owner is not known yet. */
type Draft = { -readonly [K in keyof SpecialEntry]: SpecialEntry[K] };

function build(elf: ElfFile, structSize?: (tag: string) => number | undefined): SpecialTables {
  const tables: SpecialTable[] = [];
  const problems: SpecialProblem[] = [];
  const places = placesOf(elf);
  const drafts: Draft[] = [];
  for (const section of elf.sections) {
    const kind = specialKind(section.name);
    if (!kind || kind.sizes.length === 0 || section.size === 0 || (section.flags & ALLOC) === 0) continue;
    const relocations = elf.relocationsOf(section.index);
    const size = entrySize(elf, section, kind, relocations, structSize);
    if (size === undefined) {
      problems.push({ section, why: `its ${section.size} bytes are no whole number of entries` });
      continue;
    }
    const entries: Draft[] = [];
    const table: SpecialTable = { section, kind, entrySize: size, entries };
    const bad = split(elf, table, relocations, entries);
    if (bad !== undefined) problems.push({ section, why: bad });
    else {
      tables.push(table);
      drafts.push(...entries);
    }
  }
  const outOfLine = new Map<string, Body>();
  // First what lies in functions, which tells whom the code out of line serves; then what lies there.
  for (const entry of drafts) {
    entry.owner = bodyAt(places, entry.about.section, entry.about.offset);
    if (entry.owner) noteParts(elf, entry, outOfLine);
  }
  for (const entry of drafts) entry.owner ??= partOwner(elf, entry, outOfLine);
  const byOwner = new Map<Body, SpecialEntry[]>();
  for (const entry of drafts) {
    if (!entry.owner) continue;
    const list = byOwner.get(entry.owner);
    if (list) list.push(entry);
    else byOwner.set(entry.owner, [entry]);
  }
  for (const list of byOwner.values()) list.sort(inOrder);
  return { tables, byOwner, problems };
}

function split(
  elf: ElfFile,
  table: SpecialTable,
  relocations: readonly Relocation[],
  entries: Draft[],
): string | undefined {
  const { section, entrySize: size } = table;
  // What is in the file, not what the header says: that may be any number.
  const length = Math.min(section.size, section.data.length);
  for (let start = 0; start < length; start += size) {
    const end = Math.min(start + size, length);
    const own = relocationsIn(relocations, start, end);
    const first = own[0];
    // Padding at the end, and entries that a tool has taken out, name nothing.
    if (!first) continue;
    const symbol = elf.symbols[first.symbol];
    if (first.offset !== start || typeof symbol?.place !== 'number')
      return `the entry at byte ${start} names no place in the code`;
    const offset = symbol.offset + distanceIn(table.kind, first.addend).distance;
    entries.push({
      table,
      start,
      size: end - start,
      about: { section: symbol.place, offset },
      owner: undefined,
      relocations: own,
    });
  }
  return undefined;
}

/**
 * Xen keeps the line of a bug frame in the upper eight bits of its distances (asm/bug.h): only the lower 24 are a distance, the rest is
 * added on top.
 */
export function distanceIn(kind: SpecialKind, addend: number): { distance: number; high: number } {
  if (kind.kind !== 'bug' || !kind.systems.includes('xen')) return { distance: addend, high: 0 };
  const distance = (addend << 8) >> 8;
  return { distance, high: addend - distance };
}

/** The function whose code covers a place. */
export function bodyAt(places: Places, section: number, offset: number): Body | undefined {
  const bodies = places.bodiesIn(section);
  let low = 0;
  let high = bodies.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (bodies[middle]!.start <= offset) low = middle + 1;
    else high = middle;
  }
  const body = bodies[low - 1];
  // Inline assembly can put its code behind the end of the function, in its section.
  return body && (offset < body.start + body.size || bodies.length === 1) ? body : undefined;
}

/** Remembers which function the code out of line that an entry names belongs to. */
function noteParts(elf: ElfFile, entry: Draft, outOfLine: Map<string, Body>): void {
  for (const { symbol, addend } of entry.relocations.slice(1)) {
    const target = elf.symbols[symbol];
    if (typeof target?.place !== 'number') continue;
    if (specialKind(elf.sections[target.place]?.name ?? '')?.kind !== 'parts') continue;
    outOfLine.set(`${target.place}:${target.offset + addend}`, entry.owner!);
  }
}

/** For a place in code out of line: the function that jumps there, or is jumped back to from the piece. */
function partOwner(elf: ElfFile, entry: Draft, outOfLine: ReadonlyMap<string, Body>): Body | undefined {
  const { section, offset } = entry.about;
  if (specialKind(elf.sections[section]?.name ?? '')?.kind !== 'parts') return undefined;
  // Replacements are short; the nearest start before the place is the piece's.
  for (let at = offset; at >= 0 && at > offset - 256; at--) {
    const owner = outOfLine.get(`${section}:${at}`);
    if (owner) return owner;
  }
  return undefined;
}

function inOrder(a: SpecialEntry, b: SpecialEntry): number {
  const left = a.table.section.name;
  const right = b.table.section.name;
  return (
    (left < right ? -1 : left > right ? 1 : 0) ||
    a.about.section - b.about.section ||
    a.about.offset - b.about.offset ||
    a.start - b.start
  );
}

/** Sorted offsets of a section of code out of line that anything refers to, and its end: where its pieces begin and end. */
export function pieceStarts(elf: ElfFile, section: Section): readonly number[] {
  let bySection = starts.get(elf);
  if (!bySection) {
    bySection = new Map();
    starts.set(elf, bySection);
  }
  let list = bySection.get(section.index);
  if (!list) {
    const end = Math.min(section.size, section.data.length);
    const found = new Set<number>([end]);
    for (const from of elf.sections) {
      if (from.index === section.index || (from.flags & ALLOC) === 0) continue;
      const bias = elf.machine === X86_64 && isCode(from) ? 4 : 0;
      for (const relocation of elf.relocationsOf(from.index)) {
        const symbol = elf.symbols[relocation.symbol];
        // A jump counts from its end.
        const relative = bias > 0 && relocationMeaning(elf.machine, relocation.type).pcRelative;
        const at = (symbol?.offset ?? 0) + relocation.addend + (relative ? bias : 0);
        if (symbol?.place === section.index && at >= 0 && at < end) found.add(at);
      }
    }
    list = [...found].sort((a, b) => a - b);
    bySection.set(section.index, list);
  }
  return list;
}

const starts = new WeakMap<ElfFile, Map<number, readonly number[]>>();

/** End of the piece of code out of line that begins at `offset`. */
export function pieceEnd(elf: ElfFile, section: Section, offset: number): number {
  const list = pieceStarts(elf, section);
  return list[lastAtOrBefore(list, offset) + 1] ?? Math.min(section.size, section.data.length);
}
