import assert from 'node:assert/strict';
import type { Comparison } from '../../../server/src/analyse.ts';
import { hazard } from '../../support/markers.ts';

// An edited constant that has a name: the old copy stays in the program. It takes effect where all code that uses it is in the patch.

const inPatch = (...names: string[]) =>
  function check({ diff }: Comparison): void {
    assert.deepEqual(diff.functions.map(({ name }) => name).sort(), names);
    for (const { reasons, lineOnly, changedLines } of diff.functions) {
      assert.ok(reasons.some(({ kind }) => kind === 'table'));
      assert.equal(lineOnly, false);
      assert.ok(changedLines.length > 0);
    }
  };

hazard('rodata-changed: not for a text that only functions of the unit print; they are in the patch for it', {
  base: `
int printf(const char *, ...);
static const char banner[] = "version 1";
__attribute__((noinline)) void hello(void) { printf("%s\\n", banner); }
void bye(void) { hello(); printf("bye %s\\n", banner); }
void other(void) { printf("other\\n"); }
`,
  next: `
int printf(const char *, ...);
static const char banner[] = "version 2";
__attribute__((noinline)) void hello(void) { printf("%s\\n", banner); }
void bye(void) { hello(); printf("bye %s\\n", banner); }
void other(void) { printf("other\\n"); }
`,
  check: inPatch('bye', 'hello'),
});

hazard('data-size-changed: not for a longer text of the unit alone', {
  base: `
int puts(const char *);
static const char usage[] = "usage: prog file";
void help(void) { puts(usage); }
`,
  next: `
int puts(const char *);
static const char usage[] = "usage: prog [-v] file";
void help(void) { puts(usage); }
`,
  check: inPatch('help'),
});

hazard('rodata-changed: a pointer in data that is not rebuilt keeps the old text', {
  base: `
static const char banner[] = "version 1";
const char *const names[] = { banner, "b" };
const char *name(int i) { return names[i]; }
const char *first(void) { return banner; }
`,
  next: `
static const char banner[] = "version 2";
//^^^ rodata-changed blocker
const char *const names[] = { banner, "b" };
const char *name(int i) { return names[i]; }
const char *first(void) { return banner; }
`,
  check: ({ findings, diff }) => {
    assert.deepEqual(findings[0]?.evidence.keeps, ['a pointer in names']);
    assert.deepEqual(diff.functions, []);
  },
});

hazard('rodata-changed: a text whose address is compared stands for itself', {
  base: `
static const char none[] = "none 1";
extern const char *name;
int is_none(void) { return name == none; }
void reset(void) { name = none; }
`,
  next: `
static const char none[] = "none 2";
//^^^ rodata-changed blocker
extern const char *name;
int is_none(void) { return name == none; }
void reset(void) { name = none; }
`,
  check: ({ findings }) => assert.deepEqual(findings[0]?.evidence.keeps, ['is_none(), which compares its address']),
});

hazard('rodata-changed: a table that is read by index, in a loop and at a fixed place, comes along', {
  base: `
static const struct { int from, to; } map[] = { { 1, 2 }, { 3, 4 }, { 5, 6 }, { 7, 8 }, { 9, 10 } };
int lookup(int x) {
  for (unsigned i = 0; i < sizeof map / sizeof *map; i++)
    if (map[i].from == x) return map[i].to;
  return -1;
}
int at(unsigned i) { return map[i % 5].to; }
`,
  next: `
static const struct { int from, to; } map[] = { { 1, 2 }, { 3, 5 }, { 5, 6 }, { 7, 8 }, { 9, 10 } };
//^^^ rodata-changed note
int lookup(int x) {
  for (unsigned i = 0; i < sizeof map / sizeof *map; i++)
    if (map[i].from == x) return map[i].to;
  return -1;
}
int at(unsigned i) { return map[i % 5].to; }
`,
});

hazard('rodata-changed: a table of functions whose address is stored stays with those who have it', {
  base: `
struct ops { int (*run)(int); };
struct dev { const struct ops *ops; };
static int one(int x) { return x + 1; }
int two(int x) { return x + 2; }
static const struct ops the_ops = { one };
void init(struct dev *d) { d->ops = &the_ops; }
`,
  next: `
struct ops { int (*run)(int); };
struct dev { const struct ops *ops; };
static int one(int x) { return x + 1; }
int two(int x) { return x + 2; }
static const struct ops the_ops = { two };
//^^^ rodata-changed blocker
void init(struct dev *d) { d->ops = &the_ops; }
`,
  ignore: ['function-removed'],
  check: ({ findings }) =>
    assert.deepEqual(findings.find(({ code }) => code === 'rodata-changed')?.evidence.keeps, [
      'init(), which stores its address',
    ]),
});

