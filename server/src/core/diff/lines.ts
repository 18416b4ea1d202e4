import type { Body } from '../asm/places.ts';
import type { AsmRow } from '../asm/types.ts';
import type { SourceLocation } from '../dwarf/types.ts';
import type { CodeComparer } from './code.ts';
import { hunksOf, mapLine } from './edits.ts';
import type { AlignedRow, SourceEdits } from './types.ts';

/**
 * Proof that a function differs in line numbers only (`__LINE__`, as in assert and log macros):
 *
 * 1. both sides have the same instructions, but for one immediate each in some of them (the sites);
 * 2. at each site the immediate is, on both sides, the very line that the debug information gives for its statement: the line table's
 *    for the instruction or for the call that it is an argument of, or the place where the inlined function around it was called.
 *    A statement of several lines may count from its end, and merged code may have no line at all: then the number has to move as
 *    the lines around it do, and only the stronger witnesses of 3 count;
 * 3. the statement's text did not change. Where the edits are known: every line of the function is unedited and maps from base to
 *    next. Where they are not: columns and distances are kept, and there is a witness that these are line numbers: the same call
 *    carries the file's name or the function's name (`__FILE__`, `__func__`), or the unit has at least three such sites with different lines.
 *    A lone `log(7)` on line 7 that became `log(8)` on line 8 does not pass;
 * 4. everything else - callees, data, strings, tables, branch targets - is the same by meaning.
 */
export interface LineProof {
  /** Lines (base side) whose number is in the code. */
  readonly lines: ReadonlySet<number>;
  /** Enough by itself; else other functions of the unit have to bear witness (`isEnough`). */
  readonly complete: boolean;
}

/** Looks for a proof; undefined where the function differs in anything else. */
export function proveLineOnly(
  aligned: readonly AlignedRow[],
  base: Body,
  next: Body,
  code: CodeComparer,
  edits: SourceEdits | undefined,
): LineProof | undefined {
  const shifts = lineShifts(aligned, edits);
  if (!shifts) return undefined;
  const except = new Set<number>();
  const lines = new Set<number>();
  let complete = true;
  for (const [i, row] of aligned.entries()) {
    if (!row.base || !row.next) return undefined;
    if (row.same) continue;
    const numbers = differingNumber(row.base, row.next);
    if (!numbers) return undefined;
    const strong = edits !== undefined || namesItsPlace(aligned, i, [...shifts.byFile.keys()]);
    if (!isOwnLine(aligned, i, numbers)) {
      if (!strong || !movesWithLines(aligned, i, numbers, shifts, edits)) return undefined;
    }
    except.add(i);
    lines.add(numbers.base);
    if (!strong) complete = false;
  }
  return except.size > 0 && code.sameExcept(base, next, except) ? { lines, complete } : undefined;
}

/** Different lines that make it certain that a unit has its own line numbers as constants. */
const WITNESSES = 3;

/** Whether the proofs of a unit together show that the constants are line numbers. */
export function isEnough(proofs: Iterable<LineProof>): boolean {
  const lines = new Set<number>();
  for (const proof of proofs) for (const line of proof.lines) lines.add(line);
  return lines.size >= WITNESSES;
}

/** Instructions between an argument and its call. */
const REACH = 16;
const CALL = /^(call|bl|blr|jmp|b)$/;

interface Numbers {
  readonly base: number;
  readonly next: number;
}

