import type { Problem } from '../problem.ts';
import * as c from './constants.ts';
import { readU64 } from './container.ts';
import { StringTable } from './strings.ts';
import type { ElfSymbol, Section, SymbolPlace } from './types.ts';

const ENTRY_SIZE = 24;

const TYPES: Readonly<Record<number, ElfSymbol['type']>> = {
  [c.STT_NOTYPE]: 'notype',
  [c.STT_OBJECT]: 'object',
  [c.STT_FUNC]: 'func',
  [c.STT_SECTION]: 'section',
  [c.STT_FILE]: 'file',
  [c.STT_COMMON]: 'common',
  [c.STT_TLS]: 'tls',
  [c.STT_GNU_IFUNC]: 'ifunc',
};
const BINDS: Readonly<Record<number, ElfSymbol['bind']>> = {
  [c.STB_LOCAL]: 'local',
  [c.STB_GLOBAL]: 'global',
  [c.STB_WEAK]: 'weak',
  [c.STB_GNU_UNIQUE]: 'unique',
};
const VISIBILITIES = ['default', 'internal', 'hidden', 'protected'] as const;

class SymbolEntry implements ElfSymbol {
  readonly index: number;
  readonly name: string;
  readonly type: ElfSymbol['type'];
  readonly bind: ElfSymbol['bind'];
  readonly visibility: ElfSymbol['visibility'];
  readonly place: SymbolPlace;
  readonly value: bigint;
  readonly offset: number;
  readonly size: number;
  readonly file?: string;

  constructor(
    index: number,
    name: string,
    info: number,
    other: number,
    place: SymbolPlace,
    value: bigint,
    offset: number,
    size: number,
    file: string | undefined,
  ) {
    this.index = index;
    this.name = name;
    this.type = TYPES[info & 15] ?? 'other';
    this.bind = BINDS[info >> 4] ?? 'other';
    this.visibility = VISIBILITIES[other & 3]!;
    this.place = place;
    this.value = value;
    this.offset = offset;
    this.size = size;
    if (file !== undefined) this.file = file;
  }
}

/** What a symbol table is read against. */
export interface SymbolContext {
  readonly sections: readonly Section[];
  /** Values are addresses (executables, shared objects), not section offsets. */
  readonly linked: boolean;
  /** Address of the PT_TLS segment: values of TLS symbols in linked files count from it. */
  readonly tlsAddress: bigint;
  readonly problems: Problem[];
}

/**
 * Reads a symbol table (gABI 4.1 "Symbol Table"; SHT_SYMTAB or SHT_DYNSYM) in file order, index 0 included. Indices
 * escaped by SHN_XINDEX are taken from the SHT_SYMTAB_SHNDX section. Symbols that point to sections that do not exist
 * come out as undefined, with one problem for all of them.
 */
export function readSymbols(table: Section, context: SymbolContext): ElfSymbol[] {
  const { sections, problems } = context;
  const { data } = table;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const names = new StringTable(sections[table.link]?.data ?? new Uint8Array(0));
  const extended = extendedIndices(table, sections);
  const count = Math.floor(data.length / ENTRY_SIZE);
  const symbols: ElfSymbol[] = new Array(count);
  let file: string | undefined;
  let misplaced = 0;
  for (let index = 0, at = 0; index < count; index++, at += ENTRY_SIZE) {
    const info = view.getUint8(at + 4);
    const shndx = view.getUint16(at + 6, true);
    let place: SymbolPlace;
    if (shndx === c.SHN_UNDEF) place = 'undef';
    else if (shndx < c.SHN_LORESERVE) place = shndx;
    else if (shndx === c.SHN_ABS) place = 'abs';
    else if (shndx === c.SHN_COMMON || shndx === c.SHN_X86_64_LCOMMON) place = 'common';
    else if (shndx === c.SHN_XINDEX && extended && index * 4 + 4 <= extended.byteLength) {
      place = extended.getUint32(index * 4, true) || 'undef';
    } else place = sections.length; // reported below
    if (typeof place === 'number' && place >= sections.length) {
      misplaced++;
      place = 'undef';
    }
    const value = view.getBigUint64(at + 8, true);
    const type = info & 15;
    let name = names.at(view.getUint32(at, true));
    let offset = 0;
    if (typeof place === 'number') {
      const section = sections[place]!;
      if (type === c.STT_SECTION && name === '') name = section.name;
      if (!context.linked) offset = Number(value);
      else if (type === c.STT_TLS) offset = Number(value + context.tlsAddress - section.address);
      else offset = Number(value - section.address);
      if (!(offset >= 0 && offset <= Number.MAX_SAFE_INTEGER)) offset = 0;
    }
    if (type === c.STT_FILE) file = name || undefined;
    const local = info >> 4 === c.STB_LOCAL && type !== c.STT_FILE && index !== 0;
    const size = readU64(view, at + 16);
    symbols[index] = new SymbolEntry(
      index,
      name,
      info,
      view.getUint8(at + 5),
      place,
      value,
      offset,
      size,
      local ? file : undefined,
    );
  }
  if (misplaced > 0) {
    problems.push({
      area: 'elf.symtab',
      message: `${misplaced} symbols of ${table.name} point to sections that the file does not have; they are taken as undefined.`,
    });
  }
  return symbols;
}

function extendedIndices(table: Section, sections: readonly Section[]): DataView | undefined {
  for (const section of sections) {
    if (section.type === c.SHT_SYMTAB_SHNDX && section.link === table.index) {
      return new DataView(section.data.buffer, section.data.byteOffset, section.data.byteLength);
    }
  }
  return undefined;
}
