import type { ElfSymbol } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import {
  isCode,
  isConstants,
  isNamelessConstant,
  isNobits,
  isStrings,
  mergeableSize,
  type Places,
  placesOf,
} from './places.ts';
import type { Target } from './targets.ts';
import { firstAt } from './targets.ts';
import type { AsmReference } from './types.ts';

/** Longest text of a string literal that is shown whole; of longer ones the length and a checksum tell changes. */
const SHOWN_TEXT = 160;

/** A name without the number that the compiler appended: `count.3` → `count`, `f.constprop.0` → `f.constprop`. */
export function stemOf(name: string): string {
  return name.replace(/(\.\d+)+$/, '');
}

const FUNCTION_NAME = /^(\.L)?__(func|FUNCTION|PRETTY_FUNCTION)__\./;

const nameCache = new WeakMap<ObjectModel, ReadonlyMap<ElfSymbol, string>>();

/**
 * Name of a symbol in listings: numbers that change from build to build are left out; where two static variables then have
 * the same name, the function that contains it is put in front.
 */
export function displayName(object: ObjectModel, symbol: ElfSymbol): string {
  if (symbol.bind !== 'local' || !/\.\d+$/.test(symbol.name)) return symbol.name;
  let names = nameCache.get(object);
  if (!names) {
    names = numberedNames(object);
    nameCache.set(object, names);
  }
  return names.get(symbol) ?? symbol.name;
}

function numberedNames(object: ObjectModel): ReadonlyMap<ElfSymbol, string> {
  const byStem = new Map<string, ElfSymbol[]>();
  for (const symbol of object.elf.symbols) {
    if (symbol.bind !== 'local' || symbol.type === 'section' || symbol.type === 'file') continue;
    const stem = stemOf(symbol.name);
    const list = byStem.get(stem);
    if (list) list.push(symbol);
    else byStem.set(stem, [symbol]);
  }
  const scopes = new Map<string, string>();
  for (const variable of object.dwarf.variables) {
    if (variable.place && variable.scope)
      scopes.set(`${variable.place.section}:${variable.place.offset}`, variable.scope);
  }
  const names = new Map<ElfSymbol, string>();
  for (const [stem, symbols] of byStem) {
    const scoped = symbols.map((symbol) => {
      const scope = scopes.get(`${symbol.place}:${symbol.offset}`);
      return scope && symbols.length > 1 ? `${scope}::${stem}` : stem;
    });
    const unique = new Set(scoped).size === symbols.length;
    for (const [i, symbol] of symbols.entries()) {
      if (symbol.name !== stem) names.set(symbol, unique ? scoped[i]! : symbol.name);
    }
  }
  return names;
}

/** A target as the listing shows it: a reference with display name and addend. */
export function describeTarget(object: ObjectModel, target: Target, relocation?: string): AsmReference {
  const places = placesOf(object.elf);
  const section = target.section >= 0 ? object.elf.sections[target.section] : undefined;
  const common = {
    ...(relocation ? { relocation } : {}),
    ...(section ? { section: section.name } : {}),
  };
  const symbol = target.symbol;
  if (section && (isStrings(section) || isConstants(section) || !symbol || isNamelessConstant(object.elf, symbol))) {
    const nameless = describeNameless(object, places, target);
    if (nameless) {
      const isFunctionName = symbol !== undefined && FUNCTION_NAME.test(symbol.name);
      return { ...common, ...nameless, ...(isFunctionName ? { isFunctionName } : {}) };
    }
  }
  if (symbol) {
    const kind = section ? (isCode(section) ? 'function' : 'data') : 'external';
    return { ...common, name: displayName(object, symbol), addend: target.delta, kind };
  }
  return { ...common, name: section?.name ?? '', addend: target.offset, kind: 'section' };
}

