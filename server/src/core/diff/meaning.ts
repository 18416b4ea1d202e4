import {
  type Body,
  isCode,
  isConstants,
  isNamelessConstant,
  isNobits,
  isRecord,
  isRelro,
  isStrings,
  lastAtOrBefore,
  mergeableSize,
  type Places,
  poolEnd,
  SHF,
} from '../asm/places.ts';
import { relocationMeaning } from '../asm/relocation.ts';
import { RELOCATED } from '../asm/scan.ts';
import type { BodyScan } from '../asm/scans.ts';
import { relocationsIn, relocationTarget, type Target } from '../asm/targets.ts';
import type { ElfFile, Section } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import { isPadding, sameBytes, sameConstant, sameText } from './contents.ts';
import type { Pairing } from './pair.ts';
import { type Piece, pieceAt, pieceSize, samePiece } from './pieces.ts';
import { sameRecord } from './records.ts';
import { collectStarts } from './starts.ts';

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
  /** Results for nameless constants and code out of line, by the numbers that name the two places. */
  readonly #contents = new Map<string, boolean>();
  readonly #starts = new Map<ElfFile, Map<number, number[]>>();
  readonly #pools = new Map<ElfFile, Map<number, readonly number[]>>();

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
    if (baseNameless && nextNameless) return this.#sameContents(base, next);
    if (baseNameless || nextNameless) return this.#sameMerged(base, next, nextNameless);
    const from = base.symbol;
    const to = next.symbol;
    if (!from || !to) {
      if (from || to) return false;
      if (base.section >= 0 || next.section >= 0) return this.#sameBarePlace(base, next);
      return base.delta === next.delta;
    }
    if (this.#pairing.forward.get(from.index) !== to.index) return this.#sameByPlace(base, next);
    // The name of a number: the linker puts that into the code.
    if (from.place === 'abs' || to.place === 'abs')
      return from.place === to.place && from.value + BigInt(base.delta) === to.value + BigInt(next.delta);
    if (base.delta !== next.delta) return this.#sameInCode(base, next);
    return base.named || next.named || this.#sameNeighbour(base, next);
  }

  /**
   * clang makes one of a constant with a name and a literal of the same bytes, or not, whatever else is in the unit: then the constant has a name
   * on one side only.
   */
  #sameMerged(base: Target, next: Target, nextNameless: boolean): boolean {
    const [named, literal] = nextNameless ? [base, next] : [next, base];
    const [side, other] = nextNameless ? [this.#base, this.#next] : [this.#next, this.#base];
    const { symbol } = named;
    const paired = nextNameless ? this.#pairing.forward : this.#pairing.backward;
    if (symbol?.bind !== 'local' || symbol.size === 0 || named.delta !== 0 || paired.has(symbol.index)) return false;
    const [from, to] = [side.elf.sections[named.section], other.elf.sections[literal.section]];
    if (!from || !to || isNobits(from) || isCode(to) || (from.flags & (SHF.write | SHF.exec)) !== 0) return false;
    const { start, end } = this.#extentOf(other, literal);
    const size = isStrings(to) ? mergeableSize(to, literal.offset) : literal.offset === start ? end - start : -1;
    if (size !== symbol.size || !sameBytes(from, named.offset, to, literal.offset, size)) return false;
    const addresses = (elf: ElfFile, { section, offset }: Target) =>
      relocationsIn(elf.relocationsOf(section), offset, offset + size).length;
    return addresses(side.elf, named) === 0 && addresses(other.elf, literal) === 0;
  }

  /** A place in a section in which nothing has a name: in code out of line, what stands there. */
  #sameBarePlace(base: Target, next: Target): boolean {
    const left = pieceAt(this.#base, base.section, base.offset);
    const right = pieceAt(this.#next, next.section, next.offset);
    if (left && right) return this.#samePieces(left, right);
    const from = this.#base.elf.sections[base.section];
    const to = this.#next.elf.sections[next.section];
    return from !== undefined && to !== undefined && from.name === to.name && base.offset === next.offset;
  }

  #samePieces(left: Piece, right: Piece): boolean {
    const size = pieceSize(this.#base, left);
    if (size !== pieceSize(this.#next, right)) return false;
    // Pieces may lead to each other in a circle: assumed equal until shown otherwise.
    return this.#once(`${left.section.index}:${left.offset}:${right.section.index}:${right.offset}:${size}`, () =>
      samePiece(this.#base, left, this.#next, right, size, (base, next) => this.sameTarget(base, next)),
    );
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
    if (isCode(from) || isCode(to)) return isCode(from) && isCode(to) && this.#samePool(base, next);
    // Compilers also point before a constant (an induction variable that starts at -1): then the constant itself is compared.
    if (isStrings(from) && isStrings(to)) {
      if (beside(from, base) || beside(to, next)) {
        return base.delta === next.delta && sameText(from, base.offset - base.delta, to, next.offset - next.delta);
      }
      return sameText(from, base.offset, to, next.offset);
    }
    if (isConstants(from) && isConstants(to)) {
      if (beside(from, base) || beside(to, next)) {
        if (base.delta !== next.delta) return false;
        return this.#sameConstant(from, base.offset - base.delta, to, next.offset - next.delta);
      }
      return this.#sameConstant(from, base.offset, to, next.offset);
    }
    const b = this.#extentOf(this.#base, base);
    const n = this.#extentOf(this.#next, next);
    if (base.offset - b.start !== next.offset - n.start) return false;
    const size = Math.min(b.end - b.start, n.end - n.start);
    if (!isRoom(this.#base, from, b.start + size, b.end) || !isRoom(this.#next, to, n.start + size, n.end))
      return false;
    const bytes =
      sameBytes(from, b.start, to, n.start, size) ||
      sameRecord(this.#base.elf, from, b.start, this.#next.elf, to, n.start, size);
    return bytes && this.#sameReferences(from, b.start, to, n.start, size);
  }

  /** What two nameless constants point to. */
  #sameReferences(from: Section, baseAt: number, to: Section, nextAt: number, size: number): boolean {
    // Tables may lead back to themselves: assumed equal until shown otherwise.
    return this.#once(`${from.index}:${baseAt}:${to.index}:${nextAt}:${size}`, () =>
      this.sameRelocations(from.index, baseAt, to.index, nextAt, size),
    );
  }

  /** The answer under a key, found once; true while it is being looked for. */
  #once(key: string, find: () => boolean): boolean {
    const known = this.#contents.get(key);
    if (known !== undefined) return known;
    this.#contents.set(key, true);
    const same = find();
    this.#contents.set(key, same);
    return same;
  }

  /** The same entry of two sections of constants, with what it points to: a constant can be an address. */
  #sameConstant(from: Section, baseAt: number, to: Section, nextAt: number): boolean {
    if (!sameConstant(from, baseAt, to, nextAt)) return false;
    const size = from.entrySize;
    return this.#sameReferences(from, baseAt - (baseAt % size), to, nextAt - (nextAt % size), size);
  }

  /** Constants among the code: up to the next ones that anything refers to. */
  #samePool(base: Target, next: Target): boolean {
    const roomOf = (side: Side, { section, offset }: Target) => {
      const starts = this.#poolStarts(side, section);
      const end = poolEnd(side.elf, section, offset) ?? offset;
      return Math.min(end, starts[lastAtOrBefore(starts, offset) + 1] ?? end) - offset;
    };
    const [before, after] = [roomOf(this.#base, base), roomOf(this.#next, next)];
    const size = Math.min(before, after);
    const [from, to] = [this.#base.elf.sections[base.section]!, this.#next.elf.sections[next.section]!];
    return (
      sameBytes(from, base.offset, to, next.offset, size) &&
      this.sameRelocations(base.section, base.offset, next.section, next.offset, size) &&
      isRoom(this.#base, from, base.offset + size, base.offset + before) &&
      isRoom(this.#next, to, next.offset + size, next.offset + after)
    );
  }

  /** Offsets in a section of AArch64 code that its code refers to, directly or through the section's symbol, in order. */
  #poolStarts(side: Side, section: number): readonly number[] {
    let bySection = this.#pools.get(side.elf);
    if (!bySection) {
      bySection = new Map();
      this.#pools.set(side.elf, bySection);
    }
    let starts = bySection.get(section);
    if (!starts) {
      const found = new Set<number>();
      for (const { symbol, addend } of side.elf.relocationsOf(section)) {
        const target = side.elf.symbols[symbol];
        if (target?.type === 'section' && target.place === section) found.add(target.offset + addend);
      }
      for (const body of side.places.bodiesIn(section)) {
        const scan = side.scanOf(body)?.scan;
        for (let i = 0; scan && i < scan.count; i++)
          if (scan.relSize[i] !== 0 && scan.target[i] !== RELOCATED) found.add(body.start + scan.target[i]!);
      }
      starts = [...found].sort((a, b) => a - b);
      bySection.set(section, starts);
    }
    return starts;
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

/** A target whose name means nothing, so that its contents decide. */
function isContent(side: Side, target: Target): boolean {
  if (target.section < 0) return false;
  const section = side.elf.sections[target.section];
  if (!section) return false;
  if (isCode(section)) return inPool(side, target);
  if (section.flags & SHF.merge) return true;
  if (target.symbol) return isNamelessConstant(side.elf, target.symbol);
  return !isNobits(section) && ((section.flags & SHF.write) === 0 || isRelro(section) || isRecord(section));
}

/** Where only the next constant tells the end, the room up to its alignment is no part of this one; addresses are, though their bytes are zero. */
const isRoom = ({ elf }: Side, section: Section, start: number, end: number): boolean =>
  isPadding(section, start, end) && relocationsIn(elf.relocationsOf(section.index), start, end).length === 0;

/** In the constants behind a function (AArch64), which its symbol does not cover. */
function inPool(side: Side, target: Target): boolean {
  if (poolEnd(side.elf, target.section, target.offset) === undefined) return false;
  const body = target.symbol && side.places.bodyOf(target.symbol);
  return !body || target.offset < body.start || target.offset >= body.start + body.size;
}

/**
 * A place given as a distance from a label of a mergeable section that lies outside of what the label stands for. Where the section's symbol
 * gives the place, it is that place which is meant, whatever labels are in front: a bug table keeps one of the first string of all.
 */
function beside(section: Section, target: Target): boolean {
  if (!target.named || !target.symbol || target.delta === 0) return false;
  return target.delta < 0 || target.delta >= mergeableSize(section, target.offset - target.delta);
}

function ordinalOf(side: Side, target: Target): number {
  const body = target.symbol ? side.places.bodyOf(target.symbol) : undefined;
  if (!body) return -1;
  return side.scanOf(body)?.ordinalAt(target.offset - body.start) ?? -1;
}
