import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAnalyser } from '../../../server/src/analyse.ts';
import { CASE_COMPILERS, compile, hasTool } from '../../support/cc.ts';
import { hazard } from '../../support/markers.ts';
import { MACROS } from '../special/macros.ts';

// Pairs that must stay silent, and near misses, of codes whose own files show them reporting (docs/hazards/TABLE.md lists both). Whatever else
// a pair reports would have to be marked, so that each of these is a proof for the other codes, too.

hazard('data-align-changed: not for a variable that is new, nor for one that code aligns', {
  base: 'int used = 1;\nint run(int x) { return x + used; }\n',
  next: 'int used = 1;\nint fresh __attribute__((aligned(64)));\nint run(int x) { int on_stack[4] __attribute__((aligned(64))) = { x }; return on_stack[x & 3] + used + fresh; }\n',
  ignore: ['new-global'],
});

hazard('data-section-moved: near miss, a section of the own name stays where it was', {
  base: '__attribute__((section(".data.mine"))) int a = 3; int other;\nint run(int x) { return x + a + other; }\n',
  next: '__attribute__((section(".data.mine"))) int a = 3; int other;\nint run(int x) { return x + a * 5 + other; }\n',
});
hazard('data-section-moved: near miss, an array of constants used by its address as before', {
  base: 'static const int t[3] = { 1, 2, 3 };\nextern int see(const int *);\nint run(int x) { return see(t) + x; }\n',
  next: 'static const int t[3] = { 1, 2, 3 };\nextern int see(const int *);\nint run(int x) { return see(t) + x * 9; }\n',
});

hazard(
  'symbol-scope-changed: not for a declaration that says static where it was static, and extern where it was extern',
  {
    base: 'static int kept(int x);\nextern int shown;\nint shown = 1;\nint run(int x) { return kept(x) + shown; }\n__attribute__((noinline)) static int kept(int x) { return x * 7; }\n',
    next: 'static int kept(int x);\nint shown = 1;\nextern int shown;\nint run(int x) { return kept(x) + shown + 2; }\n__attribute__((noinline)) int kept(int x) { return x * 7; }\n',
  },
);

hazard('static-local-removed: not where it is used as before', {
  base: 'int f(void) { static int n; return ++n; }\n',
  next: 'int f(void) { static int n; n += 2; return n; }\n',
});
hazard('static-local-removed: near miss, moved to a helper that is inlined, by the same name and type', {
  base: 'int ext(int);\nstatic inline int count(int by) { static int n; n += by; return n; }\nint f(void) { return ext(count(1)); }\n',
  next: 'int ext(int);\nstatic inline int count(int by) { static int n; n += by; return n; }\nint f(void) { return ext(count(2)) + count(3); }\n',
});

hazard('static-local-ambiguous: not for two of one name in two functions', {
  base: 'int a(void) { static int n; return ++n; }\nint b(void) { static int n = 4; return n += 3; }\n',
  next: 'int b(void) { static int n = 4; return n += 3; }\nint a(void) { static int n; return n += 9; }\n',
});

hazard('tls-changed: not for ordinary data beside thread-local data', {
  base: '__thread int mine = 2; int plain[2];\nint run(int x) { return mine + x + plain[0]; }\n',
  next: '__thread int mine = 2; int plain[2];\nint extra;\nint run(int x) { return mine + x + plain[1] + extra++; }\n',
  ignore: ['new-global'],
});

hazard('inline-decision-flip: not where the decisions are as they were', {
  base: 'int ext(int);\nstatic inline int small(int x) { return x + 1; }\nint run(int x) { return ext(small(x)); }\nint other(int x) { return ext(small(x) * 2); }\n',
  next: 'int ext(int);\nstatic inline int small(int x) { return x + 1; }\nint run(int x) { return ext(small(x)) + 5; }\nint other(int x) { return ext(small(x) * 2); }\n',
});
hazard('inline-decision-flip: near miss, one more call of a function that stays inlined everywhere', {
  base: 'int ext(int);\nstatic inline int small(int x) { return x + 1; }\nint run(int x) { return ext(small(x)); }\n',
  next: 'int ext(int);\nstatic inline int small(int x) { return x + 1; }\nint run(int x) { return ext(small(x) + small(x * 3)); }\n',
});

hazard('line-only-change: not for a function that did not change at all', {
  base: 'int ext(int);\nint run(int x) { return ext(__LINE__ + x); }\n',
  next: 'int ext(int);\nint run(int x) { return ext(__LINE__ + x); }\nint fresh(int x) { return ext(x); }\n',
});

hazard('patching-machinery: not where only a caller of it changed', {
  base: 'extern int rnd(int);\nint arch_livepatch_quiesce(int x) { return rnd(x); }\nint ours(int x) { return arch_livepatch_quiesce(x) + rnd(2); }\n',
  next: 'extern int rnd(int);\n__attribute__((noinline)) int arch_livepatch_quiesce(int x) { return rnd(x); }\nint ours(int x) { return rnd(2) + rnd(7) + x; }\n',
  target: 'xen',
  ignore: ['inline-decision-flip', 'inline-widened'],
});

