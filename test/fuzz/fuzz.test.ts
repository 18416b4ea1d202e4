import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mutant } from './mutate.ts';
import { fuzz } from './run.ts';
import { makeSeeds } from './seeds.ts';
import { causes, summary } from './summary.ts';

/** LIVEPATCH_FUZZ changes the number of objects, LIVEPATCH_FUZZ_SEED which ones. */
const COUNT = Number(process.env.LIVEPATCH_FUZZ ?? 100_000);
const SEED = Number(process.env.LIVEPATCH_FUZZ_SEED ?? 1);
const seeds = await makeSeeds();

test('the same seed makes the same objects, and they differ from their original', () => {
  let changed = 0;
  for (let index = 0; index < 200; index++) {
    const one = mutant(seeds, 7, index);
    assert.deepEqual(mutant(seeds, 7, index).bytes, one.bytes);
    if (Buffer.compare(one.bytes, one.seed.bytes) !== 0) changed++;
  }
  assert.ok(changed > 150, `${changed} of 200 differ`);
});

for (const [kind, expected] of [
  ['throw', 'threw'],
  ['memory', 'out of memory'],
  ['hang', 'hang'],
] as const) {
  test(`the watch sees a reader with a defect, and goes on behind it: ${kind}`, async () => {
    const result = await fuzz(seeds, 1, 60, 0, () => {}, { index: 20, kind });
    assert.deepEqual(
      result.failures.map((failure) => [failure.index, failure.kind]),
      [[20, expected]],
    );
    // What was read between the last figures and the end of the worker is not counted.
    assert.ok(result.objects >= 39, `${result.objects} objects`);
  });
}

test(`${COUNT} mutated objects: no exception, no hang, no runaway memory`, async (t) => {
  const result = await fuzz(seeds, SEED, COUNT, 3, (done, soFar) => {
    if (done % 10_000 < 1000) console.log(summary(soFar));
  });
  t.diagnostic(summary(result));
  console.log(summary(result));
  assert.deepEqual([...causes(result).entries()], []);
  assert.equal(result.objects, COUNT);
  // A mutator that only broke the header would prove nothing.
  assert.ok(result.opened > COUNT * 0.9);
  assert.ok(result.debug > COUNT * 0.7);
  assert.ok(result.withProblems > COUNT * 0.2);
});
