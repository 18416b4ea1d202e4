import { EM_AARCH64 } from '../elf/constants.ts';
import type { ElfFile, ElfSymbol, Section } from '../elf/types.ts';
import { withTails } from './loose.ts';

/** Section flags (gABI "Section Attribute Flags"). */
export const SHF = { write: 1, alloc: 2, exec: 4, merge: 0x10, strings: 0x20, tls: 0x400 } as const;
const SHT_NOBITS = 8;

/** A piece of code with one or more names. */
export interface Body {
  readonly section: number;
  /** Byte offset in the section, and bytes. */
  readonly start: number;
  readonly size: number;
  /** All function symbols that start here, the one to show first. */
  readonly symbols: readonly ElfSymbol[];
  /** Bytes of `size` that lie behind the end of the symbols: code of a `.subsection`, that only this function leads to. */
  readonly tail?: number;
}

/** Symbols of one section that stand for real things, sorted by offset; of aliases only the first is kept. */
interface SectionSymbols {
  readonly starts: readonly number[];
  readonly symbols: readonly ElfSymbol[];
}

/** Where a section offset lies. */
export interface Located {
  readonly symbol: ElfSymbol;
  /** Bytes from the symbol's start. May reach beyond its end, or be negative, where nothing else is there. */
  readonly delta: number;
}

/**
 * Finds what lies at a place of an object: names for section offsets, function bodies, extents of nameless constants.
 * Built at the first use and kept with the file.
 */
export interface Places {
  readonly elf: ElfFile;
  /** Function bodies by section and offset. */
  readonly bodies: readonly Body[];
  /** The body of a function symbol. */
  bodyOf(symbol: ElfSymbol): Body | undefined;
  /** Number of function bodies in a section. */
  bodiesIn(section: number): readonly Body[];
  /** The named thing at a section offset; undefined for nameless constants and empty sections. */
  locate(section: number, offset: number): Located | undefined;
  /** The named thing that ends exactly at this offset, other than the one that `locate` gives. */
  endingAt(section: number, offset: number): ElfSymbol | undefined;
  /** Where the nameless constant at `offset` ends at the latest: next symbol or end of section. */
  extent(section: number, offset: number): number;
}

const cache = new WeakMap<ElfFile, Places>();

/** The places of an object file. */
export function placesOf(elf: ElfFile): Places {
  let places = cache.get(elf);
  if (!places) {
    places = build(elf);
    cache.set(elf, places);
  }
  return places;
}

/** A section that holds code. */
export function isCode(section: Section | undefined): boolean {
  return section !== undefined && (section.flags & SHF.exec) !== 0;
}

/** A mergeable string section (SHF_MERGE and SHF_STRINGS). */
export function isStrings(section: Section): boolean {
  return (section.flags & (SHF.merge | SHF.strings)) === (SHF.merge | SHF.strings);
}

/** A mergeable section of constants of `entrySize` bytes. */
export function isConstants(section: Section): boolean {
  return (section.flags & SHF.merge) !== 0 && (section.flags & SHF.strings) === 0 && section.entrySize > 0;
}

/** Bytes of the mergeable string (with its terminator) or constant that starts at `start`. */
export function mergeableSize(section: Section, start: number): number {
  const width = Math.max(1, section.entrySize);
  if (!isStrings(section)) return width;
  if (width === 1) {
    const end = section.data.indexOf(0, Math.max(0, start));
    return (end < 0 ? section.data.length : end + 1) - start;
  }
  for (let at = Math.max(0, start); at + width <= section.data.length; at += width) {
    if (section.data.subarray(at, at + width).every((byte) => byte === 0)) return at + width - start;
  }
  return section.data.length - start;
}

export function isNobits(section: Section): boolean {
  return section.type === SHT_NOBITS;
}

/** Constants with addresses in them: writable only for the dynamic linker. */
export function isRelro({ name }: Section): boolean {
  return /^\.data\.rel\.ro(\.|$)/.test(name);
}

/** A section that running code can write to. */
const isWritable = (section: Section): boolean => (section.flags & SHF.write) !== 0 && !isRelro(section);

/**
 * Data that the compiler made for itself under a label that only the assembler sees, with a section of its own (`-fdata-sections`): what a
 * sanitizer reports of a place in the code (`.Lubsan_data3`, clang's `.L__unnamed_3`). No symbol names it, and its number changes from run
 * to run; it may be writable, since the sanitizer marks in it what it has reported. It goes with the code that uses it, like a constant.
 */
export function isRecord({ name }: Section): boolean {
  return RECORD.test(name);
}

/** Not gcc's own record of an object with counters (`.LPBX0`, --coverage), which holds a stamp of the source's text. */
const RECORD = /^\.data(\.rel(\.ro)?(\.local)?)?\.\.L(?!PBX)/;

