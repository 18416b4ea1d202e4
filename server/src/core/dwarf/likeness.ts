import { equalBytes } from '../asm/bytes.ts';
import * as d from './constants.ts';
import type { DwarfData } from './data.ts';
import { EntryComparer } from './entry-compare.ts';
import { IntList } from './int-list.ts';
import { Damaged, type Reader } from './reader.ts';
import type { Scan } from './scan.ts';
import type { Subprogram } from './subprograms.ts';
import { kindOf } from './type-entries.ts';
import type { TypeKind, TypeLikeness, TypeRef } from './types.ts';
import type { Unit } from './units.ts';

/** How far a type is looked for where the lists of both sides run apart. */
const WINDOW = 48;
/** Times that the lists may run apart, for each type: beyond, the objects are not of one unit. */
const MAX_GAPS = 0.1;
/** Functions that only one side declares, at most: beyond, they are compared one by one. */
const MAX_LONE = 12;
/** Rounds in which a difference is carried to the types around: a chain of more comes from crafted input. */
const MAX_ROUNDS = 200;

/**
 * Finds the types that are the same in two objects, by walking through the entries of both side by side: most of them were written by one
 * compiler from the same headers, in the same order. No type is read. Undefined where that does not lead far.
 */
export function compareTypes(base: Scan, next: Scan): TypeLikeness | undefined {
  try {
    const likeness = new Likeness(base, next);
    if (!likeness.inPlace()) {
      if (!likeness.align()) return undefined;
      likeness.settle();
    }
    return likeness;
  } catch (error) {
    if (!(error instanceof Damaged) && !(error instanceof RangeError)) throw error;
    return undefined;
  }
}

/** A cursor that finds the unit of a key. */
class Cursor {
  readonly #data: DwarfData;
  unit!: Unit;
  reader!: Reader;
  #from = 0;
  #to = -1;

  constructor(data: DwarfData) {
    this.#data = data;
  }

  seek(key: number): void {
    if (key < this.#from || key >= this.#to) {
      const unit = this.#data.unitOf(key);
      if (!unit) throw new Damaged('The entry is in no unit.', key);
      this.unit = unit;
      this.reader = unit.reader();
      this.#from = unit.keyBase + unit.start;
      this.#to = unit.keyBase + unit.end;
    }
    this.reader.pos = key - this.unit.keyBase;
  }
}

// How alike a type of the base and its partner are.
const NOT = 0;
/** The same name: what only points to it sees no difference. */
const NAME = 1;
/** The contents, too. */
const ALL = 2;

class Likeness implements TypeLikeness {
  all = false;
  readonly #base: Scan;
  readonly #next: Scan;
  /** By type of the base; absent where all are `ALL` and each is the partner of the one of its number. */
  #partners: Int32Array | undefined;
  #alike: Uint8Array | undefined;
  readonly #left: Cursor;
  readonly #right: Cursor;
  readonly #comparer: EntryComparer;
  /** References of the types that were found alike: whose, and the keys on both sides. */
  readonly #owners = new IntList();
  readonly #from = new IntList();
  readonly #to = new IntList();
  #owner = -1;
  #paired = 0;
  /** Parts that are compared at most: a crafted file may have a thousand types that differ in their last of a thousand members. */
  #budget: number;
  #signatures: boolean | undefined;
  /** How many references were noted in front of the function that is compared. */
  #mark = 0;

