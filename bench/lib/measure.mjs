// What the benches share: medians, and a result that says its own limit.
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { must } from '../../scripts/lib/run.mjs';

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export const round = (value, digits = 3) => Number(value.toFixed(digits));

/** Milliseconds that an asynchronous piece of work took. */
export async function timed(work) {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

/**
 * What a tool takes for some files, one after the other, its output thrown away: milliseconds of processors, all its threads together, and of
 * the clock. Waiting for a processor that others use counts in the second only.
 */
export async function processorTime([tool, ...args], files) {
  // The words of the tool in front of the files; their number tells where these begin.
  const script =
    'n=$1; shift; i=0; tool=; while [ $i -lt $n ]; do tool="$tool $1"; shift; i=$((i+1)); done; for f; do $tool "$f" > /dev/null || exit 1; done; times';
  const began = performance.now();
  const words = [tool, ...args];
  const { stdout } = await must('sh', ['-c', script, 'sh', String(words.length), ...words, ...files], { seconds: 900 });
  // The second line is of the children: user and system time, as `0m1.23s`.
  const times = stdout.trim().split('\n').pop().trim().split(/\s+/);
  let processor = 0;
  for (const text of times) {
    const [, minutes, seconds] = /^(\d+)m([\d.]+)s$/.exec(text);
    processor += (Number(minutes) * 60 + Number(seconds)) * 1000;
  }
  return { processor, clock: performance.now() - began };
}

/** Keeps a result under bench/results/, with what it was measured on. */
export function keep(name, result) {
  const folder = join(import.meta.dirname, '..', 'results');
  mkdirSync(folder, { recursive: true });
  const machine = {
    processors: cpus().length,
    model: cpus()[0]?.model ?? '',
    node: process.versions.node,
    load: loadavg().map((n) => round(n, 1)),
  };
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify({ name, machine, ...result }, null, 2)}\n`);
}
