import type { Abbrev } from './abbrev.ts';
import * as d from './constants.ts';
import { Die, skipAttributes } from './die.ts';
import { staticLocation } from './locations.ts';
import { Damaged, type Reader } from './reader.ts';
import * as s from './slots.ts';
import type { FunctionContext, Subprogram } from './subprograms.ts';
import type { CodeRange, InlinedCall, SourceLocation, TypeRef } from './types.ts';
import type { Unit } from './units.ts';

/** The inlined calls of a function, in the order of the debug information. Only the concrete function itself counts. */
export function readInlined(context: FunctionContext, entry: Subprogram): readonly InlinedCall[] {
  const inlined: InlinedCall[] = [];
  const die = new Die();
  walk(context, entry.key, (unit, reader, abbrev, at, depth) => {
    if (abbrev.tag !== d.DW_TAG_inlined_subroutine) return false;
    die.read(unit, reader, abbrev, at);
    inlined.push(new InlinedEntry(context, die, depth));
    return true;
  });
  return inlined;
}

/** Types of what a function has for itself while it runs, each once. */
export interface Locals {
  /** Of its parameters and automatic variables. */
  readonly types: readonly TypeRef[];
  /** Of its automatic variables alone: one can have the type of a parameter. */
  readonly variables: readonly TypeRef[];
}

/**
 * Types of a function's parameters and automatic variables, inlined bodies included. The abstract instances that it is made of
 * are read too, since variables that were optimised out stand only there.
 */
export function readLocals(context: FunctionContext, entry: Subprogram): Locals {
  const types = new Set<TypeRef>();
  const variables = new Set<TypeRef>();
  const die = new Die();
  const origin = new Die();
  for (const part of entry.lineage(context)) {
    walk(context, part.key, (unit, reader, abbrev, at) => {
      if (abbrev.tag !== d.DW_TAG_variable && abbrev.tag !== d.DW_TAG_formal_parameter) return false;
      die.read(unit, reader, abbrev, at);
      const { type, parameter } = automaticType(context, die, origin);
      if (type < 0) return true;
      types.add(type);
      if (!parameter) variables.add(type);
      return true;
    });
  }
  return { types: [...types], variables: [...variables] };
}

/** Takes an entry and reads its attributes, or leaves them to be skipped (false). `depth`: inlined calls around it. */
type Visit = (unit: Unit, reader: Reader, abbrev: Abbrev, at: number, depth: number) => boolean;

/** Walks the entries below the one of this key; those of nested functions are theirs. */
function walk(context: FunctionContext, key: number, visit: Visit): void {
  const { data } = context;
  const unit = data.unitOf(key);
  if (!unit) return;
  try {
    const reader = unit.reader(key - unit.keyBase);
    const top = unit.next(reader);
    if (!top?.hasChildren) return;
    skipAttributes(reader, top, unit);
    // For each open entry: the inlining depth inside of it.
    const depths = [0];
    let skipBelow = 0;
    while (depths.length > 0) {
      const at = reader.pos;
      const abbrev = unit.next(reader);
      if (!abbrev) {
        depths.pop();
        if (depths.length < skipBelow) skipBelow = 0;
        continue;
      }
      data.countBodyEntry(at);
      const { tag } = abbrev;
      let depth = depths[depths.length - 1]!;
      if (skipBelow > 0 || !visit(unit, reader, abbrev, at, depth)) skipAttributes(reader, abbrev, unit);
      if (!abbrev.hasChildren) continue;
      if (tag === d.DW_TAG_inlined_subroutine) depth++;
      depths.push(depth);
      const own = tag === d.DW_TAG_lexical_block || tag === d.DW_TAG_inlined_subroutine;
      if (!own && skipBelow === 0) skipBelow = depths.length;
      if (depths.length > 4096) throw new Damaged('The entries are nested too deeply.', at);
    }
  } catch (error) {
    if (!(error instanceof Damaged) && !(error instanceof RangeError)) throw error;
    data.log.add('dwarf.info', `The body of a function cannot be read: ${error.message}`, key - unit.keyBase);
  }
}

const NOT_AUTOMATIC = { type: -1, parameter: false };

/** Type of a variable of automatic storage (-1 for others), and whether it is a parameter: gcc makes variables of those that a clone lost. */
function automaticType({ data, typeIndex }: FunctionContext, die: Die, into: Die) {
  if (die.has(s.AT_LOCATION) && staticLocation(data, die).kind === 'static') return NOT_AUTOMATIC;
  if (die.flag(s.AT_EXTERNAL)) return NOT_AUTOMATIC;
  let parameter = die.abbrev.tag === d.DW_TAG_formal_parameter;
  let typeKey = die.reference(s.AT_TYPE);
  let origin = die.reference(s.AT_ABSTRACT_ORIGIN);
  for (let hops = 0; typeKey < 0 && origin >= 0 && hops < 8; hops++) {
    const found = data.dieAt(origin, into);
    if (!found) return NOT_AUTOMATIC;
    if (found.has(s.AT_LOCATION) && staticLocation(data, found).kind === 'static') return NOT_AUTOMATIC;
    parameter ||= found.abbrev.tag === d.DW_TAG_formal_parameter;
    typeKey = found.reference(s.AT_TYPE);
    origin = found.reference(s.AT_ABSTRACT_ORIGIN);
  }
  return typeKey < 0 ? NOT_AUTOMATIC : { type: typeIndex(typeKey), parameter };
}

/** Read into for a moment only. */
const scratch = new Die();

/** An inlined call. Most are only asked for their names: places and code ranges are read at the first look. */
class InlinedEntry implements InlinedCall {
  readonly name: string;
  readonly decl?: SourceLocation;
  readonly depth: number;
  readonly #context: FunctionContext;
  readonly #key: number;
  #details: { readonly call: SourceLocation | undefined; readonly ranges: readonly CodeRange[] } | undefined;

  constructor(context: FunctionContext, die: Die, depth: number) {
    const lineage = context.subprogram(die.reference(s.AT_ABSTRACT_ORIGIN))?.lineage(context) ?? [];
    const decl = lineage.find((entry) => entry.at)?.at;
    this.name = lineage.find((entry) => entry.ownName !== undefined)?.ownName ?? '';
    if (decl) this.decl = decl;
    this.depth = depth;
    this.#context = context;
    this.#key = die.key;
  }

  get call(): SourceLocation | undefined {
    return this.#read().call;
  }
  get ranges(): readonly CodeRange[] {
    return this.#read().ranges;
  }

  #read() {
    if (!this.#details) {
      const { data } = this.#context;
      // It was read before, so it can be read again.
      const die = data.dieAt(this.#key, scratch)!;
      const call = die.unit.location(
        die.number(s.AT_CALL_FILE),
        die.number(s.AT_CALL_LINE),
        die.number(s.AT_CALL_COLUMN),
      );
      this.#details = { call, ranges: data.ranges.of(die) };
    }
    return this.#details;
  }
}
