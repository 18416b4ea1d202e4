import { plainName } from '../diff/signatures.ts';
import { type LockCall, lockCalls, sameLocking } from './lock-calls.ts';
import { finding, replacedFunctions } from './support.ts';
import type { Hazard, HazardInput } from './types.ts';

/** `lock-semantics`: threads that run old and new code at once disagree about who holds what. */
export const lockSemantics: Hazard = {
  codes: ['lock-semantics'],
  find: (input) => {
    const gone = onlyIn(input, 'removed');
    const added = onlyIn(input, 'new');
    return replacedFunctions(input).flatMap((fn) => {
      const before = lockCalls(input.pair.base, fn.base, gone);
      const after = lockCalls(input.pair.next, fn.next, added);
      if (sameLocking(before, after)) return [];
      return [
        finding({
          code: 'lock-semantics',
          severity: 'review',
          symbol: fn.name,
          at: fn.at,
          message: `${fn.name}() takes or releases locks otherwise than before (${words(before)} → ${words(after)}). While the patch is applied, a lock taken by old code may be released by new code or not at all, and callers that stay old rely on the old order. Check each path against the code outside the patch.`,
          evidence: { base: before.map(text), next: after.map(text) },
          related: after
            .slice(0, 12)
            .map((call) => ({ ...(call.at && { at: call.at }), message: `${text(call)} now` })),
        }),
      ];
    });
  },
};

/** Functions that one side has and the other has not, not even as a function that a part or clone was made of: that is called there instead. */
function onlyIn({ diff, pair }: HazardInput, status: 'new' | 'removed'): ReadonlySet<string> {
  const names = diff.functions.filter((fn) => fn.status === status).map(({ name }) => name);
  if (names.length === 0) return new Set();
  const { elf } = status === 'new' ? pair.base : pair.next;
  const others = new Set(elf.symbols.flatMap(({ type, name }) => (type === 'func' ? [plainName(name)] : [])));
  return new Set(names.filter((name) => !others.has(plainName(name))));
}

const text = ({ name, lock }: LockCall): string =>
  lock === undefined ? name : `${name}(${plainName(lock.replace(/\.\d+(?=\+|$)/, ''))})`;

const words = (calls: readonly LockCall[]): string => (calls.length === 0 ? 'none' : calls.map(text).join(', '));
