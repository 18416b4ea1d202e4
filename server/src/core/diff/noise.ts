import type { AsmRow } from '../asm/types.ts';
import type { SourceLocation } from '../dwarf/types.ts';
import type { AlignedRow, SourceEdits, SourceHunk } from './types.ts';

/**
 * What a row of an aligned listing is for somebody who reads it: `same`, `changed`, on one side `only`; or a difference that the
 * compiler made on its own: the same instruction with other `registers`, the same instruction `moved` a few rows, or the same thing under
 * another number in its name.
 */
export type RowKind = 'same' | 'changed' | 'only' | 'registers' | 'moved' | 'renumbered';

/** Rows that an instruction may have moved and still be called moved. */
const REACH = 24;

/** Names of registers of x86-64 and AArch64, as the decoder writes them. */
const REGISTER =
  /(?<![\w.$@+])(?:(?:[re]?(?:ax|bx|cx|dx|si|di|bp)|[abcd][lh]|(?:si|di|bp)l|r(?:[89]|1[0-5])[dwb]?)|([xyz]mm)(?:[12]?\d|3[01])|(k)[0-7]|([xwvqdshb])(?:[12]?\d|30|31))(?![\w.$@])/g;

/** Width of a general register of x86-64: renaming keeps it. */
function widthOf(name: string): string {
  if (/^r(?:ax|bx|cx|dx|si|di|bp|[89]|1[0-5])$/.test(name)) return 'r64';
  if (/^e|d$/.test(name) && name !== 'cld') return 'r32';
  if (/^(?:ax|bx|cx|dx|si|di|bp)$|w$/.test(name)) return 'r16';
  return 'r8';
}

/** Operands with each register replaced by its kind. Strings in operands stay as they are. */
export function withoutRegisters(operands: string): string {
  return operands
    .split(/("(?:[^"\\]|\\.)*")/)
    .map((part, index) =>
      index % 2 === 1
        ? part
        : part.replace(
            REGISTER,
            (name, vector?: string, mask?: string, arm?: string) => `%${vector ?? mask ?? arm ?? widthOf(name)}`,
          ),
    )
    .join('');
}

/** Text of a row in which labels have no names: those differ without meaning. */
function textOf(row: AsmRow): string {
  let operands = row.operands;
  for (const reference of row.references)
    if (reference.kind === 'label') operands = operands.replace(reference.name, '.L');
  return `${row.mnemonic} ${operands}`;
}

/** Ends a block: what moved across it did not just change places. */
const isBarrier = (row: AsmRow | undefined): boolean =>
  row !== undefined &&
  (row.references.some((reference) => reference.kind === 'label') ||
    /^(?:j|call|ret|bl?r?$|b\.|cbn?z|tbn?z)/.test(row.mnemonic));

/** Line of the next source that a line of the base source became; undefined for lines that a hunk replaces. */
function lineAfter(hunks: readonly SourceHunk[], line: number): number | undefined {
  let shift = 0;
  for (const hunk of hunks) {
    if (line < hunk.baseStart) break;
    if (line < hunk.baseStart + hunk.baseCount) return undefined;
    shift = hunk.nextStart + hunk.nextCount - (hunk.baseStart + hunk.baseCount);
  }
  return line + shift;
}

/** Place of a row in the next source, `file:line`; undefined where its line is not known or was edited. */
function quietPlace(row: AsmRow | undefined, side: 'base' | 'next', edits: SourceEdits): string | undefined {
  const at: SourceLocation | undefined = row?.source;
  if (!at) return undefined;
  const hunks = edits.get(at.file) ?? [];
  if (side === 'base') {
    const line = lineAfter(hunks, at.line);
    return line === undefined ? undefined : `${at.file}:${line}`;
  }
  const edited = hunks.some((hunk) => at.line >= hunk.nextStart && at.line < hunk.nextStart + hunk.nextCount);
  return edited ? undefined : `${at.file}:${at.line}`;
}

/**
 * The kind of each aligned row, in their order. `registers` and `moved` say only what the text of the rows shows: the same instruction
 * of the same source line with other registers; the same instruction of the same line elsewhere between the same two jumps or labels.
 * Rows of lines that somebody edited, or of no known line, are `changed` or `only` even then, and all are where `edits` is not known.
 */
export function rowKinds(rows: readonly AlignedRow[], edits: SourceEdits | undefined): RowKind[] {
  const kinds = rows.map(({ base, next, same, renumbered }): RowKind => {
    if (renumbered) return 'renumbered';
    if (same) return 'same';
    if (!base || !next) return 'only';
    if (!edits || base.mnemonic !== next.mnemonic) return 'changed';
    const [before, after] = [textOf(base), textOf(next)];
    const place = quietPlace(base, 'base', edits);
    const renamed =
      before !== after &&
      withoutRegisters(before) === withoutRegisters(after) &&
      place !== undefined &&
      place === quietPlace(next, 'next', edits);
    return renamed ? 'registers' : 'changed';
  });
  if (edits) markMoved(rows, kinds, edits);
  return kinds;
}

/** Marks rows of one side as moved that stand on the other side near by, in the same block and of the same source line. */
function markMoved(rows: readonly AlignedRow[], kinds: RowKind[], edits: SourceEdits): void {
  const waiting = new Map<string, number[]>();
  for (const [index, { base, next }] of rows.entries()) {
    if (base?.label !== undefined || next?.label !== undefined) waiting.clear();
    const side = base ? 'base' : 'next';
    const row = base ?? next;
    const place = row && kinds[index] === 'only' && !isBarrier(row) ? quietPlace(row, side, edits) : undefined;
    if (row && place !== undefined) {
      const key = `${place} ${textOf(row)}`;
      const others = waiting.get(`${side === 'base' ? 'next' : 'base'} ${key}`) ?? [];
      while (others.length > 0 && index - others[0]! > REACH) others.shift();
      const partner = others.shift();
      if (partner !== undefined) {
        kinds[partner] = 'moved';
        kinds[index] = 'moved';
      } else {
        const own = waiting.get(`${side} ${key}`) ?? [];
        own.push(index);
        waiting.set(`${side} ${key}`, own);
      }
    }
    if (isBarrier(base) || isBarrier(next)) waiting.clear();
  }
}
