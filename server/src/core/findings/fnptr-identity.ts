import { addressTaken, referencesOf } from '../diff/references.ts';
import { carriedFunctions, finding, listed, replacedFunctions } from './support.ts';
import type { Hazard } from './types.ts';

/** `fnptr-identity`: one function has two addresses while the patch is applied. Constant tables outside the patch are not affected. */
export const fnptrIdentity: Hazard = {
  codes: ['fnptr-identity'],
  find: (input) => {
    const taken = addressTaken(input.pair.base);
    const carried = new Set(carriedFunctions(input).map((fn) => fn.next?.index ?? -1));
    return replacedFunctions(input).flatMap((fn) => {
      if (!fn.next || !taken.has(fn.name)) return [];
      const users = new Set<string>();
      for (const { target, from, call } of referencesOf(input.pair.next)) {
        if (!call && target.index === fn.next.index && from && carried.has(from.index)) users.add(from.name);
      }
      if (users.size === 0) return [];
      return [
        finding({
          code: 'fnptr-identity',
          severity: 'review',
          symbol: fn.name,
          at: fn.at,
          message: `${listed([...users])} in the patch use${users.size === 1 ? 's' : ''} the address of ${fn.name}(), which is replaced too. Pointers stored before hold the old address: a comparison of the two can fail, and a pointer to new code that is stored must not be used after revert. Check what is done with the address.`,
          evidence: { usedBy: [...users] },
        }),
      ];
    });
  },
};
