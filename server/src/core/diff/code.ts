import { literalSize } from '../asm/a64.ts';
import { equalBytes } from '../asm/bytes.ts';
import { AARCH64, scannerFor } from '../asm/machine.ts';
import { type Body, isCode, isNamelessConstant, SHF } from '../asm/places.ts';
import { relocationMeaning } from '../asm/relocation.ts';
import { KIND, type Scan, type Scanner } from '../asm/scan.ts';
import type { BodyScan } from '../asm/scans.ts';
import { firstAt, placeTarget, relocationTarget, type Target } from '../asm/targets.ts';
import type { ElfSymbol, Relocation } from '../elf/types.ts';
import { exactBias } from './bias.ts';
import { sameBytes } from './contents.ts';
import type { Meaning, Side } from './meaning.ts';
import type { Pairing } from './pair.ts';

/** Decides whether two pieces of code do the same. */
export interface CodeComparer {
  same(base: Body, next: Body): boolean;
  /**
   * Where the code differs in immediates only: those, in the order of the code. Everything else - other operands, relocations, targets,
   * tables - is the same by meaning. Undefined where there is another difference.
   */
  immediateSites(base: Body, next: Body): Site[] | undefined;
}

/** An instruction that differs in its immediate. Indices count the instructions of each side's scan. */
export interface Site {
  readonly baseIndex: number;
  readonly nextIndex: number;
  readonly base: number;
  readonly next: number;
}

/**
 * Compares code in two steps. First the bytes: where they are equal, only the relocations are looked at, and of these most need
 * no more than two numbers. Where the bytes differ, instruction by instruction with PC-relative fields taken by what they point
 * to, jumps by the instruction that they lead to, and padding left out. No text is made in either.
 */
export function createCodeComparer(base: Side, next: Side, pairing: Pairing, meaning: Meaning): CodeComparer {
  return new Comparer(base, next, pairing, meaning);
}

class Comparer implements CodeComparer {
  readonly #base: Side;
  readonly #next: Side;
  readonly #pairing: Pairing;
  readonly #meaning: Meaning;
  readonly #machine: number;
  readonly #scanner: Scanner | undefined;
  /** 1 = named and paired: equal addends are enough; 2 = needs a look. By base symbol index. */
  readonly #plain: Uint8Array;
  /** By base symbol index: 0 = not looked at, -1 = needs a look, else the partner's index plus 1. See `#isWhole`. */
  readonly #whole: Int32Array;

  constructor(base: Side, next: Side, pairing: Pairing, meaning: Meaning) {
    this.#base = base;
    this.#next = next;
    this.#pairing = pairing;
    this.#meaning = meaning;
    this.#machine = base.elf.machine;
    this.#scanner = base.elf.machine === next.elf.machine ? scannerFor(base.elf.machine) : undefined;
    this.#plain = new Uint8Array(base.elf.symbols.length);
    this.#whole = new Int32Array(base.elf.symbols.length);
  }

