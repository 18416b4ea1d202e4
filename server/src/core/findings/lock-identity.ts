import { plainName } from '../diff/signatures.ts';
import type { DwarfFunction, DwarfInfo, DwarfType, TypeRef } from '../dwarf/types.ts';
import type { ElfSymbol } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import type { Value } from './values.ts';

/** A lock that the code names: where its address comes from, and its spelling in C where the debug information tells. */
export interface Lock {
  readonly value: Value;
  /** `tx`, `p->io`. */
  readonly text?: string;
}

/** What of the surroundings decides whether two locks are the same. */
export interface Surroundings {
  /** Names of the function's parameters that are in registers, by register; empty where that is not sure. */
  readonly base: readonly string[];
  readonly next: readonly string[];
  /** Some struct is laid out otherwise: the same member may be at another distance. */
  readonly moved: boolean;
}

/**
 * Whether two locks, one of each side, are certainly not the same one: two objects, two members behind the same pointer, or behind pointers that are
 * not the same. Where it cannot be told they count as the same.
 */
export function areDifferent(before: Lock | undefined, after: Lock | undefined, around: Surroundings): boolean {
  if (!before || !after) return false;
  if (before.text !== undefined && before.text === after.text) return false;
  if (around.moved && (before.text === undefined || after.text === undefined) && !isObject(before) && !isObject(after))
    return false;
  return compare(before.value, after.value, around) === 'different';
}

const isObject = ({ value }: Lock): boolean => value.root.kind === 'symbol';

function compare(a: Value, b: Value, around: Surroundings): 'same' | 'different' | 'unknown' {
  const roots = compareRoots(a, b, around);
  if (roots !== 'same') return roots;
  return a.offset === b.offset ? 'same' : 'different';
}

function compareRoots({ root: a }: Value, { root: b }: Value, around: Surroundings): 'same' | 'different' | 'unknown' {
  if (a.kind === 'symbol' && b.kind === 'symbol')
    return objectName(a.name) === objectName(b.name) ? 'same' : 'different';
  if (a.kind === 'result' && b.kind === 'result') return plainName(a.name) === plainName(b.name) ? 'same' : 'unknown';
  if (a.kind === 'load' && b.kind === 'load') return compare(a.from, b.from, around);
  if (a.kind !== 'parameter' || b.kind !== 'parameter') return 'unknown';
  const before = around.base[a.index];
  const after = around.next[b.index];
  if (before === undefined || after === undefined) return a.index === b.index ? 'same' : 'unknown';
  if (before === after) return 'same';
  // A parameter of another name is another one only where both sides have both: else it was renamed.
  if (around.next.includes(before) && around.base.includes(after)) return 'different';
  return a.index === b.index && around.base.length === around.next.length ? 'same' : 'unknown';
}

/** Name of an object without the number that the compiler gives a static local. */
const objectName = (name: string): string => name.replace(/\.\d+$/, '');

/** Whether one lock, told by two calls of the same side, may be the same. */
export function mayBeSame(a: Lock | undefined, b: Lock | undefined): boolean {
  return !areDifferent(a, b, { base: [], next: [], moved: false });
}

const functions = new WeakMap<ObjectModel, ReadonlyMap<string, DwarfFunction>>();

/** What the debug information says about a function. */
export function functionAt(object: ObjectModel, symbol: ElfSymbol): DwarfFunction | undefined {
  let known = functions.get(object);
  if (!known) {
    known = new Map(
      object.dwarf.functions.flatMap((fn) => fn.ranges.map((range) => [`${range.section}:${range.start}`, fn])),
    );
    functions.set(object, known);
  }
  return known.get(`${symbol.place}:${symbol.offset}`);
}

/** Parameters of a function by the register that each is in; none where that is not sure: clones, and parameters of other kinds. */
export function parametersOf(object: ObjectModel, symbol: ElfSymbol): DwarfFunction['parameters'] {
  if (plainName(symbol.name) !== symbol.name) return [];
  const { dwarf } = object;
  const fn = functionAt(object, symbol);
  if (!fn) return [];
  const found: DwarfFunction['parameters'][number][] = [];
  if (isAggregate(bare(dwarf, fn.returnType))) return [];
  for (const parameter of fn.parameters) {
    const type = bare(dwarf, parameter.type);
    if (!type || isAggregate(type) || (type.size ?? 8) > 8) break;
    // Floating point (DW_ATE_float, complex) is passed elsewhere.
    if (type.kind === 'base' && (type.encoding === 4 || type.encoding === 3)) continue;
    found.push(parameter);
  }
  return found;
}

const isAggregate = (type: DwarfType | undefined): boolean =>
  type?.kind === 'struct' || type?.kind === 'union' || type?.kind === 'array';

