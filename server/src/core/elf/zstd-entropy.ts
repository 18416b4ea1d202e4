/** What is wrong with the compressed data, in words; thrown by the parts of the decoder, caught by its caller. */
export class ZstdError extends Error {}

/** Bits of a Zstandard bit stream, read from its end to its start (RFC 8878, 4.1). Below the start there are zeros. */
export class BackwardBits {
  /** Bits that are left; negative where more were read than there are. */
  left: number;
  readonly #data: Uint8Array;

  /** `data` is the whole stream: its last byte has the mark above the last bit. Throws where that byte is zero or missing. */
  constructor(data: Uint8Array) {
    const last = data[data.length - 1] ?? 0;
    if (last === 0) throw new ZstdError('a bit stream has no end mark');
    this.#data = data;
    this.left = data.length * 8 - 8 + highestBit(last);
  }

  /** The next `count` bits (0 to 32) as a number. */
  read(count: number): number {
    this.left -= count;
    let from = this.left;
    let wanted = count;
    let below = 0;
    if (from < 0) {
      // The missing bits are the lowest ones.
      below = Math.min(-from, count);
      wanted = count - below;
      from = 0;
    }
    if (wanted === 0) return 0;
    const d = this.#data;
    const at = from >> 3;
    const shift = from & 7;
    const low = ((d[at]! | (d[at + 1]! << 8) | (d[at + 2]! << 16) | (d[at + 3]! << 24)) >>> 0) / 2 ** shift;
    const value = Math.floor(low) + (d[at + 4] ?? 0) * 2 ** (32 - shift);
    return (value % 2 ** wanted) * 2 ** below;
  }
}

/** Number of the highest bit that is set: 0 for 1, 7 for 255. -1 for 0. */
export function highestBit(value: number): number {
  return 31 - Math.clz32(value);
}

/** A decoding table of finite state entropy: per state its symbol, the bits to read and what they are added to. */
export interface FseTable {
  readonly log: number;
  readonly symbols: Uint8Array;
  readonly bits: Uint8Array;
  readonly bases: Uint16Array;
}

/** Reads the description of a table (RFC 8878, 4.1.1) at `at`. Throws where it is damaged or larger than `maxLog` allows. */
export function readFseTable(data: Uint8Array, at: number, maxLog: number): { table: FseTable; end: number } {
  let position = at * 8;
  const peek = (count: number): number => {
    const byte = position >> 3;
    const word = (data[byte] ?? 0) | ((data[byte + 1] ?? 0) << 8) | ((data[byte + 2] ?? 0) << 16);
    return (word >> (position & 7)) & ((1 << count) - 1);
  };
  const log = peek(4) + 5;
  position += 4;
  if (log > maxLog) throw new ZstdError('a table of probabilities is too large');
  const counts: number[] = [];
  let remaining = 1 << log;
  while (remaining > 0 && counts.length < 256) {
    const width = highestBit(remaining + 1) + 1;
    let value = peek(width);
    const lower = (1 << (width - 1)) - 1;
    const threshold = (1 << width) - 1 - (remaining + 1);
    if ((value & lower) < threshold) {
      position += width - 1;
      value &= lower;
    } else {
      position += width;
      if (value > lower) value -= threshold;
    }
    const count = value - 1;
    remaining -= Math.abs(count);
    counts.push(count);
    if (count !== 0) continue;
    // A run of symbols that do not occur.
    for (let repeat = 3; repeat === 3 && counts.length < 256; ) {
      repeat = peek(2);
      position += 2;
      for (let i = 0; i < repeat && counts.length < 256; i++) counts.push(0);
    }
  }
  const end = (position + 7) >> 3;
  if (remaining !== 0 || end > data.length) throw new ZstdError('a table of probabilities is damaged');
  return { table: fseTable(counts, log), end };
}

/** Builds a table from the counts of its symbols: -1 for "less than one". */
export function fseTable(counts: readonly number[], log: number): FseTable {
  const size = 1 << log;
  const symbols = new Uint8Array(size);
  const next = new Uint16Array(256);
  let high = size;
  counts.forEach((count, symbol) => {
    if (count === -1) {
      symbols[--high] = symbol;
      next[symbol] = 1;
    }
  });
  const step = (size >> 1) + (size >> 3) + 3;
  let at = 0;
  counts.forEach((count, symbol) => {
    if (count <= 0) return;
    next[symbol] = count;
    for (let i = 0; i < count; i++) {
      symbols[at] = symbol;
      // The step and the size have no common factor: every place is met once.
      do at = (at + step) & (size - 1);
      while (at >= high);
    }
  });
  const bits = new Uint8Array(size);
  const bases = new Uint16Array(size);
  for (let state = 0; state < size; state++) {
    const symbol = symbols[state]!;
    const number = next[symbol]!;
    next[symbol] = number + 1;
    bits[state] = log - highestBit(number);
    bases[state] = (number << bits[state]!) - size;
  }
  return { log, symbols, bits, bases };
}

