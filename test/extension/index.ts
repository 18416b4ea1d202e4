import { writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import Mocha from 'mocha';

/** Called by VS Code inside the extension host: runs the suites that LPA_SUITES names and writes the counts of each to LPA_RESULTS. */
export async function run(): Promise<void> {
  const grep = process.env.LPA_GREP;
  const mocha = new Mocha({ ui: 'bdd', color: false, timeout: 60_000, bail: false, ...(grep ? { grep } : {}) });
  for (const name of (process.env.LPA_SUITES ?? '').split(',')) mocha.addFile(join(__dirname, `${name}.suite.cjs`));
  const failed = await new Promise<number>((done) => {
    const failures: string[] = [];
    const counts: Record<string, { passed: number; failed: number; skipped: number }> = {};
    const count = (test: Mocha.Runnable, outcome: 'passed' | 'failed' | 'skipped'): void => {
      const suite = basename(test.file ?? '', '.suite.cjs');
      counts[suite] ??= { passed: 0, failed: 0, skipped: 0 };
      counts[suite][outcome]++;
    };
    const runner = mocha.run((bad) => {
      const results = process.env.LPA_RESULTS;
      if (results) writeFileSync(results, JSON.stringify({ counts, failures }));
      done(bad);
    });
    runner.on('pass', (test) => count(test, 'passed'));
    runner.on('pending', (test) => count(test, 'skipped'));
    runner.on('fail', (test, error: Error) => {
      count(test, 'failed');
      failures.push(`${test.fullTitle()}: ${error.message}`.replace(/\s+/g, ' ').slice(0, 400));
    });
  });
  if (failed > 0) throw new Error(`${failed} tests failed`);
}
