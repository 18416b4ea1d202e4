import { layoutFindings } from './layout-finding.ts';
import { retypedVariables } from './retyped-variables.ts';
import type { Hazard } from './types.ts';

/** `type-changed-same-size`: the same bytes get another meaning. */
export const typeChangedSameSize: Hazard = {
  codes: ['type-changed-same-size'],
  find: (input) => [
    ...layoutFindings(input, 'retyped', () => ({
      code: 'type-changed-same-size',
      severity: 'review',
      consequence:
        'Offset and size are the same, so values stored before the patch are read with the new meaning: negative numbers turn large, pointers lead to another type. Check that every value that can be stored now means the same under both.',
    })),
    ...retypedVariables(input, 'type-changed-same-size'),
  ],
};
