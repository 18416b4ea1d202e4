import { judgeData, oldPlace } from './data.ts';
import { running } from './layout-finding.ts';
import { dataName, finding, revertHunk } from './support.ts';
import type { Hazard } from './types.ts';

/** `data-size-changed`: the object in memory stays as large as it was. */
export const dataSizeChanged: Hazard = {
  codes: ['data-size-changed'],
  find: (input) =>
    input.diff.data
      .filter((data) => !data.staticLocal && judgeData(input, data) === 'size')
      .map((data) =>
        finding({
          code: 'data-size-changed',
          severity: 'blocker',
          symbol: data.name,
          at: data.at,
          message: `${dataName(data)} went from ${data.baseSize} to ${data.nextSize} bytes. ${data.readOnly ? `The old one stays in use by code outside the patch` : `In ${running(input)} it stays ${data.baseSize} bytes, and what follows it in memory belongs to others`}. Keep its size and put the rest in a new object.`,
          evidence: { baseSize: data.baseSize, nextSize: data.nextSize, differs: data.differs },
          related: oldPlace(input, data),
          fixes: revertHunk(data.at, data.name),
        }),
      ),
};
