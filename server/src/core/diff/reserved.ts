import type { Member } from '../dwarf/types.ts';
import type { TypeTable } from './type-table.ts';

/** Makers of kernels and libraries put their name in front: `kabi_reserved1`, `android_kabi_reserved2`, `__glibc_reserved`. */
const makers = '(?:(?:rh|kabi|abi|android|suse|glibc|oem)_+)*';
/** A number, or what the room is for. A word for an amount (`reserved_bytes`, `pad_len`) is a field that somebody reads. */
const ending = '_*\\d*(?:_+(?:for_)?(?:future|later)?(?:_?use)?|_+(?:field|space|area|room|tail|end)s?)?_*\\d*_*';
const plain = new RegExp(
  `^_*${makers}(?:reserved?|rsvd|rsv|resv|padding|unused|not_used|mbz|kabi_padding)${ending}$`,
  'i',
);
/** What may be the name of a field in use, too: `fill` of a buffer, `spare` of a set of disks. */
const perhaps = new RegExp(`^_*${makers}(?:pad|spare|dummy|fill|filler|hole)s?${ending}$`, 'i');
/** Where the macros of a kernel's makers put the room that a new field took. */
const hidden = /kabi_hide/;

/** True for the name of a member that only keeps room for later, or fills a gap: `reserved`, `__pad2`, `kabi_reserved1`. */
export const isReservedName = (name: string): boolean => plain.test(name) || perhaps.test(name) || hidden.test(name);

/** True for a member that nobody reads: by its name, and where that could mean a field too, by being an array or a bit-field. */
export function isReservedRoom(table: TypeTable, { name, type, bitField }: Member): boolean {
  if (plain.test(name) || hidden.test(name)) return true;
  return perhaps.test(name) && (bitField || table.get(table.strip(type))?.kind === 'array');
}
