import { referencesOf } from '../diff/references.ts';
import { plainName } from '../diff/signatures.ts';
import { finding, listed, replacedFunctions } from './support.ts';
import type { Finding, Hazard } from './types.ts';

/**
 * `clone-left-unpatched`: the compiler made several functions of one in the source, and one that the next object does not have
 * is still called by code that is not replaced. A clone that is the same in both objects is right as it is.
 */
export const cloneLeftUnpatched: Hazard = {
  codes: ['clone-left-unpatched'],
  find: (input) => {
    const replaced = new Set(replacedFunctions(input).map(({ name }) => name));
    const families = new Map([...replaced].map((name) => [plainName(name), name]));
    const findings: Finding[] = [];
    for (const symbol of input.pair.base.elf.symbols) {
      if (symbol.type !== 'func' || typeof symbol.place !== 'number') continue;
      const family = plainName(symbol.name);
      const sibling = families.get(family);
      if (sibling === undefined || replaced.has(symbol.name) || input.diff.pairing.has(symbol.index)) continue;
      if (
        symbol.name === family &&
        input.diff.functions.some((fn) => fn.name === family && fn.status === 'removed' && fn.parent === undefined)
      )
        continue;
      const callers = new Set<string>();
      for (const { from, target, section } of referencesOf(input.pair.base)) {
        if (target.index !== symbol.index || section.name.startsWith('.eh_frame')) continue;
        const name = from?.name ?? section.name;
        if (plainName(name) !== family && !replaced.has(name)) callers.add(name);
      }
      if (callers.size === 0) continue;
      findings.push(
        finding({
          code: 'clone-left-unpatched',
          severity: 'blocker',
          symbol: symbol.name,
          at: input.diff.functions.find(({ name }) => name === sibling)?.at,
          message: `The running program has ${symbol.name}, a copy of ${family}() that the compiler made; the new object has none, and ${listed([...callers])} would go on calling the old one. Keep the compiler from making the copy differently (a noinline or noclone attribute on ${family}()), so that both sides match.`,
          evidence: { clone: symbol.name, replaced: sibling, callers: [...callers] },
        }),
      );
    }
    return findings;
  },
};
