import { plainName } from '../diff/signatures.ts';
import type { SourceLocation } from '../dwarf/types.ts';
import type { ObjectModel } from '../object.ts';
import { finding, replacedFunctions, revertHunk } from './support.ts';
import type { Finding, Hazard } from './types.ts';

/**
 * `static-local-ambiguous`: a function has several static locals of one name (in different blocks), and another number of them than before:
 * which of the running copies each one means cannot be told.
 */
export const staticLocalAmbiguous: Hazard = {
  codes: ['static-local-ambiguous'],
  find: (input) => {
    const before = statics(input.pair.base);
    const after = statics(input.pair.next);
    const replaced = new Set(replacedFunctions(input).map(({ name }) => plainName(name)));
    const findings: Finding[] = [];
    for (const [key, base] of before) {
      const next = after.get(key);
      if (!next || base.count === next.count || Math.max(base.count, next.count) < 2) continue;
      if (!replaced.has(base.scope)) continue;
      findings.push(
        finding({
          code: 'static-local-ambiguous',
          severity: 'blocker',
          symbol: base.name,
          at: next.at,
          message: `${base.scope}() had ${base.count} static variable${base.count === 1 ? '' : 's'} called ${base.name} and has ${next.count} now: which running copy each one means cannot be told, and taking the wrong one corrupts its state. Give the new ones names of their own.`,
          evidence: { function: base.scope, baseCount: base.count, nextCount: next.count },
          related: base.at ? [{ at: base.at, message: 'before' }] : [],
          fixes: revertHunk(next.at, base.name),
        }),
      );
    }
    return findings;
  },
};

interface Statics {
  readonly scope: string;
  readonly name: string;
  count: number;
  at?: SourceLocation;
}

function statics({ dwarf }: ObjectModel): Map<string, Statics> {
  const map = new Map<string, Statics>();
  const places = new Set<string>();
  for (const { scope, name, decl, place } of dwarf.variables) {
    if (scope === undefined || !place) continue;
    // One variable shows once for each inlined copy of its function.
    const where = `${place.section}:${place.offset}`;
    if (places.has(where)) continue;
    places.add(where);
    const key = `${scope}/${name}`;
    const entry = map.get(key) ?? { scope, name, count: 0 };
    entry.count++;
    if (decl) entry.at = decl;
    map.set(key, entry);
  }
  return map;
}
