import { fateOf } from './constants.ts';
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
      .flatMap(({ data, behind, follows, related }) => {
        const fate = data.readOnly ? fateOf(input, data) : undefined;
        if (data.readOnly && !fate) return [];
        const severity = fate?.severity ?? 'blocker';
        const wayOut = behind ? 'Keep the size of the type' : 'Keep its size and put the rest in a new object';
        const consequence =
          fate?.consequence ??
          `In ${running(input)} it stays ${data.baseSize} bytes, and what follows it in memory belongs to others.`;
        return finding({
          code: 'data-size-changed',
          severity,
          symbol: data.name,
          at: data.at,
          message: `${dataName(data)} went from ${data.baseSize} to ${data.nextSize} bytes.${follows} ${consequence}${severity === 'blocker' ? ` ${wayOut}.` : ''}`,
          evidence: {
            baseSize: data.baseSize,
            nextSize: data.nextSize,
            differs: data.differs,
            ...(behind && { type: labelOf(behind) }),
            ...fate?.evidence,
          },
          related: [...related, ...(fate?.related ?? [])],
          fixes: behind ? [] : revertHunk(data.at, data.name),
        });
      }),
};
