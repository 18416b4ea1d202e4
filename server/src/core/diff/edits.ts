import type { SourceEdits, SourceHunk } from './types.ts';

/** Hunks of a file; DWARF paths may be spelled with `./` or doubled slashes. */
export function hunksOf(edits: SourceEdits, file: string): readonly SourceHunk[] {
  const exact = edits.get(file);
  if (exact) return exact;
  const wanted = tidy(file);
  for (const [path, hunks] of edits) if (tidy(path) === wanted) return hunks;
  return [];
}

function tidy(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..' && parts.length > 1) parts.pop();
    else if (part !== '.' && (part !== '' || parts.length === 0)) parts.push(part);
  }
  return parts.join('/');
}

/** True where a hunk touches lines first..last of the base or of the next source. */
export function touches(hunk: SourceHunk, side: 'base' | 'next', first: number, last: number): boolean {
  const start = side === 'base' ? hunk.baseStart : hunk.nextStart;
  const count = side === 'base' ? hunk.baseCount : hunk.nextCount;
  // Lines that were only deleted have no lines here: the other side tells.
  return count > 0 && start <= last && start + count - 1 >= first;
}

/** Line of the next source that an unedited line of the base source became; undefined for edited lines. */
export function mapLine(hunks: readonly SourceHunk[], line: number): number | undefined {
  let shift = 0;
  for (const hunk of [...hunks].sort((a, b) => a.baseStart - b.baseStart)) {
    if (hunk.baseCount > 0 && line >= hunk.baseStart && line < hunk.baseStart + hunk.baseCount) return undefined;
    // A pure insertion stands before its base line where tools count the line after, as diff does for an empty range.
    if (hunk.baseStart + hunk.baseCount <= line) shift += hunk.nextCount - hunk.baseCount;
  }
  return line + shift;
}

/**
 * Line of the next source that a line of the base source became, where nothing beside it was edited either. Where a text has the same line
 * twice (`static int n;`), what stands around it tells which of both is meant; the line alone does not.
 */
export function keptLine(edits: SourceEdits, file: string, line: number): number | undefined {
  const hunks = hunksOf(edits, file);
  const to = mapLine(hunks, line);
  if (to === undefined || mapLine(hunks, line + 1) !== to + 1) return undefined;
  return line === 1 || mapLine(hunks, line - 1) === to - 1 ? to : undefined;
}
