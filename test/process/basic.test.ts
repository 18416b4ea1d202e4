import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ASKING_MAIN, ensureHelper, Program, type ProgramOptions } from './program.ts';

before(() => {
  ensureHelper();
});

const BASE = `
#include <stdio.h>
#include <string.h>
static int calls;
int shared_total = 5;
static char buffer[128];
static __attribute__((noinline)) int step(int by) { static int inner = 100; inner += by; return inner; }
int helper_used(int x) { return x * 3; }
const char *answer(const char *question) {
  calls++;
  snprintf(buffer, sizeof buffer, "old %d %d %d", calls, step(1), shared_total);
  return buffer;
}
int (*pointer)(int) = helper_used;
`;
const NEXT = `
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
static int calls;
int shared_total = 5;
static char buffer[128];
static int fresh = 7;
static int zeroed;
static __attribute__((noinline)) int step(int by) { static int inner = 100; inner += by; return inner; }
int helper_used(int x) { return x * 3; }
static __attribute__((noinline)) int added(const char *text) { fresh++; zeroed += 2; return (int)strtol(text, 0, 16) + (int)strlen(text) + fresh + zeroed; }
const char *answer(const char *question) {
  calls++;
  shared_total += 10;
  if (getenv("NOT_SET_ANYWHERE")) fprintf(stderr, "never\\n");
  char copy[64];
  memcpy(copy, question, strlen(question) + 1);
  snprintf(buffer, sizeof buffer, "new text %d %d %d %d %s", calls, step(1), shared_total, added(question), strchr(copy, '1') ? "one" : "none");
  return buffer;
}
int (*pointer)(int) = helper_used;
`;

const KINDS: readonly [string, ProgramOptions][] = [
  ['position independent executable', {}],
  ['fixed executable', { compile: ['-fno-pie'], link: ['-no-pie'] }],
  ['static executable', { compile: ['-fno-pie'], link: ['-static', '-no-pie'] }],
  ['static position independent executable', { compile: ['-fPIE'], link: ['-static-pie'] }],
  ['function of a shared object', { shared: ['part.c'] }],
  ['separate code segments', { link: ['-Wl,-z,separate-code'] }],
  ['code in the first segment', { link: ['-Wl,-z,noseparate-code'] }],
  ['-O0', { compile: ['-O0'] }],
  ['-O3 with -fno-plt', { compile: ['-O3', '-fno-plt'] }],
  ['-fcf-protection', { compile: ['-fcf-protection=full'] }],
  ['clang', { compiler: 'clang' }],
];

for (const [name, options] of KINDS) {
  describe(`process target: ${name}`, () => {
    let program: Program;
    before(() => {
      // A statically linked program has only what was linked in: the new functions come from here.
      const main = `${ASKING_MAIN}\nvoid *keep[] = { (void *)strtol, (void *)strchr, (void *)memcpy, (void *)strlen, (void *)getenv, (void *)fprintf, (void *)&stderr };\n`;
      program = new Program(
        { 'main.c': options.link?.some((one) => one.startsWith('-static')) ? main : ASKING_MAIN, 'part.c': BASE },
        options,
      );
    });
    after(() => program.dispose());

    it('applies, keeps the state of the program, reverts', async () => {
      const payload = await program.payload({ 'part.c': NEXT });
      const running = program.start();
      assert.equal(await running.line(), 'ready');
      assert.equal(await running.ask('11'), 'old 1 101 5');
      const target = running.target();
      const applied = await target.apply(payload);
      assert.equal(applied.kind, 'applied', JSON.stringify(applied));
      assert.equal(await running.ask('11'), 'new text 2 102 15 29 one');
      assert.equal(await running.ask('22'), 'new text 3 103 25 49 none');
      const status = await target.status();
      assert.equal(status.alive, true);
      assert.deepEqual(
        status.patches.map((one) => [one.id, one.state, one.functions.map((f) => [f.name, f.redirected])]),
        [['test-patch', 'applied', [['answer', true]]]],
      );
      const again = await target.apply(payload);
      assert.equal(again.kind === 'refused' && again.reason, 'already-applied');
      const reverted = await target.revert(undefined);
      assert.equal(reverted.kind, 'reverted', JSON.stringify(reverted));
      assert.equal(await running.ask('11'), 'old 4 104 25');
      assert.equal((await target.status()).patches[0]?.state, 'reverted');
      assert.equal((await target.apply(payload)).kind, 'applied');
      assert.match((await running.ask('11')) ?? '', /^new text 5 105 35/);
      assert.equal((await target.revert('test-patch')).kind, 'reverted');
      assert.equal(await running.end(), 0);
    });
  });
}
