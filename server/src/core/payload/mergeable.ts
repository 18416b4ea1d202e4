import { isStrings } from '../asm/places.ts';
import type { Section } from '../elf/types.ts';

/**
 * Byte range in a mergeable section (gABI, SHF_MERGE and SHF_STRINGS) of what lies at an offset: the whole string with its
 * terminator, also where the offset is in its tail, or the entry. The whole section where the offset is outside of it or the
 * section does not keep to its own format.
 */
export function mergeableAt(section: Section, offset: number): readonly [start: number, end: number] {
  const { data, size } = section;
  const unit = Math.max(1, section.entrySize);
  if (offset < 0 || offset >= size || data.length !== size || size % unit !== 0) return [0, size];
  const entry = offset - (offset % unit);
  if (!isStrings(section)) return [entry, entry + unit];
  const ends = (at: number): boolean => {
    for (let i = 0; i < unit; i++) if (data[at + i] !== 0) return false;
    return true;
  };
  let start = entry;
  while (start >= unit && !ends(start - unit)) start -= unit;
  let end = entry;
  while (end < size && !ends(end)) end += unit;
  return end < size ? [start, end + unit] : [0, size];
}
