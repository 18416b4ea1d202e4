import type { ElfFile, ElfSymbol } from '../elf/types.ts';
import { FUNC_SIZE, FUNCS } from './xen-format.ts';

/** A name as Xen resolves it, with where it is. */
export interface XenSymbol {
  readonly address: bigint;
  /** Bytes; 0 where the symbol table has none. */
  readonly size: number;
  /** In a section that is freed after boot. */
  readonly init: boolean;
  readonly code: boolean;
}

/** A payload that is in the hypervisor below the one that is being made. */
export interface XenBelow {
  readonly id: string;
  readonly elf: ElfFile;
}

/** The hypervisor that a payload is made for. */
export interface Hypervisor {
  /** Path of xen-syms, for messages. */
  readonly path: string;
  /** xen-syms: linked, with symbols. */
  readonly elf: ElfFile;
  /** Applied patches, the oldest first. */
  readonly below: readonly XenBelow[];
  /** Build id, hexadecimal, that the hypervisor tells of itself, where it was asked and told. */
  readonly running?: string;
  /** Why it was not asked what is applied to it, as a sentence; absent where it was. */
  readonly unasked?: string;
}

/** Names that Xen can resolve. */
export interface XenSymbols {
  /** All definitions of a name in the hypervisor; more than one means that Xen would take any of them. */
  inXen(name: string): readonly XenSymbol[];
  /** The payload below that brought a name, the newest first; Xen looks there for what it has not itself. */
  inBelow(name: string): string | undefined;
}

/** The name under which Xen knows a symbol: `file#name` for local symbols that follow a file symbol (tools/symbols.c), else the name. */
export function xenName(symbol: Pick<ElfSymbol, 'bind' | 'file' | 'name'>): string {
  return symbol.bind === 'local' && symbol.file ? `${symbol.file}#${symbol.name}` : symbol.name;
}

const caches = new WeakMap<ElfFile, Map<string, XenSymbol[]>>();

function xenTable(elf: ElfFile): Map<string, XenSymbol[]> {
  const known = caches.get(elf);
  if (known) return known;
  const address = (name: string): bigint => elf.symbols.find((symbol) => symbol.name === name)?.value ?? 0n;
  const begin = address('__init_begin');
  const end = address('__init_end');
  const table = new Map<string, XenSymbol[]>();
  for (const symbol of elf.symbols) {
    if (typeof symbol.place !== 'number' || symbol.type === 'section' || symbol.type === 'file' || symbol.name === '')
      continue;
    const section = elf.sections[symbol.place];
    if (!section || (section.flags & 2) === 0) continue;
    const name = xenName(symbol);
    const entry: XenSymbol = {
      address: symbol.value,
      size: symbol.size,
      init: symbol.value >= begin && symbol.value < end,
      code: symbol.type === 'func',
    };
    const list = table.get(name);
    if (!list) table.set(name, [entry]);
    // Two names of one place are no choice.
    else if (!list.some((other) => other.address === entry.address)) list.push(entry);
  }
  caches.set(elf, table);
  return table;
}

/** Index of a hypervisor's names. */
export function xenSymbols(hypervisor: Hypervisor): XenSymbols {
  const table = xenTable(hypervisor.elf);
  const below = new Map<string, string>();
  for (const payload of hypervisor.below) {
    const replaced = new Set(replacedNames(payload.elf));
    for (const symbol of payload.elf.symbols) {
      if (typeof symbol.place !== 'number' || symbol.name === '' || symbol.type === 'section') continue;
      if (!replaced.has(symbol.name)) below.set(symbol.name, payload.id);
    }
  }
  return { inXen: (name) => table.get(name) ?? [], inBelow: (name) => below.get(name) };
}

/** Names in the function table of a payload: what it replaces. Damaged entries are left out. */
export function replacedNames(payload: ElfFile): string[] {
  return readFuncs(payload).map((entry) => entry.name);
}

/** An entry of `.livepatch.funcs`, with its two relocations read. */
export interface FuncEntry {
  readonly name: string;
  /** Section and offset of the new code; undefined for NOP entries. */
  readonly code?: { readonly section: number; readonly offset: number };
  readonly oldAddress: bigint;
  readonly newSize: number;
  readonly oldSize: number;
  readonly version: number;
  readonly expect: Uint8Array;
}

/** Reads the function table of a payload. */
export function readFuncs(payload: ElfFile): FuncEntry[] {
  const section = payload.sectionsNamed(FUNCS)[0];
  if (!section) return [];
  const { data } = section;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const size = data.length % FUNC_SIZE[2] === 0 && (data.length < 33 || data[32] !== 1) ? FUNC_SIZE[2] : FUNC_SIZE[1];
  const pointers = new Map(payload.relocationsOf(section.index).map((relocation) => [relocation.offset, relocation]));
  const placeOf = (offset: number): { section: number; offset: number } | undefined => {
    const relocation = pointers.get(offset);
    const symbol = relocation ? payload.symbols[relocation.symbol] : undefined;
    if (!relocation || typeof symbol?.place !== 'number') return undefined;
    return { section: symbol.place, offset: symbol.offset + relocation.addend };
  };
  const found: FuncEntry[] = [];
  for (let at = 0; at + size <= data.length; at += size) {
    const name = placeOf(at);
    const code = placeOf(at + 8);
    found.push({
      name: name ? cString(payload.sections[name.section]?.data, name.offset) : '',
      ...(code ? { code } : {}),
      oldAddress: view.getBigUint64(at + 16, true),
      newSize: view.getUint32(at + 24, true),
      oldSize: view.getUint32(at + 28, true),
      version: view.getUint8(at + 32),
      expect: size === FUNC_SIZE[2] ? data.slice(at + 72, at + 104) : new Uint8Array(),
    });
  }
  return found;
}

function cString(data: Uint8Array | undefined, offset: number): string {
  if (!data || offset < 0 || offset >= data.length) return '';
  const end = data.indexOf(0, offset);
  return new TextDecoder().decode(data.subarray(offset, end < 0 ? data.length : end));
}

/** Which version of the function table a hypervisor wants: the kinds of hooks that came with version 2 are named in its strings. */
export function versionOf(xenSyms: ElfFile): 1 | 2 {
  const wanted = new TextEncoder().encode('.livepatch.hooks.preapply\0');
  for (const section of xenSyms.sections) {
    if ((section.flags & 2) === 0 || section.data.length === 0) continue;
    let at = section.data.indexOf(wanted[0]!);
    while (at >= 0 && at + wanted.length <= section.data.length) {
      if (wanted.every((byte, index) => section.data[at + index] === byte)) return 2;
      at = section.data.indexOf(wanted[0]!, at + 1);
    }
  }
  return 1;
}
