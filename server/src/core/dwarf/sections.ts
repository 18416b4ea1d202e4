import * as c from '../elf/constants.ts';
import type { ElfFile, Section } from '../elf/types.ts';
import type { ProblemLog } from './problems.ts';

/** A place in a section of the object: section index and byte offset. */
export interface Place {
  readonly section: number;
  readonly offset: number;
}

const EMPTY = new Uint8Array(0);

/** The contents of a debug section with its relocations applied, and where each relocated field points. */
export class DebugSection {
  readonly index: number;
  readonly name: string;
  readonly data: Uint8Array;
  readonly view: DataView;
  /** Sorted offsets of the relocated fields, and the sections that their symbols live in (-1 = none). */
  readonly #offsets: Float64Array;
  readonly #targets: Int32Array;

  constructor(index: number, name: string, data: Uint8Array, offsets: Float64Array, targets: Int32Array) {
    this.index = index;
    this.name = name;
    this.data = data;
    this.view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    this.#offsets = offsets;
    this.#targets = targets;
  }

  /** True where a relocation applies to the field at this offset. */
  isRelocated(offset: number): boolean {
    return this.#find(offset) >= 0;
  }

  /** Index of the section that the relocated field at this offset points into; undefined without relocation or section. */
  targetSection(offset: number): number | undefined {
    const i = this.#find(offset);
    if (i < 0) return undefined;
    const target = this.#targets[i]!;
    return target < 0 ? undefined : target;
  }

  #find(offset: number): number {
    const offsets = this.#offsets;
    let low = 0;
    let high = offsets.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const value = offsets[middle]!;
      if (value === offset) return middle;
      if (value < offset) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }
}

const NO_OFFSETS = new Float64Array(0);
const NO_TARGETS = new Int32Array(0);

/** The debug sections of one file by name (without the leading dot), read at the first use. */
export class DebugSections {
  readonly elf: ElfFile;
  readonly #log: ProblemLog;
  readonly #cache = new Map<number, DebugSection>();
  /** Sections of a crafted file may overlap: those that stand in the file as they are, and their relocations, fit into it. */
  #budget: number;
  #relocationBudget: number;

  constructor(elf: ElfFile, log: ProblemLog) {
    this.elf = elf;
    this.#log = log;
    this.#budget = elf.bytes.length;
    this.#relocationBudget = elf.bytes.length;
  }

  /** The first section of that name, or an empty one. */
  get(name: string): DebugSection {
    const [section] = this.#named(name);
    return section ? this.#load(section) : new DebugSection(-1, name, EMPTY, NO_OFFSETS, NO_TARGETS);
  }

  /** All sections of that name: type units make one .debug_info or .debug_types each. */
  all(name: string): DebugSection[] {
    return this.#named(name).map((section) => this.#load(section));
  }

  has(name: string): boolean {
    return this.#named(name).some((section) => section.size > 0 && section.type !== c.SHT_NOBITS);
  }

  #named(name: string): readonly Section[] {
    const list = this.elf.sectionsNamed(`.${name}`);
    return list.length > 0 ? list : this.elf.sectionsNamed(`.z${name}`);
  }

  #load(section: Section): DebugSection {
    let loaded = this.#cache.get(section.index);
    if (!loaded) {
      // What was decompressed is counted where that is done.
      if (section.data.buffer === this.elf.bytes.buffer) this.#budget -= section.data.length;
      if (this.#budget < 0) {
        this.#log.add('dwarf', 'The debug sections overlap; some were not read.');
        loaded = new DebugSection(section.index, section.name, EMPTY, NO_OFFSETS, NO_TARGETS);
      } else loaded = this.#relocate(section);
      this.#cache.set(section.index, loaded);
    }
    return loaded;
  }

  /** Applies the section's relocations to a copy; the addend form (SHT_RELA) is what x86-64 and AArch64 use. */
  #relocate(section: Section): DebugSection {
    const { elf } = this;
    const tables = elf.kind === 'rel' ? elf.relocationTablesOf(section.index) : [];
    let count = 0;
    for (const table of tables) if (table.type === c.SHT_RELA) count += Math.floor(table.data.length / 24);
    this.#relocationBudget -= count * 24;
    if (count === 0 || this.#relocationBudget < 0) {
      if (count > 0) this.#log.add('dwarf.rela', `The relocation tables of ${section.name} overlap.`);
      return new DebugSection(section.index, section.name, section.data, NO_OFFSETS, NO_TARGETS);
    }
    const data = new Uint8Array(section.data);
    const view = new DataView(data.buffer);
    const { symbols } = elf;
    const offsets = new Float64Array(count);
    const targets = new Int32Array(count);
    let used = 0;
    let sorted = true;
    let bad = 0;
    for (const table of tables) {
      if (table.type !== c.SHT_RELA) continue;
      const bytes = table.data;
      const from = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      for (let at = 0; at + 24 <= bytes.length; at += 24) {
        const offset = from.getUint32(at + 4, true) * 0x1_0000_0000 + from.getUint32(at, true);
        const width = absoluteWidth(elf.machine, from.getUint32(at + 8, true));
        const symbol = symbols[from.getUint32(at + 12, true)];
        if (width < 0 || !symbol || offset + width > data.length) {
          bad++;
          continue;
        }
        if (width === 0) continue;
        const addend = from.getInt32(at + 20, true) * 0x1_0000_0000 + from.getUint32(at + 16, true);
        const value = symbol.offset + addend;
        view.setUint32(offset, value >>> 0, true);
        if (width === 8) view.setUint32(offset + 4, Math.floor(value / 0x1_0000_0000) >>> 0, true);
        if (used > 0 && offset <= offsets[used - 1]!) sorted = false;
        offsets[used] = offset;
        targets[used++] = typeof symbol.place === 'number' ? symbol.place : -1;
      }
    }
    if (bad > 0) this.#log.add('dwarf.rela', `${bad} relocations of ${section.name} could not be applied.`);
    if (!sorted) return sortedSection(section, data, offsets.subarray(0, used), targets.subarray(0, used));
    return new DebugSection(section.index, section.name, data, offsets.subarray(0, used), targets.subarray(0, used));
  }
}

function sortedSection(section: Section, data: Uint8Array, offsets: Float64Array, targets: Int32Array): DebugSection {
  const order = Array.from(offsets.keys()).sort((a, b) => offsets[a]! - offsets[b]!);
  return new DebugSection(
    section.index,
    section.name,
    data,
    Float64Array.from(order, (i) => offsets[i]!),
    Int32Array.from(order, (i) => targets[i]!),
  );
}

/** Bytes that an absolute relocation (S + A) of a debug section writes; 0 = nothing to do, -1 = not known here. */
function absoluteWidth(machine: number, type: number): number {
  if (machine === c.EM_AARCH64)
    return type === c.R_AARCH64_ABS64 ? 8 : type === c.R_AARCH64_ABS32 ? 4 : type === 0 ? 0 : -1;
  switch (type) {
    case c.R_X86_64_NONE:
      return 0;
    case c.R_X86_64_64:
    case c.R_X86_64_DTPOFF64:
      return 8;
    case c.R_X86_64_32:
    case c.R_X86_64_32S:
    case c.R_X86_64_DTPOFF32:
      return 4;
    default:
      return -1;
  }
}
