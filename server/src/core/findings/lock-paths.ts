import { displayName } from '../asm/names.ts';
import type { AsmRow } from '../asm/types.ts';
import { referencesFrom } from '../diff/references.ts';
import { plainName } from '../diff/signatures.ts';
import type { SourceLocation } from '../dwarf/types.ts';
import { EM_AARCH64 } from '../elf/constants.ts';
import type { ElfSymbol } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import { lockOf, mayFail } from './lock-calls.ts';
import { areDifferent, type Lock, lockText, mayBeSame, parametersOf, type Surroundings } from './lock-identity.ts';
import { isAcquire, isLocking, isRelease } from './lock-names.ts';
import { calleeIn, functionNamed, isCallRow, isJoinBehind, type RowGraph, rowGraphOf } from './rows-graph.ts';
import { parameters, type State, statesOf } from './values.ts';

/** What a function does with locks on its ways. */
export interface LockPaths {
  /** Locks with which a way leads to a return: taken on it, released on others. */
  readonly kept: readonly { readonly lock: Lock; readonly at?: SourceLocation }[];
  /** Locks that are taken and released. */
  readonly used: readonly Lock[];
  /** Calls of other functions by name: at how many places with a lock for sure, and with none for sure, of how many. */
  readonly calls: ReadonlyMap<string, Held>;
}

interface Held {
  readonly always: number;
  readonly never: number;
  readonly places: number;
  readonly at?: SourceLocation;
}

/** What a row does: takes a lock (`sure`: on each way on), releases one, or may release any. */
type Event = { readonly take: Lock; readonly sure: boolean } | { readonly release: Lock | undefined } | undefined;

/** More rows times locks than this are not walked. */
const MAX_WORK = 400_000;
/** Calls of functions of the unit are followed this deep. */
const MAX_DEPTH = 4;
/** Calls whose place says nothing: messages, and what the compiler puts in. */
const beside = /^__|print|log|warn|debug|dbg|trace|lockdep/i;

/** Follows the locks of a function along its control flow; undefined where that is not known well enough. */
export function lockPaths(object: ObjectModel, symbol: ElfSymbol): LockPaths | undefined {
  if (!referencesFrom(object, [symbol]).some(({ call, target }) => call && isRelease(target.name))) return undefined;
  const graph = rowGraphOf(object, symbol);
  if (!graph || graph.orphans.length > 0) return undefined;
  const arm = object.elf.machine === EM_AARCH64;
  const entry: State = plainName(symbol.name) === symbol.name ? parameters(arm) : new Map();
  const states = statesOf(graph, entry, arm);
  const names = () => parametersOf(object, symbol);
  const events = eventsOf(object, graph, (callee, row) => lockOf(object, callee, states[row], { arm, names }));
  const locks = new Map<string, Lock>();
  for (const event of events) if (event && 'take' in event) locks.set(event.take.value.key, event.take);
  if (locks.size === 0 || graph.rows.length * locks.size > MAX_WORK) return undefined;
  const held = heldBefore(graph, events, locks);
  const ends = reachingExit(graph);
  const used: Lock[] = [];
  const kept: { lock: Lock; at?: SourceLocation }[] = [];
  for (const [key, lock] of locks) {
    if (!events.some((one) => one && 'release' in one && one.release && mayBeSame(one.release, lock))) continue;
    used.push(lock);
    const releasing = mayRelease(graph, events, lock);
    const at = graph.rows.findIndex((_, i) => ends.has(i) && !releasing.has(i) && held.sure[i]?.has(key));
    if (at >= 0) kept.push({ lock, ...(placeOf(graph.rows[at]!) && { at: placeOf(graph.rows[at]!)! }) });
  }
  return { kept, used, calls: callsHeld(graph, held) };
}

const placeOf = ({ inlinedAt, source }: AsmRow): SourceLocation | undefined => inlinedAt?.[0] ?? source;

function eventsOf(
  object: ObjectModel,
  { rows }: RowGraph,
  lockAt: (callee: string, row: number) => Lock | undefined,
): Event[] {
  const releases = (row: AsmRow) => /^(call|jmp|bl|b)$/.test(row.mnemonic) && isRelease(calleeIn(row) ?? '');
  // An inlined unlock without a call in it: what it releases is not known.
  const called = new Set(rows.flatMap((row) => (releases(row) ? row.inlinedFrom : [])));
  return rows.map((row, at) => {
    const callee = /^(call|jmp|bl|b)$/.test(row.mnemonic) ? calleeIn(row) : undefined;
    if (row.inlinedFrom.some((name) => isRelease(name) && !called.has(name))) return { release: undefined };
    if (callee === undefined) return undefined;
    if (isRelease(callee)) return { release: lockAt(callee, at) };
    if (!isLocking(callee)) return releasesInside(object, callee, 0) ? { release: undefined } : undefined;
    const lock = lockAt(callee, at);
    return lock && { take: lock, sure: isAcquire(callee) && !mayFail(object, callee) };
  });
}

const inside = new WeakMap<ObjectModel, Map<string, boolean>>();

/** Whether a function of this object, or one that it calls, releases a lock. */
function releasesInside(object: ObjectModel, name: string, depth: number): boolean {
  let known = inside.get(object);
  if (!known) {
    known = new Map();
    inside.set(object, known);
  }
  const answer = known.get(name);
  if (answer !== undefined || depth >= MAX_DEPTH) return answer ?? false;
  known.set(name, false);
  const symbol = functionNamed(object, name);
  const found =
    symbol !== undefined &&
    referencesFrom(object, [symbol]).some(
      ({ call, target }) =>
        call && (isRelease(target.name) || releasesInside(object, displayName(object, target), depth + 1)),
    );
  known.set(name, found);
  return found;
}

