import { instructionAt, KIND, type Scan } from '../asm/scan.ts';
import { x86Scanner } from '../asm/x86.ts';
import { FAR_ROOM, farAccess } from './far.ts';
import type { PayloadSection, ProcessPayload } from './read.ts';
import { isGot, R } from './x86.ts';

/** Page size of x86-64, bytes. */
export const PAGE = 4096;
const SLOT = 8;
const STUB = 8;

/** A part of the patch's memory with one protection. Offsets from the start of the area, page aligned. */
export interface AreaPart {
  readonly name: 'header' | 'code' | 'constants' | 'data';
  readonly offset: number;
  /** Bytes, a multiple of the page size. */
  readonly size: number;
}

/** Where everything of a payload goes in its area. Independent of the address. */
export interface AreaLayout {
  readonly size: number;
  readonly parts: readonly AreaPart[];
  /** Section index → offset in the area. */
  readonly sections: ReadonlyMap<number, number>;
  /** Symbol index → offset of an 8-byte slot that holds its address (or its offset from the thread pointer: key −index). */
  readonly slots: ReadonlyMap<number, number>;
  /** Symbol index → offset of a jump through its slot, for calls that may be out of reach. */
  readonly stubs: ReadonlyMap<number, number>;
  /** `section:offset` of a relocation → room for an access that may be out of reach. */
  readonly loads: ReadonlyMap<string, number>;
}

/** What a name of the running program stands for. */
export type Resolved = { readonly address: number } | { readonly threadOffset: number };

/** Why a payload cannot be linked at an address. */
export interface LinkProblem {
  readonly reason: 'symbol-unresolved' | 'too-far' | 'forbidden-relocation';
  readonly symbol: string;
  readonly message: string;
}

/** Contents of the area without its header. */
export interface LinkedArea {
  readonly bytes: Uint8Array;
  /** Address of each defined symbol, by index. */
  readonly addressOf: (symbol: number) => number | undefined;
  readonly problems: readonly LinkProblem[];
}

const roundUp = (value: number, to: number): number => Math.ceil(value / to) * to;
const isFlow = (kind: number): boolean => kind === KIND.call || kind === KIND.jump || kind === KIND.branch;

const scans = new WeakMap<PayloadSection, Scan>();

function scanOf(section: PayloadSection): Scan | undefined {
  if ((section.section.flags & 4) === 0) return undefined;
  let scan = scans.get(section);
  if (!scan) {
    scan = x86Scanner.scan(section.section.data);
    scans.set(section, scan);
  }
  return scan;
}

/** True where the relocation is the target of a direct call or jump. */
function isBranch(section: PayloadSection, offset: number): boolean {
  const scan = scanOf(section);
  const index = scan ? instructionAt(scan, offset) : -1;
  return index >= 0 && isFlow(scan!.kind[index]!);
}

/**
 * Lays a payload out: header, code, constants, data, each on pages of its own so that each has its own protection. Room is
 * kept for everything that may turn out to be needed once the addresses are known.
 */
export function layOutArea(payload: ProcessPayload, headerSize: number): AreaLayout {
  const sections = new Map<number, number>();
  const slots = new Map<number, number>();
  const stubs = new Map<number, number>();
  const loads = new Map<string, number>();
  const parts: AreaPart[] = [];
  let end = 0;
  const part = (name: AreaPart['name'], fill: () => void): void => {
    const offset = end;
    fill();
    const size = roundUp(end - offset, PAGE);
    end = offset + size;
    if (size > 0) parts.push({ name, offset, size });
  };
  const place = (wanted: (flags: number) => boolean): void => {
    for (const { section } of payload.sections) {
      if (!wanted(section.flags)) continue;
      end = roundUp(end, Math.max(1, section.align));
      sections.set(section.index, end);
      end += section.size;
    }
  };
  const imported = (symbol: number): boolean => payload.elf.symbols[symbol]?.place === 'undef';
  part('header', () => {
    end += headerSize;
  });
  part('code', () => {
    place((flags) => (flags & 4) !== 0);
    for (const one of payload.sections) {
      for (const { type, symbol, offset } of one.relocations) {
        if ((type !== R.pc32 && type !== R.plt32) || !imported(symbol)) continue;
        if (type === R.plt32 || isBranch(one, offset)) {
          if (stubs.has(symbol)) continue;
          end = roundUp(end, STUB);
          stubs.set(symbol, end);
          end += STUB;
        } else if ((one.section.flags & 4) !== 0) {
          end = roundUp(end, STUB);
          loads.set(`${one.section.index}:${offset}`, end);
          end += FAR_ROOM;
        }
      }
    }
  });
  part('constants', () => {
    end = roundUp(end, SLOT);
    for (const one of payload.sections) {
      for (const { type, symbol } of one.relocations) {
        const key = type === R.gottpoff ? -symbol : symbol;
        const far = (type === R.pc32 || type === R.plt32) && imported(symbol);
        if ((!isGot(type) && type !== R.gottpoff && !far) || slots.has(key)) continue;
        slots.set(key, end);
        end += SLOT;
      }
    }
    place((flags) => (flags & 5) === 0);
  });
  part('data', () => place((flags) => (flags & 5) === 1));
  return { size: end, parts, sections, slots, stubs, loads };
}

