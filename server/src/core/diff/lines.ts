import type { Body } from '../asm/places.ts';
import type { AsmRow } from '../asm/types.ts';
import type { CodeComparer } from './code.ts';
import { hunksOf, mapLine } from './edits.ts';
import type { AlignedRow, SourceEdits } from './types.ts';

/**
 * Proves that a function differs in line numbers only (`__LINE__`, as in assert and log macros):
 *
 * 1. both sides have the same instructions, but for one immediate each in some of them;
 * 2. each differing immediate is, on both sides, the very line that the line table gives for its statement: for the instruction
 *    itself, or for the call that it is an argument of;
 * 3. no line of the function was edited: where the edits are known, the base line maps to the next line; always, all lines of the function that
 *    come from one file keep their columns and their distances;
 * 4. everything else - callees, data, strings, tables, branch targets - is the same by meaning.
 *
 * Another constant, callee or field therefore never passes as a line number: a constant would have to be its own line number before
 * and after, in a function that did not change a column.
 */
export function isLineOnly(
  aligned: readonly AlignedRow[],
  base: Body,
  next: Body,
  code: CodeComparer,
  edits: SourceEdits | undefined,
): boolean {
  const except = new Set<number>();
  if (!sameShapeOfLines(aligned, edits)) return false;
  for (const [i, row] of aligned.entries()) {
    if (!row.base || !row.next) return false;
    if (row.same) continue;
    if (!isLineImmediate(aligned, i)) return false;
    except.add(i);
  }
  return except.size > 0 && code.sameExcept(base, next, except);
}

/** The one number that two rows differ in; undefined where they differ in anything else. */
export function differingNumber(base: AsmRow, next: AsmRow): { base: number; next: number } | undefined {
  if (base.mnemonic !== next.mnemonic || base.operands === next.operands) return undefined;
  const left = splitImmediate(base.operands);
  const right = splitImmediate(next.operands);
  if (!left || !right || left.rest !== right.rest) return undefined;
  return { base: left.value, next: right.value };
}

/** The immediate of an instruction: its last operand, outside of any memory operand. */
function splitImmediate(operands: string): { rest: string; value: number } | undefined {
  const match = /^(.*(?:, |^))#?(-?)(0x[0-9a-f]+|\d+)$/.exec(operands);
  if (!match) return undefined;
  const value = Number(match[3]);
  return { rest: match[1]!, value: match[2] === '-' ? -value : value };
}

function isLineImmediate(aligned: readonly AlignedRow[], index: number): boolean {
  const { base, next } = aligned[index]!;
  const numbers = differingNumber(base!, next!);
  if (!numbers) return false;
  // An argument is often set up under the line of its own statement, or before the call that carries it.
  for (let i = index; i < aligned.length && i < index + 12; i++) {
    const from = aligned[i]!.base;
    const to = aligned[i]!.next;
    if (!from || !to) return false;
    if (i === index || /^(call|bl|blr|jmp|b)$/.test(from.mnemonic)) {
      if (from.source?.line === numbers.base && to.source?.line === numbers.next && from.source.file === to.source.file)
        return true;
      if (i !== index) return false;
    }
  }
  return false;
}

/** Every row keeps file and column, and one shift holds for all lines of a file (or the edits explain each line). */
function sameShapeOfLines(aligned: readonly AlignedRow[], edits: SourceEdits | undefined): boolean {
  const shifts = new Map<string, number>();
  for (const { base, next } of aligned) {
    const from = base?.source;
    const to = next?.source;
    if (!from || !to) {
      if (from || to) return false;
      continue;
    }
    if (from.file !== to.file || from.column !== to.column) return false;
    if (edits) {
      if (mapLine(hunksOf(edits, from.file), from.line) !== to.line) return false;
      continue;
    }
    const shift = to.line - from.line;
    const known = shifts.get(from.file);
    if (known === undefined) shifts.set(from.file, shift);
    else if (known !== shift) return false;
  }
  return true;
}
