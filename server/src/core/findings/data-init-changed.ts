import { judgeData, oldPlace } from './data.ts';
import { hooksThatReachData } from './hooks.ts';
import { running } from './layout-finding.ts';
import { dataName, finding, listed, revertHunk } from './support.ts';
import type { Hazard } from './types.ts';
import { changesText, valueChanges } from './value-changes.ts';

/** `data-init-changed`: a new initial value of data that exists already does nothing. */
export const dataInitChanged: Hazard = {
  codes: ['data-init-changed'],
  find: (input) =>
    input.diff.data
      .filter((data) => !data.readOnly && judgeData(input, data) === 'contents')
      .map((data) => {
        const hooks = input.target === 'process' ? [] : hooksThatReachData(input, data.name);
        const values = valueChanges(input, data);
        const assigned = listed(hooks.map((name) => `${name}()`));
        return finding({
          code: 'data-init-changed',
          severity: hooks.length > 0 ? 'review' : 'blocker',
          symbol: data.name,
          at: data.at,
          message: `The initial value of ${dataName(data)} changed${changesText(values)}, but ${running(input)} already has it, with whatever value it has by now: the patch would not change it. ${hooks.length > 0 ? `${assigned} refer${hooks.length > 1 ? '' : 's'} to it when the patch comes in: look that the value is assigned there, and put back when the patch goes.` : 'Assign the value in patched code that runs, or use a new variable.'}`,
          evidence: {
            size: data.baseSize,
            ...(data.firstDifference !== undefined && { firstDifference: data.firstDifference }),
            differs: data.differs,
            ...(values.length > 0 && { values: values.slice(0, 16) }),
            ...(hooks.length > 0 && { hooks }),
          },
          related: oldPlace(input, data),
          fixes: revertHunk(data.at, data.name),
        });
      }),
};
