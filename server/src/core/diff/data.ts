import { dataSize, isDataLabel } from '../asm/labels.ts';
import { isCode, isMapping, isNamelessConstant, SHF } from '../asm/places.ts';
import type { DwarfVariable } from '../dwarf/types.ts';
import type { ElfSymbol } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import { type Bits, firstDifferenceOutside, lineField, printkEntries, specialKind } from '../special/index.ts';
import { firstByteDifference } from './contents.ts';
import { ownLineField, sayTheirLine } from './line-text.ts';
import type { Meaning, Side } from './meaning.ts';
import { type Pairing, sectionKind } from './pair.ts';
import type { DataChange } from './types.ts';

/**
 * Compares data objects with their partners: size, contents, what pointers in them point to, kind of section, alignment, scope.
 * Nameless constants are not data of their own: they belong to the code that uses them.
 */
export function diffData(base: Side, next: Side, pairing: Pairing, meaning: Meaning): DataChange[] {
  const changes: DataChange[] = [];
  const baseVariables = variablesByPlace(base.object);
  const nextVariables = variablesByPlace(next.object);
  for (const symbol of dataSymbols(base)) {
    const index = pairing.forward.get(symbol.index);
    const partner = index === undefined ? undefined : next.elf.symbols[index];
    if (!partner || !isData(next, partner)) changes.push(lone(base, 'removed', symbol, baseVariables));
    else {
      const change = compare(base, next, symbol, partner, meaning, baseVariables, nextVariables);
      if (change) changes.push(change);
    }
  }
  for (const symbol of dataSymbols(next)) {
    const index = pairing.backward.get(symbol.index);
    if (index === undefined || !isData(base, base.elf.symbols[index]!)) {
      changes.push(lone(next, 'new', symbol, nextVariables));
    }
  }
  return changes;
}

function isData(side: Side, symbol: ElfSymbol): boolean {
  if (symbol.place === 'common') return true;
  if (symbol.type !== 'object' && symbol.type !== 'tls' && symbol.type !== 'common' && !isDataLabel(side.elf, symbol))
    return false;
  if (isMapping(side.elf, symbol)) return false;
  if (typeof symbol.place !== 'number') return false;
  const section = side.elf.sections[symbol.place];
  if (section === undefined || (section.flags & SHF.alloc) === 0) return false;
  // Notes for tools of the build, and the index of messages: nothing that a running kernel works with.
  const special = specialKind(section.name)?.kind;
  if (special === 'discarded' || special === 'printk') return false;
  const printk = printkEntries(side.elf);
  if (printk.size > 0 && printk.has(`${symbol.place}:${symbol.offset}`)) return false;
  return !isNamelessConstant(side.elf, symbol);
}

/** Data symbols, one per place: of several names of one object the first. */
function dataSymbols(side: Side): ElfSymbol[] {
  return side.elf.symbols.filter((symbol) => symbol.name !== '' && isData(side, symbol));
}

function variablesByPlace(object: ObjectModel): ReadonlyMap<string, DwarfVariable> {
  const map = new Map<string, DwarfVariable>();
  for (const variable of object.dwarf.variables) {
    if (variable.place) map.set(`${variable.place.section}:${variable.place.offset}`, variable);
    else if (variable.external && !variable.declaration) map.set(variable.linkageName ?? variable.name, variable);
  }
  return map;
}

function variableOf(symbol: ElfSymbol, variables: ReadonlyMap<string, DwarfVariable>): DwarfVariable | undefined {
  return (
    variables.get(`${symbol.place}:${symbol.offset}`) ??
    (symbol.bind === 'local' ? undefined : variables.get(symbol.name))
  );
}

/** What is said of a data object besides the differences. */
function facts(side: Side, symbol: ElfSymbol, variable: DwarfVariable | undefined) {
  // Without debug information the number in the name (gcc), or the function in front of it (clang), tells static locals.
  const numbered = symbol.bind === 'local' && /\.\d+$/.test(symbol.name);
  const clang = symbol.bind === 'local' && !numbered ? clangScope(side, symbol.name) : undefined;
  const scope = variable?.scope ?? clang;
  return {
    staticLocal: variable ? variable.scope !== undefined : numbered || clang !== undefined,
    ...(scope ? { scope } : {}),
    tls: symbol.type === 'tls',
    readOnly: sectionKind(side.object, symbol) === 'rodata',
    ...(variable?.decl ? { at: variable.decl } : {}),
  };
}

function clangScope(side: Side, name: string): string | undefined {
  const dot = name.indexOf('.');
  if (dot <= 0) return undefined;
  const scope = name.slice(0, dot);
  return side.places.bodies.some((body) => body.symbols.some((symbol) => symbol.name === scope)) ? scope : undefined;
}

function sectionName(side: Side, symbol: ElfSymbol): string | undefined {
  return typeof symbol.place === 'number' ? side.elf.sections[symbol.place]?.name : symbol.place;
}

function lone(
  side: Side,
  status: 'new' | 'removed',
  symbol: ElfSymbol,
  variables: ReadonlyMap<string, DwarfVariable>,
): DataChange {
  const section = sectionName(side, symbol);
  const fresh = status === 'new';
  return {
    name: symbol.name,
    status,
    ...(fresh ? { next: symbol } : { base: symbol }),
    baseSize: fresh ? 0 : dataSize(side.elf, symbol),
    nextSize: fresh ? dataSize(side.elf, symbol) : 0,
    ...(section === undefined ? {} : fresh ? { nextSection: section } : { baseSection: section }),
    differs: [],
    ...facts(side, symbol, variableOf(symbol, variables)),
  };
}

