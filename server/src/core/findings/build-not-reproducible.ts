import type { ObjectDiff } from '../diff/types.ts';
import { finding, listed } from './support.ts';
import type { Finding } from './types.ts';

/**
 * `build-not-reproducible`: two builds of one source differ. What a comparison with an edited source shows would then be partly the
 * compiler's chance, and the baseline that is rebuilt need not be what runs. Takes the comparison of the two builds; nothing where they mean the same.
 */
export function buildNotReproducible(diff: ObjectDiff, unit: string): Finding[] {
  // A shifted line number would be a different source; here it is chance like all else.
  const functions = diff.functions.map(({ name }) => name);
  const data = diff.data.map(({ name }) => name);
  const types = diff.types.map(({ label, name }) => label ?? name);
  if (functions.length + data.length + types.length === 0) return [];
  const parts = [
    ...(functions.length > 0 ? [`the code of ${listed(functions)}`] : []),
    ...(data.length > 0 ? [`the data ${listed(data)}`] : []),
    ...(types.length > 0 ? [`the layout of ${listed(types)}`] : []),
  ];
  const at = diff.functions.find((one) => one.at)?.at ?? diff.data.find((one) => one.at)?.at;
  return [
    finding({
      code: 'build-not-reproducible',
      severity: 'review',
      symbol: unit,
      at,
      message: `Two builds of the same source differ: ${parts.join(', and ')}. The baseline that is rebuilt then need not be what runs, and a patch may carry functions that nobody edited. Look for __TIMESTAMP__ and __DATE__, generated sources, random seeds (-frandom-seed, randstruct), profiles and paths in the compiler's command.`,
      evidence: { functions, data, types },
    }),
  ];
}
