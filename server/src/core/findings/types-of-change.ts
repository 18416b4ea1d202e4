import { isReservedName } from '../diff/reserved.ts';
import type { MemberChange, TypeChange } from '../diff/types.ts';

/** What a changed struct or union means for instances that exist already. */
export type LayoutVerdict =
  /** Members moved, changed size or bit position, or went away such that the rest shifted or the type shrank. */
  | 'layout'
  /** Offsets hold, but the type is larger. */
  | 'grown'
  /** A member that nothing takes the place of was removed; offsets and size hold. */
  | 'removed'
  /** New members lie in old padding, or in a member that was reserved for that. */
  | 'padding'
  /** Same offset and size, another type. */
  | 'retyped'
  | 'none';

/** True where a member that only kept room is taken into use in its place: `pad2` → `flags`. */
export const takesReserved = ({ what, base, next }: MemberChange): boolean =>
  (what === 'renamed' || what === 'retyped') && isReservedName(base?.name ?? '') && !isReservedName(next?.name ?? '');

/** The worst of what a changed type means for instances that exist already. */
export function judgeLayout(type: TypeChange): LayoutVerdict {
  return layoutFacts(type)[0] ?? 'none';
}

/** Everything that holds of a changed struct, union, enum or typedef, the worst first; each is reported by its own code. */
export function layoutFacts(type: TypeChange): readonly LayoutVerdict[] {
  if (type.status !== 'changed') return [];
  if (type.kind === 'typedef') return [type.baseSize !== type.nextSize ? 'layout' : 'retyped'];
  if (type.kind === 'enum') return type.baseSize !== type.nextSize ? ['layout'] : [];
  const { members } = type;
  const shifts = members.some(
    ({ what, inPadding, inReserved, overlay, reserved }) =>
      // Nobody reads what only keeps room: who gave it up or pushed it is what counts, and that moves too if it is in the way.
      (!reserved && (what === 'moved' || what === 'resized' || what === 'bit-position')) ||
      (what === 'added' && !inPadding && !inReserved && !overlay && type.nextSize <= type.baseSize),
  );
  const layout = shifts || type.nextSize < type.baseSize;
  const facts: LayoutVerdict[] = [];
  if (layout) facts.push('layout');
  if (type.nextSize > type.baseSize) facts.push('grown');
  // What is gone, or lies in what was padding, says something of its own only where the rest is where it was.
  if (!layout && type.nextSize === type.baseSize && members.some(isGone)) facts.push('removed');
  if (!layout && members.some(usesPadding)) facts.push('padding');
  if (members.some(keepsPlace)) facts.push('retyped');
  return facts;
}

/** A member in bytes that nobody maintained so far. */
const usesPadding = (change: MemberChange): boolean =>
  (change.what === 'added' &&
    (change.inPadding === true || change.inReserved === true) &&
    !isReservedName(change.next?.name ?? '')) ||
  takesReserved(change);

/** A member that somebody may still read. */
const isGone = ({ what, reserved }: MemberChange): boolean => what === 'removed' && !reserved;

/** A member of another type at the same place; not one that nobody had a use for before. */
const keepsPlace = ({ what, base, next }: MemberChange): boolean =>
  what === 'retyped' &&
  !isReservedName(base?.name ?? '') &&
  base?.bitOffset === next?.bitOffset &&
  base?.bitSize === next?.bitSize;

/** Members that a fact is about; all edited ones for the worst fact of the type. */
export function membersOf(type: TypeChange, fact: LayoutVerdict): TypeChange['members'] {
  if (fact === 'padding') {
    // The new field first: it is what the finding is about, and where it is placed.
    const used = type.members.filter(usesPadding);
    return fact === judgeLayout(type)
      ? [...used, ...editedMembers(type).filter((member) => !used.includes(member))]
      : used;
  }
  if (fact === judgeLayout(type)) return editedMembers(type);
  if (fact === 'retyped') return type.members.filter(keepsPlace);
  if (fact === 'removed') return type.members.filter(isGone);
  return editedMembers(type);
}

/**
 * Members that the person edited, as opposed to those that were pushed by them: what the finding is placed at.
 * Several of one kind are all listed, in the order of the new layout.
 */
export function editedMembers(type: TypeChange): TypeChange['members'] {
  const edited = type.members.filter(({ what }) => what !== 'moved' && what !== 'bit-position' && what !== 'renamed');
  if (edited.length > 0) return edited;
  const renamed = type.members.filter(takesReserved);
  return renamed.length > 0 ? renamed : type.members.filter(({ what }) => what !== 'renamed');
}
