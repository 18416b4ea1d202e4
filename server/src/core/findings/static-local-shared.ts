import { referencesOf } from '../diff/references.ts';
import type { ElfSymbol } from '../elf/types.ts';
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
      const section = typeof symbol.place === 'number' ? base.elf.sections[symbol.place]! : undefined;
      if (section && ((section.flags & 1) === 0 || saysOnce.test(section.name))) continue;
      findings.push(
        finding({
          code: 'static-local-shared',
          severity: 'review',
          symbol: symbol.name,
          at: input.diff.functions.find(({ name }) => name === inPatch[0])?.at,
          message: `The static variable ${variable.name} of ${variable.scope}() is used by ${listed(inPatch)} in the patch and by ${listed(outside)}, which stay as they are. Both go on using the one running copy: check that old and new code agree about what it holds.`,
          evidence: { inPatch, outside, function: variable.scope },
          related: variable.decl ? [{ at: variable.decl, message: 'declared here' }] : [],
        }),
      );
    }
    return findings;
  },
};

/** Linux's flags of messages that are printed once (`__warned`, `__already_done`): old and new code cannot disagree about them. */
const saysOnce = /^\.data\.(\.?once|unlikely)$/;

/**
 * Whether a replaced function uses a static local otherwise than before: told from its own relocations, without the references of the whole object, which are
 * many. Only where each variable has a section of its own (-fdata-sections); else the closer look decides.
 */
function usesStaticLocal(input: HazardInput): boolean {
  const { base, next } = input.pair;
  const alone = new Map<number, ElfSymbol | undefined>();
  for (const symbol of base.elf.symbols) {
    if (symbol.type !== 'object' || typeof symbol.place !== 'number') continue;
    alone.set(symbol.place, alone.has(symbol.place) ? undefined : symbol);
  }
  const places = new Map<number, number>();
  for (const { scope, place } of base.dwarf.variables) {
    if (scope === undefined || !place) continue;
    const symbol = alone.get(place.section);
    const paired = symbol && next.elf.symbols[input.diff.pairing.get(symbol.index) ?? -1]?.place;
    places.set(place.section, typeof paired === 'number' ? paired : -1);
  }
  if (places.size === 0) return false;
  return replacedFunctions(input).some((fn) => {
    const before = usedSections(base, fn.base);
    const after = usedSections(next, fn.next);
    return [...before].some(([section, count]) => {
      const paired = places.get(section);
      return paired !== undefined && (paired < 0 || after.get(paired) !== count);
    });
  });
}

/** Section → number of relocations of a function that lead into it. */
function usedSections({ elf }: ObjectModel, symbol: ElfSymbol | undefined): Map<number, number> {
  const counts = new Map<number, number>();
  if (typeof symbol?.place !== 'number') return counts;
  const end = symbol.offset + symbol.size;
  for (const relocation of elf.relocationsOf(symbol.place)) {
    if (relocation.offset < symbol.offset || relocation.offset >= end) continue;
    const place = elf.symbols[relocation.symbol]?.place;
    if (typeof place === 'number') counts.set(place, (counts.get(place) ?? 0) + 1);
  }
  return counts;
}

/** Number of places in a function that refer to a symbol. */
const uses = (object: ObjectModel, symbol: number, name: string): number =>
  referencesOf(object).filter(({ from, target }) => target.index === symbol && from?.name === name).length;

const nextName = (input: HazardInput, name: string): string =>
  input.diff.functions.find((fn) => fn.name === name)?.next?.name ?? name;