hazard('function-removed: not for a declaration or an inline function that nobody used', {
  base: 'int ext(int); int gone(int);\nstatic inline int unused(int x) { return x; }\nint run(int x) { return ext(x) * 3; }\n',
  next: 'int ext(int);\nint run(int x) { return ext(x) * 5; }\n',
});

hazard('hook-not-reappliable: not where nothing new is written', {
  base: 'int state;\nint run(int x) { return x + state; }\n',
  next: 'int state;\nint run(int x) { state++; return x + state; }\n',
  target: 'xen',
});

hazard('cpu-dependent-code: near miss, a function named like a test of features', {
  base: 'int has_avx2(void);\nint plain(int);\nint run(int x) { return has_avx2() ? plain(x) : x; }\n',
  next: 'int has_avx2(void);\nint plain(int);\nint run(int x) { return has_avx2() ? plain(x) : x + 2; }\n',
});

const kernel = { args: ['-O2', '-g', '-fno-pic', '-ffunction-sections', '-fdata-sections'], target: 'linux' as const };
const load = (type: number, add: number) =>
  `#include "kernel.h"\nint f(int *a) {\n  int r = 1;\n  asm volatile("1: mov (%1),%0\\n2:\\n" EX12("1b", "2b", ${type}) : "+r"(r) : "r"(a));\n  return ext(r) + ${add};\n}\n`;
hazard('special-section-changed: near miss, the code changed as well, and the entry goes with it', {
  ...kernel,
  files: { base: { 'kernel.h': MACROS }, next: { 'kernel.h': MACROS } },
  base: load(1, 1),
  next: load(3, 200),
  ignore: ['not-traceable', 'fnptr-identity'],
});

for (const compiler of CASE_COMPILERS) {
  const skip = !hasTool(compiler) && `${compiler} is not installed`;
  const codes = async (base: string, next: string, unit: string) => {
    const { load: read, compare } = await createAnalyser();
    const object = (text: string) => read(compile(text, { compiler, name: unit })).object!;
    const provenance = { unit, baseCommand: [], nextCommand: [], compiler, baseline: 'test' };
    return compare(object(base), object(next), provenance).findings.map(({ code }) => code);
  };
  test(`hand-written-asm: near miss, assembly in a function of C [${compiler}]`, { skip }, async () => {
    const source = (n: number) =>
      `int ext(int);\nint run(int x) { asm volatile("nop; add $${n}, %0" : "+r"(x)); return ext(x); }\n`;
    assert.deepEqual(await codes(source(1), source(2), 'entry.c'), []);
  });
  test(`hand-written-asm: top-level assembly and a naked function in a unit of C [${compiler}]`, { skip }, async () => {
    const top = (n: number) =>
      `__asm__(".text\\n.globl fast\\n.type fast,@function\\nfast: mov %edi,%eax\\n add $${n},%eax\\n ret\\n.size fast,.-fast");\nint ext(int);\nint run(int x) { return ext(x) + 1; }\n`;
    assert.deepEqual(await codes(top(1), top(2), 'entry.c'), ['hand-written-asm']);
    const naked = (n: number) =>
      `__attribute__((naked)) void tramp(void) { __asm__ volatile("push %rbx\\n mov %rsp,%rbx\\n add $${n},%eax\\n call ext\\n pop %rbx\\n ret"); }\n`;
    assert.deepEqual(await codes(naked(1), naked(2), 'entry.c'), ['hand-written-asm']);
  });
  test(`hand-written-asm: near miss, C beside top-level assembly, and assembly that pushes in a function of C [${compiler}]`, {
    skip,
  }, async () => {
    const beside = (n: number) =>
      `__asm__(".text\\n.globl fast\\n.type fast,@function\\nfast: mov %edi,%eax\\n ret\\n.size fast,.-fast");\nint ext(int);\nint run(int x) { return ext(x) + ${n}; }\n`;
    assert.deepEqual(await codes(beside(1), beside(2), 'entry.c'), []);
    const pushing = (n: number) =>
      `unsigned long flags(void) { unsigned long f; __asm__ volatile("pushf; pop %0; add $${n}, %0" : "=r"(f)); return f; }\nvoid restore(unsigned long f) { __asm__ volatile("add $${n}, %0; push %0; popf" : : "r"(f)); }\n`;
    assert.deepEqual(await codes(pushing(1), pushing(2), 'entry.c'), []);
  });
  test(`compiler-mismatch: near miss, options for warnings and paths beside another constant [${compiler}]`, {
    skip,
  }, async () => {
    const { load: read, compare } = await createAnalyser();
    const object = (n: number, extra: readonly string[]) =>
      read(compile(`int ext(int);\nint run(int x) { return ext(x) + ${n}; }\n`, { compiler, extra })).object!;
    const provenance = { unit: 'unit.c', baseCommand: [], nextCommand: [], compiler, baseline: 'test' };
    const { findings } = compare(
      object(1, []),
      object(300, ['-Wall', '-Wextra', '-fmacro-prefix-map=/x=/y']),
      provenance,
    );
    assert.deepEqual(
      findings.map(({ code }) => code),
      [],
    );
  });
}
