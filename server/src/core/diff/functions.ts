import { type Body, isMapping } from '../asm/places.ts';
import { functionAt } from '../asm/source.ts';
import { firstAt } from '../asm/targets.ts';
import type { ElfSymbol } from '../elf/types.ts';
import type { CodeComparer } from './code.ts';
import type { ConstantUsers } from './constants.ts';
import type { Side } from './meaning.ts';
import type { Pairing } from './pair.ts';
import { cloneStem } from './pair-keys.ts';

/** A function that differs, before anything is said about why. */
export interface BodyChange {
  readonly name: string;
  readonly status: 'changed' | 'new' | 'removed';
  readonly base?: Body;
  readonly next?: Body;
  readonly baseSymbol?: ElfSymbol;
  readonly nextSymbol?: ElfSymbol;
  /** Function that this is a clone or cold part of. */
  readonly parent?: string;
  /** The code is the same; it is in the patch because this member of its family is. */
  readonly because?: string;
  /** Names of changed constants that it uses: it is in the patch for their sake, whether its code is the same or not. */
  readonly constants?: readonly string[];
}

/** The functions of a pair: those that differ, and how many do not. */
export interface FunctionComparison {
  readonly changes: readonly BodyChange[];
  readonly same: number;
}

/** Compares every function with its partner. Several names of one piece of code count as one function. */
export function compareFunctions(
  base: Side,
  next: Side,
  pairing: Pairing,
  code: CodeComparer,
  constants: Pick<ConstantUsers, 'of'>,
): FunctionComparison {
  const found: BodyChange[] = [];
  const unchanged: BodyChange[] = [];
  const reached = new Set<Body>();
  for (const body of base.places.bodies) {
    const partners = new Map<Body, { from: ElfSymbol; to: ElfSymbol }>();
    const lost: ElfSymbol[] = [];
    for (const symbol of ownNameFirst(base, body)) {
      const index = pairing.forward.get(symbol.index);
      const to = index === undefined ? undefined : next.elf.symbols[index];
      const partner = to ? next.places.bodyOf(to) : undefined;
      if (to && partner) {
        if (!partners.has(partner)) partners.set(partner, { from: symbol, to });
      } else lost.push(symbol);
    }
    // A name that is gone is a removal; local second names are the assembler's affair.
    for (const symbol of lost) {
      if (partners.size > 0 && symbol.bind === 'local') continue;
      if (partners.size === 0 && symbol !== lost[0] && symbol.bind === 'local') continue;
      found.push(lone(base, 'removed', body, symbol));
    }
    for (const [partner, { from, to }] of partners) {
      reached.add(partner);
      const names = constants.of(body, partner);
      const pair = changed(base, next, body, partner, from, to);
      const change = names.length > 0 ? { ...pair, constants: names } : pair;
      const same = names.length === 0 && code.same(body, partner) && sameEntries(base, next, pairing, body, partner);
      if (same) unchanged.push(change);
      else found.push(change);
    }
  }
  for (const body of next.places.bodies) {
    for (const symbol of body.symbols) {
      if (pairing.backward.has(symbol.index) && reached.has(body)) continue;
      const other = pairing.backward.get(symbol.index);
      if (other !== undefined && base.places.bodyOf(base.elf.symbols[other]!)) continue;
      if (symbol !== body.symbols[0] && symbol.bind === 'local') continue;
      found.push(lone(next, 'new', body, symbol));
    }
  }
  const family = completeFamilies(found, unchanged);
  const changes = [...found, ...family].filter((change) => !isPrefix(change.name, change.parent)).sort(inOrder);
  return { changes, same: unchanged.length - family.length };
}

/** Names in the middle of a function, which assembly calls and jumps to, stand for the same instruction. */
function sameEntries(base: Side, next: Side, pairing: Pairing, from: Body, to: Body): boolean {
  return entriesIn(base, from).every((label) => {
    const index = pairing.forward.get(label.index);
    const other = index === undefined ? undefined : next.elf.symbols[index];
    if (other?.place !== to.section || other.offset < to.start || other.offset >= to.start + to.size) return true;
    const [before, after] = [label.offset - from.start, other.offset - to.start];
    const ordinal = base.scanOf(from)?.ordinalAt(before) ?? -1;
    return ordinal >= 0 ? ordinal === next.scanOf(to)?.ordinalAt(after) : before === after;
  });
}

const entries = new WeakMap<Side, ReadonlyMap<number, readonly ElfSymbol[]>>();

/** Names without a type in the middle of a function. */
function entriesIn(side: Side, { section, start, size }: Body): readonly ElfSymbol[] {
  let bySection = entries.get(side);
  if (!bySection) {
    const found = new Map<number, ElfSymbol[]>();
    for (const symbol of side.elf.symbols) {
      const { type, place, name } = symbol;
      if (type !== 'notype' || typeof place !== 'number' || name === '' || isMapping(side.elf, symbol)) continue;
      const list = found.get(place);
      if (list) list.push(symbol);
      else found.set(place, [symbol]);
    }
    for (const list of found.values()) list.sort((a, b) => a.offset - b.offset);
    bySection = found;
    entries.set(side, found);
  }
  const all = bySection.get(section);
  if (!all) return [];
  const inside: ElfSymbol[] = [];
  for (let i = firstAt(all, start + 1); i < all.length && all[i]!.offset < start + size; i++) inside.push(all[i]!);
  return inside;
}

