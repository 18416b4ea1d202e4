import { toHex } from '../core/payload/sha256.ts';
import type { Mapping } from './procfs.ts';

/** Reads memory of a process; undefined where nothing is mapped. */
export type ReadMemory = (address: number, size: number) => Promise<Uint8Array | undefined>;

/** A file mapped in a process, as its memory shows it: no file is opened, so that deleted and replaced ones work too. */
export interface LoadedModule {
  /** Path as the kernel knows it; `[vdso]` for the kernel's own. */
  readonly path: string;
  /** Difference between addresses in memory and in the file. */
  readonly bias: number;
  readonly start: number;
  readonly end: number;
  readonly executable: readonly { readonly start: number; readonly end: number }[];
  readonly buildId: string | undefined;
  readonly is64: boolean;
  readonly machine: number;
  /** Address of the dynamic section in memory, bytes of it; absent in static programs. */
  readonly dynamic: { readonly address: number; readonly size: number } | undefined;
  /** Thread-local storage segment: size and alignment. */
  readonly tls: { readonly size: number; readonly align: number } | undefined;
}

/** A symbol of a module's dynamic table. */
export interface DynamicSymbol {
  readonly name: string;
  /** Name of its version, and whether it is the default one (`foo@@V`). */
  readonly version: string | undefined;
  readonly isDefault: boolean;
  readonly type: number;
  readonly defined: boolean;
  readonly value: number;
  readonly size: number;
}

/** What a module's dynamic section says. Addresses are those of the process. */
export interface DynamicInfo {
  readonly soname: string | undefined;
  readonly needed: readonly string[];
  readonly symbols: readonly DynamicSymbol[];
  readonly byName: ReadonlyMap<string, readonly DynamicSymbol[]>;
  /** Relocations that fill slots with addresses. */
  readonly slots: readonly {
    readonly address: number;
    readonly type: number;
    readonly symbol: number;
    readonly addend: number;
  }[];
  /** Address of the dynamic linker's r_debug, in an executable. */
  readonly debug: number;
}

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const u64 = (data: DataView, at: number): number => Number(data.getBigUint64(at, true));
const PT = { load: 1, dynamic: 2, note: 4, tls: 7 } as const;

/** Finds the ELF files in a process's memory by the mappings of their first pages. */
export async function loadedModules(read: ReadMemory, mappings: readonly Mapping[]): Promise<LoadedModule[]> {
  const modules: LoadedModule[] = [];
  for (const [index, mapping] of mappings.entries()) {
    const vdso = mapping.name === '[vdso]';
    if (!vdso && (mapping.file === '' || mapping.offset !== 0 || !mapping.permissions.startsWith('r'))) continue;
    // Only the first of several mappings of the first page is a load base (the rest are copies for relocation).
    if (index > 0 && mappings[index - 1]!.file === mapping.file && !vdso && modules.at(-1)?.path === mapping.name)
      continue;
    const head = await read(mapping.start, Math.min(4096, mapping.end - mapping.start));
    const module = head && (await readModule(read, mapping, mappings, head));
    if (module) modules.push(module);
  }
  return modules;
}

async function readModule(
  read: ReadMemory,
  mapping: Mapping,
  mappings: readonly Mapping[],
  head: Uint8Array,
): Promise<LoadedModule | undefined> {
  if (head.length < 64 || head[0] !== 0x7f || head[1] !== 0x45 || head[2] !== 0x4c || head[3] !== 0x46)
    return undefined;
  const data = view(head);
  const machine = data.getUint16(18, true);
  const none = { buildId: undefined, dynamic: undefined, tls: undefined };
  const path = mapping.name.replace(/ \(deleted\)$/, '');
  if (head[4] !== 2)
    return { path, bias: 0, start: mapping.start, end: mapping.end, executable: [], is64: false, machine, ...none };
  const offset = u64(data, 32);
  const size = data.getUint16(54, true);
  const count = data.getUint16(56, true);
  if (size < 56 || count > 200 || offset + count * size > head.length) return undefined;
  const segments = Array.from({ length: count }, (_, i) => {
    const at = offset + i * size;
    return {
      type: data.getUint32(at, true),
      flags: data.getUint32(at + 4, true),
      address: u64(data, at + 16),
      memory: u64(data, at + 40),
      align: u64(data, at + 48),
    };
  });
  const loads = segments.filter((one) => one.type === PT.load);
  if (loads.length === 0) return undefined;
  const lowest = Math.min(...loads.map((one) => one.address));
  const bias = mapping.start - Math.floor(lowest / 4096) * 4096;
  const end = Math.max(...loads.map((one) => bias + one.address + one.memory));
  // A file that is merely mapped to be read has no code in memory where its program headers say.
  const executable = mappings
    .filter((one) => one.permissions[2] === 'x' && one.start >= mapping.start && one.start < end)
    .map(({ start, end: stop }) => ({ start, end: stop }));
  if (executable.length === 0) return undefined;
  const dynamic = segments.find((one) => one.type === PT.dynamic);
  const tls = segments.find((one) => one.type === PT.tls);
  let buildId: string | undefined;
  for (const note of segments) {
    if (note.type !== PT.note || buildId !== undefined || note.memory > 65536) continue;
    const bytes = await read(bias + note.address, note.memory);
    if (bytes) buildId = buildIdIn(bytes, note.align);
  }
  return {
    path,
    bias,
    start: mapping.start,
    end,
    executable,
    is64: true,
    machine,
    buildId,
    dynamic: dynamic && { address: bias + dynamic.address, size: dynamic.memory },
    tls: tls && { size: tls.memory, align: Math.max(1, tls.align) },
  };
}

