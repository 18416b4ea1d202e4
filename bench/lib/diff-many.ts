// Compares pairs of objects, one after the other in this process, as `livepatch diff` does: read, load, diff, findings. Argument: a JSON file
// with the pairs, and how often to repeat. Output: one line of JSON, milliseconds of the first pass (cold), and per pair of the fastest one.
import { readFileSync } from 'node:fs';
import { createAnalyser, fileProvenance } from '../../server/src/analyse.ts';

interface Pair {
  readonly unit: string;
  readonly base: string;
  readonly next: string;
}

const pairs: Pair[] = JSON.parse(readFileSync(process.argv[2]!, 'utf8'));
const passes = Number(process.argv[3] ?? 1);
const best = pairs.map(() => Number.POSITIVE_INFINITY);
let cold = 0;
const found: string[][] = pairs.map(() => []);
for (let pass = 0; pass < passes; pass++) {
  const began = performance.now();
  const analyser = await createAnalyser();
  for (const [index, { base, next }] of pairs.entries()) {
    const from = performance.now();
    const [before, after] = [base, next].map((path) => analyser.load(readFileSync(path)).object);
    if (!before || !after) throw new Error(`${base} does not load`);
    const { diff } = analyser.compare(before, after, fileProvenance(base, next), undefined, 'linux');
    found[index] = diff.functions.filter(({ lineOnly }) => !lineOnly).map(({ name }) => name);
    best[index] = Math.min(best[index]!, performance.now() - from);
  }
  if (pass === 0) cold = performance.now() - began;
}
console.log(JSON.stringify({ cold, best, found }));
