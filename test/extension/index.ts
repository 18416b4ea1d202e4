import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Mocha from 'mocha';

/** Called by VS Code inside the extension host: runs the suites that LPA_SUITES names and writes the counts to LPA_RESULTS. */
export async function run(): Promise<void> {
  const grep = process.env.LPA_GREP;
  const mocha = new Mocha({ ui: 'bdd', color: false, timeout: 60_000, bail: false, ...(grep ? { grep } : {}) });
  for (const name of (process.env.LPA_SUITES ?? '').split(',')) mocha.addFile(join(__dirname, `${name}.suite.cjs`));
  const failed = await new Promise<number>((done) => {
    const failures: string[] = [];
    const runner = mocha.run((count) => {
      const { passes, pending } = runner.stats ?? { passes: 0, pending: 0 };
      const results = process.env.LPA_RESULTS;
      if (results)
        writeFileSync(results, JSON.stringify({ passed: passes, failed: count, skipped: pending, failures }));
      done(count);
    });
    runner.on('fail', (test, error: Error) => {
      failures.push(`${test.fullTitle()}: ${error.message}`.replace(/\s+/g, ' ').slice(0, 400));
    });
  });
  if (failed > 0) throw new Error(`${failed} tests failed`);
}
