import type { TypeRef } from '../dwarf/types.ts';
import type { TypeTable } from './type-table.ts';

/** By-value nesting deeper than this is not followed. */
const maxNesting = 16;

/** Alignment in bytes before and after, where the source asks for a stricter one than the type had. DWARF 5 alone says that it asks. */
export function stricterAlign(
  base: TypeTable,
  b: TypeRef,
  next: TypeTable,
  n: TypeRef,
): { readonly base: number; readonly next: number } | undefined {
  const after = next.get(n)?.align;
  if (after === undefined) return undefined;
  const before = alignOf(base, b, 0);
  return after > before ? { base: before, next: after } : undefined;
}

/** What was asked for, else what the parts of a type ask for by themselves. */
function alignOf(table: TypeTable, ref: TypeRef, depth: number): number {
  const type = table.get(ref);
  if (!type || depth > maxNesting) return 1;
  if (type.align !== undefined) return type.align;
  switch (type.kind) {
    case 'struct':
    case 'union':
      return type.members.reduce((most, member) => Math.max(most, alignOf(table, member.type, depth + 1)), 1);
    case 'typedef':
    case 'const':
    case 'volatile':
    case 'restrict':
    case 'atomic':
    case 'array':
      return alignOf(table, type.target, depth + 1);
    default:
      return type.size ?? 1;
  }
}
