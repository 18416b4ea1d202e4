import assert from 'node:assert/strict';
import { DEFAULT_ARGS } from '../../support/cc.ts';
import { hazard } from '../../support/markers.ts';

// The codes about data are a family: each change of an object must be reported by exactly one of them.

const table = 'extern int rnd(int);\n';

hazard('data-size-changed: an array grows', {
  base: `
int ring[16];
int at(int i) { return ring[i & 15]; }
void put(int i, int v) { ring[i & 15] = v; }
`,
  next: `
int ring[32];
//^^^ data-size-changed blocker
int at(int i) { return ring[i & 31]; }
void put(int i, int v) { ring[i & 31] = v; }
`,
  check: ({ findings }) => {
    assert.deepEqual([findings[0]?.evidence.baseSize, findings[0]?.evidence.nextSize], [64, 128]);
  },
});

hazard('data-size-changed: a constant table gets one more entry', {
  base: `
const int primes[4] = { 2, 3, 5, 7 };
int prime(int i) { return primes[i]; }
`,
  next: `
const int primes[5] = { 2, 3, 5, 7, 11 };
//^^^ data-size-changed blocker
int prime(int i) { return primes[i]; }
`,
});

hazard('data-size-changed: other bytes of code and new data are nothing to it', {
  base: `
int ring[16];
int at(int i) { return ring[i & 15]; }
`,
  next: `
int ring[16];
int other[32];
//^^^ new-global note
int at(int i) { return ring[i & 15] + other[i & 31]; }
`,
});

hazard('data-size-changed: near miss, the same size by another type', {
  base: `
int ring[16];
int at(int i) { return ring[i & 15]; }
`,
  next: `
unsigned ring[4 * 4];
//^^^ type-changed-same-size note
int at(int i) { return ring[i & 15]; }
`,
});

hazard('data-init-changed: another initial value', {
  base: `
int limit = 10;
int over(int x) { return x > limit; }
void set(int x) { limit = x; }
`,
  next: `
int limit = 20;
//^^^ data-init-changed blocker
int over(int x) { return x > limit; }
void set(int x) { limit = x; }
`,
});

hazard('data-init-changed: a pointer to another string', {
  base: `
const char *greeting = "hello";
const char *get(void) { return greeting; }
`,
  next: `
const char *greeting = "howdy";
//^^^ data-init-changed blocker
const char *get(void) { return greeting; }
`,
});

hazard('data-init-changed: a static local', {
  base: `
int next_id(void) { static int id = 100; return id++; }
`,
  next: `
int next_id(void) { static int id = 200; return id++; }
//^^^ data-init-changed blocker
`,
});

const commands = (last: string, more: string): string => `${table}
static int h_get(int x) { return rnd(x) + 1; }
static int h_put(int x) { return rnd(x) + 2; }
static int h_del(int x) { return rnd(x) + 3; }
union arg { int number; unsigned flags; };
static struct cmd { const char *name; int (*fn)(int); union arg arg; } cmds[] = {
  { "get", h_get, { 1 } }, { "put", ${last}, { ${more} } }
};
int run(int i) { cmds[i].arg.number++; return cmds[i].fn(i) + h_del(i); }
void none(int i) { cmds[i].fn = h_put; }
`;
hazard('data-init-changed: says which entry is another, a union once', {
  base: commands('h_put', '2'),
  next: commands('h_del', '7').replace('} cmds[] = {', '} cmds[] = {\n//^^^ data-init-changed blocker'),
  check: ({ findings }) => {
    assert.match(
      findings[0]!.message,
      /cmds changed \(cmds\[1\]\.fn: h_put → h_del, cmds\[1\]\.arg\.number: 2 → 7\), but/,
    );
    assert.equal((findings[0]!.evidence.values as string[]).length, 2);
  },
});

hazard('data-init-changed: of a plain value, and of a text', {
  base: `
int limit = 10;
char name[8] = "one";
int over(int x) { return x > limit || name[x & 7] == 'o'; }
void set(int x) { limit = x; name[0] = x; }
`,
  next: `
int limit = 20;
//^^^ data-init-changed blocker
char name[8] = "two";
//^^^ data-init-changed blocker
int over(int x) { return x > limit || name[x & 7] == 'o'; }
void set(int x) { limit = x; name[0] = x; }
`,
  check: ({ findings }) => {
    assert.match(findings[0]!.message, /limit changed \(10 → 20\), but/);
    assert.match(findings[1]!.message, /name changed \("one" → "two"\), but/);
  },
});

hazard('data-init-changed: the value is set in code', {
  base: `
int limit = 10;
int over(int x) { return x > limit; }
void set(int x) { limit = x; }
`,
  next: `
int limit = 10;
int over(int x) { return x > limit; }
void set(int x) { limit = x + 1; }
`,
});

