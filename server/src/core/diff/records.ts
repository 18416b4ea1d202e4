import { equalBytes } from '../asm/bytes.ts';
import { isRecord, isStrings } from '../asm/places.ts';
import { relocationsIn } from '../asm/targets.ts';
import type { ElfFile, Section } from '../elf/types.ts';

/** Where a sanitizer's record has line and column: behind the pointer to the file's name (struct source_location). */
const LINE = 8;
const BEHIND = 16;

/**
 * Whether two records of a sanitizer differ only in the line and column that they report, which are for people to read: the code does
 * the same. References are not looked at.
 */
export function sameRecord(
  base: ElfFile,
  from: Section,
  baseStart: number,
  next: ElfFile,
  to: Section,
  nextStart: number,
  size: number,
): boolean {
  if (!hasLocation(base, from, baseStart, size) || !hasLocation(next, to, nextStart, size)) return false;
  return (
    equalBytes(from.data, baseStart, to.data, nextStart, LINE) &&
    equalBytes(from.data, baseStart + BEHIND, to.data, nextStart + BEHIND, size - BEHIND)
  );
}

/** A record that begins with a pointer to a text, with two numbers behind it. */
function hasLocation(elf: ElfFile, section: Section, start: number, size: number): boolean {
  if (!isRecord(section) || size < BEHIND || start + size > section.data.length) return false;
  const [name, other] = relocationsIn(elf.relocationsOf(section.index), start, start + BEHIND);
  if (name?.offset !== start || other) return false;
  const text = elf.sections[elf.symbols[name.symbol]?.place as number];
  return text !== undefined && isStrings(text);
}
