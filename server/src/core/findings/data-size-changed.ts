import { resizedData } from './data.ts';
import { running } from './layout-finding.ts';
import { dataName, finding, labelOf, revertHunk } from './support.ts';
import type { Hazard } from './types.ts';

/** `data-size-changed`: the object in memory stays as large as it was. */
export const dataSizeChanged: Hazard = {
  codes: ['data-size-changed'],
  find: (input) =>
    resizedData(input)
      .filter(({ data }) => !data.staticLocal)
      .map(({ data, behind, follows, related }) =>
        finding({
          code: 'data-size-changed',
          severity: 'blocker',
          symbol: data.name,
          at: data.at,
          message: `${dataName(data)} went from ${data.baseSize} to ${data.nextSize} bytes.${follows} ${data.readOnly ? `The old one stays in use by code outside the patch` : `In ${running(input)} it stays ${data.baseSize} bytes, and what follows it in memory belongs to others`}. ${behind ? 'Keep the size of the type' : 'Keep its size and put the rest in a new object'}.`,
          evidence: {
            baseSize: data.baseSize,
            nextSize: data.nextSize,
            differs: data.differs,
            ...(behind && { type: labelOf(behind) }),
          },
          related,
          fixes: behind ? [] : revertHunk(data.at, data.name),
        }),
      ),
};