hazard('data-init-changed: near miss, initial values of automatic variables and text in the code', {
  base: `
extern void say(const char *, const int *);
void greet(void) { const int a[6] = { 1, 2, 3, 4, 5, 6 }; say("hello", a); say(__func__, a); }
`,
  next: `
extern void say(const char *, const int *);
void greet(void) { const int a[6] = { 1, 2, 3, 4, 5, 7 }; say("howdy", a); say(__func__, a); }
`,
});

hazard('rodata-changed: a table of functions', {
  base: `${table}
int one(int x) { return rnd(x) + 1; }
int two(int x) { return rnd(x) + 2; }
struct ops { int (*run)(int); int (*stop)(int); };
const struct ops ops = { .run = one, .stop = two };
`,
  next: `${table}
int one(int x) { return rnd(x) + 1; }
int two(int x) { return rnd(x) + 2; }
struct ops { int (*run)(int); int (*stop)(int); };
const struct ops ops = { .run = two, .stop = two };
//^^^ rodata-changed blocker
`,
  check: ({ findings }) => assert.match(findings[0]!.message, /ops changed \(ops\.run: one → two\)\. /),
});

hazard('rodata-changed: one entry of a constant table', {
  base: `
static const short weights[] = { 1, 2, 4, 8 };
int weight(int i) { return weights[i]; }
`,
  next: `
static const short weights[] = { 1, 2, 5, 8 };
//^^^ rodata-changed note
int weight(int i) { return weights[i]; }
`,
});

hazard('rodata-changed: a new constant', {
  base: `
extern int rnd(int);
int weight(int i) { return rnd(i) + 1; }
`,
  next: `
static const short weights[] = { 1, 2, 5, 8 };
extern int rnd(int);
int weight(int i) { return rnd(i) + weights[i]; }
`,
});

hazard('rodata-changed: near miss, floating point constants and switch tables of the code', {
  base: `
double area(double r) { return r * r * 3.14; }
int map(int x) { switch (x) { case 0: return 17; case 1: return 5; case 2: return 99; case 3: return 1; case 4: return 7; } return 0; }
`,
  next: `
double area(double r) { return r * r * 3.14159; }
int map(int x) { switch (x) { case 0: return 17; case 1: return 6; case 2: return 99; case 3: return 1; case 4: return 7; } return 0; }
`,
});

hazard('data-section-moved: a first initial value', {
  base: `
int limit;
int over(int x) { return x > limit; }
void set(int x) { limit = x; }
`,
  next: `
int limit = 20;
//^^^ data-section-moved blocker
int over(int x) { return x > limit; }
void set(int x) { limit = x; }
`,
  check: ({ findings }) => assert.match(findings[0]!.message, /zeroed data \(\.bss\) to initialised data/),
});

hazard('data-section-moved: const added', {
  base: `
int table[3] = { 1, 2, 3 };
int at(int i) { return table[i]; }
`,
  next: `
const int table[3] = { 1, 2, 3 };
//^^^ data-section-moved review
int at(int i) { return table[i]; }
`,
  check: ({ findings }) => assert.match(findings[0]!.message, /became const/),
});

hazard('data-section-moved: const taken away', {
  base: `
const int table[3] = { 1, 2, 3 };
int at(int i) { return table[i]; }
`,
  next: `
int table[3] = { 1, 2, 3 };
//^^^ data-section-moved blocker
int at(int i) { return table[i]; }
`,
  check: ({ findings }) => assert.match(findings[0]!.message, /lost its const/),
});

hazard('data-section-moved: an initial value of zero, as before', {
  base: `
int limit;
int over(int x) { return x > limit; }
`,
  next: `
int limit = 0;
int over(int x) { return x >= limit; }
`,
});

hazard('data-align-changed: more', {
  base: `
char buffer[64];
char at(int i) { return buffer[i]; }
`,
  next: `
char buffer[64] __attribute__((aligned(128)));
//^^^ data-align-changed review
char at(int i) { return buffer[i]; }
`,
});

const VECTORS = (align: string, body = 'long v[4];') => `
struct vec { ${body} }${align};
struct vec *last;
void keep(struct vec *from, int n) { last[n] = *from; }
`;
const STRICT = '__attribute__((aligned(32)))';

hazard('data-align-changed: a type of the same size, told by DWARF 5', {
  base: VECTORS(''),
  next: VECTORS(` ${STRICT}`).replace('\nstruct vec *', '\n//^^^ data-align-changed review\nstruct vec *'),
  args: [...DEFAULT_ARGS, '-gdwarf-5'],
});

hazard('data-align-changed: not for a type that is less strict, nor for what it had by itself', {
  base: VECTORS(` ${STRICT}`),
  next: VECTORS(' __attribute__((aligned(8)))'),
  args: [...DEFAULT_ARGS, '-gdwarf-5'],
});

