import * as d from './constants.ts';
import type { DwarfData } from './data.ts';
import { Die, skipAttributes } from './die.ts';
import { Damaged } from './reader.ts';
import * as s from './slots.ts';
import { type FunctionContext, Subprogram } from './subprograms.ts';
import { settleTypes, TypeEntry } from './type-entries.ts';
import type { TypeRef } from './types.ts';
import type { Unit } from './units.ts';
import { readVariable, type VariableEntry } from './variables.ts';

/** Types, members, functions and variables that are kept at most: a crafted file can ask for one per byte. */
const MAX_RECORDS = 2_000_000;
const MAX_DEPTH = 4096;

/** What one pass over all units found. */
export interface Scan extends FunctionContext {
  readonly types: readonly TypeEntry[];
  readonly subprograms: readonly Subprogram[];
  readonly variables: readonly VariableEntry[];
}

/** Reads all units: types wherever they stand, functions with their parameters, variables with static storage. Bodies are skipped. */
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
  scanner.finish();
  return scanner;
}

class Scanner implements Scan {
  readonly data: DwarfData;
  readonly types: TypeEntry[] = [];
  readonly subprograms: Subprogram[] = [];
  readonly variables: VariableEntry[] = [];
  readonly #typeIndex = new Map<number, TypeRef>();
  readonly #subprogramsByKey = new Map<number, Subprogram>();
  /** Type entries that stand for one in a type unit. */
  readonly #aliases: { readonly key: number; readonly target: number }[] = [];
  readonly #die = new Die();
  #records = 0;
  #unresolved = 0;

  constructor(data: DwarfData) {
    this.data = data;
  }

  typeIndex = (key: number): TypeRef => {
    const index = this.#typeIndex.get(key);
    if (index === undefined) {
      this.#unresolved++;
      return -1;
    }
    return index;
  };

  subprogram = (key: number): Subprogram | undefined => this.#subprogramsByKey.get(key);

  unit(unit: Unit): void {
    if (unit.unitType === d.DW_UT_split_compile || unit.unitType === d.DW_UT_split_type) return;
    const reader = unit.reader();
    const die = this.#die;
    // For each open entry: the type or function that takes the entries below it, and the function around it.
    const owners: (TypeEntry | Subprogram | undefined)[] = [undefined];
    const scopes: number[] = [-1];
    let depth = 0;
    while (reader.pos < unit.end) {
      const at = reader.pos;
      const abbrev = unit.next(reader);
      if (!abbrev) {
        if (--depth <= 0) return;
        continue;
      }
      const owner = owners[depth];
      const scope = scopes[depth]!;
      let childOwner: TypeEntry | Subprogram | undefined;
      let childScope = scope;
      switch (abbrev.interest) {
        case s.TYPE:
          die.read(unit, reader, abbrev, at);
          childOwner = this.#type(die);
          break;
        case s.PART:
          if (owner === undefined) skipAttributes(reader, abbrev, unit);
          else {
            die.read(unit, reader, abbrev, at);
            this.#part(owner, die);
          }
          break;
        case s.SUBPROGRAM:
          die.read(unit, reader, abbrev, at);
          childOwner = this.#subprogram(die);
          childScope = die.key;
          break;
        case s.SCOPE:
          skipAttributes(reader, abbrev, unit);
          childScope = unit.keyBase + at;
          break;
        case s.PLACELESS_VARIABLE:
        case s.VARIABLE:
          if (scope >= 0 && abbrev.interest === s.PLACELESS_VARIABLE) skipAttributes(reader, abbrev, unit);
          else {
            die.read(unit, reader, abbrev, at);
            this.#variable(die, scope);
          }
          break;
        default:
          skipAttributes(reader, abbrev, unit);
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

  #type(die: Die): TypeEntry | undefined {
    if (die.has(s.AT_SIGNATURE)) {
      this.#aliases.push({ key: die.key, target: die.reference(s.AT_SIGNATURE) });
      return undefined;
    }
    this.#count();
    const type = new TypeEntry(this.types.length, die);
    this.types.push(type);
    this.#typeIndex.set(die.key, type.index);
    return type;
  }

  #part(owner: TypeEntry | Subprogram, die: Die): void {
    this.#count();
    if (owner instanceof TypeEntry) owner.addPart(die);
    else if (die.abbrev.tag === d.DW_TAG_formal_parameter) owner.addParameter(die);
    else if (die.abbrev.tag === d.DW_TAG_unspecified_parameters) owner.variadic = true;
  }

  #variable(die: Die, scope: number): void {
    const variable = readVariable(this.data, die, scope);
    if (!variable) return;
    this.#count();
    this.variables.push(variable);
  }

  #subprogram(die: Die): Subprogram {
    this.#count();
    const entry = new Subprogram(this.data, die);
    this.subprograms.push(entry);
    this.#subprogramsByKey.set(entry.key, entry);
    return entry;
  }

  finish(): void {
    for (const { key, target } of this.#aliases) {
      const index = this.#typeIndex.get(target);
      if (index === undefined) this.#unresolved++;
      else this.#typeIndex.set(key, index);
    }
    settleTypes(this.types, this.typeIndex);
    if (this.#unresolved > 0) {
      this.data.log.add('dwarf.info', `${this.#unresolved} references to types lead nowhere; they are taken as void.`);
    }
  }
}
