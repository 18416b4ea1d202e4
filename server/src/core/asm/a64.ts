import { KIND, type Scan, type Scanner, scanWith, writeBad } from './scan.ts';

/**
 * AArch64 instruction classes by their fixed bits (Arm Architecture Reference Manual, C4 "A64 instruction set encoding").
 * Every instruction is one little-endian word.
 */

/** Mask of the PC-relative immediate of a word, 0 where it has none. */
function relativeMask(word: number): number {
  if ((word & 0x7c000000) === 0x14000000) return 0x03ffffff; // B, BL
  if ((word & 0xff000000) >>> 0 === 0x54000000) return 0x00ffffe0; // B.cond, BC.cond
  if ((word & 0x7e000000) === 0x34000000) return 0x00ffffe0; // CBZ, CBNZ
  if ((word & 0x7e000000) === 0x36000000) return 0x0007ffe0; // TBZ, TBNZ
  if ((word & 0x3b000000) === 0x18000000) return 0x00ffffe0; // LDR (literal), PRFM (literal)
  if ((word & 0x1f000000) === 0x10000000) return 0x60ffffe0; // ADR, ADRP
  return 0;
}

/** Distance in bytes that the PC-relative immediate stands for; for ADRP between pages. */
function relativeValue(word: number): number {
  if ((word & 0x7c000000) === 0x14000000) return ((word << 6) >> 6) * 4;
  if ((word & 0x7e000000) === 0x36000000) return ((word << 13) >> 18) * 4;
  if ((word & 0x1f000000) === 0x10000000) {
    const value = (((word << 8) >> 13) << 2) | ((word >>> 29) & 3);
    return word >>> 31 ? value * 4096 : value;
  }
  return ((word << 8) >> 13) * 4;
}

/** Bytes that the load from a literal pool at `at` reads; 0 for other instructions. */
export function literalSize(bytes: Uint8Array, at: number): number {
  const word = at + 4 <= bytes.length ? wordAt(bytes, at) : 0;
  if ((word & 0x3b000000) !== 0x18000000) return 0;
  const size = word >>> 30;
  if (word & 0x04000000) return size < 3 ? 4 << size : 0;
  return size === 3 ? 0 : size === 1 ? 8 : 4;
}

function kindOf(word: number): number {
  if ((word & 0xfc000000) >>> 0 === 0x14000000) return KIND.jump;
  if ((word & 0xfc000000) >>> 0 === 0x94000000) return KIND.call;
  if ((word & 0xff000000) >>> 0 === 0x54000000) return KIND.branch;
  if ((word & 0x7e000000) === 0x34000000 || (word & 0x7e000000) === 0x36000000) return KIND.branch;
  if ((word & 0xfe000000) >>> 0 === 0xd6000000) {
    const operation = (word >>> 21) & 15;
    if (operation === 0 || operation === 8) return KIND.indirectJump;
    if (operation === 1 || operation === 9) return KIND.indirectCall;
    if (operation === 2 || operation === 4) return KIND.return;
  }
  if ((word & 0xffff0000) >>> 0 === 0 || (word & 0xffe0001f) >>> 0 === 0xd4200000) return KIND.trap; // UDF, BRK
  if (word === (0xd503201f | 0)) return KIND.nop;
  return KIND.plain;
}

function wordAt(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

/** Writes the instruction at `at` into an entry and gives its size. */
function layout(scan: Scan, index: number, at: number): number {
  const left = scan.bytes.length - at;
  if (left < 4) {
    writeBad(scan, index, left);
    return left;
  }
  const word = wordAt(scan.bytes, at);
  const relative = relativeMask(word) !== 0;
  scan.size[index] = 4;
  scan.kind[index] = kindOf(word);
  scan.relAt[index] = 0;
  scan.relSize[index] = relative ? 4 : 0;
  scan.target[index] = relative ? at + relativeValue(word) : 0;
  scan.dispAt[index] = scan.dispSize[index] = scan.immAt[index] = scan.immSize[index] = 0;
  return 4;
}

/** Scanner for EM_AARCH64, little-endian. */
export const a64Scanner: Scanner = {
  machine: 183,
  scan(bytes) {
    return scanWith(bytes, (bytes.length + 3) >> 2, layout);
  },
  sameShape(a, i, b, j) {
    if (a.size[i] !== b.size[j]) return false;
    if (a.size[i]! < 4) {
      for (let k = 0; k < a.size[i]!; k++) if (a.bytes[a.start[i]! + k] !== b.bytes[b.start[j]! + k]) return false;
      return true;
    }
    const left = wordAt(a.bytes, a.start[i]!);
    const right = wordAt(b.bytes, b.start[j]!);
    const mask = relativeMask(left);
    return mask === relativeMask(right) && ((left ^ right) & ~mask) === 0;
  },
  immediates(a, i, b, j) {
    if (a.size[i] !== 4 || b.size[j] !== 4) return undefined;
    const left = wordAt(a.bytes, a.start[i]!);
    const right = wordAt(b.bytes, b.start[j]!);
    // MOVZ without shift.
    if ((left & 0x7fe00000) !== 0x52800000 || ((left ^ right) & ~0x001fffe0) !== 0) return undefined;
    return { base: (left >>> 5) & 0xffff, next: (right >>> 5) & 0xffff };
  },
};
