import * as c from '../elf/constants.ts';
import * as d from './constants.ts';
import type { DwarfData } from './data.ts';
import type { Die } from './die.ts';
import { Reader } from './reader.ts';
import type { Place } from './sections.ts';
import * as s from './slots.ts';

/** What a location expression says, as far as variables with static storage need it. */
export type StaticLocation =
  /** Not an address that is fixed when the program is linked: automatic storage, or nowhere. */
  | { readonly kind: 'none' }
  /** Static storage; `place` is absent where the address points into nothing that the file has. */
  | { readonly kind: 'static'; readonly place: Place | undefined };

const NONE: StaticLocation = { kind: 'none' };

/** Reads the head of DW_AT_location (DWARF 5, 2.5): an address, by value or index, or an offset in thread-local storage. */
export function staticLocation(data: DwarfData, die: Die): StaticLocation {
  const block = die.block(s.AT_LOCATION);
  if (!block || block.end <= block.start) return NONE;
  const { unit } = die;
  const { section } = unit;
  const reader = new Reader(section.data, block.start, block.end);
  const { addresses } = data;
  const op = reader.u8();
  switch (op) {
    case d.DW_OP_addr:
      return { kind: 'static', place: addresses.ofField(section, reader.pos, unit.addressSize) };
    case d.DW_OP_addrx:
    case d.DW_OP_GNU_addr_index:
      return { kind: 'static', place: addresses.indexed(unit, reader.uleb()) };
    case d.DW_OP_const4u:
    case d.DW_OP_const8u: {
      const size = op === d.DW_OP_const8u ? 8 : 4;
      const at = reader.pos;
      reader.skip(size);
      if (!isTlsOperator(reader)) return NONE;
      if (addresses.relocatable) return { kind: 'static', place: addresses.ofField(section, at, size) };
      return { kind: 'static', place: threadPlace(data, addresses.valueOf(section, at, size)) };
    }
    case d.DW_OP_constx:
    case d.DW_OP_GNU_const_index: {
      const index = reader.uleb();
      if (!isTlsOperator(reader)) return NONE;
      if (addresses.relocatable) return { kind: 'static', place: addresses.indexed(unit, index) };
      return { kind: 'static', place: threadPlace(data, addresses.indexedValue(unit, index)) };
    }
    default:
      return NONE;
  }
}

function isTlsOperator(reader: Reader): boolean {
  if (reader.pos >= reader.end) return false;
  const op = reader.u8();
  return op === d.DW_OP_form_tls_address || op === d.DW_OP_GNU_push_tls_address;
}

/** The section and offset behind an offset in the thread-local block of a linked file. */
function threadPlace(data: DwarfData, offset: bigint): Place | undefined {
  const { elf } = data;
  const segment = elf.segments.find((candidate) => candidate.type === c.PT_TLS);
  if (!segment) return undefined;
  const address = segment.address + offset;
  for (const section of elf.sections) {
    if (!(section.flags & c.SHF_TLS) || section.size === 0 || address < section.address) continue;
    const into = Number(address - section.address);
    if (into < section.size) return { section: section.index, offset: into };
  }
  return undefined;
}

/**
 * Bytes from the start of the enclosing type at which a member begins (DW_AT_data_member_location, DWARF 5, 5.7.6):
 * a constant or the expression DW_OP_plus_uconst n; 0 where absent, undefined where it is computed at run time.
 */
export function memberLocation(die: Die): number | undefined {
  if (!die.has(s.AT_MEMBER_LOCATION)) return 0;
  const constant = die.number(s.AT_MEMBER_LOCATION);
  if (constant !== undefined) return constant;
  const block = die.block(s.AT_MEMBER_LOCATION);
  if (!block || block.end <= block.start) return undefined;
  const reader = new Reader(die.unit.section.data, block.start, block.end);
  const op = reader.u8();
  return op === d.DW_OP_plus_uconst || op === d.DW_OP_constu ? reader.uleb() : undefined;
}
