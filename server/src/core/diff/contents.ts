import { equalBytes } from '../asm/bytes.ts';
import { isNobits } from '../asm/places.ts';
import type { Section } from '../elf/types.ts';

/** True where [start, end) is what an assembler fills in so that something with more alignment can begin at `end`. */
export function isPadding(section: Section, start: number, end: number): boolean {
  if (start === end) return true;
  let alignment = 2;
  while (alignment <= end - start) alignment *= 2;
  if (alignment > 64 || (end % alignment !== 0 && end !== section.size)) return false;
  return section.data.subarray(start, end).every((byte) => byte === 0);
}

/** The same text up to its zero, of the width of the sections' entries. */
export function sameText(from: Section, baseAt: number, to: Section, nextAt: number): boolean {
  const width = Math.max(1, from.entrySize);
  if (width !== Math.max(1, to.entrySize) || baseAt < 0 || nextAt < 0) return false;
  const a = from.data;
  const b = to.data;
  for (let i = 0; ; i += width) {
    if (baseAt + i + width > a.length || nextAt + i + width > b.length)
      return baseAt + i >= a.length === nextAt + i >= b.length;
    let zero = true;
    for (let k = 0; k < width; k++) {
      const byte = a[baseAt + i + k]!;
      if (byte !== b[nextAt + i + k]) return false;
      if (byte !== 0) zero = false;
    }
    if (zero) return true;
  }
}

/** The same entry of two sections of constants of one size. */
export function sameConstant(from: Section, baseAt: number, to: Section, nextAt: number): boolean {
  const size = from.entrySize;
  if (size !== to.entrySize || baseAt % size !== nextAt % size) return false;
  return sameBytes(from, baseAt - (baseAt % size), to, nextAt - (nextAt % size), size);
}

/** The same bytes; sections without contents count as zeros. */
export function sameBytes(from: Section, baseAt: number, to: Section, nextAt: number, size: number): boolean {
  if (!isNobits(from) && !isNobits(to) && equalBytes(from.data, baseAt, to.data, nextAt, size)) return true;
  return firstByteDifference(from, baseAt, to, nextAt, size) < 0;
}

/** Offset of the first byte that differs; -1 where none does. */
export function firstByteDifference(from: Section, baseAt: number, to: Section, nextAt: number, size: number): number {
  const a = isNobits(from) ? undefined : from.data;
  const b = isNobits(to) ? undefined : to.data;
  if (!a && !b) return -1;
  // Behind the contents of both there are zeros; sizes from a damaged file may be any number.
  const end = Math.min(size, Math.max((a?.length ?? 0) - baseAt, (b?.length ?? 0) - nextAt));
  for (let i = 0; i < end; i++) if ((a?.[baseAt + i] ?? 0) !== (b?.[nextAt + i] ?? 0)) return i;
  return -1;
}
