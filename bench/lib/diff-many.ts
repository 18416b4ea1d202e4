// Compares pairs of objects, one after the other in this process, as `livepatch diff` does: read, load, diff, findings. Arguments: a JSON file
// with the pairs, and how often to repeat. Output: one line of JSON. `cold`: the first pass, in milliseconds of the clock, of this thread, and
// of the whole process (compiling and collecting run in threads of their own). `warm`: the same of the last pass. `best`: milliseconds of this thread in
// the fastest pass, per pair.
import { readFileSync } from 'node:fs';
import { createAnalyser, fileProvenance } from '../../server/src/analyse.ts';

interface Pair {
  readonly unit: string;
  readonly base: string;
  readonly next: string;
}

/** Milliseconds that this thread has run: waiting for a processor that others use does not count. */
function threadTime(): number {
  // Makes the kernel bring the figure up to date, which it else does a few hundred times a second.
  process.cpuUsage();
  return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
}

async function main(): Promise<void> {
  const pairs: Pair[] = JSON.parse(readFileSync(process.argv[2]!, 'utf8'));
  const passes = Number(process.argv[3] ?? 1);
  const best = pairs.map(() => Number.POSITIVE_INFINITY);
  let cold = { clock: 0, thread: 0, process: 0 };
  let warm = cold;
  const found: string[][] = pairs.map(() => []);
  for (let pass = 0; pass < passes; pass++) {
    const began = { clock: performance.now(), thread: threadTime(), process: process.cpuUsage() };
    const analyser = await createAnalyser();
    for (const [index, { base, next }] of pairs.entries()) {
      // The clock of the thread takes a while to ask: the first pass is measured as a whole.
      const from = pass === 0 ? 0 : threadTime();
      const [before, after] = [base, next].map((path) => analyser.load(readFileSync(path)).object);
      if (!before || !after) throw new Error(`${base} does not load`);
      const { diff } = analyser.compare(before, after, fileProvenance(base, next), undefined, ['linux']);
      found[index] = diff.functions.filter(({ lineOnly }) => !lineOnly).map(({ name }) => name);
      if (pass > 0) best[index] = Math.min(best[index]!, threadTime() - from);
    }
    const used = process.cpuUsage(began.process);
    warm = {
      clock: performance.now() - began.clock,
      thread: threadTime() - began.thread,
      process: (used.user + used.system) / 1000,
    };
    if (pass === 0) cold = warm;
  }
  console.log(JSON.stringify({ cold, warm, best, found }));
}

void main();
