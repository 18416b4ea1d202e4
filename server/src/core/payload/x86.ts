/** What the linker of process payloads does with each relocation type (System V psABI AMD64, 4.4). */

export const R = {
  none: 0,
  abs64: 1,
  pc32: 2,
  plt32: 4,
  gotpcrel: 9,
  abs32: 10,
  abs32s: 11,
  gottpoff: 22,
  tpoff32: 23,
  pc64: 24,
  irelative: 37,
  gotpcrelx: 41,
  rexGotpcrelx: 42,
  globDat: 6,
  jumpSlot: 7,
  copy: 5,
  tpoff64: 18,
} as const;

/** Takes the address of a slot that holds the symbol's address. */
export const isGot = (type: number): boolean => type === R.gotpcrel || type === R.gotpcrelx || type === R.rexGotpcrelx;

/** Offset of a thread-local variable from the thread pointer, in place or through a slot. */
export const isTls = (type: number): boolean => type === R.tpoff32 || type === R.gottpoff;

/** Types that a payload may carry. */
export const ALLOWED: ReadonlySet<number> = new Set<number>([
  R.abs64,
  R.pc32,
  R.plt32,
  R.gotpcrel,
  R.abs32,
  R.abs32s,
  R.gottpoff,
  R.tpoff32,
  R.pc64,
  R.gotpcrelx,
  R.rexGotpcrelx,
]);

/** Bytes of the field. */
export const widthOf = (type: number): number => (type === R.abs64 || type === R.pc64 ? 8 : 4);

/** Thread-local storage models that need the dynamic linker's help. */
export const TLS_DYNAMIC: ReadonlySet<number> = new Set([16, 17, 18, 19, 20, 21, 34, 35, 36]);

/** Bytes that a redirect overwrites: `jmp rel32`. */
export const JUMP_SIZE = 5;
const ENDBR64 = [0xf3, 0x0f, 0x1e, 0xfa];

/**
 * Where the jump goes in a function of these bytes: behind a leading endbr64 where there is room, so that the entry stays a
 * landing pad for indirect calls; else over it (Linux does not enforce landing pads in user space). Undefined: too short.
 */
export function jumpOffset(code: Uint8Array): number | undefined {
  if (ENDBR64.every((byte, i) => code[i] === byte) && code.length >= ENDBR64.length + JUMP_SIZE) return ENDBR64.length;
  return code.length >= JUMP_SIZE ? 0 : undefined;
}
