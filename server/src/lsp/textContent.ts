import * as l10n from '@vscode/l10n';
import type { AsmRow } from '../core/asm/types.ts';
import { rowKinds } from '../core/diff/noise.ts';
import { alignRows } from '../core/diff/rows.ts';
import type { AlignedRow, FunctionChange, SourceHunk } from '../core/diff/types.ts';
import type { SourceLocation } from '../core/dwarf/types.ts';
import { type ListingLine, renderPair } from '../core/render/asm.ts';
import { hoverInstruction } from '../core/render/instruction.ts';
import { jumpsOf } from '../core/render/jumps.ts';
import {
  type AsmDocument,
  type AsmRowKind,
  type AsmSide,
  type AsmSubject,
  lineKinds,
  type Place,
} from '../protocol.ts';
import type { UnitState } from '../shell/types.ts';
import type { Model } from './model.ts';

type Result = NonNullable<UnitState['result']>;

/** Title of the diff editor: `name: 41 → 44 instructions, 160 → 176 bytes`. */
export function titleOf(change: FunctionChange): string {
  switch (change.status) {
    case 'new':
      return l10n.t('{0}: new, {1} instructions, {2} bytes', change.name, change.nextInstructions, change.nextSize);
    case 'removed':
      return l10n.t('{0}: removed, {1} instructions, {2} bytes', change.name, change.baseInstructions, change.baseSize);
    default:
      return l10n.t(
        '{0}: {1} → {2} instructions, {3} → {4} bytes',
        change.name,
        change.baseInstructions,
        change.nextInstructions,
        change.baseSize,
        change.nextSize,
      );
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

const sideName = (side: AsmSide): string =>
  side === 'base' ? l10n.t('Baseline') : side === 'built' ? l10n.t('Last built patch') : l10n.t('Now');

/** A shell's spelling of an argument vector, for reading. */
const commandText = (command: readonly string[]): string =>
  command.map((each) => (/^[\w@%+=:,./-]+$/.test(each) ? each : `'${each.replaceAll("'", "'\\''")}'`)).join(' ');

/** The letter of each kind of line in `AsmDocument.kinds`. */
const LETTER = Object.fromEntries(Object.entries(lineKinds).map(([letter, kind]) => [kind, letter])) as Record<
  AsmRowKind | 'source',
  string
>;

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
const REMARK: Partial<Record<AsmRowKind, () => string>> = {
  registers: () => l10n.t('registers only'),
  moved: () => l10n.t('moved'),
  renumbered: () => l10n.t('renumbered'),
};

/** What each aligned row is for a reader. */
function kindsOf(model: Model, result: Result, rows: readonly AlignedRow[], sides: readonly [AsmSide, AsmSide]) {
  const files = new Set(rows.flatMap((row) => [row.base, row.next].flatMap((each) => each?.source?.file ?? [])));
  // What was edited since the last patch is not known: then nothing is called noise.
  const edits = sides.includes('built')
    ? undefined
    : new Map([...files].map((file) => [file, model.hunks(result, file)]));
  return rowKinds(rows, edits);
}

/** Which side stands left. */
const order = (side: AsmSide): number => ['base', 'built', 'next'].indexOf(side);

/** Both sides of a listing as they were first shown: the text of the sources is that of the build, whatever is typed since. */
const shown = new WeakMap<FunctionChange, Map<string, Promise<Record<'base' | 'next', readonly SideLine[]>>>>();

/** The lines of both sides of a comparison of a function. */
async function linesOf(
  model: Model,
  { state, result, change }: Pick<Side, 'state' | 'result' | 'change'>,
  [left, right]: readonly [AsmSide, AsmSide],
): Promise<Record<'base' | 'next', readonly SideLine[]>> {
  const [base, next] = [left, right].map((side) => model.rowsOf(state.unit.id, result, change, side)) as [
    readonly AsmRow[],
    readonly AsmRow[],
  ];
  const rows = left === 'base' && right === 'next' ? model.listing(result, change).rows : alignRows(base, next);
  const texts = await sources(model, state, [...base, ...next]);
  const pair = renderPair(rows, { ...(left === 'base' ? { base: texts.base } : {}), next: texts.next });
  const kinds = kindsOf(model, result, rows, [left, right]);
  const withKinds = (lines: readonly ListingLine[], which: 'base' | 'next'): readonly SideLine[] => {
    const own = rows.flatMap((row, index) => (row[which] && !row[which].padding ? [kinds[index]!] : []));
    let index = 0;
    const all = lines.map((line): SideLine => {
      const kind = line.row && own[index++];
      const remark = kind && REMARK[kind]?.();
      return { ...line, ...(kind ? { kind } : {}), ...(remark ? { text: `${line.text}  ; ${remark}` } : {}) };
    });
    return [{ text: `; ${result.pair.provenance.compiler}` }, ...all];
  };
  return { base: withKinds(pair.base, 'base'), next: withKinds(pair.next, 'next') };
}

async function sideOf(model: Model, subject: AsmSubject): Promise<Side | undefined> {
  const found = model.find(subject.unit, subject.name);
  if (!found) return undefined;
  const isFirst = order(subject.side) < order(subject.against);
  const sides = isFirst ? ([subject.side, subject.against] as const) : ([subject.against, subject.side] as const);
  const known = shown.get(found.change) ?? new Map<string, Promise<Record<'base' | 'next', readonly SideLine[]>>>();
  shown.set(found.change, known);
  // Another patch that is built changes what `built` means.
  const key = `${sides.join(' ')} ${sides.includes('built') ? model.builds : 0}`;
  const pending = known.get(key) ?? linesOf(model, found, sides);
  known.set(key, pending);
  const lines = await pending.catch((error: unknown) => {
    known.delete(key);
    throw error;
  });
  return { subject, ...found, lines: lines[isFirst ? 'base' : 'next'] };
}

/** Works out the listing of a function before somebody asks for it. */
export async function prepareListing(model: Model, unit: string, name: string): Promise<void> {
  await sideOf(model, { unit, name, side: 'next', against: 'base' });
}

/** One side's listing of a function, comparable with the other side's line by line. */
export async function asmDocument(model: Model, subject: AsmSubject): Promise<AsmDocument> {
  const found = await sideOf(model, subject);
  if (!found) {
    const isKnown = model.units.some(({ unit, result }) => unit.id === subject.unit && result !== undefined);
    const said = isKnown
      ? l10n.t('The machine code of this function is the same as in the baseline.')
      : l10n.t('This function has not been compared yet.');
    const text = `; ${said}\n`;
    return { text, title: subject.name, places: [], placeOf: [-1], kinds: ' ', jumps: [] };
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
    title: `${titleOf(change)} · ${compilerText(compiler, nextCommand)}${state.stale ? ` (${l10n.t('stale')})` : ''}`,
    places,
    placeOf: lines.map(({ source }) => (source && placeAt(source)) ?? -1),
    kinds: lines
      .map(({ source, kind, row, text }) =>
        kind ? LETTER[kind] : source !== undefined && row === undefined && text.startsWith(';') ? LETTER.source : ' ',
      )
      .join(''),
    jumps: jumpsOf(lines),
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
    const what = subject.side === 'base' ? `${sideName('base')} (${code(baseline)})` : sideName(subject.side);
    return `${l10n.t('{0}, compiled by {1}', `**${what}**`, `\`${code(compiler)}\``)}\n\n\`\`\`sh\n${command}\n\`\`\``;
  }
  if (!shown.row) return labelHover(found.lines, line);
  const statusOf = (name: string) => result.diff.functions.find((each) => each.name === name)?.status;
  const text = shown.source && (await sources(model, state, [shown.row]));
  const sourceText =
    shown.source && text?.[subject.side === 'base' ? 'base' : 'next'](shown.source.file, shown.source.line);
  const remark =
    shown.kind === 'registers'
      ? `\n\n*${l10n.t('The same instruction with other registers, on a line that nobody edited.')}*`
      : shown.kind === 'moved'
        ? `\n\n*${l10n.t('The same instruction in another place of its block, on a line that nobody edited.')}*`
        : shown.kind === 'renumbered'
          ? `\n\n*${l10n.t('The same things by other names: only a number that the compiler or a macro gave is another one.')}*`
          : '';
  const target = targetText(found.lines, line);
  const { machine } = result.pair.next.elf;
  const context = { statusOf, machine, ...(sourceText ? { sourceText } : {}), ...(target ? { target } : {}) };
  return hoverInstruction(shown.row, context) + remark;
}

