import { layoutFindings, running } from './layout-finding.ts';
import type { Hazard } from './types.ts';

/** `struct-layout`: fields of an existing type are elsewhere, or have another size, than in the instances that exist. */
export const structLayout: Hazard = {
  codes: ['struct-layout'],
  find: (input) => [
    ...layoutFindings(input, 'layout', (type) => ({
      code: 'struct-layout',
      severity: 'blocker',
      consequence:
        type.kind === 'typedef' || type.kind === 'enum'
          ? `Values that ${running(input)} already holds keep the old size and would be read wrongly. Keep the type as it is and give new data a type of its own, or restart instead of patching.`
          : `Instances that ${running(input)} already holds keep the old layout, so patched code would read and write the wrong bytes. Keep every existing field where it is: put new data in a separate object keyed by the instance, or restart instead of patching.`,
    })),
    ...layoutFindings(input, 'removed', () => ({
      code: 'struct-layout',
      severity: 'review',
      consequence:
        'No offset moves, but patched code no longer maintains a field that code outside the patch may still read. Check every user of the field, or keep it and stop using it.',
    })),
  ],
};