/** The GNU build id among notes (gABI 5, "Note Section"). */
function buildIdIn(bytes: Uint8Array, align: number): string | undefined {
  const data = view(bytes);
  const unit = align === 8 ? 8 : 4;
  const up = (value: number): number => Math.ceil(value / unit) * unit;
  for (let at = 0; at + 12 <= bytes.length; ) {
    const nameSize = data.getUint32(at, true);
    const size = data.getUint32(at + 4, true);
    const type = data.getUint32(at + 8, true);
    const start = up(at + 12 + nameSize);
    if (start + size > bytes.length) return undefined;
    const name = new TextDecoder('latin1').decode(bytes.subarray(at + 12, at + 12 + Math.max(0, nameSize - 1)));
    if (type === 3 && name === 'GNU') return toHex(bytes.subarray(start, start + size));
    at = up(start + size);
  }
  return undefined;
}

const DT = {
  needed: 1,
  pltRelSize: 2,
  hash: 4,
  strtab: 5,
  symtab: 6,
  rela: 7,
  relaSize: 8,
  strSize: 10,
  soname: 14,
  debug: 21,
  jmprel: 23,
  gnuHash: 0x6ffffef5,
  versym: 0x6ffffff0,
  verdef: 0x6ffffffc,
  verdefCount: 0x6ffffffd,
  verneed: 0x6ffffffe,
  verneedCount: 0x6fffffff,
} as const;

const SYMBOLS_MAX = 400_000;

/** Reads a module's dynamic section and tables out of memory (gABI 5, "Dynamic Section"; LSB, "Symbol Versioning"). */
export async function readDynamic(read: ReadMemory, module: LoadedModule): Promise<DynamicInfo | undefined> {
  if (!module.dynamic) return undefined;
  const section = await read(module.dynamic.address, Math.min(module.dynamic.size, 65536));
  if (!section) return undefined;
  const data = view(section);
  const entries = new Map<number, number>();
  const needed: number[] = [];
  for (let at = 0; at + 16 <= section.length; at += 16) {
    const tag = u64(data, at);
    if (tag === 0) break;
    if (tag === DT.needed) needed.push(u64(data, at + 8));
    else entries.set(tag, u64(data, at + 8));
  }
  // The GNU C library writes the load address into the section, others leave it as in the file.
  const pointer = (tag: number): number | undefined => {
    const value = entries.get(tag);
    return value === undefined ? undefined : value < module.start ? value + module.bias : value;
  };
  const strtab = pointer(DT.strtab);
  const symtab = pointer(DT.symtab);
  const strings = strtab !== undefined && (await read(strtab, Math.min(entries.get(DT.strSize) ?? 0, 64 << 20)));
  if (!strings || symtab === undefined) return undefined;
  const text = (offset: number): string => {
    const end = strings.indexOf(0, offset);
    return new TextDecoder('latin1').decode(strings.subarray(offset, end < 0 ? strings.length : end));
  };
  const count = Math.min(await symbolCount(read, pointer(DT.gnuHash), pointer(DT.hash)), SYMBOLS_MAX);
  const table = await read(symtab, count * 24);
  const versym = pointer(DT.versym);
  const versions = versym === undefined ? undefined : await read(versym, count * 2);
  const names = new Map<number, string>();
  const verdef = pointer(DT.verdef);
  const verneed = pointer(DT.verneed);
  if (verdef !== undefined) await readVerdef(read, verdef, entries.get(DT.verdefCount) ?? 0, text, names);
  if (verneed !== undefined) await readVerneed(read, verneed, entries.get(DT.verneedCount) ?? 0, text, names);
  const symbols: DynamicSymbol[] = [];
  const byName = new Map<string, DynamicSymbol[]>();
  if (table) {
    const at = view(table);
    for (let i = 0; i < count; i++) {
      const version = versions ? view(versions).getUint16(i * 2, true) : 1;
      const name = text(at.getUint32(i * 24, true));
      const value = u64(at, i * 24 + 8);
      const place = at.getUint16(i * 24 + 6, true);
      const type = at.getUint8(i * 24 + 4) & 15;
      const symbol = {
        name,
        version: names.get(version & 0x7fff),
        isDefault: (version & 0x8000) === 0,
        type,
        defined: place !== 0,
        value: place === 0xfff1 || type === 6 ? value : value + module.bias,
        size: u64(at, i * 24 + 16),
      };
      symbols.push(symbol);
      const same = byName.get(name);
      if (same) same.push(symbol);
      else byName.set(name, [symbol]);
    }
  }
  const slots: DynamicInfo['slots'][number][] = [];
  for (const [start, length] of [
    [pointer(DT.rela), entries.get(DT.relaSize)],
    [pointer(DT.jmprel), entries.get(DT.pltRelSize)],
  ]) {
    if (start === undefined || length === undefined) continue;
    const bytes = await read(start, Math.min(length, 64 << 20));
    if (!bytes) continue;
    const at = view(bytes);
    for (let i = 0; i + 24 <= bytes.length; i += 24) {
      const type = at.getUint32(i + 8, true);
      if (type !== 6 && type !== 7 && type !== 37) continue;
      slots.push({
        address: u64(at, i) + module.bias,
        type,
        symbol: at.getUint32(i + 12, true),
        addend: Number(at.getBigInt64(i + 16, true)),
      });
    }
  }
  const soname = entries.get(DT.soname);
  return {
    soname: soname === undefined ? undefined : text(soname),
    needed: needed.map(text),
    symbols,
    byName,
    slots,
    debug: entries.get(DT.debug) ?? 0,
  };
}

