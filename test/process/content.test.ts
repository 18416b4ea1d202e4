import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, readFileSync, readlinkSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { skeletons } from '../../server/src/core/findings/fixes/side-table.ts';
import { readPayload } from '../../server/src/core/payload/read.ts';
import { renderPayload } from '../../server/src/core/render/inspect.ts';
import { createProcessTarget } from '../../server/src/targets/process.ts';
import type { TargetEvent } from '../../server/src/targets/types.ts';
import { ASKING_MAIN, ensureHelper, Program, type ProgramOptions } from './program.ts';

const said = (event: TargetEvent): string =>
  event.kind === 'refused' || event.kind === 'failed' ? `${event.reason}: ${event.message}` : event.kind;

const HEAD = '#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\nstatic char text[256];\n';

/** One edit, and what the program says before, under the patch, and after. */
async function edit(
  base: Readonly<Record<string, string>>,
  next: Readonly<Record<string, string>>,
  questions: readonly (readonly [ask: string, old: string, fresh: string])[],
  options: ProgramOptions = {},
  build: Parameters<Program['build']>[1] = {},
): Promise<void> {
  const program = new Program({ 'main.c': ASKING_MAIN, ...base }, options);
  try {
    const payload = await program.payload(next, build);
    const running = program.start();
    await running.line();
    const target = running.target();
    for (const [ask, old] of questions) assert.equal(await running.ask(ask), old);
    assert.equal(said(await target.apply(payload)), 'applied');
    for (const [ask, , fresh] of questions) assert.equal(await running.ask(ask), fresh);
    assert.equal(said(await target.revert(undefined)), 'reverted');
    for (const [ask, old] of questions) assert.equal(await running.ask(ask), old);
    assert.equal(await running.end(), 0);
  } finally {
    program.dispose();
  }
}

