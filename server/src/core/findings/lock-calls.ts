import { listBody } from '../asm/listing.ts';
import { displayName } from '../asm/names.ts';
import { placesOf } from '../asm/places.ts';
import type { AsmRow } from '../asm/types.ts';
import { type Reference, referencesFrom } from '../diff/references.ts';
import { plainName } from '../diff/signatures.ts';
import type { SourceLocation } from '../dwarf/types.ts';
import { lazy } from '../elf/lazy.ts';
import type { ElfSymbol } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';

const locking =
  /(^|_)(try|un|rd|wr|tryrd|trywr|timed)?lock(_|$)|(^|_)(mutex|spin|rwlock|read|write)_(try|un)?lock|^(down|up)(_read|_write|_interruptible|_killable|_trylock)?$|^sem_(wait|trywait|timedwait|post)$|^pthread_cond_(timed)?wait$|^release_sock$/;
const management = /init|destroy|alloc|free|^f?lock_?file|setlk|sysv/;
/** Questions whether a lock is held, and tracing of locks. */
const watching = /_held(_|$)|_trace_/;

/** True for functions that take, release or wait for a lock, by their name. */
export const isLocking = (name: string): boolean =>
  locking.test(name) && !management.test(name) && !watching.test(name);

/** One call of such a function. */
export interface LockCall {
  readonly name: string;
  /** The lock, where the code names it: a global or static one whose address is the first argument. */
  readonly lock?: string;
  readonly at?: SourceLocation;
}

/** Pieces that gcc splits off a function. */
const PART = /\.(cold|part)(\.|$)/;

/** How deep functions that only one side has are looked into, and how many bodies in all. */
const DEPTH = 8;
const BODIES = 256;

/**
 * The calls of a function in the order of the source, each place once: where the compiler lays the code out otherwise, or copies a path, nothing is locked
 * otherwise. An inlined call counts where it stands in the function, whatever its line in a header is. The parts that a compiler splits off (.cold, .part) are its own code;
 * so is what it calls that only this side has (`only`): a body that moved into a new function, or that the compiler inlines on the other side.
 */
