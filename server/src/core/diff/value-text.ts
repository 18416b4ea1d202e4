import { describeTarget } from '../asm/names.ts';
import { isNobits, type Places } from '../asm/places.ts';
import { relocationMeaning } from '../asm/relocation.ts';
import { firstAt, relocationTarget } from '../asm/targets.ts';
import type { DwarfType, TypeRef } from '../dwarf/types.ts';
import type { ElfSymbol, Relocation, Section } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import type { TypeTable } from './type-table.ts';

/** A data object of one side: where its bytes and relocations are. */
export interface ValueSource {
  readonly object: ObjectModel;
  readonly table: TypeTable;
  readonly places: Places;
  /** Undefined for common symbols, whose value is zero. */
  readonly section: Section | undefined;
  /** Byte offset of the object in its section, and its size in bytes. */
  readonly start: number;
  readonly size: number;
}

/** A value inside a data object: its type and where it is, in bytes from the object's start. */
export interface Spot {
  readonly type: TypeRef;
  readonly at: number;
  readonly size: number;
  /** Bits of a bit-field, from bit 0 of the byte at `at`. */
  readonly bits?: { readonly offset: number; readonly size: number };
  /** Elements of each dimension that is left, for arrays. */
  readonly dimensions?: readonly number[];
}

/** Longest text of a character array, in bytes; of longer ones the beginning is shown. */
const SHOWN_TEXT = 400;

/** `start` is where a symbol begins in its section. */
export function sourceOf(object: ObjectModel, table: TypeTable, places: Places, symbol: ElfSymbol): ValueSource {
  const section = typeof symbol.place === 'number' ? object.elf.sections[symbol.place] : undefined;
  return { object, table, places, section, start: section ? symbol.offset : 0, size: symbol.size };
}

/** The first relocation that fills a byte of the spot. */
export function relocationAt(source: ValueSource, at: number, size: number): Relocation | undefined {
  if (!source.section) return undefined;
  const list = source.object.elf.relocationsOf(source.section.index);
  const found = list[firstAt(list, source.start + at)];
  return found && found.offset < source.start + at + size ? found : undefined;
}

/** Bytes of data without contents (bss) that are made up: all are zero, and the size may be any number that a damaged file gives. */
const MOST_ZEROS = 1 << 20;

/** The bytes of a spot; zeros where the section has no contents or the object ends. */
export function bytesOf(source: ValueSource, at: number, size: number): Uint8Array {
  const { section, start } = source;
  const room = section && !isNobits(section) ? section.data.length - start - at : MOST_ZEROS;
  const bytes = new Uint8Array(Math.max(0, Math.min(size, source.size - at, Math.max(room, 64))));
  if (source.section && !isNobits(source.section))
    bytes.set(source.section.data.subarray(source.start + at, source.start + at + bytes.length));
  return bytes;
}

/**
 * What a relocation puts into data, as C writes it: `&limits+8`, `handle_get`, `"text"`. Entries of tables of relative offsets are
 * counted from the start of the table, so that they read like pointers.
 */
export function pointerText(source: ValueSource, relocation: Relocation): string {
  const meaning = relocationMeaning(source.object.elf.machine, relocation.type);
  const bias = meaning.pcRelative ? source.start - relocation.offset : 0;
  const { name, addend, kind } = describeTarget(
    source.object,
    relocationTarget(source.places, relocation, bias),
    meaning.name,
  );
  const distance = addend === 0 ? '' : addend > 0 ? `+${addend}` : `${addend}`;
  return `${kind === 'data' ? '&' : ''}${name}${distance}`;
}

const isCharacter = (type: DwarfType | undefined): boolean =>
  type?.kind === 'base' && type.size === 1 && (type.encoding === 6 || type.encoding === 8);

/** True for the last dimension of an array of `char`: shown as a string, not element by element. */
export function isText(source: ValueSource, spot: Spot): boolean {
  const array = source.table.get(source.table.strip(spot.type));
  if (array?.kind !== 'array' || spot.dimensions?.length !== 1) return false;
  const element = source.table.get(source.table.strip(array.target));
  if (!isCharacter(element)) return false;
  return element?.name === 'char' || looksLikeText(bytesOf(source, spot.at, spot.size));
}

/** A non-empty printable text and then zeros only: what `unsigned char name[16]` holds where it is a name. */
function looksLikeText(bytes: Uint8Array): boolean {
  const end = bytes.indexOf(0);
  return (
    end > 1 &&
    bytes.subarray(0, end).every((byte) => byte >= 32 && byte < 127) &&
    bytes.subarray(end).every((byte) => byte === 0)
  );
}

const ESCAPES: Readonly<Record<number, string>> = { 9: '\\t', 10: '\\n', 13: '\\r', 34: '\\"', 92: '\\\\' };

function characterText(byte: number): string {
  if (ESCAPES[byte]) return ESCAPES[byte];
  return byte >= 32 && byte < 127 ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
}

function quoted(bytes: Uint8Array): string {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  const shown = bytes.subarray(0, Math.min(end, SHOWN_TEXT));
  const text = Array.from(shown, characterText).join('');
  return end > shown.length ? `"${text}"… (${end} bytes)` : `"${text}"`;
}

