import type { ElfSymbol } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import { carriedFunctions, finding, listed } from './support.ts';
import type { Hazard } from './types.ts';

/** Tables that tell how to get from a place in the code to its caller: DWARF's for programs, ORC for Linux. */
const tables = /^\.(eh_frame|debug_frame|orc_unwind_ip)$/;

/**
 * `unwind-missing`: the running function can be unwound through, and its replacement cannot. One finding for the unit: what is missing comes from an
 * option of the compiler, or from assembly without `.cfi` directives.
 */
export const unwindMissing: Hazard = {
  codes: ['unwind-missing'],
  find: (input) => {
    const { base, next } = input.pair;
    const carried = carriedFunctions(input).filter((fn) => fn.next);
    const after = coverage(
      next,
      carried.map((fn) => fn.next!),
    );
    const bare = carried.filter((fn) => !isCovered(after, fn.next!));
    if (bare.length === 0) return [];
    const before = coverage(base, base.elf.symbols);
    if (before.size === 0) return [];
    const missing = bare.filter((fn) => (fn.base ? isCovered(before, fn.base) : true));
    const first = missing[0];
    if (!first) return [];
    const names = missing.map(({ name }) => name);
    const one = names.length === 1;
    const kinds = [...new Set([...before.values()].map(({ table }) => table))].sort();
    const consequence =
      input.target === 'linux'
        ? 'The kernel could not tell whether a task is inside of it: later patches would wait for ever, and stack traces end there'
        : 'Backtraces, exceptions and thread cancellation end there, and a later patch cannot tell whether a thread is inside of it';
    return [
      finding({
        code: 'unwind-missing',
        severity: 'review',
        symbol: first.name,
        at: first.at,
        message: `The new code of ${listed(names.map((name) => `${name}()`))} has no unwind table (${listed(kinds)}), which the running code has. ${consequence}. Build ${one ? 'it' : 'them'} with the options of the original (-fasynchronous-unwind-tables), or give assembly its .cfi directives.`,
        evidence: { functions: names, tables: kinds },
        related: missing
          .slice(1, 12)
          .map((fn) => ({ ...(fn.at && { at: fn.at }), message: `${fn.name}() has none either` })),
      }),
    ];
  },
};

interface Covered {
  readonly table: string;
  readonly offsets: Set<number>;
}

/** Code section of some symbols → places in it that an unwind table refers to. */
function coverage({ elf }: ObjectModel, symbols: readonly ElfSymbol[]): Map<number, Covered> {
  const map = new Map<number, Covered>();
  const wanted = new Set(symbols.map(({ place }) => place));
  for (const section of elf.sections) {
    if (!tables.test(section.name)) continue;
    for (const { symbol, addend } of elf.relocationsOf(section.index)) {
      const target = elf.symbols[symbol];
      if (typeof target?.place !== 'number' || !wanted.has(target.place)) continue;
      if (((elf.sections[target.place]?.flags ?? 0) & 4) === 0) continue;
      const covered = map.get(target.place) ?? { table: section.name, offsets: new Set<number>() };
      covered.offsets.add(target.offset + addend);
      map.set(target.place, covered);
    }
  }
  return map;
}

function isCovered(map: ReadonlyMap<number, Covered>, symbol: ElfSymbol): boolean {
  const covered = typeof symbol.place === 'number' ? map.get(symbol.place) : undefined;
  return covered?.offsets.has(symbol.offset) === true;
}
