import { finding, leaveOut } from './support.ts';
import type { Hazard } from './types.ts';

/** `line-only-change`: nothing differs but a line number that the code carries (`__LINE__` in an assertion or a log call). */
export const lineOnlyChange: Hazard = {
  codes: ['line-only-change'],
  find: ({ diff }) =>
    diff.functions
      .filter(({ lineOnly, status }) => lineOnly && status === 'changed')
      .map((fn) =>
        finding({
          code: 'line-only-change',
          severity: 'note',
          symbol: fn.name,
          at: fn.at,
          message: `${fn.name}() differs only in line numbers that its code carries (__LINE__), because lines above it were added or removed. It is left out of the patch, and goes on reporting the old numbers.`,
          evidence: { baseSize: fn.baseSize, nextSize: fn.nextSize },
          fixes: [leaveOut(fn.name)],
        }),
      ),
};
