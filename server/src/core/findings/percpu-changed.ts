import { isPercpu, judgeData, oldPlace } from './data.ts';
import { dataName, finding, revertHunk } from './support.ts';
import type { Hazard } from './types.ts';

/** `percpu-changed`: the per-cpu areas were laid out at boot. */
export const percpuChanged: Hazard = {
  codes: ['percpu-changed'],
  find: (input) =>
    input.diff.data
      .filter((data) => isPercpu(data) && (data.status === 'new' || judgeData(input, data) === 'percpu'))
      .map((data) =>
        finding({
          code: 'percpu-changed',
          severity: 'blocker',
          symbol: data.name,
          at: data.at,
          message: `The per-cpu variable ${dataName(data)} ${data.status === 'new' ? 'is new' : data.baseSize === data.nextSize ? 'has another initial value' : `went from ${data.baseSize} to ${data.nextSize} bytes`}. The per-cpu areas were laid out and filled at boot. Use an ordinary array indexed by the processor, or keep the variable as it is.`,
          evidence: { status: data.status, baseSize: data.baseSize, nextSize: data.nextSize },
          related: oldPlace(input, data),
          fixes: revertHunk(data.at, data.name),
        }),
      ),
};
