import { referencesOf } from '../diff/references.ts';
import { plainName } from '../diff/signatures.ts';
import { afterEdits, finding } from './support.ts';
import type { Hazard } from './types.ts';

/** What is said of a global function as long as the other units were not looked at. */
export const CALLED_BY_OTHERS = 'other units can still call it';

/** `function-removed`: the old code stays in memory and reachable. Functions that are only inlined now are not removed. */
export const functionRemoved: Hazard = {
  codes: ['function-removed'],
  find: (input) => {
    const { pair, diff } = input;
    if (diff.functions.every(({ status }) => status !== 'removed')) return [];
    const still = new Set(pair.next.dwarf.prototypes.filter(({ defined }) => defined).map(({ name }) => name));
    return diff.functions.flatMap((fn) => {
      if (fn.status !== 'removed' || fn.parent !== undefined || fn.name !== plainName(fn.name)) return [];
      if (still.has(fn.name)) return [];
      const users = new Set<string>();
      for (const { target, from, section } of referencesOf(pair.base)) {
        if (target.name !== fn.name || from?.name === fn.name || section.name.startsWith('.eh_frame')) continue;
        users.add(from?.name ?? section.name);
      }
      const external = fn.base !== undefined && fn.base.bind !== 'local';
      const reach = external ? CALLED_BY_OTHERS : 'pointers to it stay valid';
      return [
        finding({
          code: 'function-removed',
          severity: 'review',
          symbol: fn.name,
          at: afterEdits(input, fn.at),
          message: `${fn.name}() is gone from the source. The old code stays in the running program and ${reach}: a patch cannot take it away. If nobody may run it any more, keep it and let it return an error.`,
          evidence: { size: fn.baseSize, external, usedBy: [...users] },
        }),
      ];
    });
  },
};
