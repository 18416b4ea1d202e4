import { equalBytes } from '../asm/bytes.ts';
import { type Abbrev, stepsOver } from './abbrev.ts';
import * as d from './constants.ts';
import type { DwarfData } from './data.ts';
import { Die, skipSteps } from './die.ts';
import { Damaged, type Reader } from './reader.ts';
import * as s from './slots.ts';
import type { Unit } from './units.ts';

/** Attributes that say what a type, a part of one, or a function is. Where it is declared does not count. */
const TELLING: ReadonlySet<number> = new Set([
  s.AT_NAME,
  s.AT_BYTE_SIZE,
  s.AT_BIT_OFFSET,
  s.AT_BIT_SIZE,
  s.AT_CONST_VALUE,
  s.AT_UPPER_BOUND,
  s.AT_COUNT,
  s.AT_MEMBER_LOCATION,
  s.AT_DECLARATION,
  s.AT_ENCODING,
  s.AT_TYPE,
  s.AT_SIGNATURE,
  s.AT_DATA_BIT_OFFSET,
  s.AT_ALIGNMENT,
  s.AT_VECTOR,
  // Of functions:
  s.AT_EXTERNAL,
  s.AT_INLINE,
  s.AT_ABSTRACT_ORIGIN,
  s.AT_SPECIFICATION,
]);

/** The same by slot. */
const isTelling = new Uint8Array(s.SLOT_COUNT);
for (const slot of TELLING) isTelling[slot] = 1;

const REFERENCES: ReadonlySet<number> = new Set([s.AT_TYPE, s.AT_SIGNATURE, s.AT_ABSTRACT_ORIGIN, s.AT_SPECIFICATION]);

/** Longest name that is compared: a crafted file may have a million entries with the same name of a megabyte. */
const MAX_NAME = 512;

/** How to compare entries of two abbreviations. One step for each attribute that counts: move over what is in front of it, then compare. */
interface Plan {
  /** `BYTES`, `NAME`, `REFERENCE`, or a form that varies in size. */
  readonly steps: Int32Array;
  /** Bytes of each value; 0 where they vary. */
  readonly sizes: Int32Array;
  /** Bytes in front of each value; -1 where they vary, and then how to move over them. */
  readonly baseGaps: Int32Array;
  readonly nextGaps: Int32Array;
  readonly baseSkips: readonly Int32Array[];
  readonly nextSkips: readonly Int32Array[];
  readonly forms: readonly number[];
}

const BYTES = 0;
/** An offset of `.debug_str`. */
const NAME = 1;
const REFERENCE = 2;
const OTHER = 3;

/** Takes the references of two entries that are the same otherwise, as keys; -1 = none. */
export type TakeReference = (base: number, next: number) => void;

/**
 * Compares entries of types, parts of types and functions in the debug information of two objects, without reading them: value by value.
 * References are not followed but handed out.
 */
export class EntryComparer {
  readonly #baseNames: Uint8Array;
  readonly #nextNames: Uint8Array;
  readonly #take: TakeReference;
  readonly #baseDie = new Die();
  readonly #nextDie = new Die();

  constructor(base: DwarfData, next: DwarfData, take: TakeReference) {
    this.#baseNames = base.strings.bytes;
    this.#nextNames = next.strings.bytes;
    this.#take = take;
  }

