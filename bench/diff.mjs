// `livepatch diff` on a pair of sqlite3 objects, against `objdump -dr` of both: wall time and peak memory; and in processor time
// against the comparison of an object with its copy.
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { repository } from '../scripts/lib/install.mjs';
import { run } from '../scripts/lib/run.mjs';
import { keep, median, round, timed } from './lib/measure.mjs';
import { sqlitePair } from './lib/sqlite.mjs';

const LIMIT = { ratio: 0.5, peakMiB: 300, change: 2 };

export async function bench({ say, rounds = 7 }) {
  const pair = await sqlitePair(say);
  const cli = join(repository, 'dist', 'cli.cjs');
  const folder = mkdtempSync(join(tmpdir(), 'lpa-bench-'));
  try {
    const sink = (program, args, env) => run(program, args, { seconds: 120, env: { ...process.env, ...env } });
    const diff = async () => {
      const result = await sink(process.execPath, [cli, 'diff', pair.base, pair.next, '--json']);
      const report = JSON.parse(result.stdout);
      if (!report.functions.some((change) => change.reasons.some((reason) => reason.detail === 'strHash')))
        throw new Error('the edit was not found: nothing to measure');
    };
    /** Processor time of a comparison: of the base object with another one. */
    const processor = async (next) => {
      const file = join(folder, 'cpu');
      const args = ['--require', join(repository, 'bench', 'lib', 'cpu.cjs'), cli, 'diff', pair.base, next, '--json'];
      const { stdout } = await sink(process.execPath, args, { LPA_CPU_FILE: file });
      return { milliseconds: Number(readFileSync(file, 'utf8')), functions: JSON.parse(stdout).functions.length };
    };
    copyFileSync(pair.base, join(folder, 'same.o'));
    const objdump = async () => {
      for (const object of [pair.base, pair.next]) {
        const result = await run('sh', ['-c', 'exec objdump -dr "$1" > /dev/null', 'sh', object], { seconds: 120 });
        if (result.code !== 0) throw new Error(`objdump: ${result.stderr}`);
      }
    };
    await diff(); // Files into the page cache, and V8's code cache where there is one: as in daily use.
    const samples = { diff: [], objdump: [], changed: [], unchanged: [] };
    for (let i = 0; i < rounds; i++) {
      samples.diff.push(await timed(diff));
      samples.objdump.push(await timed(objdump));
      const [changed, unchanged] = [await processor(pair.next), await processor(join(folder, 'same.o'))];
      if (changed.functions === 0 || unchanged.functions > 0) throw new Error('the wrong objects were compared');
      samples.changed.push(changed.milliseconds);
      samples.unchanged.push(unchanged.milliseconds);
      say(
        `round ${i + 1} of ${rounds}: ${Math.round(samples.diff[i])} ms against ${Math.round(samples.objdump[i])} ms`,
      );
    }
    const file = join(folder, 'rss');
    writeFileSync(file, '');
    await sink(
      process.execPath,
      ['--require', join(repository, 'bench', 'lib', 'rss.cjs'), cli, 'diff', pair.base, pair.next, '--json'],
      { LPA_RSS_FILE: file },
    );
    const peakMiB = Number(readFileSync(file, 'utf8')) / 1024;
    const ratio = median(samples.diff) / median(samples.objdump);
    const change = median(samples.changed) / median(samples.unchanged);
    const ok = ratio <= LIMIT.ratio && peakMiB > 0 && peakMiB <= LIMIT.peakMiB && change <= LIMIT.change;
    const result = {
      what: `livepatch diff of two sqlite3 objects (${pair.version}) against objdump -dr of both`,
      limit: LIMIT,
      ratio: round(ratio),
      change: round(change),
      processorMilliseconds: {
        changed: samples.changed.map((t) => round(t, 0)),
        unchanged: samples.unchanged.map((t) => round(t, 0)),
      },
      peakMiB: round(peakMiB, 1),
      milliseconds: {
        diff: samples.diff.map((t) => round(t, 0)),
        objdump: samples.objdump.map((t) => round(t, 0)),
      },
      ok,
    };
    keep('diff', result);
    return [
      { name: 'diff: wall time / objdump -dr', value: result.ratio, limit: LIMIT.ratio, ok: ratio <= LIMIT.ratio },
      {
        name: 'diff: one function changed / nothing changed',
        value: result.change,
        limit: LIMIT.change,
        ok: change <= LIMIT.change,
      },
      {
        name: 'diff: peak memory, MiB',
        value: result.peakMiB,
        limit: LIMIT.peakMiB,
        ok: peakMiB > 0 && peakMiB <= LIMIT.peakMiB,
      },
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
