import { isDataLabel } from '../asm/labels.ts';
import { isMapping, isNamelessConstant, SHF } from '../asm/places.ts';
import type { SourceLocation } from '../dwarf/types.ts';
import type { ElfFile, ElfSymbol } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import type { Problem } from '../problem.ts';
import { isMacroStatic } from '../special/index.ts';
import { keptLine } from './edits.ts';
import { baseName } from './line-text.ts';
import { cloneStem, collectUsers, contentsKey, staticOf } from './pair-keys.ts';
import { linesInNames, pairRenumbered } from './pair-numbers.ts';
import type { SourceEdits } from './types.ts';

/** Which symbol of the one object is which of the other. */
export interface Pairing {
  /** Base symbol index → next symbol index, and back. Nameless constants are not in it: they go by content. */
  readonly forward: ReadonlyMap<number, number>;
  readonly backward: ReadonlyMap<number, number>;
  /** Static variables that could not be told apart and were paired by order. */
  readonly problems: readonly Problem[];
}

/** What a symbol can be paired with: code with code, data with data, whether assembly gave it a type or not. */
function classOf(elf: ElfFile, symbol: ElfSymbol): string {
  if (symbol.type === 'func' || symbol.type === 'ifunc') return 'code';
  if (symbol.type === 'object' || symbol.type === 'common' || isDataLabel(elf, symbol)) return 'data';
  return symbol.type;
}

/**
 * Pairs the symbols of two objects: globals by name; locals by name and source file; what the compiler numbers (static
 * variables of functions, clones) by scope, unedited lines, use and contents instead of the number; then what macros number by line or counter,
 * and what changed between static and global.
 */
export function pairSymbols(base: ObjectModel, next: ObjectModel, edits?: SourceEdits): Pairing {
  const pairer = new Pairer(base, next, edits);
  pairer.globals();
  pairer.sections();
  pairer.locals();
  pairer.renumbered();
  pairer.changedScope();
  return pairer;
}

/** Linux's names from a counter of the unit: one more of them above, and each names another thing (`__UNIQUE_ID_ddebug461.78`). */
const COUNTED = /(^|\.)__UNIQUE_ID_\w*\d/;

/** What clang's ThinLTO appends to a static that other units use: a number made of the unit's contents, so any edit changes it. */
const PROMOTED = /\.llvm\.\d+$/;

/** Symbols of one side under one identity. */
interface Group {
  readonly base: ElfSymbol[];
  readonly next: ElfSymbol[];
  /** The identity contains a number given by the compiler, or had one taken out: names prove nothing. */
  numbered: boolean;
}

class Pairer implements Pairing {
  readonly forward = new Map<number, number>();
  readonly backward = new Map<number, number>();
  readonly problems: Problem[] = [];
  readonly #base: ObjectModel;
  readonly #next: ObjectModel;
  readonly #edits: SourceEdits | undefined;
  readonly #users = new Map<ObjectModel, ReadonlyMap<number, string>>();

  constructor(base: ObjectModel, next: ObjectModel, edits: SourceEdits | undefined) {
    this.#base = base;
    this.#next = next;
    this.#edits = edits;
  }

