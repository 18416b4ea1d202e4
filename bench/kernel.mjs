// The diff of 50 pairs of kernel objects in one process against `objdump -dr` and `pahole` on the same files; and how its cost grows with
// the size of the objects.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { repository } from '../scripts/lib/install.mjs';
import { must } from '../scripts/lib/run.mjs';
import { kernelPairs } from './lib/kernel.mjs';
import { keep, median, round, timed } from './lib/measure.mjs';

const LIMIT = { ratio: 0.5, exponent: 1.1 };
const COUNT = 50;

/** `count` pairs, evenly spread over all sizes. */
function spread(pairs, count) {
  if (pairs.length <= count) return pairs;
  return Array.from({ length: count }, (_, i) => pairs[Math.round((i * (pairs.length - 1)) / (count - 1))]);
}

async function compare(pairs, passes, folder) {
  const list = join(folder, 'pairs.json');
  writeFileSync(list, JSON.stringify(pairs));
  const args = ['--import', 'tsx', join(repository, 'bench', 'lib', 'diff-many.ts'), list, String(passes)];
  const result = await must(process.execPath, args, { cwd: repository, seconds: 900 });
  return JSON.parse(result.stdout.trim().split('\n').pop());
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
  const all = await kernelPairs(say, { smallest: 30_000, largest: Number.POSITIVE_INFINITY });
  const pairs = spread(
    all.filter(({ size }) => size <= 1_258_291),
    COUNT,
  );
  if (pairs.length < COUNT) throw new Error(`only ${pairs.length} kernel units could be compiled`);
  const folder = mkdtempSync(join(tmpdir(), 'lpa-bench-kernel-'));
  try {
    const tools = async () => {
      for (const object of pairs.flatMap(({ base, next }) => [base, next])) {
        for (const [tool, ...args] of [['objdump', '-dr'], ['pahole']]) {
          const script = 'tool=$1; shift; exec "$tool" "$@" > /dev/null';
          await must('sh', ['-c', script, 'sh', tool, ...args, object], { seconds: 120 });
        }
      }
    };
    const samples = { diff: [], tools: [] };
    for (let i = 0; i < rounds; i++) {
      samples.tools.push(await timed(tools));
      samples.diff.push((await compare(pairs, 1, folder)).cold);
      say(`round ${i + 1} of ${rounds}: ${Math.round(samples.diff[i])} ms against ${Math.round(samples.tools[i])} ms`);
    }
    const measured = await compare(all, 3, folder);
    // Below the fixed cost of a comparison the size does not show.
    const points = all.map(({ size }, i) => ({ size, time: measured.best[i] }));
    const ratio = median(samples.diff) / median(samples.tools);
    const growth = exponent(points);
    const result = {
      what: `diff of ${pairs.length} pairs of kernel objects in one process against objdump -dr and pahole on each`,
      limit: LIMIT,
      ratio: round(ratio),
      exponent: round(growth),
      sizes: { smallest: all[0].size, largest: all.at(-1).size, pairs: all.length },
      milliseconds: { diff: samples.diff.map((t) => round(t, 0)), tools: samples.tools.map((t) => round(t, 0)) },
      slowest: points
        .map(({ size, time }, i) => ({ unit: all[i].unit, size, milliseconds: round(time, 1) }))
        .sort((a, b) => b.milliseconds - a.milliseconds)
        .slice(0, 5),
      ok: ratio <= LIMIT.ratio && growth <= LIMIT.exponent,
    };
    keep('kernel', result);
    return [
      {
        name: 'kernel: 50 pairs / objdump -dr and pahole',
        value: result.ratio,
        limit: LIMIT.ratio,
        ok: ratio <= LIMIT.ratio,
      },
      { name: 'kernel: cost ~ size^x, x', value: result.exponent, limit: LIMIT.exponent, ok: growth <= LIMIT.exponent },
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