  constructor(base: Scan, next: Scan) {
    this.#base = base;
    this.#next = next;
    this.#budget = 10_000 + 8 * (base.partCount + next.partCount);
    this.#left = new Cursor(base.data);
    this.#right = new Cursor(next.data);
    this.#comparer = new EntryComparer(base.data, next.data, (from, to) => {
      this.#owners.push(this.#owner);
      this.#from.push(from);
      this.#to.push(to);
    });
  }

  isSame(base: TypeRef, next: TypeRef): boolean {
    if (base < 0 || next < 0) return base < 0 && next < 0;
    if (!this.#partners || !this.#alike) return base === next;
    return this.#partners[base] === next && this.#alike[base] === ALL;
  }

  /**
   * The usual case, where code was edited but no type came or went: all types stand at the same offsets, most of them byte by byte the same. A
   * reference to the same offset then is one to the same type.
   */
  inPlace(): boolean {
    const base = this.#base;
    const next = this.#next;
    const count = base.typeCount;
    if (count !== next.typeCount || base.partCount !== next.partCount || !sameTables(base.data, next.data))
      return false;
    for (let i = 0; i < count; i++) {
      if (base.keyOf(i) !== next.keyOf(i) || base.firstPart(i) !== next.firstPart(i)) return false;
    }
    for (let part = 0; part < base.partCount; part++) {
      if (base.partKey(part) !== next.partKey(part) || base.nextPart(part) !== next.nextPart(part)) return false;
    }
    for (let i = 0; i < count; i++) {
      if (this.#sameBytes(base.keyOf(i), base.endOf(i), next.endOf(i))) continue;
      // Perhaps only its line is another.
      if (!this.#looksSame(i, i) || !this.#refersInPlace()) return false;
    }
    this.all = true;
    return true;
  }

  #sameBytes(key: number, end: number, otherEnd: number): boolean {
    if (end !== otherEnd) return false;
    this.#left.seek(key);
    this.#right.seek(key);
    const { keyBase } = this.#left.unit;
    const left = this.#left.reader.data;
    const right = this.#right.reader.data;
    if (end - keyBase > Math.min(left.length, right.length)) return false;
    // Most are shorter than what is worth a view.
    if (end - key >= 256) return equalBytes(left, key - keyBase, right, key - keyBase, end - key);
    for (let at = key - keyBase; at < end - keyBase; at++) if (left[at] !== right[at]) return false;
    return true;
  }

  /** The references that were noted last lead to the same offsets. */
  #refersInPlace(): boolean {
    let same = true;
    for (let i = 0; i < this.#from.length; i++) same &&= this.#from.at(i) === this.#to.at(i);
    this.#forget(0);
    return same;
  }

  get signatures(): boolean {
    this.#signatures ??= this.all && this.#sameSignatures();
    return this.#signatures;
  }

  /** The functions of both sides are declared and defined in the same order with the same types; but for some that only one side declares. */
  #sameSignatures(): boolean {
    this.#forget(0);
    try {
      const lone = this.#pairFunctions();
      return lone !== undefined && this.#areBystanders(lone);
    } catch (error) {
      if (!(error instanceof Damaged) && !(error instanceof RangeError)) throw error;
      return false;
    }
  }

  /** Walks through the functions of both sides; gives those that only one side has, or undefined where one differs. */
  #pairFunctions(): Subprogram[] | undefined {
    const before = this.#base.subprograms;
    const after = this.#next.subprograms;
    const lone: Subprogram[] = [];
    // Number of the partner, by number.
    const partners = new Map<number, number>();
    let b = 0;
    let n = 0;
    while (b < before.length || n < after.length) {
      if (this.#standsStill(before, b, after, n)) {
        partners.set(b++, n++);
        continue;
      }
      if (b < before.length && n < after.length && this.#sameFunction(before[b]!, after[n]!)) {
        partners.set(b++, n++);
        continue;
      }
      // What a function that differs refers to does not count.
      this.#forget(this.#mark);
      let skip = 1;
      for (; skip <= MAX_LONE; skip++) {
        if (this.#fits(before[b], after[n + skip])) {
          for (let k = 0; k < skip; k++) lone.push(after[n++]!);
          break;
        }
        if (this.#fits(before[b + skip], after[n])) {
          for (let k = 0; k < skip; k++) lone.push(before[b++]!);
          break;
        }
      }
      if (skip > MAX_LONE || lone.length > MAX_LONE) return undefined;
    }
    return this.#refersAlike(partners) ? lone : undefined;
  }

  /** Where no type has moved: all up to the next function is the same, byte by byte, and so are the types that it refers to. */
  #standsStill(before: readonly Subprogram[], b: number, after: readonly Subprogram[], n: number): boolean {
    if (this.#partners || b !== n || b + 1 >= before.length || n + 1 >= after.length) return false;
    const { key } = before[b]!;
    const end = before[b + 1]!.key;
    // What it completes may have moved.
    if (before[b]!.completes || after[n]!.completes || key !== after[n]!.key || end !== after[n + 1]!.key) return false;
    return this.#sameBytes(key, end, end);
  }

  /** Both are there and look the same, or both lists have ended. */
  #fits(before: Subprogram | undefined, after: Subprogram | undefined): boolean {
    if (!before || !after) return before === after;
    const mark = this.#mark;
    const same = this.#sameFunction(before, after);
    this.#forget(mark);
    this.#mark = mark;
    return same;
  }

  #sameFunction(before: Subprogram, after: Subprogram): boolean {
    this.#mark = this.#owners.length;
    const left = before.parameterKeys;
    const right = after.parameterKeys;
    if (left.length !== right.length || before.variadic !== after.variadic) return false;
    if (!this.#sameEntry(before.key, after.key)) return false;
    for (let i = 0; i < left.length; i++) if (!this.#sameEntry(left[i]!, right[i]!)) return false;
    return true;
  }

  /** What the functions refer to, types and each other, are partners. */
  #refersAlike(partners: ReadonlyMap<number, number>): boolean {
    let same = true;
    for (let i = 0; i < this.#from.length && same; i++) {
      const from = this.#from.at(i);
      const to = this.#to.at(i);
      if (from < 0 || to < 0) {
        same = from === to;
        continue;
      }
      const type = this.#base.indexOfKey(from);
      const fn = type >= 0 ? -1 : this.#base.orderOf(from);
      // A parameter that stands for one of the abstract instance refers to it: that is neither.
      if (type >= 0) same = this.isSame(type, this.#next.indexOfKey(to));
      else same = (fn < 0 ? -1 : partners.get(fn)) === this.#next.orderOf(to);
    }
    this.#forget(0);
    return same;
  }

  /** Functions whose names no other one has, and that complete none but each other: whether they are there makes no other one differ. */
  #areBystanders(lone: readonly Subprogram[]): boolean {
    if (lone.length === 0) return true;
    const among = new Set(lone);
    const names = new Set<string>();
    for (const scan of [this.#base, this.#next]) {
      const here = scan.subprograms.filter((one) => among.has(one) && one.ownName !== undefined);
      // On both sides by one name: they differ.
      if (here.some(({ ownName }) => names.has(ownName!))) return false;
      for (const { ownName } of here) names.add(ownName!);
    }
    const completesOther = (one: Subprogram, scan: Scan) => {
      const origin = scan.subprogram(one.originKey);
      return origin !== undefined && !among.has(origin);
    };
    for (const scan of [this.#base, this.#next]) {
      for (const one of scan.subprograms) {
        if (among.has(one) ? completesOther(one, scan) : one.ownName !== undefined && names.has(one.ownName))
          return false;
      }
    }
    return true;
  }

  /** Pairs types that look the same, in order. */
  align(): boolean {
    const count = this.#base.typeCount;
    const other = this.#next.typeCount;
    this.#forget(0);
    this.#partners = new Int32Array(count).fill(-1);
    this.#alike = new Uint8Array(count);
    let gaps = 8 + Math.floor(Math.min(count, other) * MAX_GAPS);
    let b = 0;
    let n = 0;
    while (b < count && n < other) {
      if (this.#pair(b, n)) {
        b++;
        n++;
        continue;
      }
      if (--gaps < 0) return false;
      const [skipBase, skipNext] = this.#resume(b, n);
      this.#pairByName(b, b + skipBase, n, n + skipNext);
      b += skipBase;
      n += skipNext;
    }
    this.all = this.#paired === count && count === other;
    return true;
  }

  /** How many types to leave out on each side: those in front of the nearest place from which two in a row look the same. */
  #resume(b: number, n: number): readonly [number, number] {
    for (let distance = 1; distance <= WINDOW; distance++) {
      // A type edited in place; then types that only one side has.
      if (distance <= 2 && this.#runs(b + distance, n + distance)) return [distance, distance];
      if (this.#runs(b, n + distance)) return [0, distance];
      if (this.#runs(b + distance, n)) return [distance, 0];
    }
    return [1, 1];
  }

  #runs(b: number, n: number): boolean {
    const known = this.#owners.length;
    let same = 0;
    while (same < 2 && b + same < this.#base.typeCount && n + same < this.#next.typeCount) {
      if (!this.#looksSame(b + same, n + same)) break;
      same++;
    }
    this.#forget(known);
    return same === 2 || (same === 1 && b + 1 >= this.#base.typeCount && n + 1 >= this.#next.typeCount);
  }

  #forget(known: number): void {
    this.#owners.cut(known);
    this.#from.cut(known);
    this.#to.cut(known);
  }

  #pair(b: number, n: number): boolean {
    const known = this.#owners.length;
    this.#owner = b;
    if (!this.#looksSame(b, n)) {
      this.#forget(known);
      return false;
    }
    this.#partners![b] = n;
    this.#alike![b] = ALL;
    this.#paired++;
    return true;
  }

  /** Among types that differ, those of one tag are each other's partner. */
  #pairByName(baseFrom: number, baseTo: number, nextFrom: number, nextTo: number): void {
    for (let b = baseFrom; b < baseTo; b++) {
      if (!isTagged(kindOf(this.#base.tagOf(b)))) continue;
      const before = this.#base.typeAt(b)!;
      if (before.name === '') continue;
      for (let n = nextFrom; n < nextTo; n++) {
        if (kindOf(this.#next.tagOf(n)) !== before.kind || this.#next.typeAt(n)!.name !== before.name) continue;
        this.#partners![b] = n;
        this.#alike![b] = NAME;
        break;
      }
    }
  }

  /** The same entries with the same values, references aside. */
  #looksSame(b: TypeRef, n: TypeRef): boolean {
    const base = this.#base;
    const next = this.#next;
    if (base.tagOf(b) !== next.tagOf(n)) return false;
    if (!this.#sameEntry(base.keyOf(b), next.keyOf(n))) return false;
    let left = base.firstPart(b);
    let right = next.firstPart(n);
    while (left >= 0 && right >= 0) {
      if (--this.#budget < 0) throw new Damaged('Too many types look alike.', base.partKey(left));
      if (!this.#sameEntry(base.partKey(left), next.partKey(right))) return false;
      left = base.nextPart(left);
      right = next.nextPart(right);
    }
    return left < 0 && right < 0;
  }

  #sameEntry(baseKey: number, nextKey: number): boolean {
    const left = this.#left;
    const right = this.#right;
    left.seek(baseKey);
    right.seek(nextKey);
    return this.#comparer.same(left.unit, left.reader, right.unit, right.reader);
  }

  /** Takes out the types that refer to others than their partners do, and all that these make different. */
  settle(): void {
    const count = this.#owners.length;
    const targets = new Int32Array(count).fill(-1);
    let differs = this.#paired < this.#base.typeCount;
    for (let i = 0; i < count; i++) {
      const from = this.#from.at(i);
      const to = this.#to.at(i);
      const target = from < 0 ? -1 : this.#base.indexOfKey(from);
      targets[i] = target;
      const partner = target < 0 ? -1 : this.#partners![target]!;
      if (partner >= 0 && this.#next.keyOf(partner) === to) continue;
      // Both to nothing.
      if (from < 0 && to < 0) continue;
      this.#alike![this.#owners.at(i)] = NOT;
      differs = true;
    }
    if (!differs) return;
    this.all = false;
    this.#spread(targets);
  }

  /** Carries differences from types to those that refer to them. */
  #spread(targets: Int32Array): void {
    const alike = this.#alike!;
    const partners = this.#partners!;
    const kinds = Array.from(alike, (_, i) => kindOf(this.#base.tagOf(i)));
    // A tagged type with a name stands for itself where something points to it: as `SameType` sees it.
    const atMost = (i: number, level: number): number =>
      isTagged(kinds[i]!) && partners[i]! >= 0 && this.#base.typeAt(i)!.name !== '' ? NAME : level;
    for (let i = 0; i < alike.length; i++) if (alike[i] === NOT) alike[i] = atMost(i, NOT);
    for (let round = 0; round < MAX_ROUNDS; round++) {
      let changed = false;
      for (let i = 0; i < targets.length; i++) {
        const owner = this.#owners.at(i);
        const own = alike[owner]!;
        const target = targets[i]!;
        const below = target < 0 ? ALL : alike[target]!;
        if (own === NOT || below >= own) continue;
        const kind = kinds[owner]!;
        let now = own;
        if (kind === 'pointer' || kind === 'function') now = below === NOT ? NOT : own;
        else now = isTagged(kind) ? atMost(owner, NOT) : below;
        if (now === own) continue;
        alike[owner] = now;
        changed = true;
      }
      if (!changed) return;
    }
    alike.fill(NOT);
  }
}

/** What entries are read against is the same on both sides: abbreviations, strings, and the units themselves. */
function sameTables(base: DwarfData, next: DwarfData): boolean {
  if (base.units.length !== next.units.length) return false;
  for (const name of ['debug_abbrev', 'debug_str', 'debug_str_offsets', 'debug_addr'] as const) {
    const left = base.sections.get(name).data;
    const right = next.sections.get(name).data;
    if (left.length !== right.length || !equalBytes(left, 0, right, 0, left.length)) return false;
  }
  return base.units.every((unit, i) => {
    const other = next.units[i]!;
    return (
      unit.keyBase === other.keyBase &&
      unit.start === other.start &&
      unit.version === other.version &&
      unit.offsetSize === other.offsetSize &&
      unit.addressSize === other.addressSize &&
      unit.abbrevOffset === other.abbrevOffset &&
      unit.strOffsetsBase === other.strOffsetsBase &&
      // A reference to a type unit is a number that its section gives a meaning.
      unit.unitType !== d.DW_UT_type &&
      other.unitType !== d.DW_UT_type
    );
  });
}

const isTagged = (kind: TypeKind): boolean => kind === 'struct' || kind === 'union' || kind === 'enum';
