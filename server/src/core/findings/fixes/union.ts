import type { SourceEdits, SourceHunk } from '../../diff/types.ts';

/** The edits of several units together. Of a file that more than one of them sees, the hunks are the same: the first are taken. */
export function unionOfEdits(all: readonly SourceEdits[]): SourceEdits {
  const union = new Map<string, readonly SourceHunk[]>();
  for (const edits of all) for (const [file, hunks] of edits) if (!union.has(file)) union.set(file, hunks);
  return union;
}