  /** Compares the entries under the readers, which are left somewhere in them. False does not prove that they differ. Throws `Damaged`. */
  same(baseUnit: Unit, base: Reader, nextUnit: Unit, next: Reader): boolean {
    const baseAt = base.pos;
    const nextAt = next.pos;
    const before = baseUnit.next(base);
    const after = nextUnit.next(next);
    if (!before || !after || before.tag !== after.tag) return false;
    const plan = planFor(before, after);
    if (!plan) {
      this.#baseDie.read(baseUnit, base, before, baseAt);
      this.#nextDie.read(nextUnit, next, after, nextAt);
      return this.#sameValues();
    }
    const { steps, sizes, baseGaps, nextGaps } = plan;
    const left = base.data;
    const right = next.data;
    let from = base.pos;
    let to = next.pos;
    for (let i = 0; i < steps.length; i++) {
      const baseGap = baseGaps[i]!;
      if (baseGap >= 0) from += baseGap;
      else from = behind(base, from, plan.baseSkips[i]!, baseUnit);
      const nextGap = nextGaps[i]!;
      if (nextGap >= 0) to += nextGap;
      else to = behind(next, to, plan.nextSkips[i]!, nextUnit);
      const size = sizes[i]!;
      if (from + size > base.end || to + size > next.end) throw new Damaged('An entry is cut off.', baseAt);
      switch (steps[i]) {
        case BYTES:
          for (let k = 0; k < size; k++) if (left[from + k] !== right[to + k]) return false;
          break;
        case NAME: {
          const before = number(left, from, size);
          const after = number(right, to, size);
          if (!sameName(this.#baseNames, before, this.#nextNames, after)) return false;
          break;
        }
        case REFERENCE:
          this.#take(
            baseUnit.keyBase + baseUnit.start + number(left, from, size),
            nextUnit.keyBase + nextUnit.start + number(right, to, size),
          );
          break;
        default:
          base.pos = from;
          next.pos = to;
          if (!sameValue(plan.forms[i]!, base, next)) return false;
          from = base.pos;
          to = next.pos;
      }
      from += size;
      to += size;
    }
    return true;
  }

  /** Where the forms differ, the values decide. */
  #sameValues(): boolean {
    const base = this.#baseDie;
    const next = this.#nextDie;
    for (const slot of TELLING) {
      if (base.has(slot) !== next.has(slot)) return false;
      if (!base.has(slot)) continue;
      if (slot === s.AT_NAME) {
        if (base.string(slot) !== next.string(slot)) return false;
      } else if (REFERENCES.has(slot)) this.#take(base.reference(slot), next.reference(slot));
      else if (slot === s.AT_BIT_OFFSET && base.form(slot) !== next.form(slot)) return false;
      else {
        const value = base.big(slot);
        if (value === undefined || value !== next.big(slot)) return false;
      }
    }
    return true;
  }
}

/** Plans by the abbreviations of both sides: they depend on nothing else. */
let plans = new WeakMap<Abbrev, WeakMap<Abbrev, Plan | null>>();
let planCount = 0;
/** Beyond, all are forgotten: two objects of one unit need some hundred, a crafted pair may ask for a million. */
const MAX_PLANS = 20_000;
let lastBase: Abbrev | undefined;
let lastNext: Abbrev | undefined;
let lastPlan: Plan | undefined;

function planFor(base: Abbrev, next: Abbrev): Plan | undefined {
  // Entries of one kind mostly follow each other.
  if (base === lastBase && next === lastNext) return lastPlan;
  let known = plans.get(base);
  if (!known) {
    known = new WeakMap();
    plans.set(base, known);
  }
  let plan = known.get(next);
  if (plan === undefined) {
    plan = planOf(base, next) ?? null;
    known.set(next, plan);
    if (++planCount > MAX_PLANS) {
      plans = new WeakMap();
      planCount = 0;
    }
  }
  lastBase = base;
  lastNext = next;
  lastPlan = plan ?? undefined;
  return lastPlan;
}

function planOf(base: Abbrev, next: Abbrev): Plan | undefined {
  const left = tellingOf(base);
  const right = tellingOf(next);
  if (left.length !== right.length) return undefined;
  for (let i = 0; i < left.length; i++) {
    const [b, n] = [left[i]!, right[i]!];
    if (base.slots[b] !== next.slots[n] || base.forms[b] !== next.forms[n] || base.sizes[b] !== next.sizes[n])
      return undefined;
    if ((base.implicit[b] ?? 0) !== (next.implicit[n] ?? 0)) return undefined;
    if (!isPlain(base.forms[b]!, base.slots[b]!)) return undefined;
  }
  const before = gapsBetween(base, left);
  const after = gapsBetween(next, right);
  return {
    steps: Int32Array.from(left, (i) => stepFor(base.forms[i]!, base.sizes[i]!, base.slots[i]!)),
    sizes: Int32Array.from(left, (i) => Math.max(0, base.sizes[i]!)),
    baseGaps: before.gaps,
    nextGaps: after.gaps,
    baseSkips: before.skips,
    nextSkips: after.skips,
    forms: left.map((i) => base.forms[i]!),
  };
}

function stepFor(form: number, size: number, slot: number): number {
  if (REFERENCES.has(slot)) return REFERENCE;
  if (form === d.DW_FORM_strp) return NAME;
  return size >= 0 ? BYTES : OTHER;
}

