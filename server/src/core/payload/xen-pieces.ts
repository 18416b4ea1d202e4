import { KIND } from '../asm/scan.ts';
import { dropRelocated, relocationsIn } from '../asm/targets.ts';
import { x86Scanner } from '../asm/x86.ts';
import type { ElfFile, Section } from '../elf/types.ts';
import type { Finding } from '../findings/types.ts';
import { alternativeLayout, pieceEnd, type SpecialEntry, type SpecialTable } from '../special/index.ts';
import type { AnyPiece, ChosenUnit } from './planner.ts';
import type { Replacement } from './select.ts';
import type { XenHome } from './xen-home.ts';

/** A unit with the functions that were chosen in it. */
export interface XenUnit extends ChosenUnit {
  readonly home: XenHome;
}

/** A part of a section of a next object that goes into the payload. */
export interface XenPiece extends AnyPiece {
  readonly kind: 'function' | 'data' | 'constant' | 'string' | 'table' | 'fixup' | 'replacement' | 'hook';
  /** The symbol that stands for it in the payload; undefined for nameless parts. */
  readonly symbol?: { readonly name: string; readonly type: 'func' | 'object'; readonly size: number };
  /** Name of the section of the payload that it goes to. */
  readonly out: string;
  /** The table that the entry is from. */
  readonly table?: SpecialTable;
}

/** What goes into a payload. */
export interface XenPlan {
  readonly pieces: readonly XenPiece[];
  readonly imports: ReadonlySet<string>;
  readonly refusals: readonly Finding[];
  /** Index of the piece that holds the new code of a replaced function. */
  pieceOf(unit: number, replacement: Replacement): number;
}

/** The piece of a table's entry (bug frames, alternatives, exceptions: asm/bug.h, asm/alternative.h, asm/uaccess.h). */
export function entryPiece(unit: number, { table, start, size }: SpecialEntry): Omit<XenPiece, 'relocations'> {
  const { section, kind } = table;
  return {
    unit,
    section,
    start,
    end: start + size,
    kind: 'table',
    name: `${section.name}[${start / table.entrySize}]`,
    added: false,
    out: section.name,
    align: kind.kind === 'alternative' ? 1 : 4,
    table,
  };
}

/**
 * The piece of code that belongs to no function: of `.fixup` up to where it is left (by a jump back, which the assembler wrote for the function that it
 * serves); of `.altinstr_replacement` as many bytes as the entry that refers to
 * it says. Undefined where the section is neither.
 */
export function partOf(
  elf: ElfFile,
  from: XenPiece,
  section: Section,
  offset: number,
): Omit<XenPiece, 'relocations'> | undefined {
  const made = { unit: from.unit, section, start: offset, name: `${section.name}+${offset}`, added: false, align: 1 };
  if (section.name === '.fixup')
    return { ...made, end: fixupEnd(elf, section, offset), kind: 'fixup', out: section.name };
  if (section.name !== '.altinstr_replacement') return undefined;
  let length = 0;
  if (from.table?.kind.kind === 'alternative') {
    const { replacementLength } = alternativeLayout(elf, from.table.section, from.table.entrySize);
    length = from.section.data[from.start + replacementLength] ?? 0;
  }
  return { ...made, end: Math.min(section.size, offset + length), kind: 'replacement', out: section.name };
}

const LEAVES: ReadonlySet<number> = new Set([KIND.jump, KIND.return, KIND.indirectJump, KIND.trap]);

/**
 * Where a fixup ends. Another one may begin within it, which it runs on into or jumps to over a few bytes: it comes along then, since what lies beside a
 * piece in the object need not lie there in the payload.
 */
function fixupEnd(elf: ElfFile, section: Section, offset: number): number {
  for (let end = pieceEnd(elf, section, offset); ; end = pieceEnd(elf, section, end)) {
    if (end >= section.data.length) return end;
    const scan = x86Scanner.scan(section.data.subarray(offset, end));
    dropRelocated(scan, relocationsIn(elf.relocationsOf(section.index), offset, end), offset);
    const leaves = scan.count > 0 && LEAVES.has(scan.kind[scan.count - 1]!);
    const jumpsOn = Array.from({ length: scan.count }, (_, i) => i).some(
      (i) => scan.relSize[i] === 1 && scan.target[i]! >= end - offset,
    );
    if (leaves && !jumpsOn) return end;
  }
}

/** A section of no object: eight bytes for an address that the loader fills in. */
export const slotSection: Section = {
  index: -1,
  name: '.rodata',
  type: 1,
  flags: 2,
  address: 0n,
  offset: 0,
  size: 8,
  link: 0,
  info: 0,
  align: 8,
  entrySize: 0,
  data: new Uint8Array(8),
};