/**
 * Links a payload for an address: everything that a dynamic linker would do, done before the program is stopped.
 * Addresses are numbers, exact below 2^53.
 */
export function linkArea(
  payload: ProcessPayload,
  layout: AreaLayout,
  base: number,
  resolve: (name: string) => Resolved | undefined,
): LinkedArea {
  return new Linker(payload, layout, base, resolve).run();
}

class Linker {
  readonly #payload: ProcessPayload;
  readonly #layout: AreaLayout;
  readonly #base: number;
  readonly #resolve: (name: string) => Resolved | undefined;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #problems: LinkProblem[] = [];
  readonly #known = new Map<number, Resolved | undefined>();
  /** Far accesses: each copies its instruction, so that the other relocations of it have to be written before. */
  readonly #late: (() => void)[] = [];

  constructor(
    payload: ProcessPayload,
    layout: AreaLayout,
    base: number,
    resolve: (name: string) => Resolved | undefined,
  ) {
    this.#payload = payload;
    this.#layout = layout;
    this.#base = base;
    this.#resolve = resolve;
    this.#bytes = new Uint8Array(layout.size);
    this.#view = new DataView(this.#bytes.buffer);
  }

  run(): LinkedArea {
    for (const part of this.#layout.parts)
      if (part.name === 'code') this.#bytes.fill(0xcc, part.offset, part.offset + part.size);
    for (const { section } of this.#payload.sections)
      if (section.type !== 8) this.#bytes.set(section.data, this.#layout.sections.get(section.index)!);
    for (const [key, offset] of this.#layout.slots) this.#slot(key, offset);
    for (const [symbol, offset] of this.#layout.stubs) {
      // jmp *slot(%rip)
      this.#bytes.set([0xff, 0x25], offset);
      this.#view.setInt32(offset + 2, this.#layout.slots.get(symbol)! - (offset + 6), true);
    }
    for (const section of this.#payload.sections)
      for (const relocation of section.relocations) this.#relocate(section, relocation);
    for (const access of this.#late) access();
    return {
      bytes: this.#bytes,
      problems: this.#problems,
      addressOf: (symbol) => {
        const one = this.#symbol(symbol);
        return one && 'address' in one ? one.address : undefined;
      },
    };
  }

  #problem(reason: LinkProblem['reason'], symbol: string, message: string): void {
    if (!this.#problems.some((one) => one.reason === reason && one.symbol === symbol))
      this.#problems.push({ reason, symbol, message });
  }

  #symbol(index: number): Resolved | undefined {
    if (this.#known.has(index)) return this.#known.get(index);
    const symbol = this.#payload.elf.symbols[index]!;
    let found: Resolved | undefined;
    if (typeof symbol.place === 'number') {
      const offset = this.#layout.sections.get(symbol.place);
      if (offset !== undefined) found = { address: this.#base + offset + Number(symbol.value) };
    } else {
      found = this.#resolve(symbol.name);
      if (!found && symbol.bind === 'weak') found = { address: 0 };
      if (!found)
        this.#problem(
          'symbol-unresolved',
          symbol.name,
          `The new code uses ${symbol.name}, which the process does not have.`,
        );
    }
    this.#known.set(index, found);
    return found;
  }

  #slot(key: number, offset: number): void {
    const found = this.#symbol(Math.abs(key));
    if (!found) return;
    if (key < 0 !== 'threadOffset' in found) this.#kind(Math.abs(key));
    else this.#view.setBigInt64(offset, BigInt('address' in found ? found.address : found.threadOffset), true);
  }

  #kind(symbol: number): void {
    const { name } = this.#payload.elf.symbols[symbol]!;
    this.#problem(
      'forbidden-relocation',
      name,
      `${name} is thread-local on one side and not on the other; it cannot be linked.`,
    );
  }

  #relocate(section: PayloadSection, relocation: PayloadSection['relocations'][number]): void {
    const { type, symbol, addend } = relocation;
    const start = this.#layout.sections.get(section.section.index)!;
    const at = start + relocation.offset;
    const place = this.#base + at;
    const found = this.#symbol(symbol);
    if (!found) return;
    if (isGot(type) || type === R.gottpoff) {
      const slot = this.#layout.slots.get(type === R.gottpoff ? -symbol : symbol)!;
      this.#view.setInt32(at, slot + addend - at, true);
      return;
    }
    if ('threadOffset' in found) {
      if (type !== R.tpoff32) this.#kind(symbol);
      else this.#view.setInt32(at, found.threadOffset + addend, true);
      return;
    }
    const value = found.address + addend;
    switch (type) {
      case R.abs64:
        this.#view.setBigInt64(at, BigInt(value), true);
        return;
      case R.pc64:
        this.#view.setBigInt64(at, BigInt(value - place), true);
        return;
      case R.abs32:
        if (value < 0 || value > 0xffffffff) this.#far(symbol);
        else this.#view.setUint32(at, value, true);
        return;
      case R.abs32s:
        if (value < -0x80000000 || value > 0x7fffffff) this.#far(symbol);
        else this.#view.setInt32(at, value, true);
        return;
      case R.tpoff32:
        this.#kind(symbol);
        return;
      default:
        this.#relative(section, relocation, at, value - place);
    }
  }

  #relative(
    section: PayloadSection,
    relocation: PayloadSection['relocations'][number],
    at: number,
    distance: number,
  ): void {
    if (distance >= -0x80000000 && distance <= 0x7fffffff) {
      this.#view.setInt32(at, distance, true);
      return;
    }
    const stub = this.#layout.stubs.get(relocation.symbol);
    const branch = relocation.type === R.plt32 || isBranch(section, relocation.offset);
    if (branch && stub !== undefined && relocation.addend === -4) {
      this.#view.setInt32(at, stub - 4 - at, true);
      return;
    }
    const room = this.#layout.loads.get(`${section.section.index}:${relocation.offset}`);
    if (room === undefined) this.#far(relocation.symbol);
    else
      this.#late.push(() => {
        if (!this.#farAccess(section, relocation, at, room)) this.#far(relocation.symbol);
      });
  }

  /**
   * Reaches data more than 2 GiB away (an imported variable that the program did not use before): an address computation
   * becomes a load from the slot, other instructions a jump to code that goes through the slot.
   */
  #farAccess(
    section: PayloadSection,
    relocation: PayloadSection['relocations'][number],
    at: number,
    room: number,
  ): boolean {
    const slot = this.#layout.slots.get(relocation.symbol);
    const scan = scanOf(section);
    const index = scan ? instructionAt(scan, relocation.offset) : -1;
    if (slot === undefined || index < 0) return false;
    const field = relocation.offset - scan!.start[index]!;
    const start = at - field;
    const code = this.#bytes.slice(start, start + scan!.size[index]!);
    if (field === 3 && (code[0]! & 0xf8) === 0x48 && code[1] === 0x8d && relocation.addend === -4) {
      this.#bytes[start + 1] = 0x8b;
      this.#view.setInt32(at, slot - 4 - at, true);
      return true;
    }
    const distance = relocation.addend + code.length - field;
    const made = farAccess(code, field, distance, { at: start, room, slot });
    if (!made) return false;
    this.#bytes.set(made.instruction, start);
    this.#bytes.set(made.code, room);
    return true;
  }

  #far(symbol: number): void {
    const { name } = this.#payload.elf.symbols[symbol]!;
    this.#problem(
      'too-far',
      name,
      `${name} is too far away for the way in which the new code uses it. Build the unit with -fPIC, or use it through a pointer.`,
    );
  }
}
