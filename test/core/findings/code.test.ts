import assert from 'node:assert/strict';
import { hazard } from '../../support/markers.ts';

hazard('init-code-changed: a constructor of the program', {
  base: `
extern void prepare(int); int ready;
__attribute__((constructor)) static void setup(void) { prepare(1); }
int is_ready(void) { return ready; }
`,
  next: `
extern void prepare(int); int ready;
__attribute__((constructor)) static void setup(void) { prepare(2); }
//^^^ init-code-changed blocker
int is_ready(void) { return ready; }
`,
});

hazard('init-code-changed: an init section of a kernel', {
  target: 'linux',
  ignore: ['not-traceable'],
  base: `
int ready;
__attribute__((section(".init.text"))) int setup(int x) { ready = 1; return x; }
`,
  next: `
int ready;
__attribute__((section(".init.text"))) int setup(int x) { ready = 2; return x; }
//^^^ init-code-changed blocker
`,
});

hazard('init-code-changed: near miss, main in .text.startup', {
  ignore: ['always-on-stack'],
  base: `
extern int run(int);
int main(int argc, char **argv) { (void)argv; return run(argc); }
`,
  next: `
extern int run(int);
int main(int argc, char **argv) { (void)argv; return run(argc + 1) + 1; }
`,
});

hazard('init-code-changed: near miss, functions whose names begin like an init section', {
  base: `
extern int rnd(int);
int init(int x) { return rnd(x) + 1; }
int init_things(int x) { return rnd(x) + 2; }
`,
  next: `
extern int rnd(int);
int init(int x) { return rnd(x) + 3; }
int init_things(int x) { return rnd(x) + 4; }
`,
});

const tiny = {
  base: `
int one(void) { return 0; }
int more(int x) { return x * 3 + 1; }
`,
  next: `
int one(void) { return 1; }
//^^^ func-too-small blocker
int more(int x) { return x * 4 + 1; }
`,
};
hazard('func-too-small: xor and ret are 3 bytes', tiny);
hazard('func-too-small: 6 bytes are enough for a process, with or without endbr64', {
  base: 'int one(void) { return 7; }\n',
  next: 'int one(void) { return 8; }\n',
});
const shadow = {
  args: ['-O2', '-g', '-ffunction-sections', '-fdata-sections', '-fcf-protection=branch'],
  base: 'int id(int x) { return x; }\n',
};
hazard('func-too-small: on Xen the jump comes after endbr64', {
  ...shadow,
  target: 'xen',
  next: `int id(int x) { return x + 1; }
//^^^ func-too-small blocker
`,
  check: ({ findings }) => assert.equal(findings[0]?.evidence.needed, 9),
});
hazard('func-too-small: near miss, the same function in a process', {
  ...shadow,
  next: 'int id(int x) { return x + 1; }\n',
});

hazard('function-removed', {
  base: `
extern int rnd(int);
int old_way(int x) { return rnd(x) + 1; }
int run(int x) { return rnd(x); }
`,
  next: `
extern int rnd(int);
int run(int x) { return rnd(x); }
`,
  ignore: ['function-removed'],
  check: ({ findings }) => {
    assert.deepEqual(
      findings.map(({ code, severity, symbol, at }) => [code, severity, symbol, at?.line]),
      [['function-removed', 'review', 'old_way', 2]],
    );
  },
});

hazard('function-removed: near miss, a static function that is inlined now', {
  base: `
extern int rnd(int);
static __attribute__((noinline)) int helper(int x) { return rnd(x) + 1; }
int run(int x) { return helper(x); }
`,
  next: `
extern int rnd(int);
static inline __attribute__((always_inline)) int helper(int x) { return rnd(x) + 1; }
//^^^ inline-decision-flip review
int run(int x) { return helper(x); }
`,
});

const widened = (limit: number, mark: string): string => `
extern void put(int);
static inline __attribute__((always_inline)) int clamp(int x) { return x > ${limit} ? ${limit} : x; }${mark}
void first(int x) { put(clamp(x)); }
void second(int x) { put(clamp(x) + 1); }
void third(int x) { put(x); }
`;
hazard('inline-widened: an edited function in its callers', {
  base: widened(100, ''),
  next: widened(200, '\n//^^^ inline-widened review'),
  check: ({ findings }) => {
    assert.deepEqual([...(findings[0]!.evidence.callers as string[])].sort(), ['first', 'second']);
    assert.equal(findings[0]?.related.length, 2);
    assert.match(findings[0]!.message, /clamp\(\) reaches first and second/);
  },
});
hazard('inline-widened: near miss, a copy moves with the edit of the function around it', {
  base: widened(100, ''),
  next: widened(100, '').replace('put(clamp(x) + 1)', 'put(x); put(clamp(x + 9) * 3)'),
});
hazard('inline-widened: near miss, the edited function is not inlined', {
  base: widened(100, '').replace('inline __attribute__((always_inline))', '__attribute__((noinline))'),
  next: widened(200, '').replace('inline __attribute__((always_inline))', '__attribute__((noinline))'),
});

