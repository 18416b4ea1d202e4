import { placesOf } from '../asm/places.ts';
import { KIND, RELOCATED } from '../asm/scan.ts';
import { scanOf } from '../asm/scans.ts';
import type { ElfSymbol, Relocation, Section } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';

const SHF_ALLOC = 2;
const SHF_EXECINSTR = 4;
const EM_X86_64 = 62;
const EM_AARCH64 = 183;

/** Sections whose references to functions are bookkeeping about the code, not uses of its address. */
const bookkeeping =
  /^\.(eh_frame|orc_unwind|discard|altinstructions|bug_frames|ex_table|static_call_sites|retpoline_sites|return_sites|call_sites|ibt_endbr_seal)|^__(mcount_loc|patchable_function_entries|ex_table|bug_table|jump_table)/;

/** A section whose references to functions and objects are bookkeeping about the code. */
export const isBookkeeping = (section: string): boolean => bookkeeping.test(section);

/** One place in code or data that refers to a function or object of the same or another unit. */
export interface Reference {
  /** Function symbol that contains the place; undefined in data. */
  readonly from: ElfSymbol | undefined;
  readonly section: Section;
  /** Byte offset in `section`. */
  readonly offset: number;
  /** The symbol that is meant: section symbols are resolved to the function or object at that place. */
  readonly target: ElfSymbol;
  /** Direct call or jump; false where the address is loaded or stored. */
  readonly call: boolean;
  /** The place is behind the target's start: in a function a label, which is no address of the function. */
  readonly inside: boolean;
}

/** What is kept of an object: the references by section, and all of them once somebody asked for all. */
interface Known {
  readonly functions: SymbolMap;
  readonly named: SymbolMap;
  readonly sections: Map<number, readonly Reference[]>;
  all?: readonly Reference[];
}

const cache = new WeakMap<ObjectModel, Known>();

function knownOf(object: ObjectModel): Known {
  let known = cache.get(object);
  if (!known) {
    const { symbols } = object.elf;
    known = {
      functions: new SymbolMap(symbols, isFunction),
      named: new SymbolMap(symbols, isNamed),
      sections: new Map(),
    };
    cache.set(object, known);
  }
  return known;
}

/**
 * All references of an object's allocated sections to named symbols: by relocation, and direct calls inside one section, which carry none.
 * In section order, then by offset. Computed once per object.
 */
export function referencesOf(object: ObjectModel): readonly Reference[] {
  const known = knownOf(object);
  known.all ??= object.elf.sections.flatMap((section) => referencesIn(object, section));
  return known.all;
}

/** Those of `referencesOf` that stand in some functions, in the same order. Only their sections are looked at. */
export function referencesFrom(object: ObjectModel, functions: readonly ElfSymbol[]): Reference[] {
  const wanted = new Set(functions.map(({ index }) => index));
  const places = new Set(functions.flatMap(({ place }) => (typeof place === 'number' ? [place] : [])));
  return [...places]
    .sort((a, b) => a - b)
    .flatMap((place) => {
      const section = object.elf.sections[place];
      return section ? referencesIn(object, section).filter(({ from }) => from && wanted.has(from.index)) : [];
    });
}

function referencesIn(object: ObjectModel, section: Section): readonly Reference[] {
  const known = knownOf(object);
  let list = known.sections.get(section.index);
  if (!list) {
    list = (section.flags & SHF_ALLOC) === 0 ? [] : collect(object, section, known);
    known.sections.set(section.index, list);
  }
  return list;
}

/** Function symbols by `section:offset` of their first byte; a global name is preferred to a local alias. */
export function functionSymbols(object: ObjectModel): Map<string, string> {
  const map = new Map<string, string>();
  for (const symbol of object.elf.symbols) {
    if (symbol.type !== 'func' && symbol.type !== 'ifunc') continue;
    if (typeof symbol.place !== 'number') continue;
    const key = `${symbol.place}:${symbol.offset}`;
    if (!map.has(key) || symbol.bind === 'global') map.set(key, symbol.name);
  }
  return map;
}

/** Names of functions whose address is loaded, stored or kept in data (not merely called). Bookkeeping sections do not count. */
export function addressTaken(object: ObjectModel): ReadonlySet<string> {
  const names = new Set<string>();
  for (const { target, call, section } of referencesOf(object)) {
    if (!call && !isBookkeeping(section.name)) names.add(target.name);
  }
  return names;
}

/** Names of the functions of this object that call or jump to `name`, itself not counted; sorted by place. */
export function callersOf(object: ObjectModel, name: string): string[] {
  const callers = new Set<string>();
  for (const { from, target, call } of referencesOf(object)) {
    if (call && from && target.name === name && from.name !== name) callers.add(from.name);
  }
  return [...callers];
}

/** Finds the symbol that covers a place, among symbols sorted by offset. */
class SymbolMap {
  private readonly sections = new Map<number, ElfSymbol[]>();

  constructor(symbols: readonly ElfSymbol[], wanted: (symbol: ElfSymbol) => boolean) {
    for (const symbol of symbols) {
      if (typeof symbol.place !== 'number' || !wanted(symbol)) continue;
      const list = this.sections.get(symbol.place);
      if (list) list.push(symbol);
      else this.sections.set(symbol.place, [symbol]);
    }
    for (const list of this.sections.values()) list.sort((a, b) => a.offset - b.offset || b.size - a.size);
  }

