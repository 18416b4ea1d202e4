import { isStrings, mergeableSize } from '../asm/places.ts';
import { relocationsIn, relocationTarget } from '../asm/targets.ts';
import type { SourceLocation } from '../dwarf/types.ts';
import type { Side } from './meaning.ts';

/** Lines that the declaration of a variable may have. */
const LONGEST = 16;
const MAX_TEXT = 4096;

/** A pointer in a variable: its place, and where the variable is declared. */
export interface PointerAt {
  readonly section: number;
  readonly offset: number;
  readonly decl: SourceLocation | undefined;
}

/**
 * Whether two pointers lead to texts `FILE:LINE` that say where their variable is declared (`__FILE__ ":" __stringify(__LINE__)`, as in Linux's
 * names of lock classes): the same file, the declaration's, and a line as far behind the declaration on both sides. Another text, or a number
 * that is not the line, is a difference.
 */
export function sayTheirLine(base: Side, from: PointerAt, next: Side, to: PointerAt): boolean {
  const before = placeSaid(base, from);
  const after = placeSaid(next, to);
  return before !== undefined && after !== undefined && before.file === after.file && before.behind === after.behind;
}

/** The file that the text names, and how far its line is behind the declaration. */
function placeSaid(side: Side, { section, offset, decl }: PointerAt): { file: string; behind: number } | undefined {
  const [relocation] = relocationsIn(side.elf.relocationsOf(section), offset, offset + 1);
  if (!relocation || !decl) return undefined;
  const target = relocationTarget(side.places, relocation, 0);
  const strings = side.elf.sections[target.section];
  if (!strings || !isStrings(strings) || strings.entrySize > 1) return undefined;
  const size = mergeableSize(strings, target.offset);
  if (size < 2 || size > MAX_TEXT) return undefined;
  const text = String.fromCharCode(...strings.data.subarray(target.offset, target.offset + size - 1));
  const match = /^(.*):(\d{1,7})$/.exec(text);
  if (!match || baseName(match[1]!) !== baseName(decl.file)) return undefined;
  const behind = Number(match[2]) - decl.line;
  return behind >= 0 && behind <= LONGEST ? { file: match[1]!, behind } : undefined;
}

/** The last part of a path: compilers spell the folders of one file in different ways. */
export const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
