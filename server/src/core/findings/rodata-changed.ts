import { judgeData, oldPlace } from './data.ts';
import { dataName, finding, revertHunk } from './support.ts';
import type { Hazard } from './types.ts';

/** `rodata-changed`: a constant or table that has a name, such as a table of functions, keeps its old contents. */
export const rodataChanged: Hazard = {
  codes: ['rodata-changed'],
  find: (input) =>
    input.diff.data
      .filter((data) => data.readOnly && judgeData(input, data) === 'contents')
      .map((data) => {
        const table = data.differs.includes('references');
        return finding({
          code: 'rodata-changed',
          severity: 'blocker',
          symbol: data.name,
          at: data.at,
          message: `The contents of the constant ${dataName(data)} changed${table ? ' (an address in it is another)' : ''}. The old copy stays where it is, and code outside the patch, and pointers to it, go on using it. ${table ? 'Change the function that the table points to instead of the table' : 'Use a constant of a new name in the patched functions'}.`,
          evidence: {
            size: data.baseSize,
            ...(data.firstDifference !== undefined && { firstDifference: data.firstDifference }),
            differs: data.differs,
          },
          related: oldPlace(input, data),
          fixes: revertHunk(data.at, data.name),
        });
      }),
};
