import type { AsmRow } from '../asm/types.ts';
import type { AlignedRow, MemberChange, Reason, TypeChange } from './types.ts';

/** What the numbers of a changed instruction say: where it reached in memory, and its immediate, before and after. */
interface Step {
  readonly base: number;
  readonly next: number;
}

/**
 * Which of the changed types that a function works with made its code differ. A type is proved where an instruction has the old place of
 * one of its members on one side and the new place on the other (displacements), or the old and new value of an enumerator or the old and new
 * size (immediates). Where at least one is proved, the others are not named: working with a type is no reason. Where none is, the types
 * that were edited themselves are named without a member, as the compiler may have folded the offsets into something else.
 */
export function typeReasons(candidates: readonly TypeChange[], aligned: readonly AlignedRow[]): Reason[] {
  const places: Step[] = [];
  const values: Step[] = [];
  for (const row of aligned) {
    if (row.same || !row.base || !row.next || row.base.mnemonic !== row.next.mnemonic) continue;
    const place = differing(displacementOf(row.base), displacementOf(row.next));
    if (place) places.push(place);
    const value = differing(immediateOf(row.base), immediateOf(row.next));
    if (value) values.push(value);
  }
  const proved = candidates.flatMap((type) => {
    const name = provedBy(type, places, values);
    return name === undefined ? [] : [{ kind: 'header-type', detail: name } as const];
  });
  if (proved.length > 0) return proved;
  return candidates
    .filter((type) => (type.causes ?? []).length === 0)
    .map((type) => ({ kind: 'header-type', detail: type.name }));
}

/** `type.member`, or the type's name where its size is what shows; undefined where nothing does. */
function provedBy(type: TypeChange, places: readonly Step[], values: readonly Step[]): string | undefined {
  // The innermost member says most: the longest path of those that explain a step.
  let best: MemberChange | undefined;
  for (const member of type.members) {
    if (!places.some((step) => explains(member, step))) continue;
    if (!best || member.path.split('.').length > best.path.split('.').length) best = member;
  }
  if (best) return `${type.name}.${best.path}`;
  const enumerator = type.enumerators.find(({ base, next }) =>
    values.some(
      (step) => base !== undefined && next !== undefined && step.base === Number(base) && step.next === Number(next),
    ),
  );
  if (enumerator) return `${type.name}.${enumerator.name}`;
  const sized = type.baseSize > 0 && type.nextSize > 0 && type.baseSize !== type.nextSize;
  return sized && values.some((step) => step.base === type.baseSize && step.next === type.nextSize)
    ? type.name
    : undefined;
}

/** The step leads from a place in the member where it was to the same place where it is. */
function explains({ base, next }: MemberChange, step: Step): boolean {
  if (!base || !next || base.bitOffset === next.bitOffset) return false;
  const from = Math.floor(base.bitOffset / 8);
  const to = Math.floor(next.bitOffset / 8);
  const into = step.base - from;
  return into >= 0 && into < Math.max(1, Math.ceil(base.bitSize / 8)) && step.next - to === into;
}

function differing(base: number | undefined, next: number | undefined): Step | undefined {
  return base === undefined || next === undefined || base === next ? undefined : { base, next };
}

/** Displacement of the memory operand: 0 where it has none; undefined without memory operand or with a symbol in it. */
function displacementOf({ operands, references }: AsmRow): number | undefined {
  const memory = /\[([^\]]*)\]/.exec(operands)?.[1];
  if (memory === undefined || references.length > 0) return undefined;
  const number = /(?:^|([+-]) |#)(-?)(0x[0-9a-f]+|\d+)$/.exec(memory);
  if (!number) return 0;
  const value = Number(number[3]);
  return number[1] === '-' || number[2] === '-' ? -value : value;
}

/** The immediate: the last operand, where it is a number outside of any memory operand. */
function immediateOf({ operands }: AsmRow): number | undefined {
  const match = /(?:^|, )#?(-?)(0x[0-9a-f]+|\d+)$/.exec(operands);
  return match ? (match[1] === '-' ? -Number(match[2]) : Number(match[2])) : undefined;
}