/** Branches that a hover on a label names, at most. */
const MOST_BRANCHES = 12;

/** A line of a listing in a hover: with its number where a person would look it up. */
const rowInWords = (lines: readonly SideLine[], line: number): string =>
  `\`${code(lines[line]?.text.trim().replace(/\s+/g, ' ') ?? '')}\` ${l10n.t('in line {0}', line + 1)}`;

/** What a hover on a label says: the branches that lead there. */
function labelHover(lines: readonly SideLine[], line: number): string | null {
  const jumps = jumpsOf(lines).find(({ to }) => to === line);
  if (!jumps) return null;
  const { from } = jumps;
  const list = from.slice(0, MOST_BRANCHES).map((each) => `- ${rowInWords(lines, each)}`);
  if (from.length > MOST_BRANCHES) list.push(`- ${l10n.t('and {0} more', from.length - MOST_BRANCHES)}`);
  return `${l10n.t('Branches that lead to {0}:', `\`${code(lines[line]!.text.replace(':', ''))}\``)}\n\n${list.join('\n')}`;
}

/** Where the branch in a line leads: its label, and the instruction there. */
function targetText(lines: readonly SideLine[], line: number): string | undefined {
  const to = jumpsOf(lines).find(({ from }) => from.includes(line))?.to;
  if (to === undefined) return undefined;
  return `→ \`${code(lines[to]!.text.replace(':', ''))}\`: ${rowInWords(lines, to + 1)}`;
}
