import * as l10n from '@vscode/l10n';
import { rowKinds } from '../core/diff/noise.ts';
import type { FunctionChange, SourceHunk } from '../core/diff/types.ts';
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
import type { Model } from './model.ts';
import { type Code, type Comparison, compare, type Found, order } from './sides.ts';

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

/** Line (from 1) of the next source that stands where this line of the base source stood; inside a hunk the one as far down in it. */
export function nextLine(hunks: readonly SourceHunk[], line: number): number {
  let shift = 0;
  for (const hunk of hunks) {
    if (line < hunk.baseStart) break;
    if (line < hunk.baseStart + hunk.baseCount)
      return Math.max(1, hunk.nextStart + Math.max(0, Math.min(line - hunk.baseStart, hunk.nextCount - 1)));
    shift = hunk.nextStart + hunk.nextCount - (hunk.baseStart + hunk.baseCount);
  }
  return line + shift;
}

/** `gcc 12.2.0 -O2` of a compiler's first line and its arguments. */
export function compilerText(compiler: string, command: readonly string[]): string {
  const name = /^\S+/.exec(compiler)?.[0] ?? '';
  const version = /(\d+\.\d+(?:\.\d+)?)/.exec(compiler.replace(/\([^)]*\)/g, ''))?.[1] ?? '';
  const optimisation = command.findLast((each) => /^-O/.test(each)) ?? '';
  return [name, version, optimisation].filter((word) => word !== '').join(' ');
}

/** How both sides were compiled, once where that is the same: `gcc 12.2.0 -O2 ↔ gcc 13.1.0 -O1`. */
function compilersText({ base, next }: Comparison): string {
  const [left, right] = [base, next].map(({ compiler, command }) => compilerText(compiler, command));
  return left === right ? left! : `${left} ↔ ${right}`;
}