  same(base: Body, next: Body): boolean {
    const left = this.#base.elf.relocationsOf(base.section);
    const right = this.#next.elf.relocationsOf(next.section);
    if (base.size === next.size && this.#equalBytes(base, next)) {
      if (this.#equalRelocations(base, next, left, right)) {
        if ((isWhole(this.#base, base) && isWhole(this.#next, next)) || !this.#scanner) return true;
        // Calls within a section have no relocation: equal distances may lead to different functions, or to constants beside the code.
      }
    }
    if (!this.#scanner) return false;
    return this.#sameInstructions(base, next, left, right, undefined);
  }

  immediateSites(base: Body, next: Body): Site[] | undefined {
    if (!this.#scanner) return undefined;
    const left = this.#base.elf.relocationsOf(base.section);
    const right = this.#next.elf.relocationsOf(next.section);
    const sites: Site[] = [];
    return this.#sameInstructions(base, next, left, right, sites) ? sites : undefined;
  }

  #equalBytes(base: Body, next: Body): boolean {
    const a = this.#base.elf.sections[base.section]!.data;
    const b = this.#next.elf.sections[next.section]!.data;
    return equalBytes(a, base.start, b, next.start, base.size);
  }

  /** Relocations of code with equal bytes. */
  #equalRelocations(base: Body, next: Body, left: readonly Relocation[], right: readonly Relocation[]): boolean {
    let i = firstAt(left, base.start);
    let j = firstAt(right, next.start);
    const endLeft = base.start + base.size;
    const endRight = next.start + next.size;
    const shift = next.start - base.start;
    for (; ; i++, j++) {
      const b = left[i];
      const n = right[j];
      const baseDone = !b || b.offset >= endLeft;
      const nextDone = !n || n.offset >= endRight;
      if (baseDone || nextDone) return baseDone && nextDone;
      if (b.offset + shift !== n.offset) return false;
      if (b.type !== n.type && this.#family(b.type) !== this.#family(n.type)) return false;
      if (b.addend === n.addend && (this.#isPlain(b.symbol, n.symbol) || this.#isWhole(b.symbol, n.symbol))) continue;
      const bias = this.#bias(this.#base, base.section, b);
      if (!this.#sameTargets(b, bias, n, bias)) return false;
    }
  }

  #family(type: number): number {
    return relocationMeaning(this.#machine, type).family;
  }

  /** Both name the same thing by a symbol that stands for itself. */
  #isPlain(base: number, next: number): boolean {
    if (this.#pairing.forward.get(base) !== next) return false;
    let state = this.#plain[base];
    if (state === 0) {
      const symbol = this.#base.elf.symbols[base]!;
      const plain =
        symbol.type !== 'section' && symbol.place !== 'abs' && this.#next.elf.symbols[next]!.place !== 'abs';
      state = plain && !isNamelessConstant(this.#base.elf, symbol) ? 1 : 2;
      this.#plain[base] = state;
    }
    return state === 1;
  }

  /**
   * Both are symbols of sections that hold one named thing each, the two of a pair and of one size: equal distances lead to the same
   * place, whatever the bias. With a section for each function and variable, nearly all references are of this kind.
   */
  #isWhole(base: number, next: number): boolean {
    const known = this.#whole[base]!;
    if (known !== 0) return known === next + 1;
    const found = this.#sectionPartner(base);
    this.#whole[base] = found < 0 ? -1 : found + 1;
    return found === next;
  }

  /** The section symbol of the next object that `#isWhole` may take for this one; -1 for none. */
  #sectionPartner(base: number): number {
    const symbol = this.#base.elf.symbols[base]!;
    const partner = this.#pairing.forward.get(base);
    const other = partner === undefined ? undefined : this.#next.elf.symbols[partner];
    if (symbol.type !== 'section' || other?.type !== 'section') return -1;
    const from = soleThing(this.#base, symbol.place);
    const to = soleThing(this.#next, other.place);
    if (!from || !to || this.#pairing.forward.get(from.index) !== to.index || from.size !== to.size) return -1;
    return partner!;
  }

  #bias(side: Side, section: number, relocation: Relocation): number {
    if (this.#machine !== 62 || !relocationMeaning(62, relocation.type).pcRelative) return 0;
    return exactBias(side.elf, side.elf.sections[section]!, relocation.offset);
  }

  #sameTargets(b: Relocation, baseBias: number, n: Relocation, nextBias: number): boolean {
    return this.#meaning.sameTarget(
      relocationTarget(this.#base.places, b, baseBias),
      relocationTarget(this.#next.places, n, nextBias),
    );
  }

  #sameInstructions(
    base: Body,
    next: Body,
    left: readonly Relocation[],
    right: readonly Relocation[],
    sites: Site[] | undefined,
  ): boolean {
    const a = this.#base.scanOf(base)!;
    const b = this.#next.scanOf(next)!;
    if (a.count !== b.count) return false;
    const walk: Walk = {
      base,
      next,
      a,
      b,
      left,
      right,
      i: 0,
      j: 0,
      p: firstAt(left, base.start),
      q: firstAt(right, next.start),
    };
    for (let done = 0; done < a.count; done++) {
      while (a.padding[walk.i]) walk.i++;
      while (b.padding[walk.j]) walk.j++;
      if (!this.#sameInstruction(walk, sites)) return false;
      walk.i++;
      walk.j++;
    }
    return true;
  }

  #sameInstruction(walk: Walk, sites: Site[] | undefined): boolean {
    const { a, b, i, j } = walk;
    if (!this.#scanner!.sameShape(a.scan, i, b.scan, j)) {
      const numbers = sites && this.#scanner!.immediates(a.scan, i, b.scan, j);
      if (!numbers) return false;
      sites.push({ baseIndex: i, nextIndex: j, ...numbers });
    }
    const baseStart = walk.base.start + a.scan.start[i]!;
    const nextStart = walk.next.start + b.scan.start[j]!;
    const baseEnd = baseStart + a.scan.size[i]!;
    const nextEnd = nextStart + b.scan.size[j]!;
    // Relocations in the padding before are passed over; assemblers put none there.
    while (walk.p < walk.left.length && walk.left[walk.p]!.offset < baseStart) walk.p++;
    while (walk.q < walk.right.length && walk.right[walk.q]!.offset < nextStart) walk.q++;
    for (let count = 0; ; count++) {
      const from = walk.left[walk.p];
      const to = walk.right[walk.q];
      const hasBase = from !== undefined && from.offset < baseEnd;
      const hasNext = to !== undefined && to.offset < nextEnd;
      if (hasBase && hasNext) {
        if (!this.#sameRelocation(walk, from, to, baseEnd, nextEnd)) return false;
        walk.p++;
        walk.q++;
      } else if (hasBase || hasNext) {
        // One side calls through a relocation, the other directly: the callee became global or static.
        if (count > 0) return false;
        const target = hasBase ? this.#relocated(this.#base, from, baseEnd) : this.#relocated(this.#next, to!, nextEnd);
        const direct = hasBase
          ? this.#direct(this.#next, walk.next, b.scan, j)
          : this.#direct(this.#base, walk.base, a.scan, i);
        if (!target || !direct) return false;
        if (hasBase) walk.p++;
        else walk.q++;
        return hasBase ? this.#meaning.sameTarget(target, direct) : this.#meaning.sameTarget(direct, target);
      } else {
        return count > 0 || a.scan.relSize[i] === 0 || this.#sameDirect(walk);
      }
    }
  }

  #sameRelocation(walk: Walk, from: Relocation, to: Relocation, baseEnd: number, nextEnd: number): boolean {
    if (this.#family(from.type) !== this.#family(to.type)) return false;
    if (baseEnd - from.offset !== nextEnd - to.offset) {
      // Only the short and near form of one jump may differ in where the field stands, and the field ends both.
      const kind = walk.a.scan.kind[walk.i]!;
      if (kind !== KIND.jump && kind !== KIND.branch) return false;
    }
    const pc = this.#machine === 62 && relocationMeaning(62, from.type).pcRelative;
    return this.#sameTargets(from, pc ? baseEnd - from.offset : 0, to, pc ? nextEnd - to.offset : 0);
  }

  #relocated(side: Side, relocation: Relocation, end: number): Target | undefined {
    const meaning = relocationMeaning(this.#machine, relocation.type);
    if (!meaning.pcRelative || meaning.mark !== '') return undefined;
    return relocationTarget(side.places, relocation, this.#machine === 62 ? end - relocation.offset : 0);
  }

  /** Target of a PC-relative field that the assembler filled in. */
  #direct(side: Side, body: Body, scan: Scan, index: number): Target | undefined {
    if (scan.relSize[index] === 0) return undefined;
    return placeTarget(side.places, body.section, body.start + scan.target[index]!);
  }

  /** PC-relative fields without relocation on both sides: within the function by instruction, outside by what is there. */
  #sameDirect(walk: Walk): boolean {
    const { a, b, i, j, base, next } = walk;
    const from = a.scan.target[i]!;
    const to = b.scan.target[j]!;
    const baseInside = from >= 0 && from < base.size;
    const nextInside = to >= 0 && to < next.size;
    if (baseInside !== nextInside) return false;
    if (baseInside) {
      const ordinal = a.ordinalAt(from);
      return ordinal >= 0 ? ordinal === b.ordinalAt(to) : from === to;
    }
    const literal = this.#machine === AARCH64 ? literalSize(a.scan.bytes, a.scan.start[i]!) : 0;
    if (literal > 0) return this.#sameLiteral(base.section, base.start + from, next.section, next.start + to, literal);
    return this.#meaning.sameTarget(
      placeTarget(this.#base.places, base.section, base.start + from),
      placeTarget(this.#next.places, next.section, next.start + to),
    );
  }

  /** What two instructions load from the constants among the code: an address or a number, wherever in the pool it is. */
  #sameLiteral(baseSection: number, baseAt: number, nextSection: number, nextAt: number, size: number): boolean {
    const from = this.#base.elf.sections[baseSection]!;
    const to = this.#next.elf.sections[nextSection]!;
    return (
      sameBytes(from, baseAt, to, nextAt, size) &&
      this.#meaning.sameRelocations(baseSection, baseAt, nextSection, nextAt, size)
    );
  }
}

/** The one named thing that a section consists of; undefined where there are several, or where contents decide instead of names. */
function soleThing(side: Side, place: ElfSymbol['place']): ElfSymbol | undefined {
  const section = typeof place === 'number' ? side.elf.sections[place] : undefined;
  if (!section || section.flags & SHF.merge) return undefined;
  const first = side.places.locate(section.index, 0)?.symbol;
  if (first?.offset !== 0 || first.size !== section.size || isNamelessConstant(side.elf, first)) return undefined;
  // Labels inside of it, and other names of it, are things of their own.
  if (side.places.extent(section.index, 0) !== section.size) return undefined;
  return !isCode(section) || side.places.bodiesIn(section.index)[0]?.symbols.length === 1 ? first : undefined;
}

/** The section holds nothing but this body. */
const isWhole = ({ elf }: Side, { section, start, size }: Body): boolean =>
  start === 0 && size === elf.sections[section]!.size;

/** State of the comparison of two bodies. */
interface Walk {
  readonly base: Body;
  readonly next: Body;
  readonly a: BodyScan;
  readonly b: BodyScan;
  readonly left: readonly Relocation[];
  readonly right: readonly Relocation[];
  /** Instruction on each side. */
  i: number;
  j: number;
  /** Next relocation on each side. */
  p: number;
  q: number;
}
