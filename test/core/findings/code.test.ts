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

const START = (init: string, use: string, mark = '') => `
extern int rnd(int);
${init}__attribute__((noinline)) int setup(int x) { return rnd(x) + 1; }${mark}
int poll(int x) { return ${use}(x) * 3; }
`;
const INIT = '__attribute__((section(".init.text"))) ';

hazard('init-code-changed: a function that loses its init section is called now', {
  target: 'linux',
  ignore: ['not-traceable'],
  base: START(INIT, 'rnd'),
  next: START('', 'setup', '\n//^^^ init-code-changed blocker'),
});

hazard('init-code-changed: near miss, a function that loses its init section and that nothing in the patch calls', {
  target: 'linux',
  ignore: ['not-traceable'],
  base: START(INIT, 'rnd'),
  next: START('', '1 + rnd'),
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
hazard('inline-widened: only a note where the function is a part of its one caller', {
  base: widened(100, '').replace('clamp(x) + 1', 'x + 1'),
  next: widened(200, '\n//^^^ inline-widened note').replace('clamp(x) + 1', 'x + 1'),
  check: ({ findings }) => assert.match(findings[0]!.message, /first\(\) is what the patch replaces/),
});
hazard('inline-widened: one note for all parts of one function', {
  base: widened(100, '')
    .replace('void second', 'static int half(int x) { return x / 100; }\nvoid second')
    .replace('put(clamp(x) + 1)', 'put(clamp(x) + half(x))')
    .replace('put(clamp(x));', 'put(x);'),
  next: widened(200, '\n//^^^ inline-widened note')
    .replace('void second', 'static int half(int x) { return x / 200; }\nvoid second')
    .replace('put(clamp(x) + 1)', 'put(clamp(x) + half(x))')
    .replace('put(clamp(x));', 'put(x);'),
  check: ({ findings }) => assert.deepEqual([...(findings[0]!.evidence.parts as string[])].sort(), ['clamp', 'half']),
});
const scaling = (factor: number, mark = '', last = '') => `
extern int push(int);
static inline __attribute__((always_inline)) int scale(int x) { return x * ${factor} + 3; }${mark}
int first(int x) { return push(scale(x)); }
int second(int x) { return push(scale(x) - 1) + 2; }${last}
`;
hazard('inline-widened: a caller whose own lines seem to have changed counts as well', {
  base: scaling(10),
  next: scaling(11, '\n//^^^ inline-widened review'),
  check: ({ findings }) => {
    assert.deepEqual(findings[0]!.evidence.callers, ['first', 'second']);
    assert.doesNotMatch(findings[0]!.message, /only caller/);
  },
});
hazard('inline-widened: near miss, one call has another argument, and the other copies came out the same', {
  base: scaling(10, '', '\nint third(int x) { return push(scale(x + 7)) ^ 2; }'),
  next: scaling(10, '', '\nint third(int x) { return push(scale(x + 9)) ^ 2; }'),
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
hazard('line-only-change: one note for all functions of the unit', {
  base: `${asserting('', '0')}${asserting('', '1')
    .replaceAll('divide', 'ratio')
    .replaceAll('before', 'other')
    .replace(/#define.*\n/, '')}`,
  next: `${asserting('/* one\n * two */\n', '0').replace(') {\n  CHECK', ') {\n//^^^ line-only-change note\n  CHECK')}${asserting(
    '',
    '1',
  )
    .replaceAll('divide', 'ratio')
    .replaceAll('before', 'other')
    .replace(/#define.*\n/, '')}`,
  check: ({ findings }) => {
    assert.deepEqual([...(findings[0]!.evidence.functions as string[])].sort(), ['divide', 'ratio']);
    assert.equal(findings[0]?.related.length, 1);
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
});
hazard('always-on-stack: near miss, the loop can be left', {
  base: looping(22, 'if (event < 0) return;'),
  next: looping(23, 'if (event < 0) return;'),
});
hazard('always-on-stack: main, but not a function that ends the program', {
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
int main(int argc, char **argv) { (void)argv; while (run(argc)) argc += 2; return 0; }
//^^^ always-on-stack review
`,
});
hazard('always-on-stack: a function that ends in one that never comes back', {
  base: `
extern int run(int);
extern void prepare(int);
__attribute__((noinline)) static void serve(void) { for (;;) run(1); }
void worker(int x) { prepare(x + 1); serve(); }
`,
  next: `
extern int run(int);
extern void prepare(int);
__attribute__((noinline)) static void serve(void) { for (;;) run(1); }
void worker(int x) { prepare(x + 2); serve(); }
//^^^ always-on-stack review
`,
});
hazard('always-on-stack: near miss, a signal handler that ends the program by way of others', {
  base: `
extern int run(int);
extern _Noreturn void exit(int);
extern void (*signal(int, void (*)(int)))(int);
__attribute__((noinline)) static void leave(int code) { run(code); exit(code); }
static void handler(int sig) { if (run(sig)) run(3); leave(1); }
void setup(void) { signal(2, handler); }
`,
  next: `
extern int run(int);
extern _Noreturn void exit(int);
extern void (*signal(int, void (*)(int)))(int);
__attribute__((noinline)) static void leave(int code) { run(code); exit(code); }
static void handler(int sig) { if (run(sig)) run(4); leave(1); }
void setup(void) { signal(2, handler); }
`,
  ignore: ['fnptr-identity'],
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
const twoLocks = (body: string, mark = ''): string => `
struct lock { int v; }; static struct lock one, two;
extern void mutex_lock(struct lock *); extern void mutex_unlock(struct lock *); extern int work(int);
int run(int x) {${mark}
  ${body}
}
void other(void) { mutex_lock(&one); mutex_lock(&two); one.v += two.v; mutex_unlock(&two); mutex_unlock(&one); }
`;
hazard('lock-semantics: the same calls with the locks in another order', {
  base: twoLocks(
    'mutex_lock(&one);\n mutex_lock(&two);\n x = work(x);\n mutex_unlock(&two);\n mutex_unlock(&one);\n return x;',
  ),
  next: twoLocks(
    'mutex_lock(&two);\n mutex_lock(&one);\n x = work(x);\n mutex_unlock(&one);\n mutex_unlock(&two);\n return x;',
    '\n//^^^ lock-semantics review',
  ),
  check: ({ findings }) => {
    assert.deepEqual(findings[0]?.evidence.next, [
      'mutex_lock(two)',
      'mutex_lock(one)',
      'mutex_unlock(one)',
      'mutex_unlock(two)',
    ]);
    assert.deepEqual(
      findings[0]?.related.map(({ at }) => at?.line),
      [4, 5, 7, 8],
    );
  },
});
hazard('lock-semantics: near miss, one of two locks by a pointer, in the same order', {
  base: twoLocks(
    'struct lock *l = x > 7 ? &one : &two;\n mutex_lock(l);\n x = work(x);\n mutex_unlock(l);\n return x;',
  ),
  next: twoLocks(
    'struct lock *l = x > 8 ? &one : &two;\n mutex_lock(l);\n x = work(x + 1);\n mutex_unlock(l);\n return x;',
  ),
});
hazard('lock-semantics: near miss, the same calls around other work', {
  base: locked('mutex_lock(&big);\n int r = work(x);\n mutex_unlock(&big);\n return r;'),
  next: locked('mutex_lock(&big);\n int r = work(x + 1);\n mutex_unlock(&big);\n return r * 2;'),
});

hazard('lock-semantics: near miss, the body moved into a new function', {
  base: locked('mutex_lock(&big);\n int r = work(x);\n mutex_unlock(&big);\n return r;'),
  next: `
struct lock; extern struct lock big;
extern void mutex_lock(struct lock *); extern void mutex_unlock(struct lock *); extern int work(int);
static __attribute__((noinline)) int moved(int x) {
  mutex_lock(&big);\n int r = work(x);\n mutex_unlock(&big);\n return r;
}
int run(int x) { return moved(x + 1) + 3; }
`,
});
hazard('lock-semantics: near miss, questions whether a lock is held', {
  base: `
struct lock; extern struct lock big;
extern void mutex_lock(struct lock *); extern void mutex_unlock(struct lock *); extern int work(int);
extern int rcu_read_lock_held(void), lock_is_held_type(struct lock *); extern void mmap_lock_trace_start(void);
int run(int x) { mutex_lock(&big); x = work(x); mutex_unlock(&big); return x; }
`,
  next: `
struct lock; extern struct lock big;
extern void mutex_lock(struct lock *); extern void mutex_unlock(struct lock *); extern int work(int);
extern int rcu_read_lock_held(void), lock_is_held_type(struct lock *); extern void mmap_lock_trace_start(void);
int run(int x) { mutex_lock(&big); x = work(x) + rcu_read_lock_held() + lock_is_held_type(&big); mmap_lock_trace_start(); mutex_unlock(&big); return x; }
`,
});
const inlinedLocks = (before: string, value: number): string => `${before}
struct lock; extern int work(int);
extern void mutex_lock(struct lock *); extern void mutex_unlock(struct lock *);
static inline void enter(struct lock *l) { mutex_lock(l); }
static inline void leave(struct lock *l) { mutex_unlock(l); }
int run(int x, struct lock *a) {
  leave(a); if (x > ${value}) { x = work(x); }
  enter(a); return x;
}
`;
hazard('lock-semantics: near miss, locks taken by inlined functions whose lines moved', {
  base: inlinedLocks('', 1),
  next: inlinedLocks('\n\n\n', 200),
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
const here = (value: number): string => `
extern void acquire(void *, void *); extern int rnd(int);
int run(int x, void *lock) { here: acquire(lock, &&here); if (rnd(x) > ${value}) goto here; return x; }
`;
hazard('fnptr-identity: near miss, a label of its own (_THIS_IP_)', {
  target: 'linux',
  base: here(3),
  next: here(400),
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

hazard('varargs-or-jumptable: not for a switch table, which is copied with the code', {
  base: looping(22, 'if (event < 0) return;'),
  next: looping(23, 'if (event < 0) return;'),
});

const labelled = (table: string, by: number, shuffle = ''): string => `
int run(const char *p) {
  ${table} = { &&zero, &&one, &&two };
  int r = 0;
  ${shuffle}
  goto *labels[*p & 1];
zero: r = 7 * p[1]; goto out;
one: r = ${by} + p[2]; goto out;
two: r = 300;
out: return r;
}
`;
const shuffle = "if (p[3] == 'x') labels[0] = labels[2];";
hazard('varargs-or-jumptable: labels in a table that can be written lead into the old code', {
  base: labelled('static void *labels[]', 100, shuffle),
  next: labelled('static void *labels[]', 101, shuffle).replace(
    'run(const char *p) {',
    'run(const char *p) {\n//^^^ varargs-or-jumptable blocker',
  ),
  ignore: ['data-init-changed'],
});
hazard('varargs-or-jumptable: near miss, the same table as a constant is copied with the code', {
  base: labelled('static void *const labels[]', 100),
  next: labelled('static void *const labels[]', 101),
});
hazard('varargs-or-jumptable: near miss, writable pointers to functions lead to the redirected entries', {
  base: `
static int one(int x) { return x + 1; }
int two(int x) { return x * 2 + one(x) * 5; }
static int (*table[])(int) = { one, two };
void swap(void) { table[0] = two; }
int run(int i) { return table[i & 1](i) + 1; }
`,
  next: `
static int one(int x) { return x + 1; }
int two(int x) { return x * 3 + one(x) * 5; }
static int (*table[])(int) = { one, two };
void swap(void) { table[0] = two; }
int run(int i) { return table[i & 1](i) + 2; }
`,
  ignore: ['fnptr-identity'],
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
const parameter = (more: string, use: string) => `
struct param { const char *name; void *var; };
int quiet;
extern void tell(int);
${more}
int run(int x) { ${use} return x + 1; }
`;
hazard('edit-not-covered: a new boot parameter would never be read; what is dropped is no data of the patch', {
  target: 'xen',
  base: parameter('', 'tell(x);'),
  next: parameter(
    `static int loud;
//^^^ hook-not-reappliable review
//^^^ new-global note
static const char text[] __attribute__((used, section(".init.rodata"))) = "loud";
static struct param setup __attribute__((used, section(".init.setup"))) = { text, &loud };
//^^^ edit-not-covered blocker`,
    'if (loud) tell(x);',
  ),
  check: ({ findings }) => {
    const data = findings.find(({ code }) => code === 'hook-not-reappliable')!;
    assert.deepEqual(data.evidence.data, ['loud']);
    const left = findings.find(({ code }) => code === 'edit-not-covered')!;
    assert.match(
      left.message,
      /^Part of the edit would be left out: setup is new in \.init\.setup, which the hypervisor went through/,
    );
  },
});
hazard('edit-not-covered: a new initcall would never run', {
  target: 'xen',
  base: parameter('', 'tell(x);'),
  next: parameter(
    `static int __attribute__((section(".init.text"))) late(void) { tell(9); return 0; }
static int (*const call)(void) __attribute__((used, section(".initcall1.init"))) = late;
//^^^ edit-not-covered blocker`,
    'tell(x + 1);',
  ),
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
const parameters = (more: string, value: number): string => `
struct param { const char *name; int *value; };
static int limit = 3;
static const struct param param_limit __attribute__((section("__param"), used)) = { "limit", &limit };
${more}
int run(int x) { return x * ${value} + limit++; }
`;
hazard('edit-not-covered: an entry of a table that the linker collects', {
  base: parameters('', 5),
  next: parameters(
    `static int more = 7;
static const struct param param_more __attribute__((section("__param"), used)) = { "more", &more };
//                        ^^^^^^^^^^ edit-not-covered blocker`,
    5,
  ),
});
hazard('edit-not-covered: near miss, a variable in a section of its own that code uses', {
  base: parameters('', 5),
  next: parameters(
    `static int shared __attribute__((section("shared_data"))) = 7;
//         ^^^^^^ new-global note
int get(void) { return shared++; }`,
    5,
  ),
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
