import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ASKING_MAIN, ensureHelper, Program, type RunningProgram } from './program.ts';
import { insist, many, outcome, pause, settled, state, traces, whole } from './whole.ts';

/** Its main thread computes all the time and looks for questions in between; two more threads do nothing but compute. */
const COMPUTING_MAIN = `
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
const char *answer(const char *question);
int part7(int), part99(int);
static volatile long wrong;
static double mix(int n) {
  double sum = 0, one = 1.0 / (n % 7 + 1);
  long a = n, b = n * 3, c = n ^ 5, d = n + 11;
  for (int i = 0; i < 2000; i++) { sum += one; a += b; b ^= c; c += d; d = d * 3 + a; }
  return sum + (double)(a + b + c + d) * 0;
}
static void check(int n) {
  double once = mix(n), twice = mix(n);
  int a = part7(n), b = part99(n);
  if (once != twice || (a != n * 3 + 7 && a != n * 5 + 7) || (b != n * 3 + 99 && b != n * 5 + 99)) wrong++;
}
static void *compute(void *unused) { for (int n = 1;; n = n % 1000 + 1) check(n); return unused; }
int main(void) {
  char line[64];
  pthread_t thread;
  pthread_create(&thread, 0, compute, 0); pthread_create(&thread, 0, compute, 0);
  if (write(1, "ready\\n", 6) != 6) return 1;
  for (int n = 1;; n = n % 1000 + 1) {
    check(n);
    struct pollfd in = {.fd = 0, .events = POLLIN};
    if (poll(&in, 1, 0) <= 0) continue;
    ssize_t got = read(0, line, sizeof line - 1);
    if (got <= 0) return wrong != 0;
    line[got] = 0;
    char text[80];
    int size = snprintf(text, sizeof text, "%s%s\\n", answer(line), wrong ? " wrong" : "");
    if (write(1, text, size) != size) return 1;
  }
}
`;

/** A program that stands still for good would otherwise take the whole run along. */
const LIMIT = { timeout: 240_000 };

/** Where the helper dies in a first apply, and what the program is afterwards. */
const MAPPING = ['registers-changed', 'mask-changed', 'call-begun', 'call-made'] as const;
const SWITCHING = [
  ['seized', 'before'],
  ['wrote-one', 'before'],
  ['wrote-all', 'before'],
  ['journal-open', 'after'],
  ['before-release', 'after'],
  ['released', 'after'],
] as const;
/** Points after which nobody is left who knows that all jumps are written: only the journal tells. */
const UNFINISHED = new Set(['seized', 'wrote-one', 'wrote-all', 'journal-open']);

