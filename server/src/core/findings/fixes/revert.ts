import { hunksOf } from '../../diff/edits.ts';
import type { SourceHunk } from '../../diff/types.ts';
import type { FixProvider, TextChange } from './types.ts';

/** The edit that puts one hunk of `now` back to what `base` has. */
export function revertedHunk(
  file: string,
  base: readonly string[],
  now: readonly string[],
  hunk: SourceHunk,
): TextChange {
  const old = base.slice(hunk.baseStart - 1, hunk.baseStart - 1 + hunk.baseCount);
  const from = hunk.nextStart - 1;
  const to = from + hunk.nextCount;
  // The last line of a text has no end to replace: the end of the line before it is taken instead.
  if (to >= now.length) {
    const start = from > 0 ? { line: from, column: now[from - 1]!.length + 1 } : { line: 1, column: 1 };
    const end = { line: now.length, column: (now.at(-1)?.length ?? 0) + 1 };
    return { file, start, end, text: from > 0 ? old.map((line) => `\n${line}`).join('') : old.join('\n') };
  }
  return {
    file,
    start: { line: from + 1, column: 1 },
    end: { line: to + 1, column: 1 },
    text: old.map((line) => `${line}\n`).join(''),
  };
}

/** The hunk that a line of the edited text is in; for lines that were only deleted the one that stands there. */
export const hunkAt = (hunks: readonly SourceHunk[], line: number): SourceHunk | undefined =>
  hunks.find(({ nextStart, nextCount }) => line >= nextStart && line < nextStart + Math.max(1, nextCount));

/** Takes the edit back that a finding is about: the whole hunk of its line. */
export const revertHunk: FixProvider = {
  offer: ({ finding, edits, now, base }) => {
    const asked = finding.fixes.find(({ kind }) => kind === 'revert-hunk');
    const file = typeof asked?.data.file === 'string' ? asked.data.file : finding.at?.file;
    const line = typeof asked?.data.line === 'number' ? asked.data.line : finding.at?.line;
    if (file === undefined || line === undefined) return [];
    const [texts, before] = [now(file), base(file)];
    const hunk = hunkAt(hunksOf(edits, file), line);
    if (!texts || !before || !hunk) return [];
    return [
      {
        title: asked?.title ?? 'Undo this edit (back to the baseline)',
        changes: [revertedHunk(file, before, texts, hunk)],
      },
    ];
  },
};