hazard('rodata-changed: a table that is handed to a function asks for a look', {
  base: `
struct option { const char *name; int value; };
int parse(int argc, char **argv, const struct option *list);
static const struct option list[] = { { "a", 1 }, { "b", 2 }, { 0, 0 } };
int options(int argc, char **argv) { return parse(argc, argv, list) + 1; }
`,
  next: `
struct option { const char *name; int value; };
int parse(int argc, char **argv, const struct option *list);
static const struct option list[] = { { "a", 1 }, { "b", 3 }, { 0, 0 } };
//^^^ rodata-changed review
int options(int argc, char **argv) { return parse(argc, argv, list) + 1; }
`,
  check: (comparison) => {
    assert.deepEqual(comparison.findings[0]?.evidence.handsOn, ['options() passes its address to parse()']);
    inPatch('options')(comparison);
  },
});

hazard('rodata-changed: a table that is returned asks for a look', {
  base: `
struct limits { int low, high; };
static const struct limits usual = { 1, 10 }, wide = { 0, 100 };
const struct limits *limits_of(int w) { return w ? &wide : &usual; }
`,
  next: `
struct limits { int low, high; };
static const struct limits usual = { 1, 11 }, wide = { 0, 100 };
//^^^ rodata-changed review
const struct limits *limits_of(int w) { return w ? &wide : &usual; }
`,
  check: ({ findings }) => assert.deepEqual(findings[0]?.evidence.handsOn, ['limits_of() returns its address']),
});

hazard('rodata-changed: what start-up code made of it stays', {
  base: `
static const int primes[] = { 2, 3, 5, 7 };
int total;
__attribute__((section(".init.text"))) void sum(int n) { total += primes[n & 3]; }
`,
  next: `
static const int primes[] = { 2, 3, 5, 9 };
//^^^ rodata-changed blocker
int total;
__attribute__((section(".init.text"))) void sum(int n) { total += primes[n & 3]; }
`,
  target: 'xen',
  ignore: ['init-code-changed', 'config-unsupported'],
});

hazard('rodata-changed: a constant that nobody refers to is told as that', {
  base: `
__attribute__((used)) static const char id[] = "$Id: 1 $";
int f(void) { return 1; }
`,
  next: `
__attribute__((used)) static const char id[] = "$Id: 2 $";
//^^^ rodata-changed note
int f(void) { return 1; }
`,
});

hazard('rodata-changed: a constant that other units can see waits for them', {
  base: `
const char version[] = "one";
int puts(const char *);
void show(void) { puts(version); }
`,
  next: `
const char version[] = "two";
//^^^ rodata-changed blocker
int puts(const char *);
void show(void) { puts(version); }
`,
  check: (comparison) => {
    assert.equal(comparison.findings[0]?.evidence.seenByOthers, true);
    inPatch('show')(comparison);
  },
});

hazard('rodata-changed: near miss, a changed text and other line numbers are not line numbers only', {
  base: `
void fail(int line);
static const char banner[] = "version 1";
int puts(const char *);
void f(void) { puts(banner); fail(__LINE__); }
void g(void) { fail(__LINE__); }
`,
  next: `
void fail(int line);

static const char banner[] = "version 2";
int puts(const char *);
void f(void) { puts(banner); fail(__LINE__); }
void g(void) { fail(__LINE__); }
`,
  ignore: ['line-only-change'],
  check: ({ diff }) => {
    assert.equal(diff.functions.find(({ name }) => name === 'f')?.lineOnly, false);
  },
});

hazard('static-local-resized: not for a constant of a function, which comes along with it', {
  base: `
int puts(const char *);
void help(void) { static const char usage[] = "usage: prog file"; puts(usage); }
void bye(void) { puts("bye"); }
`,
  next: `
int puts(const char *);
void help(void) { static const char usage[] = "usage: prog [-v] file"; puts(usage); }
void bye(void) { puts("bye"); }
`,
  check: ({ diff }) =>
    assert.deepEqual(
      diff.functions.map(({ name }) => name),
      ['help'],
    ),
});

