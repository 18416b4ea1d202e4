import { equalBytes } from '../asm/bytes.ts';
import * as d from './constants.ts';
import { Damaged, Reader } from './reader.ts';
import { interestOf, slotOf } from './slots.ts';

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
  readonly forms: readonly number[];
  /** Bytes of each attribute's value; -1 where it varies. */
  readonly sizes: readonly number[];
  /** Values of DW_FORM_implicit_const, by the attribute's place; may end before the last attribute. */
  readonly implicit: readonly number[];
  /** Slot of each attribute in `Die`; 0 = not of interest. */
  readonly slots: readonly number[];
  /** Bytes of all attributes; -1 where they vary. */
  readonly fixedSize: number;
  /** How to move over the attributes: bytes to skip, or one of the `SKIP_` steps; `SKIP_FORM` is followed by the attribute's form. */
  readonly steps: Int32Array;
  /** What the scan does with entries of this kind: see `slots.ts`. */
  readonly interest: number;
  /** It tells where its code lies. */
  readonly hasCode: boolean;
  /** It refers to an abstract instance or a declaration that says more. */
  readonly completes: boolean;
}

/** Steps of `Abbrev.steps` that depend on the data: a LEB128 number, a block with its length as one, any other form. */
export const SKIP_LEB = -1;
export const SKIP_BLOCK = -2;
export const SKIP_FORM = -3;

/** Abbreviations by code. */
export interface AbbrevTable {
  get(code: number): Abbrev | undefined;
  /** Those that are numbered from 1 without gaps, as compilers do, by code. */
  readonly dense: readonly (Abbrev | undefined)[];
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

/** A table with the number of bytes that it takes. */
interface ReadTable {
  readonly table: AbbrevTable;
  readonly bytes: number;
}

/** The tables of the section that was read last: both sides of a pair mostly have the same. */
let last: { readonly data: Uint8Array; readonly tables: Map<string, ReadTable> } | undefined;

/** Reads and keeps the abbreviation tables of `.debug_abbrev`. */
export class AbbrevTables {
  readonly #data: Uint8Array;
  readonly #cache = new Map<string, AbbrevTable>();
  readonly #shared: Map<string, ReadTable>;
  /** Tables of a crafted file may overlap: no more bytes are read than this, all tables together. */
  #budget: number;

  constructor(data: Uint8Array) {
    if (last?.data.length !== data.length || !equalBytes(last.data, 0, data, 0, data.length)) {
      // A copy: a view would keep the whole file.
      last = { data: new Uint8Array(data), tables: new Map() };
    }
    this.#data = last.data;
    this.#shared = last.tables;
    this.#budget = data.length * 2 + 4096;
  }

  /** The table at `offset`. Throws `Damaged`. */
  at(offset: number, encoding: Encoding): AbbrevTable {
    const key = `${offset}.${encoding.version}.${encoding.offsetSize}.${encoding.addressSize}`;
    let table = this.#cache.get(key);
    if (!table) {
      table = this.#read(key, offset, encoding);
      this.#cache.set(key, table);
    }
    return table;
  }

