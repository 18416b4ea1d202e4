import type { TypeChange } from '../diff/types.ts';

/** What a changed struct or union means for instances that exist already; the worst that applies. */
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

const reserved = /^_*(reserved|rsvd|resv|pad|padding|unused|spare|dummy|fill|filler|hole)\d*_*\w{0,4}$/i;

/** True where a rename takes a reserved member into use: `pad2` → `flags`. */
export const takesReserved = (change: TypeChange['members'][number]): boolean =>
  change.what === 'renamed' && reserved.test(change.base?.name ?? '') && !reserved.test(change.next?.name ?? '');

/** Classifies a changed struct, union or typedef. */
export function judgeLayout(type: TypeChange): LayoutVerdict {
  if (type.status !== 'changed') return 'none';
  if (type.kind === 'typedef') return type.baseSize !== type.nextSize ? 'layout' : 'retyped';
  if (type.kind === 'enum') return type.baseSize !== type.nextSize ? 'layout' : 'none';
  const { members } = type;
  const shifts = members.some(
    ({ what, inPadding, overlay }) =>
      what === 'moved' ||
      what === 'resized' ||
      what === 'bit-position' ||
      (what === 'added' && !inPadding && !overlay && type.nextSize <= type.baseSize),
  );
  if (shifts || type.nextSize < type.baseSize) return 'layout';
  if (type.nextSize > type.baseSize) return 'grown';
  if (members.some(({ what }) => what === 'removed')) return 'removed';
  if (members.some((member) => (member.what === 'added' && member.inPadding) || takesReserved(member)))
    return 'padding';
  if (members.some(({ what }) => what === 'retyped')) return 'retyped';
  return 'none';
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