/** Number of dynamic symbols: from DT_HASH, or by walking the last chain of DT_GNU_HASH. */
async function symbolCount(read: ReadMemory, gnu: number | undefined, sysv: number | undefined): Promise<number> {
  if (sysv !== undefined) {
    const head = await read(sysv, 8);
    if (head) return view(head).getUint32(4, true);
  }
  const head = gnu === undefined ? undefined : await read(gnu, 16);
  if (gnu === undefined || !head) return 0;
  const data = view(head);
  const [buckets, first, bloom] = [data.getUint32(0, true), data.getUint32(4, true), data.getUint32(8, true)];
  if (buckets > SYMBOLS_MAX || bloom > SYMBOLS_MAX) return 0;
  const start = gnu + 16 + bloom * 8;
  const table = await read(start, buckets * 4);
  if (!table) return first;
  let last = 0;
  for (let i = 0; i < buckets; i++) last = Math.max(last, view(table).getUint32(i * 4, true));
  if (last < first) return first;
  for (let at = last; at < SYMBOLS_MAX; at++) {
    const hash = await read(start + buckets * 4 + (at - first) * 4, 4);
    if (!hash || (view(hash).getUint32(0, true) & 1) === 1) return at + 1;
  }
  return 0;
}

async function readVerdef(
  read: ReadMemory,
  address: number,
  count: number,
  text: (offset: number) => string,
  names: Map<number, string>,
): Promise<void> {
  let at = address;
  for (let i = 0; i < Math.min(count, 4096); i++) {
    const entry = await read(at, 20);
    if (!entry) return;
    const data = view(entry);
    const aux = await read(at + data.getUint32(12, true), 8);
    if (aux) names.set(data.getUint16(4, true), text(view(aux).getUint32(0, true)));
    const next = data.getUint32(16, true);
    if (next === 0) return;
    at += next;
  }
}

async function readVerneed(
  read: ReadMemory,
  address: number,
  count: number,
  text: (offset: number) => string,
  names: Map<number, string>,
): Promise<void> {
  let at = address;
  for (let i = 0; i < Math.min(count, 4096); i++) {
    const entry = await read(at, 16);
    if (!entry) return;
    const data = view(entry);
    let aux = at + data.getUint32(8, true);
    for (let j = 0; j < Math.min(data.getUint16(2, true), 4096); j++) {
      const one = await read(aux, 16);
      if (!one) return;
      names.set(view(one).getUint16(6, true), text(view(one).getUint32(8, true)));
      const next = view(one).getUint32(12, true);
      if (next === 0) break;
      aux += next;
    }
    const next = data.getUint32(12, true);
    if (next === 0) return;
    at += next;
  }
}
