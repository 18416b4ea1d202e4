import type { AsmRow } from '../core/asm/types.ts';
import type { FunctionChange, SourceHunk } from '../core/diff/types.ts';
import type { SourceLocation } from '../core/dwarf/types.ts';
import { type ListingLine, renderPair } from '../core/render/asm.ts';
import type { AsmDocument, Place } from '../protocol.ts';
import type { UnitState } from '../shell/types.ts';
import type { Model } from './model.ts';

type Result = NonNullable<UnitState['result']>;

/** Title of the diff editor: `name: 41 → 44 instructions, 160 → 176 bytes`. */
export function titleOf(change: FunctionChange): string {
  switch (change.status) {
    case 'new':
      return `${change.name}: new, ${change.nextInstructions} instructions, ${change.nextSize} bytes`;
    case 'removed':
      return `${change.name}: removed, ${change.baseInstructions} instructions, ${change.baseSize} bytes`;
    default:
      return `${change.name}: ${change.baseInstructions} → ${change.nextInstructions} instructions, ${change.baseSize} → ${change.nextSize} bytes`;
  }
}

/** Line (from 1) of the next source that stands where this line of the base source stood; the hunk's first line inside a hunk. */
export function nextLine(hunks: readonly SourceHunk[], line: number): number {
  let shift = 0;
  for (const hunk of hunks) {
    if (line < hunk.baseStart) break;
    if (line < hunk.baseStart + hunk.baseCount) return Math.max(1, hunk.nextStart);
    shift = hunk.nextStart + hunk.nextCount - (hunk.baseStart + hunk.baseCount);
  }
  return line + shift;
}

/** Bytes, relocations and origin of an instruction, as the hover on a listing shows them. */
export function instructionHover(row: AsmRow): string {
  const bytes = [...row.bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
  const lines = [`\`+0x${row.offset.toString(16)}\`  \`${bytes}\``];
  for (const reference of row.references) {
    if (reference.kind === 'label') continue;
    const addend = reference.addend === 0 ? '' : ` ${reference.addend < 0 ? '−' : '+'} ${Math.abs(reference.addend)}`;
    const where = reference.section
      ? ` in \`${reference.section}\``
      : reference.kind === 'external'
        ? ', defined elsewhere'
        : '';
    lines.push(
      `${reference.relocation ? `\`${reference.relocation}\` → ` : '→ '}\`${code(reference.name)}${addend}\`${where}`,
    );
  }
  if (row.inlinedFrom.length > 0)
    lines.push(`inlined: ${row.inlinedFrom.map((name) => `\`${code(name)}\``).join(' > ')}`);
  if (row.source) lines.push(`\`${code(row.source.file.split('/').pop() ?? '')}:${row.source.line}\``);
  return lines.join('\n\n');
}

/** Text for between two backticks. */
const code = (text: string): string => text.replace(/[`\n\r]/g, ' ');

/** Both sides read the source text that belongs to them: the baseline's, and the one that was built. */
async function sources(model: Model, state: UnitState, rows: readonly AsmRow[]) {
  const files = new Set(rows.flatMap((row) => (row.source ? [row.source.file] : [])));
  const base = new Map<string, readonly string[]>();
  for (const file of files) {
    const text = await model.session?.baseText(file).catch(() => undefined);
    if (text !== undefined) base.set(file, text.split('\n'));
  }
  const moment = model.momentOf(state);
  const next = (file: string, line: number): string => {
    const path = model.documents.spelling(file);
    return model.documents.line(path, model.documents.lineNow(path, line - 1, moment));
  };
  return {
    base: (file: string, line: number) => base.get(file)?.[line - 1]?.replace(/\r$/, '') ?? next(file, line),
    next,
  };
}

function placeOf(
  model: Model,
  state: UnitState,
  result: Result,
  side: 'base' | 'next',
  at: SourceLocation,
): Place | undefined {
  const line = side === 'next' ? at.line : nextLine(model.hunks(result, at.file), at.line);
  return model.place(state, { file: at.file, line });
}

/** One side's listing of a function, comparable with the other side's line by line. */
export async function asmDocument(
  model: Model,
  unit: string,
  name: string,
  side: 'base' | 'next',
): Promise<AsmDocument> {
  const found = model.find(unit, name);
  if (!found)
    return { text: '; The machine code of this function is the same as in the baseline.\n', title: name, lines: [] };
  const { state, result, change } = found;
  const { base, next, rows } = model.listing(result, change);
  const pair = renderPair(rows, await sources(model, state, [...base, ...next]));
  const lines: readonly ListingLine[] = pair[side];
  return {
    text: lines.map((line) => `${line.text}\n`).join(''),
    title: `${titleOf(change)}${state.stale ? ' (stale)' : ''}`,
    lines: lines.map((line) => {
      const place = line.source && placeOf(model, state, result, side, line.source);
      return { ...(line.row ? { hover: instructionHover(line.row) } : {}), ...(place ? { place } : {}) };
    }),
  };
}