const asserting = (above: string, limit: string): string => `
extern void fail(const char *, int);
#define CHECK(x) do { if (!(x)) fail(__FILE__, __LINE__); } while (0)
${above}int before(int x) { return x * 3 + 7; }
int divide(int x, int y) {
  CHECK(y != ${limit});
  return x / (y + 1);
}
`;
hazard('line-only-change', {
  base: asserting('', '0'),
  next: asserting('/* one\n * two */\n', '0').replace(') {\n  CHECK', ') {\n//^^^ line-only-change note\n  CHECK'),
  check: ({ verdict, findings }) => {
    assert.equal(verdict, 'unchanged');
    assert.equal(findings[0]?.fixes[0]?.kind, 'leave-out');
  },
});
hazard('line-only-change: near miss, another constant as well', {
  base: asserting('', '0'),
  next: asserting('/* one\n * two */\n', '2'),
  check: ({ verdict }) => assert.equal(verdict, 'patchable'),
});
hazard('comments, white space and the order of functions report nothing at all', {
  base: `
extern int rnd(int);
int first(int x) { return rnd(x) + 1; }
int second(int x) { return rnd(x) + 2; }
`,
  next: `
extern int rnd(int);
/* the second one
   comes first */
int second(int x)
{
  return rnd(x) + 2; // two
}

int first(int x) { return   rnd(x)+1; }
`,
  check: ({ verdict, diff }) => {
    assert.equal(verdict, 'unchanged');
    assert.equal(diff.sameFunctions, 2);
  },
});

const looping = (step: number, exit: string): string => `
extern int wait_for(void);
extern void handle(int);
void serve(void) {
  for (;;) {
    int event = wait_for();
    ${exit}
    switch (event) {
      case 0: handle(1); break;
      case 1: handle(${step}); break;
      case 2: handle(33); break;
      case 3: handle(44); wait_for(); break;
      case 4: handle(57); break;
      case 5: handle(5); handle(6); break;
      default: handle(event);
    }
  }
}
`;
hazard('always-on-stack: a loop without a way out, with a jump table in it', {
  base: looping(22, ''),
  next: looping(23, '').replace('(void) {\n  for', '(void) {\n//^^^ always-on-stack review\n  for'),
  ignore: ['varargs-or-jumptable'],
});
hazard('always-on-stack: near miss, the loop can be left', {
  base: looping(22, 'if (event < 0) return;'),
  next: looping(23, 'if (event < 0) return;'),
  ignore: ['varargs-or-jumptable'],
});
hazard('always-on-stack: main, and a function that does not return', {
  base: `
extern int run(int);
extern _Noreturn void exit(int);
_Noreturn void die(int code) { run(code); exit(1); }
int main(int argc, char **argv) { (void)argv; while (run(argc)) argc++; return 0; }
`,
  next: `
extern int run(int);
extern _Noreturn void exit(int);
_Noreturn void die(int code) { run(code); exit(2); }
//^^^ always-on-stack review
int main(int argc, char **argv) { (void)argv; while (run(argc)) argc += 2; return 0; }
//^^^ always-on-stack review
`,
});
hazard('always-on-stack: near miss, a changed function that only calls one of those', {
  base: `
extern _Noreturn void exit(int);
int check(int x) { if (x < 0) exit(1); return x * 2; }
`,
  next: `
extern _Noreturn void exit(int);
int check(int x) { if (x < 1) exit(1); return x * 2; }
`,
});

const locked = (body: string, mark = ''): string => `
struct lock; extern struct lock big;
extern void mutex_lock(struct lock *); extern void mutex_unlock(struct lock *); extern int work(int);
int run(int x) {${mark}
  ${body}
}
`;
hazard('lock-semantics: the lock is released earlier', {
  base: locked('mutex_lock(&big);\n int r = work(x);\n r += work(r);\n mutex_unlock(&big);\n return r;'),
  next: locked(
    'mutex_lock(&big);\n int r = work(x);\n mutex_unlock(&big);\n mutex_lock(&big);\n r += work(r);\n mutex_unlock(&big);\n return r;',
    '\n//^^^ lock-semantics review',
  ),
});
hazard('lock-semantics: near miss, the same calls around other work', {
  base: locked('mutex_lock(&big);\n int r = work(x);\n mutex_unlock(&big);\n return r;'),
  next: locked('mutex_lock(&big);\n int r = work(x + 1);\n mutex_unlock(&big);\n return r * 2;'),
});

