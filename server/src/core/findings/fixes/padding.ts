import { typeTable } from '../../diff/type-table.ts';
import type { TypeChange } from '../../diff/types.ts';
import type { DwarfInfo, Member, TypeRef } from '../../dwarf/types.ts';
import { labelOf, listed } from '../support.ts';
import { declarationOn, deleteLines, insertBehind } from './text.ts';
import type { FixProvider, TextChange } from './types.ts';

/** A stretch of bytes of a type that no member uses, and the member in front of it. */
interface Hole {
  readonly behind: string;
  from: number;
  readonly to: number;
}

/**
 * Use padding instead: moves the declarations of new fields into holes that the old layout has, where size and alignment fit, so that nothing else moves and the
 * type keeps its size. What is left to look at is `struct-padding-used`.
 */
export const usePadding: FixProvider = {
  codes: ['struct-grown', 'struct-layout'],
  offer: ({ finding, pair, diff, now }) => {
    const type = diff.types.find((one) => labelOf(one) === finding.symbol);
    const added = type && addedAlone(type);
    if (!type?.base || !type.next || !added) return [];
    const file = added[0]!.at!.file;
    const lines = now(file);
    if (!lines || added.some(({ at }) => at!.file !== file)) return [];
    const holes = holesOf(type.base.members, type.baseSize);
    const changes: TextChange[] = [];
    const taken: string[] = [];
    for (const field of added) {
      const line = field.at!.line;
      const text = lines[line - 1];
      if (!declarationOn(text, field.name) || sharesLine(type.next.members, field)) return [];
      const align = alignmentOf(pair.next.dwarf, field.type);
      const size = field.bitSize / 8;
      const hole = holes.find(({ from, to }) => align > 0 && up(from, align) + size <= to);
      const before = hole && type.next.members.find(({ name }) => name === hole.behind);
      if (!hole || !before?.at || before.at.file !== file || sharesLine(type.next.members, before)) return [];
      if (!/;\s*(\/\/.*|\/\*.*\*\/\s*)?$/.test(lines[before.at.line - 1] ?? '')) return [];
      hole.from = up(hole.from, align) + size;
      changes.push(insertBehind(file, before.at.line, `${text}\n`), deleteLines(file, line, line));
      taken.push(`${field.name} behind ${hole.behind}`);
    }
    return [{ title: `Use padding of ${labelOf(type)} instead: put ${listed(taken)}`, changes }];
  },
};

/** The new fields of a type whose other members are only moved by them; undefined where anything else changed, too. */
export function addedAlone(type: TypeChange): readonly Member[] | undefined {
  if (type.kind !== 'struct' || type.status !== 'changed' || (type.causes ?? []).length > 0) return undefined;
  const added: Member[] = [];
  for (const { what, path, next, overlay } of type.members) {
    if (what === 'moved' || what === 'bit-position') continue;
    if (what !== 'added' || overlay || !next?.at || path !== next.name || next.bitField || next.bitSize === 0)
      return undefined;
    added.push(next);
  }
  return added.length > 0 ? added : undefined;
}

const sharesLine = (members: readonly Member[], one: Member): boolean =>
  members.some(
    (other) => other.name !== one.name && other.at?.line === one.at?.line && other.at?.file === one.at?.file,
  );

const up = (value: number, align: number): number => Math.ceil(value / align) * align;

function holesOf(members: readonly Member[], size: number): Hole[] {
  const holes: Hole[] = [];
  const sorted = [...members].sort((a, b) => a.bitOffset - b.bitOffset);
  let end = 0;
  let behind = '';
  for (const member of sorted) {
    const from = Math.ceil(end / 8);
    const to = Math.floor(member.bitOffset / 8);
    if (behind !== '' && to > from) holes.push({ behind, from, to });
    if (member.bitOffset + member.bitSize >= end) {
      end = member.bitOffset + member.bitSize;
      behind = member.name;
    }
  }
  // A flexible array at the end may use what follows it.
  if (behind !== '' && sorted.at(-1)?.bitSize !== 0 && size > Math.ceil(end / 8))
    holes.push({ behind, from: Math.ceil(end / 8), to: size });
  return holes;
}

/** Natural alignment of a type on x86-64 and AArch64, in bytes; 0 where it is not known. */
function alignmentOf(dwarf: DwarfInfo, ref: TypeRef, depth = 0): number {
  const type = typeTable(dwarf).get(ref);
  if (!type || depth > 16) return 0;
  if (type.align !== undefined) return type.align;
  switch (type.kind) {
    case 'base':
    case 'enum':
    case 'pointer':
      return type.size && (type.size & (type.size - 1)) === 0 ? Math.min(type.size, 16) : 0;
    case 'array':
    case 'typedef':
    case 'const':
    case 'volatile':
    case 'restrict':
      return type.vector ? (type.size ?? 0) : alignmentOf(dwarf, type.target, depth + 1);
    case 'struct':
    case 'union': {
      let most = 1;
      for (const member of type.members) {
        const align = alignmentOf(dwarf, member.type, depth + 1);
        if (align === 0) return 0;
        most = Math.max(most, align);
      }
      return most;
    }
    default:
      return 0;
  }
}
