// The listings of a function of 20,000 instructions, both sides, as they are opened in the diff editor: what the server takes for them, in a process
// that has made none before, against `objdump -dlr` of both objects. The editor itself is measured in its own tests.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { must } from '../scripts/lib/run.mjs';
import { bundled } from './lib/bundle.mjs';
import { keep, median, processorTime, round } from './lib/measure.mjs';

const LIMIT = { milliseconds: 500, ratio: 5 };
const INSTRUCTIONS = 20_000;
/** Statements that give about that many; and how many of them are edited, anywhere in the function. */
const STATEMENTS = 3900;
const EDITS = 40;

/** Always the same numbers (a linear congruential generator). */
function numbers(seed) {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

/** A function with arithmetic, calls, jumps and memory in it; with `edits` more statements at scattered places. */
function source(edits) {
  const random = numbers(1);
  const lines = Array.from({ length: STATEMENTS }, (_, i) => {
    const [kind, a, b, c] = [random(6), random(16), random(16), 1 + random(4000)];
    switch (kind) {
      case 0:
        return `  v[${a}] += v[${b}] * ${c};`;
      case 1:
        return `  if (v[${a}] > ${c}) v[${b}] -= get(${c});`;
      case 2:
        return `  v[${a}] ^= v[${b}] >> ${c % 31};`;
      case 3:
        return `  table[${c % 64}] = v[${a}] + ${c};`;
      case 4:
        return `  if (v[${a}] & ${c}) goto out${i % 7}; else v[${b}]++;`;
      default:
        return `  v[${a}] = get(v[${b}] + ${c});`;
    }
  });
  const where = numbers(7);
  for (let i = 0; i < edits; i++) lines[where(STATEMENTS)] += ` v[${where(16)}] += ${where(1000)};`;
  const ends = Array.from({ length: 7 }, (_, i) => `out${i}: v[${i}] = get(${i});`);
  return `int table[64];\nextern int get(int);\nint big(volatile int *v) {\n${[...lines, ...ends].join('\n')}\n  return v[0];\n}\n`;
}

export async function bench({ say, rounds = 5 }) {
  const folder = mkdtempSync(join(tmpdir(), 'lpa-bench-listing-'));
  try {
    const objects = [];
    for (const [side, edits] of [
      ['base', 0],
      ['next', EDITS],
    ]) {
      writeFileSync(join(folder, 'unit.c'), source(edits));
      await must('gcc', ['-O1', '-g', '-ffunction-sections', '-c', 'unit.c', '-o', `${side}.o`], { cwd: folder });
      objects.push(join(folder, `${side}.o`));
    }
    const program = await bundled('listing-once.ts', folder);
    const samples = { listing: [], compare: [], objdump: [] };
    let once;
    for (let i = 0; i < rounds; i++) {
      samples.objdump.push((await processorTime(['objdump', '-dlr'], objects)).processor);
      const { stdout } = await must(process.execPath, [program, ...objects, 'big'], { cwd: folder, seconds: 120 });
      once = JSON.parse(stdout.trim().split('\n').pop());
      samples.listing.push(once.listing);
      samples.compare.push(once.compare);
      say(`round ${i + 1} of ${rounds}: ${Math.round(once.listing)} ms against ${Math.round(samples.objdump[i])} ms`);
    }
    if (once.instructions < INSTRUCTIONS) throw new Error(`only ${once.instructions} instructions were compiled`);
    if (once.differing < EDITS) throw new Error('the edits were not found: nothing to measure');
    const milliseconds = median(samples.listing);
    const ratio = milliseconds / median(samples.objdump);
    keep('listing', {
      what: `both listings of a function of ${once.instructions} instructions, aligned, for the diff editor, against objdump -dlr of both objects`,
      limit: LIMIT,
      milliseconds: round(milliseconds, 0),
      ratio: round(ratio),
      instructions: once.instructions,
      differing: once.differing,
      samples: {
        listing: samples.listing.map((t) => round(t, 0)),
        compare: samples.compare.map((t) => round(t, 0)),
        objdump: samples.objdump.map((t) => round(t, 0)),
      },
      ok: milliseconds <= LIMIT.milliseconds && ratio <= LIMIT.ratio,
    });
    return [
      {
        name: 'listing: 20,000 instructions, both sides, ms of the server',
        value: round(milliseconds, 0),
        limit: LIMIT.milliseconds,
        ok: milliseconds <= LIMIT.milliseconds,
      },
      { name: 'listing: the same / objdump -dlr', value: round(ratio), limit: LIMIT.ratio, ok: ratio <= LIMIT.ratio },
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
