import { plainName } from '../diff/signatures.ts';
import type { FunctionChange } from '../diff/types.ts';
import type { ElfSymbol } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import { type LockCall, lockCalls, sameLocking } from './lock-calls.ts';
import { functionAt, lockText, parametersOf, type Surroundings } from './lock-identity.ts';
import { lockPaths, type PathChange, pathChanges } from './lock-paths.ts';
import { finding, replacedFunctions } from './support.ts';
import type { Hazard, HazardInput } from './types.ts';

/** `lock-semantics`: threads that run old and new code at once disagree about who holds what. */
export const lockSemantics: Hazard = {
  codes: ['lock-semantics'],
  find: (input) => {
    const gone = onlyIn(input, 'removed');
    const added = onlyIn(input, 'new');
    return replacedFunctions(input).flatMap((fn) => {
      const { base, next } = input.pair;
      const inlined = inlinedOn(base, fn.base, next, fn.next);
      const before = lockCalls(base, fn.base, { only: gone, inlined: inlined.next, own: inlined.base });
      const after = lockCalls(next, fn.next, { only: added, inlined: inlined.base, own: inlined.next });
      const around = surroundings(input, fn);
      const same = sameLocking(before, after, around);
      const ways = waysOf(input, fn, around);
      if (same && ways.length === 0) return [];
      const how = [
        ...(same ? [] : [`${words(before)} → ${words(after)}`]),
        ...ways.slice(0, 3).map((one) => one.text),
      ].join('; ');
      return [
        finding({
          code: 'lock-semantics',
          severity: 'review',
          symbol: fn.name,
          at: fn.at,
          message: `${fn.name}() takes or releases locks otherwise than before (${how}). While the patch is applied, a lock taken by old code may be released by new code or not at all, and callers that stay old rely on the old order. Check each path against the code outside the patch.`,
          evidence: {
            base: before.map(text),
            next: after.map(text),
            ...(ways.length > 0 && { ways: ways.map((one) => one.text) }),
          },
          related: [
            ...ways.map((one) => ({ ...(one.at && { at: one.at }), message: one.text })),
            ...after.map((call) => ({ ...(call.at && { at: call.at }), message: `${text(call)} now` })),
          ].slice(0, 12),
        }),
      ];
    });
  },
};

/** What differs on the ways through a function. */
function waysOf({ pair }: HazardInput, { base, next }: FunctionChange, around: Surroundings): readonly PathChange[] {
  const before = base && lockPaths(pair.base, base);
  const after = before && next && lockPaths(pair.next, next);
  return after ? pathChanges(before, after, around) : [];
}

/** Functions that one side has and the other has not, not even as a function that a part or clone was made of: that is called there instead. */
function onlyIn({ diff, pair }: HazardInput, status: 'new' | 'removed'): ReadonlySet<string> {
  const names = diff.functions.filter((fn) => fn.status === status).map(({ name }) => name);
  if (names.length === 0) return new Set();
  const { elf } = status === 'new' ? pair.base : pair.next;
  const others = new Set(elf.symbols.flatMap(({ type, name }) => (type === 'func' ? [plainName(name)] : [])));
  return new Set(names.filter((name) => !others.has(plainName(name))));
}

/** How often what the other side has inlined is looked at again, for what is inlined into that. */
const ROUNDS = 3;

/** Functions that are inlined into a function, on each side, those included that are inlined into what the other side has inlined. */
function inlinedOn(
  base: ObjectModel,
  before: ElfSymbol | undefined,
  next: ObjectModel,
  after: ElfSymbol | undefined,
): { readonly base: ReadonlySet<string>; readonly next: ReadonlySet<string> } {
  const found = { base: inlinedInto(base, before), next: inlinedInto(next, after) };
  for (let round = 0; round < ROUNDS; round++) {
    const size = found.base.size + found.next.size;
    addInner(base, found.next, found.base);
    addInner(next, found.base, found.next);
    if (found.base.size + found.next.size === size) break;
  }
  return found;
}

const inlinedInto = (object: ObjectModel, symbol: ElfSymbol | undefined): Set<string> =>
  new Set(symbol && functionAt(object, symbol)?.inlined.map(({ name }) => name));

/** Adds what is inlined into functions of these names. */
function addInner(object: ObjectModel, names: ReadonlySet<string>, found: Set<string>): void {
  if (names.size === 0) return;
  for (const fn of object.dwarf.functions)
    if (names.has(fn.name) && fn.ranges.length > 0) for (const { name } of fn.inlined) found.add(name);
}

function surroundings({ pair, diff }: HazardInput, { base, next }: FunctionChange): Surroundings {
  const names = (object: ObjectModel, symbol: ElfSymbol | undefined) =>
    symbol ? parametersOf(object, symbol).map(({ name }) => name) : [];
  return {
    base: names(pair.base, base),
    next: names(pair.next, next),
    moved: diff.types.some(({ kind }) => kind === 'struct' || kind === 'union'),
  };
}

const text = ({ name, lock }: LockCall): string => (lock ? `${name}(${lockText(lock)})` : name);

const words = (calls: readonly LockCall[]): string => (calls.length === 0 ? 'none' : calls.map(text).join(', '));