for (const [name, main] of [
  ['that waits for input', ASKING_MAIN],
  ['whose threads all compute', COMPUTING_MAIN],
] as const) {
  describe(`process target: a helper that dies at a point, in a program ${name}`, () => {
    const folder = mkdtempSync(join(tmpdir(), 'lpa-faults-'));
    const helper = join(folder, 'livepatch-helper');
    let program: Program;
    let payload: Uint8Array;
    before(async () => {
      const shipped = ensureHelper();
      assert.ok(!readFileSync(shipped).includes('LIVEPATCH_FAULT'), 'the shipped helper can be told to die');
      const native = join(import.meta.dirname, '..', '..', 'server', 'native');
      const made = spawnSync('make', ['-s', '-C', native, `BUILD=${folder}`, 'FAULTS=-DLIVEPATCH_FAULTS'], {
        encoding: 'utf8',
      });
      assert.equal(made.status, 0, made.stderr);
      program = new Program({ 'main.c': main, 'part.c': many(3) });
      payload = await program.payload({ 'part.c': many(5) }, { leaveOut: ['answer'] });
    });
    after(() => {
      program.dispose();
      rmSync(folder, { recursive: true, force: true });
    });

    /** Applies or reverts with a helper that dies. */
    async function dying(running: RunningProgram, what: 'apply' | 'revert', fault: string): Promise<void> {
      process.env.LIVEPATCH_FAULT = fault;
      try {
        const target = running.target({ helper });
        const event = await insist(() => (what === 'apply' ? target.apply(payload) : target.revert(undefined)));
        assert.equal(event.kind === 'failed' && event.reason, 'helper-died', `${fault}: ${outcome(event)}`);
      } finally {
        delete process.env.LIVEPATCH_FAULT;
      }
    }

    async function started(): Promise<{ running: RunningProgram; clean: string[] }> {
      const running = program.start();
      assert.equal(await running.line(), 'ready');
      assert.equal(await whole(running), 'old');
      // A thread that is being made has its signals blocked for a moment.
      let clean = traces(running.pid);
      while (clean.some((one) => !/blocked 0+ /.test(one))) {
        await pause(5);
        clean = traces(running.pid);
      }
      return { running, clean };
    }

    /** From any whole state: the program can be patched and reverted as if nothing had happened. */
    async function usable(running: RunningProgram, clean: readonly string[]): Promise<void> {
      const target = running.target();
      if ((await target.status()).patches.some((one) => one.state === 'applied'))
        assert.equal(outcome(await insist(() => target.revert(undefined))), 'reverted');
      assert.equal(await whole(running), 'old');
      assert.equal(outcome(await insist(() => target.apply(payload))), 'applied');
      assert.equal(await whole(running), 'new');
      assert.equal(outcome(await insist(() => target.revert(undefined))), 'reverted');
      assert.equal(await whole(running), 'old');
      assert.deepEqual(traces(running.pid), clean);
      assert.equal(await running.end(), 0);
    }

    for (const point of MAPPING)
      for (const both of ['', 'both:'])
        it(`mapping memory, ${both ? 'with its guardian ' : ''}at ${point}: nothing happened`, LIMIT, async () => {
          const { running, clean } = await started();
          await dying(running, 'apply', both + point);
          assert.equal(await settled(running), 'old');
          assert.deepEqual((await running.target().status()).patches, []);
          assert.deepEqual(traces(running.pid), clean);
          await usable(running, clean);
        });

    for (const [point, then] of SWITCHING) {
      it(`applying, at ${point}: the guardian makes it whole`, LIMIT, async () => {
        const { running, clean } = await started();
        await dying(running, 'apply', point);
        assert.equal(await settled(running), then === 'before' ? 'old' : 'new');
        const { patches } = await running.target().status();
        assert.deepEqual(
          patches.filter((one) => one.state !== 'reverted').map((one) => one.state),
          then === 'before' ? [] : ['applied'],
        );
        assert.deepEqual(traces(running.pid), clean);
        await usable(running, clean);
      });

      it(`reverting, at ${point}: the guardian makes it whole`, LIMIT, async () => {
        const { running, clean } = await started();
        assert.equal(outcome(await insist(() => running.target().apply(payload))), 'applied');
        await dying(running, 'revert', point);
        assert.equal(await settled(running), then === 'before' ? 'new' : 'old');
        const { patches } = await running.target().status();
        assert.deepEqual(
          patches.map((one) => one.state),
          [then === 'before' ? 'applied' : 'reverted'],
        );
        assert.deepEqual(traces(running.pid), clean);
        await usable(running, clean);
      });

      for (const what of ['apply', 'revert'] as const) {
        it(`${what}, with its guardian at ${point}: the next command repairs`, LIMIT, async () => {
          const { running, clean } = await started();
          if (what === 'revert') assert.equal(outcome(await insist(() => running.target().apply(payload))), 'applied');
          await dying(running, what, `both:${point}`);
          await pause(20);
          const seen = await state(running);
          assert.equal(
            seen,
            point === 'wrote-one' ? 'mixed' : (what === 'apply') === (point === 'seized') ? 'old' : 'new',
          );
          const target = running.target();
          const listed = (await target.status()).patches.map((one) => one.state);
          if (UNFINISHED.has(point)) assert.deepEqual(listed, ['interrupted']);
          else assert.deepEqual(listed, [what === 'apply' ? 'applied' : 'reverted']);
          const event = await insist(() =>
            listed[0] === 'applied' ? target.revert(undefined) : target.apply(payload),
          );
          assert.equal(outcome(event), listed[0] === 'applied' ? 'reverted' : 'applied');
          assert.equal(await whole(running), listed[0] === 'applied' ? 'old' : 'new');
          await usable(running, clean);
        });
      }
    }

    for (const second of main === COMPUTING_MAIN ? [] : ['guardian-seized', 'guardian-stopped', 'guardian-wrote-one'])
      it(`the helper at wrote-one, its guardian at ${second}: the next command repairs`, LIMIT, async () => {
        const { running, clean } = await started();
        await dying(running, 'apply', `wrote-one+${second}`);
        await pause(200);
        await state(running);
        assert.deepEqual(
          (await running.target().status()).patches.map((one) => one.state),
          ['interrupted'],
        );
        const event = await running.target().revert(undefined);
        assert.equal(event.kind === 'refused' && event.reason, 'not-applied', outcome(event));
        assert.equal(await whole(running), 'old');
        await usable(running, clean);
      });
  });
}
