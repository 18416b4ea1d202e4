import type { AsmRow } from '../core/asm/types.ts';
import type { FunctionChange, SourceHunk } from '../core/diff/types.ts';
import type { BuiltFile, BuiltStore, BuiltUnit, LastBuilt } from '../shell/builtStore.ts';
import { canonical } from '../shell/commandIndex.ts';
import { sha256 } from '../shell/hashes.ts';
import type { UnitState } from '../shell/types.ts';
import type { Model } from './model.ts';

type Result = NonNullable<UnitState['result']>;

/** Text of lines of a source, by file and number from 1. */
export type SourceText = (file: string, line: number) => string;

/** Lines of a text as they are compared: their ends do not count. */
export const linesOf = (text: string): readonly string[] => text.split('\n').map((line) => line.replace(/\r$/, ''));

/** Stands for the text that the baseline has of a file. */
export const baseHash = (lines: readonly string[] | undefined): string => (lines ? sha256(lines.join('\n')) : '');

/** Line (from 1) of the base source that became this line of the next one; undefined for a line that a hunk holds. */
function lineBefore(hunks: readonly SourceHunk[], line: number): number | undefined {
  let shift = 0;
  for (const { baseStart, baseCount, nextStart, nextCount } of hunks) {
    if (line < nextStart) break;
    if (line < nextStart + nextCount) return undefined;
    shift = baseStart + baseCount - (nextStart + nextCount);
  }
  return line + shift;
}

/** The text of a source that the edits made out of the baseline's; `line` tells the lines of the hunks, from 1. */
export function editedLines(
  base: readonly string[],
  hunks: readonly SourceHunk[],
  line: (line: number) => string,
): readonly string[] {
  const lines: string[] = [];
  let from = 0;
  for (const { baseStart, baseCount, nextStart, nextCount } of hunks) {
    while (from < baseStart - 1 && from < base.length) lines.push(base[from++]!);
    for (let at = 0; at < nextCount; at++) lines.push(line(nextStart + at));
    from = baseStart - 1 + baseCount;
  }
  return [...lines, ...base.slice(from)];
}

/** Text of the sources that a unit was built from, where nobody has edited them since: else of those lines as they are now. */
export function textOfBuild(model: Model, state: UnitState): SourceText {
  const moment = model.momentOf(state);
  return (file, line) => {
    const path = model.documents.spelling(file);
    return model.documents.line(path, model.documents.lineNow(path, line - 1, moment));
  };
}

/** A part of a function that only its parent jumps into is left out with it. */
const isLeftOut = (change: FunctionChange, leaveOut: readonly string[]): boolean =>
  change.lineOnly ||
  leaveOut.includes(change.name) ||
  (change.parent !== undefined && /\.cold(\.\d+)?$/.test(change.name) && leaveOut.includes(change.parent));

/** The sources of the edits as they are at this moment, for `takeBuilt`: somebody may type while the payload is made. */
export type EditTexts = ReadonlyMap<UnitState, ReadonlyMap<string, ReadonlyMap<number, string>>>;

/** Takes down the lines that were edited, of units that are to be built now. */
export function editTexts(model: Model, states: readonly UnitState[]): EditTexts {
  const texts = new Map<UnitState, Map<string, Map<number, string>>>();
  for (const state of states) {
    if (!state.result || state.result.diff.functions.length === 0) continue;
    const text = textOfBuild(model, state);
    const files = new Map<string, Map<number, string>>();
    texts.set(state, files);
    for (const [file, hunks] of state.result.edits) {
      const lines = new Map<number, string>();
      files.set(file, lines);
      for (const { nextStart, nextCount } of hunks)
        for (let line = nextStart; line < nextStart + nextCount; line++) lines.set(line, text(file, line));
    }
  }
  return texts;
}

/**
 * Takes down the code of a patch that was just built, with what a listing of it shows besides: the lines of the sources, the compiler and
 * the command. Functions that are not in the patch are not in it either.
 * @param texts of the same units, from before the payload was made
 */
export async function takeBuilt(
  model: Model,
  texts: EditTexts,
  { id, leaveOut }: { readonly id: string; readonly leaveOut: readonly string[] },
): Promise<LastBuilt> {
  const bases = new Map<string, readonly string[] | undefined>();
  const baseOf = async (file: string): Promise<readonly string[] | undefined> => {
    if (!bases.has(file)) {
      const text = await model.session?.baseText(file).catch(() => undefined);
      bases.set(file, text === undefined ? undefined : linesOf(text));
    }
    return bases.get(file);
  };
  const units = new Map<string, BuiltUnit>();
  for (const [state, edited] of texts) {
    const result: Result = state.result!;
    const functions = new Map<string, readonly AsmRow[]>();
    for (const change of result.diff.functions)
      if (!isLeftOut(change, leaveOut))
        functions.set(
          change.name,
          model.listing(result, change).next.filter((row) => !row.padding),
        );
    if (functions.size === 0) continue;
    const text = textOfBuild(model, state);
    const files = new Map<string, BuiltFile & { readonly lines: Map<number, string> }>();
    for (const rows of functions.values())
      for (const { source } of rows) {
        if (!source) continue;
        const base = await baseOf(source.file);
        const hunks = model.hunks(result, source.file);
        let file = files.get(source.file);
        if (!file) {
          const own = edited.get(source.file) ?? edited.get(canonical(source.file));
          file = { base: baseHash(base), hunks, lines: new Map(own) };
          files.set(source.file, file);
        }
        if (file.lines.has(source.line)) continue;
        const before = lineBefore(hunks, source.line);
        file.lines.set(
          source.line,
          (before === undefined ? undefined : base?.[before - 1]) ?? text(source.file, source.line),
        );
      }
    units.set(state.unit.id, {
      compiler: result.pair.provenance.compiler,
      command: result.pair.provenance.nextCommand,
      functions,
      files,
    });
  }
  return { id, time: new Date().toISOString(), units };
}

/** Reads what the last patch held, which a server before this one may have built. Rejects with a sentence for the log. */
export async function recallBuilt(model: Model, store: BuiltStore): Promise<void> {
  const kept = await store.read().catch((error: Error) => {
    throw new Error(`The code of the last patch could not be read: ${error.message}`);
  });
  model.built ??= kept;
}

/** Keeps what a patch holds that was just built, for this server and those after it. Rejects with a sentence for the log. */
export async function keepBuilt(
  model: Model,
  store: BuiltStore | undefined,
  take: () => Promise<LastBuilt>,
): Promise<void> {
  // Where it cannot be taken down, an older one is not the last.
  model.built = undefined;
  try {
    model.built = await take();
    await store?.keep(model.built);
  } catch (error) {
    if (!model.built) await store?.drop().catch(() => {});
    throw new Error(`The code of the patch could not be kept: ${(error as Error).message}`);
  }
}
