/** Longest name that is read from a string table. Longer ones are cut: no C name is near it, and crafted files have megabytes. */
export const MAX_NAME = 4096;

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** Texts up to this length are put together by character: a call of the decoder takes longer. */
const SHORT = 24;

/** Decodes UTF-8; bytes that are not UTF-8 come out as U+FFFD. */
export function decodeText(bytes: Uint8Array): string {
  if (bytes.length > SHORT) return utf8.decode(bytes);
  let text = '';
  for (const byte of bytes) {
    if (byte >= 0x80) return utf8.decode(bytes);
    text += String.fromCharCode(byte);
  }
  return text;
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
  readonly #limit: number;

  constructor(bytes: Uint8Array, limit = MAX_NAME) {
    this.#bytes = bytes;
    this.#limit = limit;
  }

  get size(): number {
    return this.#bytes.length;
  }
  /** The table as it stands. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** Offsets from which exactly this string reads; undefined where the table is no plain text, or has it too often. */
  offsetsOf(text: string): ReadonlySet<number> | undefined {
    if (!this.#decoded) this.#decode();
    const table = this.#text;
    if (table === undefined) return undefined;
    const offsets = new Set<number>();
    const wanted = `${text}\0`;
    for (let at = table.indexOf(wanted); at >= 0; at = table.indexOf(wanted, at + 1)) {
      offsets.add(at);
      if (offsets.size > 64) return undefined;
    }
    // The last one may lack its terminator.
    if (table.endsWith(text)) offsets.add(table.length - text.length);
    return offsets;
  }

  /** The string that starts at byte `offset`. */
  at(offset: number): string {
    const bytes = this.#bytes;
    if (!(offset >= 0 && offset < bytes.length)) return '';
    if (!this.#decoded) this.#decode();
    const last = Math.min(bytes.length, offset + this.#limit);
    let end = offset;
    while (end < last && bytes[end] !== 0) end++;
    return this.#text === undefined ? decodeText(bytes.subarray(offset, end)) : this.#text.substring(offset, end);
  }

  #decode(): void {
    this.#decoded = true;
    // Strings of V8 are limited to about 2^29 characters; tables near that are read name by name.
    if (this.#bytes.length > 0x10000000) return;
    const text = decodeText(this.#bytes);
    if (text.length === this.#bytes.length) this.#text = text;
  }
}