/**
 * Clang's `-fsanitize=kcfi` puts the number of its type in front of a function, and Linux's objtool names the room that patchable entries have
 * there: parts with symbols of their own, not functions.
 */
function isPrefix(name: string, parent: string | undefined): boolean {
  return parent !== undefined && PREFIX.test(name) && name.replace(PREFIX, '') === parent;
}

const PREFIX = /^__(cfi|pfx)_/;

/** The names of a body, the one to report first: an indirect function, else the name in the debug information rather than an alias. */
function ownNameFirst(side: Side, body: Body): readonly ElfSymbol[] {
  if (body.symbols.length === 1) return body.symbols;
  const own = functionAt(side.object, body.section, body.start);
  const first =
    body.symbols.find((symbol) => symbol.type === 'ifunc') ??
    body.symbols.find((symbol) => symbol.name === (own?.linkageName ?? own?.name));
  return first ? [first, ...body.symbols.filter((symbol) => symbol !== first)] : body.symbols;
}

function changed(
  base: Side,
  next: Side,
  from: Body,
  to: Body,
  baseSymbol: ElfSymbol,
  nextSymbol: ElfSymbol,
): BodyChange {
  const parent = parentOf(base, baseSymbol) ?? parentOf(next, nextSymbol);
  return {
    name: baseSymbol.name,
    status: 'changed',
    base: from,
    next: to,
    baseSymbol,
    nextSymbol,
    ...(parent ? { parent } : {}),
  };
}

function lone(side: Side, status: 'new' | 'removed', body: Body, symbol: ElfSymbol): BodyChange {
  const parent = parentOf(side, symbol);
  return {
    name: symbol.name,
    status,
    ...(status === 'new' ? { next: body, nextSymbol: symbol } : { base: body, baseSymbol: symbol }),
    ...(parent ? { parent } : {}),
  };
}

const CLONE = /\.(cold|part|isra|constprop|lto_priv|localalias)(?=\.|$)/;

const functionNames = new WeakMap<Side, ReadonlySet<string>>();

/** Name of the function that a symbol is a compiler clone of, where that function exists. */
function parentOf(side: Side, symbol: ElfSymbol): string | undefined {
  const prefix = PREFIX.test(symbol.name);
  if (!prefix && !CLONE.test(symbol.name)) return undefined;
  let names = functionNames.get(side);
  if (!names) {
    names = new Set(side.places.bodies.flatMap((body) => body.symbols.map((one) => one.name)));
    functionNames.set(side, names);
  }
  if (prefix) {
    const own = symbol.name.replace(PREFIX, '');
    return names.has(own) ? own : undefined;
  }
  // The nearest one first: the cold part of a clone belongs to the clone.
  let name = symbol.name;
  for (let dot = name.lastIndexOf('.'); dot > 0; dot = name.lastIndexOf('.')) {
    name = name.slice(0, dot);
    if (names.has(name)) return name;
  }
  return cloneStem(symbol.name).split('.')[0];
}

/** A part of a function that cannot be changed without it: its cold part, what was split off, or the number of its type in front of it. */
export function isBoundPart(name: string): boolean {
  return /\.(cold|part)(\.|$)|^__cfi_/.test(name);
}

/**
 * A function and its cold part jump into each other's middle, so neither can be replaced alone: where one changed, the other
 * comes along. The same goes for a function whose split-off part (`.part`) changed: its head tests what the part relies on.
 */
function completeFamilies(found: readonly BodyChange[], unchanged: readonly BodyChange[]): BodyChange[] {
  const byName = new Map<string, BodyChange>();
  for (const change of unchanged) byName.set(change.name, change);
  const children = new Map<string, BodyChange[]>();
  for (const change of unchanged) {
    if (!change.parent || !/\.cold(\.|$)/.test(change.name)) continue;
    const list = children.get(change.parent);
    if (list) list.push(change);
    else children.set(change.parent, [change]);
  }
  const added = new Map<string, BodyChange>();
  const queue = [...found];
  for (let change = queue.pop(); change; change = queue.pop()) {
    const related = [...(children.get(change.name) ?? [])];
    const parent = change.parent && isBoundPart(change.name) ? byName.get(change.parent) : undefined;
    if (parent) related.push(parent);
    for (const one of related) {
      if (added.has(one.name)) continue;
      const member = { ...one, because: change.name };
      added.set(one.name, member);
      queue.push(member);
    }
  }
  return [...added.values()];
}

/** In the order of the next object's code; removed functions last. */
function inOrder(a: BodyChange, b: BodyChange): number {
  const left = a.next ?? a.base!;
  const right = b.next ?? b.base!;
  return (
    Number(a.next === undefined) - Number(b.next === undefined) ||
    left.section - right.section ||
    left.start - right.start
  );
}
