import { type Abbrev, isLeb, SKIP_FORM, SKIP_LEB } from './abbrev.ts';
import * as d from './constants.ts';
import { Damaged, type Reader } from './reader.ts';
import { SLOT_COUNT } from './slots.ts';
import type { Unit } from './units.ts';

/** Moves the reader over a value whose size varies. Throws `Damaged` on forms that are not known. */
export function skipForm(reader: Reader, form: number, unit: Unit): void {
  switch (form) {
    case d.DW_FORM_exprloc:
    case d.DW_FORM_block:
      reader.skip(reader.uleb());
      return;
    case d.DW_FORM_block1:
      reader.skip(reader.u8());
      return;
    case d.DW_FORM_block2:
      reader.skip(reader.u16());
      return;
    case d.DW_FORM_block4:
      reader.skip(reader.u32());
      return;
    case d.DW_FORM_string:
      reader.skipString();
      return;
    case d.DW_FORM_indirect: {
      const actual = reader.uleb();
      if (actual === d.DW_FORM_indirect || actual === d.DW_FORM_implicit_const) {
        throw new Damaged(`Form 0x${actual.toString(16)} cannot be indirect.`, reader.pos);
      }
      const size = unit.fixedFormSize(actual);
      if (size >= 0) reader.skip(size);
      else skipForm(reader, actual, unit);
      return;
    }
    default:
      if (!isLeb(form)) throw new Damaged(`Attribute form 0x${form.toString(16)} is not known.`, reader.pos);
      reader.skipLeb();
  }
}

/** Moves the reader over all attributes of an entry. */
export function skipAttributes(reader: Reader, abbrev: Abbrev, unit: Unit): void {
  skipSteps(reader, abbrev.steps, unit);
}

/**
 * The offset behind all attributes of an entry that begin at `at`; -1 where that takes a reader. Past the end of the data it is
 * past the end of the data, too.
 */
export function behindAttributes(data: Uint8Array, at: number, abbrev: Abbrev): number {
  if (abbrev.fixedSize >= 0) return at + abbrev.fixedSize;
  const { steps } = abbrev;
  let pos = at;
  for (let i = 0; i < steps.length; i++) {
    const step = steps[i]!;
    if (step > 0) {
      pos += step;
      continue;
    }
    if (step === SKIP_FORM) return -1;
    let byte = data[pos++]!;
    if (step === SKIP_LEB) while (byte >= 0x80) byte = data[pos++]!;
    // A length of more than one byte is rare.
    else if (!(byte < 0x80)) return -1;
    else pos += byte;
  }
  return pos;
}

/** Moves the reader over attributes: see `Abbrev.steps`. */
export function skipSteps(reader: Reader, steps: Int32Array, unit: Unit): void {
  const { data } = reader;
  for (let i = 0; i < steps.length; i++) {
    const step = steps[i]!;
    if (step > 0) reader.pos += step;
    else if (step === SKIP_FORM) skipForm(reader, steps[++i]!, unit);
    else {
      const first = data[reader.pos]!;
      // Nearly all numbers and lengths have one byte.
      if (!(first < 0x80)) {
        if (step === SKIP_LEB) reader.skipLeb();
        else reader.skip(reader.uleb());
      } else reader.pos += step === SKIP_LEB ? 1 : first + 1;
    }
  }
  if (reader.pos > reader.end) throw new Damaged('An entry runs past the end of its unit.', reader.pos);
}

/**
 * A debugging information entry under the cursor. Reading notes where each attribute of interest lies; values are
 * decoded when asked for. One instance is read into again and again.
 */
export class Die {
  unit!: Unit;
  abbrev!: Abbrev;
  /** Offset of the entry in its section. */
  at = 0;
  #reader!: Reader;
  #round = 0;
  readonly #rounds = new Float64Array(SLOT_COUNT);
  readonly #positions = new Float64Array(SLOT_COUNT);
  readonly #forms = new Uint16Array(SLOT_COUNT);
  readonly #implicit = new Float64Array(SLOT_COUNT);

  /** Reads the attributes at the reader's position, which is left behind them. */
  read(unit: Unit, reader: Reader, abbrev: Abbrev, at: number): void {
    this.unit = unit;
    this.abbrev = abbrev;
    this.at = at;
    this.#reader = reader;
    const round = ++this.#round;
    const { forms, sizes, slots } = abbrev;
    for (let i = 0; i < forms.length; i++) {
      let form = forms[i]!;
      const slot = slots[i]!;
      if (form === d.DW_FORM_indirect && slot !== 0) {
        const before = reader.pos;
        form = reader.uleb();
        const after = reader.pos;
        reader.pos = before;
        this.#note(slot, round, form, after, 0);
      } else if (slot !== 0) this.#note(slot, round, form, reader.pos, abbrev.implicit[i] ?? 0);
      const size = sizes[i]!;
      if (size >= 0) reader.pos += size;
      else skipForm(reader, forms[i]!, unit);
    }
    if (reader.pos > reader.end) throw new Damaged('An entry runs past the end of its unit.', at);
  }