hazard('data-align-changed: near miss, an alignment that the type had by itself is written down', {
  base: VECTORS('', 'struct { char a; long b; } v[2];'),
  next: VECTORS(' __attribute__((aligned(8)))', 'struct { char a; long b; } v[2];'),
  args: [...DEFAULT_ARGS, '-gdwarf-5'],
});

hazard('data-align-changed: near miss, less', {
  base: `
char buffer[64] __attribute__((aligned(128)));
char at(int i) { return buffer[i]; }
`,
  next: `
char buffer[64];
char at(int i) { return buffer[i]; }
`,
});

hazard('tls-changed: a new thread-local variable', {
  base: `
int count(void) { return 1; }
`,
  next: `
__thread int calls;
//^^^ tls-changed blocker
int count(void) { return ++calls; }
`,
});

hazard('tls-changed: another initial value and another size', {
  base: `
__thread int calls = 1;
__thread char name[8];
int count(void) { return ++calls + name[0]; }
`,
  next: `
__thread int calls = 2;
//^^^ tls-changed blocker
__thread char name[16];
//^^^ tls-changed blocker
int count(void) { return ++calls + name[0]; }
`,
});

hazard('tls-changed: near miss, an existing one in changed code', {
  base: `
__thread int calls = 1;
int count(void) { return ++calls; }
`,
  next: `
__thread int calls = 1;
int count(void) { return calls += 2; }
`,
});

hazard('percpu-changed: a new per-cpu variable', {
  base: `
int size(void) { return 1; }
`,
  next: `
__attribute__((section(".data..percpu"))) int hits = 3;
//^^^ percpu-changed blocker
int size(void) { return hits++; }
`,
});

hazard('percpu-changed: near miss, an ordinary section of that kind of name', {
  base: `
int size(void) { return 1; }
`,
  next: `
__attribute__((section(".data.percentages"))) int hits = 3;
//^^^ new-global note
int size(void) { return hits++; }
`,
});

hazard('percpu-changed: near miss, a variable whose name begins so', {
  base: `
int size(void) { return 1; }
`,
  next: `
int percpu_hits;
//^^^ new-global note
int size(void) { return percpu_hits++; }
`,
});

hazard('new-global: a variable, not a constant, and not one that another unit defines', {
  base: `
int size(void) { return 1; }
`,
  next: `
extern int elsewhere;
static int hits;
//^^^ new-global note
const int weights[2] = { 4, 5 };
int size(void) { return hits++ + elsewhere + weights[hits & 1]; }
`,
});

hazard('symbol-scope-changed: static taken away', {
  base: `
extern int rnd(int);
static __attribute__((noinline)) int helper(int x) { return rnd(x) * 3; }
int run(int x) { return helper(x) + 1; }
`,
  next: `
extern int rnd(int);
__attribute__((noinline)) int helper(int x) { return rnd(x) * 3; }
//^^^ symbol-scope-changed review
int run(int x) { return helper(x) + 1; }
`,
});

hazard('symbol-scope-changed: data that becomes static, a function that becomes weak', {
  base: `
int hits;
int run(int x) { return x + hits++; }
`,
  next: `
static int hits;
//^^^ symbol-scope-changed review
__attribute__((weak)) int run(int x) { return x + hits++; }
//^^^ symbol-scope-changed review
`,
});

hazard('symbol-scope-changed: near miss, a new static function and a changed static one', {
  base: `
extern int rnd(int);
static __attribute__((noinline)) int helper(int x) { return rnd(x) * 3; }
int run(int x) { return helper(x) + 1; }
`,
  next: `
extern int rnd(int);
static __attribute__((noinline)) int other(int x) { return rnd(x) * 5; }
static __attribute__((noinline)) int helper(int x) { return rnd(x) * 4; }
int run(int x) { return helper(x) + other(x); }
`,
});

const level = (declaration: string, set: string, mark = ''): string => `
extern int rnd(int);
static ${declaration} = 100;${mark}
int over(int x) { return rnd(x) > limit; }
void set(int x) { ${set}rnd(x); }
`;
for (const [title, declaration] of [
  ['const added', 'const int limit'],
  ['and the last write taken away', 'int limit'],
] as const)
  hazard(`data-section-moved: a value that was set while it ran is a constant in the code: ${title}`, {
    base: level('int limit', 'limit = x; '),
    next: level(declaration, '', '\n//^^^ data-section-moved review'),
    check: ({ findings }) => assert.match(findings[0]!.message, /where over\(\) read it, .* What set\(\) stored/),
  });

hazard('data-section-moved: near miss, a variable that nobody wrote, and one that the source does not have any more', {
  base: `
extern int rnd(int);
static int limit = 100, start = 5;
int over(int x) { return rnd(x) > limit + start; }
void set(int x) { limit = x; }
int *where(void) { return 0; }
`,
  next: `
extern int rnd(int);
static const int start = 5;
int over(int x) { return rnd(x) > 70 + start; }
void set(int x) { rnd(x); }
int *where(void) { return 0; }
`,
});
