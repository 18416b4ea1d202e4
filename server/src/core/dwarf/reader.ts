/** Thrown inside the DWARF room where the bytes make no sense; caught per unit or table and told as a problem. Never leaves the room. */
export class Damaged extends Error {
  readonly offset: number;
  constructor(message: string, offset: number) {
    super(message);
    this.offset = offset;
  }
}

/** Cursor over the little-endian bytes of a debug section. Reads past `end` throw `Damaged`. */
export class Reader {
  readonly data: Uint8Array;
  readonly view: DataView;
  pos: number;
  end: number;

  /** `view`: over the same bytes, where there is one already. */
  constructor(data: Uint8Array, pos = 0, end = data.length, view?: DataView) {
    this.data = data;
    this.view = view ?? new DataView(data.buffer, data.byteOffset, data.byteLength);
    this.pos = pos;
    this.end = Math.min(end, data.length);
  }

  need(bytes: number): void {
    if (!(this.pos + bytes <= this.end)) throw new Damaged('The data ends in the middle of a value.', this.pos);
  }
  u8(): number {
    this.need(1);
    return this.data[this.pos++]!;
  }
  i8(): number {
    return (this.u8() << 24) >> 24;
  }
  u16(): number {
    this.need(2);
    const value = this.view.getUint16(this.pos, true);
    this.pos += 2;
    return value;
  }
  u24(): number {
    this.need(3);
    const value = this.view.getUint16(this.pos, true) | (this.data[this.pos + 2]! << 16);
    this.pos += 3;
    return value;
  }
  u32(): number {
    this.need(4);
    const value = this.view.getUint32(this.pos, true);
    this.pos += 4;
    return value;
  }
  /** Exact below 2^53. */
  u64(): number {
    this.need(8);
    const value = this.view.getUint32(this.pos + 4, true) * 0x1_0000_0000 + this.view.getUint32(this.pos, true);
    this.pos += 8;
    return value;
  }
  /** Unsigned number of 1, 2, 3, 4 or 8 bytes. */
  unsigned(size: number): number {
    switch (size) {
      case 1:
        return this.u8();
      case 2:
        return this.u16();
      case 3:
        return this.u24();
      case 4:
        return this.u32();
      case 8:
        return this.u64();
      default:
        throw new Damaged(`Numbers of ${size} bytes are not known.`, this.pos);
    }
  }
  uleb(): number {
    const { data, end } = this;
    let byte = data[this.pos]!;
    if (this.pos < end && byte < 0x80) {
      this.pos++;
      return byte;
    }
    let value = 0;
    let factor = 1;
    do {
      if (this.pos >= end) throw new Damaged('A LEB128 number runs past the end.', this.pos);
      byte = data[this.pos++]!;
      // Above 2^70 a number means nothing here; factor stays finite on long padding.
      if (factor < 2 ** 70) value += (byte & 0x7f) * factor;
      factor = Math.min(factor * 128, 2 ** 77);
    } while (byte >= 0x80);
    return value;
  }
  sleb(): number {
    const { data, end } = this;
    const byte = data[this.pos]!;
    if (this.pos < end && byte < 0x80) {
      this.pos++;
      return byte & 0x40 ? byte - 0x80 : byte;
    }
    return Number(this.slebBig());
  }
  ulebBig(): bigint {
    return this.#leb(false);
  }
  slebBig(): bigint {
    return this.#leb(true);
  }
  #leb(signed: boolean): bigint {
    let value = 0n;
    let shift = 0n;
    let byte: number;
    do {
      byte = this.u8();
      if (shift < 64n) value |= BigInt(byte & 0x7f) << shift;
      shift += 7n;
    } while (byte >= 0x80);
    if (signed && byte & 0x40 && shift < 64n) value -= 1n << shift;
    return signed ? BigInt.asIntN(64, value) : BigInt.asUintN(64, value);
  }
  skipLeb(): void {
    const { data, end } = this;
    while (this.pos < end) if (data[this.pos++]! < 0x80) return;
    throw new Damaged('A LEB128 number runs past the end.', this.pos);
  }
  skip(bytes: number): void {
    this.need(bytes);
    this.pos += bytes;
  }
  /** Skips a NUL-terminated string; gives where it began. */
  skipString(): number {
    const start = this.pos;
    const end = this.data.indexOf(0, start);
    if (end < 0 || end >= this.end) throw new Damaged('A string has no end.', start);
    this.pos = end + 1;
    return start;
  }
  /** Initial length of a unit (DWARF 5, 7.4): its offset size is 8 in 64-bit DWARF. */
  initialLength(): { length: number; offsetSize: 4 | 8 } {
    const length = this.u32();
    if (length < 0xfffffff0) return { length, offsetSize: 4 };
    if (length === 0xffffffff) return { length: this.u64(), offsetSize: 8 };
    throw new Damaged(`The unit length 0x${length.toString(16)} is reserved.`, this.pos - 4);
  }
}
