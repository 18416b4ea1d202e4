import { isStrings, mergeableSize } from '../asm/places.ts';
import { relocationsIn, relocationTarget } from '../asm/targets.ts';
import type { DwarfVariable, SourceLocation } from '../dwarf/types.ts';
import type { ElfSymbol, Relocation } from '../elf/types.ts';
import type { Bits } from '../special/index.ts';
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
  const match = /^(.*):(\d{1,7})$/.exec(textOf(side, relocation) ?? '');
  if (!match || baseName(match[1]!) !== baseName(decl.file)) return undefined;
  const behind = Number(match[2]) - decl.line;
  return behind >= 0 && behind <= LONGEST ? { file: match[1]!, behind } : undefined;
}

/** The text that a pointer leads to. */
function textOf(side: VariableAt['side'], relocation: Relocation): string | undefined {
  const target = relocationTarget(side.places, relocation, 0);
  const strings = side.elf.sections[target.section];
  if (!strings || !isStrings(strings) || strings.entrySize > 1) return undefined;
  const size = mergeableSize(strings, target.offset);
  if (size < 2 || size > MAX_TEXT) return undefined;
  return String.fromCharCode(...strings.data.subarray(target.offset, target.offset + size - 1));
}

/** A variable of one side, with what the debug information says of it. */
export interface VariableAt {
  readonly side: Pick<Side, 'object' | 'elf' | 'places'>;
  readonly symbol: ElfSymbol;
  readonly variable: DwarfVariable | undefined;
}

/**
 * The bits in which two variables hold the line that they are declared on, as macros write it beside `__FILE__` (Linux's tags of allocations,
 * a program's own statistics of call sites). Undefined where the number is not the declaration's line, as far behind it on both sides, or no text
 * beside it names the file: then it may mean anything.
 */
export function ownLineField(base: VariableAt, next: VariableAt): Bits | undefined {
  const before = lineSaid(base);
  const after = before && lineSaid(next);
  if (!before || !after || before.behind !== after.behind) return undefined;
  return before.bits.offset === after.bits.offset && before.bits.size === after.bits.size ? after.bits : undefined;
}

const LINE_NAME = /^_*line(_?(no|nr|num|number))?$/;
/** Structs in structs that are looked through, and members in all. */
const DEEPEST = 4;
const MOST_MEMBERS = 256;
/** Bytes of a struct in which the file's name is looked for. */
const MOST_BYTES = 256;

/** The bits in which a variable holds the line that it is declared on, and how far behind that the number is. */
export function lineSaid({ side, symbol, variable }: VariableAt): { bits: Bits; behind: number } | undefined {
  const decl = variable?.decl;
  const section = typeof symbol.place === 'number' ? side.elf.sections[symbol.place] : undefined;
  if (!decl || !section) return undefined;
  const { types } = side.object.dwarf;
  let left = MOST_MEMBERS;
  const find = (index: number, start: number, depth: number): Bits | undefined => {
    let type = types[index];
    for (let k = 0; k < DEEPEST && (type?.kind === 'typedef' || type?.kind === 'const'); k++) type = types[type.target];
    if (type?.kind !== 'struct' || depth > DEEPEST) return undefined;
    for (const { name, bitOffset, bitSize, type: inner } of type.members) {
      if (left-- <= 0) return undefined;
      const at = start + bitOffset;
      if (LINE_NAME.test(name) && bitSize > 0 && bitSize <= 32 && namesFile(start, type.size ?? 0)) {
        return { offset: at, size: bitSize };
      }
      const nested = find(inner, at, depth + 1);
      if (nested) return nested;
    }
    return undefined;
  };
  const namesFile = (start: number, size: number): boolean => {
    const from = symbol.offset + (start >> 3);
    const relocations = relocationsIn(side.elf.relocationsOf(section.index), from, from + Math.min(size, MOST_BYTES));
    return relocations.some((one) => baseName(textOf(side, one) ?? '') === baseName(decl.file));
  };
  const bits = find(variable.type, 0, 0);
  if (!bits) return undefined;
  const behind = bitsAt(section.data, symbol.offset * 8 + bits.offset, bits.size) - decl.line;
  return behind >= 0 && behind <= LONGEST ? { bits, behind } : undefined;
}

/** A number of up to 32 bits. Little endian. */
function bitsAt(data: Uint8Array, offset: number, size: number): number {
  let value = 0;
  for (let k = size - 1; k >= 0; k--) value = value * 2 + (((data[(offset + k) >> 3] ?? 0) >> ((offset + k) & 7)) & 1);
  return value;
}

/** The last part of a path: compilers spell the folders of one file in different ways. */
export const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
