import type { TypeRef } from '../dwarf/types.ts';
import type { SameType } from './same-type.ts';
import { isTagged, type TypeTable } from './type-table.ts';

/** A type under the name that it is known by on both sides. */
export interface TypePair {
  /** Tag, typedef name, or the words for a nameless one. */
  readonly name: string;
  /** C spelling, e.g. `struct foo`. */
  readonly label: string;
  readonly base: TypeRef;
  readonly next: TypeRef;
}

/** A type that only one side has. */
export interface LoneType {
  readonly name: string;
  readonly label: string;
  readonly ref: TypeRef;
}

export interface PairedTypes {
  readonly pairs: readonly TypePair[];
  readonly added: readonly LoneType[];
  readonly removed: readonly LoneType[];
}

/**
 * Pairs named types of two objects: by C label (kind and tag), several of one label (other scopes) in order; then what is left by the typedef
 * that both sides have (a tag given or renamed), nameless enums by a common enumerator, nameless structs by the variable of that type.
 * Nameless types inside other types are compared there, not here.
 */
export function pairTypes(base: TypeTable, next: TypeTable, same: SameType): PairedTypes {
  const pairs: TypePair[] = [];
  const usedBase = new Set<TypeRef>();
  const usedNext = new Set<TypeRef>();
  const add = (label: string, b: TypeRef, n: TypeRef): void => {
    if (usedBase.has(b) || usedNext.has(n)) return;
    usedBase.add(b);
    usedNext.add(n);
    pairs.push({ name: label.replace(/^(struct|union|enum) /, ''), label, base: b, next: n });
  };

  const baseByLabel = byLabel(base);
  const nextByLabel = byLabel(next);
  for (const [label, nextRefs] of nextByLabel) {
    const baseRefs = baseByLabel.get(label) ?? [];
    for (let i = 0; i < Math.min(baseRefs.length, nextRefs.length); i++) add(label, baseRefs[i]!, nextRefs[i]!);
  }
  pairTypedefs(base, next, same, usedBase, usedNext, add);
  pairEnumsByEnumerator(base, next, usedBase, usedNext, add);
  pairByVariable(base, next, add);

  return {
    pairs: pairs.sort((x, y) => x.next - y.next),
    added: lone(nextByLabel, usedNext),
    removed: lone(baseByLabel, usedBase),
  };
}

/** Complete tagged types by label; a label that is only declared keeps its declaration, so that it is not taken for removed. */
function byLabel(table: TypeTable): Map<string, TypeRef[]> {
  const complete = new Map<string, TypeRef[]>();
  const declared = new Map<string, TypeRef[]>();
  for (const type of table.dwarf.types) {
    if (!isTagged(type)) continue;
    const label = table.label(type.index);
    if (label === '') continue;
    const map = type.declaration ? declared : complete;
    const list = map.get(label);
    if (list) list.push(type.index);
    else map.set(label, [type.index]);
  }
  for (const [label, refs] of declared) if (!complete.has(label)) complete.set(label, refs.slice(0, 1));
  return complete;
}

function lone(labels: ReadonlyMap<string, readonly TypeRef[]>, used: ReadonlySet<TypeRef>): LoneType[] {
  const list: LoneType[] = [];
  for (const [label, refs] of labels) {
    // Several definitions of one label, some paired: the rest are repetitions in other units or scopes, not new types.
    if (refs.some((ref) => used.has(ref))) continue;
    list.push({ name: label.replace(/^(struct|union|enum) /, ''), label, ref: refs[0]! });
  }
  return list;
}

type Add = (label: string, b: TypeRef, n: TypeRef) => void;

function pairTypedefs(
  base: TypeTable,
  next: TypeTable,
  same: SameType,
  usedBase: ReadonlySet<TypeRef>,
  usedNext: ReadonlySet<TypeRef>,
  add: Add,
): void {
  const old = new Map<string, TypeRef>();
  for (const type of base.dwarf.types) {
    if (type.kind === 'typedef' && !old.has(type.name)) old.set(type.name, type.index);
  }
  const seen = new Set<string>();
  for (const type of next.dwarf.types) {
    if (type.kind !== 'typedef' || seen.has(type.name)) continue;
    seen.add(type.name);
    const was = old.get(type.name);
    if (was === undefined) continue;
    const b = base.strip(was);
    const n = next.strip(type.index);
    const bt = base.get(b);
    const nt = next.get(n);
    if (isTagged(bt) && isTagged(nt) && bt.kind === nt.kind && !usedBase.has(b) && !usedNext.has(n)) {
      add(type.name, b, n);
    } else if (!same(was, type.index)) {
      add(type.name, was, type.index);
    }
  }
}

function pairEnumsByEnumerator(
  base: TypeTable,
  next: TypeTable,
  usedBase: ReadonlySet<TypeRef>,
  usedNext: ReadonlySet<TypeRef>,
  add: Add,
): void {
  const owner = new Map<string, TypeRef>();
  for (const type of base.dwarf.types) {
    if (type.kind !== 'enum' || usedBase.has(type.index)) continue;
    for (const { name } of type.enumerators) if (!owner.has(name)) owner.set(name, type.index);
  }
  if (owner.size === 0) return;
  for (const type of next.dwarf.types) {
    if (type.kind !== 'enum' || usedNext.has(type.index)) continue;
    const common = type.enumerators.find(({ name }) => owner.has(name));
    if (!common) continue;
    const ref = owner.get(common.name)!;
    const label = next.label(type.index) || base.label(ref) || `enum {${common.name}, …}`;
    add(label, ref, type.index);
  }
}

function pairByVariable(base: TypeTable, next: TypeTable, add: Add): void {
  const nameless = (table: TypeTable): Map<string, TypeRef> => {
    const map = new Map<string, TypeRef>();
    for (const variable of table.dwarf.variables) {
      const ref = table.element(variable.type);
      const type = table.get(ref);
      if (type && (type.kind === 'struct' || type.kind === 'union') && table.label(ref) === '') {
        map.set(`${variable.scope ?? ''}/${variable.name}/${type.kind}`, ref);
      }
    }
    return map;
  };
  const old = nameless(base);
  for (const [key, ref] of nameless(next)) {
    const was = old.get(key);
    const [, name, kind] = key.split('/');
    if (was !== undefined) add(`${kind} {…} ${name}`, was, ref);
  }
}
