import { referencesFrom } from '../diff/references.ts';
import type { FunctionChange } from '../diff/types.ts';
import { carriedFunctions, finding, listed } from './support.ts';
import type { Finding, Hazard, HazardInput } from './types.ts';

/**
 * `fnptr-identity`: an address in the patch's memory gets into the program's data. References to a replaced function mean its entry in the
 * running program, in payloads for processes and for Xen, so only functions that are new have such an address there; a Linux payload's code
 * refers to its own copy of a replaced function too.
 */
export const fnptrIdentity: Hazard = {
  codes: ['fnptr-identity'],
  find: (input) => {
    const { target } = input;
    const candidates = carriedFunctions(input).filter(({ status }) => status === 'new' || target === 'linux');
    if (candidates.length === 0) return [];
    return candidates.flatMap((fn) => judge(input, fn));
  },
};

function judge(input: HazardInput, fn: FunctionChange): Finding[] {
  if (!fn.next) return [];
  const carried = carriedFunctions(input).flatMap(({ next }) => next ?? []);
  const users = new Set<string>();
  for (const { target, from, call, inside } of referencesFrom(input.pair.next, carried)) {
    if (!call && !inside && target.index === fn.next.index && from) users.add(from.name);
  }
  if (users.size === 0) return [];
  const one = users.size === 1;
  const why =
    fn.status === 'new'
      ? `${fn.name}() is new and lives in the patch; ${listed([...users])} use${one ? 's' : ''} its address. A pointer to it that is stored (a callback, a handler, a thread's start) leads nowhere after revert.`
      : `${listed([...users])} in the patch use${one ? 's' : ''} the address of ${fn.name}(), which is replaced too. Pointers stored before hold the old address: a comparison of the two can fail, and a stored pointer to the new code leads nowhere after revert.`;
  return [
    finding({
      code: 'fnptr-identity',
      severity: 'review',
      symbol: fn.name,
      at: fn.at,
      message: `${why} Check where the address goes, or do not revert this patch while the program runs.`,
      evidence: { usedBy: [...users], status: fn.status },
    }),
  ];
}
