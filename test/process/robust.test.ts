import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ASKING_MAIN, ensureHelper, Program } from './program.ts';
import { helpers, idle, insist, many, outcome, pause, settled, whole } from './whole.ts';

describe('process target: tools that die', () => {
  let program: Program;
  let payload: Uint8Array;
  before(async () => {
    ensureHelper();
    program = new Program({ 'main.c': ASKING_MAIN, 'part.c': many(3) });
    payload = await program.payload({ 'part.c': many(5) }, { leaveOut: ['answer'] });
  });
  after(() => program.dispose());

  it('a helper that is killed at any moment leaves the process whole', async () => {
    const running = program.start();
    await running.line();
    const target = running.target();
    let killed = 0;
    const seen = new Set<string>();
    // Kills from the first moment to after the last one, however slow the machine is.
    const began = Date.now();
    assert.equal(outcome(await target.apply(payload)), 'applied');
    assert.equal(outcome(await target.revert(undefined)), 'reverted');
    const usual = (Date.now() - began) / 2;
    for (let round = 0; round < 80; round++) {
      const state = await whole(running);
      const work = state === 'old' ? target.apply(payload) : target.revert(undefined);
      const until = Date.now() + (usual * 2 * (round % 40)) / 40;
      while (Date.now() < until) await new Promise((resolve) => setImmediate(resolve));
      for (const helper of helpers()) {
        try {
          process.kill(helper, 'SIGKILL');
          killed++;
        } catch {
          // It was done before.
        }
      }
      seen.add(outcome(await work).split(':')[0]!);
      // The guardian may need a moment; no state in between may be seen after it.
      await settled(running);
    }
    assert.ok(killed >= 20, `only ${killed} helpers were caught alive`);
    let event = await target.revert(undefined);
    if (event.kind !== 'reverted')
      assert.equal(event.kind === 'refused' && event.reason, 'not-applied', outcome(event));
    assert.equal(await whole(running), 'old');
    event = await target.apply(payload);
    assert.equal(event.kind, 'applied', outcome(event));
    assert.equal(await whole(running), 'new');
    assert.equal((await target.revert(undefined)).kind, 'reverted');
    assert.equal(await running.end(), 0);
    assert.ok(seen.size >= 2, `kills hit nothing: ${[...seen].join(', ')}`);
  });

  it('a tool that is killed 50 times leaves the process whole', async () => {
    const running = program.start();
    await running.line();
    const file = join(program.folder, 'p.lpp');
    writeFileSync(file, payload);
    const target = running.target();
    const states = new Set<string>();
    for (let round = 0; round < 50; round++) {
      const tool = spawn(
        process.execPath,
        ['--import', 'tsx', join(import.meta.dirname, 'tool.ts'), String(running.pid), file],
        {
          stdio: ['ignore', 'pipe', 'inherit'],
        },
      );
      let steps = '';
      tool.stdout!.on('data', (chunk: Buffer) => {
        steps += chunk;
      });
      while (steps.split('\n').length - 1 <= round % 3) await once(tool.stdout!, 'data');
      await pause((round * 37) % 300);
      tool.kill('SIGKILL');
      await once(tool, 'exit');
      // Its helper may still be at work on the last request, and ends by itself: nothing is to be judged before.
      await idle(running.pid);
      states.add(await whole(running));
      const { patches } = await target.status();
      for (const patch of patches) {
        assert.notEqual(patch.state, 'interrupted');
        assert.equal(new Set(patch.functions.map((one) => one.redirected)).size, 1);
      }
      if (round % 10 === 9) console.log(`# killed ${round + 1} times, seen ${[...states].join(' and ')}`);
    }
    await target.revert(undefined);
    assert.equal(await whole(running), 'old');
    assert.equal(states.size, 2, 'all kills hit the same state');
    assert.equal(await running.end(), 0);
  });

  it('a target that dies during the patch is told so', async () => {
    for (let round = 0; round < 15; round++) {
      const running = program.start();
      await running.line();
      const work = running.target().apply(payload);
      const until = Date.now() + round * 2;
      while (Date.now() < until) await new Promise((resolve) => setImmediate(resolve));
      running.child.kill('SIGKILL');
      const event = await work;
      assert.ok(
        event.kind === 'applied' || (event.kind === 'refused' && event.reason === 'dead'),
        `after ${round * 2} ms: ${outcome(event)}`,
      );
      assert.equal((await running.target().status()).alive, false);
    }
  });

  it('many rounds take no more memory than one', async () => {
    const running = program.start();
    await running.line();
    const target = running.target();
    const mappings = (): number => readFileSync(`/proc/${running.pid}/maps`, 'utf8').split('\n').length;
    let first = 0;
    for (let round = 0; round < 200; round++) {
      assert.equal(outcome(await target.apply(payload)), 'applied');
      assert.equal(outcome(await target.revert(undefined)), 'reverted');
      if (round === 0) first = mappings();
    }
    assert.equal(mappings(), first);
    assert.equal(await whole(running), 'old');
    assert.equal(await running.end(), 0);
  });
});

