import { displayName } from '../asm/names.ts';
import type { AsmRow } from '../asm/types.ts';
import { referencesFrom, referencesOf } from '../diff/references.ts';
import type { SourceLocation } from '../dwarf/types.ts';
import { EM_AARCH64 } from '../elf/constants.ts';
import type { ElfSymbol } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import { isLocking } from './lock-names.ts';
import { calleeIn, functionNamed, isCallRow, type RowGraph, rowGraphOf } from './rows-graph.ts';
import { argumentRegisters, statesOf } from './values.ts';

/** Waits for the next event, client or request: a loop around it serves as long as the program works. */
const serving =
  /^(epoll_p?wait2?|accept4?|sigwait(info)?|sigtimedwait|msgrcv|mq_(timed)?receive|kevent|io_getevents|io_uring_(wait_cqe\w*|submit_and_wait\w*))$/;
/** Waits that a function may as well do a few times for one answer. */
const waiting = /^(__)?(p?poll|p?select|pthread_cond_(timed|clock)?wait|cnd_(timed)?wait|sem_(timed)?wait)(_chk)?$/;
/** Asked by the loop of a kernel thread. */
const threadEnds = /^kthread_(should_stop|should_park|freezable_should_stop|should_stop_or_park)$/;
/** What stands in a loop that only tries again: the transfer itself, time, errors and their messages. */
const trying =
  /^(__errno_location|(p?read|p?write)(v|64)?|recv(from|m?msg)?|send(to|m?msg)?|SSL_\w+|clock_\w+|gettimeofday|time|f?cntl|getsockopt|(__)?(mem|str|strn)[a-z]+(_chk)?|(__)?(v?f?printf|vsn?printf|snprintf|v?syslog|perror|warnx?|errx?)(_chk)?|__fdelt_\w+|free|malloc)$/;

/** Functions that make a thread, with the position of the thread's function among their arguments. */
const makers: ReadonlyMap<string, number> = new Map([
  ['pthread_create', 2],
  ['thrd_create', 1],
  ['kthread_run', 0],
  ['kthread_create', 0],
  ['kthread_create_on_node', 0],
  ['kthread_create_on_cpu', 0],
  ['kthread_run_on_cpu', 0],
]);

/** Calls of functions of the unit are followed this deep. */
const MAX_DEPTH = 3;

/** A loop that practically never ends, though it has an exit. */
export interface EndlessInPractice {
  readonly reason: string;
  /** The call in the loop that it waits in, or the one around which a thread's function loops. */
  readonly call: string;
  readonly at?: SourceLocation;
}

/** Finds in a function the loop of a thread, or one that waits for events; undefined where there is none. */
export function waitingLoop(object: ObjectModel, symbol: ElfSymbol): EndlessInPractice | undefined {
  const graph = rowGraphOf(object, symbol);
  if (!graph) return undefined;
  const maker = threadFunctions(object).get(displayName(object, symbol));
  const calls = graph.rows.flatMap((row, at) => (isCallRow(row) ? [at] : []));
  const waitsAt = new Map(calls.flatMap((at) => [[at, waitOf(object, graph.rows[at]!)] as const]));
  // What it waits in says more than what else a loop calls.
  for (const at of [...calls].sort((a, b) => Number(!waitsAt.get(a)) - Number(!waitsAt.get(b)) || a - b)) {
    const row = graph.rows[at]!;
    const name = calleeIn(row) ?? '';
    const waits = waitsAt.get(at);
    if (waits === undefined && !(maker && isWork(row, true))) continue;
    const loop = loopAround(graph, at);
    if (!loop) continue;
    const place = row.source && { at: row.source };
    const call = name === '' ? 'a pointer' : name;
    if (maker) {
      const reason = `it is the function of a thread (${maker.from}() passes it to ${maker.call}()) and loops around ${call === name ? `${call}()` : 'a call'}`;
      return { reason, call, ...place };
    }
    const works =
      [...loop].some((one) => one !== at && isWork(graph.rows[one]!, serving.test(waits!))) ||
      (waits !== name && worksInside(object, name));
    if (!works && !threadEnds.test(waits!)) continue;
    const how = waits === name ? `${waits}()` : `${waits}(), by way of ${name}()`;
    const what = threadEnds.test(waits!)
      ? `it loops until ${how} tells it to end`
      : `it waits in a loop (${how}) and does what comes`;
    return { reason: what, call: waits!, ...place };
  }
  return undefined;
}

