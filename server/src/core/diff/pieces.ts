import { isNobits } from '../asm/places.ts';
import { relocationMeaning } from '../asm/relocation.ts';
import { relocationsIn, relocationTarget, type Target } from '../asm/targets.ts';
import type { Relocation, Section } from '../elf/types.ts';
import { pieceEnd, specialKind } from '../special/index.ts';
import { sameBytes } from './contents.ts';
import type { Side } from './meaning.ts';

/** A place in a section of code out of line (`.altinstr_replacement`, `.altinstr_aux`, `.fixup`), where no piece has a name. */
export interface Piece {
  readonly section: Section;
  readonly offset: number;
}

/** The piece at a place; undefined where the place is no code out of line. */
export function pieceAt(side: Side, section: number, offset: number): Piece | undefined {
  const found = side.elf.sections[section];
  return found && specialKind(found.name)?.kind === 'parts' ? { section: found, offset } : undefined;
}

/** Bytes from a piece's start to the next one. */
export function pieceSize(side: Side, { section, offset }: Piece): number {
  return pieceEnd(side.elf, section, offset) - offset;
}

/**
 * Whether two pieces of one size do the same: their bytes, and by meaning what they refer to. Where they lie among the others says nothing,
 * since one more anywhere above in the file moves them.
 */
export function samePiece(
  base: Side,
  left: Piece,
  next: Side,
  right: Piece,
  size: number,
  sameTarget: (base: Target, next: Target) => boolean,
): boolean {
  if (left.section.name !== right.section.name || isNobits(left.section) || isNobits(right.section)) return false;
  if (!sameBytes(left.section, left.offset, right.section, right.offset, size)) return false;
  const before = relocationsIn(base.elf.relocationsOf(left.section.index), left.offset, left.offset + size);
  const after = relocationsIn(next.elf.relocationsOf(right.section.index), right.offset, right.offset + size);
  if (before.length !== after.length) return false;
  return before.every((b, k) => {
    const n = after[k]!;
    if (b.offset - left.offset !== n.offset - right.offset) return false;
    if (familyOf(base, b) !== familyOf(next, n)) return false;
    // Calls and jumps end with their field; for the few instructions with an immediate behind it the shift is the same on both sides.
    const bias = relocationMeaning(base.elf.machine, b.type).pcRelative ? 4 : 0;
    return sameTarget(relocationTarget(base.places, b, bias), relocationTarget(next.places, n, bias));
  });
}

/** Types of relocations that do the same have one number. */
export function familyOf(side: Side, { type }: Relocation): number {
  return relocationMeaning(side.elf.machine, type).family;
}
