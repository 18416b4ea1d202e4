// Mutates real objects and reads them: `node --import tsx test/fuzz/fuzz.ts --count N --seed S [--only I --save FILE]`.
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { createDecoders } from '../../server/src/core/asm/decode.ts';
import { loadObject } from '../../server/src/core/load-object.ts';
import { compare, drive } from './drive.ts';
import { mutant } from './mutate.ts';
import { fuzz, wasmPath } from './run.ts';
import { makeSeeds } from './seeds.ts';
import { causes, summary } from './summary.ts';

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '100000' },
    seed: { type: 'string', default: '1' },
    /** Reads one object of the run in this process, for a debugger. */
    only: { type: 'string' },
    /** Every how many objects are compared with their original as well. */
    compare: { type: 'string', default: '20' },
    save: { type: 'string' },
  },
});
const seed = Number(values.seed);
let told = 0;
const seeds = await makeSeeds();

if (values.only !== undefined) {
  const { bytes, seed: from } = mutant(seeds, seed, Number(values.only));
  console.log(`made from: ${from.name} (${bytes.length} bytes)`);
  if (values.save) writeFileSync(values.save, bytes);
  console.log(drive(bytes));
  const decoders = await createDecoders(readFileSync(wasmPath()));
  const original = loadObject(from.bytes, decoders).object;
  // Both directions and all targets, whichever it was in the run.
  for (let i = 0; original && i < 6; i++) compare(decoders, original, bytes, i);
} else {
  const result = await fuzz(seeds, seed, Number(values.count), Number(values.compare), (done, soFar) => {
    for (const failure of soFar.failures.slice(told)) {
      console.log(`object ${failure.index}: ${failure.kind}: ${failure.detail.split('\n')[0]}`);
    }
    told = soFar.failures.length;
    if (done % 10_000 < 1000) console.log(summary(soFar));
  });
  console.log(summary(result));
  for (const [cause, indices] of causes(result)) console.log(`objects ${indices.join(', ')}: ${cause}`);
  process.exitCode = result.failures.length > 0 ? 1 : 0;
}
