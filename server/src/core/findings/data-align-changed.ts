import type { ElfSymbol } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import { judgeData, oldPlace } from './data.ts';
import { dataName, finding } from './support.ts';
import type { Hazard, HazardInput } from './types.ts';

/** `data-align-changed`: patched code may rely on an alignment that the existing object has not. */
export const dataAlignChanged: Hazard = {
  codes: ['data-align-changed'],
  find: (input: HazardInput) =>
    input.diff.data.flatMap((data) => {
      if (judgeData(input, data) !== 'align') return [];
      const before = alignment(input.pair.base, data.base);
      const after = alignment(input.pair.next, data.next);
      if (after <= before) return [];
      return [
        finding({
          code: 'data-align-changed',
          severity: 'review',
          symbol: data.name,
          at: data.at,
          message: `${dataName(data)} is to be aligned to ${after} bytes (was ${before}). The running copy stays at its address: patched code that relies on the alignment (vector instructions, tag bits in its address) can fail. Keep the alignment, or use a new object.`,
          evidence: { baseAlign: before, nextAlign: after },
          related: oldPlace(input, data),
        }),
      ];
    }),
};

/** Alignment in bytes that the object is sure to have: the section's, as far as the offset in it keeps that; common symbols say theirs. */
function alignment(object: ObjectModel, symbol: ElfSymbol | undefined): number {
  if (symbol?.place === 'common') return Number(symbol.value) || 1;
  if (typeof symbol?.place !== 'number') return 1;
  let align = Math.max(object.elf.sections[symbol.place]?.align ?? 1, 1);
  while (align > 1 && symbol.offset % align !== 0) align = Math.floor(align / 2);
  return align;
}
