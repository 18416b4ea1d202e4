import { type Body, isConstants, isStrings, placesOf } from '../asm/places.ts';
import { KIND, type Scan } from '../asm/scan.ts';
import { codeBias, relocationsIn, relocationTarget, type Target } from '../asm/targets.ts';
import { x86Scanner } from '../asm/x86.ts';
import type { ElfFile, ElfSymbol, Relocation } from '../elf/types.ts';
import { bytesAt, type Home, linkedSymbol } from './home.ts';
import { isGot, R, TLS_DYNAMIC, widthOf } from './x86.ts';

/** Result of a comparison; `at` is the byte offset in the base function of the first difference. */
export type BaselineResult =
  | { readonly same: true }
  | { readonly same: false; readonly at: number; readonly why: string };

/** An address as a signed number: kernels and hypervisors lie at the top of the address space, where unsigned doubles are not exact. */
const exact = (address: bigint): number => Number(BigInt.asIntN(64, address));

const SAME: BaselineResult = { same: true };

/** Indices of the instructions that do something: padding depends on where the linker put the function. */
function substance(scan: Scan): number[] {
  const list: number[] = [];
  for (let i = 0; i < scan.count; i++) if (scan.kind[i] !== KIND.nop) list.push(i);
  return list;
}

/** Position in the list of the first instruction of substance at or after a byte offset; −1 where the offset is outside. */
function positionOf(scan: Scan, list: readonly number[], offset: number): number {
  if (offset < 0 || offset > scan.bytes.length) return -1;
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (scan.start[list[middle]!]! < offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

const isDirect = (kind: number): boolean => kind === KIND.branch || kind === KIND.jump || kind === KIND.call;

/**
 * Compares a function of the rebuilt base object with the same function in the linked file, so that a baseline that is not
 * what runs is found before anything is built on it. Fields that the linker fills are compared by what they point to, where
 * that is known; padding, the length of jumps and the linker's relaxations of table accesses (psABI, "Optimize GOTPCRELX
 * Relocations" and the TLS transitions) do not count.
 */
export function compareToLinked(base: ElfFile, body: Body, home: Home, linked: ElfSymbol): BaselineResult {
  const section = base.sections[body.section];
  const code = section?.data.subarray(body.start, body.start + body.size);
  const running = bytesAt(home.module.elf, linked.value, linked.size + (body.tail ?? 0));
  if (!code || !running || running.length === 0)
    return { same: false, at: 0, why: 'the linked file has no code at the symbol' };
  const comparison = new Comparison(base, body, home, linked, x86Scanner.scan(code), x86Scanner.scan(running));
  return comparison.run();
}

class Comparison {
  readonly #base: ElfFile;
  readonly #body: Body;
  readonly #home: Home;
  readonly #linked: ElfSymbol;
  readonly #a: Scan;
  readonly #b: Scan;
  readonly #listA: number[];
  readonly #listB: number[];
  readonly #relocations: readonly Relocation[];

  constructor(base: ElfFile, body: Body, home: Home, linked: ElfSymbol, a: Scan, b: Scan) {
    this.#base = base;
    this.#body = body;
    this.#home = home;
    this.#linked = linked;
    this.#a = a;
    this.#b = b;
    this.#listA = substance(a);
    this.#listB = substance(b);
    this.#relocations = relocationsIn(base.relocationsOf(body.section), body.start, body.start + body.size);
  }

  run(): BaselineResult {
    const a = this.#a;
    let next = 0;
    let dynamicTls = 0;
    for (let position = 0; position < this.#listA.length; position++) {
      const i = this.#listA[position]!;
      const start = a.start[i]!;
      const end = start + a.size[i]!;
      const j = this.#listB[position];
      if (j === undefined) return this.#differs(start, 'the linked function ends earlier');
      const here: Relocation[] = [];
      while (next < this.#relocations.length && this.#relocations[next]!.offset - this.#body.start < end)
        here.push(this.#relocations[next++]!);
      // A general dynamic access is two instructions, and the linker may turn both into others of the same length.
      if (here.some((one) => TLS_DYNAMIC.has(one.type))) dynamicTls = 2;
      if (dynamicTls > 0) {
        dynamicTls--;
        continue;
      }
      const why = here.length > 0 ? this.#relocated(i, j, here) : this.#plain(i, j);
      if (why) return this.#differs(start, why);
    }
    return this.#listB.length === this.#listA.length
      ? SAME
      : this.#differs(this.#body.size, 'the linked function goes on longer');
  }

  #differs(at: number, why: string): BaselineResult {
    return { same: false, at, why };
  }

  /** Instructions without a relocation in the object. */
  #plain(i: number, j: number): string | undefined {
    const [a, b] = [this.#a, this.#b];
    if (!x86Scanner.sameShape(a, i, b, j)) return 'another instruction';
    if (a.relSize[i]! === 0) return undefined;
    const from = positionOf(a, this.#listA, a.target[i]!);
    const to = positionOf(b, this.#listB, b.target[j]!);
    if (from >= 0 && from !== to) return isDirect(a.kind[i]!) ? 'a jump to another place' : 'another address';
    return undefined;
  }

  #relocated(i: number, j: number, relocations: readonly Relocation[]): string | undefined {
    const [a, b] = [this.#a, this.#b];
    if (isDirect(a.kind[i]!)) {
      if (a.kind[i] !== b.kind[j]) return 'a call or jump of another kind';
      if (a.kind[i] === KIND.branch && !x86Scanner.sameShape(a, i, b, j)) return 'another condition';
      return this.#target(relocations[0]!, exact(this.#linked.value) + b.target[j]!);
    }
    if (relocations.some((one) => isGot(one.type) || one.type === R.gottpoff)) {
      const bytes = b.bytes.subarray(b.start[j]!, b.start[j]! + b.size[j]!);
      // The forms that the linker may choose; `jmp *slot` becomes a jump and a nop.
      if (b.size[j] === a.size[i] || bytes[0] === 0xe9) return undefined;
      return 'another instruction';
    }
    if (a.size[i] !== b.size[j]) return 'another instruction';
    const masked = new Set<number>();
    for (const one of relocations)
      for (let k = 0; k < widthOf(one.type); k++) masked.add(one.offset - this.#body.start - a.start[i]! + k);
    for (let k = 0; k < a.size[i]!; k++)
      if (!masked.has(k) && a.bytes[a.start[i]! + k] !== b.bytes[b.start[j]! + k]) return 'another instruction';
    for (const one of relocations) {
      const why = this.#field(one, i, j);
      if (why) return why;
    }
    return undefined;
  }

  /** What a field of a memory operand or an immediate points to. */
  #field(one: Relocation, i: number, j: number): string | undefined {
    const b = this.#b;
    const at = b.start[j]! + (one.offset - this.#body.start - this.#a.start[i]!);
    const view = new DataView(b.bytes.buffer, b.bytes.byteOffset, b.bytes.byteLength);
    if (at + widthOf(one.type) > b.bytes.length) return undefined;
    if (one.type === R.pc32 || one.type === R.plt32)
      return this.#target(one, exact(this.#linked.value) + b.start[j]! + b.size[j]! + view.getInt32(at, true));
    if (one.type === R.abs32) return this.#target(one, view.getUint32(at, true));
    if (one.type === R.abs32s) return this.#target(one, view.getInt32(at, true));
    return undefined;
  }

  /** Undefined where the linked address is what the relocation means, or where that cannot be told. */
  #target(one: Relocation, address: number): string | undefined {
    const bias = codeBias(62, this.#a, one.offset - this.#body.start, one.type);
    const target = relocationTarget(placesOf(this.#base), one, bias);
    if (target.section < 0) return this.#external(target, address);
    const section = this.#base.sections[target.section];
    if (section && (isStrings(section) || isConstants(section))) {
      return this.#constant(section.data, isStrings(section) ? 0 : section.entrySize, target.offset, address);
    }
    const symbol = target.symbol;
    if (!symbol) return undefined;
    const linked = linkedSymbol(this.#home, symbol);
    // Into its own body, or into a part without a symbol of its own: the lengths of jumps before the place may differ.
    if (!linked || (linked.type === 'func' && target.delta !== 0)) return undefined;
    // Locals cannot be replaced by the linker or at run time; globals may go through a stub.
    if (exact(linked.value) + target.delta === address) return undefined;
    return symbol.bind === 'local' ? `${symbol.name} is meant, and the linked code uses another place` : undefined;
  }

  #external(target: Target, address: number): string | undefined {
    const linked = target.symbol && linkedSymbol(this.#home, target.symbol);
    if (linked?.type !== 'func' || typeof linked.place !== 'number') return undefined;
    // Another function of the same file: a stub is the only other way to get there.
    if (exact(linked.value) + target.delta === address) return undefined;
    const stub = this.#home.module.elf.sections.some(
      (section) =>
        section.name.startsWith('.plt') &&
        exact(section.address) <= address &&
        address < exact(section.address) + section.size,
    );
    return stub ? undefined : `${target.symbol!.name} is meant, and the linked code uses another place`;
  }

  #constant(data: Uint8Array, entrySize: number, offset: number, address: number): string | undefined {
    if (offset < 0 || offset >= data.length) return undefined;
    let end = offset + Math.max(1, entrySize);
    if (entrySize === 0) {
      end = data.indexOf(0, offset) + 1;
      if (end === 0) end = data.length;
    }
    const linked = bytesAt(this.#home.module.elf, BigInt.asUintN(64, BigInt(address)), end - offset);
    if (!linked) return 'a constant that the linked file has not';
    for (let k = offset; k < end; k++)
      if (data[k] !== linked[k - offset]) return entrySize === 0 ? 'another string' : 'another constant';
    return undefined;
  }
}