/** Strings by their text, constants by their value, tables by what they are. */
function describeNameless(
  object: ObjectModel,
  places: Places,
  target: Target,
): Pick<AsmReference, 'name' | 'addend' | 'kind'> | undefined {
  const section = object.elf.sections[target.section]!;
  if (isNobits(section) || isCode(section)) return undefined;
  if (target.named && target.symbol && (isStrings(section) || isConstants(section))) {
    const start = target.offset - target.delta;
    // A place before or behind a constant is shown from the constant.
    if (target.delta !== 0 && (target.delta < 0 || target.delta >= mergeableSize(section, start))) {
      const whole = describeNameless(object, places, { ...target, offset: start, delta: 0 });
      return whole && { ...whole, addend: target.delta };
    }
  }
  if (target.offset < 0 || target.offset >= section.data.length) return undefined;
  if (isConstants(section)) {
    const start = target.offset - (target.offset % section.entrySize);
    return {
      name: hexValue(section.data.subarray(start, start + section.entrySize)),
      addend: target.offset - start,
      kind: 'constant',
    };
  }
  const start = target.symbol ? target.offset - target.delta : target.offset;
  const end = isStrings(section) ? section.size : endOf(places, target, start);
  const relocations = object.elf.relocationsOf(section.index);
  const first = relocations[firstAt(relocations, start)];
  const stem = target.symbol ? stemOf(target.symbol.name).replace(/^\.L.*/, '') : '';
  if (first && first.offset < end) {
    const pointee = object.elf.symbols[first.symbol];
    const toCode = typeof pointee?.place === 'number' && isCode(object.elf.sections[pointee.place]);
    return { name: stem || (toCode ? 'jump-table' : 'table'), addend: target.delta, kind: 'constant' };
  }
  if (isStrings(section) && section.entrySize <= 1)
    return { name: quoted(section.data, target.offset), addend: 0, kind: 'string' };
  const bytes = section.data.subarray(start, end);
  if (looksLikeText(bytes)) return { name: quoted(section.data, start), addend: target.offset - start, kind: 'string' };
  const name = `${stem || 'constant'}{${checksum(bytes)}}`;
  return {
    name: bytes.length <= 16 && !stem ? hexValue(bytes) : name,
    addend: target.offset - start,
    kind: 'constant',
  };
}

function endOf(places: Places, target: Target, start: number): number {
  const size = target.symbol?.size ?? 0;
  return size > 0 ? start + size : places.extent(target.section, start);
}

/** The NUL-terminated text at `at` as a C string literal. */
function quoted(data: Uint8Array, at: number): string {
  let end = data.indexOf(0, at);
  if (end < 0) end = data.length;
  const shown = Math.min(end, at + SHOWN_TEXT);
  let text = '';
  for (let i = at; i < shown; i++) text += escaped(data[i]!);
  return end > shown ? `"${text}"…${end - at}:${checksum(data.subarray(shown, end))}` : `"${text}"`;
}

function escaped(byte: number): string {
  if (byte === 10) return '\\n';
  if (byte === 9) return '\\t';
  if (byte === 13) return '\\r';
  if (byte === 34 || byte === 92) return `\\${String.fromCharCode(byte)}`;
  if (byte >= 32 && byte < 127) return String.fromCharCode(byte);
  return `\\x${byte.toString(16).padStart(2, '0')}`;
}

/** At least three printable characters and a terminator, or nothing but a text and zeros: what a C string looks like. */
function looksLikeText(bytes: Uint8Array): boolean {
  const end = bytes.indexOf(0);
  if (end < 1) return false;
  for (let i = 0; i < end; i++) {
    const byte = bytes[i]!;
    if (!((byte >= 32 && byte < 127) || byte === 9 || byte === 10 || byte === 13)) return false;
  }
  return end >= 3 || bytes.subarray(end).every((byte) => byte === 0);
}

/** A little-endian value in hexadecimal, the most significant digit first. */
function hexValue(bytes: Uint8Array): string {
  let text = '';
  for (let i = bytes.length - 1; i >= 0; i--) text += bytes[i]!.toString(16).padStart(2, '0');
  return `0x${text.replace(/^0+(?=.)/, '')}`;
}

/** FNV-1a over the bytes, 8 hexadecimal digits: to tell contents apart in a listing, not to prove that they are equal. */
function checksum(bytes: Uint8Array): string {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, '0');
}
