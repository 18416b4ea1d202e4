import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createProcessTarget } from '../../server/src/targets/process.ts';
import { Visit } from '../../server/src/targets/visit.ts';
import { ASKING_MAIN, ensureHelper, Program } from './program.ts';
import { outcome, pause } from './whole.ts';

const PART = (word: string): string =>
  `#include <stdio.h>\nstatic char text[64];\nconst char *answer(const char *q) { snprintf(text, sizeof text, "${word} %s", q); return text; }\n`;
const root = process.getuid?.() === 0;

/** A program that restricts itself, or shares its memory, before it answers. */
const main = (setup: string, includes = ''): string =>
  `#define _GNU_SOURCE\n${includes}\n${ASKING_MAIN.replace('puts("ready");', `${setup}\n  puts("ready");`)}`;

const FILTER = `
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
static void no_new_memory(void) {
  struct sock_filter filter[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) abort();
}
`;

describe('process target: what it cannot patch', () => {
  const programs: Program[] = [];
  const folder = mkdtempSync(join(tmpdir(), 'lpa-limits-'));
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
    rmSync(folder, { recursive: true, force: true });
  });

  /** The helper without the right to switch a filter off. */
  function withoutRights(): string {
    const file = join(folder, 'without-rights');
    writeFileSync(
      file,
      `#!/bin/sh\nexec setpriv --bounding-set -sys_admin --inh-caps -sys_admin "$LIVEPATCH_TEST_HELPER"\n`,
      { mode: 0o755 },
    );
    process.env.LIVEPATCH_TEST_HELPER = ensureHelper();
    return file;
  }

  it('a filter of system calls that kills for mmap: refused without the right to suspend it, patched with it', {
    skip: !root && 'needs root',
  }, async () => {
    const program = make({ 'main.c': main('no_new_memory();', `#include <stdlib.h>${FILTER}`), 'part.c': PART('old') });
    const payload = await program.payload({ 'part.c': PART('new') });
    const running = program.start();
    assert.equal(await running.line(), 'ready');
    const mappings = (): number => readFileSync(`/proc/${running.pid}/maps`, 'latin1').split('\n').length;
    const count = mappings();
    const event = await running.target({ helper: withoutRights() }).apply(payload);
    assert.equal(event.kind === 'refused' && event.reason, 'seccomp', outcome(event));
    assert.match(event.kind === 'refused' ? event.message : '', /seccomp.*(root|CAP_SYS_ADMIN)/);
    assert.equal(mappings(), count);
    assert.equal(await running.ask('x'), 'old x');
    assert.equal(outcome(await running.target().apply(payload)), 'applied');
    assert.equal(await running.ask('x'), 'new x');
    assert.equal(outcome(await running.target().revert(undefined)), 'reverted');
    assert.equal(await running.ask('x'), 'old x');
    assert.match(readFileSync(`/proc/${running.pid}/status`, 'latin1'), /^Seccomp:\s*2$/m);
    assert.equal(await running.end(), 0);
  });

  it('strict seccomp', async () => {
    const strict = `#include <unistd.h>\n#include <sys/prctl.h>\n#include <linux/seccomp.h>
const char *answer(const char *q);
int main(void) { char line[64]; if (write(1, "ready\\n", 6) != 6 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT)) return 1;
  for (;;) { if (read(0, line, 64) <= 0) for (;;); if (write(1, answer(""), 4) != 4) return 1; } }\n`;
    const part = (word: string): string =>
      `static char text[8] = "----";\nconst char *answer(const char *q) { for (int i = 0; i < 3; i++) text[i] = "${word}"[i]; text[3] = 10; return text; }\n`;
    const program = make({ 'main.c': strict, 'part.c': part('old') });
    const payload = await program.payload({ 'part.c': part('new') });
    const running = program.start();
    assert.equal(await running.line(), 'ready');
    const event = await running.target().apply(payload);
    assert.equal(event.kind === 'refused' && event.reason, 'seccomp', outcome(event));
    assert.equal(await running.ask('x'), 'old');
    running.child.kill('SIGKILL');
  });

  it('no room for more memory', async () => {
    const program = make({
      'main.c': main(
        'struct rlimit none = {1 << 20, 1 << 20}; if (setrlimit(RLIMIT_AS, &none)) return 1;',
        '#include <sys/resource.h>',
      ),
      'part.c': PART('old'),
    });
    const payload = await program.payload({ 'part.c': PART('new') });
    const running = program.start();
    assert.equal(await running.line(), 'ready');
    const event = await running.target().apply(payload);
    assert.equal(event.kind === 'refused' && event.reason, 'memory', outcome(event));
    assert.equal(await running.ask('x'), 'old x');
    assert.equal(await running.end(), 0);
  });

  it('a process that shares the memory without being a thread', async () => {
    const program = make({
      'main.c': main(
        'static char stack[65536]; int child = clone(twin, stack + sizeof stack, CLONE_VM | SIGCHLD, 0); if (child < 0) return 1; printf("%d\\n", child);',
        '#include <sched.h>\n#include <signal.h>\n#include <unistd.h>\nstatic int twin(void *unused) { (void)unused; for (;;) pause(); return 0; }',
      ),
      'part.c': PART('old'),
    });
    const payload = await program.payload({ 'part.c': PART('new') });
    const running = program.start();
    const child = Number(await running.line());
    assert.equal(await running.line(), 'ready');
    const target = running.target({ switching: { tries: 3 } });
    const event = await target.apply(payload);
    assert.equal(event.kind === 'refused' && event.reason, 'shared-memory', outcome(event));
    assert.match(event.kind === 'refused' ? event.message : '', new RegExp(`Process ${child} shares the memory`));
    assert.equal(await running.ask('x'), 'old x');
    assert.deepEqual((await target.status()).patches, []);
    process.kill(child, 'SIGKILL');
    await pause(50);
    assert.equal(outcome(await target.apply(payload)), 'applied');
    assert.equal(await running.ask('x'), 'new x');
    assert.equal(await running.end(), 0);
  });

  it('a thread in an uninterruptible sleep is let alone: it goes on when it wakes', async () => {
    const sleeping = 'if (vfork() == 0) { char byte; _exit(read(0, &byte, 1) != 1); }';
    const program = make({
      'main.c': main('', '#include <unistd.h>').replace(
        'puts(answer(line));',
        `puts("sleeps"); ${sleeping} puts("awake");`,
      ),
      'part.c': PART('old'),
    });
    const running = program.start();
    await running.line();
    assert.equal(await running.ask('x'), 'sleeps');
    const visit = await Visit.open(running.pid);
    try {
      await visit.prepare();
      await assert.rejects(visit.helper.map(4096, [0x10000000], []), /timeout/);
      running.child.stdin!.write('y');
      assert.equal(await Promise.race([running.line(), pause(20_000)]), 'awake');
    } finally {
      await visit.close();
    }
    assert.equal(await running.end(), 0);
  });

  it('a 32-bit process', async (t) => {
    const source = join(folder, 'small.s');
    const file = join(folder, 'small');
    writeFileSync(source, '.globl _start\n_start:\n  mov $29, %eax\n  int $0x80\n  jmp _start\n');
    for (const [tool, ...args] of [
      ['as', '--32', '-o', `${file}.o`, source],
      ['ld', '-m', 'elf_i386', '-o', file, `${file}.o`],
    ] as const) {
      const made = spawnSync(tool, args, { encoding: 'utf8' });
      assert.equal(made.status, 0, made.stderr);
    }
    const child = spawn(file, { stdio: 'ignore' });
    const failed = await Promise.race([new Promise((resolve) => child.once('error', resolve)), pause(100)]);
    if (failed || child.exitCode !== null || child.signalCode !== null)
      return t.skip('this kernel runs no 32-bit programs');
    const program = make({ 'main.c': ASKING_MAIN, 'part.c': PART('old') });
    const target = createProcessTarget({ name: 'small', pid: child.pid! });
    const event = await target.apply(await program.payload({ 'part.c': PART('new') }));
    assert.equal(event.kind === 'refused' && event.reason, 'wrong-architecture', outcome(event));
    assert.equal((await target.status()).alive, true);
    child.kill('SIGKILL');
  });

  it('a process of another user: the command line says whose it is and what to do', {
    skip: !root && 'needs root to become somebody else',
  }, async () => {
    // The repository may be out of another user's reach: the command line as it is shipped, in a folder that anybody may read.
    const { buildInto } = (await import(String(new URL('../../esbuild.mjs', import.meta.url)))) as {
      readonly buildInto: (folder: string) => Promise<void>;
    };
    await buildInto(folder);
    chmodSync(folder, 0o755);
    const program = make({ 'main.c': ASKING_MAIN, 'part.c': PART('old') });
    const file = join(folder, 'p.lpp');
    writeFileSync(file, await program.payload({ 'part.c': PART('new') }), { mode: 0o644 });
    const running = program.start();
    await running.line();
    const run = (...args: string[]): { status: number | null; text: string } => {
      const user = ['--reuid=65534', '--regid=65534', '--clear-groups'];
      const done = spawnSync('setpriv', [...user, process.execPath, join(folder, 'dist', 'cli.cjs'), ...args], {
        encoding: 'utf8',
        cwd: folder,
        env: { PATH: process.env.PATH, HOME: folder },
        timeout: 60_000,
      });
      return { status: done.status, text: `${done.stdout}${done.stderr}` };
    };
    for (const args of [['apply', file], ['revert'], ['status']]) {
      const { status, text } = run(...args, '--pid', String(running.pid));
      assert.match(text, /it belongs to user 0 and you are user 65534: run as that user or as root/, args.join(' '));
      assert.equal(status, args[0] === 'status' ? 2 : 1, text);
    }
    assert.equal(await running.ask('x'), 'old x');
    assert.equal(await running.end(), 0);
  });
});
