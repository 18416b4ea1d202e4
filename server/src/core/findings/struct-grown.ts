import { layoutFindings, running } from './layout-finding.ts';
import type { Hazard } from './types.ts';

/** `struct-grown`: offsets hold, but instances allocated before the patch are too small for the new fields. */
export const structGrown: Hazard = {
  codes: ['struct-grown'],
  find: (input) =>
    layoutFindings(input, 'grown', (type) => ({
      code: 'struct-grown',
      severity: 'blocker',
      consequence: `Instances that ${running(input)} allocated before the patch have only ${type.baseSize} bytes: patched code would write past their end, and arrays of them have another stride. Keep the size: use padding or a reserved field, put the new data in a separate object keyed by the instance, or restart instead of patching.`,
    })),
};