describe('process payload: what new code may use', () => {
  before(() => {
    ensureHelper();
  });

  for (const [name, options] of [
    ['position independent', {}],
    ['fixed', { compile: ['-fno-pie'], link: ['-no-pie'] }],
    ['static', { compile: ['-fno-pie'], link: ['-static', '-no-pie'] }],
    ['clang', { compiler: 'clang' }],
  ] as const) {
    it(`thread-local data of the executable: ${name}`, async () => {
      const source = (
        by: number,
      ): string => `${HEAD}static __thread int mine = 40; __thread int ours = 2; static __thread char pad[33];
const char *answer(const char *q) { pad[0] = *q; mine += 0; snprintf(text, sizeof text, "%d", (mine + ours) * ${by}); return text; }\n`;
      await edit({ 'part.c': source(1) }, { 'part.c': source(2) }, [['x', '42', '84']], options);
    });

    it(`jump tables and cold parts: ${name}`, async () => {
      const source = (
        by: number,
      ): string => `${HEAD}__attribute__((cold, noinline)) static const char *failed(int x) { snprintf(text, sizeof text, "failed %d", x * ${by}); return text; }
const char *answer(const char *q) {
  int r = 0;
  switch (*q) {
    case 'a': r = puts("") + 1; break; case 'b': r = atoi(q + 1) * 3; break; case 'c': r = (int)strlen(q) * 7 + ${by}; break; case 'd': r = rand() & 0; break;
    case 'e': r = 11 * ${by}; break; case 'f': text[0] = 0; r = 13; break; case 'g': r = abs(atoi(q + 1)); break; case 'h': r = 19 + ${by}; break;
    default: if (__builtin_expect(*q == '!', 0)) { fprintf(stderr, "%s", ""); return failed((int)strlen(q)); } r = -1;
  }
  snprintf(text, sizeof text, "%d", r * ${by}); return text; }\n`;
      await edit(
        { 'part.c': source(1) },
        { 'part.c': source(2) },
        [
          ['b5', '15', '30'],
          ['cc', '15', '32'],
          ['e', '11', '44'],
          ['g-8', '8', '16'],
          ['h', '20', '42'],
          ['!!!', 'failed 3', 'failed 6'],
          ['zz', '-1', '-2'],
        ],
        options,
      );
    });

    it(`computed goto: ${name}`, async () => {
      const source = (by: number): string => `${HEAD}const char *answer(const char *q) {
  static const void *const labels[] = { &&zero, &&one, &&two };
  int r = 0;
  goto *labels[*q - '0'];
zero: r = 100 * ${by}; goto out;
one: r = atoi(q) + 200 * ${by}; goto out;
two: r = 300 * ${by};
out: snprintf(text, sizeof text, "%d", r); return text; }\n`;
      await edit(
        { 'part.c': source(1) },
        { 'part.c': source(2) },
        [
          ['0', '100', '200'],
          ['1', '201', '401'],
          ['2', '300', '600'],
        ],
        options,
      );
    });
  }

  it('edited constants: a text, a longer text and a table, of functions whose code is the same', async () => {
    const source = (fresh: boolean): string => `${HEAD}
static const char banner[] = "${fresh ? 'new' : 'old'}";
static const char usage[] = "${fresh ? 'usage: ask [-v] WORD' : 'usage: ask'}";
static const struct { char key; int value; } table[] = { { 'a', 1 }, { 'b', ${fresh ? 20 : 2} }, { 'c', 3 } };
static __attribute__((noinline)) int lookup(char key) {
  for (unsigned i = 0; i < sizeof table / sizeof *table; i++) if (table[i].key == key) return table[i].value;
  return -1; }
const char *answer(const char *q) {
  if (*q == '?') return usage;
  snprintf(text, sizeof text, "%s %d", banner, lookup(*q)); return text; }\n`;
    await edit({ 'part.c': source(false) }, { 'part.c': source(true) }, [
      ['a', 'old 1', 'new 1'],
      ['b', 'old 2', 'new 20'],
      ['z', 'old -1', 'new -1'],
      ['?', 'usage: ask', 'usage: ask [-v] WORD'],
    ]);
  });

  it('the side table that the quick fix writes: instances from before the patch have the new field', async () => {
    const names = { value: 'int', lead: 'int ', owner: 'struct counter', name: 'counter_hits', field: 'hits' };
    const source = (fresh: boolean): string => `${HEAD}
struct counter { int id; long total; };
static struct counter counters[4];
${fresh ? `int *counter_hits(const struct counter *of);\nvoid counter_hits_forget(const struct counter *of);\n${skeletons.process.definition(names)}` : ''}
const char *answer(const char *q) {
  struct counter *c = &counters[*q & 3];
  c->total++;
  ${fresh ? "if (q[1] == 'f') counter_hits_forget(c); else (*counter_hits(c))++;" : ''}
  snprintf(text, sizeof text, ${fresh ? '"%ld/%d", c->total, *counter_hits(c)' : '"%ld", c->total'}); return text; }\n`;
    const program = new Program({ 'main.c': ASKING_MAIN, 'part.c': source(false) });
    try {
      const payload = await program.payload({ 'part.c': source(true) });
      const running = program.start();
      await running.line();
      const target = running.target();
      for (const [ask, old] of [
        ['1', '1'],
        ['1', '2'],
        ['2', '1'],
      ] as const)
        assert.equal(await running.ask(ask), old);
      assert.equal(said(await target.apply(payload)), 'applied');
      for (const [ask, fresh] of [
        ['1', '3/1'],
        ['1', '4/2'],
        ['2', '2/1'],
        ['1f', '5/0'],
        ['1', '6/1'],
      ] as const)
        assert.equal(await running.ask(ask), fresh);
      assert.equal(said(await target.revert(undefined)), 'reverted');
      assert.equal(await running.ask('1'), '7');
      assert.equal(await running.end(), 0);
    } finally {
      program.dispose();
    }
  });

  it('function pointers: tables keep working and stay equal', async () => {
    const source = (by: number): string => `${HEAD}
static __attribute__((noinline)) int first(int x) { return x * ${by} + text[255] * 1000; }
static __attribute__((noinline)) int second(int x) { return x + 1; }
int (*table[2])(int) = { first, second };
static __attribute__((noinline)) int is_first(int (*f)(int)) { return f == first ? ${by} : 0; }
const char *answer(const char *q) { snprintf(text, sizeof text, "%d %d %d", table[0](10), table[1](10), is_first(table[0])); return text; }\n`;
    await edit({ 'part.c': source(1) }, { 'part.c': source(3) }, [['x', '10 11 1', '30 11 3']]);
  });

  it('several units: a new function and a new global of one are used by another', async () => {
    const one = (fresh: boolean): string => `${HEAD}int other(int);${fresh ? 'extern int fresh; int made(int);' : ''}
static int count = 1; static int same(void) { return count; }
const char *answer(const char *q) { snprintf(text, sizeof text, "%d", ${fresh ? 'made(other(2)) + ++fresh' : 'other(1)'} + same() * 0); return text; }\n`;
    const two = (fresh: boolean): string => `static int count = 5; static int same(void) { return count; }
${fresh ? 'int fresh = 1000; int made(int x) { return x + 100; }' : ''} int other(int x) { count += 0 * x; if (x > 1000000) count = 0; return ${fresh ? 'x * 2 + fresh * 0 + same()' : 'x + same()'}; }\n`;
    const program = new Program({ 'main.c': ASKING_MAIN, 'one.c': one(false), 'two.c': two(false) });
    try {
      const payload = await program.payload({ 'one.c': one(true), 'two.c': two(true) });
      const running = program.start();
      await running.line();
      assert.equal(await running.ask('x'), '6');
      assert.equal(said(await running.target().apply(payload)), 'applied');
      assert.equal(await running.ask('x'), String(100 + (4 + 5) + 1001));
      const read = readPayload(payload);
      assert.ok(typeof read !== 'string');
      const shown = renderPayload(read);
      for (const part of ['answer', 'other', 'made', 'fresh', 'two.c#count', read.manifest.modules[0]!.buildId])
        assert.ok(shown.includes(part), `inspect says nothing of ${part}:\n${shown}`);
      await running.end();
    } finally {
      program.dispose();
    }
  });

  it('objects of one file name are told apart by their code', async () => {
    const util = (n: number): string =>
      `static int state = ${n}; static __attribute__((noinline)) int get(int x) { return x * ${n} + state; } int call${n}(int x) { return get(x) + 1; }\n`;
    const main = ASKING_MAIN.replace(
      'const char *answer(const char *question);',
      'int call3(int); int call4(int); static char t[64]; static const char *answer(const char *q) { snprintf(t, sizeof t, "%d %d", call3(10), call4(10)); return t; }',
    );
    const program = new Program({ 'main.c': main, 'util.c': util(3), 'b/util.c': util(4) });
    try {
      const outcome = await program.build({ 'util.c': util(3).replace('* 3', '* 30') });
      assert.equal(outcome.kind, 'payload', JSON.stringify(outcome));
      const running = program.start();
      await running.line();
      assert.equal(await running.ask('x'), '34 45');
      if (outcome.kind === 'payload')
        assert.equal(said(await running.target().apply(outcome.payload.bytes)), 'applied');
      assert.equal(await running.ask('x'), '304 45');
      await running.end();
    } finally {
      program.dispose();
    }
  });

  it('only the strings and constants that the new code uses are carried', async () => {
    const source = (by: number): string => `${HEAD}#include <wchar.h>
typedef float vector __attribute__((vector_size(16)));
__attribute__((noinline)) void never(const char *q) { puts("a string that the new code does not use"); wprintf(L"nor this wide one"); printf("%s %g", q, 3.25e77); }
const char *answer(const char *q) {
  if (*q == '!') { never(q); vector v = {1, 2, 3, (float)*q}; text[9] = (char)v[*q & 3]; }
  const wchar_t *wide = *q == 'w' ? L"wide ${by}" : L"other";
  vector v = {1, 2, 3, 4}, w = {(float)strlen(q), 1, ${by}, 1}; v *= w;
  snprintf(text, sizeof text, "used ${by} %ls %g %g %s", wide, (double)v[0] + v[1] + v[2] + v[3], strlen(q) * ${by}.125, "used ${by}" + (*q == 'w')); return text; }\n`;
    const program = new Program({ 'main.c': ASKING_MAIN, 'part.c': source(1) });
    try {
      const payload = await program.payload({ 'part.c': source(2) });
      const text = Buffer.from(payload).toString('latin1');
      assert.ok(text.includes('used 2'));
      assert.ok(!text.includes('a string that'), 'a string of another function is in the payload');
      assert.ok(!text.includes('n\0\0\0o\0\0\0r'), 'a wide string of another function is in the payload');
      const running = program.start();
      await running.line();
      assert.equal(await running.ask('wx'), 'used 1 wide 1 11 2.25 sed 1');
      assert.equal(said(await running.target().apply(payload)), 'applied');
      assert.equal(await running.ask('wx'), 'used 2 wide 2 14 4.25 sed 2');
      assert.equal(await running.ask('a'), 'used 2 other 13 2.125 used 2');
      assert.equal(await running.end(), 0);
    } finally {
      program.dispose();
    }
  });

  it('an edit of the executable and of its shared object: refused with what has to be split', async () => {
    const main = (n: number): string =>
      `${HEAD}int part(int); const char *answer(const char *q) { snprintf(text, sizeof text, "%d", part((int)strlen(q)) + ${n}); return text; }\n`;
    const part = (n: number): string =>
      `static int calls; int part(int x) { calls++; return x * ${n} + (calls & 0); }\n`;
    const program = new Program({ 'main.c': ASKING_MAIN, 'one.c': main(1), 'part.c': part(1) }, { shared: ['part.c'] });
    try {
      const edits = { 'one.c': main(2), 'part.c': part(2) };
      const outcome = await program.build(edits);
      assert.equal(outcome.kind, 'refused');
      const refusals = outcome.kind === 'refused' ? outcome.refusals : [];
      assert.deepEqual(
        refusals.map((one) => one.code),
        ['not-atomic'],
      );
      assert.match(refusals[0]!.message, /build\/program: answer; .*libpart\.so: part\)/);
      assert.match(refusals[0]!.message, /switched one after the other/);
      // What the message says to do.
      const first = await program.payload(edits, { leaveOut: ['answer'], id: 'first' });
      const second = await program.payload(edits, { leaveOut: ['part'], id: 'second' });
      const running = program.start();
      await running.line();
      const target = running.target();
      assert.equal(said(await target.apply(first)), 'applied');
      assert.equal(await running.ask('abc'), '7');
      assert.equal(said(await target.apply(second)), 'applied');
      assert.equal(await running.ask('abc'), '8');
      assert.equal(await running.end(), 0);
    } finally {
      program.dispose();
    }
  });

  it('a stripped program, replaced on disk while it runs; a forked child', async () => {
    const source = (by: number): string => `${HEAD}#include <unistd.h>
static int hidden = 7; static __attribute__((noinline)) int get(void) { return hidden++; }
const char *answer(const char *q) { if (*q == 'f' && fork()) pause(); snprintf(text, sizeof text, "%d %d %d", get() * 0 + hidden * 0 + ${by}, getpid() > 0, *q == 'p' ? getpid() : 0); return text; }\n`;
    const program = new Program({ 'main.c': ASKING_MAIN, 'part.c': source(1) });
    try {
      const payload = await program.payload({ 'part.c': source(2) });
      const stripped = spawnSync('strip', ['--strip-all', program.executable]);
      assert.equal(stripped.status, 0);
      const running = program.start();
      await running.line();
      copyFileSync('/bin/true', join(program.folder, 'new'));
      renameSync(join(program.folder, 'new'), program.executable);
      assert.match(readlinkSync(`/proc/${running.pid}/exe`), /\(deleted\)$/);
      const target = running.target();
      assert.equal(said(await target.apply(payload)), 'applied');
      assert.equal(await running.ask('x'), '2 1 0');
      assert.equal(await running.ask('f'), '2 1 0');
      const child = Number((await running.ask('p'))!.split(' ')[2]);
      assert.notEqual(child, running.pid);
      const inherited = createProcessTarget({ name: 'child', pid: child });
      assert.deepEqual(
        (await inherited.status()).patches.map((one) => one.state),
        ['applied'],
      );
      assert.equal(said(await inherited.revert(undefined)), 'reverted');
      assert.equal(await running.ask('x'), '1 1 0');
      assert.deepEqual(
        (await target.status()).patches.map((one) => one.state),
        ['applied'],
      );
      process.kill(child, 'SIGKILL');
      running.child.kill('SIGKILL');
    } finally {
      program.dispose();
    }
  });

  it('the payload is an ELF file that binutils read', async () => {
    const program = new Program({
      'main.c': ASKING_MAIN,
      'part.c': `${HEAD}const char *answer(const char *q) { snprintf(text, sizeof text, "%s", q); return text; }\n`,
    });
    try {
      const payload = await program.payload({
        'part.c': `${HEAD}static int fresh = 4; const char *answer(const char *q) { snprintf(text, sizeof text, "%s %d", q, fresh++); return text; }\n`,
      });
      const { writeFileSync } = await import('node:fs');
      const file = join(program.folder, 'p.lpp');
      writeFileSync(file, payload);
      const run = spawnSync('readelf', ['-aW', file], { encoding: 'utf8' });
      assert.equal(run.status, 0);
      assert.equal(run.stderr, '');
      assert.match(run.stdout, /REL \(Relocatable file\)/);
      assert.match(run.stdout, /UND snprintf/);
      assert.match(run.stdout, /UND part\.c#text/);
      const linked = spawnSync('ld', ['-r', '-o', join(program.folder, 'again.o'), file], { encoding: 'utf8' });
      assert.equal(linked.status, 0, linked.stderr);
      assert.ok(readFileSync(join(program.folder, 'again.o')).length > 0);
    } finally {
      program.dispose();
    }
  });
});
