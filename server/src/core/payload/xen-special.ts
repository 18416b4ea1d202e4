import { type Places, placesOf } from '../asm/places.ts';
import { relocationsIn } from '../asm/targets.ts';
import type { ElfFile, Relocation, Section } from '../elf/types.ts';

/**
 * Tables about code (bug frames, alternatives, exception entries): sections of equal entries, each of which speaks of one
 * place in the code by its first relocation. A payload carries only those of the functions that it carries.
 */
export interface Table {
  readonly section: Section;
  readonly kind: 'bug' | 'alternative' | 'exception';
  readonly entries: readonly Entry[];
}

/** One entry. */
export interface Entry {
  /** Bytes from the start of the section. */
  readonly start: number;
  readonly size: number;
  /** The place in the code that it is about. */
  readonly about: { readonly section: number; readonly offset: number };
  readonly relocations: readonly Relocation[];
}

/** A section that could not be split into entries. */
export interface TableProblem {
  readonly section: string;
  readonly why: string;
}

/**
 * Upper eight bits of a bug frame's fields hold parts of the line number (asm/bug.h): only the lower 24 are a distance, the
 * rest is added on top.
 */
export function distanceIn(table: Table['kind'], addend: number): { distance: number; high: number } {
  if (table !== 'bug') return { distance: addend, high: 0 };
  const distance = (addend << 8) >> 8;
  return { distance, high: addend - distance };
}

/** Sections that are such tables, by name. */
function kindOf(name: string): Table['kind'] | undefined {
  if (/^\.bug_frames\.\d+$/.test(name)) return 'bug';
  if (name === '.altinstructions') return 'alternative';
  if (name === '.ex_table') return 'exception';
  return undefined;
}

/** Bytes of an entry. Bug frame 3 (assertions) has a second half; alternatives grew from 12 to 13 and 14 bytes. */
function entrySize(kind: Table['kind'], section: Section, relocations: readonly Relocation[]): number {
  if (kind === 'bug') return section.name === '.bug_frames.3' ? 16 : 8;
  if (kind === 'exception') return 8;
  const third = relocations[2];
  return third ? third.offset - relocations[0]!.offset : section.size;
}

/** Splits the tables of an object. */
export function tablesOf(elf: ElfFile): { tables: Table[]; problems: TableProblem[] } {
  const tables: Table[] = [];
  const problems: TableProblem[] = [];
  const places = placesOf(elf);
  for (const section of elf.sections) {
    const kind = kindOf(section.name);
    if (!kind || section.size === 0) continue;
    const relocations = elf.relocationsOf(section.index);
    const size = entrySize(kind, section, relocations);
    if (size <= 0 || section.size % size !== 0) {
      problems.push({ section: section.name, why: `its ${section.size} bytes are no whole number of entries` });
      continue;
    }
    const entries: Entry[] = [];
    for (let start = 0; start < section.size; start += size) {
      const own = relocationsIn(relocations, start, start + size);
      const entry = own[0]?.offset === start ? entryOf(places, kind, start, size, own) : undefined;
      if (!entry) {
        problems.push({ section: section.name, why: `the entry at byte ${start} names no place in the code` });
        entries.length = 0;
        break;
      }
      entries.push(entry);
    }
    if (entries.length > 0) tables.push({ section, kind, entries });
  }
  return { tables, problems };
}

function entryOf(
  places: Places,
  kind: Table['kind'],
  start: number,
  size: number,
  relocations: readonly Relocation[],
): Entry | undefined {
  const first = relocations[0]!;
  const symbol = places.elf.symbols[first.symbol];
  if (typeof symbol?.place !== 'number') return undefined;
  const offset = symbol.offset + distanceIn(kind, first.addend).distance;
  return { start, size, about: { section: symbol.place, offset }, relocations };
}

/**
 * Extent of the piece of `.fixup` that begins at `offset`: to the next place that something refers to, or the end. Each piece
 * ends in a jump back, which the assembler wrote for the function that it belongs to.
 */
export function fixupEnds(elf: ElfFile, fixup: Section): readonly number[] {
  const starts = new Set<number>([fixup.size]);
  for (const section of elf.sections) {
    if (section.index === fixup.index || (section.flags & 2) === 0) continue;
    for (const relocation of elf.relocationsOf(section.index)) {
      const symbol = elf.symbols[relocation.symbol];
      if (symbol?.place !== fixup.index) continue;
      starts.add(symbol.offset + relocation.addend);
    }
  }
  return [...starts].sort((a, b) => a - b);
}
