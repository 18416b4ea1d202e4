// What the benches share: medians, and a result that says its own limit.
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';

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
