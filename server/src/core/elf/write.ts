import { SHN_ABS, SHN_UNDEF, SHT_NOBITS, SHT_RELA, SHT_STRTAB, SHT_SYMTAB } from './constants.ts';

/** A section to be written. */
export interface NewSection {
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  /** Bytes, a power of two. */
  readonly align: number;
  readonly entrySize?: number;
  readonly data: Uint8Array;
  /** Bytes; only for SHT_NOBITS, whose `data` is empty. */
  readonly size?: number;
}

/** A symbol to be written. `section` indexes the list of new sections. */
export interface NewSymbol {
  readonly name: string;
  readonly bind: 'local' | 'global' | 'weak';
  readonly type: 'notype' | 'object' | 'func' | 'section' | 'file' | 'tls';
  readonly section: number | 'undef' | 'abs';
  /** Bytes from the start of the section. */
  readonly value: number;
  readonly size: number;
}

/** A relocation to be written; `section` and `symbol` index the lists of new sections and new symbols. */
export interface NewRelocation {
  readonly section: number;
  readonly offset: number;
  readonly type: number;
  readonly symbol: number;
  readonly addend: number;
}

/** A relocatable file to be written. */
export interface NewObject {
  readonly machine: number;
  readonly sections: readonly NewSection[];
  readonly symbols: readonly NewSymbol[];
  readonly relocations: readonly NewRelocation[];
}

const BIND = { local: 0, global: 1, weak: 2 } as const;
const TYPE = { notype: 0, object: 1, func: 2, section: 3, file: 4, tls: 6 } as const;
const HEADER = 64;
const SECTION_HEADER = 64;
const SYMBOL = 24;
const RELA = 24;

/** A string table: names in, offsets out; equal names share their place. */
class Strings {
  readonly #offsets = new Map<string, number>([['', 0]]);
  readonly #chunks: Uint8Array[] = [new Uint8Array(1)];
  #size = 1;

  add(name: string): number {
    let offset = this.#offsets.get(name);
    if (offset === undefined) {
      offset = this.#size;
      const bytes = new TextEncoder().encode(`${name}\0`);
      this.#chunks.push(bytes);
      this.#size += bytes.length;
      this.#offsets.set(name, offset);
    }
    return offset;
  }

