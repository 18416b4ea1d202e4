// The diff of 50 pairs of kernel objects in one process against `objdump -dr` and `pahole` on the same files; and how its cost grows with
// the size of the objects. Times are of processors, not of the clock, so that what else the machine does matters little: of the tools all that they
// use, of the diff the thread that works. (Node compiles and collects in other threads meanwhile; their time is in the result, too.) Twice: in a
// process that has just started, where half of the time goes into Node's compiling the program while it runs, and in one that has compared before, as the
// language server has. The program is bundled as the shipped ones are.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { repository } from '../scripts/lib/install.mjs';
import { must } from '../scripts/lib/run.mjs';
import { bundled } from './lib/bundle.mjs';
import { kernelPairs } from './lib/kernel.mjs';
import { keep, median, processorTime, round } from './lib/measure.mjs';

const LIMIT = { ratio: 0.5, exponent: 1.1 };
const COUNT = 50;
/** Bytes of the smallest objects: of the 50, and of those by which the growth is measured (over a factor of more than 100). */
const SMALLEST = { pairs: 30_000, growth: 12_000 };

/** `count` pairs, evenly spread over all sizes. */
function spread(pairs, count) {
  if (pairs.length <= count) return pairs;
  return Array.from({ length: count }, (_, i) => pairs[Math.round((i * (pairs.length - 1)) / (count - 1))]);
}

async function compare(program, pairs, passes, folder) {
  const list = join(folder, 'pairs.json');
  writeFileSync(list, JSON.stringify(pairs));
  const result = await must(process.execPath, [program, list, String(passes)], { cwd: repository, seconds: 900 });
  return JSON.parse(result.stdout.trim().split('\n').pop());
}

/** Milliseconds for each megabyte, by size: the same number all the way down where the cost is linear. */
function growthTable(points) {
  const rows = [];
  for (let from = 0; from < points.length; from += 15) {
    const some = points.slice(from, from + 15);
    const size = some.reduce((sum, point) => sum + point.size, 0);
    const time = some.reduce((sum, point) => sum + point.time, 0);
    rows.push({ from: some[0].size, to: some.at(-1).size, millisecondsPerMB: round((time * 1e6) / size, 1) });
  }
  return rows;
}

/** Slope of log(time) over log(size), by least squares: 1 is linear. */
function exponent(points) {
  const logs = points.map(({ size, time }) => [Math.log(size), Math.log(time)]);
  const mean = (k) => logs.reduce((sum, point) => sum + point[k], 0) / logs.length;
  const [x, y] = [mean(0), mean(1)];
  const over = logs.reduce((sum, point) => sum + (point[0] - x) * (point[1] - y), 0);
  return over / logs.reduce((sum, point) => sum + (point[0] - x) ** 2, 0);
}

export async function bench({ say, rounds = 3 }) {
  const all = await kernelPairs(say, { smallest: SMALLEST.growth, largest: Number.POSITIVE_INFINITY });
  const pairs = spread(
    all.filter(({ size }) => size >= SMALLEST.pairs && size <= 1_258_291),
    COUNT,
  );
  if (pairs.length < COUNT) throw new Error(`only ${pairs.length} kernel units could be compiled`);
  const folder = mkdtempSync(join(tmpdir(), 'lpa-bench-kernel-'));
  try {
    const program = await bundled('diff-many.ts', folder);
    const objects = pairs.flatMap(({ base, next }) => [base, next]);
    const samples = {
      diff: [],
      whole: [],
      warm: [],
      objdump: [],
      pahole: [],
      clock: { diff: [], warm: [], tools: [] },
    };
    for (let i = 0; i < rounds; i++) {
      const objdump = await processorTime(['objdump', '-dr'], objects);
      const pahole = await processorTime(['pahole'], objects);
      const { cold, warm } = await compare(program, pairs, 4, folder);
      samples.objdump.push(objdump.processor);
      samples.pahole.push(pahole.processor);
      samples.diff.push(cold.thread);
      samples.whole.push(cold.process);
      samples.clock.diff.push(cold.clock);
      samples.warm.push(warm.thread);
      samples.clock.warm.push(warm.clock);
      samples.clock.tools.push(objdump.clock + pahole.clock);
      say(
        `round ${i + 1} of ${rounds}: ${Math.round(warm.thread)} ms, ${Math.round(cold.thread)} ms in a new process, against ${Math.round(objdump.processor + pahole.processor)} ms; by the clock ${Math.round(warm.clock)} and ${Math.round(cold.clock)} ms against ${Math.round(objdump.clock + pahole.clock)} ms`,
      );
    }
    const measured = await compare(program, all, 3, folder);
    // Below the fixed cost of a comparison the size does not show.
    const points = all.map(({ size }, i) => ({ size, time: measured.best[i] }));
    const tools = samples.objdump.map((time, i) => time + samples.pahole[i]);
    const ratio = median(samples.warm) / median(tools);
    const newProcess = median(samples.diff) / median(tools);
    const growth = exponent(points);
    const result = {
      what: `diff of ${pairs.length} pairs of kernel objects in one process against objdump -dr and pahole on each`,
      limit: LIMIT,
      ratio: round(ratio),
      newProcess: round(newProcess),
      exponent: round(growth),
      sizes: {
        smallest: all[0].size,
        largest: all.at(-1).size,
        factor: round(all.at(-1).size / all[0].size, 0),
        pairs: all.length,
      },
      growth: growthTable(points),
      clockRatio: round(median(samples.clock.warm) / median(samples.clock.tools)),
      newProcessClockRatio: round(median(samples.clock.diff) / median(samples.clock.tools)),
      milliseconds: {
        diff: samples.warm.map((t) => round(t, 0)),
        newProcess: samples.diff.map((t) => round(t, 0)),
        newProcessAllThreads: samples.whole.map((t) => round(t, 0)),
        objdump: samples.objdump.map((t) => round(t, 0)),
        pahole: samples.pahole.map((t) => round(t, 0)),
      },
      slowest: points
        .map(({ size, time }, i) => ({ unit: all[i].unit, size, milliseconds: round(time, 1) }))
        .sort((a, b) => b.milliseconds - a.milliseconds)
        .slice(0, 5),
      ok: ratio <= LIMIT.ratio && newProcess <= LIMIT.ratio && growth <= LIMIT.exponent,
    };
    keep('kernel', result);
    return [
      {
        name: 'kernel: 50 pairs / objdump -dr and pahole',
        value: result.ratio,
        limit: LIMIT.ratio,
        ok: ratio <= LIMIT.ratio,
      },
      {
        name: 'kernel: the same in a process that has just started',
        value: result.newProcess,
        limit: LIMIT.ratio,
        ok: newProcess <= LIMIT.ratio,
      },
      { name: 'kernel: cost ~ size^x, x', value: result.exponent, limit: LIMIT.exponent, ok: growth <= LIMIT.exponent },
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
