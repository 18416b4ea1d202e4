import * as d from './constants.ts';
import type { DwarfData } from './data.ts';
import type { Die } from './die.ts';
import { Damaged, Reader } from './reader.ts';
import type { DebugSection, Place } from './sections.ts';
import * as s from './slots.ts';
import type { CodeRange } from './types.ts';
import type { Unit } from './units.ts';

const NONE: readonly CodeRange[] = Object.freeze([]);

/** Reads the code ranges of entries: low and high address, `.debug_ranges` (DWARF 4, 2.17.3), `.debug_rnglists` (DWARF 5, 2.17.3). */
export class Ranges {
  readonly #data: DwarfData;
  /** Lists of a crafted file may be shared or overlap: no more ranges are made than the tables have bytes. */
  #budget: number | undefined;

  constructor(data: DwarfData) {
    this.#data = data;
  }

  /** Ranges of an entry, as it lists them; empty ones left out. */
  of(die: Die): readonly CodeRange[] {
    try {
      if (die.has(s.AT_RANGES)) return this.#list(die);
      return die.has(s.AT_LOW_PC) ? this.#single(die) : NONE;
    } catch (error) {
      if (!(error instanceof Damaged) && !(error instanceof RangeError)) throw error;
      this.#data.log.add('dwarf.ranges', `A range list cannot be read: ${error.message}`);
      return NONE;
    }
  }

  #single(die: Die): readonly CodeRange[] {
    const { addresses } = this.#data;
    const low = addresses.ofAttribute(die, s.AT_LOW_PC);
    if (!low) return NONE;
    // A constant is a length, an address is the end.
    const length = die.number(s.AT_HIGH_PC);
    const form = die.form(s.AT_HIGH_PC);
    if (form === d.DW_FORM_addr || length === undefined) {
      const high = addresses.ofAttribute(die, s.AT_HIGH_PC);
      return range(low, high && high.section === low.section ? high.offset : low.offset);
    }
    return range(low, low.offset + length);
  }

  #list(die: Die): readonly CodeRange[] {
    const { unit } = die;
    const value = die.number(s.AT_RANGES);
    if (value === undefined) return NONE;
    if (unit.version < 5) return this.#readV4(unit, this.#data.sections.get('debug_ranges'), value);
    const section = this.#data.sections.get('debug_rnglists');
    let at = value;
    if (die.form(s.AT_RANGES) === d.DW_FORM_rnglistx) {
      const slot = unit.rnglistsBase + value * unit.offsetSize;
      at = unit.rnglistsBase + new Reader(section.data, slot).unsigned(unit.offsetSize);
    }
    return this.#readV5(unit, section, at);
  }

  #spend(section: DebugSection): void {
    this.#budget ??= 1000 + section.data.length;
    if (this.#budget-- <= 0) throw new Damaged('The range lists overlap.', 0);
  }

  #readV4(unit: Unit, section: DebugSection, offset: number): CodeRange[] {
    const { addresses } = this.#data;
    const reader = new Reader(section.data, offset);
    const size = unit.addressSize;
    const list: CodeRange[] = [];
    let base = unit.low;
    let baseAddress = unit.lowAddress;
    const largest = (1n << BigInt(size * 8)) - 1n;
    for (;;) {
      const at = reader.pos;
      reader.skip(2 * size);
      this.#spend(section);
      const start = addresses.valueOf(section, at, size);
      const end = addresses.valueOf(section, at + size, size);
      // In relocatable files 0, 0 ends the list only where nothing is to be filled in.
      if (start === 0n && end === 0n && !section.isRelocated(at)) return list;
      if (start === largest) {
        base = addresses.ofField(section, at + size, size);
        baseAddress = end;
      } else if (!addresses.relocatable) {
        push(list, addresses.locate(baseAddress + start), addresses.locate(baseAddress + end));
      } else if (section.isRelocated(at)) {
        push(list, addresses.ofField(section, at, size), addresses.ofField(section, at + size, size));
      } else if (base) push(list, shift(base, Number(start)), shift(base, Number(end)));
    }
  }

  #readV5(unit: Unit, section: DebugSection, offset: number): CodeRange[] {
    const { addresses } = this.#data;
    const reader = new Reader(section.data, offset);
    const size = unit.addressSize;
    const list: CodeRange[] = [];
    let base = unit.low;
    const field = (): Place | undefined => {
      const at = reader.pos;
      reader.skip(size);
      return addresses.ofField(section, at, size);
    };
    for (;;) {
      this.#spend(section);
      const kind = reader.u8();
      switch (kind) {
        case d.DW_RLE_end_of_list:
          return list;
        case d.DW_RLE_base_addressx:
          base = addresses.indexed(unit, reader.uleb());
          break;
        case d.DW_RLE_startx_endx: {
          const start = addresses.indexed(unit, reader.uleb());
          push(list, start, addresses.indexed(unit, reader.uleb()));
          break;
        }
        case d.DW_RLE_startx_length: {
          const start = addresses.indexed(unit, reader.uleb());
          push(list, start, shift(start, reader.uleb()));
          break;
        }
        case d.DW_RLE_offset_pair: {
          const start = reader.uleb();
          push(list, shift(base, start), shift(base, reader.uleb()));
          break;
        }
        case d.DW_RLE_base_address:
          base = field();
          break;
        case d.DW_RLE_start_end: {
          const start = field();
          push(list, start, field());
          break;
        }
        case d.DW_RLE_start_length: {
          const start = field();
          push(list, start, shift(start, reader.uleb()));
          break;
        }
        default:
          throw new Damaged(`Range list entry of kind ${kind}.`, reader.pos - 1);
      }
    }
  }
}

function shift(place: Place | undefined, by: number): Place | undefined {
  return place && { section: place.section, offset: place.offset + by };
}

function range(start: Place, end: number): readonly CodeRange[] {
  return end > start.offset ? [{ section: start.section, start: start.offset, end }] : NONE;
}

function push(list: CodeRange[], start: Place | undefined, end: Place | undefined): void {
  if (!start || !end || start.section !== end.section || end.offset <= start.offset) return;
  list.push({ section: start.section, start: start.offset, end: end.offset });
}