/**
 * Labels of constants that the compiler made, in read-only sections: their names carry no meaning and change from run to
 * run, so only their contents count. gcc: `.LC0`, `CSWTCH.1`, `__func__.2`; clang: `.L.str.3`, `.LCPI0_0`, `switch.table.f`,
 * `.L__const.f.x`, `__func__.f`, `reltable.f`.
 */
export function isNamelessConstant(elf: ElfFile, symbol: ElfSymbol): boolean {
  if (symbol.bind !== 'local' || typeof symbol.place !== 'number') return false;
  const section = elf.sections[symbol.place];
  if (!section || isCode(section) || isWritable(section)) return false;
  return NAMELESS.test(symbol.name);
}

const NAMELESS =
  /^(\.L|CSWTCH\.\d+$|__(func|FUNCTION|PRETTY_FUNCTION)__\.|__compound_literal\.|\.compoundliteral|switch\.table\.|reltable\.|__const\.|\.str(\.|$)|anon\.)/;

/** Mapping symbols of the AArch64 ABI (`$x` code, `$d` data) mark places, they name nothing. */
export function isMapping(elf: ElfFile, symbol: ElfSymbol): boolean {
  return elf.machine === EM_AARCH64 && /^\$[xd](\.|$)/.test(symbol.name);
}

const mappings = new WeakMap<ElfFile, ReadonlyMap<number, readonly ElfSymbol[]>>();

/** Mapping symbols of a section, by offset. */
function mappingsOf(elf: ElfFile, section: number): readonly ElfSymbol[] {
  let bySection = mappings.get(elf);
  if (!bySection) {
    const found = new Map<number, ElfSymbol[]>();
    for (const symbol of elf.symbols) {
      if (typeof symbol.place !== 'number' || !isMapping(elf, symbol)) continue;
      const list = found.get(symbol.place);
      if (list) list.push(symbol);
      else found.set(symbol.place, [symbol]);
    }
    for (const list of found.values()) list.sort((a, b) => a.offset - b.offset);
    bySection = found;
    mappings.set(elf, found);
  }
  return bySection.get(section) ?? [];
}

/**
 * Constants among the code of AArch64 (a literal pool): the end of those around a place, by the mapping symbols. Undefined where code is
 * there, and for other machines.
 */
export function poolEnd(elf: ElfFile, section: number, offset: number): number | undefined {
  if (elf.machine !== EM_AARCH64) return undefined;
  const list = mappingsOf(elf, section);
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle]!.offset <= offset) low = middle + 1;
    else high = middle;
  }
  if (!list[low - 1]?.name.startsWith('$d')) return undefined;
  return list[low]?.offset ?? elf.sections[section]?.size ?? 0;
}

const BIND_RANK: Readonly<Record<ElfSymbol['bind'], number>> = { global: 0, unique: 1, weak: 2, local: 3, other: 4 };

/** Order of the names of one place: the one that a person would use first. */
function preference(a: ElfSymbol, b: ElfSymbol): number {
  const typed = Number(a.type === 'notype') - Number(b.type === 'notype');
  if (typed !== 0) return typed;
  const rank = BIND_RANK[a.bind] - BIND_RANK[b.bind];
  if (rank !== 0) return rank;
  const underscores = Number(a.name.startsWith('_')) - Number(b.name.startsWith('_'));
  if (underscores !== 0) return underscores;
  return a.name < b.name ? -1 : a.name > b.name ? 1 : a.index - b.index;
}

function build(elf: ElfFile): Places {
  const bySection = new Map<number, ElfSymbol[]>();
  for (const symbol of elf.symbols) {
    if (typeof symbol.place !== 'number' || symbol.type === 'section' || symbol.type === 'file') continue;
    if (symbol.name === '' || isMapping(elf, symbol)) continue;
    const list = bySection.get(symbol.place);
    if (list) list.push(symbol);
    else bySection.set(symbol.place, [symbol]);
  }
  const sections = new Map<number, SectionSymbols>();
  const bodies: Body[] = [];
  const bodiesBySection = new Map<number, readonly Body[]>();
  const bodyBySymbol = new Map<ElfSymbol, Body>();
  for (const [index, all] of [...bySection].sort((a, b) => a[0] - b[0])) {
    all.sort((a, b) => a.offset - b.offset || preference(a, b));
    const section = elf.sections[index];
    if (!section) continue;
    if (isCode(section)) {
      const found = withTails(elf, section, findBodies(section, all));
      bodiesBySection.set(index, found);
      for (const body of found) {
        bodies.push(body);
        for (const symbol of body.symbols) bodyBySymbol.set(symbol, body);
      }
    }
    const kept: ElfSymbol[] = [];
    for (const symbol of all) if (kept.at(-1)?.offset !== symbol.offset) kept.push(symbol);
    sections.set(index, { symbols: kept, starts: kept.map((symbol) => symbol.offset) });
  }
  return new Index(elf, bodies, bodiesBySection, bodyBySymbol, sections);
}