/** A type without qualifiers and typedefs. */
function bare(dwarf: DwarfInfo, ref: TypeRef, typedefs = true): DwarfType | undefined {
  let type = dwarf.types[ref];
  for (let i = 0; type && i < 32; i++) {
    if (!/^(const|volatile|restrict|atomic)$/.test(type.kind) && !(typedefs && type.kind === 'typedef')) return type;
    type = dwarf.types[type.target];
  }
  return undefined;
}

/** Something that an address leads to: its spelling and type. */
interface Spelled {
  readonly text: string;
  readonly type: TypeRef;
}

/**
 * C spelling of a lock: of `&p->io` it is `p->io`.
 * @param wanted type of what the locking function's first parameter points to, where known: members are looked into until one has it
 */
export function spell(
  object: ObjectModel,
  parameters: DwarfFunction['parameters'],
  value: Value,
  wanted: TypeRef | undefined,
): string | undefined {
  const { dwarf } = object;
  const place = behind(object, parameters, value);
  if (!place) return undefined;
  const pointer = value.root.kind !== 'symbol';
  const found = member(dwarf, place, value.offset, wanted, pointer ? '->' : '.');
  // The pointer itself, or the object: without a member.
  return found?.text;
}

/** What the root of a value points to. */
function behind(object: ObjectModel, parameters: DwarfFunction['parameters'], { root }: Value): Spelled | undefined {
  const { dwarf } = object;
  if (root.kind === 'symbol') {
    const variable = dwarf.variables.find(({ name, linkageName }) => name === root.name || linkageName === root.name);
    return variable && { text: root.name, type: variable.type };
  }
  if (root.kind === 'parameter') {
    const parameter = parameters[root.index];
    return parameter && pointee(dwarf, { text: parameter.name, type: parameter.type });
  }
  if (root.kind === 'result') {
    const prototype = dwarf.prototypes.find(({ name }) => name === plainName(root.name));
    return prototype && pointee(dwarf, { text: `${prototype.name}()`, type: prototype.returnType });
  }
  if (root.kind !== 'load') return undefined;
  const outer = behind(object, parameters, root.from);
  const pointer =
    outer && member(dwarf, outer, root.from.offset, undefined, root.from.root.kind === 'symbol' ? '.' : '->');
  return pointer && pointee(dwarf, pointer);
}

function pointee(dwarf: DwarfInfo, { text, type }: Spelled): Spelled | undefined {
  const pointer = bare(dwarf, type);
  return pointer?.kind === 'pointer' ? { text, type: pointer.target } : undefined;
}

/** The member at a distance: the one of the wanted type, or the outermost that begins there. */
function member(
  dwarf: DwarfInfo,
  outer: Spelled,
  offset: number,
  wanted: TypeRef | undefined,
  link: string,
): Spelled | undefined {
  let { text } = outer;
  let left = offset;
  let join = link;
  let type = bare(dwarf, outer.type, false);
  const target = wanted === undefined ? undefined : bare(dwarf, wanted, false);
  const isWanted = () =>
    target !== undefined && left === 0 && type?.kind === target.kind && type.index === target.index;
  for (let depth = 0; type && depth < 16; depth++) {
    if (isWanted()) return { text, type: type.index };
    if (type.kind === 'typedef') type = bare(dwarf, type.target, false);
    else if (type.kind === 'array') {
      const element = bare(dwarf, type.target);
      if (!element?.size) return undefined;
      text += `[${Math.floor(left / element.size)}]`;
      left %= element.size;
      join = '.';
      type = bare(dwarf, type.target, false);
    } else if (type.kind === 'struct') {
      if (left === 0 && target === undefined && join === '.') return { text, type: type.index };
      const inner = type.members.find(
        ({ bitOffset, bitSize, bitField }) => !bitField && bitOffset <= left * 8 && left * 8 < bitOffset + bitSize,
      );
      if (!inner) return depth === 0 && left === 0 ? { text, type: type.index } : undefined;
      if (inner.name !== '') text += `${join}${inner.name}`;
      left -= inner.bitOffset / 8;
      if (inner.name !== '') join = '.';
      type = bare(dwarf, inner.type, false);
    } else
      return left === 0 && (target === undefined || type.kind === 'pointer') ? { text, type: type.index } : undefined;
  }
  return undefined;
}

/** A lock in words. */
export function lockText({ text, value }: Lock): string {
  return text ?? valueText(value);
}

function valueText({ root, offset }: Value): string {
  const more = offset === 0 ? '' : `+${offset}`;
  if (root.kind === 'symbol') return `${plainName(root.name)}${more}`;
  if (root.kind === 'parameter') return `parameter ${root.index + 1}${more}`;
  if (root.kind === 'result') return `${plainName(root.name)}()${more}`;
  return root.kind === 'load' ? `*(${valueText(root.from)})${more}` : root.kind;
}
