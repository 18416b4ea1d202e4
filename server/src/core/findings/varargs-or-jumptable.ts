import { tableTargets } from './flow.ts';
import { carriedFunctions, finding, listed } from './support.ts';
import type { Hazard } from './types.ts';

/** `varargs-or-jumptable`: part of a function is in read-only data. One note for all functions of the unit. */
export const varargsOrJumptable: Hazard = {
  codes: ['varargs-or-jumptable'],
  find: (input) => {
    const found = carriedFunctions(input).flatMap((fn) => {
      const targets = fn.next ? tableTargets(input.pair.next, fn.next).length : 0;
      return targets > 0 ? [{ fn, targets }] : [];
    });
    const first = found[0];
    if (!first) return [];
    const names = found.map(({ fn }) => fn.name);
    return [
      finding({
        code: 'varargs-or-jumptable',
        severity: 'note',
        symbol: first.fn.name,
        at: first.fn.at,
        message: `${listed(names.map((name) => `${name}()`))} ha${names.length === 1 ? 's a jump table' : 've jump tables'} in read-only data: copied into the patch with the code.`,
        evidence: { functions: names, targets: found.map(({ fn, targets }) => `${fn.name}: ${targets}`) },
        related: found
          .slice(1, 12)
          .map(({ fn }) => ({ ...(fn.at && { at: fn.at }), message: `${fn.name}() has one too` })),
      }),
    ];
  },
};
