import type { Body } from '../asm/places.ts';
import { relocationMeaning } from '../asm/relocation.ts';
import { relocationsIn, relocationTarget, type Target } from '../asm/targets.ts';
import type { AsmRow } from '../asm/types.ts';
import type { Meaning, Side } from './meaning.ts';
import type { AlignedRow } from './types.ts';

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
