/** Longest name that is read from a string table. Longer ones are cut: no C name is near it, and crafted files have megabytes. */
export const MAX_NAME = 4096;

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** Decodes UTF-8; bytes that are not UTF-8 come out as U+FFFD. */
export function decodeText(bytes: Uint8Array): string {
  return utf8.decode(bytes);
}

/**
 * A table of NUL-terminated strings (gABI 4.1 "String Table", DWARF `.debug_str`), decoded once as a whole: names are
 * then slices. Reads outside of the table give the empty string; names are cut at `limit` characters.
 */
export class StringTable {
  readonly #bytes: Uint8Array;
  /** The whole table as text, where every byte is one character, so that byte offsets are string offsets. */
  #text: string | undefined;
  #decoded = false;
  /** Positions of all NULs. */
  #ends = new Float64Array(0);
  readonly #limit: number;

  constructor(bytes: Uint8Array, limit = MAX_NAME) {
    this.#bytes = bytes;
    this.#limit = limit;
  }

  get size(): number {
    return this.#bytes.length;
  }

  /** The string that starts at byte `offset`. */
  at(offset: number): string {
    const bytes = this.#bytes;
    if (!(offset >= 0 && offset < bytes.length)) return '';
    if (!this.#decoded) this.#decode();
    const end = Math.min(this.#endOf(offset), offset + this.#limit);
    return this.#text === undefined ? decodeText(bytes.subarray(offset, end)) : this.#text.substring(offset, end);
  }

  /** Position of the first NUL at or behind `offset`: searched, not scanned, since names of a crafted file may all be megabytes. */
  #endOf(offset: number): number {
    const ends = this.#ends;
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ends[middle]! < offset) low = middle + 1;
      else high = middle;
    }
    return ends[low] ?? this.#bytes.length;
  }

  #decode(): void {
    this.#decoded = true;
    const ends: number[] = [];
    for (let at = this.#bytes.indexOf(0); at >= 0; at = this.#bytes.indexOf(0, at + 1)) ends.push(at);
    this.#ends = Float64Array.from(ends);
    // Strings of V8 are limited to about 2^29 characters; tables near that are read name by name.
    if (this.#bytes.length > 0x10000000) return;
    const text = decodeText(this.#bytes);
    if (text.length === this.#bytes.length) this.#text = text;
  }
}
