import type { ElfFile, ElfSymbol, Section } from '../elf/types.ts';
import { specialKind } from '../special/kinds.ts';
import type { Stretch } from './loose.ts';
import { isCode, isMapping, isNamelessConstant, isNobits, isRecord, lastAtOrBefore, placesOf, SHF } from './places.ts';
import { relocationsIn } from './targets.ts';

const SHT_PROGBITS = 1;

/** Sections that hold variables and constants, by their usual names. */
const USUAL = /^\.[lst]?(data|rodata|bss)(\.|$)/;

const cache = new WeakMap<ElfFile, ReadonlyMap<number, number>>();

/**
 * Bytes of a data symbol. Assembly often leaves out type and size: such a label then stands for all that follows up to the next name, or up to
 * the end of the named thing that it lies in.
 */
export function dataSize(elf: ElfFile, symbol: ElfSymbol): number {
  return symbol.size > 0 ? symbol.size : (labelsOf(elf).get(symbol.index) ?? 0);
}

/** A name in a section of data to which the assembly gave no type, or no size. */
export function isDataLabel(elf: ElfFile, symbol: ElfSymbol): boolean {
  return labelsOf(elf).has(symbol.index);
}

/** Labels by symbol index, with the bytes that each stands for. */
function labelsOf(elf: ElfFile): ReadonlyMap<number, number> {
  let labels = cache.get(elf);
  if (!labels) {
    labels = findLabels(elf);
    cache.set(elf, labels);
  }
  return labels;
}

function findLabels(elf: ElfFile): ReadonlyMap<number, number> {
  const bySection = new Map<number, ElfSymbol[]>();
  for (const symbol of elf.symbols) {
    const { type, place } = symbol;
    if (typeof place !== 'number' || (type !== 'notype' && type !== 'object' && type !== 'tls')) continue;
    if (symbol.name === '' || isMapping(elf, symbol)) continue;
    const list = bySection.get(place);
    if (list) list.push(symbol);
    else bySection.set(place, [symbol]);
  }
  const found = new Map<number, number>();
  const places = placesOf(elf);
  for (const [index, symbols] of bySection) {
    const section = elf.sections[index];
    if (!section || !holdsLabels(section, symbols)) continue;
    const typed = new Set<number>();
    for (const { type, size, offset } of symbols) if (type !== 'notype' && size > 0) typed.add(offset);
    const sized = symbols.filter(({ size }) => size > 0).sort((a, b) => a.offset - b.offset);
    const starts = sized.map(({ offset }) => offset);
    for (const symbol of symbols) {
      const { offset, size, type, name } = symbol;
      // Told by its type, or another name of such a thing.
      if (typed.has(offset) || (type !== 'notype' && size > 0)) continue;
      if (name.startsWith('.L') || isNamelessConstant(elf, symbol)) continue;
      if (size > 0) {
        found.set(symbol.index, size);
        continue;
      }
      const around = sized[lastAtOrBefore(starts, offset)];
      const next = places.extent(index, offset);
      const end = around && offset < around.offset + around.size ? around.offset + around.size : next;
      found.set(symbol.index, Math.max(0, Math.min(next, end) - offset));
    }
  }
  return found;
}

/** Whether names of a section are names of data. Where nothing in a section of its own kind has a type, the section is compared as a whole. */
function holdsLabels(section: Section, symbols: readonly ElfSymbol[]): boolean {
  if ((section.flags & SHF.alloc) === 0 || isCode(section) || specialKind(section.name)) return false;
  return USUAL.test(section.name) || symbols.some(({ type, size }) => type !== 'notype' && size > 0);
}

/**
 * Stretches of a section of variables that have no name, other than the room between two of them: assembly refers to them by local labels, of which
 * nothing is left in the object. Where nothing in the section has a name, it is compared as a whole.
 */
export function looseData(elf: ElfFile, section: Section): Stretch[] {
  const writable = (section.flags & (SHF.alloc | SHF.write | SHF.exec)) === (SHF.alloc | SHF.write);
  if (!writable || isNobits(section) || section.type !== SHT_PROGBITS || isRecord(section)) return [];
  if (!/^\.l?data(\.|$)/.test(section.name) || /\.LPBX\d+$/.test(section.name)) return [];
  const named = namedOf(elf).get(section.index);
  if (!named) return [];
  const found: Stretch[] = [];
  const size = Math.min(section.size, section.data.length);
  let at = 0;
  for (const { start, end } of [...named, { start: size, end: size }]) {
    if (start > at && !isRoom(elf, section, at, start)) found.push({ start: at, end: start });
    at = Math.max(at, end);
  }
  return found;
}

const ranges = new WeakMap<ElfFile, ReadonlyMap<number, readonly Stretch[]>>();

/** What the names of each section stand for, in order. */
function namedOf(elf: ElfFile): ReadonlyMap<number, readonly Stretch[]> {
  const done = ranges.get(elf);
  if (done) return done;
  const found = new Map<number, Stretch[]>();
  for (const symbol of elf.symbols) {
    const { place, type, name, offset } = symbol;
    if (typeof place !== 'number' || type === 'section' || type === 'file' || name === '') continue;
    const range = { start: offset, end: offset + dataSize(elf, symbol) };
    const list = found.get(place);
    if (list) list.push(range);
    else found.set(place, [range]);
  }
  for (const list of found.values()) list.sort((a, b) => a.start - b.start);
  ranges.set(elf, found);
  return found;
}

/** Zeros, and no addresses. */
function isRoom(elf: ElfFile, section: Section, start: number, end: number): boolean {
  if (section.data.subarray(start, end).some((byte) => byte !== 0)) return false;
  return relocationsIn(elf.relocationsOf(section.index), start, end).length === 0;
}