/** A table with one symbol, which takes no bits. */
export function singleSymbol(symbol: number): FseTable {
  return { log: 0, symbols: new Uint8Array([symbol]), bits: new Uint8Array(1), bases: new Uint16Array(1) };
}

/** A Huffman decoding table: by the next `log` bits the symbol and how many of them are its own. */
export interface HuffmanTable {
  readonly log: number;
  readonly symbols: Uint8Array;
  readonly bits: Uint8Array;
}

/** Reads the description of a Huffman tree (RFC 8878, 4.2.1) at `at`. Throws where it is damaged. */
export function readHuffmanTable(data: Uint8Array, at: number): { table: HuffmanTable; end: number } {
  const header = data[at] ?? 0;
  const start = at + 1;
  const end = start + (header < 128 ? header : (header - 127 + 1) >> 1);
  if (end > data.length) throw new ZstdError('a Huffman tree is cut off');
  const weights = header < 128 ? packedWeights(data.subarray(start, end)) : plainWeights(data, start, header - 127);
  return { table: huffmanTable(weights), end };
}

function plainWeights(data: Uint8Array, start: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => {
    const byte = data[start + (i >> 1)]!;
    return i % 2 === 0 ? byte >> 4 : byte & 15;
  });
}

/** Weights written by two states that take turns. */
function packedWeights(data: Uint8Array): number[] {
  const { table, end } = readFseTable(data, 0, 6);
  const stream = new BackwardBits(data.subarray(end));
  const states = [stream.read(table.log), stream.read(table.log)];
  const weights: number[] = [];
  for (let turn = 0; ; turn ^= 1) {
    const state = states[turn]!;
    weights.push(table.symbols[state]!);
    states[turn] = table.bases[state]! + stream.read(table.bits[state]!);
    if (stream.left < 0) {
      weights.push(table.symbols[states[turn ^ 1]!]!);
      break;
    }
    // A table of one symbol would go on without taking a bit.
    if (weights.length > 255) throw new ZstdError('a Huffman tree has too many symbols');
  }
  return weights;
}

function huffmanTable(weights: number[]): HuffmanTable {
  const sum = weights.reduce((total, weight) => total + (weight > 0 ? 2 ** (weight - 1) : 0), 0);
  if (sum === 0 || sum > 2048 || weights.length > 255) throw new ZstdError('a Huffman tree is damaged');
  const log = highestBit(sum) + 1;
  const left = (1 << log) - sum;
  // The last weight is not written: it makes the sum a power of two.
  if (log > 11 || (left & (left - 1)) !== 0) throw new ZstdError('a Huffman tree is damaged');
  const all = [...weights, highestBit(left) + 1];
  const size = 1 << log;
  const symbols = new Uint8Array(size);
  const bits = new Uint8Array(size);
  let at = 0;
  // Codes of small weight, which are the long ones, come first; among equals the order of the symbols.
  for (let weight = 1; weight <= log; weight++) {
    all.forEach((own, symbol) => {
      if (own !== weight) return;
      const room = 1 << (weight - 1);
      symbols.fill(symbol, at, at + room);
      bits.fill(log + 1 - weight, at, at + room);
      at += room;
    });
  }
  if (at !== size) throw new ZstdError('a Huffman tree is damaged');
  return { log, symbols, bits };
}

/** Decodes one stream, which must fill `out` exactly. */
export function huffmanStream(data: Uint8Array, table: HuffmanTable, out: Uint8Array): void {
  const stream = new BackwardBits(data);
  const { log, symbols, bits } = table;
  const mask = (1 << log) - 1;
  let state = stream.read(log);
  for (let i = 0; i < out.length; i++) {
    if (stream.left <= -log) throw new ZstdError('a stream of literals is too short');
    out[i] = symbols[state]!;
    const own = bits[state]!;
    state = ((state << own) + stream.read(own)) & mask;
  }
  if (stream.left !== -log) throw new ZstdError('a stream of literals is too long');
}