const BUSY_MAIN = `
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>
#include <sys/wait.h>
int work(int x);
static _Atomic long wrong, done, made, alarms, children;
static char alternate[65536];
static void on_alarm(int s) { (void)s; int v = work(7); if (v != 7 * 3 && v != 7 * 5) wrong++; alarms++; }
static void *busy(void *unused) { for (int x = 1;; x++) { int v = work(x & 1023), y = x & 1023; if (v != y * 3 && v != y * 5) wrong++; done++; } return unused; }
static void *brief(void *unused) { for (int x = 1; x < 50; x++) { int v = work(x); if (v != x * 3 && v != x * 5) wrong++; } made++; return unused; }
static void *churn(void *unused) { for (;;) { pthread_t t[3]; for (int i = 0; i < 3; i++) pthread_create(&t[i], 0, brief, 0); for (int i = 0; i < 3; i++) pthread_join(t[i], 0); } return unused; }
static void *forking(void *unused) { for (;;) { pid_t p = fork(); if (p == 0) { int v = work(9); _exit(v != 27 && v != 45); } int s = 0; if (p > 0 && waitpid(p, &s, 0) == p && s != 0) wrong++; children++; usleep(2000); } return unused; }
static void *vforking(void *unused) { for (;;) { FILE *f = popen("true", "r"); if (f && pclose(f) != 0) wrong++; usleep(5000); } return unused; }
int main(int count, char **args) {
  setvbuf(stdout, 0, _IOLBF, 0);
  sigset_t set; sigemptyset(&set); sigaddset(&set, SIGALRM);
  stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
  sigaltstack(&stack, 0);
  struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART | (count > 2 ? SA_ONSTACK : 0)};
  sigaction(SIGALRM, &action, 0);
  pthread_t t;
  for (int i = 0; i < atoi(args[1]); i++) pthread_create(&t, 0, busy, 0);
  if (strchr(args[2], 'c')) pthread_create(&t, 0, churn, 0);
  if (strchr(args[2], 'f')) pthread_create(&t, 0, forking, 0);
  if (strchr(args[2], 'v')) pthread_create(&t, 0, vforking, 0);
  if (strchr(args[2], 's')) { struct itimerval v = {{0, 1000}, {0, 1000}}; setitimer(ITIMER_REAL, &v, 0); }
  puts("ready");
  char line[64];
  while (fgets(line, sizeof line, stdin)) printf("%ld %ld %ld %ld %ld\\n", wrong, done, made, alarms, children);
  return wrong != 0;
}
`;
const busyPart = (factor: number): string =>
  `int work(int x) { volatile int y = x; for (int i = 0; i < 20; i++) y = y + 1 - 1; return y * ${factor}; }\n`;

describe('process target: busy programs', () => {
  let program: Program;
  let payload: Uint8Array;
  before(async () => {
    ensureHelper();
    program = new Program({ 'main.c': BUSY_MAIN, 'part.c': busyPart(3) });
    payload = await program.payload({ 'part.c': busyPart(5) });
  });
  after(() => program.dispose());

  for (const [what, letters, rounds] of [
    ['threads that come and go', 'c', 20],
    ['a timer of 1 kHz whose handler runs the patched function', 's', 20],
    ['children by fork', 'f', 20],
    ['children by vfork', 'v', 10],
    ['all at once', 'csfv', 10],
  ] as const) {
    it(`no wrong answer with ${what}`, async () => {
      const running = program.start('3', letters);
      assert.equal(await running.line(), 'ready');
      const target = running.target();
      for (let round = 0; round < rounds; round++) {
        assert.equal(outcome(await insist(() => target.apply(payload))), 'applied');
        assert.equal(outcome(await insist(() => target.revert('test-patch'))), 'reverted');
      }
      await pause(20);
      const [wrong, done, made, alarms, children] = ((await running.ask('?')) ?? '').split(' ').map(Number);
      assert.equal(wrong, 0);
      assert.ok(done! > 0);
      if (letters.includes('c')) assert.ok(made! > 0);
      if (letters.includes('s')) assert.ok(alarms! > 50);
      if (letters.includes('f')) assert.ok(children! > 0);
      running.child.kill('SIGKILL');
    });
  }

  it('a stopped process (SIGSTOP) is patched and stays stopped', async () => {
    const running = program.start('1', '-');
    await running.line();
    running.child.kill('SIGSTOP');
    const state = (): string => /State:\s+(\w)/.exec(readFileSync(`/proc/${running.pid}/status`, 'utf8'))![1]!;
    /** A signal takes effect when the thread gets a processor. */
    const stopped = async (): Promise<void> => {
      for (let i = 0; i < 500 && state() !== 'T'; i++) await pause(20);
      assert.equal(state(), 'T');
      await pause(50);
      assert.equal(state(), 'T');
    };
    await stopped();
    const target = running.target();
    assert.equal(outcome(await insist(() => target.apply(payload))), 'applied');
    await stopped();
    assert.equal(outcome(await insist(() => target.revert(undefined))), 'reverted');
    await stopped();
    running.child.kill('SIGCONT');
    assert.match((await running.ask('?')) ?? '', /^0 /);
    assert.equal(await running.end(), 0);
  });
});