export function lockCalls(
  object: ObjectModel,
  symbol: ElfSymbol | undefined,
  only: ReadonlySet<string> = new Set(),
): LockCall[] {
  const calls: PlacedCall[] = [];
  const bodies = lazy(() => bodiesByName(object, only));
  if (symbol) collect(object, symbol, { only, bodies, inside: new Set(), left: { bodies: BODIES }, path: [] }, calls);
  calls.sort((a, b) => byPath(a.path, b.path) || a.row - b.row);
  return calls
    .filter((call, i) => i === 0 || !samePlace(calls[i - 1]!, call))
    .map(({ row: _, path: __, ...call }) => call);
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

/** Copies of one call. Where the lock has no name in one of them, it is the same expression. */
const samePlace = (a: PlacedCall, b: PlacedCall): boolean =>
  a.path.length > 0 &&
  a.path.at(-1)!.line > 0 &&
  byPath(a.path, b.path) === 0 &&
  a.name === b.name &&
  (a.lock === undefined || b.lock === undefined || a.lock === b.lock);

interface Search {
  readonly only: ReadonlySet<string>;
  /** The functions of `only`, and parts of functions, by the names that listings show. */
  readonly bodies: () => ReadonlyMap<string, ElfSymbol>;
  /** The functions that are being looked into. */
  readonly inside: Set<ElfSymbol>;
  readonly left: { bodies: number };
  /** The places of the calls that led here. */
  readonly path: readonly SourceLocation[];
}

/** Adds the calls of one function to the others. */
function collect(object: ObjectModel, symbol: ElfSymbol, search: Search, calls: PlacedCall[]): void {
  const { only, inside } = search;
  const own = plainName(symbol.name);
  const isPart = (callee: string) => PART.test(callee) && plainName(callee) === own;
  const matters = ({ call, target }: Reference) =>
    (call && isLocking(target.name)) || only.has(target.name) || isPart(target.name);
  if (inside.size >= DEPTH || inside.has(symbol) || search.left.bodies-- <= 0) return;
  if (!referencesFrom(object, [symbol]).some(matters)) return;
  const body = placesOf(object.elf).bodyOf(symbol);
  const rows = body ? listBody(object, body) : [];
  inside.add(symbol);
  const parts = new Set<string>();
  for (const [row, one] of rows.entries()) {
    const callee = one.references.find(({ kind }) => kind === 'function' || kind === 'external')?.name;
    if (callee === undefined) continue;
    const called = /^(call|jmp|bl|b)$/.test(one.mnemonic);
    if (called && isLocking(callee)) {
      const lock = firstArgument(rows, row);
      const at = one.source;
      calls.push({
        name: callee,
        row: calls.length,
        path: pathTo(one, search),
        ...(lock && { lock }),
        ...(at && { at }),
      });
    } else if (called || isPart(callee)) {
      const part = search.bodies().get(callee);
      if (!part || parts.has(callee) || !(isPart(callee) || only.has(part.name))) continue;
      // Jumps into a part are many; what is called is there at each call.
      if (isPart(callee)) parts.add(callee);
      collect(object, part, isPart(callee) ? search : { ...search, path: pathTo(one, search) }, calls);
    }
  }
  inside.delete(symbol);
}

const pathTo = ({ inlinedAt, source }: AsmRow, { path }: Search): SourceLocation[] =>
  [...path, ...(inlinedAt ?? []), source].flatMap((place) => place ?? []);

function bodiesByName(object: ObjectModel, only: ReadonlySet<string>): ReadonlyMap<string, ElfSymbol> {
  const map = new Map<string, ElfSymbol>();
  for (const { symbols } of placesOf(object.elf).bodies)
    for (const symbol of symbols)
      if (only.has(symbol.name) || PART.test(symbol.name)) map.set(displayName(object, symbol), symbol);
  return map;
}

/** Name of the object whose address is in the first argument's register, where it is put there since the last call or label. */
function firstArgument(rows: readonly AsmRow[], call: number): string | undefined {
  for (let i = call - 1; i >= 0 && i >= call - 16; i--) {
    const { mnemonic, operands } = rows[i]!;
    if (/^(call|bl|jmp|ret|b)$/.test(mnemonic)) return undefined;
    if (/^(lea|mov|add)$/.test(mnemonic) && /^(rdi|edi|x0)\b/.test(operands)) {
      const kept = mnemonic === 'mov' && /^\w+, (r\w+|x\d+)$/.exec(operands)?.[1];
      return kept ? onlyAddressIn(rows, kept) : addressIn(rows[i]!);
    }
    if (rows[i + 1]?.label !== undefined && i + 1 !== call) return undefined;
  }
  return undefined;
}

/** The named object whose address a row puts into a register. */
function addressIn({ mnemonic, operands, references }: AsmRow): string | undefined {
  const object = references.find(({ kind }) => kind === 'data' || kind === 'external');
  // A load from a named place is no address of it.
  if (!object || (mnemonic === 'mov' && operands.includes('['))) return undefined;
  return object.addend === 0 ? object.name : `${object.name}+${object.addend}`;
}

/** The object whose address a register holds in the whole function: set once, and never changed but for saving and restoring it. */
function onlyAddressIn(rows: readonly AsmRow[], register: string): string | undefined {
  const own = new RegExp(`^${register}\\b`);
  const short = new RegExp(`^e${register.slice(1)}\\b`);
  const writes = rows.filter(
    ({ mnemonic, operands }) =>
      !/^(push|pop|cmp|test|stp|ldp)$/.test(mnemonic) && (own.test(operands) || short.test(operands)),
  );
  return writes.length === 1 && /^(lea|mov)$/.test(writes[0]!.mnemonic) ? addressIn(writes[0]!) : undefined;
}

/** Whether two sequences take and release otherwise. A lock that one side does not name may be any. */
export function sameLocking(before: readonly LockCall[], after: readonly LockCall[]): boolean {
  if (before.length !== after.length) return false;
  return before.every(({ name, lock }, i) => {
    const other = after[i]!;
    return name === other.name && (lock === undefined || other.lock === undefined || lock === other.lock);
  });
}
