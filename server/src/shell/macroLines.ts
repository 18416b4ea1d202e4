import type { SourceHunk } from '../core/diff/types.ts';

/** A `#define` with its continued lines, which count from 1. */
interface Definition {
  readonly name: string;
  readonly first: number;
  readonly last: number;
}

/** The macros that a text defines, in its order. */
export function macrosIn(text: string): Definition[] {
  const found: Definition[] = [];
  const lines = text.split('\n');
  for (let at = 0; at < lines.length; at++) {
    const name = /^\s*#\s*define\s+([A-Za-z_]\w*)/.exec(lines[at]!)?.[1];
    if (name === undefined) continue;
    const first = at + 1;
    while (lines[at]?.trimEnd().endsWith('\\')) at++;
    found.push({ name, first, last: at + 1 });
  }
  return found;
}

/** Hunks together with the macros whose definitions they touch. */
export function withMacros(hunks: readonly SourceHunk[], base: string, next: string): SourceHunk[] {
  const before = macrosIn(base);
  const after = macrosIn(next);
  const touched = (list: readonly Definition[], start: number, count: number): string[] =>
    list.filter(({ first, last }) => start <= last && start + count > first).map(({ name }) => name);
  return hunks.map((hunk) => ({
    ...hunk,
    defines: [
      ...new Set([
        ...touched(after, hunk.nextStart, hunk.nextCount),
        ...touched(before, hunk.baseStart, hunk.baseCount),
      ]),
    ],
  }));
}
