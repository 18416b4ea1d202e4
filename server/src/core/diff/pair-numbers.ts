import { isConstants, isNamelessConstant, isStrings, mergeableSize, placesOf } from '../asm/places.ts';
import { relocationsIn, relocationTarget } from '../asm/targets.ts';
import type { DwarfFunction, DwarfVariable } from '../dwarf/types.ts';
import type { ElfFile, ElfSymbol } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import { lineField, withoutBits } from '../special/index.ts';

/** What is needed of the pairing so far, and how to add to it. */
export interface OpenPairing {
  readonly forward: ReadonlyMap<number, number>;
  readonly backward: ReadonlyMap<number, number>;
  readonly pair: (base: ElfSymbol, next: ElfSymbol) => void;
  /** Kind of thing a symbol stands for, source file included: only like is paired with like. */
  readonly kindOf: (elf: ElfFile, symbol: ElfSymbol) => string;
}

/** More symbols without a partner than this are no renumbering. */
const MAX_LEFT = 4000;

/** Bytes of a string that are looked at. */
const MAX_LITERAL = 256;

/** Symbols of both sides that differ in digits only. */
interface Group {
  readonly base: ElfSymbol[];
  readonly next: ElfSymbol[];
  /** Variables that change while the program runs: their first value says little. */
  readonly mutable: boolean;
}

/**
 * Pairs local symbols whose names macros make of `__LINE__` or `__COUNTER__`: an edit above renumbers them all, and none of them is new.
 * Names count as one where they differ in digits only. Then decides, in this order: what the symbol stands for (bytes and references),
 * first where it is unique; the order of the lines, where the names hold the line of their own declaration and there are as many on
 * each side; the name. Variables that change while the program runs need the line: equal first values prove nothing.
 */
export function pairRenumbered(base: ObjectModel, next: ObjectModel, pairing: OpenPairing): void {
  const groups = new Map<string, Group>();
  const left = collect(groups, 'base', base, pairing.forward, pairing);
  const right = collect(groups, 'next', next, pairing.backward, pairing);
  if (left > MAX_LEFT || right > MAX_LEFT) return;
  const both = [...groups.values()].filter((group) => group.base.length > 0 && group.next.length > 0);
  if (both.length === 0) return;
  const lines = { base: linesInNames(base), next: linesInNames(next) };
  const byContents = (most: number) => {
    // Things that point to each other tell each other apart, one after the other.
    for (let before = -1; before !== pairing.forward.size; ) {
      before = pairing.forward.size;
      for (const group of both) pairContents(base, next, group, lines, pairing, most);
    }
  };
  byContents(1);
  for (const group of both) if (group.mutable) pairLines(group, lines, pairing);
  byContents(1);
  byContents(MAX_LEFT);
  for (const group of both) pairLines(group, lines, pairing);
  byContents(MAX_LEFT);
  for (const group of both) pairNames(group, pairing);
}

const stem = (name: string): string => name.replace(/\d+/g, '#');

/** Adds the symbols of one side that may have been renumbered. @returns how many */
function collect(
  groups: Map<string, Group>,
  side: 'base' | 'next',
  object: ObjectModel,
  paired: ReadonlyMap<number, number>,
  { kindOf }: OpenPairing,
): number {
  let count = 0;
  for (const symbol of object.elf.symbols) {
    if (paired.has(symbol.index) || symbol.bind !== 'local' || typeof symbol.place !== 'number') continue;
    if ((symbol.type !== 'func' && symbol.type !== 'object') || !/\d/.test(symbol.name)) continue;
    count++;
    const place = placeKind(object, symbol);
    const key = [place, kindOf(object.elf, symbol), stem(symbol.name)].join('\0');
    let group = groups.get(key);
    if (!group) {
      group = { base: [], next: [], mutable: place === 'mutable' };
      groups.set(key, group);
    }
    group[side].push(symbol);
  }
  return count;
}

/** `mutable` for variables of the ordinary sections; else what the thing lies in: a special section by its name. */
function placeKind(object: ObjectModel, symbol: ElfSymbol): string {
  const name = object.elf.sections[symbol.place as number]?.name ?? '';
  if (name.startsWith('.data.rel.ro') || /^\.(text|rodata)(\.|$)/.test(name)) return 'fixed';
  return /^\.t?(data|bss)(\.|$)/.test(name) ? 'mutable' : `special ${stem(name)}`;
}

/** Lines of the functions and variables whose name holds the line of their declaration, by `section:offset`. */
export type LinesInNames = ReadonlyMap<string, number>;

const placeKey = (symbol: ElfSymbol): string => `${symbol.place}:${symbol.offset}`;
const known = new WeakMap<ObjectModel, LinesInNames>();

