import { readFile } from 'node:fs/promises';
import type { SourceEdits, SourceHunk } from '../core/diff/types.ts';
import type { MacroUse } from '../core/findings/reach.ts';

/** A unit whose own source is searched. */
export interface Searched {
  readonly file: string;
  readonly dependencies: readonly string[];
}

/**
 * Macros that the edits of headers define, or defined anew, and where the sources of the units that include these headers name them. By the text: a name in a comment or
 * a string does not count, one that another macro hides does.
 * @returns uses by the path of the header
 */
export async function macroUses(
  edits: readonly SourceEdits[],
  units: readonly Searched[],
): Promise<Map<string, readonly MacroUse[]>> {
  const headers = new Map<string, readonly SourceHunk[]>();
  for (const each of edits)
    for (const [file, hunks] of each)
      if (/\.(h|hh|hpp|inc|def)$/.test(file) && !headers.has(file)) headers.set(file, hunks);
  const found = new Map<string, readonly MacroUse[]>();
  for (const [header, hunks] of headers) {
    const names = definedIn(await lines(header), hunks);
    if (names.size === 0) continue;
    const uses: MacroUse[] = [];
    for (const { file, dependencies } of units) {
      if (!dependencies.includes(header)) continue;
      const text = withoutComments((await lines(file)).join('\n')).split('\n');
      for (const macro of names) {
        const word = new RegExp(`\\b${macro}\\b`);
        const line = text.findIndex((each) => word.test(each));
        if (line >= 0) uses.push({ macro, file, line: line + 1 });
      }
    }
    found.set(header, uses);
  }
  return found;
}

async function lines(file: string): Promise<string[]> {
  return (await readFile(file, 'utf8').catch(() => '')).split('\n');
}

/** Names after `#define` whose definition, continued lines included, an edit touches. */
function definedIn(text: readonly string[], hunks: readonly SourceHunk[]): ReadonlySet<string> {
  const names = new Set<string>();
  for (let at = 0; at < text.length; at++) {
    const name = /^\s*#\s*define\s+([A-Za-z_]\w*)/.exec(text[at]!)?.[1];
    if (name === undefined) continue;
    const first = at;
    while (text[at]?.trimEnd().endsWith('\\')) at++;
    if (hunks.some(({ nextStart, nextCount }) => nextStart <= at + 1 && nextStart + nextCount > first + 1))
      names.add(name);
  }
  return names;
}

/** The text with comments and string literals blanked, lines kept. */
const withoutComments = (text: string): string =>
  text.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:\\.|[^"\\\n])*"/g, (part) => part.replace(/[^\n]/g, ' '));
