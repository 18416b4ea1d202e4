import type { AsmRow } from '../core/asm/types.ts';
import { rowKinds } from '../core/diff/noise.ts';
import { alignRows } from '../core/diff/rows.ts';
import type { AlignedRow, FunctionChange, SourceHunk } from '../core/diff/types.ts';
import type { SourceLocation } from '../core/dwarf/types.ts';
import { type ListingLine, renderPair } from '../core/render/asm.ts';
import { hoverInstruction } from '../core/render/instruction.ts';
import type { AsmDocument, AsmRowKind, AsmSide, AsmSubject, Place } from '../protocol.ts';
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

/** `gcc 12.2.0 -O2` of a compiler's first line and its arguments. */
export function compilerText(compiler: string, command: readonly string[]): string {
  const name = /^\S+/.exec(compiler)?.[0] ?? '';
  const version = /(\d+\.\d+(?:\.\d+)?)/.exec(compiler.replace(/\([^)]*\)/g, ''))?.[1] ?? '';
  const optimisation = command.findLast((each) => /^-O/.test(each)) ?? '';
  return [name, version, optimisation].filter((word) => word !== '').join(' ');
}

/** Text for between two backticks. */
const code = (text: string): string => text.replace(/[`\n\r]/g, ' ');

const SIDE: Readonly<Record<AsmSide, string>> = { base: 'Baseline', built: 'Last built patch', next: 'Now' };

/** A shell's spelling of an argument vector, for reading. */
const commandText = (command: readonly string[]): string =>
  command.map((each) => (/^[\w@%+=:,./-]+$/.test(each) ? each : `'${each.replaceAll("'", "'\\''")}'`)).join(' ');

interface Side {
  readonly subject: AsmSubject;
  readonly state: UnitState;
  readonly result: Result;
  readonly change: FunctionChange;
  readonly lines: readonly SideLine[];
}

interface SideLine extends ListingLine {
  readonly kind?: AsmRowKind;
}

/** Words behind a row for those who read rather than look: the difference is the compiler's own. */
const REMARK: Partial<Record<AsmRowKind, string>> = { registers: 'registers only', moved: 'moved' };

/** Kinds of the instructions of one side, in their order. */
function kindsOf(model: Model, result: Result, rows: readonly AlignedRow[], { side, against }: AsmSubject) {
  const files = new Set(rows.flatMap((row) => [row.base, row.next].flatMap((each) => each?.source?.file ?? [])));
  // What was edited since the last patch is not known: then nothing is called noise.
  const known = side !== 'built' && against !== 'built';
  const edits = known ? new Map([...files].map((file) => [file, model.hunks(result, file)])) : undefined;
  const kinds = rowKinds(rows, edits);
  const isFirst = order(side) < order(against);
  return rows.flatMap((row, index) => ((isFirst ? row.base : row.next) ? [kinds[index]!] : []));
}

/** Which side stands left. */
const order = (side: AsmSide): number => ['base', 'built', 'next'].indexOf(side);

async function sideOf(model: Model, subject: AsmSubject): Promise<Side | undefined> {
  const found = model.find(subject.unit, subject.name);
  if (!found) return undefined;
  const { state, result, change } = found;
  const isFirst = order(subject.side) < order(subject.against);
  const [left, right] = isFirst ? [subject.side, subject.against] : [subject.against, subject.side];
  const [base, next] = [left, right].map((side) => model.rowsOf(subject.unit, result, change, side)) as [
    readonly AsmRow[],
    readonly AsmRow[],
  ];
  const rows = left === 'base' && right === 'next' ? model.listing(result, change).rows : alignRows(base, next);
  const texts = await sources(model, state, [...base, ...next]);
  const pair = renderPair(rows, { ...(left === 'base' ? { base: texts.base } : {}), next: texts.next });
  const kinds = kindsOf(model, result, rows, subject);
  let index = 0;
  const lines = (isFirst ? pair.base : pair.next).map((line): SideLine => {
    const kind = line.row && kinds[index++];
    const remark = kind && REMARK[kind];
    return { ...line, ...(kind ? { kind } : {}), ...(remark ? { text: `${line.text}  ; ${remark}` } : {}) };
  });
  return { subject, state, result, change, lines: [{ text: `; ${result.pair.provenance.compiler}` }, ...lines] };
}

/** One side's listing of a function, comparable with the other side's line by line. */
export async function asmDocument(model: Model, subject: AsmSubject): Promise<AsmDocument> {
  const found = await sideOf(model, subject);
  if (!found) {
    const text = '; The machine code of this function is the same as in the baseline.\n';
    return { text, title: subject.name, places: [], lines: [] };
  }
  const { state, result, change, lines } = found;
  const { compiler, nextCommand } = result.pair.provenance;
  const places: Place[] = [];
  const indices = new Map<string, number | undefined>();
  const placeAt = ({ file, line }: SourceLocation): number | undefined => {
    const key = `${file}:${line}`;
    if (indices.has(key)) return indices.get(key);
    const shown = subject.side === 'base' ? nextLine(model.hunks(result, file), line) : line;
    const place = model.place(state, { file, line: shown });
    const index = place ? places.push(place) - 1 : undefined;
    indices.set(key, index);
    return index;
  };
  return {
    text: lines.map((line) => `${line.text}\n`).join(''),
    title: `${titleOf(change)} · ${compilerText(compiler, nextCommand)}${state.stale ? ' (stale)' : ''}`,
    places,
    lines: lines.map(({ source, kind }) => {
      const place = source && placeAt(source);
      return { ...(place === undefined ? {} : { place }), ...(kind ? { kind } : {}) };
    }),
  };
}

/** What the hover on one line of a listing says: on an instruction all about it, on the first line how this side was compiled. */
export async function asmHover(model: Model, subject: AsmSubject, line: number): Promise<string | null> {
  const found = await sideOf(model, subject);
  const shown = found?.lines[line];
  if (!found || !shown) return null;
  const { state, result } = found;
  if (line === 0) {
    const { compiler, baseCommand, nextCommand, baseline } = result.pair.provenance;
    const command = commandText(subject.side === 'base' ? baseCommand : nextCommand);
    const what = subject.side === 'base' ? `${SIDE.base} (${code(baseline)})` : SIDE[subject.side];
    return `**${what}**, compiled by \`${code(compiler)}\`\n\n\`\`\`sh\n${command}\n\`\`\``;
  }
  if (!shown.row) return null;
  const statusOf = (name: string) => result.diff.functions.find((each) => each.name === name)?.status;
  const text = shown.source && (await sources(model, state, [shown.row]));
  const sourceText =
    shown.source && text?.[subject.side === 'base' ? 'base' : 'next'](shown.source.file, shown.source.line);
  const remark =
    shown.kind === 'registers'
      ? '\n\n*The same instruction with other registers, on a line that nobody edited.*'
      : shown.kind === 'moved'
        ? '\n\n*The same instruction in another place of its block, on a line that nobody edited.*'
        : '';
  return hoverInstruction(shown.row, { statusOf, ...(sourceText ? { sourceText } : {}) }) + remark;
}
