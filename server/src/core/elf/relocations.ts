import type { Problem } from '../problem.ts';
import * as c from './constants.ts';
import type { DynamicRelocation, ElfSymbol, Relocation, Section } from './types.ts';

const RELA_SIZE = 24;
const REL_SIZE = 16;
const NONE: readonly Relocation[] = Object.freeze([]);

/** Finds and reads the relocations of a file; answers are cached per section. */
export interface RelocationReader {
  of(section: number): readonly Relocation[];
  /** The SHT_RELA and SHT_REL sections that apply to a section, in file order. */
  tablesOf(section: number): readonly Section[];
}

/**
 * Prepares reading of relocations (gABI 4.1 "Relocation"). In linked files (`linked`) r_offset is an address and is made
 * relative to the section; only tables kept by --emit-relocs are listed there, not the dynamic ones.
 */
export function relocationReader(
  sections: readonly Section[],
  machine: number,
  linked: boolean,
  problems: Problem[],
): RelocationReader {
  // Tables of a crafted file may overlap: each byte of the file is read as a relocation once at most.
  let budget = 0;
  for (const section of sections) budget = Math.max(budget, section.offset + section.data.length);
  const tables = new Map<number, Section[]>();
  for (const section of sections) {
    if (section.type !== c.SHT_RELA && section.type !== c.SHT_REL) continue;
    if (linked && section.flags & c.SHF_ALLOC) continue;
    if (section.info === 0 || section.info >= sections.length) {
      problems.push({
        area: 'elf.rela',
        message: `${section.name || `Section ${section.index}`} relocates section ${section.info}, which the file does not have.`,
      });
      continue;
    }
    const list = tables.get(section.info);
    if (list) list.push(section);
    else tables.set(section.info, [section]);
  }
  const cache = new Map<number, readonly Relocation[]>();
  return {
    tablesOf: (section) => tables.get(section) ?? [],
    of(section) {
      const cached = cache.get(section);
      if (cached) return cached;
      const mine = tables.get(section);
      if (!mine) return NONE;
      const target = sections[section]!;
      const list: Relocation[] = [];
      for (const table of mine) {
        budget -= table.data.length;
        if (budget < 0) {
          problems.push({ area: 'elf.rela', message: 'The relocation tables overlap; some were not read.' });
          break;
        }
        readTable(table, target, machine, linked, list);
      }
      sortByOffset(list);
      cache.set(section, list);
      return list;
    },
  };
}

function readTable(table: Section, target: Section, machine: number, linked: boolean, into: Relocation[]): void {
  const { data } = table;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const explicit = table.type === c.SHT_RELA;
  const step = explicit ? RELA_SIZE : REL_SIZE;
  const base = linked ? Number(target.address) : 0;
  for (let at = 0; at + step <= data.length; at += step) {
    const offset = view.getUint32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true) - base;
    const type = view.getUint32(at + 8, true);
    const symbol = view.getUint32(at + 12, true);
    const addend = explicit
      ? view.getInt32(at + 20, true) * 0x1_0000_0000 + view.getUint32(at + 16, true)
      : implicitAddend(target.data, offset, c.relocationWidth(machine, type));
    into.push({ offset, type, symbol, addend });
  }
}

/** The addend that SHT_REL keeps at the place, sign-extended. 0 where the place is outside of the section or no plain word. */
function implicitAddend(data: Uint8Array, offset: number, width: number): number {
  if (!(offset >= 0 && offset + width <= data.length) || width === 0) return 0;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (width === 8) return view.getInt32(offset + 4, true) * 0x1_0000_0000 + view.getUint32(offset, true);
  if (width === 4) return view.getInt32(offset, true);
  return width === 2 ? view.getInt16(offset, true) : view.getInt8(offset);
}

function sortByOffset(list: Relocation[]): void {
  for (let i = 1; i < list.length; i++) {
    if (list[i]!.offset < list[i - 1]!.offset) {
      list.sort((a, b) => a.offset - b.offset); // stable: ties stay in file order
      return;
    }
  }
}

/** Reads the dynamic relocations of a linked file: all allocated SHT_RELA tables (.rela.dyn, .rela.plt), in file order. */
export function readDynamicRelocations(
  sections: readonly Section[],
  dynamicSymbols: readonly ElfSymbol[],
): DynamicRelocation[] {
  const list: DynamicRelocation[] = [];
  for (const section of sections) {
    if (section.type !== c.SHT_RELA || !(section.flags & c.SHF_ALLOC)) continue;
    const { data } = section;
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    for (let at = 0; at + RELA_SIZE <= data.length; at += RELA_SIZE) {
      const symbol = view.getUint32(at + 12, true);
      list.push({
        address: view.getBigUint64(at, true),
        type: view.getUint32(at + 8, true),
        symbol: symbol === 0 ? undefined : dynamicSymbols[symbol],
        addend: view.getBigInt64(at + 16, true),
      });
    }
  }
  return list;
}
