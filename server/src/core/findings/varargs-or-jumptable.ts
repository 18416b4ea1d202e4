import { tableTargets } from './flow.ts';
import { carriedFunctions, finding } from './support.ts';
import type { Hazard } from './types.ts';

/** `varargs-or-jumptable`: part of the function is in read-only data. */
export const varargsOrJumptable: Hazard = {
  codes: ['varargs-or-jumptable'],
  find: (input) =>
    carriedFunctions(input).flatMap((fn) => {
      if (!fn.next) return [];
      const targets = tableTargets(input.pair.next, { symbol: fn.next });
      if (targets.length === 0) return [];
      return [
        finding({
          code: 'varargs-or-jumptable',
          severity: 'note',
          symbol: fn.name,
          at: fn.at,
          message: `${fn.name}() has a jump table (${targets.length} targets): the table is copied into the patch with the function.`,
          evidence: { targets: targets.length },
        }),
      ];
    }),
};
