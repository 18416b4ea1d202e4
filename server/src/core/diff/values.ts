import { isNobits, placesOf } from '../asm/places.ts';
import type { DwarfVariable } from '../dwarf/types.ts';
import type { ElfSymbol } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import { createMeaning, type Meaning } from './meaning.ts';
import { createSide } from './side.ts';
import { declare, typeTable } from './type-table.ts';
import type { DataChange, ObjectDiff, ObjectPair } from './types.ts';
import {
  bytesOf,
  byteText,
  dimensionsOf,
  pointerText,
  relocationAt,
  type Spot,
  sourceOf,
  type ValueSource,
} from './value-text.ts';
import { buildTree } from './value-tree.ts';

/** One part of a data object before and after: a tree, as the type has it. */
export interface ValueNode {
  /** In its aggregate, on each side: `.name`, `[3]`; the name of the object for the root; absent where that side lacks it. */
  readonly base?: ValuePart;
  readonly next?: ValuePart;
  /** From the object on: `handlers[3].name`; of the next side where it has the part. */
  readonly path: string;
  readonly changed: boolean;
  /** One of the members of a union: its bytes are those of the others. */
  readonly alternative: boolean;
  /** Members or elements; empty for values. */
  readonly children: readonly ValueNode[];
}

/** One side of a part. */
export interface ValuePart {
  readonly label: string;
  /** The value in one line; of an aggregate a shortened initialiser: `{.name = "get", .flags = 4}`. */
  readonly text: string;
  /** Bytes from the start of the object, and bytes. */
  readonly at: number;
  readonly size: number;
}

/** A changed, new or removed data object as values. */
export interface DataValues {
  readonly name: string;
  /** C declaration of each side, e.g. `struct handler handlers[4]`; empty where debug information lacks it. */
  readonly baseDeclaration: string;
  readonly nextDeclaration: string;
  /** False where one side has no debug information about it: the values are bytes, eight in a row. */
  readonly typed: boolean;
  readonly root: ValueNode;
  /** More parts than are read: some were compared as a whole. */
  readonly cut: boolean;
}

/** What the comparison of one pair's values shares. */
export interface ValueContext {
  readonly meaning: Meaning;
  /** Labels of types whose layout or meaning changed: equal bytes do not make equal values. */
  readonly changedTypes: ReadonlySet<string>;
}

const contexts = new WeakMap<ObjectDiff, ValueContext>();

function contextOf(pair: ObjectPair, diff: ObjectDiff): ValueContext {
  let context = contexts.get(diff);
  if (!context) {
    const backward = new Map([...diff.pairing].map(([base, next]) => [next, base]));
    const pairing = { forward: diff.pairing, backward, problems: [] };
    context = {
      meaning: createMeaning(createSide(pair.base), createSide(pair.next), pairing),
      changedTypes: new Set(diff.types.map((type) => type.label ?? type.name)),
    };
    contexts.set(diff, context);
  }
  return context;
}

/** The debug information's entry for a symbol: by its place, else by its global name. */
function variableOf(object: ObjectModel, symbol: ElfSymbol): DwarfVariable | undefined {
  const { variables } = object.dwarf;
  return (
    variables.find(({ place }) => place?.section === symbol.place && place.offset === symbol.offset) ??
    (symbol.bind === 'local'
      ? undefined
      : variables.find((each) => each.external && (each.linkageName ?? each.name) === symbol.name))
  );
}

/**
 * The values of a data object before and after, through the debug information: structs by member, arrays by element (paired by
 * alignment, so that one that was inserted does not shift the rest), pointers by what they mean, enums by name. Without debug information:
 * its bytes.
 */
export function compareValues(pair: ObjectPair, diff: ObjectDiff, change: DataChange): DataValues {
  const context = contextOf(pair, diff);
  const side = (object: ObjectModel, symbol: ElfSymbol | undefined) => {
    if (!symbol) return undefined;
    const source = sourceOf(object, typeTable(object.dwarf), placesOf(object.elf), symbol);
    const variable = variableOf(object, symbol);
    const known = variable !== undefined && source.table.get(source.table.strip(variable.type)) !== undefined;
    const declaration = known ? declare(source.table, variable.type, variable.name) : '';
    const spot: Spot = {
      type: known ? variable.type : -1,
      at: 0,
      size: symbol.size,
      ...(known ? { dimensions: dimensionsOf(source, variable.type, symbol.size) } : {}),
    };
    return { source, spot, declaration, known };
  };
  const base = side(pair.base, change.base);
  const next = side(pair.next, change.next);
  const typed = (base?.known ?? true) && (next?.known ?? true) && (base ?? next) !== undefined;
  const name = (change.next ?? change.base)?.name.replace(/\.\d+$/, '') ?? change.name;
  const built = typed
    ? buildTree(context, name, base, next)
    : { root: bytesTree(context, name, base?.source, next?.source), cut: false };
  return {
    name,
    baseDeclaration: base?.declaration ?? '',
    nextDeclaration: next?.declaration ?? '',
    typed,
    ...built,
  };
}

/** Rows of bytes that are compared, at most. */
const MOST_ROWS = 4096;
const ROW = 8;

/** Eight bytes or a pointer a row. */
function bytesTree(
  context: ValueContext,
  name: string,
  base: ValueSource | undefined,
  next: ValueSource | undefined,
): ValueNode {
  const size = Math.max(base?.size ?? 0, next?.size ?? 0);
  const children: ValueNode[] = [];
  const part = (source: ValueSource | undefined, at: number, label: string): ValuePart | undefined => {
    if (!source || at >= source.size) return undefined;
    const length = Math.min(ROW, source.size - at);
    const relocation = relocationAt(source, at, length);
    const bytes = byteText(bytesOf(source, at, length));
    const text = relocation ? `${bytes} → ${pointerText(source, relocation)}` : bytes;
    return { label, text, at, size: length };
  };
  for (let at = 0; at < size && children.length < MOST_ROWS; at += ROW) {
    const label = `+0x${at.toString(16)}`;
    const from = part(base, at, label);
    const to = part(next, at, label);
    children.push({
      ...(from ? { base: from } : {}),
      ...(to ? { next: to } : {}),
      path: `${name}${label}`,
      changed: from?.text !== to?.text || !sameReferences(context, base, next, at, ROW),
      alternative: false,
      children: [],
    });
  }
  const whole = (source: ValueSource | undefined): ValuePart | undefined =>
    source && { label: name, text: `${source.size} bytes`, at: 0, size: source.size };
  const from = whole(base);
  const to = whole(next);
  return {
    ...(from ? { base: from } : {}),
    ...(to ? { next: to } : {}),
    path: name,
    changed: children.some((child) => child.changed),
    alternative: false,
    children,
  };
}

function sameReferences(
  { meaning }: ValueContext,
  base: ValueSource | undefined,
  next: ValueSource | undefined,
  at: number,
  size: number,
): boolean {
  if (!base?.section || !next?.section) return base?.section === next?.section;
  if (isNobits(base.section) && isNobits(next.section)) return true;
  const from = base.start + at;
  const to = next.start + at;
  return meaning.sameRelocations(base.section.index, from, next.section.index, to, size);
}
