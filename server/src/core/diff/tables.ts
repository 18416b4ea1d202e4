import type { Body } from '../asm/places.ts';
import { relocationMeaning } from '../asm/relocation.ts';
import { relocationsIn, relocationTarget, type Target } from '../asm/targets.ts';
import type { AsmRow } from '../asm/types.ts';
import type { Meaning, Side } from './meaning.ts';
import type { AlignedRow, FunctionChange, ObjectDiff } from './types.ts';

/**
 * Rows that differ only in what the compiler or a macro numbers (`__key.268`, `__key.269`) and refer to the same things: by meaning they are
 * the same. Names without their numbers are not unique where one macro declares a variable at each use.
 */
export function matchRenumbered(
  aligned: readonly AlignedRow[],
  base: Side,
  baseBody: Body,
  next: Side,
  nextBody: Body,
  meaning: Meaning,
): AlignedRow[] {
  return aligned.map((row) => {
    if (row.same || !row.base || !row.next || outline(row.base) !== outline(row.next)) return row;
    const from = targetsOf(base, baseBody, row.base);
    const to = targetsOf(next, nextBody, row.next);
    const same = from.length > 0 && from.length === to.length && from.every((t, i) => meaning.sameTarget(t, to[i]!));
    return same ? { ...row, same: true, renumbered: true } : row;
  });
}

/** The rows of a change's aligned listings, with those marked that only name the same things by other numbers. */
export function matchRows(
  diff: ObjectDiff,
  change: FunctionChange,
  aligned: readonly AlignedRow[],
): readonly AlignedRow[] {
  return diff.matchRows?.(change, aligned) ?? aligned;
}

/** The text of a row without the names of what it refers to; of a row with labels the whole text, since labels are no relocations. */
function outline({ mnemonic, operands, references }: AsmRow): string {
  if (references.some(({ kind, labels }) => kind === 'label' || labels)) return `${mnemonic} ${operands}`;
  return `${mnemonic} ${references.reduce((text, { name }) => text.replace(name, '@'), operands)}`;
}

/**
 * A function whose text is the same differs in a table that it uses (jump table, values, addresses): marks the rows that refer to a table
 * with other contents as changed. Listings with differences of their own are left alone.
 */
export function markTables(
  aligned: AlignedRow[],
  base: Side,
  baseBody: Body,
  next: Side,
  nextBody: Body,
  meaning: Meaning,
): AlignedRow[] {
  if (aligned.some((row) => !row.same)) return aligned;
  return aligned.map((row) => {
    if (!row.base || !row.next || row.base.references.length === 0) return row;
    const from = targetsOf(base, baseBody, row.base);
    const to = targetsOf(next, nextBody, row.next);
    const same = from.length === to.length && from.every((target, i) => meaning.sameTarget(target, to[i]!));
    return same ? row : { ...row, same: false };
  });
}

/** What the relocations of a row point to. */
function targetsOf(side: Side, body: Body, row: AsmRow): Target[] {
  const start = body.start + row.offset;
  const end = start + row.bytes.length;
  return relocationsIn(side.elf.relocationsOf(body.section), start, end).map((relocation) => {
    const relative = side.elf.machine === 62 && relocationMeaning(62, relocation.type).pcRelative;
    return relocationTarget(side.places, relocation, relative ? end - relocation.offset : 0);
  });
}
