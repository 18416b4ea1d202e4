import type { AsmRow } from '../core/asm/types.ts';
import { alignRows } from '../core/diff/rows.ts';
import type { AlignedRow, FunctionChange, SourceEdits, SourceHunk } from '../core/diff/types.ts';
import type { AsmSide } from '../protocol.ts';
import type { BuiltFile } from '../shell/builtStore.ts';
import { diffLines } from '../shell/lineDiff.ts';
import type { UnitState } from '../shell/types.ts';
import { baseHash, editedLines, linesOf, type SourceText, textOfBuild } from './lastBuilt.ts';
import type { Model } from './model.ts';

type Result = NonNullable<UnitState['result']>;

/** A function in a unit that has been compared. */
export interface Found {
  readonly state: UnitState;
  readonly result: Result;
  readonly change: FunctionChange;
}

/** The code of a function at one time: of the baseline, of the last patch, of the text as it is now. */
export interface Code {
  readonly rows: readonly AsmRow[];
  readonly compiler: string;
  readonly command: readonly string[];
  readonly source: SourceText;
  /** From its sources to those of the text as it is now. */
  readonly toNow: SourceEdits;
  /** The last patch leaves the function as the baseline has it. */
  readonly isBaseline?: boolean;
}

/** Two codes of a function beside each other. */
export interface Comparison {
  readonly base: Code;
  readonly next: Code;
  readonly rows: readonly AlignedRow[];
  /** What was edited between the sources of the one and those of the other. */
  readonly edits: SourceEdits;
}

const ALL = 2 ** 31;
/** Of files whose text of then is not known: each line counts as edited, and stands where it stood. */
const UNKNOWN: readonly SourceHunk[] = [{ baseStart: 1, baseCount: ALL, nextStart: 1, nextCount: ALL }];

/** Which side stands left. */
export const order = (side: AsmSide): number => ['base', 'built', 'next'].indexOf(side);

/** The two codes of a function that are compared, aligned. `built` needs a last patch. */
export async function compare(
  model: Model,
  { state, result, change }: Found,
  [left, right]: readonly [AsmSide, AsmSide],
): Promise<Comparison> {
  const listing = model.listing(result, change);
  const unit = model.built?.units.get(state.unit.id);
  const built = unit?.functions.get(change.name);
  const lists = { base: listing.base, built: built ?? listing.base, next: listing.next };
  const files = new Set([...lists[left], ...lists[right]].flatMap(({ source }) => (source ? [source.file] : [])));
  const bases = new Map<string, readonly string[]>();
  for (const file of files) {
    const text = await model.session?.baseText(file).catch(() => undefined);
    if (text !== undefined) bases.set(file, linesOf(text));
  }
  const now = textOfBuild(model, state);
  const each = (edits: (file: string) => readonly SourceHunk[]): SourceEdits =>
    new Map([...files].map((file) => [file, edits(file)]));
  const sinceBase = each((file) => model.hunks(result, file));
  const { compiler, baseCompiler = compiler, baseCommand, nextCommand } = result.pair.provenance;
  const base: Code = {
    rows: listing.base,
    compiler: baseCompiler,
    command: baseCommand,
    source: (file, line) => bases.get(file)?.[line - 1] ?? now(file, line),
    toNow: sinceBase,
  };
  const next: Code = {
    rows: listing.next,
    compiler,
    command: nextCommand,
    source: now,
    toNow: each(() => []),
  };
  if (left === 'base' && right === 'next') return { base, next, rows: listing.rows, edits: sinceBase };
  if (!unit || !built) {
    const same: Code = { ...base, isBaseline: true };
    return right === 'built'
      ? { base, next: same, rows: alignRows(base.rows, same.rows), edits: each(() => []) }
      : { base: same, next, rows: listing.rows, edits: sinceBase };
  }
  /** What the patch had of a file, where the baseline still has the text of then. */
  const known = (file: string): BuiltFile | undefined => {
    const kept = unit.files.get(file);
    return kept?.base === baseHash(bases.get(file)) ? kept : undefined;
  };
  const sinceBuilt = each((file) => {
    const [kept, hunks] = [known(file), model.hunks(result, file)];
    if (!kept) return UNKNOWN;
    const text = bases.get(file) ?? [''];
    return diffLines(
      editedLines(text, kept.hunks, (line) => kept.lines.get(line) ?? '').join('\n'),
      editedLines(text, hunks, (line) => now(file, line)).join('\n'),
    );
  });
  const last: Code = {
    rows: built,
    compiler: unit.compiler,
    command: unit.command,
    source: (file, line) => unit.files.get(file)?.lines.get(line) ?? base.source(file, line),
    toNow: sinceBuilt,
  };
  return right === 'built'
    ? {
        base,
        next: last,
        rows: alignRows(base.rows, built),
        edits: each((file) => (known(file) ? known(file)!.hunks : UNKNOWN)),
      }
    : { base: last, next, rows: alignRows(built, next.rows), edits: sinceBuilt };
}
