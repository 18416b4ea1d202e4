import type { AsmRow } from '../asm/types.ts';
import type { AlignedRow } from './types.ts';

/** What the listings say about inlined functions that a differing row belongs to. */
export interface Untouched {
  /** The same instructions on both sides: the compiler only put them elsewhere. */
  readonly moved: ReadonlySet<string>;
  /** At least one copy in this function is as it was: the others differ in what they are given. */
  readonly copied: ReadonlySet<string>;
}

/**
 * Inlined functions that cannot be why a function differs, as far as its two listings tell: an edit of them would be in each copy, and
 * would change their instructions. `outline` is the text of a row's operands without what the compiler chooses anew after any edit
 * (registers, places on the stack, labels); `differs` says whether a row differs in more than that.
 */
export function untouchedCallees(
  aligned: readonly AlignedRow[],
  outline: (operands: string) => string,
  differs: (row: AlignedRow) => boolean,
): Untouched {
  const counts = new Map<string, Map<string, number>>();
  for (const row of aligned) if (!row.same) for (const name of namesOf(row)) counts.set(name, new Map());
  if (counts.size === 0) return { moved: new Set(), copied: new Set() };
  const copies = new Map<string, Map<string, boolean>>();
  const partner = new Map<string, string>();
  const isWanted = (name: string) => counts.has(name);
  for (const row of aligned) {
    // Most rows belong to none of them.
    if (!row.base?.inlinedFrom.some(isWanted) && !row.next?.inlinedFrom.some(isWanted)) continue;
    const text = (one: AsmRow) => `${one.mnemonic} ${outline(one.operands)}`;
    for (const [one, by] of [[row.base, 1] as const, [row.next, -1] as const]) {
      const names = new Set(one?.inlinedFrom.filter((name) => counts.has(name)));
      if (!one || names.size === 0) continue;
      const key = text(one);
      for (const name of names) counts.get(name)!.set(key, (counts.get(name)!.get(key) ?? 0) + by);
    }
    noteCopies(row, differs(row), counts, copies, partner);
  }
  const moved = new Set<string>();
  const copied = new Set<string>();
  for (const [name, rows] of counts) {
    if ([...rows.values()].every((count) => count === 0)) moved.add(name);
    const differing = [...(copies.get(name)?.values() ?? [])];
    if (differing.includes(false) && differing.includes(true)) copied.add(name);
  }
  return { moved, copied };
}

const namesOf = (row: AlignedRow): readonly string[] => [
  ...(row.base?.inlinedFrom ?? []),
  ...(row.next?.inlinedFrom ?? []),
];

/** Notes for each copy that a row belongs to whether it differs. A copy goes by the calls that lead to it, as the base has them. */
function noteCopies(
  row: AlignedRow,
  differs: boolean,
  wanted: ReadonlyMap<string, unknown>,
  copies: Map<string, Map<string, boolean>>,
  partner: Map<string, string>,
): void {
  const one = row.base ?? row.next!;
  let before = '';
  let after = '';
  for (const [depth, name] of one.inlinedFrom.entries()) {
    const place = (of: AsmRow | undefined) => {
      const at = of?.inlinedAt?.[depth];
      return `${of?.inlinedFrom[depth]}@${at?.line}:${at?.column}/`;
    };
    before += place(row.base);
    after += place(row.next);
    if (row.base && row.next?.inlinedFrom[depth] === name) partner.set(after, before);
    if (!wanted.has(name)) continue;
    const copy = row.base ? before : (partner.get(after) ?? `next ${after}`);
    const known = copies.get(name) ?? new Map<string, boolean>();
    known.set(copy, (known.get(copy) ?? false) || differs);
    copies.set(name, known);
  }
}