hazard('static-local-resized: a constant of a function whose address it keeps', {
  base: `
struct table { int a, b; };
const struct table *kept;
void keep(void) { static const struct table rows[2] = { { 1, 2 }, { 3, 4 } }; kept = rows; }
`,
  next: `
struct table { int a, b; };
const struct table *kept;
void keep(void) { static const struct table rows[3] = { { 1, 2 }, { 3, 4 }, { 5, 6 } }; kept = rows; }
//^^^ static-local-resized blocker
`,
});

const spilled = (value: number): string => `
extern int ask(int, int, int, int);
extern void tell(const char *, ...);
static const int table[] = { 3, 1, 4, ${value}, 5 };${value === 2 ? '\n//^^^ rodata-changed note' : ''}
int walk(int a, int b, int c, int d, int e, int f) {
  int sum = 0;
  for (const int *p = table; p < table + 5; p++) {
    int x = ask(a, b, *p, d), y = ask(b, c, e, x), z = ask(x, y, f, a), w = ask(a + x, b + y, c + z, d);
    sum += ask(x, y, z, w) + ask(a, b, c, d) * e + f * ask(e, f, w, z) + x * y;
    tell("", a + b, c + d, e + f);
  }
  return sum;
}
`;
hazard('rodata-changed: a pointer that is saved on the stack in between is no copy of its address', {
  base: spilled(1),
  next: spilled(2),
  // gcc 11 uses one place on the stack for two values here, which the walk does not tell apart: it asks for a look.
  compilers: ['gcc-12', 'clang-14', 'clang-16'],
});

hazard('rodata-changed: a table in a variable on the stack whose address is passed', {
  base: `
struct options { const int *list; int count; };
extern int parse(struct options *);
static const int list[] = { 3, 1, 4, 1, 5 };
int run(int n) { struct options o = { list, n }; return parse(&o) + 1; }
`,
  next: `
struct options { const int *list; int count; };
extern int parse(struct options *);
static const int list[] = { 3, 1, 4, 2, 5 };
//^^^ rodata-changed review
int run(int n) { struct options o = { list, n }; return parse(&o) + 1; }
`,
  check: ({ findings }) =>
    assert.deepEqual(findings[0]?.evidence.handsOn, ['run() puts its address into a variable on the stack']),
});

const byFrameRegister = (run: string, mark = ''): string => `
struct ops { int (*run)(int); };
struct dev { long id; const struct ops *ops; };
int one(int x) { return x * 3 + 1; }
int two(int x) { return x * 5 + 2; }
static const struct ops the_ops = { ${run} };${mark}
void init(struct dev *x) {
  register struct dev *d __asm__("rbp") = x;
  __asm__ volatile("" : "+r"(d));
  d->ops = &the_ops;
}
`;
hazard('rodata-changed: near miss, rbp leads to an object and not to the stack', {
  base: byFrameRegister('one'),
  next: byFrameRegister('two', '\n//^^^ rodata-changed blocker'),
  compilers: ['gcc-11', 'gcc-12'],
  check: ({ findings }) => assert.deepEqual(findings[0]?.evidence.keeps, ['init(), which stores its address']),
});

const boxes = (type: string, contents: string, mark = ''): string => `
static const ${type} = ${contents};${mark}
unsigned enc(unsigned i) { return box[i & 15]; }
`;
for (const [title, type] of [
  ['unsigned char', 'unsigned char box[16]'],
  ['char', 'char box[16]'],
  ['unsigned short', 'unsigned short box[16]'],
] as const)
  hazard(`rodata-changed: a table of numbers in ${title} is no text`, {
    base: boxes(type, '{ 12, 5, 6, 11, 9, 0, 10, 13, 3, 14, 15, 8, 4, 7, 1, 2 }'),
    next: boxes(type, '{ 12, 5, 6, 11, 0, 9, 10, 13, 3, 14, 15, 8, 4, 7, 1, 2 }', '\n//^^^ rodata-changed note'),
    check: inPatch('enc'),
  });

hazard('rodata-changed: near miss, text in unsigned char, in UTF-8, and in rows is text', {
  base: `
static const unsigned char one[] = "version 1\\r\\n";
static const char two[] = "größe 1";
static const char three[2][8] = { "on", "off" };
unsigned get(unsigned i) { return one[i & 7] + two[i & 7] + three[i & 1][0]; }
`,
  next: `
static const unsigned char one[] = "version 2\\r\\n";
static const char two[] = "größe 2";
static const char three[2][8] = { "on", "out" };
unsigned get(unsigned i) { return one[i & 7] + two[i & 7] + three[i & 1][0]; }
`,
  check: inPatch('get'),
});
