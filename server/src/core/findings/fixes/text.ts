import type { TextChange } from './types.ts';

/** A declaration of one name on a line of its own, such as a field. */
export interface Declaration {
  readonly indent: string;
  /** `unsigned long`, `struct node *`: what stands in front of the name. */
  readonly type: string;
  readonly name: string;
  /** `[16]`; empty for what is no array. */
  readonly array: string;
}

/** Reads `TYPE NAME;` or `TYPE NAME[N];`, with a comment behind it or not. Undefined for anything else: several names, bit-fields, pointers to functions, macros. */
export function declarationOn(line: string | undefined, name: string): Declaration | undefined {
  const match =
    /^(\s*)((?:[A-Za-z_]\w*\s+)*[A-Za-z_]\w*[\s*]+)([A-Za-z_]\w*)\s*((?:\[[^\][]*\])*)\s*;\s*(?:\/\/.*|\/\*(?:(?!\*\/).)*\*\/\s*)?$/.exec(
      line ?? '',
    );
  if (!match || match[3] !== name) return undefined;
  return { indent: match[1]!, type: match[2]!.trim(), name, array: match[4]! };
}

/** Takes whole lines out, the first and last of them from 1. */
export const deleteLines = (file: string, first: number, last: number): TextChange => ({
  file,
  start: { line: first, column: 1 },
  end: { line: last + 1, column: 1 },
  text: '',
});

/** Puts whole lines behind a line; 0 = at the start of the file. `text` ends with a line feed. */
export const insertBehind = (file: string, line: number, text: string): TextChange => ({
  file,
  start: { line: line + 1, column: 1 },
  end: { line: line + 1, column: 1 },
  text,
});

/** Applies changes of one file to its text. Those at one place keep their order. */
export function applyChanges(text: string, changes: readonly TextChange[]): string {
  const starts = [0];
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  const offset = ({ line, column }: TextChange['start']): number =>
    Math.min(text.length, (starts[line - 1] ?? text.length) + column - 1);
  let out = '';
  let done = 0;
  const sorted = changes
    .map((change, i) => ({ change, i, from: offset(change.start), to: offset(change.end) }))
    .sort((a, b) => a.from - b.from || a.i - b.i);
  for (const { change, from, to } of sorted) {
    out += text.slice(done, from) + change.text;
    done = Math.max(done, to);
  }
  return out + text.slice(done);
}

/**
 * Line (from 1) on which the declaration ends whose braces open at or behind `line`: that of the `;` behind the matching brace. Comments and
 * texts are skipped. Undefined where it does not end.
 */
export function endOfBraces(lines: readonly string[], line: number): number | undefined {
  let depth = 0;
  let opened = false;
  let comment = false;
  for (let i = line - 1; i < lines.length; i++) {
    const text = lines[i]!;
    for (let at = 0; at < text.length; at++) {
      const two = text.slice(at, at + 2);
      if (comment) {
        if (two === '*/') comment = false;
        else continue;
        at++;
      } else if (two === '/*') {
        comment = true;
        at++;
      } else if (two === '//') break;
      else if (text[at] === '"' || text[at] === "'") {
        const quote = text[at];
        for (at++; at < text.length && text[at] !== quote; at++) if (text[at] === '\\') at++;
      } else if (text[at] === '{') {
        depth++;
        opened = true;
      } else if (text[at] === '}') depth--;
      else if (text[at] === ';' && depth === 0) return opened ? i + 1 : undefined;
    }
  }
  return undefined;
}

/** Line of the last `#include` that stands outside of conditionals, from 1; 0 where there is none. */
export function lastInclude(lines: readonly string[]): number {
  let depth = 0;
  let last = 0;
  for (const [i, line] of lines.entries()) {
    if (/^\s*#\s*if/.test(line)) depth++;
    else if (/^\s*#\s*endif/.test(line)) depth = Math.max(0, depth - 1);
    else if (depth === 0 && /^\s*#\s*include\b/.test(line)) last = i + 1;
  }
  return last;
}
