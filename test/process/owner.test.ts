import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fromHex } from '../../server/src/core/payload/sha256.ts';
import { Helper } from '../../server/src/targets/helper.ts';
import { mapsOf } from '../../server/src/targets/procfs.ts';
import { findPatches } from '../../server/src/targets/record.ts';
import { ASKING_MAIN, ensureHelper, Program, type RunningProgram } from './program.ts';
import { insist, many, outcome, settled, whole } from './whole.ts';

/** "hold" keeps the thread in the function until the next line. */
const part = (word: string): string => `
#include <stdio.h>
#include <string.h>
const char *answer(const char *q) {
  static char text[64];
  if (!strcmp(q, "hold")) { puts("held"); fgets(text, sizeof text, stdin); }
  snprintf(text, sizeof text, "${word} %s", q);
  return text;
}
`;

describe('process target: two tools at one process', () => {
  const programs: Program[] = [];
  before(() => {
    ensureHelper();
  });
  after(() => {
    for (const program of programs) program.dispose();
  });
  const start = async (source: (word: string) => string): Promise<{ running: RunningProgram; payload: Uint8Array }> => {
    const program = new Program({ 'main.c': ASKING_MAIN, 'part.c': source('old') });
    programs.push(program);
    const payload = await program.payload({ 'part.c': source('new') }, { leaveOut: source === part ? [] : ['answer'] });
    const running = program.start();
    await running.line();
    return { running, payload };
  };
  const numbered = (word: string): string => many(word === 'old' ? 3 : 5);

  it('while one waits for an opportunity the other is refused, and repairs nothing', async () => {
    const { running, payload } = await start(part);
    const target = running.target();
    const state = async () => (await target.status()).patches.map((one) => one.state);
    for (const what of ['apply', 'revert'] as const) {
      const now = what === 'apply' ? 'old' : 'new';
      const work = () => (what === 'apply' ? target.apply(payload) : target.revert(undefined));
      assert.equal(await running.ask('hold'), 'held');
      const first = work();
      // Its journal says that it is at work.
      for (const end = Date.now() + 30_000; (await state())[0] !== 'interrupted'; )
        assert.ok(Date.now() < end, 'the first does not begin');
      assert.match(
        outcome(await target.apply(payload)),
        /^refused occupied: Another livepatch is at work in process \d+/,
      );
      assert.match(outcome(await target.revert(undefined)), /^refused occupied/);
      assert.deepEqual(await state(), ['interrupted']);
      assert.equal(await running.ask(''), `${now} hold`);
      assert.equal(outcome(await first), what === 'apply' ? 'applied' : 'reverted');
      assert.deepEqual(await state(), [what === 'apply' ? 'applied' : 'reverted']);
      assert.equal(await running.ask('x'), what === 'apply' ? 'new x' : 'old x');
    }
    assert.equal(await running.end(), 0);
  });

  it('of two at the same moment one succeeds and one is refused', async () => {
    const { running, payload } = await start(numbered);
    const target = running.target();
    for (let round = 0; round < 10; round++)
      for (const [work, done, late] of [
        [() => target.apply(payload), 'applied', 'already-applied'],
        [() => target.revert(undefined), 'reverted', 'not-applied'],
      ] as const) {
        const told = (await Promise.all([insist(work), insist(work)])).map(outcome);
        const [one, other] = told[0] === done ? told : [...told].reverse();
        assert.equal(one, done);
        assert.match(other!, new RegExp(`^refused (occupied|${late}):`));
        assert.equal(await whole(running), done === 'applied' ? 'new' : 'old');
        assert.equal((await target.status()).patches[0]!.state, done);
      }
    assert.equal(await running.end(), 0);
  });

  it('a helper that is killed gives the process back', async () => {
    const { running, payload } = await start(numbered);
    const owner = await Helper.open(running.pid);
    assert.equal(await owner.claim(), true);
    const target = running.target();
    assert.match(outcome(await target.apply(payload)), /^refused occupied/);
    process.kill(owner.pid!, 'SIGKILL');
    await owner.release();
    assert.equal(outcome(await insist(() => target.apply(payload))), 'applied');
    assert.equal(await settled(running), 'new');
    assert.equal(await running.end(), 0);
  });

  it('a patch of which some functions run their old code already is reverted', async () => {
    const { running, payload } = await start(numbered);
    const target = running.target();
    assert.equal(outcome(await target.apply(payload)), 'applied');
    const helper = await Helper.open(running.pid);
    const [found] = await findPatches(helper, mapsOf(running.pid));
    for (const one of found!.record.functions.slice(0, 3))
      await helper.write(Number(one.jumpAddress), fromHex(one.previous)!);
    helper.close();
    assert.deepEqual(
      (await target.status()).patches.map((one) => one.state),
      ['interrupted'],
    );
    assert.equal(outcome(await insist(() => target.revert(undefined))), 'reverted');
    assert.equal(await whole(running), 'old');
    assert.equal(outcome(await insist(() => target.apply(payload))), 'applied');
    assert.equal(await whole(running), 'new');
    assert.equal(await running.end(), 0);
  });
});
