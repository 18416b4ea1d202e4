import { isCode } from '../asm/places.ts';
import type { ElfFile, Relocation, Section } from '../elf/types.ts';
import type { SpecialKind } from './kinds.ts';

/**
 * Bytes of an entry of a special section. Kernels differ: the size of the struct in the object's debug information decides where it has it; else
 * the places of the relocations, which repeat with every entry. Undefined where no known size fits.
 */
export function entrySize(
  elf: ElfFile,
  section: Section,
  kind: SpecialKind,
  relocations: readonly Relocation[],
  structSize?: (tag: string) => number | undefined,
): number | undefined {
  const only = kind.sizes.length === 1 ? kind.sizes[0]! : undefined;
  // Aligned beginnings, unaligned ends: the last entry is short.
  if (kind.kind === 'paravirt') return 16;
  if (only !== undefined) return section.size % only === 0 ? only : undefined;
  const told = kind.struct === undefined ? undefined : structSize?.(kind.struct);
  if (told !== undefined && kind.sizes.includes(told) && section.size % told === 0) return told;
  if (relocations.length === 0) return undefined;
  const fitting = kind.sizes.filter((size) => section.size % size === 0 && fits(elf, kind, size, relocations));
  return fitting[0];
}

/** Would entries of this size all look like entries of the kind? */
function fits(elf: ElfFile, kind: SpecialKind, size: number, relocations: readonly Relocation[]): boolean {
  const at = new Set<number>();
  for (const relocation of relocations) {
    const inside = relocation.offset % size;
    at.add(inside);
    if (inside === 0 && !namesCode(elf, relocation)) return false;
    if (!allowed(elf, kind, size, inside, relocation)) return false;
  }
  return at.has(0);
}

function allowed(elf: ElfFile, kind: SpecialKind, size: number, inside: number, relocation: Relocation): boolean {
  switch (kind.kind) {
    case 'alternative':
      return inside === 0 || inside === 4;
    case 'bug':
      // Behind the place: file (and, since 6.18, format), never code again.
      return inside === 0 || (inside <= size - 8 && inside % 4 === 0 && !namesCode(elf, relocation));
    case 'exception':
      // The third field was the handler, a function by its name, before it became a number.
      if (inside === 0 || inside === 4) return true;
      return size === 12 && inside === 8 && isFunctionStart(elf, relocation);
    case 'jump-label':
      return size === 16 ? inside === 0 || inside === 4 || inside === 8 : inside === 0 || inside === 8 || inside === 16;
    default:
      return true;
  }
}

function namesCode(elf: ElfFile, { symbol }: Relocation): boolean {
  const place = elf.symbols[symbol]?.place;
  return typeof place === 'number' && isCode(elf.sections[place]);
}

function isFunctionStart(elf: ElfFile, { symbol, addend }: Relocation): boolean {
  const target = elf.symbols[symbol];
  if (!target) return false;
  if (target.place === 'undef' || target.type === 'func') return addend === 0;
  return false;
}

/** Where the fields of an alternative's entry are, in bytes from its start. */
export interface AlternativeLayout {
  /** Two bytes: the feature's number (and, in Linux from 5.13 to 6.2, the flag "not" in the top bit). */
  readonly feature: number;
  /** One byte each: length of the original and of the replacement. */
  readonly originalLength: number;
  readonly replacementLength: number;
}

const LINUX14: AlternativeLayout = { feature: 8, originalLength: 12, replacementLength: 13 };
const EARLY: AlternativeLayout = { feature: 8, originalLength: 10, replacementLength: 11 };
/** Where Xen's entries have the number of NOPs behind the original. */
const XEN_PADDING = 12;

/**
 * Layout of the entries of `.altinstructions`. Entries of 14 bytes are Linux's (6.3 and later: four bytes of feature and flags) or Xen's (two
 * bytes of feature; padding and private byte at the end): told apart by which one makes the lengths fit the replacements, which lie one behind
 * the other.
 */
export function alternativeLayout(elf: ElfFile, section: Section, size: number): AlternativeLayout {
  if (size !== 14) return EARLY;
  const targets: { at: number; place: number; offset: number }[] = [];
  for (const { offset, symbol, addend } of elf.relocationsOf(section.index)) {
    const target = elf.symbols[symbol];
    if (offset % size === 4 && typeof target?.place === 'number')
      targets.push({ at: offset - 4, place: target.place, offset: target.offset + addend });
  }
  targets.sort((a, b) => a.place - b.place || a.offset - b.offset);
  const score = (layout: AlternativeLayout) => {
    let good = 0;
    targets.forEach(({ at, place, offset }, index) => {
      const next = targets[index + 1];
      const limit = next?.place === place ? next.offset : (elf.sections[place]?.size ?? 0);
      const length = section.data[at + layout.replacementLength] ?? 0;
      // Xen's `alternative("", ...)` replaces padding and nothing else.
      const padding = layout === EARLY ? (section.data[at + XEN_PADDING] ?? 0) : 0;
      const original = (section.data[at + layout.originalLength] ?? 0) + padding;
      if (offset + length === limit || (next?.offset === offset && length >= 0)) good++;
      if (offset + length > limit && next?.offset !== offset) good -= 2;
      if (original === 0) good--;
    });
    return good;
  };
  return score(LINUX14) >= score(EARLY) ? LINUX14 : EARLY;
}
