import { listBody } from '../asm/listing.ts';
import { displayName } from '../asm/names.ts';
import { placesOf } from '../asm/places.ts';
import type { AsmRow } from '../asm/types.ts';
import { type Reference, referencesFrom } from '../diff/references.ts';
import { plainName } from '../diff/signatures.ts';
import type { DwarfFunction, DwarfPrototype, SourceLocation } from '../dwarf/types.ts';
import { EM_AARCH64 } from '../elf/constants.ts';
import { lazy } from '../elf/lazy.ts';
import type { ElfSymbol } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import { areDifferent, type Lock, parametersOf, type Surroundings, spell } from './lock-identity.ts';
import { isLocking } from './lock-names.ts';
import { calleeIn, isColdPart, rowGraphOf } from './rows-graph.ts';
import { argumentRegisters, parameters, type State, statesOf } from './values.ts';

/** One call of such a function. */
export interface LockCall {
  readonly name: string;
  /** The lock, where the code tells which it is: an object, or something at a known distance behind a parameter, a pointer in memory or a result. */
  readonly lock?: Lock;
  readonly at?: SourceLocation;
}

/** Pieces that gcc splits off a function. */
const PART = /\.(cold|part)(\.|$)/;

/** How deep functions that only one side has are looked into, and how many bodies in all. */
const DEPTH = 8;
const BODIES = 256;

/** What else belongs to a function. */
export interface Scope {
  /** Functions that only this side has. */
  readonly only: ReadonlySet<string>;
  /** Functions that the other side has inlined: where they are called, they are looked into. */
  readonly inlined: ReadonlySet<string>;
  /** Functions that this side has inlined: the parts of them that are still called belong to them. */
  readonly own: ReadonlySet<string>;
}

/**
 * The calls of a function in the order of the source, each place once: where the compiler lays the code out otherwise, or copies a path, nothing is locked
 * otherwise. An inlined call counts where it stands in the function, whatever its line in a header is. The parts that a compiler splits off (.cold, .part) are its own code;
 * so is what it calls that only this side has, or that the compiler inlines on the other side.
 */
export function lockCalls(
  object: ObjectModel,
  symbol: ElfSymbol | undefined,
  scope: Scope = { only: new Set(), inlined: new Set(), own: new Set() },
): LockCall[] {
  if (!symbol) return [];
  const calls: PlacedCall[] = [];
  const bodies = lazy(() => bodiesByName(object, scope));
  const arm = object.elf.machine === EM_AARCH64;
  // What a clone's registers are is for the compiler to choose.
  const entry: State = plainName(symbol.name) === symbol.name ? parameters(arm) : new Map();
  const names = lazy(() => parametersOf(object, symbol));
  collect(
    object,
    symbol,
    { scope, bodies, inside: new Set(), left: { bodies: BODIES }, path: [], entry, arm, names },
    calls,
  );
  calls.sort((a, b) => byPath(a.path, b.path) || a.row - b.row);
  const merged: PlacedCall[] = [];
  for (const call of calls) {
    const last = merged.at(-1);
    if (!last || !samePlace(last, call)) merged.push(call);
    else if (last.lock?.value.key !== call.lock?.value.key) merged[merged.length - 1] = withoutLock(last, call);
  }
  return merged.map(({ row: _, path: __, ...call }) => call);
}

/** Copies of one call whose lock is not the same, or not known, in all: it is the same expression. */
function withoutLock({ lock, ...call }: PlacedCall, copy: PlacedCall): PlacedCall {
  const one = lock && copy.lock ? undefined : (lock ?? copy.lock);
  return one?.value.root.kind === 'symbol' ? { ...call, lock: one } : call;
}

/** A call, which one it is in the order of the code, and the places from the function to it: inlined calls, and its own. */
type PlacedCall = LockCall & { readonly row: number; readonly path: readonly SourceLocation[] };

function byPath(a: readonly SourceLocation[], b: readonly SourceLocation[]): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const order = a[i]!.line - b[i]!.line || (a[i]!.column ?? 0) - (b[i]!.column ?? 0);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

/** Copies of one call. Two objects that are named are two calls; other locks may look otherwise in a copy: of a loop, the first turn. */
const samePlace = (a: PlacedCall, b: PlacedCall): boolean =>
  a.path.length > 0 &&
  a.path.at(-1)!.line > 0 &&
  byPath(a.path, b.path) === 0 &&
  a.name === b.name &&
  (a.lock?.value.root.kind !== 'symbol' ||
    b.lock?.value.root.kind !== 'symbol' ||
    a.lock.value.key === b.lock.value.key);

interface Search {
  readonly scope: Scope;
  /** The functions of the scope, and parts of functions, by the names that listings show. */
  readonly bodies: () => ReadonlyMap<string, ElfSymbol>;
  /** The functions that are being looked into. */
  readonly inside: Set<ElfSymbol>;
  readonly left: { bodies: number };
  /** The places of the calls that led here. */
  readonly path: readonly SourceLocation[];
  /** What the registers hold at the entry. */
  readonly entry: State;
  readonly arm: boolean;
  /** Parameters of the function that the search began with. */
  readonly names: () => DwarfFunction['parameters'];
}

