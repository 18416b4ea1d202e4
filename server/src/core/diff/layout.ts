import type { DwarfType, Member, TypeLikeness, TypeRef } from '../dwarf/types.ts';
import { stricterAlign } from './align.ts';
import { confinementOf } from './confined.ts';
import { pairTypes, type TypePair } from './pair-types.ts';
import { isReservedRoom } from './reserved.ts';
import { type SameType, sameDimensions, sameTypeOf } from './same-type.ts';
import { isTagged, type TypeTable, typeTable } from './type-table.ts';
import { typeWords } from './type-words.ts';
import type { MemberChange, ObjectPair, TypeChange } from './types.ts';

/** By-value nesting deeper than this is not followed; C compilers stop long before. */
const maxNesting = 64;

/** Up to this many changed types, each is judged on its own. */
const maxJudged = 64;

/** What a comparison of two aggregates says, before names and confinement are added. */
interface AggregateDiff {
  readonly members: readonly MemberChange[];
  /** Code compiled for one cannot use an instance of the other: something moved, or has another size or meaning. */
  readonly effect: boolean;
}

const noDifference: AggregateDiff = { members: [], effect: false };

/**
 * Compares the named types of both objects: structs, unions and enums by kind and tag (those without a tag by their typedef, by the variable
 * of that type, or inside the type that contains them), and typedefs of anything else. Qualifiers and typedef renames are not
 * changes; a type of which one side has only a declaration is not changed. A type that differs only through another type
 * (embedded by value, or a typedef) names it in `causes`.
 *
 * @param patched names of the functions that the patch replaces or adds, compiler suffixes included (see `confined.ts`).
 * @returns changes in the order of the next object's debug information, removed types last. Linear in the number of types.
 */
export function diffTypes(pair: ObjectPair, patched: ReadonlySet<string>): TypeChange[] {
  if (!pair.base.dwarf.present || !pair.next.dwarf.present) return [];
  const likeness = pair.next.dwarf.typesLike(pair.base.dwarf);
  if (likeness?.all && variablesKeepTypes(pair, likeness)) return [];
  const base = typeTable(pair.base.dwarf);
  const next = typeTable(pair.next.dwarf);
  const same = sameTypeOf(base, next);
  const types = pairTypes(base, next, same);
  const compare = aggregateComparer(base, next, same);
  let confinement: ReturnType<typeof confinementOf> | undefined;

  const changes: TypeChange[] = [];
  const unjudged = types.pairs.flatMap((type) => {
    if (likeness?.isSame(type.base, type.next)) return [];
    const change = compareOne(type, base, next, same, compare);
    return change ? [{ change, ref: type.base }] : [];
  });
  // What keeps a type that only changed through another one keeps that one too. So where they are many, the causes speak for them: the
  // search goes through all types, and would cost their number for each of them.
  const many = unjudged.length > maxJudged;
  const judged = new Map<TypeRef, readonly string[]>();
  for (const { change, ref } of unjudged) {
    if (many && (change.causes ?? []).length > 0) continue;
    confinement ??= confinementOf(pair.base, base, patched);
    judged.set(ref, confinement(ref));
  }
  const speak = many ? evidenceOfCauses(unjudged, judged) : undefined;
  for (const { change, ref } of unjudged) {
    const outlivesBy = judged.get(ref) ?? speak?.(change) ?? [];
    changes.push({ ...change, confined: outlivesBy.length === 0, outlivesBy });
  }
  for (const { label, name, ref } of types.added) {
    const type = next.get(ref);
    if (type && isTagged(type)) changes.push(whole(type, label, name, 'new'));
  }
  for (const { label, name, ref } of types.removed) {
    const type = base.get(ref);
    if (type && isTagged(type)) changes.push(whole(type, label, name, 'removed'));
  }
  return changes;
}

/** No variable has changed its type for another one that is there on both sides: it could be nameless, and paired by the variable. */
function variablesKeepTypes({ base, next }: ObjectPair, likeness: TypeLikeness): boolean {
  const before = new Map(base.dwarf.variables.map(({ scope, name, type }) => [`${scope ?? ''}/${name}`, type]));
  return next.dwarf.variables.every(({ scope, name, type }) => {
    const was = before.get(`${scope ?? ''}/${name}`);
    return was === undefined || likeness.isSame(was, type);
  });
}

