import { plainName } from '../diff/signatures.ts';
import type { ElfSymbol } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import { finding, replacedFunctions } from './support.ts';
import type { Hazard } from './types.ts';

const hooks = new Set(['__fentry__', 'mcount', '_mcount']);
const hookSections = /^__mcount_loc|^__patchable_function_entries/;

/** `not-traceable` (Linux): the kernel redirects a function at its ftrace hook; one without a hook cannot be redirected. */
export const notTraceable: Hazard = {
  codes: ['not-traceable'],
  find: (input) => {
    if (input.target !== 'linux') return [];
    return replacedFunctions(input).flatMap((fn) => {
      if (!fn.base || /\.cold(\.\d+)?$/.test(fn.name) || hasHook(input.pair.base, fn.base)) return [];
      return [
        finding({
          code: 'not-traceable',
          severity: 'blocker',
          symbol: fn.name,
          at: fn.at,
          message: `${plainName(fn.name)}() has no ftrace hook at its entry (it is notrace, or the file is built without -pg), so the kernel cannot redirect it. Leave it as it is and change its callers instead.`,
          evidence: { size: fn.baseSize },
        }),
      ];
    });
  },
};

function hasHook({ elf }: ObjectModel, symbol: ElfSymbol): boolean {
  const { place, offset, size } = symbol;
  if (typeof place !== 'number') return false;
  const within = (at: number): boolean => at >= offset - 16 && at < offset + Math.max(size, 1);
  for (const relocation of elf.relocationsOf(place)) {
    if (relocation.offset < offset || relocation.offset >= offset + size) continue;
    if (hooks.has(elf.symbols[relocation.symbol]?.name ?? '')) return true;
  }
  return elf.sections.some(
    (section) =>
      hookSections.test(section.name) &&
      elf.relocationsOf(section.index).some((relocation) => {
        const target = elf.symbols[relocation.symbol];
        return target?.place === place && within(target.offset + relocation.addend);
      }),
  );
}
