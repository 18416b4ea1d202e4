import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ASKING_MAIN, ensureHelper, Program } from './program.ts';
import { outcome } from './whole.ts';

const HEAD = '#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\nstatic char text[256];\n';
const ANSWER = (body: string): string => `const char *answer(const char *q) { (void)q; ${body} return text; }\n`;
const OLD = HEAD + ANSWER('snprintf(text, sizeof text, "old");');

/** Builds a shared object beside a program. */
function library(program: Program, name: string, source: string, ...options: string[]): string {
  const file = join(program.folder, name);
  writeFileSync(`${file}.c`, source);
  const made = spawnSync('gcc', ['-shared', '-fPIC', '-O2', '-o', file, `${file}.c`, ...options], { encoding: 'utf8' });
  assert.equal(made.status, 0, made.stderr);
  return file;
}

describe('process target: names of the running program', () => {
  const programs: Program[] = [];
  const make = (...args: ConstructorParameters<typeof Program>): Program => {
    const program = new Program(...args);
    programs.push(program);
    return program;
  };
  before(() => {
    ensureHelper();
  });
  after(() => {
    for (const program of programs) program.dispose();
  });

  // Variables of a shared object that the program did not use before: 32-bit distances do not reach them.
  const far = `
typedef float vector __attribute__((vector_size(16)));
long far_long = 40; int far_int = 5; short far_short = -3; unsigned char far_byte = 200; double far_double = 1.5;
char far_text[] = "far away"; int far_table[4] = {1, 2, 3, 4}; vector far_vector = {1, 2, 3, 4}; int *far_pointer = far_table;
int far_sum(void) { return far_int + (int)far_long + far_short + far_byte; }\n`;
  const uses = `typedef float vector __attribute__((vector_size(16)));
extern long far_long; extern int far_int; extern short far_short; extern unsigned char far_byte; extern double far_double;
extern char far_text[]; extern int far_table[]; extern vector far_vector; extern int *far_pointer;
static __attribute__((noinline)) int leaf(int a) { volatile int on_stack[4] = {a, a + 1, a + 2, a + 3}; far_int += 1; far_table[2] = 77; return on_stack[0] + on_stack[3]; }
static __attribute__((noinline)) int flags(int a, int b) { int c = a < b; far_int++; return c ? 3 : 4; }
`;
  const body = `
  int before = far_int;
  far_long *= 2; far_int = 1000; far_short++; far_byte |= 1; far_double += 0.25;
  int compared = far_long > 60 && far_byte == 201 && far_text[0] == 'f' && far_pointer == far_table;
  vector two = {2, 2, 2, 2}; vector product = far_vector * two; far_vector = product;
  int inside = leaf(10), flag = flags(1, 2);
  __atomic_add_fetch(&far_int, 5, __ATOMIC_SEQ_CST);
  fprintf(stderr, "%s", "");
  snprintf(text, sizeof text, "%d %ld %d %d %d %g %s %d %d %d %g %d %d", before, far_long, far_int, far_short, far_byte, far_double, far_text + 4, compared, far_table[1], far_table[2], (double)product[3], inside, flag);`;
  for (const [name, compile] of [
    ['gcc', []],
    ['gcc -O0', ['-O0']],
    ['gcc -O3 -mavx2', ['-O3', '-mavx2']],
    ['gcc without the red zone', ['-mno-red-zone']],
    ['clang', ['clang']],
  ] as const) {
    it(`variables of a shared object that were not used before: ${name}`, async () => {
      const clang = name === 'clang';
      const program = make(
        { 'main.c': `${ASKING_MAIN}\nint far_sum(void); int (*keep)(void) = far_sum;\n`, 'part.c': OLD, 'far.c': far },
        { shared: ['far.c'], compile: clang ? [] : compile, ...(clang && { compiler: 'clang' }) },
      );
      const payload = await program.payload({ 'part.c': HEAD + uses + ANSWER(body) });
      const running = program.start();
      await running.line();
      assert.equal(outcome(await running.target().apply(payload)), 'applied');
      // leaf adds one, flags one, the atomic addition five.
      assert.equal(await running.ask('x'), '5 80 1007 -2 201 1.75 away 1 2 77 8 23 3');
      assert.equal(await running.ask('x'), '1007 160 1007 -1 201 2 away 1 2 77 16 23 3');
      assert.equal(outcome(await running.target().revert(undefined)), 'reverted');
      assert.equal(await running.end(), 0);
    });
  }

  it('the address of new code is stored in a variable out of reach: two fields of one instruction', async () => {
    const program = make(
      {
        'main.c': `${ASKING_MAIN}\nint far_call(void); int (*keep)(void) = far_call;\n`,
        'part.c': OLD,
        'far.c': 'int (*far_hook)(void); int far_call(void) { return far_hook ? far_hook() : -1; }\n',
      },
      { shared: ['far.c'], compile: ['-fno-pie'], link: ['-no-pie'] },
    );
    const hook = `extern int (*far_hook)(void); int far_call(void);
static __attribute__((noinline)) int completion(void) { return 42; }
`;
    const payload = await program.payload({
      'part.c': HEAD + hook + ANSWER('far_hook = completion; snprintf(text, sizeof text, "%d", far_call());'),
    });
    const running = program.start();
    await running.line();
    assert.equal(outcome(await running.target().apply(payload)), 'applied');
    assert.equal(await running.ask('x'), '42');
    assert.equal(await running.end(), 0);
  });

  const chosen = `
static int one(void) { return 111; } static int two(void) { return 222; }
static int asked; int times_asked(void) { return asked; }
static int (*choose(void))(void) { volatile double d = 2.0; asked++; return d > 1 ? two : one; }
int chosen(void) __attribute__((ifunc("choose")));\n`;
  const useChosen = `int chosen(void); int times_asked(void);\n`;
  const say = 'snprintf(text, sizeof text, "%d %d", chosen(), times_asked());';

  it('a function chosen at start-up that nobody called yet: its resolver is asked in the process', async () => {
    const program = make(
      {
        'main.c': `${ASKING_MAIN}\nint times_asked(void); int (*keep)(void) = times_asked;\n`,
        'part.c': OLD,
        'ifunc.c': chosen,
      },
      { shared: ['ifunc.c'] },
    );
    const payload = await program.payload({ 'part.c': HEAD + useChosen + ANSWER(say) });
    const running = program.start();
    await running.line();
    assert.equal(outcome(await running.target().apply(payload)), 'applied');
    assert.equal(await running.ask('x'), '222 1');
    assert.equal(await running.end(), 0);
  });

  it('a function chosen at start-up that the program has: what was chosen', async () => {
    const program = make({
      'main.c': `${ASKING_MAIN}\nint chosen(void); __attribute__((constructor)) static void use(void) { if (chosen() != 222) abort(); }\n`,
      'part.c': OLD,
      'ifunc.c': chosen,
    });
    const payload = await program.payload({ 'part.c': HEAD + useChosen + ANSWER(say) });
    const running = program.start();
    await running.line();
    assert.equal(outcome(await running.target().apply(payload)), 'applied');
    assert.match((await running.ask('x')) ?? '', /^222 [12]$/);
    assert.equal(await running.end(), 0);
  });

  it('versions of a symbol: the one that the program is bound to, else the default', async () => {
    const map = 'V1 { global: number; other; used; }; V2 { global: number; other; } V1;';
    const source = `
__asm__(".symver number_old,number@V1\\n.symver number_new,number@@V2\\n.symver other_old,other@V1\\n.symver other_new,other@@V2");
int number_old(void) { return 1; } int number_new(void) { return 2; } int other_old(void) { return 10; } int other_new(void) { return 20; } int used(void) { return 5; }\n`;
    const folder = make({ 'main.c': ASKING_MAIN, 'part.c': OLD });
    writeFileSync(join(folder.folder, 'map'), map);
    const file = library(
      folder,
      'libversions.so',
      source,
      '-fno-lto',
      `-Wl,--version-script=${join(folder.folder, 'map')}`,
      '-Wl,-soname,libversions.so',
    );
    const main = (symver: string): string => `${ASKING_MAIN}\n${symver}int number(void); int (*keep)(void) = number;\n`;
    for (const [symver, expected] of [
      ['__asm__(".symver number,number@V1");\n', '1 20'],
      ['', '2 20'],
    ] as const) {
      const program = make({ 'main.c': main(symver), 'part.c': OLD }, { link: [file, `-Wl,-rpath,${folder.folder}`] });
      const payload = await program.payload({
        'part.c': `${HEAD}int number(void); int other(void);\n${ANSWER('snprintf(text, sizeof text, "%d %d", number(), other());')}`,
      });
      const running = program.start();
      await running.line();
      assert.equal(outcome(await running.target().apply(payload)), 'applied');
      assert.equal(await running.ask('x'), expected);
      assert.equal(await running.end(), 0);
    }
  });

  it('names of objects that were opened later: taken where one has them, refused where several do', async () => {
    const main = `#include <dlfcn.h>\n${ASKING_MAIN.replace('puts("ready");', 'for (int i = 1; i < count; i++) if (!dlopen(args[i], RTLD_NOW)) return 3; puts("ready");').replace('main(void)', 'main(int count, char **args)')}`;
    const program = make({ 'main.c': main, 'part.c': OLD });
    const files = [1, 2].map((n) =>
      library(
        program,
        `plugin${n}.so`,
        `int plugged(void) { return ${n}; } int only${n}(void) { return ${n * 10}; }\n`,
      ),
    );
    const plugged = await program.payload({
      'part.c': `${HEAD}int plugged(void);\n${ANSWER('snprintf(text, sizeof text, "%d", plugged());')}`,
    });
    const only = await program.payload({
      'part.c': `${HEAD}int only2(void);\n${ANSWER('snprintf(text, sizeof text, "%d", only2());')}`,
    });
    const both = program.start(...files);
    assert.equal(await both.line(), 'ready');
    assert.equal(outcome(await both.target().apply(only)), 'applied');
    assert.equal(await both.ask('x'), '20');
    assert.equal(outcome(await both.target().revert(undefined)), 'reverted');
    const event = await both.target().apply(plugged);
    assert.equal(event.kind === 'refused' && event.reason, 'symbol-ambiguous', outcome(event));
    assert.ok(event.kind === 'refused' && files.every((file) => event.message.includes(file)), outcome(event));
    assert.equal(await both.ask('x'), 'old');
    assert.equal(await both.end(), 0);
    const first = program.start(files[0]!);
    assert.equal(await first.line(), 'ready');
    assert.equal(outcome(await first.target().apply(plugged)), 'applied');
    assert.equal(await first.ask('x'), '1');
    const missing = await first.target().apply(only);
    assert.equal(missing.kind === 'refused' && missing.reason, 'already-applied');
    assert.equal(outcome(await first.target().revert(undefined)), 'reverted');
    const unresolved = await first.target().apply(only);
    assert.equal(unresolved.kind === 'refused' && unresolved.reason, 'symbol-unresolved', outcome(unresolved));
    assert.equal(await first.end(), 0);
  });
});