/** Evidence for a type from the types that cause its change, over any number of steps. */
function evidenceOfCauses(
  all: readonly { readonly change: Unjudged; readonly ref: TypeRef }[],
  judged: ReadonlyMap<TypeRef, readonly string[]>,
): (change: Unjudged) => readonly string[] {
  const evidence = new Map<string, readonly string[]>();
  const causes = new Map<string, readonly string[]>();
  for (const { change, ref } of all) {
    const label = change.label ?? change.name;
    const found = judged.get(ref) ?? [];
    if (found.length > 0) evidence.set(label, found);
    causes.set(label, [...(causes.get(label) ?? []), ...(change.causes ?? [])]);
  }
  return (change) => {
    const queue = [...(change.causes ?? [])];
    const seen = new Set(queue);
    for (let label = queue.pop(); label !== undefined; label = queue.pop()) {
      const found = evidence.get(label);
      if (found) return found;
      for (const cause of causes.get(label) ?? []) {
        if (seen.has(cause)) continue;
        seen.add(cause);
        queue.push(cause);
      }
    }
    return [];
  };
}

function whole(
  type: DwarfType & { kind: 'struct' | 'union' | 'enum' },
  label: string,
  name: string,
  status: 'new' | 'removed',
): TypeChange {
  const size = type.size ?? 0;
  return {
    name,
    label,
    kind: type.kind,
    status,
    ...(status === 'new' ? { next: type } : { base: type }),
    baseSize: status === 'removed' ? size : 0,
    nextSize: status === 'new' ? size : 0,
    members: [],
    enumerators: [],
    confined: true,
    outlivesBy: [],
    causes: [],
    ...(type.at && { at: type.at }),
  };
}

type Unjudged = Omit<TypeChange, 'confined' | 'outlivesBy'>;

function compareOne(
  pair: TypePair,
  base: TypeTable,
  next: TypeTable,
  same: SameType,
  compare: (b: TypeRef, n: TypeRef) => AggregateDiff,
): Unjudged | undefined {
  const b = base.get(pair.base);
  const n = next.get(pair.next);
  if (!b || !n || incomplete(b) || incomplete(n)) return undefined;
  const at = n.at ?? b.at;
  const common = {
    name: pair.name,
    label: pair.label,
    status: 'changed' as const,
    base: b,
    next: n,
    members: [] as readonly MemberChange[],
    enumerators: [] as TypeChange['enumerators'],
    ...(at && { at }),
  };
  if (b.kind === 'typedef') {
    if (same(b.target, n.target)) return undefined;
    const cause = typedefCause(base, next, same, b.target, n.target);
    return {
      ...common,
      kind: 'typedef',
      baseSize: base.get(base.strip(b.index))?.size ?? 0,
      nextSize: next.get(next.strip(n.index))?.size ?? 0,
      causes: cause ? [cause] : [],
    };
  }
  const sizes = { baseSize: b.size ?? 0, nextSize: n.size ?? 0 };
  if (b.kind === 'enum') {
    const enumerators = compareEnumerators(b, n);
    if (enumerators.length === 0 && b.size === n.size) return undefined;
    return { ...common, ...sizes, kind: 'enum', enumerators, causes: [] };
  }
  if (b.kind !== 'struct' && b.kind !== 'union') return undefined;
  const { members } = compare(pair.base, pair.next);
  const align = stricterAlign(base, pair.base, next, pair.next);
  if (members.length === 0 && b.size === n.size && !align) return undefined;
  return { ...common, ...sizes, kind: b.kind, members, causes: causesOf(members), ...(align && { align }) };
}

/** Enumerators that have another value, are gone or are new; in the order of the next enum, the removed ones last. */
function compareEnumerators(base: DwarfType, next: DwarfType): TypeChange['enumerators'] {
  const old = new Map(base.enumerators.map((e) => [e.name, e.value]));
  const list: { name: string; base?: bigint; next?: bigint }[] = [];
  const seen = new Set<string>();
  for (const { name, value } of next.enumerators) {
    seen.add(name);
    const before = old.get(name);
    if (before === undefined) list.push({ name, next: value });
    else if (before !== value) list.push({ name, base: before, next: value });
  }
  for (const { name, value } of base.enumerators) if (!seen.has(name)) list.push({ name, base: value });
  return list;
}