  #pair(base: ElfSymbol, next: ElfSymbol): void {
    if (this.forward.has(base.index) || this.backward.has(next.index)) return;
    this.forward.set(base.index, next.index);
    this.backward.set(next.index, base.index);
  }

  globals(): void {
    const byName = new Map<string, ElfSymbol>();
    const promoted: Group = { base: [], next: [], numbered: true };
    for (const symbol of this.#next.elf.symbols) {
      if (symbol.bind === 'local' || symbol.name === '') continue;
      if (!byName.has(symbol.name)) byName.set(symbol.name, symbol);
      if (PROMOTED.test(symbol.name)) promoted.next.push(symbol);
    }
    for (const symbol of this.#base.elf.symbols) {
      if (symbol.bind === 'local' || symbol.name === '') continue;
      const partner = byName.get(symbol.name);
      if (partner) this.#pair(symbol, partner);
      else if (PROMOTED.test(symbol.name)) promoted.base.push(symbol);
    }
    const plain = (elf: ElfFile) => (symbol: ElfSymbol) =>
      `${classOf(elf, symbol)}\0${symbol.name.replace(PROMOTED, '')}`;
    this.#round(promoted, plain(this.#base.elf), plain(this.#next.elf));
  }

  /** Section symbols, by the section's name; several of one name in order. */
  sections(): void {
    const byName = new Map<string, ElfSymbol[]>();
    for (const symbol of this.#next.elf.symbols) if (symbol.type === 'section') push(byName, symbol.name, symbol);
    const taken = new Map<string, number>();
    for (const symbol of this.#base.elf.symbols) {
      if (symbol.type !== 'section') continue;
      const at = taken.get(symbol.name) ?? 0;
      taken.set(symbol.name, at + 1);
      const partner = byName.get(symbol.name)?.[at];
      if (partner) this.#pair(symbol, partner);
    }
  }

  locals(): void {
    const manyFiles = fileCount(this.#base) > 1 || fileCount(this.#next) > 1;
    const groups = new Map<string, Group>();
    const collect = (object: ObjectModel, side: 'base' | 'next') => {
      const lines = linesInNames(object);
      for (const symbol of object.elf.symbols) {
        if (symbol.bind !== 'local' || symbol.type === 'section' || symbol.type === 'file' || symbol.name === '')
          continue;
        if (typeof symbol.place !== 'number' && symbol.place !== 'abs') continue;
        if (isNamelessConstant(object.elf, symbol) || isMapping(object.elf, symbol)) continue;
        // `renumbered` decides on these, but for labels.
        const numbered = lines.size > 0 && lines.has(`${symbol.place}:${symbol.offset}`);
        if ((numbered || COUNTED.test(symbol.name)) && symbol.type !== 'notype') continue;
        const variable = classOf(object.elf, symbol) === 'code' ? undefined : staticOf(object, symbol);
        const name = variable ? `${variable.scope}::${variable.name}` : cloneStem(symbol.name);
        const key = `${classOf(object.elf, symbol)}\0${manyFiles ? (symbol.file ?? '') : ''}\0${name}`;
        let group = groups.get(key);
        if (!group) {
          group = { base: [], next: [], numbered: false };
          groups.set(key, group);
        }
        if (name !== symbol.name) group.numbered = true;
        group[side].push(symbol);
      }
    };
    collect(this.#base, 'base');
    collect(this.#next, 'next');
    for (const group of groups.values()) this.#pairGroup(group);
  }

  #pairGroup(group: Group): void {
    if (group.base.length === 0 || group.next.length === 0) return;
    if (group.base.length === 1 && group.next.length === 1) {
      this.#pair(group.base[0]!, group.next[0]!);
      return;
    }
    if (!group.numbered) {
      this.#inOrder(group);
      return;
    }
    // The most telling evidence first; each round pairs only what is unique under it.
    const code = classOf(this.#base.elf, group.base[0]!) === 'code';
    if (!code && this.#edits) this.#byLine(group, this.#edits);
    const b = this.#base;
    const n = this.#next;
    const size = (_o: ObjectModel, s: ElfSymbol) => `${s.size}`;
    const users = (o: ObjectModel, s: ElfSymbol) => this.#usersOf(o, s);
    const contents = (o: ObjectModel, s: ElfSymbol) => contentsKey(o, s);
    const name = (_o: ObjectModel, s: ElfSymbol) => s.name;
    const kind = (o: ObjectModel, s: ElfSymbol) => sectionKind(o, s);
    const rounds = code
      ? [[name, contents], [contents], [users, size], [users], [name]]
      : [
          [users, contents, size, kind],
          [users, size, kind],
          [users, kind],
          [users],
          [contents, size, kind],
          [size, kind],
        ];
    for (const round of rounds) {
      this.#round(
        group,
        (symbol) => round.map((part) => part(b, symbol)).join('\0'),
        (symbol) => round.map((part) => part(n, symbol)).join('\0'),
      );
    }
    const left = group.base.filter((symbol) => !this.forward.has(symbol.index));
    const right = group.next.filter((symbol) => !this.backward.has(symbol.index));
    const state = !code && !isMacroStatic(plainStatic(b, left[0]), sectionOf(b, left[0]));
    if (left.length > 0 && right.length > 0 && state && left.length !== right.length) {
      this.problems.push({
        area: 'diff.pair',
        message: `The static variables ${left.map((one) => one.name).join(', ')} could not be told apart; they were paired in order. Give them different names.`,
      });
    }
    this.#inOrder({ base: left, next: right, numbered: true });
  }

  /** Variables that are declared where nobody edited anything. */
  #byLine(group: Group, edits: SourceEdits): void {
    const at = (decl: SourceLocation | undefined, line: number | undefined) =>
      decl && line !== undefined ? `${baseName(decl.file)}:${line}` : undefined;
    this.#round(
      group,
      (symbol) => {
        const decl = staticOf(this.#base, symbol)?.decl;
        return at(decl, decl && keptLine(edits, decl.file, decl.line)) ?? `edited ${symbol.index}`;
      },
      (symbol) => {
        const decl = staticOf(this.#next, symbol)?.decl;
        return at(decl, decl?.line) ?? '';
      },
    );
  }

  #round(group: Group, baseKey: (symbol: ElfSymbol) => string, nextKey: (symbol: ElfSymbol) => string): void {
    const left = unique(
      group.base.filter((symbol) => !this.forward.has(symbol.index)),
      baseKey,
    );
    const right = unique(
      group.next.filter((symbol) => !this.backward.has(symbol.index)),
      nextKey,
    );
    for (const [key, symbol] of left) {
      const partner = right.get(key);
      if (symbol && partner) this.#pair(symbol, partner);
    }
  }

  #inOrder(group: Group): void {
    const left = group.base.filter((symbol) => !this.forward.has(symbol.index));
    const right = group.next.filter((symbol) => !this.backward.has(symbol.index));
    for (let i = 0; i < Math.min(left.length, right.length); i++) this.#pair(left[i]!, right[i]!);
  }

  /** What macros name after the line or a counter. */
  renumbered(): void {
    const manyFiles = fileCount(this.#base) > 1 || fileCount(this.#next) > 1;
    pairRenumbered(this.#base, this.#next, {
      forward: this.forward,
      backward: this.backward,
      pair: (base, next) => this.#pair(base, next),
      kindOf: (elf, symbol) => `${classOf(elf, symbol)}\0${manyFiles ? (symbol.file ?? '') : ''}`,
    });
  }

  /** A static that became global, or the other way round, keeps its identity. */
  changedScope(): void {
    const byName = new Map<string, ElfSymbol>();
    for (const symbol of this.#next.elf.symbols) {
      if (this.backward.has(symbol.index) || typeof symbol.place === 'string' || symbol.type === 'section') continue;
      if (symbol.name !== '' && symbol.type !== 'file')
        byName.set(`${classOf(this.#next.elf, symbol)}\0${symbol.name}`, symbol);
    }
    for (const symbol of this.#base.elf.symbols) {
      if (this.forward.has(symbol.index) || typeof symbol.place === 'string' || symbol.type === 'section') continue;
      const partner = byName.get(`${classOf(this.#base.elf, symbol)}\0${symbol.name}`);
      if (partner && partner.bind !== symbol.bind) this.#pair(symbol, partner);
    }
  }

  /** Names of the functions whose code or data refers to a symbol, as one text. */
  #usersOf(object: ObjectModel, symbol: ElfSymbol): string {
    let users = this.#users.get(object);
    if (!users) {
      users = collectUsers(object);
      this.#users.set(object, users);
    }
    return users.get(symbol.index) ?? '';
  }
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}

