import type { DwarfVariable } from '../dwarf/types.ts';
import type { ElfFile, Section } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import { specialKind } from './kinds.ts';

/** Bits of an object, counted from its start. */
export interface Bits {
  readonly offset: number;
  readonly size: number;
}

/** Where `struct _ddebug` has had its line number since Linux 2.6.30: 18 bits behind four pointers. */
const DYNDBG: Bits = { offset: 256, size: 18 };

/** The line number in the description of a debug site (`__dyndbg`, `_ftrace_branch`); undefined for other data. */
export function lineField(
  object: ObjectModel,
  section: Section,
  variable: DwarfVariable | undefined,
): Bits | undefined {
  if (specialKind(section.name)?.kind !== 'debug-site') return undefined;
  const type = variable && object.dwarf.types[unqualified(object, variable.type)];
  const member = type?.members.find(({ name }) => name === 'lineno' || name === 'line');
  if (member) return { offset: member.bitOffset, size: member.bitSize };
  return /^__(dyndbg|verbose)/.test(section.name) ? DYNDBG : undefined;
}

function unqualified(object: ObjectModel, index: number): number {
  let at = index;
  for (let depth = 0; depth < 8; depth++) {
    const type = object.dwarf.types[at];
    if (type?.kind !== 'const' && type?.kind !== 'volatile' && type?.kind !== 'typedef') break;
    at = type.target;
  }
  return at;
}

const entriesOf = new WeakMap<ElfFile, ReadonlySet<string>>();

/** Places (`section:offset`) of the descriptions of messages (`struct pi_entry`) that `.printk_index` points to: for people to read, not for the kernel. */
export function printkEntries(elf: ElfFile): ReadonlySet<string> {
  let found = entriesOf.get(elf);
  if (!found) {
    const places = new Set<string>();
    for (const { index, name } of elf.sections) {
      if (specialKind(name)?.kind !== 'printk') continue;
      for (const { symbol, addend } of elf.relocationsOf(index)) {
        const target = elf.symbols[symbol];
        if (typeof target?.place === 'number') places.add(`${target.place}:${target.offset + addend}`);
      }
    }
    found = places;
    entriesOf.set(elf, found);
  }
  return found;
}

/** A copy of some bytes with the bits set to zero. Little endian. */
export function withoutBits({ offset, size }: Bits, bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  for (let at = offset; at < offset + size && at >> 3 < copy.length; at++) copy[at >> 3]! &= ~(1 << (at & 7));
  return copy;
}

/** Offset of the first byte that differs outside of some bits; -1 where none does. Little endian. */
export function firstDifferenceOutside(
  bits: Bits,
  base: Uint8Array,
  baseAt: number,
  next: Uint8Array,
  nextAt: number,
  size: number,
): number {
  for (let i = 0; i < size; i++) {
    let mask = 0xff;
    for (let bit = 0; bit < 8; bit++) {
      const at = i * 8 + bit;
      if (at >= bits.offset && at < bits.offset + bits.size) mask &= ~(1 << bit);
    }
    if (((base[baseAt + i] ?? 0) & mask) !== ((next[nextAt + i] ?? 0) & mask)) return i;
  }
  return -1;
}
