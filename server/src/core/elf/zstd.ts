import {
  BackwardBits,
  type FseTable,
  fseTable,
  type HuffmanTable,
  huffmanStream,
  readFseTable,
  readHuffmanTable,
  singleSymbol,
  ZstdError,
} from './zstd-entropy.ts';

/** Literals and output of a block cannot be larger (RFC 8878, 3.1.1.2.4). */
const MAX_BLOCK = 128 * 1024;

/** Extra bits of the codes for lengths (RFC 8878, 3.1.1.3.2.1.1); what they are added to follows from them. */
const LITERAL_BITS = [...zeros(16), 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
const MATCH_BITS = [...zeros(32), 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
const LITERAL_BASES = bases(LITERAL_BITS, 0);
const MATCH_BASES = bases(MATCH_BITS, 3);

/** The tables that are known without being written (RFC 8878, 3.1.1.3.2.2). */
const KNOWN: readonly FseTable[] = [
  fseTable([4, 3, ...twos(11), 1, 1, 1, ...twos(9), 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1], 6),
  fseTable([1, 1, 1, 1, 1, 1, 2, 2, 2, ...ones(15), -1, -1, -1, -1, -1], 5),
  fseTable([1, 4, 3, 2, 2, 2, 2, 2, 2, ...ones(37), -1, -1, -1, -1, -1, -1, -1], 6),
];
const MAX_LOGS = [9, 8, 9];

function zeros(count: number): number[] {
  return new Array<number>(count).fill(0);
}
function ones(count: number): number[] {
  return new Array<number>(count).fill(1);
}
function twos(count: number): number[] {
  return new Array<number>(count).fill(2);
}
function bases(bits: readonly number[], first: number): number[] {
  let next = first;
  return bits.map((count) => {
    const base = next;
    next += 2 ** count;
    return base;
  });
}

/** What later blocks of a frame may use of earlier ones. */
interface Frame {
  huffman?: HuffmanTable;
  tables: (FseTable | undefined)[];
  /** The last three distances. */
  readonly repeats: [number, number, number];
  /** First byte of the output that belongs to the frame: distances end there. */
  readonly start: number;
}

/**
 * Decompresses Zstandard data (RFC 8878) of which the decompressed size is known: frames and skippable frames, one after the other.
 * Dictionaries are not supported and checksums not looked at. Time and memory are bounded by the input and `size`. Throws a `ZstdError` for damaged
 * data and where the output has another size.
 */
export function unzstd(data: Uint8Array, size: number): Uint8Array {
  const out = new Output(size);
  let at = 0;
  while (at < data.length) {
    const magic = word(data, at);
    if (magic >>> 4 === 0x184d2a5) at += 8 + word(data, at + 4);
    else if (magic === 0xfd2fb528) at = readFrame(data, at + 4, out);
    else throw new ZstdError('it is no Zstandard data');
  }
  if (out.length !== size) throw new ZstdError(`it gives ${out.length} instead of ${size} bytes`);
  return out.bytes;
}

function word(data: Uint8Array, at: number): number {
  if (at + 4 > data.length) throw new ZstdError('the data is cut off');
  return (data[at]! | (data[at + 1]! << 8) | (data[at + 2]! << 16) | (data[at + 3]! << 24)) >>> 0;
}

/** The output, of a size that is known: it never grows. */
class Output {
  readonly bytes: Uint8Array;
  length = 0;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
  }

  /** Room for `count` bytes more, or an exception. */
  room(count: number): void {
    if (count > this.bytes.length - this.length) throw new ZstdError('it gives more bytes than it should');
  }

  add(data: Uint8Array): void {
    this.room(data.length);
    this.bytes.set(data, this.length);
    this.length += data.length;
  }

  /** Repeats what lies `distance` bytes back; the parts may overlap. */
  repeat(distance: number, count: number, start: number): void {
    if (distance <= 0 || distance > this.length - start) throw new ZstdError('a distance leads before the data');
    this.room(count);
    const { bytes } = this;
    let at = this.length;
    if (distance >= count) bytes.copyWithin(at, at - distance, at - distance + count);
    else for (const end = at + count; at < end; at++) bytes[at] = bytes[at - distance]!;
    this.length += count;
  }
}

/** Reads a frame whose header begins at `at`; returns the offset behind it. */
function readFrame(data: Uint8Array, at: number, out: Output): number {
  const flags = data[at] ?? 0;
  if (flags & 8) throw new ZstdError('the frame uses reserved bits');
  const single = (flags & 32) !== 0;
  const dictionary = [0, 1, 2, 4][flags & 3]!;
  const content = [single ? 1 : 0, 2, 4, 8][flags >> 6]!;
  let next = at + 1 + (single ? 0 : 1);
  for (let i = 0; i < dictionary; i++) if (data[next + i]) throw new ZstdError('it needs a dictionary');
  next += dictionary + content;
  const frame: Frame = { tables: [], repeats: [1, 4, 8], start: out.length };
  for (let last = false; !last; ) {
    if (next + 3 > data.length) throw new ZstdError('the data is cut off');
    const header = data[next]! | (data[next + 1]! << 8) | (data[next + 2]! << 16);
    last = (header & 1) !== 0;
    const kind = (header >> 1) & 3;
    const size = header >> 3;
    next += 3;
    const stored = kind === 1 ? 1 : size;
    if (next + stored > data.length) throw new ZstdError('a block is cut off');
    const block = data.subarray(next, next + stored);
    if (kind === 0) out.add(block);
    else if (kind === 1) {
      out.room(size);
      out.bytes.fill(block[0]!, out.length, out.length + size);
      out.length += size;
    } else if (kind === 2) readBlock(block, frame, out);
    else throw new ZstdError('a block is of an unknown kind');
    next += stored;
  }
  return next + (flags & 4 ? 4 : 0);
}

/** A compressed block: literals, then the sequences that mix them with repetitions. */
function readBlock(data: Uint8Array, frame: Frame, out: Output): void {
  const { literals, end } = readLiterals(data, frame);
  let at = end;
  let count = data[at++] ?? 0;
  if (count === 255) {
    count = (data[at] ?? 0) + ((data[at + 1] ?? 0) << 8) + 0x7f00;
    at += 2;
  } else if (count >= 128) count = ((count - 128) << 8) + (data[at++] ?? 0);
  if (count === 0) {
    out.add(literals);
    return;
  }
  const modes = data[at++] ?? 0;
  if (modes & 3) throw new ZstdError('a block uses reserved bits');
  for (let i = 0; i < 3; i++) {
    const mode = (modes >> (6 - i * 2)) & 3;
    if (mode === 0) frame.tables[i] = KNOWN[i]!;
    else if (mode === 1) frame.tables[i] = singleSymbol(data[at++] ?? 0);
    else if (mode === 2) {
      const read = readFseTable(data, at, MAX_LOGS[i]!);
      frame.tables[i] = read.table;
      at = read.end;
    } else if (!frame.tables[i]) throw new ZstdError('a block repeats a table that was never given');
  }
  if (at > data.length) throw new ZstdError('a block is cut off');
  runSequences(new BackwardBits(data.subarray(at)), count, literals, frame, out);
}

function readLiterals(data: Uint8Array, frame: Frame): { literals: Uint8Array; end: number } {
  const first = data[0] ?? 0;
  const kind = first & 3;
  const format = (first >> 2) & 3;
  // 40 bits are the largest header: read as one number.
  let header = 0;
  for (let i = 4; i >= 0; i--) header = header * 256 + (data[i] ?? 0);
  const field = (from: number, bits: number) => Math.floor(header / 2 ** from) % 2 ** bits;
  if (kind < 2) {
    const length = format === 1 ? 2 : format === 3 ? 3 : 1;
    const size = length === 1 ? field(3, 5) : field(4, length === 2 ? 12 : 20);
    const end = length + (kind === 0 ? size : 1);
    if (size > MAX_BLOCK || end > data.length) throw new ZstdError('literals are cut off');
    return { literals: kind === 0 ? data.subarray(length, end) : new Uint8Array(size).fill(data[length]!), end };
  }
  const width = [10, 10, 14, 18][format]!;
  const length = [3, 3, 4, 5][format]!;
  const size = field(4, width);
  const end = length + field(4 + width, width);
  if (size > MAX_BLOCK || end > data.length) throw new ZstdError('literals are cut off');
  let at = length;
  if (kind === 2) {
    const read = readHuffmanTable(data.subarray(0, end), at);
    frame.huffman = read.table;
    at = read.end;
  }
  if (!frame.huffman) throw new ZstdError('a block repeats a Huffman tree that was never given');
  const literals = new Uint8Array(size);
  const streams = data.subarray(at, end);
  if (format === 0) huffmanStream(streams, frame.huffman, literals);
  else fourStreams(streams, frame.huffman, literals);
  return { literals, end };
}

function fourStreams(data: Uint8Array, table: HuffmanTable, out: Uint8Array): void {
  const part = (out.length + 3) >> 2;
  if (data.length < 6 || part * 3 > out.length) throw new ZstdError('literals are damaged');
  let at = 6;
  for (let i = 0; i < 4; i++) {
    const end = i === 3 ? data.length : at + data[i * 2]! + data[i * 2 + 1]! * 256;
    if (end > data.length) throw new ZstdError('literals are cut off');
    huffmanStream(data.subarray(at, end), table, out.subarray(part * i, i === 3 ? out.length : part * (i + 1)));
    at = end;
  }
}

function runSequences(bits: BackwardBits, count: number, literals: Uint8Array, frame: Frame, out: Output): void {
  const [forLiterals, forOffsets, forMatches] = frame.tables as [FseTable, FseTable, FseTable];
  let literalState = bits.read(forLiterals.log);
  let offsetState = bits.read(forOffsets.log);
  let matchState = bits.read(forMatches.log);
  let taken = 0;
  for (let i = 0; i < count; i++) {
    const literalCode = forLiterals.symbols[literalState]!;
    const offsetCode = forOffsets.symbols[offsetState]!;
    const matchCode = forMatches.symbols[matchState]!;
    if (literalCode > 35 || matchCode > 52 || offsetCode > 31) throw new ZstdError('a sequence uses an unknown code');
    const offset = 2 ** offsetCode + bits.read(offsetCode);
    const match = MATCH_BASES[matchCode]! + bits.read(MATCH_BITS[matchCode]!);
    const length = LITERAL_BASES[literalCode]! + bits.read(LITERAL_BITS[literalCode]!);
    if (i < count - 1) {
      literalState = forLiterals.bases[literalState]! + bits.read(forLiterals.bits[literalState]!);
      matchState = forMatches.bases[matchState]! + bits.read(forMatches.bits[matchState]!);
      offsetState = forOffsets.bases[offsetState]! + bits.read(forOffsets.bits[offsetState]!);
    }
    if (bits.left < 0) throw new ZstdError('the sequences are cut off');
    if (taken + length > literals.length) throw new ZstdError('there are too few literals');
    out.add(literals.subarray(taken, taken + length));
    taken += length;
    out.repeat(distanceOf(offset, length, frame.repeats), match, frame.start);
  }
  if (bits.left !== 0) throw new ZstdError('the sequences are too long');
  out.add(literals.subarray(taken));
}

/** The distance that a sequence means; the last three have short names, which shift where no literals come first. */
function distanceOf(offset: number, literals: number, repeats: Frame['repeats']): number {
  if (offset > 3) {
    repeats[2] = repeats[1];
    repeats[1] = repeats[0];
    repeats[0] = offset - 3;
    return repeats[0];
  }
  const which = offset - 1 + (literals === 0 ? 1 : 0);
  if (which === 0) return repeats[0];
  const distance = which === 3 ? repeats[0] - 1 : repeats[which]!;
  if (which > 1) repeats[2] = repeats[1];
  repeats[1] = repeats[0];
  repeats[0] = distance;
  return distance;
}
