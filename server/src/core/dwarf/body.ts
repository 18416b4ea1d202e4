import * as d from './constants.ts';
import { Die, skipAttributes } from './die.ts';
import { staticLocation } from './locations.ts';
import { Damaged } from './reader.ts';
import * as s from './slots.ts';
import type { FunctionContext, Subprogram } from './subprograms.ts';
import type { InlinedCall, TypeRef } from './types.ts';

interface Body {
  readonly inlined: readonly InlinedCall[];
  readonly localTypes: readonly TypeRef[];
}

/**
 * Reads a function's body: what was inlined into it, and the types of its parameters and automatic variables. The
 * abstract instances that it is made of are read too, since variables that were optimised out stand only there.
 */
export function readBody(context: FunctionContext, entry: Subprogram): Body {
  const reading = new BodyReading(context);
  for (const part of entry.lineage(context)) reading.read(part.key, part === entry);
  return { inlined: reading.inlined, localTypes: [...reading.types] };
}

class BodyReading {
  readonly inlined: InlinedCall[] = [];
  readonly types = new Set<TypeRef>();
  readonly #context: FunctionContext;
  readonly #die = new Die();
  readonly #origin = new Die();

  constructor(context: FunctionContext) {
    this.#context = context;
  }

  /** Walks the entries below the one of this key; inlined calls count only in the concrete function itself. */
  read(key: number, concrete: boolean): void {
    const { data } = this.#context;
    const unit = data.unitOf(key);
    if (!unit) return;
    try {
      const reader = unit.reader(key - unit.keyBase);
      const top = unit.next(reader);
      if (!top?.hasChildren) return;
      skipAttributes(reader, top, unit);
      // For each open entry: the inlining depth inside of it.
      const depths = [0];
      // Entries of nested functions are theirs.
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
        let depth = depths[depths.length - 1]!;
        const { tag } = abbrev;
        const foreign = skipBelow > 0;
        if (!foreign && (tag === d.DW_TAG_variable || tag === d.DW_TAG_formal_parameter)) {
          this.#die.read(unit, reader, abbrev, at);
          this.#variable(this.#die);
        } else if (!foreign && concrete && tag === d.DW_TAG_inlined_subroutine) {
          this.#die.read(unit, reader, abbrev, at);
          this.#call(this.#die, depth);
          depth++;
        } else skipAttributes(reader, abbrev, unit);
        if (abbrev.hasChildren) {
          depths.push(depth);
          const own = tag === d.DW_TAG_lexical_block || tag === d.DW_TAG_inlined_subroutine;
          if (!own && skipBelow === 0) skipBelow = depths.length;
          if (depths.length > 4096) throw new Damaged('The entries are nested too deeply.', at);
        }
      }
    } catch (error) {
      if (!(error instanceof Damaged) && !(error instanceof RangeError)) throw error;
      data.log.add('dwarf.info', `The body of a function cannot be read: ${error.message}`, key - unit.keyBase);
    }
  }

  #variable(die: Die): void {
    const { data, typeIndex } = this.#context;
    if (die.has(s.AT_LOCATION) && staticLocation(data, die).kind === 'static') return;
    if (die.flag(s.AT_EXTERNAL)) return;
    let typeKey = die.reference(s.AT_TYPE);
    let origin = die.reference(s.AT_ABSTRACT_ORIGIN);
    for (let hops = 0; typeKey < 0 && origin >= 0 && hops < 8; hops++) {
      const found = data.dieAt(origin, this.#origin);
      if (!found) return;
      if (found.has(s.AT_LOCATION) && staticLocation(data, found).kind === 'static') return;
      typeKey = found.reference(s.AT_TYPE);
      origin = found.reference(s.AT_ABSTRACT_ORIGIN);
    }
    if (typeKey < 0) return;
    const type = typeIndex(typeKey);
    if (type >= 0) this.types.add(type);
  }

  #call(die: Die, depth: number): void {
    const { data } = this.#context;
    const origin = this.#context.subprogram(die.reference(s.AT_ABSTRACT_ORIGIN));
    const lineage = origin?.lineage(this.#context) ?? [];
    const decl = lineage.find((entry) => entry.at)?.at;
    const call = die.unit.location(
      die.number(s.AT_CALL_FILE),
      die.number(s.AT_CALL_LINE),
      die.number(s.AT_CALL_COLUMN),
    );
    this.inlined.push({
      name: lineage.find((entry) => entry.ownName !== undefined)?.ownName ?? '',
      ...(decl ? { decl } : {}),
      ...(call ? { call } : {}),
      ranges: data.ranges.of(die),
      depth,
    });
  }
}