/** Text for between two backticks. */
const inline = (text: string): string => text.replace(/[`\n\r]/g, ' ');

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

/** One side of a comparison, with its lines as they are shown. */
interface Side extends Found {
  readonly code: Code;
  readonly lines: readonly SideLine[];
  readonly title: string;
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

/** A comparison as it was first shown: the text of the sources is that of the build, whatever is typed since. */
type Pair = Record<'base' | 'next', Side>;
const shown = new WeakMap<FunctionChange, Map<string, Promise<Pair>>>();

/** Title of a comparison that is not the usual one: `name: last built ↔ now`. */
function sidesTitle(name: string, left: AsmSide, right: AsmSide): string {
  const words: Record<AsmSide, string> = {
    base: l10n.t('baseline'),
    built: l10n.t('last built'),
    next: l10n.t('now'),
  };
  return `${name}: ${words[left]} ↔ ${words[right]}`;
}

/** Both sides of a comparison of a function. */
async function pairOf(model: Model, found: Found, sides: readonly [AsmSide, AsmSide]): Promise<Pair> {
  const [left, right] = sides;
  const comparison = await compare(model, found, sides);
  const { base, next, rows, edits } = comparison;
  const pair = renderPair(rows, { base: base.source, next: next.source });
  const kinds = rowKinds(rows, edits);
  const withKinds = (which: 'base' | 'next'): readonly SideLine[] => {
    const own = rows.flatMap((row, index) => (row[which] && !row[which].padding ? [kinds[index]!] : []));
    let index = 0;
    const all = pair[which].map((line): SideLine => {
      const kind = line.row && own[index++];
      const remark = kind && REMARK[kind]?.();
      return { ...line, ...(kind ? { kind } : {}), ...(remark ? { text: `${line.text}  ; ${remark}` } : {}) };
    });
    return [{ text: `; ${comparison[which].compiler}` }, ...all];
  };
  const what = left === 'base' && right === 'next' ? titleOf(found.change) : sidesTitle(found.change.name, left, right);
  const title = `${what} · ${compilersText(comparison)}`;
  return {
    base: { ...found, code: base, lines: withKinds('base'), title },
    next: { ...found, code: next, lines: withKinds('next'), title },
  };
}

async function sideOf(model: Model, { unit, name, side, against }: AsmSubject): Promise<Side | undefined> {
  const isFirst = order(side) < order(against);
  const sides = isFirst ? ([side, against] as const) : ([against, side] as const);
  const { built } = model;
  const isBuilt = sides.includes('built');
  const found = isBuilt ? model.findBuilt(unit, name) : model.find(unit, name);
  if (!found || (isBuilt && !built)) return undefined;
  const known = shown.get(found.change) ?? new Map<string, Promise<Pair>>();
  shown.set(found.change, known);
  // Another patch that is built changes what `built` means.
  const key = `${sides.join(' ')} ${isBuilt ? `${built?.id} ${built?.time}` : ''}`;
  const pending = known.get(key) ?? pairOf(model, found, sides);
  known.set(key, pending);
  const pair = await pending.catch((error: unknown) => {
    known.delete(key);
    throw error;
  });
  // The comparison is the same one, whatever became of its unit since: compiled again, or stale.
  return { ...pair[isFirst ? 'base' : 'next'], state: found.state };
}

/** Works out the listing of a function before somebody asks for it. */
export async function prepareListing(model: Model, unit: string, name: string): Promise<void> {
  await sideOf(model, { unit, name, side: 'next', against: 'base' });
}

/** Why there is no listing, as its text. */
function nothing(model: Model, subject: AsmSubject): AsmDocument {
  const isKnown = model.units.some(({ unit, result }) => unit.id === subject.unit && result !== undefined);
  const needsBuilt = subject.side === 'built' || subject.against === 'built';
  const said =
    needsBuilt && !model.built
      ? l10n.t('No patch has been built yet.')
      : isKnown
        ? l10n.t('The machine code of this function is the same as in the baseline.')
        : l10n.t('This function has not been compared yet.');
  return { text: `; ${said}\n`, title: subject.name, places: [], placeOf: [-1], kinds: ' ', jumps: [] };
}

/** One side's listing of a function, comparable with the other side's line by line. */
export async function asmDocument(model: Model, subject: AsmSubject): Promise<AsmDocument> {
  const found = await sideOf(model, subject);
  if (!found) return nothing(model, subject);
  const { state, code, lines, title } = found;
  const places: Place[] = [];
  const indices = new Map<string, number | undefined>();
  const placeAt = ({ file, line }: SourceLocation): number | undefined => {
    const key = `${file}:${line}`;
    if (indices.has(key)) return indices.get(key);
    const place = model.place(state, { file, line: nextLine(code.toNow.get(file) ?? [], line) });
    const index = place ? places.push(place) - 1 : undefined;
    indices.set(key, index);
    return index;
  };
  return {
    text: lines.map((line) => `${line.text}\n`).join(''),
    title: `${title}${state.stale ? ` (${l10n.t('stale')})` : ''}`,
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
  const { result, code } = found;
  if (line === 0) return codeHover(model, found, subject.side);
  if (!shown.row) return labelHover(found.lines, line);
  const statusOf = (name: string) => result.diff.functions.find((each) => each.name === name)?.status;
  const sourceText = shown.source && code.source(shown.source.file, shown.source.line);
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

/** What the hover on the first line of a listing says: what it is, and how it was compiled. */
function codeHover(model: Model, { result, code }: Side, side: AsmSide): string {
  const { baseline } = result.pair.provenance;
  const detail = side === 'base' ? baseline : side === 'built' ? model.built?.id : undefined;
  const what = `**${sideName(side)}**${detail === undefined ? '' : ` (${inline(detail)})`}`;
  const compiled = l10n.t('{0}, compiled by {1}', what, `\`${inline(code.compiler)}\``);
  const same = code.isBaseline
    ? `\n\n${l10n.t('This function is not in the patch: its code is that of the baseline.')}`
    : '';
  return `${compiled}${same}\n\n\`\`\`sh\n${commandText(code.command)}\n\`\`\``;
}

/** Branches that a hover on a label names, at most. */
const MOST_BRANCHES = 12;

/** A line of a listing in a hover: with its number where a person would look it up. */
const rowInWords = (lines: readonly SideLine[], line: number): string =>
  `\`${inline(lines[line]?.text.trim().replace(/\s+/g, ' ') ?? '')}\` ${l10n.t('in line {0}', line + 1)}`;

/** What a hover on a label says: the branches that lead there. */
function labelHover(lines: readonly SideLine[], line: number): string | null {
  const jumps = jumpsOf(lines).find(({ to }) => to === line);
  if (!jumps) return null;
  const { from } = jumps;
  const list = from.slice(0, MOST_BRANCHES).map((each) => `- ${rowInWords(lines, each)}`);
  if (from.length > MOST_BRANCHES) list.push(`- ${l10n.t('and {0} more', from.length - MOST_BRANCHES)}`);
  return `${l10n.t('Branches that lead to {0}:', `\`${inline(lines[line]!.text.replace(':', ''))}\``)}\n\n${list.join('\n')}`;
}

/** Where the branch in a line leads: its label, and the instruction there. */
function targetText(lines: readonly SideLine[], line: number): string | undefined {
  const to = jumpsOf(lines).find(({ from }) => from.includes(line))?.to;
  if (to === undefined) return undefined;
  return `→ \`${inline(lines[to]!.text.replace(':', ''))}\`: ${rowInWords(lines, to + 1)}`;
}