  #note(slot: number, round: number, form: number, position: number, implicit: number): void {
    this.#rounds[slot] = round;
    this.#forms[slot] = form;
    this.#positions[slot] = position;
    this.#implicit[slot] = implicit;
  }

  /** Key of this entry, unique in the file: see `Unit.keyBase`. */
  get key(): number {
    return this.unit.keyBase + this.at;
  }

  has(slot: number): boolean {
    return this.#rounds[slot] === this.#round;
  }

  /** Form of an attribute; 0 where absent. */
  form(slot: number): number {
    return this.has(slot) ? this.#forms[slot]! : 0;
  }

  /** Offset in the section of an attribute's value. */
  position(slot: number): number {
    return this.#positions[slot]!;
  }

  flag(slot: number): boolean {
    if (!this.has(slot)) return false;
    return this.#forms[slot] === d.DW_FORM_flag_present || this.number(slot) !== 0;
  }

  /** A constant, offset or index. Signed only where the form says so. Undefined where absent or of another class. */
  number(slot: number): number | undefined {
    if (!this.has(slot)) return undefined;
    const form = this.#forms[slot]!;
    if (form === d.DW_FORM_implicit_const) return this.#implicit[slot]!;
    if (form === d.DW_FORM_flag_present) return 1;
    const reader = this.#reader;
    const saved = reader.pos;
    reader.pos = this.#positions[slot]!;
    try {
      switch (form) {
        case d.DW_FORM_sdata:
          return reader.sleb();
        case d.DW_FORM_udata:
        case d.DW_FORM_ref_udata:
        case d.DW_FORM_strx:
        case d.DW_FORM_addrx:
        case d.DW_FORM_loclistx:
        case d.DW_FORM_rnglistx:
        case d.DW_FORM_GNU_addr_index:
        case d.DW_FORM_GNU_str_index:
          return reader.uleb();
        case d.DW_FORM_data16:
        case d.DW_FORM_addr:
          return undefined;
        default: {
          const size = this.unit.fixedFormSize(form);
          return size > 0 && size <= 8 ? reader.unsigned(size) : undefined;
        }
      }
    } finally {
      reader.pos = saved;
    }
  }

  /** A constant, exactly: signed for sdata and implicit_const, else unsigned. */
  big(slot: number): bigint | undefined {
    if (!this.has(slot)) return undefined;
    const form = this.#forms[slot]!;
    const reader = this.#reader;
    const saved = reader.pos;
    reader.pos = this.#positions[slot]!;
    try {
      switch (form) {
        case d.DW_FORM_sdata:
          return reader.slebBig();
        case d.DW_FORM_udata:
          return reader.ulebBig();
        case d.DW_FORM_data8:
          reader.need(8);
          return reader.view.getBigUint64(reader.pos, true);
        case d.DW_FORM_data16:
          reader.need(16);
          return reader.view.getBigUint64(reader.pos, true) | (reader.view.getBigUint64(reader.pos + 8, true) << 64n);
        default: {
          reader.pos = saved;
          const value = this.number(slot);
          return value === undefined ? undefined : BigInt(Math.trunc(value));
        }
      }
    } finally {
      reader.pos = saved;
    }
  }

  /** A string attribute; undefined where absent, empty where it points nowhere. */
  string(slot: number): string | undefined {
    if (!this.has(slot)) return undefined;
    const form = this.#forms[slot]!;
    if (form === d.DW_FORM_string) return this.unit.data.inlineString(this.#reader.data, this.#positions[slot]!);
    const value = this.number(slot);
    return value === undefined ? undefined : this.unit.string(form, value);
  }

  /** Key of the entry that an attribute refers to; -1 where absent or unresolvable. */
  reference(slot: number): number {
    if (!this.has(slot)) return -1;
    const form = this.#forms[slot]!;
    switch (form) {
      case d.DW_FORM_ref1:
      case d.DW_FORM_ref2:
      case d.DW_FORM_ref4:
      case d.DW_FORM_ref8:
      case d.DW_FORM_ref_udata:
        return this.unit.keyBase + this.unit.start + this.number(slot)!;
      case d.DW_FORM_ref_addr:
        return this.unit.data.keyInSection(this.unit, this.#positions[slot]!, this.number(slot)!);
      case d.DW_FORM_ref_sig8: {
        const reader = this.#reader;
        return this.unit.data.keyOfSignature(reader.view.getBigUint64(this.#positions[slot]!, true));
      }
      case d.DW_FORM_GNU_ref_alt:
      case d.DW_FORM_ref_sup4:
      case d.DW_FORM_ref_sup8:
        this.unit.data.reportSupplement();
        return -1;
      default:
        return -1;
    }
  }

  /** Where a block or expression lies in the section: [start, end). Undefined where absent or of another class. */
  block(slot: number): { start: number; end: number } | undefined {
    if (!this.has(slot)) return undefined;
    const reader = this.#reader;
    const saved = reader.pos;
    reader.pos = this.#positions[slot]!;
    try {
      let length: number;
      switch (this.#forms[slot]) {
        case d.DW_FORM_exprloc:
        case d.DW_FORM_block:
          length = reader.uleb();
          break;
        case d.DW_FORM_block1:
          length = reader.u8();
          break;
        case d.DW_FORM_block2:
          length = reader.u16();
          break;
        case d.DW_FORM_block4:
          length = reader.u32();
          break;
        default:
          return undefined;
      }
      return { start: reader.pos, end: Math.min(reader.pos + length, reader.end) };
    } finally {
      reader.pos = saved;
    }
  }
}
