import { isCarried } from './carried.ts';
import { isInitData, isPercpu } from './data.ts';
import { finding, isGenerated } from './support.ts';
import type { Hazard } from './types.ts';

/** `new-global`: state that lives in the patch. Constants have no state and are not reported. */
export const newGlobal: Hazard = {
  codes: ['new-global'],
  find: (input) =>
    input.diff.data
      .filter((data) => data.status === 'new' && !data.staticLocal && !data.tls && !data.readOnly)
      .filter((data) => !isGenerated(data) && !isPercpu(data) && !isInitData(data))
      // What no code of the patch refers to stays out of it.
      .filter((data) => isCarried(input, data))
      .map((data) =>
        finding({
          code: 'new-global',
          severity: 'note',
          symbol: data.name,
          at: data.at,
          message: `The variable ${data.name} is new: it lives in the patch, starts with its initial value when the patch is applied, and is lost on revert. A later patch that needs it has to be stacked on this one.`,
          evidence: { size: data.nextSize, section: data.nextSection ?? '' },
        }),
      ),
};