/** What an object names after its own line: such a name alone says nothing, since another thing may stand on that line next time. */
export function linesInNames(object: ObjectModel): LinesInNames {
  let lines = known.get(object);
  if (lines) return lines;
  const found = new Map<string, number>();
  const holds = (name: string, line: number) => ((name.match(/\d+/g) ?? []) as string[]).includes(String(line));
  const note = (of: DwarfVariable | DwarfFunction, section: number, offset: number) => {
    const { decl } = of;
    if (decl && holds(of.name, decl.line)) found.set(`${section}:${offset}`, decl.line);
  };
  // Most names have no digits, and then nobody asks for the line.
  for (const variable of object.dwarf.variables)
    if (variable.place && /\d/.test(variable.name)) note(variable, variable.place.section, variable.place.offset);
  for (const of of object.dwarf.functions) {
    const first = /\d/.test(of.name) ? of.ranges[0] : undefined;
    if (first) note(of, first.section, first.start);
  }
  lines = found;
  known.set(object, lines);
  return lines;
}

interface Lines {
  readonly base: LinesInNames;
  readonly next: LinesInNames;
}

function pairLines(group: Group, lines: Lines, { forward, backward, pair }: OpenPairing): void {
  const held = (list: readonly ElfSymbol[], of: LinesInNames, paired: ReadonlyMap<number, number>) =>
    list
      .filter((symbol) => of.has(placeKey(symbol)) && !paired.has(symbol.index))
      .sort((a, b) => of.get(placeKey(a))! - of.get(placeKey(b))!);
  const left = held(group.base, lines.base, forward);
  const right = held(group.next, lines.next, backward);
  if (left.length !== right.length) return;
  for (const [at, symbol] of left.entries()) pair(symbol, right[at]!);
}

function pairNames(group: Group, { forward, backward, pair }: OpenPairing): void {
  const right = new Map(group.next.filter(({ index }) => !backward.has(index)).map((symbol) => [symbol.name, symbol]));
  for (const symbol of group.base) {
    const partner = forward.has(symbol.index) ? undefined : right.get(symbol.name);
    if (partner) pair(symbol, partner);
  }
}

/** Pairs what has the same contents, where at most `most` things on each side have them. */
function pairContents(
  base: ObjectModel,
  next: ObjectModel,
  group: Group,
  lines: Lines,
  { forward, backward, pair }: OpenPairing,
  most: number,
): void {
  const byKey = (object: ObjectModel, list: readonly ElfSymbol[], isBase: boolean) => {
    const found = new Map<string, ElfSymbol[]>();
    for (const symbol of list) {
      if ((isBase ? forward : backward).has(symbol.index)) continue;
      if (group.mutable && !lines[isBase ? 'base' : 'next'].has(placeKey(symbol))) continue;
      const partner = (index: number) => (isBase ? forward.get(index) : backward.has(index) ? index : undefined);
      const key = contents(object, symbol, partner);
      const list = found.get(key);
      if (list) list.push(symbol);
      else found.set(key, [symbol]);
    }
    return found;
  };
  const right = byKey(next, group.next, false);
  for (const [key, symbols] of byKey(base, group.base, true)) {
    const partners = right.get(key);
    if (symbols.length > most || partners?.length !== symbols.length) continue;
    for (const [at, symbol] of symbols.entries()) pair(symbol, partners[at]!);
  }
}

/**
 * Bytes and references of a symbol as a key; of a debug site without its line, which moves with any edit above. `partner` gives one number to both sides of a pair; what is not paired goes by its name
 * without digits, what has no name by its place.
 */
function contents(object: ObjectModel, symbol: ElfSymbol, partner: (index: number) => number | undefined): string {
  const section = object.elf.sections[symbol.place as number];
  if (!section) return '';
  const end = symbol.offset + symbol.size;
  const all = section.data.subarray(symbol.offset, Math.min(end, section.data.length));
  const line = lineField(object, section, undefined);
  const bytes = line ? withoutBits(line, all) : all;
  const parts = [`${symbol.size}`, Array.from(bytes, (byte) => String.fromCharCode(byte)).join('')];
  for (const relocation of relocationsIn(object.elf.relocationsOf(symbol.place as number), symbol.offset, end)) {
    const target = relocationTarget(placesOf(object.elf), relocation, 0);
    const named = target.symbol && !isNamelessConstant(object.elf, target.symbol) ? target.symbol : undefined;
    const what = named ? (partner(named.index) ?? stem(named.name)) : 'nameless';
    const where = named ? target.delta : literal(object, target.section, target.offset, target.symbol?.size);
    parts.push([relocation.offset - symbol.offset, relocation.type, what, where].join());
  }
  return parts.join('|');
}

/** A string or constant that the linker merges, or that the compiler named: its bytes; of anything else without a name the place. */
function literal(object: ObjectModel, index: number, offset: number, size: number | undefined): string {
  const section = object.elf.sections[index];
  if (!section || offset < 0 || offset >= section.data.length) return `${offset}`;
  const room = isStrings(section) || isConstants(section) ? mergeableSize(section, offset) : size;
  if (room === undefined) return `${offset}`;
  const bytes = section.data.subarray(offset, Math.min(offset + room, offset + MAX_LITERAL));
  return String.fromCharCode(...bytes);
}
