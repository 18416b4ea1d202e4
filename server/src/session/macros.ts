import { readFile } from 'node:fs/promises';
import type { SourceEdits, SourceHunk } from '../core/diff/types.ts';
import type { MacroUse } from '../core/findings/spread.ts';
import { isHeader } from '../core/findings/support.ts';
import { macrosIn } from '../shell/macroLines.ts';

/** A unit whose own source is searched. */
export interface Searched {
  readonly file: string;
  readonly dependencies: readonly string[];
}

/** One that was not built: what it includes is asked for where its text names a macro. */
export interface Unbuilt {
  readonly file: string;
  headers(): Promise<readonly string[]>;
}

/**
 * Macros that the edits of headers define, or defined anew, and where the sources of the units that include these headers name them. By the text: a name in a comment or
 * a string does not count, one that another macro hides does.
 * @returns uses by the path of the header
 */
export async function macroUses(
  edits: readonly SourceEdits[],
  units: readonly Searched[],
  unbuilt: readonly Unbuilt[] = [],
): Promise<Map<string, readonly MacroUse[]>> {
  const headers = new Map<string, readonly SourceHunk[]>();
  for (const each of edits)
    for (const [file, hunks] of each) if (isHeader(file) && !headers.has(file)) headers.set(file, hunks);
  const found = new Map<string, readonly MacroUse[]>();
  for (const [header, hunks] of headers) {
    const names = definedIn(await textOf(header), hunks);
    if (names.size === 0) continue;
    const uses: MacroUse[] = [];
    for (const { file, dependencies } of units)
      if (dependencies.includes(header)) uses.push(...(await usesIn(file, names)));
    for (const { file, headers: includes } of unbuilt) {
      const list = await usesIn(file, names);
      if (list.length > 0 && (await includes()).includes(header)) uses.push(...list);
    }
    found.set(header, uses);
  }
  return found;
}

/** The first line of a source that names each macro. */
async function usesIn(file: string, names: ReadonlySet<string>): Promise<MacroUse[]> {
  const raw = await textOf(file);
  // Taking the comments out of sources that do not name it at all would be the most of the work.
  const wanted = [...names].filter((macro) => raw.includes(macro));
  if (wanted.length === 0) return [];
  const text = withoutComments(raw).split('\n');
  return wanted.flatMap((macro) => {
    const word = new RegExp(`\\b${macro}\\b`);
    const line = text.findIndex((each) => word.test(each));
    return line >= 0 ? [{ macro, file, line: line + 1 }] : [];
  });
}

const textOf = (file: string): Promise<string> => readFile(file, 'utf8').catch(() => '');

/** Names of macros whose definition, continued lines included, an edit touches. */
const definedIn = (text: string, hunks: readonly SourceHunk[]): ReadonlySet<string> =>
  new Set(
    macrosIn(text)
      .filter(({ first, last }) =>
        hunks.some(({ nextStart, nextCount }) => nextStart <= last && nextStart + nextCount > first),
      )
      .map(({ name }) => name),
  );

/** The text with comments and string literals blanked, lines kept. */
const withoutComments = (text: string): string =>
  text.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:\\.|[^"\\\n])*"/g, (part) => part.replace(/[^\n]/g, ' '));
