import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Helper } from '../../server/src/targets/helper.ts';
import type { TargetEvent } from '../../server/src/targets/types.ts';
import { ASKING_MAIN, ensureHelper, Program } from './program.ts';

const part = (text: string, extra = ''): string => `
#include <stdio.h>
${extra}
static char line[64];
const char *answer(const char *question) { snprintf(line, sizeof line, "${text} %s", question); return line; }
`;
const reason = (event: TargetEvent): string =>
  event.kind === 'refused' || event.kind === 'failed' ? event.reason : event.kind;
const said = (event: TargetEvent): string => (event.kind === 'refused' || event.kind === 'failed' ? event.message : '');

describe('process target: refusals', () => {
  let program: Program;
  let other: Program;
  let payload: Uint8Array;
  before(async () => {
    ensureHelper();
    program = new Program({ 'main.c': ASKING_MAIN, 'part.c': part('old') });
    other = new Program({ 'main.c': ASKING_MAIN, 'part.c': part('older') });
    payload = await program.payload({ 'part.c': part('new') });
  });
  after(() => {
    program.dispose();
    other.dispose();
  });

  it('another build id', async () => {
    const running = other.start();
    await running.line();
    const event = await running.target().apply(payload);
    assert.equal(reason(event), 'build-id-mismatch');
    assert.match(said(event), /build id [0-9a-f]{40}; the process runs/);
    assert.equal(await running.ask('a'), 'older a');
    await running.end();
  });

  it('old bytes that differ', async () => {
    const running = program.start();
    await running.line();
    const target = running.target();
    await target.apply(payload);
    const entry = Number((await target.status()).patches[0]!.functions[0]!.oldAddress);
    await target.revert(undefined);
    const helper = await Helper.open(running.pid);
    const last = await helper.read(entry + 12, 1);
    await helper.write(entry + 12, Uint8Array.of(0xcc));
    assert.equal(reason(await target.apply(payload)), 'old-code-differs');
    const memory = async (): Promise<unknown> =>
      (await target.status({ verify: true })).patches[0]!.functions.map((one) => one.memory);
    assert.deepEqual(await memory(), ['foreign']);
    await helper.write(entry + 12, last);
    assert.deepEqual(await memory(), ['original']);
    helper.close();
    assert.equal(await running.ask('a'), 'old a');
    assert.equal(reason(await target.apply(payload)), 'applied');
    await running.end();
  });

  it('not a payload, damaged payloads', async () => {
    const running = program.start();
    await running.line();
    const target = running.target();
    assert.equal(reason(await target.apply(new Uint8Array(10))), 'payload-invalid');
    assert.equal(reason(await target.apply(program.object('part.c', part('x')))), 'payload-invalid');
    for (let cut = 64; cut < payload.length; cut += 97) {
      const event = await target.apply(payload.slice(0, cut));
      assert.notEqual(event.kind, 'applied');
    }
    assert.equal(await running.ask('a'), 'old a');
    await running.end();
  });

  it('a dead process, a process that does not exist', async () => {
    const running = program.start();
    await running.line();
    const target = running.target();
    running.child.kill('SIGKILL');
    await new Promise((resolve) => running.child.once('exit', resolve));
    assert.equal(reason(await target.apply(payload)), 'dead');
    assert.equal(reason(await target.revert(undefined)), 'dead');
    const status = await target.status();
    assert.equal(status.alive, false);
    assert.match(status.message ?? '', /There is no process/);
  });

  it('a process that is traced', async () => {
    const running = program.start();
    await running.line();
    const gdb = spawnSync('gdb', ['--version'], { stdio: 'ignore' });
    assert.equal(gdb.status, 0, 'gdb is needed for this test');
    const { spawn } = await import('node:child_process');
    const debug = spawn('gdb', ['-nx', '-q', '-p', String(running.pid)], { stdio: ['pipe', 'pipe', 'ignore'] });
    await new Promise<void>((resolve) => {
      let text = '';
      debug.stdout.on('data', (chunk) => {
        text += chunk;
        if (text.includes('(gdb)')) resolve();
      });
    });
    const event = await running.target().apply(payload);
    assert.equal(reason(event), 'traced', said(event));
    debug.stdin.end('detach\nquit\n');
    await new Promise((resolve) => debug.once('exit', resolve));
    assert.equal(reason(await running.target().apply(payload)), 'applied');
    await running.end();
  });

  it('no permission to trace', { skip: process.getuid?.() !== 0 && 'needs root to become somebody else' }, async () => {
    const running = program.start();
    await running.line();
    writeFileSync(join(program.folder, 'p.lpp'), payload);
    const helper = ensureHelper();
    // The helper as nobody: what a user without rights gets from it.
    const run = spawnSync('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', helper], {
      input: `open ${running.pid}\n`,
      encoding: 'utf8',
    });
    assert.match(run.stdout, /"ok":false,"reason":"denied"/);
    await running.end();
  });

  it('a function that never leaves the stack, with its thread and frames', async () => {
    const loop = (text: string): string => `
#include <stdio.h>
#include <string.h>
int answer_line(char *line);
static __attribute__((noinline)) int serve(void) { char line[64]; int n = 0; while (fgets(line, sizeof line, stdin)) { n++; printf("${text} %d\\n", n); } return n; }
int main(void) { setvbuf(stdout, 0, _IOLBF, 0); puts("ready"); return serve() < 0; }
`;
    const endless = new Program({ 'main.c': loop('old') });
    try {
      const running = endless.start();
      await running.line();
      await running.ask('x');
      const target = running.target({ switching: { tries: 4, lastWaitMicroseconds: 2000 } });
      const event = await target.apply(await endless.payload({ 'main.c': loop('new') }));
      assert.equal(reason(event), 'busy', said(event));
      assert.match(
        said(event),
        new RegExp(`after 4 tries: .*serve.* never left the stack. thread ${running.pid}: .*serve\\+0x`),
      );
      assert.match((await running.ask('x')) ?? '', /^old 2/);
      assert.deepEqual((await target.status()).patches, []);
      await running.end();
    } finally {
      endless.dispose();
    }
  });

  it('the stack of patches: a second one on top, revert in order', async () => {
    const running = program.start();
    await running.line();
    const target = running.target();
    const second = await program.payload({ 'part.c': part('newest') }, { id: 'second' });
    assert.equal(reason(await target.apply(payload)), 'applied');
    assert.equal(reason(await target.apply(second)), 'applied');
    assert.equal(await running.ask('a'), 'newest a');
    assert.deepEqual(
      (await target.status({ verify: true })).patches.map((one) => one.functions[0]!.memory),
      ['covered', 'redirected'],
    );
    const refused = await target.revert('test-patch');
    assert.equal(reason(refused), 'not-top');
    assert.match(said(refused), /below second/);
    assert.deepEqual(
      (await target.status()).patches.map((one) => [one.id, one.state]),
      [
        ['test-patch', 'applied'],
        ['second', 'applied'],
      ],
    );
    assert.equal(reason(await target.revert(undefined)), 'reverted');
    assert.equal(await running.ask('a'), 'new a');
    assert.equal(reason(await target.revert('test-patch')), 'reverted');
    assert.equal(await running.ask('a'), 'old a');
    assert.equal(reason(await target.revert(undefined)), 'not-applied');
    await running.end();
  });
});

