import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, describe, it } from 'node:test';
import { cli, tickerWorkspace } from './support.ts';

const workspace = tickerWorkspace();
const file = join(workspace.folder, 'livepatch.json');
const before = existsSync(file) ? readFileSync(file, 'utf8') : undefined;
after(() => workspace.remove());
afterEach(() => {
  workspace.restore();
  if (before === undefined) rmSync(file, { force: true });
});

const run = (...args: string[]) => cli(args, { cwd: workspace.folder });
const threshold = (value: number) =>
  workspace.edit('src/quote.c', 'alarm_threshold = 200', `alarm_threshold = ${value}`);

describe('livepatch accept', () => {
  it('a blocker with a reason: visible, no longer in the way, and carried by the payload', async () => {
    threshold(100);
    assert.equal((await run('check')).status, 1);
    const accepted = await run(
      'accept',
      'data-init-changed',
      'alarm_threshold',
      '--reason',
      'set by hand on all hosts',
    );
    assert.deepEqual([accepted.status, accepted.err], [0, '']);
    assert.match(accepted.out, /Accepted data-init-changed alarm_threshold \(1 unit\), in livepatch\.json/);
    const [entry] = JSON.parse(readFileSync(file, 'utf8')).accepted;
    assert.deepEqual(
      [entry.code, entry.symbol, entry.reason],
      ['data-init-changed', 'alarm_threshold', 'set by hand on all hosts'],
    );
    const check = await run('check');
    assert.equal(check.status, 0, check.out + check.err);
    assert.match(check.out, /data-init-changed alarm_threshold accepted/);
    assert.match(check.out, /accepted: set by hand on all hosts/);
    const report = JSON.parse((await run('check', '--json')).out);
    const findings = report.units.flatMap(
      (unit: { diff?: { findings: { code: string; accepted?: string }[] } }) => unit.diff?.findings ?? [],
    );
    assert.equal(
      findings.find((finding: { code: string }) => finding.code === 'data-init-changed').accepted,
      'set by hand on all hosts',
    );
    // Together with a change of code: the payload is built and says why.
    workspace.edit('src/quote.c', 'return labs(change(quote))', 'return labs(change(quote)) + 1');
    const payload = join(workspace.folder, 'build/accepted.lpp');
    const built = await run('build', '-o', payload, '--json');
    assert.equal(built.status, 0, built.out + built.err);
    assert.deepEqual(JSON.parse(built.out).manifest.overrides, {
      'data-init-changed:alarm_threshold': 'set by hand on all hosts',
    });
    // The evidence changes: another size of the same variable.
    workspace.restore();
    workspace.edit('src/quote.c', 'alarm_threshold = 200', 'alarm_threshold = 200, spare = 1');
    const other = await run('accept', 'data-init-changed', 'alarm_threshold', '--reason', 'nothing to accept');
    assert.equal(other.status, 2);
    assert.match(other.err, /There is no finding data-init-changed about alarm_threshold now/);
  });

  it('withdraws', async () => {
    threshold(100);
    await run('accept', 'data-init-changed', 'alarm_threshold', '--reason', 'set by hand on all hosts');
    const { status, out } = await run('accept', 'data-init-changed', 'alarm_threshold', '--withdraw');
    assert.equal(status, 0, out);
    assert.equal((await run('check')).status, 1);
    assert.equal((await run('accept', 'data-init-changed', 'alarm_threshold', '--withdraw')).status, 2);
  });

  it('wrong use is told', async () => {
    for (const args of [
      ['data-init-changed'],
      ['a', 'b'],
      ['a', 'b', '--reason', 'short'],
      ['a', 'b', '--reason', 'long enough', '--withdraw'],
    ]) {
      const { status, err } = await run('accept', ...args);
      assert.equal(status, 2, args.join(' '));
      assert.match(err, /accept needs|too short/);
    }
  });
});