/** Little-endian integer of up to 16 bytes. */
function integerOf(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
  return value;
}

const hex = (value: bigint): string => (value < 0n ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`);

/** Decimal, with the hexadecimal form where a person may want it: masks and addresses. */
const numberText = (value: bigint, unsigned: boolean): string =>
  unsigned && value > 255n ? `${value} (${hex(value)})` : value.toString();

/** Names of an enum's value: one, or several that make it up as flags; empty where they do not. */
export function enumeratorText(type: DwarfType, value: bigint): string {
  const exact = type.enumerators.find((each) => each.value === value);
  if (exact) return exact.name;
  if (value <= 0n) return '';
  const flags: string[] = [];
  let left = value;
  for (const each of type.enumerators) {
    if (each.value <= 0n || (each.value & (each.value - 1n)) !== 0n || (left & each.value) === 0n) continue;
    flags.push(each.name);
    left &= ~each.value;
  }
  return left === 0n ? flags.join('|') : '';
}

/** IEEE 754 single and double, and x87's 80 bits as near as a double comes. */
function floatText(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length === 4) return shortest(view.getFloat32(0, true));
  if (bytes.length === 8) return realText(view.getFloat64(0, true));
  if (bytes.length < 10) return byteText(bytes);
  const exponent = view.getUint16(8, true);
  const mantissa = view.getBigUint64(0, true);
  const sign = exponent & 0x8000 ? -1 : 1;
  if ((exponent & 0x7fff) === 0x7fff) return mantissa << 1n === 0n ? realText(sign * Number.POSITIVE_INFINITY) : 'nan';
  return realText(sign * Number(mantissa) * 2 ** ((exponent & 0x7fff) - 16383 - 63));
}

/** The shortest decimal that is the same float. */
function shortest(value: number): string {
  for (let digits = 1; digits < 9; digits++) {
    const text = value.toPrecision(digits);
    if (Math.fround(Number(text)) === value) return realText(Number(text));
  }
  return realText(value);
}

const realText = (value: number): string =>
  Number.isNaN(value)
    ? 'nan'
    : !Number.isFinite(value)
      ? value < 0
        ? '-inf'
        : 'inf'
      : Number.isInteger(value) && Math.abs(value) < 1e16
        ? `${Object.is(value, -0) ? '-0' : value}.0`
        : String(value);

/** `de ad be ef`. */
export const byteText = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ');

/** The value at a spot that has no parts of its own, as C writes it. */
export function valueText(source: ValueSource, spot: Spot): string {
  const relocation = spot.bits ? undefined : relocationAt(source, spot.at, spot.size);
  if (relocation && relocation.offset === source.start + spot.at) return pointerText(source, relocation);
  const type = source.table.get(source.table.strip(spot.type));
  const bytes = bytesOf(source, spot.at, spot.size);
  if (isText(source, spot)) return quoted(bytes);
  let value = integerOf(bytes.subarray(0, 16));
  let width = bytes.length * 8;
  if (spot.bits) {
    width = spot.bits.size;
    value = (value >> BigInt(spot.bits.offset)) & ((1n << BigInt(width)) - 1n);
  }
  const signed = BigInt.asIntN(Math.max(1, width), value);
  switch (type?.kind) {
    case 'pointer':
      return value === 0n ? 'NULL' : hex(value);
    case 'enum': {
      const isSigned = type.enumerators.some((each) => each.value < 0n);
      const number = isSigned ? signed : value;
      const name = enumeratorText(type, number);
      return name === '' ? number.toString() : `${name} (${number})`;
    }
    case 'base':
      return baseText(type, bytes, value, signed);
    default:
      return bytes.length > 16 ? `${byteText(bytes.subarray(0, 16))} …` : byteText(bytes);
  }
}

/** DW_ATE_*: address 1, boolean 2, complex 3, float 4, signed 5, signed_char 6, unsigned 7, unsigned_char 8, UTF 16. */
function baseText(type: DwarfType, bytes: Uint8Array, value: bigint, signed: bigint): string {
  switch (type.encoding) {
    case 2:
      return value === 0n ? 'false' : value === 1n ? 'true' : `true (${value})`;
    case 3: {
      const half = bytes.length / 2;
      return `${floatText(bytes.slice(0, half))} + ${floatText(bytes.slice(half))}i`;
    }
    case 4:
      return floatText(bytes);
    case 5:
      return signed.toString();
    case 6:
    case 8: {
      const number = type.encoding === 6 ? signed : value;
      return type.name === 'char' && value >= 32n && value < 127n
        ? `'${characterText(Number(value))}' (${number})`
        : number.toString();
    }
    default:
      return numberText(value, true);
  }
}

/** Sizes of an array's dimensions; one that the type leaves open is what fits into the object. */
export function dimensionsOf(source: ValueSource, type: number, room: number): readonly number[] {
  const array = source.table.get(source.table.strip(type));
  if (array?.kind !== 'array') return [];
  const known = array.dimensions.length > 0 ? array.dimensions : [undefined];
  const element = source.table.get(source.table.strip(array.target))?.size ?? 0;
  const inner = known.slice(1).reduce<number>((product, each) => product * (each ?? 0), element);
  return known.map((each, i) => each ?? (i === 0 && inner > 0 ? Math.floor(room / inner) : 0));
}