/** The one number that two rows differ in; undefined where they differ in anything else. */
export function differingNumber(base: AsmRow, next: AsmRow): Numbers | undefined {
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

/** The immediate is the line of its statement on both sides. */
function isOwnLine(aligned: readonly AlignedRow[], index: number, numbers: Numbers): boolean {
  // An argument stands under its own statement's line, or under none of its own before the call that carries it.
  for (let i = index; i < aligned.length && i < index + REACH; i++) {
    const from = aligned[i]!.base;
    const to = aligned[i]!.next;
    if (!from || !to) return false;
    const call = CALL.test(from.mnemonic);
    if ((i === index || call) && isAt(from, to, numbers)) return true;
    if (call) return false;
  }
  return false;
}

/** Lines that a statement may have. */
const LONGEST_STATEMENT = 40;

/**
 * The number moves as the lines of its file do: as the edits say, or by the one shift of all lines of that file in the function. Where
 * the statement has a line, the number is not far behind it.
 */
function movesWithLines(
  aligned: readonly AlignedRow[],
  index: number,
  numbers: Numbers,
  shifts: Shifts,
  edits: SourceEdits | undefined,
): boolean {
  const { base, next } = aligned[index]!;
  const from = base!.source;
  const to = next!.source;
  if (from && to) {
    const behind = numbers.base - from.line;
    if (behind < 0 || behind > LONGEST_STATEMENT || numbers.next - to.line !== behind) return false;
    return !edits || mapLine(hunksOf(edits, from.file), numbers.base) === numbers.next;
  }
  if (from || to) return false;
  if (edits) return [...shifts.paths].some((path) => mapLine(hunksOf(edits, path), numbers.base) === numbers.next);
  // The file that the call names; all of its lines in this function moved alike.
  const moved = [...shifts.byFile].filter(([file]) => namesItsPlace(aligned, index, [file])).map(([, all]) => all);
  return moved.length === 1 && moved[0]!.size === 1 && moved[0]!.has(numbers.next - numbers.base);
}

/** The numbers are the lines of the rows, or of the same inlined call around them. */
function isAt(from: AsmRow, to: AsmRow, numbers: Numbers): boolean {
  const matches = (b: SourceLocation | undefined, n: SourceLocation | undefined) =>
    b?.line === numbers.base && n?.line === numbers.next && baseName(b.file) === baseName(n.file);
  if (matches(from.source, to.source)) return true;
  return (from.inlinedAt ?? []).some((at, depth) => matches(at, to.inlinedAt?.[depth]));
}

/** How far the lines of a function moved. */
interface Shifts {
  /** By base name of the source file: every distance between a base line and its next line. */
  readonly byFile: ReadonlyMap<string, ReadonlySet<number>>;
  /** Source files of the function's code, as the debug information of the base spells them. */
  readonly paths: ReadonlySet<string>;
}

/**
 * Undefined where a row does not keep file and column, or lines of one function body do not keep their distances (or, with the edits
 * at hand, where they do not explain each line).
 */
function lineShifts(aligned: readonly AlignedRow[], edits: SourceEdits | undefined): Shifts | undefined {
  const shifts = new Map<string, number>();
  const byFile = new Map<string, Set<number>>();
  const paths = new Set<string>();
  for (const { base, next } of aligned) {
    if (!base || !next || base.inlinedFrom.join() !== next.inlinedFrom.join()) return undefined;
    const from = base.source;
    const to = next.source;
    if (!from || !to) {
      if (from || to) return undefined;
      continue;
    }
    if (baseName(from.file) !== baseName(to.file) || from.column !== to.column) return undefined;
    paths.add(from.file);
    const shift = to.line - from.line;
    const file = baseName(from.file);
    byFile.set(file, (byFile.get(file) ?? new Set()).add(shift));
    if (edits) {
      if (mapLine(hunksOf(edits, from.file), from.line) !== to.line) return undefined;
      continue;
    }
    const key = `${file}\0${base.inlinedFrom.at(-1) ?? ''}`;
    if ((shifts.get(key) ?? shift) !== shift) return undefined;
    shifts.set(key, shift);
  }
  return { byFile, paths };
}

/** The call that an instruction prepares also passes the name of the source file or of the function that it is in. */
function namesItsPlace(aligned: readonly AlignedRow[], index: number, files: readonly string[]): boolean {
  const calls = (row: AlignedRow | undefined) => row?.next !== undefined && CALL.test(row.next.mnemonic);
  let first = index;
  while (first > 0 && index - first < REACH && !calls(aligned[first - 1])) first--;
  let last = index;
  while (last + 1 < aligned.length && last - index < REACH && !calls(aligned[last])) last++;
  for (const { next } of aligned.slice(first, last + 1)) {
    for (const reference of next?.references ?? []) {
      if (reference.kind !== 'string') continue;
      const text = reference.name.slice(1, -1);
      if (files.some((file) => text === file || text.endsWith(`/${file}`))) return true;
      if (reference.isFunctionName) return true;
    }
  }
  return false;
}

/** The two objects may have been compiled in different folders. */
function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
