import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createAnalyser } from '../../server/src/analyse.ts';
import { layOutArea, linkArea } from '../../server/src/core/payload/link.ts';
import { buildProcessPayload } from '../../server/src/core/payload/process.ts';
import { readPayload } from '../../server/src/core/payload/read.ts';
import { compile, hasTool } from '../support/cc.ts';
import { ASKING_MAIN, ensureHelper, Program } from './program.ts';

// Codes that only the linked files or the running process can show: each once where it must be told, once where it must not, once nearly.
const codesOf = (outcome: Awaited<ReturnType<Program['build']>>): readonly string[] =>
  outcome.kind === 'refused' ? outcome.refusals.map(({ code }) => code) : [];

const part = (text: string, more = ''): string => `
#include <stdio.h>
${more}
static char line[64];
int used = 3;
const char *answer(const char *question) { snprintf(line, sizeof line, "${text} %s %d", question, used); return line; }
`;

describe('process target: codes of linking', () => {
  let program: Program;
  before(() => {
    program = new Program(
      { 'main.c': ASKING_MAIN, 'part.c': part('old') },
      { compile: ['-fno-pie'], link: ['-no-pie'] },
    );
  });
  after(() => program.dispose());

  it('endianness-or-class: objects of another machine; not for x86-64', {
    skip: !hasTool('clang') && 'no clang',
  }, async () => {
    const { load, compare } = await createAnalyser();
    const provenance = { unit: 'part.c', baseCommand: [], nextCommand: [], compiler: 'clang', baseline: 'test' };
    const source = (n: number) => `int used(int); int answer(int a) { return used(a) + ${n}; }\n`;
    const unit = (target: string) => {
      const object = (n: number) =>
        load(
          compile(source(n), { compiler: 'clang', args: [`--target=${target}`, '-O2', '-g', '-ffunction-sections'] }),
        ).object!;
      return compare(object(1), object(300), provenance);
    };
    const options = {
      leaveOut: [],
      keepLineOnly: false,
      overrides: {},
      id: 'p',
      description: '',
      created: '2026-01-01T00:00:00Z',
    };
    const codes = (target: string) => codesOf(buildProcessPayload([unit(target)], [program.module()], options));
    assert.deepEqual(codes('aarch64-linux-gnu'), ['endianness-or-class']);
    // Near miss: the same machine by another name; that the program is not made of this object is another matter.
    assert.ok(!codes('x86_64-pc-linux-gnu').includes('endianness-or-class'));
  });

  it('patch-id: one that cannot be a file name; not dots and dashes', async () => {
    for (const id of ['', 'a b', '../up', 'x'.repeat(64)])
      assert.deepEqual(codesOf(await program.build({ 'part.c': part('new') }, { id })), ['patch-id']);
    assert.deepEqual(codesOf(await program.build({ 'part.c': part('new') }, { id: 'CVE-2026-1.fix_2' })), []);
    assert.deepEqual(codesOf(await program.build({ 'part.c': part('new') }, { id: 'x'.repeat(63) })), []);
  });

  it('forbidden-relocation: a function that is chosen at start-up; not one beside it', async () => {
    const ifunc = (n: number, m: number) => `
static int fast(int a) { return a + 1; } static int slow(int a) { return a + 2; }
static void *pick(void) { static volatile int x; return (void *)(x == ${n} ? fast : slow); }
int chosen(int) __attribute__((ifunc("pick")));
int plain(int a) { return chosen(a) * ${m}; }
int main(void) { for (;;) if (plain(getchar_()) == 5) return 0; }
int getchar_(void) { return 0; }
`;
    const made = new Program({ 'main.c': ifunc(1, 3) }, { compile: ['-w', '-std=gnu99'] });
    try {
      const changed = codesOf(await made.build({ 'main.c': ifunc(2, 3) }));
      assert.ok(changed.includes('forbidden-relocation'), changed.join());
      const beside = codesOf(await made.build({ 'main.c': ifunc(1, 7) }));
      assert.ok(!beside.includes('forbidden-relocation'), beside.join());
    } finally {
      made.dispose();
    }
  });

  it('too-far: an address of 32 bits for what lies above; not below, and not through a slot', async () => {
    const more = 'extern char **environ; __attribute__((noinline)) void *where(void) { return &environ; }';
    const bytes = await program.payload({ 'part.c': part('new', more).replace('used);', 'used + (where() != 0));') });
    const payload = readPayload(bytes);
    assert.ok(typeof payload !== 'string', String(payload));
    const layout = layOutArea(payload, 4096);
    const link = (area: number, address: number) =>
      linkArea(payload, layout, area, () => ({ address })).problems.map(({ reason }) => reason);
    assert.deepEqual([...new Set(link(0x10000000, 0x7f00_0000_0000))], ['too-far']);
    assert.deepEqual([...new Set(link(0x10000000, 0x1_0000_0000))], ['too-far']);
    assert.deepEqual(link(0x10000000, 0x11000000), []);
    // The last address that four bytes with a sign reach, and the first that they do not.
    assert.deepEqual(link(0x10000000, 0x7ff00000), []);
  });
});

describe('process target: codes of the libraries in the process', () => {
  let program: Program;
  before(() => {
    ensureHelper();
    program = new Program(
      {
        'main.c': ASKING_MAIN.replace('puts(answer(line));', 'puts(wrapped(line));').replace(
          'int main',
          'const char *wrapped(const char *);\nint main',
        ),
        'wrap.c': 'const char *answer(const char *);\nconst char *wrapped(const char *q) { return answer(q + 0); }\n',
        'part.c': part('library'),
      },
      { shared: ['part.c'] },
    );
  });
  after(() => program.dispose());

  it('library-mismatch: a library of another build; not the one of the build', async () => {
    const payload = await program.payload({
      'wrap.c':
        'const char *answer(const char *);\nextern int used;\nconst char *wrapped(const char *q) { used++; return answer(q + 1); }\n',
    });
    const told = async (): Promise<string> => {
      const running = program.start();
      await running.line();
      const event = await running.target().apply(payload);
      await running.end();
      return event.kind === 'refused' || event.kind === 'failed' ? event.reason : event.kind;
    };
    assert.equal(await told(), 'applied');
    writeFileSync(join(program.folder, 'other.c'), part('another'));
    const args = ['-shared', '-fPIC', '-O2', '-g', '-Wl,-soname,libpart.so', '-o', 'build/libpart.so', 'other.c'];
    const made = spawnSync('gcc', args, { cwd: program.folder, encoding: 'utf8' });
    assert.equal(made.status, 0, made.stderr);
    assert.equal(await told(), 'library-mismatch');
    // Near miss: the library as it was, built again: the same build id.
    const again = ['-shared', '-o', 'build/libpart.so', '-Wl,-soname,libpart.so', 'build/part_c.o'];
    assert.equal(spawnSync('gcc', again, { cwd: program.folder }).status, 0);
    assert.equal(await told(), 'applied');
  });
});
