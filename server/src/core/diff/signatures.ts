import type { DwarfPrototype, TypeRef } from '../dwarf/types.ts';
import { addressTaken, referencesOf } from './references.ts';
import { sameTypeOf } from './same-type.ts';
import { declare, type TypeTable, typeTable } from './type-table.ts';
import type { FunctionChange, ObjectPair, SignatureChange } from './types.ts';

/** `foo.isra.0`, `foo.part.3.cold`, `foo.llvm.123` → `foo`. C identifiers have no dot. */
export const plainName = (symbol: string): string => symbol.replace(/^(.+?)\..*$/, '$1');

/**
 * Functions defined in both objects whose parameters or return type differ: count, types (typedef renames and qualifiers do not count,
 * see `same-type.ts`), or the ellipsis. In the order of the next object's debug information.
 */
export function diffSignatures(pair: ObjectPair, functions: readonly FunctionChange[]): SignatureChange[] {
  if (pair.next.dwarf.typesLike(pair.base.dwarf)?.signatures) return [];
  const base = typeTable(pair.base.dwarf);
  const next = typeTable(pair.next.dwarf);
  const same = sameTypeOf(base, next);
  const old = definitions(pair.base.dwarf.prototypes);
  const changes: SignatureChange[] = [];
  for (const [name, after] of definitions(pair.next.dwarf.prototypes)) {
    const before = old.get(name);
    if (!before || sameSignature(before, after, same)) continue;
    const at = after.decl ?? before.decl;
    changes.push({
      name,
      base: signature(base, before),
      next: signature(next, after),
      external: before.external,
      addressTaken: isAddressTaken(pair, name),
      ...(passedAlike(base, before, next, after, same) && { passedAlike: true }),
      unpatchedCallers: unpatchedCallers(pair, name, functions),
      ...(at && { at }),
    });
  }
  return changes;
}

/** The definition of each function; for one that is only declared in this unit, nothing: its own unit judges it. */
function definitions(prototypes: readonly DwarfPrototype[]): Map<string, DwarfPrototype> {
  const map = new Map<string, DwarfPrototype>();
  for (const prototype of prototypes) {
    if (prototype.defined && !map.has(prototype.name)) map.set(prototype.name, prototype);
  }
  return map;
}

function sameSignature(
  before: DwarfPrototype,
  after: DwarfPrototype,
  same: (b: TypeRef, n: TypeRef) => boolean,
): boolean {
  return (
    before.variadic === after.variadic &&
    before.parameters.length === after.parameters.length &&
    same(before.returnType, after.returnType) &&
    before.parameters.every((parameter, i) => same(parameter.type, after.parameters[i]?.type ?? -1))
  );
}

/**
 * The same number of arguments, each in the same register or slot: of another sign, an enumeration, or a pointer to something else. A result where there was none is
 * left alone by those who do not know of it. An ellipsis takes what callers of the old kind never passed, and so does not count here.
 */
function passedAlike(
  base: TypeTable,
  before: DwarfPrototype,
  next: TypeTable,
  after: DwarfPrototype,
  same: (b: TypeRef, n: TypeRef) => boolean,
): boolean {
  if (before.variadic !== after.variadic || before.parameters.length !== after.parameters.length) return false;
  const alike = (b: TypeRef, n: TypeRef): boolean => {
    if (same(b, n)) return true;
    const width = wordSize(base, b);
    return width !== undefined && width === wordSize(next, n);
  };
  const isVoid = (ref: TypeRef): boolean => base.strip(ref) < 0 || base.get(base.strip(ref))?.kind === 'unspecified';
  const result =
    alike(before.returnType, after.returnType) ||
    (isVoid(before.returnType) && wordSize(next, after.returnType) !== undefined);
  return result && before.parameters.every((parameter, i) => alike(parameter.type, after.parameters[i]!.type));
}

/** Bytes of a whole number or address that fills its register's half or all of it: smaller ones are widened by their sign. */
function wordSize(table: TypeTable, ref: TypeRef): number | undefined {
  const type = table.get(table.strip(ref));
  if (type?.kind === 'pointer') return type.size ?? 8;
  const isNumber = type?.kind === 'enum' || (type?.kind === 'base' && (type.encoding === 5 || type.encoding === 7));
  return isNumber && (type.size === 4 || type.size === 8) ? type.size : undefined;
}

/** C declaration of a function, e.g. `int open_file(const char *path, int flags)`. */
export function signature(table: TypeTable, prototype: DwarfPrototype): string {
  const parameters = prototype.parameters.map(({ name, type }) => declare(table, type, name));
  if (prototype.variadic) parameters.push('...');
  return declare(table, prototype.returnType, `${prototype.name}(${parameters.join(', ') || 'void'})`);
}

function isAddressTaken(pair: ObjectPair, name: string): boolean {
  for (const taken of addressTaken(pair.base)) if (plainName(taken) === name) return true;
  return false;
}

/** Callers in the base object, clones of the function included, whose code the patch does not replace. */
function unpatchedCallers(pair: ObjectPair, name: string, functions: readonly FunctionChange[]): string[] {
  const replaced = new Set(functions.filter(({ lineOnly }) => !lineOnly).map((change) => change.name));
  const callers = new Set<string>();
  for (const { from, target, call } of referencesOf(pair.base)) {
    if (!call || !from || plainName(target.name) !== name || plainName(from.name) === name) continue;
    if (!replaced.has(from.name)) callers.add(from.name);
  }
  return [...callers];
}
