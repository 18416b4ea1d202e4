import { layoutFindings } from './layout-finding.ts';
import type { Hazard } from './types.ts';

/** `struct-padding-used`: a new field lies in bytes that nobody maintained so far. */
export const structPaddingUsed: Hazard = {
  codes: ['struct-padding-used'],
  find: (input) =>
    layoutFindings(input, 'padding', () => ({
      code: 'struct-padding-used',
      severity: 'review',
      consequence:
        'Nothing moves, but in instances made before the patch these bytes hold whatever was there (zero only if every instance was cleared as a whole). Make the patched code accept any value in it, or show that all instances are zeroed when they are made.',
    })),
};
