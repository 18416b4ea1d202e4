import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { cli, tickerWorkspace } from './support.ts';

const workspace = tickerWorkspace();
const patch = join(workspace.folder, 'build/fix.lpp');
let ticker: ChildProcess;
let url = '';

const livepatch = (...args: string[]) => cli(args, { cwd: workspace.folder });
const fix = () =>
  workspace.edit(
    'src/quote.c',
    '(quote->price - quote->open) / quote->open * 10000',
    '(quote->price - quote->open) * 10000 / quote->open',
  );

/** The change column of the board: all zero in the old code. */
async function changes(): Promise<string[]> {
  const board = await (await fetch(url)).text();
  return [...board.matchAll(/[+-]\d+\.\d\d %/g)].map(([text]) => text);
}
const zero = (column: readonly string[]) => column.length > 0 && column.every((text) => /^[+-]0\.00 %$/.test(text));

before(async () => {
  ticker = spawn(join(workspace.folder, 'build/ticker'), ['0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [first] = await once(ticker.stdout!, 'data');
  url = /http:\S+/.exec(String(first))![0];
  ticker.stdout!.resume();
  await new Promise((resolve) => setTimeout(resolve, 1000));
});

after(async () => {
  ticker.kill('SIGKILL');
  await once(ticker, 'exit');
  workspace.remove();
});
afterEach(() => workspace.restore());

describe('build, apply, status, revert', () => {
  it('the whole way: the running program behaves differently, and again as before', async () => {
    assert.ok(zero(await changes()));
    fix();
    const built = await livepatch('build', '-o', patch, '--json');
    assert.equal(built.status, 0, built.err);
    const document = JSON.parse(built.out);
    assert.equal(document.file, patch);
    assert.deepEqual(document.manifest.replaces.map((item: { name: string }) => item.name).sort(), [
      'quote_alarm',
      'quote_line',
    ]);

    const inspected = await livepatch('inspect', patch);
    assert.equal(inspected.status, 0);
    for (const name of ['quote_alarm', 'quote_line']) assert.match(inspected.out, new RegExp(name));

    const applied = await livepatch('apply', patch, '--pid', String(ticker.pid), '--json');
    assert.equal(applied.status, 0, applied.err + applied.out);
    const { event } = JSON.parse(applied.out);
    assert.deepEqual([event.kind, event.functions], ['applied', 2]);
    assert.ok(!zero(await changes()));

    const status = JSON.parse((await livepatch('status', '--target', 'ticker', '--json')).out);
    assert.deepEqual(
      [status.alive, status.pid, status.patches.length, status.patches[0].state],
      [true, ticker.pid, 1, 'applied'],
    );
    assert.match((await livepatch('status', '--pid', String(ticker.pid))).out, /quote_line/);

    const twice = await livepatch('apply', patch, '--pid', String(ticker.pid));
    assert.equal(twice.status, 1, 'a patch that is applied is refused');
    assert.match(twice.err, /^Refused/);

    const reverted = await livepatch('revert', '--target', 'ticker');
    assert.equal(reverted.status, 0, reverted.err);
    assert.ok(zero(await changes()));
  });

  it('a patch on a patch: what is covered is told from what is taken back; built for a process', async () => {
    const [first, second] = ['first', 'second'].map((name) => join(workspace.folder, `build/${name}.lpp`));
    const pid = String(ticker.pid);
    fix();
    assert.equal((await livepatch('build', '-o', first!, '--pid', pid, '--binary', 'build/ticker')).status, 0);
    workspace.edit('src/quote.c', ') * 10000', ') * 20000');
    assert.equal((await livepatch('build', '-o', second!, '--pid', pid)).status, 0);
    const other = await livepatch('build', '-o', second!, '--pid', String(process.pid));
    assert.match(other.err, /left out\s+\(it is part of\s+\S+ticker,\s+which/, 'another program runs');
    for (const [options, why] of [
      [['--pid', '999999999'], /999999999.*no such process/],
      [['--binary', 'Makefile'], /Makefile is no program or library/],
    ] as const) {
      const refused = await livepatch('build', '-o', second!, ...options);
      assert.equal(refused.status, 2);
      assert.match(refused.err, why);
      assert.doesNotMatch(refused.err, /unexpected/);
    }
    for (const file of [first!, second!]) {
      const applied = await livepatch('apply', file, '--pid', pid);
      assert.equal(applied.status, 0, applied.err);
    }
    const both = (await livepatch('status', '--pid', pid)).out;
    assert.match(both, /quote_line +0x[0-9a-f]+, covered by patch \d/);
    assert.match(both, /quote_line +0x[0-9a-f]+ → 0x[0-9a-f]+/);
    assert.equal((await livepatch('revert', '--pid', pid)).status, 0);
    assert.doesNotMatch((await livepatch('status', '--pid', pid)).out, /covered/);
    assert.equal((await livepatch('revert', '--pid', pid)).status, 0);
    assert.ok(zero(await changes()));
  });

  it('nothing to patch: no file is written, status 2', async () => {
    const none = join(workspace.folder, 'build/none.lpp');
    const { status, err } = await livepatch('build', '-o', none);
    assert.equal(status, 2);
    assert.match(err, /[Nn]othing/);
    assert.ok(!existsSync(none));
  });

  it('a blocker refuses the build with its reason, status 1', async () => {
    workspace.edit('src/quote.h', '\tlong price;', '\tlong volume;\n\tlong price;');
    const blocked = join(workspace.folder, 'build/blocked.lpp');
    const { status, out, err } = await livepatch('build', '-o', blocked);
    assert.equal(status, 1);
    assert.match(out + err, /struct-layout/);
    assert.ok(!existsSync(blocked));
  });

  it('status lists every process that runs the executable; applying asks for one of them', async () => {
    const second = spawn(join(workspace.folder, 'build/ticker'), ['0'], { stdio: 'ignore' });
    try {
      await new Promise((resolve) => setTimeout(resolve, 200));
      const { status, out } = await livepatch('status', '--target', 'ticker', '--json');
      assert.equal(status, 0);
      const pids = JSON.parse(out).targets.map((target: { pid: number }) => target.pid);
      assert.deepEqual(pids.sort(), [ticker.pid, second.pid].sort());
      const revert = await livepatch('revert', '--target', 'ticker');
      assert.equal(revert.status, 1);
      assert.match(revert.err, new RegExp(String(second.pid)));
    } finally {
      second.kill('SIGKILL');
      await once(second, 'exit');
    }
  });

  it('says which targets there are, and refuses what is no payload or no process', async () => {
    const unknown = await livepatch('status', '--target', 'nobody');
    assert.equal(unknown.status, 2);
    assert.match(unknown.err, /no target 'nobody'.*ticker/);
    assert.equal((await livepatch('status', '--pid', 'abc')).status, 2);
    assert.equal((await livepatch('status', '--pid', '999999999')).status, 2);
    const junk = join(workspace.folder, 'build/junk.lpp');
    writeFileSync(junk, 'no payload');
    const refused = await livepatch('apply', junk, '--pid', String(ticker.pid));
    assert.notEqual(refused.status, 0);
    assert.notEqual((await livepatch('inspect', junk)).status, 0);
    assert.ok(zero(await changes()), 'the program goes on');
  });
});
