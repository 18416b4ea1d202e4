import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { readTap } from '../../scripts/lib/node-tests.mjs';

it("counts what Node's runner reports: leaves once, skips with their reasons, failures by name", () => {
  const folder = mkdtempSync(join(tmpdir(), 'lpa-tap-'));
  try {
    const file = join(folder, 'sample.test.mjs');
    writeFileSync(
      file,
      `import { describe, it } from 'node:test';
       describe('a suite', () => {
         it('passes', () => {});
         it('passes as well', () => {});
         it('fails for a reason', () => { throw new Error('no'); });
         it('is left out', (t) => t.skip('no such device'));
       });`,
    );
    // Without the marks of the runner that runs this test: else the inner run reports in another format.
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const run = spawnSync(process.execPath, ['--test', '--test-reporter=tap', file], { encoding: 'utf8', env });
    const counted = readTap(run.stdout);
    assert.deepEqual([counted.passed, counted.failed, counted.skipped], [2, 1, 1], run.stdout);
    assert.deepEqual(counted.skips, ['is left out: no such device']);
    assert.ok(counted.failures.includes('fails for a reason'));
  } finally {
    rmSync(folder, { recursive: true });
  }
});
