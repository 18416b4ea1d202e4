import { equalBytes } from '../asm/bytes.ts';
import {
  type Body,
  isCode,
  isConstants,
  isNamelessConstant,
  isNobits,
  isStrings,
  lastAtOrBefore,
  mergeableSize,
  type Places,
  SHF,
} from '../asm/places.ts';
import { relocationMeaning } from '../asm/relocation.ts';
import type { BodyScan } from '../asm/scans.ts';
import { relocationsIn, relocationTarget, type Target } from '../asm/targets.ts';
import type { ElfFile, Section } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import type { Pairing } from './pair.ts';

/** One object of the pair with what is known about its places. */
export interface Side {
  readonly object: ObjectModel;
  readonly elf: ElfFile;
  readonly places: Places;
  /** Instructions of a body, with the padding marked; kept. Undefined where the machine has no scanner. */
  scanOf(body: Body): BodyScan | undefined;
}

/** Decides whether references of the two objects mean the same. */
export interface Meaning {
  /** The two targets are the same thing, at the same place in it. */
  sameTarget(base: Target, next: Target): boolean;
  /** The same relocations in data or constants that start at these section offsets. Entries of tables of relative offsets count from the start. */
  sameRelocations(
    baseSection: number,
    baseStart: number,
    nextSection: number,
    nextStart: number,
    size: number,
  ): boolean;
  /** First byte offset at which relocations differ; -1 where they are the same. */
  firstRelocationDifference(
    baseSection: number,
    baseStart: number,
    nextSection: number,
    nextStart: number,
    size: number,
  ): number;
}

/** Builds the comparison for a pair of sides. */
export function createMeaning(base: Side, next: Side, pairing: Pairing): Meaning {
  return new Comparison(base, next, pairing);
}

class Comparison implements Meaning {
  readonly #base: Side;
  readonly #next: Side;
  readonly #pairing: Pairing;
  /** Results for nameless constants, by the four numbers that name the two places. */
  readonly #contents = new Map<string, boolean>();
  readonly #starts = new Map<ElfFile, Map<number, number[]>>();

  constructor(base: Side, next: Side, pairing: Pairing) {
    this.#base = base;
    this.#next = next;
    this.#pairing = pairing;
  }

  sameTarget(base: Target, next: Target): boolean {
    return this.#same(base, next) || this.#sameBefore(base, next);
  }