  #read(key: string, offset: number, encoding: Encoding): AbbrevTable {
    if (!(offset < this.#data.length))
      throw new Damaged('The abbreviation table lies outside of .debug_abbrev.', offset);
    if (this.#budget <= 0) throw new Damaged('The abbreviation tables overlap.', offset);
    let read = this.#shared.get(key);
    if (!read) {
      const reader = new Reader(this.#data, offset);
      try {
        const table = readTable(reader, encoding);
        read = { table, bytes: reader.pos - offset };
        this.#shared.set(key, read);
      } finally {
        if (!read) this.#budget -= reader.pos - offset;
      }
    }
    this.#budget -= read.bytes;
    return read.table;
  }
}

function readTable(reader: Reader, encoding: Encoding): AbbrevTable {
  // Compilers number from 1 without gaps; a Map takes whatever else comes.
  const dense: (Abbrev | undefined)[] = [undefined];
  const sparse = new Map<number, Abbrev>();
  for (;;) {
    const code = reader.uleb();
    if (code === 0) return { get: (wanted) => dense[wanted] ?? sparse.get(wanted), dense };
    const abbrev = readAbbrev(reader, encoding);
    if (code === dense.length) dense.push(abbrev);
    else if (code > dense.length) sparse.set(code, abbrev);
  }
}

const NO_NUMBERS: number[] = [];

/**
 * Declarations that were read before, by hash of their bytes: compilers write the same few thousand in all units of a program. One object for
 * all of them lets whatever is worked out about a declaration (`Abbrev.steps`, plans to compare) be worked out once.
 */
const interned = new Map<number, { readonly bytes: Uint8Array; readonly sizes: number; readonly abbrev: Abbrev }[]>();
let internedCount = 0;
/** Beyond, all are forgotten: more come from crafted files. */
const MAX_INTERNED = 8192;
/** Longer declarations are read each time. */
const MAX_INTERNED_BYTES = 512;

/** One declaration behind its code: from `interned` where it is known. */
function readAbbrev(reader: Reader, encoding: Encoding): Abbrev {
  const from = reader.pos;
  const sizes = (Math.min(encoding.version, 255) << 16) | (encoding.offsetSize << 8) | (encoding.addressSize & 255);
  const hash = skipAbbrev(reader, sizes);
  const { data, pos: to } = reader;
  const length = to - from;
  const known = interned.get(hash);
  const found = known?.find(
    (one) => one.sizes === sizes && one.bytes.length === length && equalBytes(one.bytes, 0, data, from, length),
  );
  if (found) return found.abbrev;
  reader.pos = from;
  const abbrev = parseAbbrev(reader, encoding);
  if (length > MAX_INTERNED_BYTES) return abbrev;
  if (++internedCount > MAX_INTERNED) {
    interned.clear();
    internedCount = 1;
  }
  const entry = { bytes: data.slice(from, to), sizes, abbrev };
  const list = interned.get(hash);
  if (list) list.push(entry);
  else interned.set(hash, [entry]);
  return abbrev;
}

/** Moves over a declaration, and hashes its bytes (FNV-1a). */
function skipAbbrev(reader: Reader, seed: number): number {
  const from = reader.pos;
  reader.skipLeb();
  reader.u8();
  for (;;) {
    const name = reader.uleb();
    const form = reader.uleb();
    if (name === 0 && form === 0) break;
    if (form === d.DW_FORM_implicit_const) reader.skipLeb();
  }
  const { data, pos } = reader;
  let hash = 0x811c9dc5 ^ seed;
  for (let at = from; at < pos; at++) hash = Math.imul(hash ^ data[at]!, 0x01000193);
  return hash;
}

function parseAbbrev(reader: Reader, encoding: Encoding): Abbrev {
  const tag = reader.uleb();
  const hasChildren = reader.u8() !== 0;
  const names: number[] = [];
  const forms: number[] = [];
  const sizes: number[] = [];
  let implicit = NO_NUMBERS;
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
    if (form === d.DW_FORM_implicit_const) {
      if (implicit === NO_NUMBERS) implicit = [];
      // Where there are none behind it, the list ends with the last one.
      while (implicit.length < forms.length - 1) implicit.push(0);
      implicit.push(reader.sleb());
    }
    slots.push(slotOf(name));
    fixedSize = size < 0 || fixedSize < 0 ? -1 : fixedSize + size;
  }
  const interest = interestOf(tag, names, forms);
  return {
    tag,
    hasChildren,
    forms,
    sizes,
    implicit,
    slots,
    fixedSize,
    steps: stepsOver(forms, sizes),
    interest,
    hasCode: names.includes(d.DW_AT_low_pc) || names.includes(d.DW_AT_ranges),
    completes: names.includes(d.DW_AT_abstract_origin) || names.includes(d.DW_AT_specification),
  };
}

/** How to move over attributes of these forms: see `Abbrev.steps`. */
export function stepsOver(forms: readonly number[], sizes: readonly number[]): Int32Array {
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