  bytes(): Uint8Array {
    return concat(this.#chunks, this.#size);
  }
}

function concat(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const whole = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

/**
 * Writes a relocatable ELF64 little-endian file (ET_REL; gABI 4.1). The caller's sections come first, in their order, as
 * sections 1..n; relocation sections, symbol table and string tables follow. Local symbols are moved before the global ones,
 * as the gABI asks; relocations follow their symbols. Limits: fewer than 65,280 sections (no SHN_XINDEX); throws above.
 */
export function writeElf(object: NewObject): Uint8Array {
  const order = symbolOrder(object.symbols);
  const strings = new Strings();
  const names = new Strings();
  const symtab = writeSymbols(object.symbols, order, strings);
  const relas = writeRelocations(object.relocations, order);
  const firstGlobal = 1 + object.symbols.filter((symbol) => symbol.bind === 'local').length;
  const own = object.sections.length;
  const symtabIndex = 1 + own + relas.length;
  if (symtabIndex + 3 >= 0xff00) throw new RangeError(`${own} sections are more than an ELF file can number`);

  const table: (NewSection & { link?: number; info?: number })[] = [
    ...object.sections,
    ...relas.map(({ section, data }) => ({
      name: `.rela${object.sections[section]!.name}`,
      type: SHT_RELA,
      flags: 0x40,
      align: 8,
      entrySize: RELA,
      data,
      link: symtabIndex,
      info: section + 1,
    })),
    {
      name: '.symtab',
      type: SHT_SYMTAB,
      flags: 0,
      align: 8,
      entrySize: SYMBOL,
      data: symtab,
      link: symtabIndex + 1,
      info: firstGlobal,
    },
    { name: '.strtab', type: SHT_STRTAB, flags: 0, align: 1, data: strings.bytes() },
  ];
  const nameOffsets = table.map((section) => names.add(section.name));
  nameOffsets.push(names.add('.shstrtab'));
  table.push({ name: '.shstrtab', type: SHT_STRTAB, flags: 0, align: 1, data: names.bytes() });
  return layOut(object.machine, table, nameOffsets);
}

/** New index (in the written table) of each symbol: locals first, order kept within each kind; index 0 is the null symbol. */
function symbolOrder(symbols: readonly NewSymbol[]): number[] {
  const order = new Array<number>(symbols.length);
  let next = 1;
  for (const local of [true, false])
    for (const [index, symbol] of symbols.entries()) if ((symbol.bind === 'local') === local) order[index] = next++;
  return order;
}

function writeSymbols(symbols: readonly NewSymbol[], order: readonly number[], strings: Strings): Uint8Array {
  const bytes = new Uint8Array((symbols.length + 1) * SYMBOL);
  const view = new DataView(bytes.buffer);
  for (const [index, symbol] of symbols.entries()) {
    const at = order[index]! * SYMBOL;
    view.setUint32(at, strings.add(symbol.name), true);
    view.setUint8(at + 4, (BIND[symbol.bind] << 4) | TYPE[symbol.type]);
    const place = symbol.section === 'undef' ? SHN_UNDEF : symbol.section === 'abs' ? SHN_ABS : symbol.section + 1;
    view.setUint16(at + 6, place, true);
    view.setBigUint64(at + 8, BigInt(symbol.value), true);
    view.setBigUint64(at + 16, BigInt(symbol.size), true);
  }
  return bytes;
}

function writeRelocations(
  relocations: readonly NewRelocation[],
  order: readonly number[],
): { section: number; data: Uint8Array }[] {
  const bySection = new Map<number, NewRelocation[]>();
  for (const relocation of relocations) {
    const list = bySection.get(relocation.section);
    if (list) list.push(relocation);
    else bySection.set(relocation.section, [relocation]);
  }
  return [...bySection]
    .sort((a, b) => a[0] - b[0])
    .map(([section, list]) => {
      const data = new Uint8Array(list.length * RELA);
      const view = new DataView(data.buffer);
      list.sort((a, b) => a.offset - b.offset);
      for (const [index, relocation] of list.entries()) {
        view.setBigUint64(index * RELA, BigInt(relocation.offset), true);
        view.setBigUint64(index * RELA + 8, (BigInt(order[relocation.symbol]!) << 32n) | BigInt(relocation.type), true);
        view.setBigInt64(index * RELA + 16, BigInt(relocation.addend), true);
      }
      return { section, data };
    });
}

function layOut(
  machine: number,
  table: readonly (NewSection & { link?: number; info?: number })[],
  nameOffsets: readonly number[],
): Uint8Array {
  const offsets: number[] = [];
  let end = HEADER;
  for (const section of table) {
    const align = Math.max(1, section.align);
    end = Math.ceil(end / align) * align;
    offsets.push(end);
    if (section.type !== SHT_NOBITS) end += section.data.length;
  }
  const headers = Math.ceil(end / 8) * 8;
  const bytes = new Uint8Array(headers + (table.length + 1) * SECTION_HEADER);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0]);
  view.setUint16(16, 1, true); // ET_REL
  view.setUint16(18, machine, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(40, BigInt(headers), true);
  view.setUint16(52, HEADER, true);
  view.setUint16(58, SECTION_HEADER, true);
  view.setUint16(60, table.length + 1, true);
  view.setUint16(62, table.length, true); // .shstrtab is the last
  for (const [index, section] of table.entries()) {
    if (section.type !== SHT_NOBITS) bytes.set(section.data, offsets[index]!);
    const at = headers + (index + 1) * SECTION_HEADER;
    view.setUint32(at, nameOffsets[index]!, true);
    view.setUint32(at + 4, section.type, true);
    view.setBigUint64(at + 8, BigInt(section.flags), true);
    view.setBigUint64(at + 24, BigInt(offsets[index]!), true);
    view.setBigUint64(at + 32, BigInt(section.type === SHT_NOBITS ? (section.size ?? 0) : section.data.length), true);
    view.setUint32(at + 40, section.link ?? 0, true);
    view.setUint32(at + 44, section.info ?? 0, true);
    view.setBigUint64(at + 48, BigInt(Math.max(1, section.align)), true);
    view.setBigUint64(at + 56, BigInt(section.entrySize ?? 0), true);
  }
  return bytes;
}