function compare(
  base: Side,
  next: Side,
  from: ElfSymbol,
  to: ElfSymbol,
  meaning: Meaning,
  baseVariables: ReadonlyMap<string, DwarfVariable>,
  nextVariables: ReadonlyMap<string, DwarfVariable>,
): DataChange | undefined {
  const differs: DataChange['differs'][number][] = [];
  const baseSize = dataSize(base.elf, from);
  const nextSize = dataSize(next.elf, to);
  if (baseSize !== nextSize) differs.push('size');
  const before = variableOf(from, baseVariables);
  const after = variableOf(to, nextVariables);
  const variable = after ?? before;
  const first = firstDifference(
    base,
    next,
    from,
    to,
    meaning,
    () =>
      lineFieldOf(next, to, variable) ??
      ownLineField({ side: base, symbol: from, variable: before }, { side: next, symbol: to, variable: after }),
    (pointer) =>
      sayTheirLine(base, { ...at(from, pointer), decl: before?.decl }, next, { ...at(to, pointer), decl: after?.decl }),
  );
  if (first) differs.push(first.what);
  if (sectionKind(base.object, from) !== sectionKind(next.object, to) || ownSectionMoved(base, next, from, to))
    differs.push('section');
  if (alignGrew(base, next, from, to)) differs.push('align');
  if (from.bind !== to.bind) differs.push('scope');
  if (differs.length === 0) return undefined;
  const baseSection = sectionName(base, from);
  const nextSection = sectionName(next, to);
  return {
    name: from.name,
    status: 'changed',
    base: from,
    next: to,
    baseSize,
    nextSize,
    ...(baseSection === undefined ? {} : { baseSection }),
    ...(nextSection === undefined ? {} : { nextSection }),
    differs,
    ...(first ? { firstDifference: first.at } : {}),
    ...facts(next, to, variable),
  };
}

const POINTER = 8;

/** The line of a debug site. */
function lineFieldOf(side: Side, symbol: ElfSymbol, variable: DwarfVariable | undefined): Bits | undefined {
  const section = typeof symbol.place === 'number' ? side.elf.sections[symbol.place] : undefined;
  return section && lineField(side.object, section, variable);
}

const at = ({ place, offset }: ElfSymbol, pointer: number) => ({ section: place as number, offset: offset + pointer });

/** Contents and references of the bytes that both have. */
function firstDifference(
  base: Side,
  next: Side,
  from: ElfSymbol,
  to: ElfSymbol,
  meaning: Meaning,
  lineBits: () => Bits | undefined,
  isLine: (pointer: number) => boolean,
) {
  if (typeof from.place !== 'number' || typeof to.place !== 'number') return undefined;
  const left = base.elf.sections[from.place];
  const right = next.elf.sections[to.place];
  if (!left || !right || isCode(left) || isCode(right)) return undefined;
  const size = Math.min(dataSize(base.elf, from), dataSize(next.elf, to));
  let bytes = firstByteDifference(left, from.offset, right, to.offset, size);
  // The line of a debug message moves with every edit above it, and is there to be read by people only.
  const line = bytes < 0 ? undefined : lineBits();
  if (line) bytes = firstDifferenceOutside(line, left.data, from.offset, right.data, to.offset, size);
  let references = -1;
  for (let start = 0; start < size; ) {
    references = meaning.firstRelocationDifference(
      from.place,
      from.offset + start,
      to.place,
      to.offset + start,
      size - start,
    );
    if (references < 0) break;
    references += start;
    if (!isLine(references)) break;
    start = references + POINTER;
    references = -1;
  }
  if (bytes < 0 && references < 0) return undefined;
  return references < 0 || (bytes >= 0 && bytes < references)
    ? { what: 'contents' as const, at: bytes }
    : { what: 'references' as const, at: references };
}

/** A section given in the source (`__attribute__((section))`): names matter where the compiler did not derive them from the symbol. */
function ownSectionMoved(base: Side, next: Side, from: ElfSymbol, to: ElfSymbol): boolean {
  const left = sectionName(base, from);
  const right = sectionName(next, to);
  if (left === undefined || right === undefined || left === right) return false;
  return !isUsual(left, from.name) || !isUsual(right, to.name);
}

/** Linux's `.data..read_mostly`, `.data..ro_after_init`, `.bss..page_aligned` and `.data.once` are given, and only look like the compiler's. */
function isUsual(section: string, symbol: string): boolean {
  if (/^\.(bss|data|rodata)\.\.(?!L)/.test(section) || GIVEN.has(section)) return section.endsWith(`.${symbol}`);
  return USUAL.test(section);
}

const GIVEN = new Set(['.data.once', '.data.unlikely']);
const USUAL = /^(\.(bss|data|rodata|tbss|tdata|sdata|sbss|lbss|ldata|lrodata)(\.|$)|\.data\.rel|common$|COMMON$)/;

/**
 * Alignment of a data object: the section's where it has one for itself. Undefined where several share a section: the place
 * does not tell what was asked for.
 */
function alignOf(side: Side, symbol: ElfSymbol): number | undefined {
  if (symbol.place === 'common') return Number(symbol.value);
  if (typeof symbol.place !== 'number') return undefined;
  const section = side.elf.sections[symbol.place];
  if (!section || symbol.offset !== 0 || symbol.size !== section.size) return undefined;
  return Math.max(1, section.align);
}

/** Compilers align bigger arrays more: where the size changed, that is said already. */
function alignGrew(base: Side, next: Side, from: ElfSymbol, to: ElfSymbol): boolean {
  const before = alignOf(base, from);
  const after = alignOf(next, to);
  return from.size === to.size && before !== undefined && after !== undefined && after > before;
}