/** Adds the calls of one function to the others. */
function collect(object: ObjectModel, symbol: ElfSymbol, search: Search, calls: PlacedCall[]): void {
  const { scope, inside, arm } = search;
  const own = plainName(symbol.name);
  const isPart = (callee: string) => PART.test(callee) && plainName(callee) === own;
  const matters = ({ call, target }: Reference) =>
    (call && isLocking(target.name)) || isPart(target.name) || belongs(scope, target.name);
  if (inside.size >= DEPTH || inside.has(symbol) || search.left.bodies-- <= 0) return;
  if (!referencesFrom(object, [symbol]).some(matters)) return;
  const graph = rowGraphOf(object, symbol);
  const body = placesOf(object.elf).bodyOf(symbol);
  const rows = graph?.rows ?? (body ? listBody(object, body) : []);
  const states = graph ? statesOf(graph, search.entry, arm) : [];
  inside.add(symbol);
  for (const [row, one] of rows.entries()) {
    const callee = calleeIn(one);
    if (callee === undefined || !/^(call|jmp|bl|b)$/.test(one.mnemonic)) continue;
    const part = search.bodies().get(callee);
    const before = calls.length;
    // The cold part's rows are among those of the function.
    if (part && !isColdPart(part.name) && (isPart(callee) || belongs(scope, part.name)))
      collect(object, part, { ...search, path: pathTo(one, search), entry: handedOver(states[row], arm) }, calls);
    if (!isLocking(callee) || calls.length > before) continue;
    const lock = lockOf(object, callee, states[row], search);
    const at = one.source;
    calls.push({
      name: callee,
      row: calls.length,
      path: pathTo(one, search),
      ...(lock && { lock }),
      ...(at && { at }),
    });
  }
  inside.delete(symbol);
}

const belongs = ({ only, inlined, own }: Scope, name: string): boolean =>
  only.has(name) || inlined.has(plainName(name)) || (PART.test(name) && own.has(plainName(name)));

/** What a callee finds in the argument registers. Distances in the caller's stack mean nothing there. */
function handedOver(state: State | undefined, arm: boolean): State {
  return new Map(
    argumentRegisters(arm).flatMap((name) => {
      const value = state?.get(name);
      return value && value.root.kind !== 'stack' ? [[name, value] as const] : [];
    }),
  );
}

/** The lock that a call is given. */
export function lockOf(
  object: ObjectModel,
  callee: string,
  state: State | undefined,
  { arm, names }: Pick<Search, 'arm' | 'names'>,
): Lock | undefined {
  const value = state?.get(argumentRegisters(arm)[0]!);
  if (!value || value.root.kind === 'stack' || value.root.kind === 'constant') return undefined;
  const prototype = prototypeOf(object, callee);
  if (prototype ? prototype.parameters.length === 0 : !takesLock(callee, value.key === '#0')) return undefined;
  const type = object.dwarf.types[prototype?.parameters[0]?.type ?? -1];
  const wanted = type?.kind === 'pointer' && type.target >= 0 ? type.target : undefined;
  const text = spell(object, names(), value, wanted);
  return { value, ...(text !== undefined && { text }) };
}

/**
 * Whether a function without a declaration (clang gives none for names that begin with `_`) has the lock as an argument. rcu_read_lock() and others have
 * none: the register still holds what the caller was given (`untouched`), or anything.
 */
const takesLock = (name: string, untouched: boolean): boolean =>
  !/(^|_)rcu_/.test(name) && (!untouched || /spin_|mutex_|rwlock|(read|write)_(un)?lock|^(down|up)/.test(name));

/** Whether a function that takes a lock may come back without it, as its result tells: lock_task_sighand(). */
export function mayFail(object: ObjectModel, name: string): boolean {
  const prototype = prototypeOf(object, name);
  return prototype !== undefined && prototype.returnType >= 0 && !/irqsave|^pthread_/.test(name);
}

const prototypes = new WeakMap<ObjectModel, ReadonlyMap<string, DwarfPrototype>>();

function prototypeOf(object: ObjectModel, name: string): DwarfPrototype | undefined {
  let known = prototypes.get(object);
  if (!known) {
    known = new Map(object.dwarf.prototypes.map((one) => [one.name, one]));
    prototypes.set(object, known);
  }
  return known.get(name);
}

const pathTo = ({ inlinedAt, source }: AsmRow, { path }: Search): SourceLocation[] =>
  [...path, ...(inlinedAt ?? []), source].flatMap((place) => place ?? []);

function bodiesByName(object: ObjectModel, scope: Scope): ReadonlyMap<string, ElfSymbol> {
  const map = new Map<string, ElfSymbol>();
  for (const { symbols } of placesOf(object.elf).bodies)
    for (const symbol of symbols)
      if (belongs(scope, symbol.name) || PART.test(symbol.name)) map.set(displayName(object, symbol), symbol);
  return map;
}

/** Whether two sequences take and release otherwise. A lock that one side does not name may be any. */
export function sameLocking(before: readonly LockCall[], after: readonly LockCall[], around: Surroundings): boolean {
  if (before.length !== after.length) return false;
  const same = before.every(({ name, lock }, i) => {
    const other = after[i]!;
    return name === other.name && !areDifferent(lock, other.lock, around);
  });
  return same && !isReordered(before, after, around);
}

/** The same locks in another order: also where it cannot be told of two of them whether they are one, as of a parameter and a pointer in memory. */
function isReordered(before: readonly LockCall[], after: readonly LockCall[], { base, next }: Surroundings): boolean {
  const keys = [before, after].map((calls) => calls.map(({ lock }) => lock?.value.key ?? ''));
  if (keys.some((list) => list.includes('')) || base.join() !== next.join()) return false;
  const [a, b] = keys.map((list) => list.join('\n'));
  const [sortedA, sortedB] = keys.map((list) => [...list].sort().join('\n'));
  return a !== b && sortedA === sortedB;
}