/**
 * Function symbols of a code section grouped by place. Assembly often leaves out type and size: a nameless type counts as a
 * function where no function symbol covers it, and a missing size reaches to the next symbol.
 */
function findBodies(section: Section, symbols: readonly ElfSymbol[]): Body[] {
  const found: Body[] = [];
  let covered = 0;
  for (let i = 0; i < symbols.length; ) {
    const start = symbols[i]!.offset;
    let end = i;
    while (end < symbols.length && symbols[end]!.offset === start) end++;
    const here = symbols.slice(i, end);
    i = end;
    const functions = here.filter((symbol) => symbol.type === 'func' || symbol.type === 'ifunc');
    const names =
      functions.length > 0 ? functions : start >= covered ? here.filter((one) => !one.name.startsWith('.L')) : [];
    if (names.length === 0 || start >= section.size) continue;
    let size = Math.max(...names.map((symbol) => symbol.size));
    if (size === 0) {
      const next = symbols
        .slice(i)
        .find((symbol) => symbol.type === 'func' || symbol.type === 'ifunc' || symbol.bind !== 'local');
      size = (next?.offset ?? section.size) - start;
    }
    size = Math.min(size, section.size - start, Math.max(0, section.data.length - start));
    if (size <= 0) continue;
    found.push({ section: section.index, start, size, symbols: names });
    covered = Math.max(covered, start + size);
  }
  return found;
}

class Index implements Places {
  readonly elf: ElfFile;
  readonly bodies: readonly Body[];
  readonly #bodiesBySection: ReadonlyMap<number, readonly Body[]>;
  readonly #bodyBySymbol: ReadonlyMap<ElfSymbol, Body>;
  readonly #sections: ReadonlyMap<number, SectionSymbols>;

  constructor(
    elf: ElfFile,
    bodies: readonly Body[],
    bodiesBySection: ReadonlyMap<number, readonly Body[]>,
    bodyBySymbol: ReadonlyMap<ElfSymbol, Body>,
    sections: ReadonlyMap<number, SectionSymbols>,
  ) {
    this.elf = elf;
    this.bodies = bodies;
    this.#bodiesBySection = bodiesBySection;
    this.#bodyBySymbol = bodyBySymbol;
    this.#sections = sections;
  }

  bodyOf(symbol: ElfSymbol): Body | undefined {
    return this.#bodyBySymbol.get(symbol);
  }

  bodiesIn(section: number): readonly Body[] {
    return this.#bodiesBySection.get(section) ?? [];
  }

  locate(section: number, offset: number): Located | undefined {
    const list = this.#sections.get(section);
    if (!list || list.symbols.length === 0) return undefined;
    const at = lastAtOrBefore(list.starts, offset);
    const info = this.elf.sections[section]!;
    // With a section for each variable, places beside it are still its own; where there is more in the section, nameless constants follow.
    const sole = list.symbols[0]!;
    const soleSymbol = list.symbols.length === 1 && sole.offset === 0 && (sole.size === 0 || sole.size >= info.size);
    // Nothing nameless lies outside of the section: that is a pointer before or behind an array.
    const outside = isRelro(info) && (offset < 0 || offset >= info.size);
    if (at < 0)
      return isWritable(info) || soleSymbol || outside ? { symbol: sole, delta: offset - sole.offset } : undefined;
    // The nearest one that covers the place; else what encloses it (a label inside of a function).
    for (let i = at; i >= 0 && i > at - 8; i--) {
      const symbol = list.symbols[i]!;
      if (offset < symbol.offset + symbol.size || offset === symbol.offset)
        return { symbol, delta: offset - symbol.offset };
    }
    const nearest = list.symbols[at]!;
    // Read-only sections hold nameless constants between the named ones; everywhere else the place belongs to what precedes.
    if (isCode(info) || isWritable(info) || soleSymbol || outside)
      return { symbol: nearest, delta: offset - nearest.offset };
    return undefined;
  }

  endingAt(section: number, offset: number): ElfSymbol | undefined {
    const list = this.#sections.get(section);
    if (!list) return undefined;
    const at = lastAtOrBefore(list.starts, offset - 1);
    const symbol = list.symbols[at];
    return symbol && symbol.size > 0 && symbol.offset + symbol.size === offset ? symbol : undefined;
  }

  extent(section: number, offset: number): number {
    const list = this.#sections.get(section);
    const size = this.elf.sections[section]?.size ?? 0;
    if (!list) return size;
    return list.starts[lastAtOrBefore(list.starts, offset) + 1] ?? size;
  }
}

/** Index of the last entry ≤ `value`; -1 where there is none. */
export function lastAtOrBefore(sorted: readonly number[], value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
