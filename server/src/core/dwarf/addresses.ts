import * as c from '../elf/constants.ts';
import type { ElfFile } from '../elf/types.ts';
import * as d from './constants.ts';
import type { Die } from './die.ts';
import type { DebugSection, Place } from './sections.ts';
import type { Unit } from './units.ts';

/**
 * Turns addresses of the debug information into places: in relocatable files through the relocation of the field, in
 * linked files through the section that covers the address.
 */
export class Addresses {
  readonly #relocatable: boolean;
  readonly #table: () => DebugSection;
  /** Allocated sections of linked files by address. */
  readonly #starts: bigint[] = [];
  readonly #sections: { index: number; start: bigint; end: bigint }[] = [];

  constructor(elf: ElfFile, table: () => DebugSection) {
    this.#relocatable = elf.kind === 'rel';
    this.#table = table;
    if (this.#relocatable) return;
    for (const section of elf.sections) {
      // .tbss shares its addresses with what follows it.
      if (!(section.flags & c.SHF_ALLOC) || section.size === 0) continue;
      if (section.flags & c.SHF_TLS && section.type === c.SHT_NOBITS) continue;
      const size = BigInt(Math.min(section.size, Number.MAX_SAFE_INTEGER));
      this.#sections.push({ index: section.index, start: section.address, end: section.address + size });
    }
    this.#sections.sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
    this.#starts = this.#sections.map((section) => section.start);
  }

  get relocatable(): boolean {
    return this.#relocatable;
  }

  /** The number in an address field. Truncated reads give 0. */
  valueOf(section: DebugSection, at: number, size: number): bigint {
    if (!(at >= 0 && at + size <= section.data.length)) return 0n;
    return size === 8 ? section.view.getBigUint64(at, true) : BigInt(section.view.getUint32(at, true));
  }

  /** The place that an address field points to. */
  ofField(section: DebugSection, at: number, size: number): Place | undefined {
    if (!(at >= 0 && at + size <= section.data.length)) return undefined;
    if (!this.#relocatable) return this.locate(this.valueOf(section, at, size));
    const target = section.targetSection(at);
    if (target === undefined) return undefined;
    const offset = Number(BigInt.asIntN(64, this.valueOf(section, at, size)));
    return offset >= 0 && Number.isSafeInteger(offset) ? { section: target, offset } : undefined;
  }

  /** The place of an address of a linked file. The address just behind a section belongs to it where no other begins there. */
  locate(address: bigint): Place | undefined {
    let low = 0;
    let high = this.#starts.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      if (this.#starts[middle]! <= address) low = middle + 1;
      else high = middle - 1;
    }
    const section = this.#sections[high];
    if (!section || address > section.end) return undefined;
    return { section: section.index, offset: Number(address - section.start) };
  }

  /** Field of .debug_addr by index (DWARF 5, 7.27). */
  #slot(unit: Unit, index: number): number {
    return unit.addrBase + index * unit.addressSize;
  }

  indexed(unit: Unit, index: number): Place | undefined {
    return this.ofField(this.#table(), this.#slot(unit, index), unit.addressSize);
  }

  indexedValue(unit: Unit, index: number): bigint {
    return this.valueOf(this.#table(), this.#slot(unit, index), unit.addressSize);
  }

  /** The place that an attribute of class address gives, direct or by index. */
  ofAttribute(die: Die, slot: number): Place | undefined {
    const form = die.form(slot);
    if (form === d.DW_FORM_addr) return this.ofField(die.unit.section, die.position(slot), die.unit.addressSize);
    return isAddressIndex(form) ? this.indexed(die.unit, die.number(slot)!) : undefined;
  }

  valueOfAttribute(die: Die, slot: number): bigint {
    const form = die.form(slot);
    if (form === d.DW_FORM_addr) return this.valueOf(die.unit.section, die.position(slot), die.unit.addressSize);
    return isAddressIndex(form) ? this.indexedValue(die.unit, die.number(slot)!) : 0n;
  }
}

/** True for the forms that index .debug_addr. */
export function isAddressIndex(form: number): boolean {
  return (
    form === d.DW_FORM_addrx ||
    (form >= d.DW_FORM_addrx1 && form <= d.DW_FORM_addrx4) ||
    form === d.DW_FORM_GNU_addr_index
  );
}