hazard('fnptr-identity: the address of a new function is handed out', {
  base: `
typedef int fn(int); extern int rnd(int); extern void use(fn *);
int handler(int x) { return rnd(x) + 1; }
void arm(int x) { if (x) use(handler); }
`,
  next: `
typedef int fn(int); extern int rnd(int); extern void use(fn *);
int handler(int x) { return rnd(x) + 1; }
static int other(int x) { return rnd(x) + 2; }
//^^^ fnptr-identity review
void arm(int x) { if (x) use(x > 3 ? other : handler); }
`,
});
const compared = {
  base: `
typedef int fn(int); extern int rnd(int); extern void use(fn *);
int handler(int x) { return rnd(x) + 1; }
void arm(fn *old) { if (old != handler) use(handler); }
`,
  next: `
typedef int fn(int); extern int rnd(int); extern void use(fn *);
int handler(int x) { return rnd(x) + 2; }
void arm(fn *old) { if (old != handler) use(handler); use(old); }
`,
};
hazard('fnptr-identity: near miss, references to a replaced function keep its address', compared);
hazard('fnptr-identity: in a Linux payload they do not', {
  target: 'linux',
  base: compared.base,
  next: compared.next.replace('+ 2; }', '+ 2; }\n//^^^ fnptr-identity review'),
  ignore: ['not-traceable'],
});
hazard('fnptr-identity: near miss, a new function that is only called', {
  base: `
extern int rnd(int);
void arm(int x) { rnd(x); }
`,
  next: `
extern int rnd(int);
static __attribute__((noinline)) int other(int x) { return rnd(x) + 2; }
void arm(int x) { rnd(other(x)); }
`,
});

hazard('varargs-or-jumptable', {
  base: looping(22, 'if (event < 0) return;'),
  next: looping(23, 'if (event < 0) return;').replace(
    '(void) {\n  for',
    '(void) {\n//^^^ varargs-or-jumptable note\n  for',
  ),
});

const traced = (value: number): string => `
extern int rnd(int);
int run(int x) { return rnd(x) + ${value}; }
`;
hazard('not-traceable: no hook at the entry', {
  target: 'linux',
  base: traced(1),
  next: `${traced(2)}//^^^ not-traceable blocker\n`,
});
hazard("not-traceable: near miss, with the kernel's options", {
  target: 'linux',
  compilers: ['gcc-12'],
  args: ['-O2', '-g', '-ffunction-sections', '-fdata-sections', '-pg', '-mfentry', '-mrecord-mcount', '-fno-pie'],
  base: traced(1),
  next: traced(2),
});
hazard('not-traceable: near miss, patchable entries', {
  target: 'linux',
  args: ['-O2', '-g', '-ffunction-sections', '-fdata-sections', '-fpatchable-function-entry=5,0'],
  base: traced(1),
  next: traced(2),
});
hazard('not-traceable: other targets do not ask', { target: 'xen', base: traced(1), next: traced(2) });

hazard('config-unsupported: an object for link-time optimisation', {
  compilers: ['gcc-12'],
  args: ['-O2', '-g', '-flto'],
  base: traced(1),
  next: traced(2),
  ignore: ['config-unsupported'],
  check: ({ findings, verdict }) => {
    assert.equal(verdict, 'blocked');
    assert.equal(findings[0]?.evidence.reason, 'lto');
  },
});
hazard('config-unsupported: no debug information asks for a review', {
  args: ['-O2', '-ffunction-sections', '-fdata-sections'],
  base: traced(1),
  next: traced(2),
  ignore: ['config-unsupported'],
  check: ({ findings, verdict }) => {
    assert.equal(verdict, 'patchable');
    assert.equal(findings[0]?.evidence.reason, 'no-debug-info');
  },
});

hazard('edit-not-covered: a new constructor would never run', {
  base: `
extern void prepare(int);
int run(int x) { prepare(x); return x + 1; }
`,
  next: `
extern void prepare(int);
__attribute__((constructor)) static void late(void) { prepare(7); }
//^^^ edit-not-covered blocker
int run(int x) { prepare(x); return x + 1; }
`,
});
hazard('edit-not-covered: a registration table without a symbol of its own', {
  base: `
__asm__(".pushsection .modtab,\\"a\\"\\n .long 7\\n .popsection");
int run(int x) { return x * 5 + 1; }
`,
  next: `
__asm__(".pushsection .modtab,\\"a\\"\\n .long 8\\n .popsection");
int run(int x) { return x * 5 + 1; }
`,
  ignore: ['edit-not-covered'],
  check: ({ findings, verdict }) => {
    assert.equal(verdict, 'blocked');
    assert.deepEqual(
      [findings[0]?.code, findings[0]?.symbol, findings[0]?.at?.line],
      ['edit-not-covered', '.modtab', 1],
    );
  },
});
hazard('edit-not-covered: near miss, the same constructors in another order of functions', {
  base: `
extern void prepare(int);
__attribute__((constructor)) static void early(void) { prepare(7); }
int run(int x) { prepare(x); return x + 1; }
`,
  next: `
extern void prepare(int);
int run(int x) { prepare(x); return x + 2; }
__attribute__((constructor)) static void early(void) { prepare(7); }
`,
});