  at(section: number, offset: number): ElfSymbol | undefined {
    const list = this.sections.get(section);
    if (!list) return undefined;
    let low = 0;
    let high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (list[middle]!.offset <= offset) low = middle + 1;
      else high = middle;
    }
    for (let i = low - 1; i >= 0 && i >= low - 8; i--) {
      const symbol = list[i]!;
      if (offset < symbol.offset + Math.max(symbol.size, 1)) return symbol;
    }
    return undefined;
  }

  count(section: number): number {
    return this.sections.get(section)?.length ?? 0;
  }
}

const isFunction = (symbol: ElfSymbol): boolean => symbol.type === 'func' || symbol.type === 'ifunc';
const isNamed = (symbol: ElfSymbol): boolean =>
  isFunction(symbol) || symbol.type === 'object' || symbol.type === 'tls' || symbol.type === 'common';

function collect(object: ObjectModel, section: Section, { functions, named }: Known): Reference[] {
  const { elf } = object;
  const list: Reference[] = [];
  const code = (section.flags & SHF_EXECINSTR) !== 0;
  for (const relocation of elf.relocationsOf(section.index)) {
    const symbol = elf.symbols[relocation.symbol];
    if (!symbol) continue;
    const call = code && isCall(elf.machine, section, relocation);
    const at = symbol.type === 'section' ? placeOf(symbol, relocation, code ? section : undefined, elf.machine) : -1;
    const target = symbol.type === 'section' ? named.at(symbol.place as number, at) : symbol;
    if (!target || target.name === '') continue;
    list.push({
      from: code ? functions.at(section.index, relocation.offset) : undefined,
      section,
      offset: relocation.offset,
      target,
      call,
      inside: at > target.offset,
    });
  }
  if (code && functions.count(section.index) > 1) directCalls(object, section, functions, list);
  return list;
}

/** Calls and jumps from one function of a section to another, resolved by the assembler. */
function directCalls({ elf }: ObjectModel, section: Section, functions: SymbolMap, list: Reference[]): void {
  for (const body of placesOf(elf).bodiesIn(section.index)) {
    const scan = scanOf(elf, body)?.scan;
    for (let i = 0; scan && i < scan.count; i++) {
      const kind = scan.kind[i]!;
      const to = scan.target[i]!;
      if (scan.relSize[i] === 0 || to === RELOCATED || (to >= 0 && to < body.size)) continue;
      if (kind !== KIND.call && kind !== KIND.jump && kind !== KIND.branch) continue;
      const offset = body.start + scan.start[i]!;
      const from = functions.at(section.index, offset);
      const target = functions.at(section.index, body.start + to);
      if (!from || !target || from === target) continue;
      list.push({ from, section, offset, target, call: true, inside: target.offset !== body.start + to });
    }
  }
}

/** True where the relocated field is the operand of a direct call, jump or branch. */
function isCall(machine: number, section: Section, relocation: Relocation): boolean {
  if (machine === EM_AARCH64) return relocation.type === 282 || relocation.type === 283;
  if (machine !== EM_X86_64) return false;
  const before = section.data[relocation.offset - 1] ?? 0;
  if (before === 0xe8 || before === 0xe9) return relocation.type === 2 || relocation.type === 4;
  return (
    section.data[relocation.offset - 2] === 0x0f &&
    (before & 0xf0) === 0x80 &&
    (relocation.type === 2 || relocation.type === 4)
  );
}

/** The place in its section that a relocation against the section's symbol means. */
function placeOf(symbol: ElfSymbol, relocation: Relocation, code: Section | undefined, machine: number): number {
  // PC-relative fields of x86 count from the end of the instruction: their own size, and that of an immediate behind them.
  const relative = code && machine === EM_X86_64 && (relocation.type === 2 || relocation.type === 4);
  const bias = relative ? 4 + immediateBehind(code.data, relocation.offset) : 0;
  return symbol.offset + relocation.addend + bias;
}

/**
 * Size of the immediate that follows an x86 instruction's RIP-relative displacement, told from the opcode in front of it (Intel SDM 2,
 * tables ): without decoding the whole section.
 */
function immediateBehind(code: Uint8Array, displacement: number): number {
  const modrm = code[displacement - 1] ?? 0;
  if ((modrm & 0xc7) !== 0x05) return 0;
  const opcode = code[displacement - 2] ?? 0;
  const before = code[displacement - 3] ?? 0;
  const extension = (modrm >> 3) & 7;
  if (before === 0x3a && code[displacement - 4] === 0x0f) return 1;
  if (before === 0x0f)
    return [0x70, 0x71, 0x72, 0x73, 0xa4, 0xac, 0xba, 0xc2, 0xc4, 0xc5, 0xc6].includes(opcode) ? 1 : 0;
  // An operand-size prefix, directly or in front of REX, makes a long immediate short.
  const rex = (before & 0xf0) === 0x40;
  const wide = before === 0x66 || (rex && code[displacement - 4] === 0x66) ? 2 : 4;
  switch (opcode) {
    case 0x80:
    case 0x83:
    case 0x6b:
    case 0xc0:
    case 0xc1:
    case 0xc6:
      return 1;
    case 0x81:
    case 0x69:
    case 0xc7:
      return wide;
    case 0xf6:
      return extension < 2 ? 1 : 0;
    case 0xf7:
      return extension < 2 ? wide : 0;
    default:
      return 0;
  }
}