/** Entries that are alone under their key; shared keys map to undefined. */
function unique(
  symbols: readonly ElfSymbol[],
  keyOf: (symbol: ElfSymbol) => string,
): Map<string, ElfSymbol | undefined> {
  const map = new Map<string, ElfSymbol | undefined>();
  for (const symbol of symbols) {
    const key = keyOf(symbol);
    map.set(key, map.has(key) ? undefined : symbol);
  }
  return map;
}

function fileCount(object: ObjectModel): number {
  const files = new Set<string>();
  for (const { file } of object.elf.symbols) if (file !== undefined) files.add(file);
  return files.size;
}

/** Name of a static variable in the source: without the compiler's number and clang's function in front. */
const plainStatic = (object: ObjectModel, symbol: ElfSymbol | undefined): string =>
  symbol ? (staticOf(object, symbol)?.name ?? cloneStem(symbol.name).replace(/^.*\./, '')) : '';

const sectionOf = (object: ObjectModel, symbol: ElfSymbol | undefined): string =>
  typeof symbol?.place === 'number' ? (object.elf.sections[symbol.place]?.name ?? '') : '';

/** bss, data, read-only data, thread-local: what a section is for. */
export function sectionKind(object: ObjectModel, symbol: ElfSymbol): string {
  if (symbol.place === 'common') return 'bss';
  if (typeof symbol.place !== 'number') return symbol.place;
  const section = object.elf.sections[symbol.place];
  if (!section) return 'none';
  const nobits = section.type === 8;
  const tls = (section.flags & SHF.tls) !== 0 ? 't' : '';
  if (section.flags & SHF.exec) return 'text';
  // Constants with relocations are read-only once the dynamic linker is done.
  if (!(section.flags & SHF.write) || section.name.startsWith('.data.rel.ro')) return 'rodata';
  return `${tls}${nobits ? 'bss' : 'data'}`;
}
