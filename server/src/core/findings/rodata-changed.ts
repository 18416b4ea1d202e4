import { fateOf } from './constants.ts';
import { judgeData, oldPlace } from './data.ts';
import { dataName, finding, revertHunk } from './support.ts';
import type { Hazard } from './types.ts';
import { changesText, valueChanges } from './value-changes.ts';

/** `rodata-changed`: a constant or table that has a name, such as a table of functions, and that is not only used by code of the patch. */
export const rodataChanged: Hazard = {
  codes: ['rodata-changed'],
  find: (input) =>
    input.diff.data
      .filter((data) => data.readOnly && judgeData(input, data) === 'contents')
      .flatMap((data) => {
        const fate = fateOf(input, data);
        if (!fate) return [];
        const table = data.differs.includes('references');
        const values = valueChanges(input, data);
        const what = changesText(values) || (table ? ' (an address in it is another)' : '');
        const wayOut =
          fate.severity !== 'blocker'
            ? ''
            : table
              ? ' Change the function that the table points to instead of the table.'
              : ' Use a constant of a new name in the patched functions.';
        return finding({
          code: 'rodata-changed',
          severity: fate.severity,
          symbol: data.name,
          at: data.at,
          message: `The contents of the constant ${dataName(data)} changed${what}. ${fate.consequence}${wayOut}`,
          evidence: {
            size: data.baseSize,
            ...(data.firstDifference !== undefined && { firstDifference: data.firstDifference }),
            differs: data.differs,
            ...(values.length > 0 && { values: values.slice(0, 16) }),
            ...fate.evidence,
          },
          related: [...oldPlace(input, data), ...fate.related],
          fixes: revertHunk(data.at, data.name),
        });
      }),
};
