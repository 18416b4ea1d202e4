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
    const before = coverage(base);
    if (before.size === 0) return [];
    const after = coverage(next);
    const missing = carriedFunctions(input).filter((fn) => {
      if (!fn.next || isCovered(after, fn.next)) return false;
      return fn.base ? isCovered(before, fn.base) : true;
    });
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

/** Code section → places in it that an unwind table refers to. */
function coverage({ elf }: ObjectModel): Map<number, Covered> {
  const map = new Map<number, Covered>();
  for (const section of elf.sections) {
    if (!tables.test(section.name)) continue;
    for (const { symbol, addend } of elf.relocationsOf(section.index)) {
      const target = elf.symbols[symbol];
      if (typeof target?.place !== 'number' || ((elf.sections[target.place]?.flags ?? 0) & 4) === 0) continue;
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
