import type { ElfSymbol } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import { judgeData, oldPlace } from './data.ts';
import { oldDefinition } from './layout-finding.ts';
import { dataName, finding, labelOf, revertHunk } from './support.ts';
import type { Finding, Hazard, HazardInput } from './types.ts';
import { layoutFacts } from './types-of-change.ts';

/** `data-align-changed`: patched code may rely on an alignment that the existing object has not. */
export const dataAlignChanged: Hazard = {
  codes: ['data-align-changed'],
  find: (input: HazardInput) => [
    ...typesOf(input),
    ...input.diff.data.flatMap((data) => {
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
  ],
};

/** Types that are stricter now; of those that grew or whose fields moved, the worse is told elsewhere. */
const typesOf = ({ diff }: HazardInput): Finding[] =>
  diff.types.flatMap((type) => {
    const { align, confined, at, outlivesBy } = type;
    if (!align || confined || layoutFacts(type).some((fact) => fact === 'layout' || fact === 'grown')) return [];
    const label = labelOf(type);
    return [
      finding({
        code: 'data-align-changed',
        severity: 'review',
        symbol: label,
        at,
        message: `${label} is to be aligned to ${align.next} bytes (was ${align.base}). Instances made before the patch stay at their addresses: patched code that relies on the alignment (vector instructions fault, tag bits in addresses) can fail. Keep the alignment of the type.`,
        evidence: { type: label, baseAlign: align.base, nextAlign: align.next, outlivesBy },
        related: oldDefinition(type),
        fixes: revertHunk(at, label),
      }),
    ];
  });

/** Alignment in bytes that the object is sure to have: the section's, as far as the offset in it keeps that; common symbols say theirs. */
function alignment(object: ObjectModel, symbol: ElfSymbol | undefined): number {
  if (symbol?.place === 'common') return Number(symbol.value) || 1;
  if (typeof symbol?.place !== 'number') return 1;
  let align = Math.max(object.elf.sections[symbol.place]?.align ?? 1, 1);
  while (align > 1 && symbol.offset % align !== 0) align = Math.floor(align / 2);
  return align;
}
