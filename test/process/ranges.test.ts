import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { before, describe, it } from 'node:test';
import { tidy } from '../../server/src/targets/apply.ts';
import { Helper } from '../../server/src/targets/helper.ts';
import { mapsOf } from '../../server/src/targets/procfs.ts';
import { findPatches } from '../../server/src/targets/record.ts';
import { ASKING_MAIN, ensureHelper, Program } from './program.ts';
import { outcome, pause } from './whole.ts';

const named = (low: number, high: number) => ({ low, high, name: `${low}` });
const ends = (...ranges: readonly ReturnType<typeof named>[]) => tidy(ranges).map(({ low, high }) => [low, high]);

describe('process target: ranges of watched code', () => {
  before(() => {
    ensureHelper();
  });

  it('every address of the parts is in one range, whatever they touch or overlap', () => {
    // Two cold parts, one right behind the other: [100, 120) and [120, 150).
    assert.deepEqual(ends(named(119, 150), named(99, 120)), [
      [99, 120],
      [119, 150],
    ]);
    assert.deepEqual(ends(named(99, 150), named(109, 120)), [[99, 150]]);
    assert.deepEqual(ends(named(99, 120), named(109, 150)), [
      [99, 120],
      [119, 150],
    ]);
    assert.deepEqual(ends(named(99, 120), named(99, 120)), [[99, 120]]);
    // The entry of a function behind a part stays a safe place.
    assert.deepEqual(ends(named(99, 120), named(120, 150)), [
      [99, 120],
      [120, 150],
    ]);
  });

  it('cold parts of functions of one name in two units are remembered with the functions', async () => {
    const unit = (name: string, by: number): string => `#include <stdio.h>
__attribute__((cold, noinline)) static void failed(int x) { fprintf(stderr, "${name} %d", x); }
static __attribute__((noinline)) int work(int x) { if (x > 100000) { failed(x); failed(x + 1); return -x; } return x * ${by}; }
int ${name}(int x) { return work(x) + 1; }
`;
    const part =
      'int first(int); int second(int);\nconst char *answer(const char *q) { return first(*q) + second(*q) ? "some" : "none"; }\n';
    const program = new Program({
      'main.c': ASKING_MAIN,
      'part.c': part,
      'first.c': unit('first', 3),
      'second.c': unit('second', 3),
    });
    try {
      const payload = await program.payload({ 'first.c': unit('first', 5), 'second.c': unit('second', 5) });
      const running = program.start();
      await running.line();
      assert.equal(outcome(await running.target().apply(payload)), 'applied');
      const helper = await Helper.open(running.pid);
      const [patch] = await findPatches(helper, mapsOf(running.pid));
      helper.close();
      const works = patch!.record.functions.filter(({ name }) => name === 'work');
      assert.equal(works.length, 2);
      const entries = works.map(({ newAddress }) => newAddress);
      const colds = works.map(({ code }) => code.map(([at]) => at).filter((at) => !entries.includes(at)));
      for (const own of colds) assert.equal(own.length, 2);
      assert.equal(await running.end(), 0);
    } finally {
      program.dispose();
    }
  });

  it('a thread at the first address of a range right behind another one is seen', async () => {
    const child = spawn('sleep', ['600'], { stdio: 'ignore' });
    try {
      const pid = child.pid!;
      let at = 0;
      for (const end = Date.now() + 10_000; at === 0 && Date.now() < end; await pause(20)) {
        const words = readFileSync(`/proc/${pid}/syscall`, 'utf8').trim().split(' ');
        // clock_nanosleep
        if (words[0] === '230') at = Number(words.at(-1));
      }
      assert.ok(at > 0, 'it does not sleep');
      const helper = await Helper.open(pid);
      try {
        const look = async (...ranges: readonly ReturnType<typeof named>[]) =>
          (await helper.switch(tidy(ranges), [], [], { tries: 1, budgetMicroseconds: 1_000_000 })).reason;
        assert.equal(await look(named(at - 17, at), named(at - 1, at + 16)), 'busy');
        assert.equal(await look(named(at - 17, at), named(at, at + 1)), 'done');
      } finally {
        helper.close();
      }
    } finally {
      child.kill('SIGKILL');
    }
  });
});