/** The types that alone explain the change: none where the type's own text changed it too. */
function causesOf(members: readonly MemberChange[]): string[] {
  const causes = new Set<string>();
  for (const { what, because } of members) {
    if (because !== undefined) causes.add(because);
    // What moved or changed its bit position may have been pushed by the member that grew; anything else is an edit here.
    else if (what !== 'moved' && what !== 'bit-position') return [];
  }
  return [...causes];
}

/** True for a type without its contents on this side: it cannot be compared. */
const incomplete = (type: DwarfType): boolean =>
  type.declaration || (isTagged(type) && type.size === undefined && type.members.length === 0);

/** Innermost typedef that both sides go through by the same name and that stands for another type now: the cause. */
function typedefCause(base: TypeTable, next: TypeTable, same: SameType, b: TypeRef, n: TypeRef): string | undefined {
  const after = new Map(next.typedefs(n).map((typedef) => [typedef.name, typedef.ref]));
  let cause: string | undefined;
  for (const { name, ref } of base.typedefs(b)) {
    const other = after.get(name);
    if (other !== undefined && !same(ref, other)) cause = name;
  }
  return cause;
}

/** Field by field comparison of two structs or unions; each pair is compared once, recursion by value only. */
function aggregateComparer(
  base: TypeTable,
  next: TypeTable,
  same: SameType,
): (b: TypeRef, n: TypeRef) => AggregateDiff {
  const known = new Map<string, AggregateDiff>();

  const compare = (b: TypeRef, n: TypeRef, depth: number): AggregateDiff => {
    const key = `${b}:${n}`;
    const before = known.get(key);
    if (before) return before;
    if (depth > maxNesting) return noDifference;
    known.set(key, noDifference); // A struct cannot contain itself; broken input that says so ends here.
    const members = compareMembers(b, n, depth);
    const effect = base.get(b)?.size !== next.get(n)?.size || members.some(({ what }) => what !== 'renamed');
    const result = { members, effect };
    known.set(key, result);
    return result;
  };

  const compareMembers = (b: TypeRef, n: TypeRef, depth: number): MemberChange[] => {
    const before = base.flatMembers(b);
    const after = next.flatMembers(n);
    const names = new Set(after.map(({ name }) => name));
    const old = new Map(before.filter(({ name }) => names.has(name)).map((member) => [member.name, member]));
    const gone = before.filter(({ name }) => !names.has(name));
    const size = base.get(b)?.size ?? 0;
    const holes = holeFinder(before, size);
    const room = before.some((member) => isReservedRoom(base, member))
      ? holeFinder(
          before.filter((member) => !isReservedRoom(base, member)),
          size,
        )
      : holes;
    const changes: MemberChange[] = [];
    for (const member of after) {
      const was = old.get(member.name);
      if (was) {
        changes.push(...compareMember(was, member, depth));
        continue;
      }
      const at = gone.findIndex((g) => g.bitOffset === member.bitOffset && g.bitSize === member.bitSize);
      if (at >= 0) {
        // Another name at the same place: a rename, or a new field that takes an old one's place.
        const [replaced] = gone.splice(at, 1);
        const what =
          same(replaced!.type, member.type) && replaced!.bitField === member.bitField ? 'renamed' : 'retyped';
        changes.push({
          ...change(what, member.name, replaced, member),
          ...(what === 'retyped' && words(replaced!, member)),
        });
        continue;
      }
      const alternative = next.inUnion(n, member.name);
      const used = holes(member.bitOffset, member.bitSize);
      changes.push({
        ...change('added', member.name, undefined, member),
        inPadding: used === 'none' || (alternative && used === 'some'),
        ...(alternative && used === 'all' && { overlay: true }),
        ...(used !== 'none' && room(member.bitOffset, member.bitSize) === 'none' && { inReserved: true }),
      });
    }
    for (const member of gone)
      changes.push({
        ...change('removed', member.name, member, undefined),
        ...(isReservedRoom(base, member) && { reserved: true }),
      });
    return changes;
  };

  const compareMember = (was: Member, is: Member, depth: number): MemberChange[] => {
    const inner = compareStored(was.type, is.type, depth);
    const changes: MemberChange[] = [];
    if (was.bitSize !== is.bitSize || inner.resized) {
      if (inner.members.length === 0) changes.push(change('resized', is.name, was, is, inner.because));
    } else if (was.bitField !== is.bitField) {
      changes.push(change('bit-position', is.name, was, is));
    } else if (inner.differs && inner.members.length === 0) {
      changes.push({ ...change('retyped', is.name, was, is, inner.because), ...words(was, is) });
    }
    if (changes.length === 0 && was.bitOffset !== is.bitOffset) {
      changes.push(change(was.bitField || is.bitField ? 'bit-position' : 'moved', is.name, was, is));
    }
    if (isReservedRoom(base, was) && isReservedRoom(next, is))
      return changes.map((one) => (one.what === 'retyped' ? one : { ...one, reserved: true }));
    const suffix = base.get(base.strip(was.type))?.kind === 'array' ? '[]' : '';
    for (const nested of inner.members) changes.push({ ...nested, path: `${is.name}${suffix}.${nested.path}` });
    return changes;
  };

  const words = (was: Member, is: Member): Pick<MemberChange, 'types'> => {
    const types = typeWords(base, was.type, next, is.type);
    return types ? { types } : {};
  };

  /** The types of one member on both sides. `members`: differences inside a type that has no name of its own. */
  const compareStored = (
    b: TypeRef,
    n: TypeRef,
    depth: number,
  ): { differs: boolean; resized: boolean; because?: string; members: readonly MemberChange[] } => {
    const be = base.element(b);
    const ne = next.element(n);
    const bt = base.get(be);
    const nt = next.get(ne);
    const none = { members: [] as readonly MemberChange[] };
    const resized = bt !== undefined && nt !== undefined && bt.size !== nt.size;
    if (isTagged(bt) && bt.kind === nt?.kind && !incomplete(bt) && !incomplete(nt)) {
      const label = base.label(be);
      const aggregate = bt.kind !== 'enum';
      if (label !== '' && label === next.label(ne)) {
        const differs = aggregate ? compare(be, ne, depth + 1).effect : bt.size !== nt.size;
        if (differs) return { ...none, differs, resized, because: label };
      } else if (label === '' && next.label(ne) === '' && aggregate) {
        const { members, effect } = compare(be, ne, depth + 1);
        if (members.length > 0 || effect) return { differs: true, resized, members };
      }
    }
    if (same(b, n)) return { ...none, differs: false, resized: false };
    const because = typedefCause(base, next, same, b, n);
    return { ...none, differs: true, resized: resized && sameShape(b, n), ...(because && { because }) };
  };

  /** Both arrays of the same dimensions (flexible ones included), so that another element size means another layout. */
  const sameShape = (b: TypeRef, n: TypeRef): boolean => {
    const bt = base.get(base.strip(b));
    const nt = next.get(next.strip(n));
    return bt?.kind === 'array' && nt?.kind === 'array' && sameDimensions(bt, nt);
  };

  return (b, n) => compare(b, n, 0);
}

