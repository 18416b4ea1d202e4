import type { Abbrev } from './abbrev.ts';
import * as d from './constants.ts';
import type { DwarfData } from './data.ts';
import { behindAttributes, Die, skipAttributes } from './die.ts';
import { IntList } from './int-list.ts';
import { Damaged } from './reader.ts';
import * as s from './slots.ts';
import { type FunctionContext, Subprogram } from './subprograms.ts';
import { type TypeContext, TypeEntry } from './type-entries.ts';
import type { TypeRef } from './types.ts';
import type { Unit } from './units.ts';
import { readVariable, type VariableEntry } from './variables.ts';

/** Types, members, functions and variables that are kept at most: a crafted file can ask for one per byte. */
const MAX_RECORDS = 2_000_000;
const MAX_DEPTH = 4096;
/** Keys are below this. */
const MAX_KEY = 2 ** 31;
/** Stands for the type or function that takes an entry, where there is none. */
const NOBODY = -1;

/** What one pass over all units found. */
export interface Scan extends FunctionContext, TypeContext {
  readonly subprograms: readonly Subprogram[];
  readonly variables: readonly VariableEntry[];
  /** Number of the type of a key; -1 where no type stands there. */
  indexOfKey(key: number): TypeRef;
  /** Number of the function of a key; -1 where none stands there. */
  orderOf(key: number): number;
}

/** Finds the types wherever they stand, functions with their parameters, variables with static storage. Bodies are skipped. */
export function scan(data: DwarfData): Scan {
  const scanner = new Scanner(data);
  for (const unit of data.units) {
    try {
      scanner.unit(unit);
    } catch (error) {
      if (!(error instanceof Damaged) && !(error instanceof RangeError)) throw error;
      data.log.add('dwarf.info', `Unit ${unit.name || `at ${unit.start}`} cannot be read to its end: ${error.message}`);
    }
  }
  return scanner;
}

class Scanner implements Scan {
  readonly data: DwarfData;
  readonly subprograms: Subprogram[] = [];
  readonly variables: VariableEntry[] = [];
  readonly #subprogramsByKey = new Map<number, Subprogram>();
  /** Of each type: its tag, its key (rising), where it ends, and its first and last part in the lists below (-1 = none). */
  readonly #typeTags = new IntList();
  readonly #typeKeys = new IntList();
  readonly #typeEnds = new IntList();
  readonly #firstPart = new IntList();
  readonly #lastPart = new IntList();
  /** Keys of the parts of types, and for each the next one of the same type. */
  readonly #partKeys = new IntList();
  readonly #nextPart = new IntList();
  readonly #made: TypeEntry[] = [];
  #types: readonly TypeEntry[] | undefined;
  /** Type entries that stand for one in a type unit. */
  readonly #aliases = new Map<number, number>();
  readonly #die = new Die();
  #records = 0;

  constructor(data: DwarfData) {
    this.data = data;
  }

  typeIndex = (key: number): TypeRef => {
    const direct = this.indexOfKey(key);
    if (direct >= 0) return direct;
    const target = this.#aliases.get(key);
    const index = target === undefined ? -1 : this.indexOfKey(target);
    if (index < 0) this.data.log.add('dwarf.info', 'References to types lead nowhere; they are taken as void.');
    return index;
  };

  indexOfKey(key: number): TypeRef {
    const keys = this.#typeKeys;
    let low = 0;
    let high = keys.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const value = keys.at(middle);
      if (value === key) return middle;
      if (value < key) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  /** Made when they are first asked for: two objects are mostly found to have the same types without them. */
  get types(): readonly TypeEntry[] {
    this.#types ??= Array.from({ length: this.#typeKeys.length }, (_, index) => this.#typeAt(index));
    return this.#types;
  }
  typeAt(type: TypeRef): TypeEntry | undefined {
    return type >= 0 && type < this.#typeKeys.length ? this.#typeAt(type) : undefined;
  }
  #typeAt(type: TypeRef): TypeEntry {
    this.#made[type] ??= new TypeEntry(this, type, this.#typeTags.at(type), this.#typeKeys.at(type));
    return this.#made[type];
  }
  get typeCount(): number {
    return this.#typeKeys.length;
  }
  tagOf(type: TypeRef): number {
    return this.#typeTags.at(type);
  }
  keyOf(type: TypeRef): number {
    return this.#typeKeys.at(type);
  }
  endOf(type: TypeRef): number {
    return this.#typeEnds.at(type);
  }
  get partCount(): number {
    return this.#partKeys.length;
  }
  firstPart(type: TypeRef): number {
    return this.#firstPart.at(type);
  }
  nextPart(part: number): number {
    return this.#nextPart.at(part);
  }
  partKey(part: number): number {
    return this.#partKeys.at(part);
  }