  /**
   * Compilers also point before an array (`table[i - 1]`). Found by section offset, that is a place in what precedes, which may be anything.
   * Where on one side there is only padding, so that nothing else can be meant, and on the other a named thing, the distance to what follows
   * decides. Nameless constants are no padding: two of them were compared by their contents.
   */
  #sameBefore(base: Target, next: Target): boolean {
    if (base.named || next.named || isCode(this.#base.elf.sections[base.section])) return false;
    const from = following(this.#base, base);
    const to = from && following(this.#next, next);
    if (!from || !to || from.distance !== to.distance || from.padding === to.padding) return false;
    return this.#pairing.forward.get(from.symbol) === to.symbol;
  }

  #same(base: Target, next: Target): boolean {
    const baseNameless = isContent(this.#base, base);
    const nextNameless = isContent(this.#next, next);
    if (baseNameless || nextNameless) return baseNameless && nextNameless && this.#sameContents(base, next);
    const from = base.symbol;
    const to = next.symbol;
    if (!from || !to) {
      if (from || to) return false;
      if (base.section >= 0 || next.section >= 0) return this.#sameBarePlace(base, next);
      return base.delta === next.delta;
    }
    if (this.#pairing.forward.get(from.index) !== to.index) return this.#sameByPlace(base, next);
    if (base.delta !== next.delta) return this.#sameInCode(base, next);
    return base.named || next.named || this.#sameNeighbour(base, next);
  }

  /** A place in a section in which nothing has a name. */
  #sameBarePlace(base: Target, next: Target): boolean {
    const from = this.#base.elf.sections[base.section];
    const to = this.#next.elf.sections[next.section];
    return from !== undefined && to !== undefined && from.name === to.name && base.offset === next.offset;
  }

  /**
   * Symbols that are not paired with each other but may be other names of what is: one side names an alias, the other the
   * place. Only for local names: a global one can be replaced by another definition when the program is linked.
   */
  #sameByPlace(base: Target, next: Target): boolean {
    if (base.section < 0 || next.section < 0 || !base.symbol || !next.symbol) return false;
    if ((base.named && base.symbol.bind === 'weak') || (next.named && next.symbol.bind === 'weak')) return false;
    const from = this.#base.places.locate(base.section, base.offset);
    const to = this.#next.places.locate(next.section, next.offset);
    if (!from || !to || from.delta !== to.delta) return false;
    if (from.symbol === base.symbol && to.symbol === next.symbol) return false;
    return this.#pairing.forward.get(from.symbol.index) === to.symbol.index;
  }

  /** Places inside of functions correspond by instruction, since padding and jump lengths shift the bytes. */
  #sameInCode(base: Target, next: Target): boolean {
    if (!isCode(this.#base.elf.sections[base.section]) || !isCode(this.#next.elf.sections[next.section])) return false;
    const from = ordinalOf(this.#base, base);
    return from >= 0 && from === ordinalOf(this.#next, next);
  }

  /**
   * A place found by section offset that is the start of one thing and the end of another can mean either. It only counts as
   * the same where the thing before it did not change its size.
   */
  #sameNeighbour(base: Target, next: Target): boolean {
    if (base.delta !== 0 || isCode(this.#base.elf.sections[base.section])) return true;
    const before = this.#base.places.endingAt(base.section, base.offset);
    const after = this.#next.places.endingAt(next.section, next.offset);
    if (!before && !after) return true;
    if (before) {
      const partner = this.#pairing.forward.get(before.index);
      if (partner !== undefined && this.#next.elf.symbols[partner]!.size !== before.size) return false;
    }
    if (after) {
      const partner = this.#pairing.backward.get(after.index);
      if (partner !== undefined && this.#base.elf.symbols[partner]!.size !== after.size) return false;
    }
    return true;
  }

  #sameContents(base: Target, next: Target): boolean {
    const from = this.#base.elf.sections[base.section]!;
    const to = this.#next.elf.sections[next.section]!;
    // Compilers also point before a constant (an induction variable that starts at -1): then the constant itself is compared.
    if (isStrings(from) && isStrings(to)) {
      if (beside(from, base) || beside(to, next)) {
        return base.delta === next.delta && sameText(from, base.offset - base.delta, to, next.offset - next.delta);
      }
      return sameText(from, base.offset, to, next.offset);
    }
    if (isConstants(from) && isConstants(to)) {
      if (beside(from, base) || beside(to, next)) {
        return base.delta === next.delta && sameConstant(from, base.offset - base.delta, to, next.offset - next.delta);
      }
      return sameConstant(from, base.offset, to, next.offset);
    }
    const b = this.#extentOf(this.#base, base);
    const n = this.#extentOf(this.#next, next);
    if (base.offset - b.start !== next.offset - n.start) return false;
    const size = Math.min(b.end - b.start, n.end - n.start);
    // Where only the next constant tells the end, the room up to its alignment is no part of this one.
    if (!isPadding(from, b.start + size, b.end) || !isPadding(to, n.start + size, n.end)) return false;
    const key = `${base.section}:${b.start}:${next.section}:${n.start}:${size}`;
    const known = this.#contents.get(key);
    if (known !== undefined) return known;
    // Tables may lead back to themselves: assumed equal until shown otherwise.
    this.#contents.set(key, true);
    const same =
      sameBytes(from, b.start, to, n.start, size) &&
      this.sameRelocations(base.section, b.start, next.section, n.start, size);
    this.#contents.set(key, same);
    return same;
  }

  sameRelocations(
    baseSection: number,
    baseStart: number,
    nextSection: number,
    nextStart: number,
    size: number,
  ): boolean {
    return this.firstRelocationDifference(baseSection, baseStart, nextSection, nextStart, size) < 0;
  }

  firstRelocationDifference(
    baseSection: number,
    baseStart: number,
    nextSection: number,
    nextStart: number,
    size: number,
  ): number {
    const left = relocationsIn(this.#base.elf.relocationsOf(baseSection), baseStart, baseStart + size);
    const right = relocationsIn(this.#next.elf.relocationsOf(nextSection), nextStart, nextStart + size);
    const machine = this.#base.elf.machine;
    for (let i = 0; i < Math.max(left.length, right.length); i++) {
      const b = left[i];
      const n = right[i];
      const at = Math.min(b ? b.offset - baseStart : size, n ? n.offset - nextStart : size);
      if (!b || !n || b.offset - baseStart !== n.offset - nextStart) return at;
      const meaning = relocationMeaning(machine, b.type);
      if (meaning.family !== relocationMeaning(machine, n.type).family) return at;
      // An entry `label - table` has the entry's own position in its addend.
      const bias = meaning.pcRelative ? -at : 0;
      const from = relocationTarget(this.#base.places, b, bias);
      const to = relocationTarget(this.#next.places, n, bias);
      if (!this.sameTarget(from, to)) return at;
    }
    return -1;
  }

  /** Start and end of the nameless constant that a target lies in. */
  #extentOf(side: Side, target: Target): { start: number; end: number } {
    const section = side.elf.sections[target.section]!;
    if (isConstants(section)) {
      const start = target.offset - (target.offset % section.entrySize);
      return { start, end: start + section.entrySize };
    }
    const start = target.symbol ? target.offset - target.delta : target.offset;
    if (target.symbol && target.symbol.size > 0) return { start, end: start + target.symbol.size };
    const end = side.places.extent(target.section, start);
    const starts = this.#namelessStarts(side, target.section);
    return { start, end: Math.min(end, starts[lastAtOrBefore(starts, start) + 1] ?? end) };
  }

  /** Offsets in a section that anything refers to through the section's symbol, in order: where nameless constants start. */
  #namelessStarts(side: Side, section: number): readonly number[] {
    let bySection = this.#starts.get(side.elf);
    if (!bySection) {
      bySection = collectStarts(side);
      this.#starts.set(side.elf, bySection);
    }
    return bySection.get(section) ?? [];
  }
}

/** Farthest that a pointer before an array is taken for one. */
const BEFORE = 64;

/** The named thing that begins next behind a target, the distance to it, and whether all up to there is padding. Undefined for places in nameless constants. */
function following(side: Side, { section, offset }: Target) {
  if (section < 0) return undefined;
  const start = side.places.extent(section, offset);
  const distance = start - offset;
  const after = side.places.locate(section, start)?.symbol;
  if (after?.offset !== start || distance > BEFORE) return undefined;
  const here = side.places.locate(section, offset);
  const within = here !== undefined && here.delta >= 0 && here.delta < here.symbol.size;
  const info = side.elf.sections[section]!;
  if (!within && (isNobits(info) || !isPadding(info, offset, start))) return undefined;
  return { symbol: after.index, distance, padding: !within };
}

/** True where [start, end) is what an assembler fills in so that something with more alignment can begin at `end`. */
function isPadding(section: Section, start: number, end: number): boolean {
  if (start === end) return true;
  let alignment = 2;
  while (alignment <= end - start) alignment *= 2;
  if (alignment > 64 || (end % alignment !== 0 && end !== section.size)) return false;
  return section.data.subarray(start, end).every((byte) => byte === 0);
}

/** A target whose name means nothing, so that its contents decide. */
function isContent(side: Side, target: Target): boolean {
  if (target.section < 0) return false;
  const section = side.elf.sections[target.section];
  if (!section || isCode(section)) return false;
  if (section.flags & SHF.merge) return true;
  if (target.symbol) return isNamelessConstant(side.elf, target.symbol);
  return !isNobits(section) && (section.flags & SHF.write) === 0;
}

/** A place given as a distance from a label of a mergeable section that lies outside of what the label stands for. */
function beside(section: Section, target: Target): boolean {
  if (!target.symbol || target.delta === 0) return false;
  return target.delta < 0 || target.delta >= mergeableSize(section, target.offset - target.delta);
}

function ordinalOf(side: Side, target: Target): number {
  const body = target.symbol ? side.places.bodyOf(target.symbol) : undefined;
  if (!body) return -1;
  return side.scanOf(body)?.ordinalAt(target.offset - body.start) ?? -1;
}

/** Per read-only section, the sorted offsets that relocations refer to. */
function collectStarts(side: Side): Map<number, number[]> {
  const { elf } = side;
  const starts = new Map<number, Set<number>>();
  const readOnly = elf.symbols.map(({ place }) => {
    const section = typeof place === 'number' ? elf.sections[place] : undefined;
    return section !== undefined && (section.flags & (SHF.alloc | SHF.exec | SHF.write | SHF.merge)) === SHF.alloc;
  });
  for (const from of elf.sections) {
    if (!(from.flags & SHF.alloc)) continue;
    const code = isCode(from);
    for (const relocation of elf.relocationsOf(from.index)) {
      if (!readOnly[relocation.symbol]) continue;
      const symbol = elf.symbols[relocation.symbol]!;
      const place = symbol.place as number;
      let offset = symbol.offset;
      if (symbol.type === 'section') {
        const relative = relocationMeaning(elf.machine, relocation.type).pcRelative;
        // Entries of tables of relative offsets count from a start that is not known here.
        if (relative && !code) continue;
        offset += relocation.addend + (relative && elf.machine === 62 ? exactBias(side, from, relocation.offset) : 0);
      }
      let set = starts.get(place);
      if (!set) {
        set = new Set();
        starts.set(place, set);
      }
      set.add(offset);
    }
  }
  return new Map([...starts].map(([section, set]) => [section, [...set].sort((a, b) => a - b)]));
}

/** Distance from a PC-relative field in code to the end of its instruction (x86-64). */
export function exactBias(side: Side, section: Section, at: number): number {
  if (plainField(section.data, at)) return 4;
  const bodies = side.places.bodiesIn(section.index);
  let low = 0;
  let high = bodies.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (bodies[middle]!.start <= at) low = middle + 1;
    else high = middle;
  }
  const body = bodies[low - 1];
  const scanned = body && at < body.start + body.size ? side.scanOf(body) : undefined;
  if (!body || !scanned) return 4;
  const { scan } = scanned;
  const offset = at - body.start;
  let from = 0;
  let to = scan.count - 1;
  while (from < to) {
    const middle = (from + to + 1) >> 1;
    if (scan.start[middle]! <= offset) from = middle;
    else to = middle - 1;
  }
  return scan.start[from]! + scan.size[from]! - offset;
}

/**
 * True where the bytes before a 32-bit PC-relative field prove that it ends its instruction: 64-bit `lea` and
 * `mov`, `call` and `jmp`. These are most; the rest needs a scan.
 */
export function plainField(code: Uint8Array, at: number): boolean {
  const last = code[at - 1]!;
  if (last === 0xe8 || last === 0xe9) {
    // As ModRM, E8 and E9 would be register forms, which have no displacement.
    return true;
  }
  if ((last & 0xc7) !== 0x05 || at < 3) return false;
  const opcode = code[at - 2]!;
  // A REX byte before the opcode; no instruction of the three-byte maps, which have immediates, uses these opcodes.
  return (code[at - 3]! & 0xf0) === 0x40 && (opcode === 0x8d || opcode === 0x8b || opcode === 0x89);
}

function sameText(from: Section, baseAt: number, to: Section, nextAt: number): boolean {
  const width = Math.max(1, from.entrySize);
  if (width !== Math.max(1, to.entrySize) || baseAt < 0 || nextAt < 0) return false;
  const a = from.data;
  const b = to.data;
  for (let i = 0; ; i += width) {
    if (baseAt + i + width > a.length || nextAt + i + width > b.length)
      return baseAt + i >= a.length === nextAt + i >= b.length;
    let zero = true;
    for (let k = 0; k < width; k++) {
      const byte = a[baseAt + i + k]!;
      if (byte !== b[nextAt + i + k]) return false;
      if (byte !== 0) zero = false;
    }
    if (zero) return true;
  }
}

function sameConstant(from: Section, baseAt: number, to: Section, nextAt: number): boolean {
  const size = from.entrySize;
  if (size !== to.entrySize || baseAt % size !== nextAt % size) return false;
  return sameBytes(from, baseAt - (baseAt % size), to, nextAt - (nextAt % size), size);
}

/** The same bytes; sections without contents count as zeros. */
export function sameBytes(from: Section, baseAt: number, to: Section, nextAt: number, size: number): boolean {
  if (!isNobits(from) && !isNobits(to) && equalBytes(from.data, baseAt, to.data, nextAt, size)) return true;
  return firstByteDifference(from, baseAt, to, nextAt, size) < 0;
}

/** Offset of the first byte that differs; -1 where none does. */
export function firstByteDifference(from: Section, baseAt: number, to: Section, nextAt: number, size: number): number {
  const a = isNobits(from) ? undefined : from.data;
  const b = isNobits(to) ? undefined : to.data;
  if (!a && !b) return -1;
  for (let i = 0; i < size; i++) if ((a?.[baseAt + i] ?? 0) !== (b?.[nextAt + i] ?? 0)) return i;
  return -1;
}