describe('process payload: refusals of the build', () => {
  const programs: Program[] = [];
  const build = async (
    base: string,
    next: string,
    options: Parameters<Program['build']>[1] = {},
  ): Promise<string[]> => {
    const program = new Program({ 'main.c': ASKING_MAIN, 'part.c': base });
    programs.push(program);
    const outcome = await program.build({ 'part.c': next }, options);
    return outcome.kind === 'payload' ? ['payload'] : outcome.refusals.map((one) => `${one.code} ${one.symbol}`);
  };
  after(() => {
    for (const program of programs) program.dispose();
  });

  it('a function shorter than the jump', async () => {
    const base = part('old', '__attribute__((noinline)) void tiny(void) { }');
    const next = part('old', 'int flag; __attribute__((noinline)) void tiny(void) { flag = 1; }');
    assert.deepEqual(
      await build(base, next, { overrides: { 'func-too-small': 'the build has to say it by itself' } }),
      ['func-too-small tiny'],
    );
  });

  it('a jump back into the bytes that the redirect overwrites', async () => {
    const spin = (step: number): string =>
      part(
        'old',
        `__attribute__((noinline, naked)) void spin(void) { __asm__("xor %eax, %eax\\n1: add $${step}, %eax\\n cmp $90, %eax\\n jne 1b\\n ret"); }`,
      );
    assert.deepEqual(await build(spin(3), spin(5), {}), ['func-too-small spin']);
  });

  it('a baseline that is not what was linked', async () => {
    for (const lie of [
      part('another text'),
      part('old').replace('return line', 'line[1] = 1; return line'),
      part('old').replace('sizeof line', 'sizeof line - 1'),
    ])
      assert.deepEqual(await build(part('old'), part('new'), { base: { 'part.c': lie } }), ['baseline-differs answer']);
  });

  it('a blocker stands until it is overridden with a reason', async () => {
    const struct = (fields: string): string =>
      part(
        'old',
        `struct pair { ${fields} }; struct pair shared; __attribute__((noinline)) int sum(struct pair *p) { return p->a + p->b; }`,
      );
    const [base, next] = [struct('int a, b;'), struct('int a; long c; int b;')];
    const refused = await build(base, next);
    assert.ok(
      refused.some((one) => one.startsWith('struct-')),
      refused.join(),
    );
    const overrides = Object.fromEntries(refused.map((one) => [one.split(' ')[0]!, 'a test']));
    assert.deepEqual(await build(base, next, { overrides }), ['payload']);
  });

  it('a new thread-local variable', async () => {
    const next = part('new')
      .replace('static char line', 'static __thread int mine;\nstatic char line')
      .replace('snprintf', 'mine++; snprintf');
    const refused = await build(part('old'), next, { overrides: { 'tls-changed': 'a test' } });
    assert.ok(
      refused.some((one) => one.startsWith('tls-changed')),
      refused.join(),
    );
  });

  it('nothing that changed', async () => {
    assert.match((await build(part('old'), `${part('old')}\n/* a comment */\n`)).join(), /^nothing-to-patch/);
  });
});
