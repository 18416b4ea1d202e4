import { referencesOf } from '../diff/references.ts';
import { plainName } from '../diff/signatures.ts';
import type { ObjectModel } from '../object.ts';
import { finding, listed, replacedFunctions, variableOf } from './support.ts';
import type { Finding, Hazard, HazardInput } from './types.ts';

/** `static-local-shared`: inlining gave several functions a hand on one static local; the patch replaces only some of them. */
export const staticLocalShared: Hazard = {
  codes: ['static-local-shared'],
  find: (input) => {
    const { base } = input.pair;
    const replaced = new Set(replacedFunctions(input).map(({ name }) => name));
    if (replaced.size === 0 || !usesStaticLocal(input)) return [];
    const users = new Map<number, Set<string>>();
    for (const { from, target } of referencesOf(base)) {
      if (!from || target.type !== 'object' || target.bind !== 'local') continue;
      const set = users.get(target.index) ?? new Set<string>();
      set.add(from.name);
      users.set(target.index, set);
    }
    const findings: Finding[] = [];
    for (const [index, names] of users) {
      const inPatch = [...names].filter((name) => replaced.has(name));
      // A cold part belongs to its function, in the patch or not.
      const outside = [...names].filter(
        (name) => !replaced.has(name) && !(name.includes('.cold') && replaced.has(name.replace(/\.cold.*$/, ''))),
      );
      if (inPatch.length === 0 || outside.length === 0) continue;
      // Code that was inlined as it was before agrees with the other copies; only another use of the variable needs a look.
      const paired = input.diff.pairing.get(index);
      if (
        paired !== undefined &&
        inPatch.every((name) => uses(base, index, name) === uses(input.pair.next, paired, nextName(input, name)))
      ) {
        continue;
      }
      const symbol = base.elf.symbols[index];
      const variable = variableOf(base, symbol);
      if (!symbol || variable?.scope === undefined) continue;
      if (typeof symbol.place === 'number' && (base.elf.sections[symbol.place]!.flags & 1) === 0) continue;
      findings.push(
        finding({
          code: 'static-local-shared',
          severity: 'review',
          symbol: symbol.name,
          at: input.diff.functions.find(({ name }) => name === inPatch[0])?.at,
          message: `The static variable ${plainName(symbol.name)} of ${variable.scope}() is used by ${listed(inPatch)} in the patch and by ${listed(outside)}, which stay as they are. Both go on using the one running copy: check that old and new code agree about what it holds.`,
          evidence: { inPatch, outside, function: variable.scope },
          related: variable.decl ? [{ at: variable.decl, message: 'declared here' }] : [],
        }),
      );
    }
    return findings;
  },
};

/** Whether the code of a replaced function refers to a static local at all: without the references of the whole object, which are many. */
function usesStaticLocal(input: HazardInput): boolean {
  const { elf, dwarf } = input.pair.base;
  const places = new Map<number, Set<number>>();
  for (const { scope, place } of dwarf.variables) {
    if (scope === undefined || !place) continue;
    const offsets = places.get(place.section) ?? new Set<number>();
    offsets.add(place.offset);
    places.set(place.section, offsets);
  }
  if (places.size === 0) return false;
  return replacedFunctions(input).some(({ base: symbol }) => {
    if (typeof symbol?.place !== 'number') return false;
    const end = symbol.offset + symbol.size;
    return elf.relocationsOf(symbol.place).some((relocation) => {
      if (relocation.offset < symbol.offset || relocation.offset >= end) return false;
      const target = elf.symbols[relocation.symbol];
      // By section symbol the place depends on the field's bias, and may be inside of an array: any static local there is enough to look closer.
      return (
        typeof target?.place === 'number' &&
        (target.type === 'section' ? places.has(target.place) : places.get(target.place)?.has(target.offset) === true)
      );
    });
  });
}

/** Number of places in a function that refer to a symbol. */
const uses = (object: ObjectModel, symbol: number, name: string): number =>
  referencesOf(object).filter(({ from, target }) => target.index === symbol && from?.name === name).length;

const nextName = (input: HazardInput, name: string): string =>
  input.diff.functions.find((fn) => fn.name === name)?.next?.name ?? name;
