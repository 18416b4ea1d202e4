import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareFixture, hazard } from '../../support/markers.ts';

hazard('patching-machinery: a function that patches', {
  base: `
extern int rnd(int);
int arch_livepatch_quiesce(int x) { return rnd(x); }
int quiesce(int x) { return rnd(x); }
`,
  next: `
extern int rnd(int);
int arch_livepatch_quiesce(int x) { return rnd(x) + 1; }
//^^^ patching-machinery blocker
int quiesce(int x) { return rnd(x) + 1; }
`,
  target: 'xen',
});

hazard('patching-machinery: near miss, the same name in a process', {
  base: `
extern int rnd(int);
int ftrace_enable(int x) { return rnd(x); }
int do_nmi(int x) { return rnd(x); }
`,
  next: `
extern int rnd(int);
int ftrace_enable(int x) { return rnd(x) + 1; }
int do_nmi(int x) { return rnd(x) + 1; }
`,
});

hazard('patching-machinery: Linux', {
  base: `
extern int rnd(int);
int klp_try_switch_task(int x) { return rnd(x); }
int kill_pid(int x) { return rnd(x); }
`,
  next: `
extern int rnd(int);
int klp_try_switch_task(int x) { return rnd(x) + 1; }
//^^^ patching-machinery blocker
int kill_pid(int x) { return rnd(x) + 1; }
`,
  target: 'linux',
  ignore: ['not-traceable', 'config-unsupported'],
});

// Assembly of a function inside of C: with and without the directives that make its unwind table.
const assembled = (cfi: boolean, what: string): string => `
extern int rnd(int);
int plain(int x) { return rnd(x) + ${what}; }
asm(".text\\n.globl step\\n.type step, @function\\nstep:\\n"
    "${cfi ? '.cfi_startproc\\n' : ''}"
    "lea ${what}(%rdi), %rax\\nret\\n.size step, .-step\\n"
    "${cfi ? '.cfi_endproc\\n' : ''}");
`;

for (const [title, before, after, expected] of [
  ['the new code of one function has no unwind table', true, false, ['step']],
  ['near miss: neither has', false, false, []],
  ['nothing is missing', true, true, []],
  ['near miss: only the new one has', false, true, []],
] as const) {
  test(`unwind-missing: ${title}`, async () => {
    const { findings, diff } = await compareFixture(
      { base: assembled(before, '1'), next: assembled(after, '2') },
      'gcc-12',
    );
    assert.ok(diff.functions.some(({ name }) => name === 'step'));
    const found = findings.filter(({ code }) => code === 'unwind-missing');
    assert.deepEqual(
      found.flatMap(({ evidence }) => evidence.functions),
      expected,
    );
  });
}

const hooks = (...kinds: readonly string[]): string =>
  kinds
    .map(
      (kind) => `
static void on_${kind}(void) { state = 1; }
__attribute__((used, section(".livepatch.hooks.${kind}"))) static void (*const hook_${kind})(void) = on_${kind};`,
    )
    .join('');
const program = (add: string, more: string): string => `
int state;
${more}
int run(int x) { return x + state + ${add}; }
`;

for (const [title, kinds, expected] of [
  ['hook-without-undo: a load hook alone', ['load'], ['on_load']],
  ['hook-without-undo: near miss, both halves', ['load', 'unload'], []],
  ['hook-without-undo: an undo alone needs nothing', ['unload'], []],
  ['hook-without-undo: two kinds, one of them undone', ['preapply', 'apply', 'revert'], ['on_preapply']],
] as const) {
  test(title, async () => {
    const fixture = { base: program('1', ''), next: program('2', hooks(...kinds)), target: 'xen' as const };
    const { findings } = await compareFixture(fixture, 'gcc-12');
    assert.deepEqual(
      findings.filter(({ code }) => code === 'hook-without-undo').map(({ symbol }) => symbol),
      expected,
    );
  });
}

hazard('hook-not-reappliable: writable data in a payload for Xen', {
  base: program('1', ''),
  next: `
int state;
int calls;
//^^^ hook-not-reappliable review
//^^^ new-global note
int run(int x) { return x + state + calls++; }
`,
  target: 'xen',
});

hazard('hook-not-reappliable: near misses, a constant, and a process', {
  base: program('1', ''),
  next: `
int state;
const int steps[4] = { 1, 2, 3, 4 };
int run(int x) { return x + state + steps[x & 3]; }
`,
  target: 'xen',
});
