import { judgeData, oldPlace } from './data.ts';
import { dataName, finding, isGenerated, revertHunk } from './support.ts';
import type { Hazard } from './types.ts';

/** `tls-changed`: threads that run have their thread-local block already; it cannot grow or be initialised again. */
export const tlsChanged: Hazard = {
  codes: ['tls-changed'],
  find: (input) =>
    input.diff.data
      .filter((data) => data.tls && !isGenerated(data))
      .filter((data) => data.status === 'new' || judgeData(input, data) === 'tls')
      .map((data) => {
        const what =
          data.status === 'new'
            ? `The thread-local variable ${dataName(data)} is new`
            : data.baseSize !== data.nextSize
              ? `The thread-local variable ${dataName(data)} went from ${data.baseSize} to ${data.nextSize} bytes`
              : `The initial value of the thread-local variable ${dataName(data)} changed`;
        return finding({
          code: 'tls-changed',
          severity: 'blocker',
          symbol: data.name,
          at: data.at,
          message: `${what}. Each running thread got its block of thread-local data when it started: it cannot be extended or initialised anew. Use a table keyed by the thread, or keep the variable as it is.`,
          evidence: { status: data.status, baseSize: data.baseSize, nextSize: data.nextSize, differs: data.differs },
          related: oldPlace(input, data),
          fixes: revertHunk(data.at, data.name),
        });
      }),
};
