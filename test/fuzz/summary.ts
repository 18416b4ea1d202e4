import type { FuzzResult } from './run.ts';

/** The figures of a run in one line. */
export function summary(result: FuzzResult): string {
  return [
    `${result.objects} objects in ${result.seconds.toFixed(1)} s (${Math.round(result.objects / result.seconds)}/s)`,
    `${result.compared} compared with their original`,
    `${result.opened} opened, ${result.debug} with debug information, ${result.withProblems} with problems, ${result.payloads} payloads accepted`,
    `slowest ${result.slowest} ms (object ${result.slowestIndex}), most memory ${Math.round(result.memory / 1048576)} MB`,
    `${result.failures.length} failures`,
  ].join('; ');
}

/** Failures by what they have in common: the message and the innermost places. */
export function causes(result: FuzzResult): Map<string, number[]> {
  const found = new Map<string, number[]>();
  for (const { index, kind, detail } of result.failures) {
    const cause = `${kind}: ${detail.split('\n').slice(0, 5).join('\n')}`;
    found.set(cause, [...(found.get(cause) ?? []), index]);
  }
  return found;
}