interface HeldBefore {
  /** Locks that are held on all ways to a row; undefined for rows that are not reached. */
  readonly sure: readonly (ReadonlySet<string> | undefined)[];
  /** Locks that are held on some way. */
  readonly maybe: readonly (ReadonlySet<string> | undefined)[];
}

function heldBefore({ rows, next }: RowGraph, events: readonly Event[], locks: ReadonlyMap<string, Lock>): HeldBefore {
  const sure: (Set<string> | undefined)[] = new Array(rows.length);
  const maybe: (Set<string> | undefined)[] = new Array(rows.length);
  sure[0] = new Set();
  maybe[0] = new Set();
  const queue = [0];
  for (let at = queue.pop(); at !== undefined; at = queue.pop()) {
    const event = events[at];
    const all = new Set(sure[at]);
    const some = new Set(maybe[at]);
    if (event && 'take' in event) {
      some.add(event.take.value.key);
      if (event.sure) all.add(event.take.value.key);
    } else if (event) {
      for (const key of all) if (mayBeSame(event.release, locks.get(key))) all.delete(key);
      if (event.release) some.delete(event.release.value.key);
    }
    for (const to of next[at]!) {
      const a = sure[to];
      const b = maybe[to];
      if (!a || !b) {
        sure[to] = new Set(all);
        maybe[to] = new Set(some);
        queue.push(to);
        continue;
      }
      const before = a.size - b.size;
      for (const key of a) if (!all.has(key)) a.delete(key);
      for (const key of some) b.add(key);
      if (a.size - b.size !== before) queue.push(to);
    }
  }
  return { sure, maybe };
}

/** Rows from which the function can be left. */
function reachingExit({ next, exits }: RowGraph): ReadonlySet<number> {
  return backwards(next, [...exits]);
}

/** Rows from which some way releases a lock, or may: also where it is not sure that a call comes back to what stands behind it. */
function mayRelease({ rows, next }: RowGraph, events: readonly Event[], lock: Lock): ReadonlySet<number> {
  const doubtful = (i: number) => isCallRow(rows[i]!) && isJoinBehind(rows, i);
  const returning = new Set(
    rows.flatMap((row, i) => (isCallRow(row) && rows[i + 1] && !doubtful(i) ? (calleeIn(row) ?? []) : [])),
  );
  const starts = rows.flatMap((row, i) => {
    const event = events[i];
    if (event && 'release' in event && mayBeSame(event.release, lock)) return [i];
    return doubtful(i) && !returning.has(calleeIn(row) ?? '') ? [i] : [];
  });
  return backwards(next, starts);
}

function backwards(next: readonly (readonly number[])[], starts: readonly number[]): ReadonlySet<number> {
  const previous: number[][] = next.map(() => []);
  for (const [from, list] of next.entries()) for (const to of list) previous[to]!.push(from);
  const found = new Set(starts);
  const stack = [...starts];
  for (let at = stack.pop(); at !== undefined; at = stack.pop())
    for (const from of previous[at]!) {
      if (found.has(from)) continue;
      found.add(from);
      stack.push(from);
    }
  return found;
}

function callsHeld({ rows, exits }: RowGraph, { sure, maybe }: HeldBefore): ReadonlyMap<string, Held> {
  const places = new Map<string, Map<string, { always: boolean; never: boolean; at: SourceLocation | undefined }>>();
  for (const [i, row] of rows.entries()) {
    const name = isCallRow(row) || exits.has(i) ? calleeIn(row) : undefined;
    if (name === undefined || isLocking(name) || beside.test(name) || !sure[i] || !maybe[i]) continue;
    const path = [...(row.inlinedAt ?? []), row.source].map((at) => `${at?.line}:${at?.column}`).join(' ');
    const list = places.get(name) ?? new Map();
    places.set(name, list);
    const known = list.get(path) ?? { always: true, never: true, at: placeOf(row) };
    list.set(path, {
      ...known,
      always: known.always && sure[i]!.size > 0,
      never: known.never && maybe[i]!.size === 0,
    });
  }
  return new Map(
    [...places].map(([name, list]) => {
      const all = [...list.values()];
      const at = all[0]?.at;
      return [
        plainName(name),
        {
          always: all.filter(({ always }) => always).length,
          never: all.filter(({ never }) => never).length,
          places: all.length,
          ...(at && { at }),
        },
      ] as const;
    }),
  );
}

/** A difference between the ways of two versions of a function, in words. */
export interface PathChange {
  readonly text: string;
  readonly at?: SourceLocation;
}

/** Locks that are now kept on a way out, and calls that are now made without the lock that they were made with, or the other way round. */
export function pathChanges(before: LockPaths, after: LockPaths, around: Surroundings): PathChange[] {
  const same = (lock: Lock, other: Lock) => !areDifferent(other, lock, around);
  const changes: PathChange[] = [];
  for (const { lock, at } of after.kept) {
    if (before.kept.some((one) => same(lock, one.lock)) || !before.used.some((one) => same(lock, one))) continue;
    changes.push({ text: `a way out keeps ${lockText(lock)}, which it did not before`, ...(at && { at }) });
  }
  for (const [name, now] of after.calls) {
    const old = before.calls.get(name);
    if (!old || old.places !== now.places) continue;
    const place = now.at && { at: now.at };
    if (now.always < old.always && now.never > old.never)
      changes.push({ text: `${name}() was called with a lock held, and is called without one now`, ...place });
    else if (now.always > old.always && now.never < old.never)
      changes.push({ text: `${name}() was called without a lock, and is called with one held now`, ...place });
  }
  return changes;
}
