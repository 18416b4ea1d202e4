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

/** An empty scan with room for `capacity` instructions. */
export function emptyScan(bytes: Uint8Array, capacity: number): Scan {
  return {
    bytes,
    count: 0,
    start: new Uint32Array(capacity),
    size: new Uint8Array(capacity),
    kind: new Uint8Array(capacity),
    relAt: new Uint8Array(capacity),
    relSize: new Uint8Array(capacity),
    target: new Int32Array(capacity),
    dispAt: new Uint8Array(capacity),
    dispSize: new Uint8Array(capacity),
    immAt: new Uint8Array(capacity),
    immSize: new Uint8Array(capacity),
  };
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
