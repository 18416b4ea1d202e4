import type { DwarfVariable } from '../dwarf/types.ts';
import type { Section } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import { specialKind } from './kinds.ts';

/** Bits of an object, counted from its start. */
export interface Bits {
  readonly offset: number;
  readonly size: number;
}

/** Where `struct _ddebug` has had its line number since Linux 2.6.30: 18 bits behind four pointers. */
const DYNDBG: Bits = { offset: 256, size: 18 };

/** The line number in a debug site's description (`__dyndbg`, `_ftrace_branch`); undefined for other data. */
export function lineField(
  object: ObjectModel,
  section: Section,
  variable: DwarfVariable | undefined,
): Bits | undefined {
  if (specialKind(section.name)?.kind !== 'debug-site') return undefined;
  const type = variable && object.dwarf.types[variable.type];
  const member = type?.members.find(({ name }) => name === 'lineno' || name === 'line');
  if (member) return { offset: member.bitOffset, size: member.bitSize };
  return /^__(dyndbg|verbose)/.test(section.name) ? DYNDBG : undefined;
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
