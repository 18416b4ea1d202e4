import type { DwarfType, TypeRef } from '../dwarf/types.ts';
import { lazy } from '../elf/lazy.ts';
import { isTagged, type TypeTable } from './type-table.ts';

/** Says whether a type of the base object and one of the next object are the same to code that holds a value of them. */
export type SameType = (base: TypeRef, next: TypeRef) => boolean;

/** Nesting of distinct type pairs after which a comparison is given up as "the same" (only hostile input gets there). */
const maxDepth = 200;

/**
 * Builds the comparison. Typedefs and qualifiers do not count. Structs, unions and enums of one name are the same here,
 * whatever is inside: a change of theirs is a change of that type, reported there, not of everything that names it. Those
 * of different names are the same if their contents are (a renamed tag). Cycles are taken as equal (coinduction), each pair of types
 * is compared once: linear in the number of pairs met.
 */
export function sameTypeOf(base: TypeTable, next: TypeTable): SameType {
  const known = new Map<number, boolean>();
  // Pairs met during one call, taken as equal; they become known only when the whole call came out equal.
  const assumed = new Set<number>();
  const width = lazy(() => next.dwarf.types.length + 1);

  const compare = (baseRef: TypeRef, nextRef: TypeRef, depth: number): boolean => {
    const b = base.strip(baseRef);
    const n = next.strip(nextRef);
    const bt = base.get(b);
    const nt = next.get(n);
    if (!bt || !nt) return isVoid(bt) && isVoid(nt);
    if (bt.kind === 'unspecified' || nt.kind === 'unspecified') return isVoid(bt) && isVoid(nt);
    if (bt.kind !== nt.kind) return false;
    if (isTagged(bt)) {
      const label = base.label(b);
      if (label !== '' && label === next.label(n)) return true;
    }
    const key = b * width() + n;
    const before = known.get(key);
    if (before !== undefined) return before;
    if (assumed.has(key) || depth > maxDepth) return true;
    assumed.add(key);
    const same = contents(bt, nt, depth + 1);
    if (!same) known.set(key, false);
    return same;
  };

  const contents = (bt: DwarfType, nt: DwarfType, depth: number): boolean => {
    switch (bt.kind) {
      case 'base':
        return bt.size === nt.size && encodingClass(bt.encoding) === encodingClass(nt.encoding);
      case 'pointer':
        return compare(bt.target, nt.target, depth);
      case 'array':
        return sameDimensions(bt, nt) && compare(bt.target, nt.target, depth);
      case 'function':
        // Without a prototype nothing is said of the parameters: writing it down changes no value and no call.
        if (isOpen(bt) !== isOpen(nt) && !(isOpen(bt) ? nt : bt).variadic) return compare(bt.target, nt.target, depth);
        return (
          bt.variadic === nt.variadic &&
          bt.parameters.length === nt.parameters.length &&
          compare(bt.target, nt.target, depth) &&
          bt.parameters.every((parameter, i) => compare(parameter, nt.parameters[i] ?? -1, depth))
        );
      case 'enum':
        return (
          bt.size === nt.size &&
          bt.enumerators.every((e) => nt.enumerators.some((other) => other.name === e.name && other.value === e.value))
        );
      case 'struct':
      case 'union': {
        if (bt.size !== nt.size || bt.members.length !== nt.members.length) return false;
        return bt.members.every((member, i) => {
          const other = nt.members[i];
          return (
            other !== undefined &&
            member.name === other.name &&
            member.bitOffset === other.bitOffset &&
            member.bitSize === other.bitSize &&
            compare(member.type, other.type, depth)
          );
        });
      }
      default:
        return true;
    }
  };

  const likeness = next.dwarf.typesLike(base.dwarf);
  return (b, n) => {
    if (likeness?.isSame(b, n)) return true;
    assumed.clear();
    const same = compare(b, n, 0);
    if (same) for (const key of assumed) known.set(key, true);
    return same;
  };
}

/** The same number of elements in each dimension; `[0]` and `[]` at the end of a struct are one thing, and compilers write neither down in one way. */
export function sameDimensions(base: DwarfType, next: DwarfType): boolean {
  const sizes = ({ dimensions }: DwarfType): string =>
    (dimensions.length > 0 ? dimensions : [undefined]).map((size) => size ?? 0).join();
  return sizes(base) === sizes(next);
}

/** A function type of C without a prototype: `int (*f)()`. */
const isOpen = ({ variadic, parameters }: DwarfType): boolean => variadic && parameters.length === 0;

const isVoid = (type: DwarfType | undefined): boolean => !type || type.kind === 'unspecified';

/** DW_ATE_signed and _signed_char are one class, DW_ATE_unsigned, _unsigned_char and _UTF another: `char` is an integer of its size. */
function encodingClass(encoding: number | undefined): number {
  if (encoding === 6) return 5;
  if (encoding === 8 || encoding === 0x10) return 7;
  return encoding ?? 0;
}
