import type { ElfSymbol, Relocation } from '../elf/types.ts';
import type { Places } from './places.ts';
import { relocationMeaning } from './relocation.ts';
import { instructionAt, RELOCATED, type Scan } from './scan.ts';

/** What a relocation or a direct branch points to. */
export interface Target {
  /** The named thing: the relocation's own symbol, or what lies at the place; undefined for nameless constants. */
  readonly symbol: ElfSymbol | undefined;
  /** Bytes from the symbol's start; for nameless places 0. */
  readonly delta: number;
  /** Section and byte offset of the place, where it is defined in this object; section -1 where not. */
  readonly section: number;
  readonly offset: number;
  /** True where the relocation itself names the symbol: the place then cannot mean the end of what precedes. */
  readonly named: boolean;
}

/**
 * Target of a relocation. `bias` is added to the addend: for PC-relative fields in code the distance from the field to the end
 * of the instruction (the processor counts from there), for entries of tables of relative offsets minus the entry's position.
 */
export function relocationTarget(places: Places, relocation: Relocation, bias: number): Target {
  const symbol = places.elf.symbols[relocation.symbol];
  const addend = relocation.addend + bias;
  if (!symbol || relocation.symbol === 0)
    return { symbol: undefined, delta: addend, section: -1, offset: addend, named: true };
  if (typeof symbol.place !== 'number') return { symbol, delta: addend, section: -1, offset: addend, named: true };
  if (symbol.type === 'section') return placeTarget(places, symbol.place, symbol.offset + addend);
  return { symbol, delta: addend, section: symbol.place, offset: symbol.offset + addend, named: true };
}

/** Target of a place in a section, found without a relocation or through a section symbol. */
export function placeTarget(places: Places, section: number, offset: number): Target {
  const located = places.locate(section, offset);
  return { symbol: located?.symbol, delta: located?.delta ?? 0, section, offset, named: false };
}

/**
 * Bias of a relocation in code: the distance from the field to the end of its instruction for PC-relative fields, else 0.
 * `at` is the field's offset from the start of the scanned code.
 */
export function codeBias(machine: number, scan: Scan, at: number, type: number): number {
  if (machine !== 62 || !relocationMeaning(machine, type).pcRelative) return 0;
  const index = instructionAt(scan, at);
  return index < 0 ? 4 : scan.start[index]! + scan.size[index]! - at;
}

/** Relocations of a section whose field lies in [start, end). The list is sorted by offset. */
export function relocationsIn(relocations: readonly Relocation[], start: number, end: number): readonly Relocation[] {
  const from = firstAt(relocations, start);
  const to = firstAt(relocations, end);
  return from === 0 && to === relocations.length ? relocations : relocations.slice(from, to);
}

/** Index of the first relocation, or other thing of a list in order, at or after an offset. */
export function firstAt(relocations: readonly { readonly offset: number }[], offset: number): number {
  let low = 0;
  let high = relocations.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (relocations[middle]!.offset < offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Takes the meaningless targets out of a scan: a PC-relative field that a relocation fills holds zero, which looks like the next
 * instruction. `start` is the section offset of the scanned code.
 */
export function dropRelocated(scan: Scan, relocations: readonly Relocation[], start: number): void {
  let index = 0;
  for (let i = firstAt(relocations, start); i < relocations.length; i++) {
    const at = relocations[i]!.offset - start;
    while (index < scan.count && scan.start[index]! + scan.size[index]! <= at) index++;
    if (index >= scan.count) return;
    if (scan.relSize[index]! > 0 && at === scan.start[index]! + scan.relAt[index]!) scan.target[index] = RELOCATED;
  }
}