function tellingOf({ slots }: Abbrev): number[] {
  const telling: number[] = [];
  for (let i = 0; i < slots.length; i++) if (isTelling[slots[i]!]) telling.push(i);
  return telling;
}

/** Forms that `EntryComparer` compares as they stand. */
function isPlain(form: number, slot: number): boolean {
  if (REFERENCES.has(slot)) {
    return form === d.DW_FORM_ref1 || form === d.DW_FORM_ref2 || form === d.DW_FORM_ref4;
  }
  switch (form) {
    case d.DW_FORM_strp:
    case d.DW_FORM_string:
    case d.DW_FORM_exprloc:
    case d.DW_FORM_block:
    case d.DW_FORM_block1:
    case d.DW_FORM_data1:
    case d.DW_FORM_data2:
    case d.DW_FORM_data4:
    case d.DW_FORM_data8:
    case d.DW_FORM_data16:
    case d.DW_FORM_udata:
    case d.DW_FORM_sdata:
    case d.DW_FORM_flag:
    case d.DW_FORM_flag_present:
    case d.DW_FORM_implicit_const:
      return true;
    default:
      // What is an index or refers to something (a bound that a variable holds) is read.
      return false;
  }
}

const NOTHING = new Int32Array(0);

/** What is in front of each of the attributes: bytes, or, where they vary, -1 and how to move over it. */
function gapsBetween(abbrev: Abbrev, telling: readonly number[]): { gaps: Int32Array; skips: Int32Array[] } {
  const gaps = new Int32Array(telling.length);
  const skips: Int32Array[] = [];
  let from = 0;
  for (let k = 0; k < telling.length; k++) {
    const to = telling[k]!;
    let bytes = 0;
    for (let i = from; i < to; i++) bytes = abbrev.sizes[i]! < 0 || bytes < 0 ? -1 : bytes + abbrev.sizes[i]!;
    gaps[k] = bytes;
    skips.push(bytes < 0 ? stepsOver(abbrev.forms.slice(from, to), abbrev.sizes.slice(from, to)) : NOTHING);
    from = to + 1;
  }
  return { gaps, skips };
}

/** Compares values of one form whose size varies, and moves the readers behind them. */
function sameValue(form: number, base: Reader, next: Reader): boolean {
  switch (form) {
    case d.DW_FORM_string: {
      const from = base.skipString();
      const to = next.skipString();
      return sameName(base.data, from, next.data, to);
    }
    case d.DW_FORM_exprloc:
    case d.DW_FORM_block: {
      const length = base.uleb();
      return length === next.uleb() && sameBytes(base, next, length);
    }
    case d.DW_FORM_block1: {
      const length = base.u8();
      return length === next.u8() && sameBytes(base, next, length);
    }
    default:
      return sameLeb(base, next);
  }
}

function sameBytes(base: Reader, next: Reader, length: number): boolean {
  base.need(length);
  next.need(length);
  const same = equalBytes(base.data, base.pos, next.data, next.pos, length);
  base.pos += length;
  next.pos += length;
  return same;
}

/** A LEB128 number is compared by its bytes. */
function sameLeb(base: Reader, next: Reader): boolean {
  const from = base.pos;
  const to = next.pos;
  base.skipLeb();
  next.skipLeb();
  return base.pos - from === next.pos - to && equalBytes(base.data, from, next.data, to, base.pos - from);
}

/** The place behind attributes whose size varies. */
function behind(reader: Reader, at: number, skip: Int32Array, unit: Unit): number {
  reader.pos = at;
  skipSteps(reader, skip, unit);
  return reader.pos;
}

/** A number of up to eight bytes; exact below 2^53. */
function number(data: Uint8Array, at: number, size: number): number {
  let value = 0;
  for (let k = size - 1; k >= 0; k--) value = value * 256 + data[at + k]!;
  return value;
}

/** Compares NUL-terminated names. Those that are too long, or stand outside of the table, are not said to be the same. */
function sameName(left: Uint8Array, from: number, right: Uint8Array, to: number): boolean {
  for (let i = 0; i < MAX_NAME; i++) {
    const byte = left[from + i];
    if (byte === undefined || byte !== right[to + i]) return false;
    if (byte === 0) return true;
  }
  return false;
}