function change(
  what: MemberChange['what'],
  path: string,
  base: Member | undefined,
  next: Member | undefined,
  because?: string,
): MemberChange {
  const at = next?.at ?? base?.at;
  return {
    what,
    path,
    ...(base && { base }),
    ...(next && { next }),
    ...(because !== undefined && { because }),
    ...(at && { at }),
  };
}

/**
 * Tells how much of the bits [start, start+size) of a type of `bytes` bytes belongs to members: `none` is a hole, or padding at its end.
 * What lies beyond the type's end is `outside`.
 */
function holeFinder(
  members: readonly Member[],
  bytes: number,
): (start: number, size: number) => 'none' | 'some' | 'all' | 'outside' {
  const used = members
    .map(({ bitOffset, bitSize }) => [bitOffset, bitOffset + bitSize] as const)
    .filter(([from, to]) => to > from)
    .sort((a, b) => a[0] - b[0]);
  return (start, size) => {
    const end = start + size;
    if (size === 0 || end > bytes * 8) return 'outside';
    let covered = 0;
    let reached = start;
    for (const [from, to] of used) {
      if (to <= reached || from >= end) continue;
      const first = Math.max(from, reached);
      reached = Math.min(to, end);
      covered += reached - first;
    }
    return covered === 0 ? 'none' : covered === size ? 'all' : 'some';
  };
}