  orderOf(key: number): number {
    return this.#subprogramsByKey.get(key)?.order ?? -1;
  }

  subprogram = (key: number): Subprogram | undefined => this.#subprogramsByKey.get(key);

  unit(unit: Unit): void {
    if (unit.unitType === d.DW_UT_split_compile || unit.unitType === d.DW_UT_split_type) return;
    const reader = unit.reader();
    const { data } = reader;
    const { keyBase, end } = unit;
    const { dense } = unit.abbrevs;
    if (keyBase + end >= MAX_KEY) throw new Damaged('There are more than two gigabytes of debug information.', 0);
    const die = this.#die;
    // For each open entry: the type or function that takes the entries below it, and the function around it.
    const owners: (TypeRef | Subprogram)[] = [NOBODY];
    const scopes: number[] = [-1];
    let depth = 0;
    let pos = reader.pos;
    while (pos < end) {
      const at = pos;
      const code = data[at]!;
      if (code === 0) {
        pos++;
        if (--depth <= 0) return;
        continue;
      }
      let abbrev = code < 0x80 ? dense[code] : undefined;
      if (abbrev) pos++;
      else {
        reader.pos = at;
        abbrev = unit.next(reader);
        pos = reader.pos;
        if (!abbrev) {
          if (--depth <= 0) return;
          continue;
        }
      }
      const { interest } = abbrev;
      const scope = scopes[depth]!;
      let childOwner: TypeRef | Subprogram = NOBODY;
      let childScope = scope;
      if (interest === s.VARIABLE || interest === s.ALIAS || (interest === s.PLACELESS_VARIABLE && scope < 0)) {
        reader.pos = pos;
        die.read(unit, reader, abbrev, at);
        pos = reader.pos;
        if (interest === s.ALIAS) this.#aliases.set(die.key, die.reference(s.AT_SIGNATURE));
        else this.#variable(die, scope);
      } else {
        const behind = behindAttributes(data, pos, abbrev);
        if (behind >= 0) {
          if (behind > end) throw new Damaged('An entry runs past the end of its unit.', at);
          pos = behind;
        } else {
          reader.pos = pos;
          skipAttributes(reader, abbrev, unit);
          pos = reader.pos;
        }
        switch (interest) {
          case s.TYPE:
            childOwner = this.#type(abbrev.tag, keyBase + at, keyBase + pos);
            break;
          case s.PART:
            this.#part(owners[depth]!, abbrev.tag, keyBase + at, keyBase + pos);
            break;
          case s.SUBPROGRAM:
            childOwner = this.#subprogram(abbrev, keyBase + at);
            childScope = keyBase + at;
            break;
          case s.SCOPE:
            childScope = keyBase + at;
        }
      }
      if (abbrev.hasChildren) {
        if (++depth > MAX_DEPTH) throw new Damaged('The entries are nested too deeply.', at);
        owners[depth] = childOwner;
        scopes[depth] = childScope;
      } else if (depth === 0) return;
    }
  }

  #count(): void {
    if (++this.#records > MAX_RECORDS) throw new Damaged(`There are more than ${MAX_RECORDS} types and functions.`, 0);
  }

  #type(tag: number, key: number, end: number): TypeRef {
    this.#count();
    const index = this.#typeKeys.length;
    this.#typeTags.push(tag);
    this.#typeKeys.push(key);
    this.#typeEnds.push(end);
    this.#firstPart.push(-1);
    this.#lastPart.push(-1);
    return index;
  }

  #part(owner: TypeRef | Subprogram, tag: number, key: number, end: number): void {
    if (owner === NOBODY) return;
    this.#count();
    if (typeof owner === 'number') {
      this.#typeEnds.set(owner, end);
      const part = this.#partKeys.length;
      const last = this.#lastPart.at(owner);
      if (last < 0) this.#firstPart.set(owner, part);
      else this.#nextPart.set(last, part);
      this.#lastPart.set(owner, part);
      this.#partKeys.push(key);
      this.#nextPart.push(-1);
    } else if (tag === d.DW_TAG_formal_parameter) owner.addParameter(key);
    else if (tag === d.DW_TAG_unspecified_parameters) owner.variadic = true;
  }

  #variable(die: Die, scope: number): void {
    const variable = readVariable(this.data, die, scope);
    if (!variable) return;
    this.#count();
    this.variables.push(variable);
  }

  #subprogram(abbrev: Abbrev, key: number): Subprogram {
    this.#count();
    const entry = new Subprogram(this.data, this.subprograms.length, key, abbrev);
    this.subprograms.push(entry);
    this.#subprogramsByKey.set(key, entry);
    return entry;
  }
}