/** The wait that a call is, or that a function of the unit which it calls is made for. */
function waitOf(object: ObjectModel, row: AsmRow): string | undefined {
  const name = calleeIn(row);
  if (name === undefined) return undefined;
  if (serving.test(name) || waiting.test(name) || threadEnds.test(name)) return name;
  return servesInside(object, name, 0);
}

const inside = new WeakMap<ObjectModel, Map<string, string | undefined>>();

/** The wait for an event in a function of this object, or in one that it calls. */
function servesInside(object: ObjectModel, name: string, depth: number): string | undefined {
  let known = inside.get(object);
  if (!known) {
    known = new Map();
    inside.set(object, known);
  }
  if (known.has(name) || depth >= MAX_DEPTH) return known.get(name);
  // Stands for itself where it calls itself.
  known.set(name, undefined);
  // Nothing is looked for where nothing of the kind is called.
  const symbol = object.elf.symbols.some((one) => serving.test(one.name)) ? functionNamed(object, name) : undefined;
  const callees = symbol
    ? referencesFrom(object, [symbol]).flatMap(({ call, target }) => (call ? [displayName(object, target)] : []))
    : [];
  const found =
    callees.find((callee) => serving.test(callee)) ??
    callees.flatMap((callee) => servesInside(object, callee, depth + 1) ?? [])[0];
  known.set(name, found);
  return found;
}

/** A function of the unit that waits and then does something itself, as one turn of an event loop. */
function worksInside(object: ObjectModel, name: string): boolean {
  const symbol = functionNamed(object, name);
  const graph = symbol && rowGraphOf(object, symbol);
  return graph?.rows.some((row) => isWork(row, true) && waitOf(object, row) === undefined) ?? false;
}

/** A call that does something with what came, rather than to wait or to try again. */
function isWork(row: AsmRow, pointers: boolean): boolean {
  if (!isCallRow(row)) return false;
  const name = calleeIn(row);
  if (name === undefined || name.startsWith('__x86_indirect_')) return pointers;
  return !serving.test(name) && !waiting.test(name) && !trying.test(name) && !isLocking(name);
}

/** The rows of the loops that a row stands in. */
function loopAround({ next }: RowGraph, at: number): ReadonlySet<number> | undefined {
  const forward = reach(next, at);
  if (!forward.has(at)) return undefined;
  const previous: number[][] = next.map(() => []);
  for (const from of forward) for (const to of next[from]!) previous[to]!.push(from);
  return reach(previous, at);
}

function reach(next: readonly (readonly number[])[], start: number): ReadonlySet<number> {
  const found = new Set<number>();
  const stack = [...next[start]!];
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    if (found.has(at)) continue;
    found.add(at);
    stack.push(...next[at]!);
  }
  return found;
}

/** Who makes a thread of a function. */
interface Maker {
  readonly call: string;
  readonly from: string;
}

const threads = new WeakMap<ObjectModel, ReadonlyMap<string, Maker>>();

/** Functions of an object whose address it passes to a function that makes a thread. */
function threadFunctions(object: ObjectModel): ReadonlyMap<string, Maker> {
  let known = threads.get(object);
  if (!known) {
    known = findThreads(object);
    threads.set(object, known);
  }
  return known;
}

function findThreads(object: ObjectModel): ReadonlyMap<string, Maker> {
  const found = new Map<string, Maker>();
  if (!object.elf.symbols.some(({ name }) => makers.has(name))) return found;
  const arm = object.elf.machine === EM_AARCH64;
  const callers = new Set(
    referencesOf(object).flatMap(({ from, target, call }) => (from && call && makers.has(target.name) ? [from] : [])),
  );
  for (const from of callers) {
    const graph = rowGraphOf(object, from);
    if (!graph) continue;
    const states = statesOf(graph, new Map(), arm);
    for (const [at, row] of graph.rows.entries()) {
      const call = calleeIn(row) ?? '';
      const position = makers.get(call);
      const value = position === undefined ? undefined : states[at]?.get(argumentRegisters(arm)[position]!);
      if (value?.root.kind === 'symbol' && value.offset === 0) found.set(value.root.name, { call, from: from.name });
    }
  }
  return found;
}
