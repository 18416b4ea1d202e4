import * as d from './constants.ts';
import { Damaged, Reader } from './reader.ts';
import { interestOf, SLOTS } from './slots.ts';

/** Sizes that the encoding of forms depends on (DWARF 5, 7.4 and 7.5.1). */
export interface Encoding {
  readonly version: number;
  /** 4 in 32-bit DWARF, 8 in 64-bit DWARF. */
  readonly offsetSize: 4 | 8;
  readonly addressSize: number;
}

/** One abbreviation declaration (DWARF 5, 7.5.3), prepared for skipping and for picking attributes. */
export interface Abbrev {
  readonly tag: number;
  readonly hasChildren: boolean;
  readonly names: readonly number[];
  readonly forms: readonly number[];
  /** Bytes of each attribute's value; -1 where it varies. */
  readonly sizes: readonly number[];
  /** Values of DW_FORM_implicit_const. */
  readonly implicit: readonly number[];
  /** Slot of each attribute in `Die`; 0 = not of interest. */
  readonly slots: readonly number[];
  /** Bytes of all attributes; -1 where they vary. */
  readonly fixedSize: number;
  /** How to move over the attributes: bytes to skip, or one of the `SKIP_` steps; `SKIP_FORM` is followed by the attribute's form. */
  readonly steps: Int32Array;
  /** What the scan does with entries of this kind: see `slots.ts`. */
  readonly interest: number;
}

/** Steps of `Abbrev.steps` that depend on the data: a LEB128 number, a block with its length as one, any other form. */
export const SKIP_LEB = -1;
export const SKIP_BLOCK = -2;
export const SKIP_FORM = -3;

/** Abbreviations by code. */
export interface AbbrevTable {
  get(code: number): Abbrev | undefined;
}

/** Bytes of a value of this form; -1 where it varies or is not known. */
export function fixedFormSize(form: number, encoding: Encoding): number {
  switch (form) {
    case d.DW_FORM_flag_present:
    case d.DW_FORM_implicit_const:
      return 0;
    case d.DW_FORM_data1:
    case d.DW_FORM_ref1:
    case d.DW_FORM_flag:
    case d.DW_FORM_strx1:
    case d.DW_FORM_addrx1:
      return 1;
    case d.DW_FORM_data2:
    case d.DW_FORM_ref2:
    case d.DW_FORM_strx2:
    case d.DW_FORM_addrx2:
      return 2;
    case d.DW_FORM_strx3:
    case d.DW_FORM_addrx3:
      return 3;
    case d.DW_FORM_data4:
    case d.DW_FORM_ref4:
    case d.DW_FORM_strx4:
    case d.DW_FORM_addrx4:
    case d.DW_FORM_ref_sup4:
      return 4;
    case d.DW_FORM_data8:
    case d.DW_FORM_ref8:
    case d.DW_FORM_ref_sig8:
    case d.DW_FORM_ref_sup8:
      return 8;
    case d.DW_FORM_data16:
      return 16;
    case d.DW_FORM_addr:
      return encoding.addressSize;
    case d.DW_FORM_ref_addr:
      return encoding.version <= 2 ? encoding.addressSize : encoding.offsetSize;
    case d.DW_FORM_sec_offset:
    case d.DW_FORM_strp:
    case d.DW_FORM_line_strp:
    case d.DW_FORM_strp_sup:
    case d.DW_FORM_GNU_ref_alt:
    case d.DW_FORM_GNU_strp_alt:
      return encoding.offsetSize;
    default:
      return -1;
  }
}

/** Reads and keeps the abbreviation tables of `.debug_abbrev`. */
export class AbbrevTables {
  readonly #data: Uint8Array;
  readonly #cache = new Map<string, AbbrevTable>();
  /** Tables of a crafted file may overlap: no more bytes are read than this, all tables together. */
  #budget: number;

  constructor(data: Uint8Array) {
    this.#data = data;
    this.#budget = data.length * 2 + 4096;
  }

  /** The table at `offset`. Throws `Damaged`. */
  at(offset: number, encoding: Encoding): AbbrevTable {
    const key = `${offset}.${encoding.version}.${encoding.offsetSize}.${encoding.addressSize}`;
    let table = this.#cache.get(key);
    if (!table) {
      table = this.#read(offset, encoding);
      this.#cache.set(key, table);
    }
    return table;
  }

  #read(offset: number, encoding: Encoding): AbbrevTable {
    if (!(offset < this.#data.length))
      throw new Damaged('The abbreviation table lies outside of .debug_abbrev.', offset);
    if (this.#budget <= 0) throw new Damaged('The abbreviation tables overlap.', offset);
    const reader = new Reader(this.#data, offset);
    // Compilers number from 1 without gaps; a Map takes whatever else comes.
    const dense: (Abbrev | undefined)[] = [undefined];
    const sparse = new Map<number, Abbrev>();
    try {
      for (;;) {
        const code = reader.uleb();
        if (code === 0) break;
        const abbrev = readAbbrev(reader, encoding);
        if (code === dense.length) dense.push(abbrev);
        else if (code > dense.length) sparse.set(code, abbrev);
      }
    } finally {
      this.#budget -= reader.pos - offset;
    }
    return { get: (code) => dense[code] ?? sparse.get(code) };
  }
}

function readAbbrev(reader: Reader, encoding: Encoding): Abbrev {
  const tag = reader.uleb();
  const hasChildren = reader.u8() !== 0;
  const names: number[] = [];
  const forms: number[] = [];
  const sizes: number[] = [];
  const implicit: number[] = [];
  const slots: number[] = [];
  let fixedSize = 0;
  for (;;) {
    const name = reader.uleb();
    const form = reader.uleb();
    if (name === 0 && form === 0) break;
    const size = fixedFormSize(form, encoding);
    names.push(name);
    forms.push(form);
    sizes.push(size);
    implicit.push(form === d.DW_FORM_implicit_const ? reader.sleb() : 0);
    slots.push(SLOTS.get(name) ?? 0);
    fixedSize = size < 0 || fixedSize < 0 ? -1 : fixedSize + size;
  }
  const interest = interestOf(tag, names, forms);
  return {
    tag,
    hasChildren,
    names,
    forms,
    sizes,
    implicit,
    slots,
    fixedSize,
    steps: stepsOver(forms, sizes),
    interest,
  };
}

function stepsOver(forms: readonly number[], sizes: readonly number[]): Int32Array {
  const steps: number[] = [];
  forms.forEach((form, i) => {
    const size = sizes[i]!;
    const last = steps.length - 1;
    if (size === 0) return;
    // A form may follow SKIP_FORM: it is no number of bytes to add to.
    if (size > 0 && last >= 0 && steps[last]! > 0 && steps[last - 1] !== SKIP_FORM) steps[last]! += size;
    else if (size > 0) steps.push(size);
    else if (form === d.DW_FORM_exprloc || form === d.DW_FORM_block) steps.push(SKIP_BLOCK);
    else if (isLeb(form)) steps.push(SKIP_LEB);
    else steps.push(SKIP_FORM, form);
  });
  return Int32Array.from(steps);
}

/** Forms whose value is one LEB128 number. */
export function isLeb(form: number): boolean {
  switch (form) {
    case d.DW_FORM_udata:
    case d.DW_FORM_sdata:
    case d.DW_FORM_ref_udata:
    case d.DW_FORM_strx:
    case d.DW_FORM_addrx:
    case d.DW_FORM_loclistx:
    case d.DW_FORM_rnglistx:
    case d.DW_FORM_GNU_addr_index:
    case d.DW_FORM_GNU_str_index:
      return true;
    default:
      return false;
  }
}
