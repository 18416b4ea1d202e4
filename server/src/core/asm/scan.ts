/**
 * Instruction boundaries and control flow, without text. The comparison of functions works on scans, so that a decoder is
 * only needed for what is shown to people.
 */

/** What an instruction does to the flow of control; the values of `Scan.kind`. */
export const KIND = {
  plain: 0,
  /** Conditional branch with a direct target. */
  branch: 1,
  /** Unconditional jump with a direct target. */
  jump: 2,
  /** Call with a direct target. */
  call: 3,
  return: 4,
  indirectJump: 5,
  indirectCall: 6,
  trap: 7,
  nop: 8,
  /** Not an instruction of this machine, as far as the tables go. */
  bad: 9,
} as const;

/** The instructions of a piece of code. Arrays are parallel; entries at and beyond `count` are meaningless. */
export interface Scan {
  readonly bytes: Uint8Array;
  count: number;
  /** Byte offset from the start of `bytes`. */
  start: Uint32Array;
  /** Length in bytes. */
  size: Uint8Array;
  /** One of `KIND`. */
  kind: Uint8Array;
  /** Byte position in the instruction of the PC-relative field (branch displacement or PC-relative memory operand); 0 = none on x86. */
  relAt: Uint8Array;
  /** Size of that field in bytes; 0 = the instruction has none. */
  relSize: Uint8Array;
  /** What the field points to as it stands in the bytes: offset from the start of `bytes`, may lie outside of it. */
  target: Int32Array;
  /** Position and size of the memory displacement and of the immediate; size 0 = none. */
  dispAt: Uint8Array;
  dispSize: Uint8Array;
  immAt: Uint8Array;
  immSize: Uint8Array;
}

/** `target` of an instruction whose field a relocation fills. */
export const RELOCATED = -0x80000000;

/** A machine's scanner. */
export interface Scanner {
  /** `e_machine` that it is for. */
  readonly machine: number;
  /** Splits code into instructions; never throws, and the sizes add up to `bytes.length`. */
  scan(bytes: Uint8Array): Scan;
  /**
   * True where two instructions are the same but for their PC-relative fields and for the short or near form of the same
   * jump. Fields that a relocation fills are compared as they stand (zero, with explicit addends).
   */
  sameShape(a: Scan, i: number, b: Scan, j: number): boolean;
  /**
   * The immediates of two instructions that are the same in everything else; undefined where they are not. An immediate may have its
   * short and its long form.
   */
  immediates(a: Scan, i: number, b: Scan, j: number): { readonly base: number; readonly next: number } | undefined;
}

/** Parts of a scan that have one byte for each instruction. */
const NARROW = ['size', 'kind', 'relAt', 'relSize', 'dispAt', 'dispSize', 'immAt', 'immSize'] as const;

/** Filled anew by each scan, before the number of instructions is known. */
let scratch = emptyScan(new Uint8Array(0), 0);

function emptyScan(bytes: Uint8Array, capacity: number): Scan {
  const narrow = () => new Uint8Array(capacity);
  return {
    bytes,
    count: 0,
    start: new Uint32Array(capacity),
    target: new Int32Array(capacity),
    size: narrow(),
    kind: narrow(),
    relAt: narrow(),
    relSize: narrow(),
    dispAt: narrow(),
    dispSize: narrow(),
    immAt: narrow(),
    immSize: narrow(),
  };
}

/**
 * Runs a scanner over code: `next` writes the instruction at a byte offset into an entry, all parts but `start`, and gives its size (at least
 * 1). `capacity`: the most instructions that there can be.
 */
export function scanWith(
  bytes: Uint8Array,
  capacity: number,
  next: (scan: Scan, index: number, at: number) => number,
): Scan {
  if (scratch.start.length < capacity) scratch = emptyScan(bytes, Math.max(capacity, 65536));
  const scan = scratch;
  (scan as { bytes: Uint8Array }).bytes = bytes;
  scan.count = 0;
  for (let at = 0; at < bytes.length; ) {
    scan.start[scan.count] = at;
    at += next(scan, scan.count++, at);
  }
  const whole = trimmed(scan);
  // Code of hundreds of megabytes is no reason to keep room for the next one.
  if (scratch.start.length > 1 << 22) scratch = emptyScan(bytes.subarray(0, 0), 0);
  return whole;
}

const SLAB = 1 << 18;
let slab = new ArrayBuffer(0);
let used = 0;

/** Room for the arrays of a scan. There are thousands of small ones: buffers of their own would cost more than what is in them. */
function room(size: number): { buffer: ArrayBuffer; at: number } {
  if (size > SLAB / 4) return { buffer: new ArrayBuffer(size), at: 0 };
  if (used + size > slab.byteLength) {
    slab = new ArrayBuffer(SLAB);
    used = 0;
  }
  const at = used;
  used += (size + 3) & ~3;
  return { buffer: slab, at };
}

/** A copy without the unused room. */
function trimmed(scan: Scan): Scan {
  const { bytes, count } = scan;
  const { buffer, at } = room(count * (8 + NARROW.length));
  let next = at + 8 * count;
  const narrow = (part: (typeof NARROW)[number]) => {
    const array = new Uint8Array(buffer, next, count);
    array.set(scan[part].subarray(0, count));
    next += count;
    return array;
  };
  const start = new Uint32Array(buffer, at, count);
  const target = new Int32Array(buffer, at + 4 * count, count);
  start.set(scan.start.subarray(0, count));
  target.set(scan.target.subarray(0, count));
  return {
    bytes,
    count,
    start,
    target,
    size: narrow('size'),
    kind: narrow('kind'),
    relAt: narrow('relAt'),
    relSize: narrow('relSize'),
    dispAt: narrow('dispAt'),
    dispSize: narrow('dispSize'),
    immAt: narrow('immAt'),
    immSize: narrow('immSize'),
  };
}

/** Writes an entry for bytes that are no instruction. */
export function writeBad(scan: Scan, index: number, size: number): void {
  scan.target[index] = 0;
  for (const part of NARROW) scan[part][index] = 0;
  scan.size[index] = size;
  scan.kind[index] = KIND.bad;
}

/** Index of the instruction that covers byte `offset`, or -1. */
export function instructionAt(scan: Scan, offset: number): number {
  let low = 0;
  let high = scan.count - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const start = scan.start[middle]!;
    if (offset < start) high = middle - 1;
    else if (offset >= start + scan.size[middle]!) low = middle + 1;
    else return middle;
  }
  return -1;
}
