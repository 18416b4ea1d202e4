/** Pairs of C sources and what the comparison has to say about them. */
export interface Case {
  readonly name: string;
  readonly base: string;
  readonly next: string;
  /** `name status ...` of every change of a function or data object, sorted; see `summary`. Numbers of clones and statics are left out. */
  readonly changes: readonly string[];
  /** Kinds of reasons that a function must have, by name. */
  readonly reasons?: Readonly<Record<string, readonly string[]>>;
  /** Names of the configurations to leave out, with the reason in a comment at the case. */
  readonly not?: readonly string[];
  readonly extra?: readonly string[];
}

const NOINLINE = '__attribute__((noinline))';
const DECLS = 'int puts(const char *); int printf(const char *, ...); int ext(int); int ext2(int); void use(void *);\n';

/** Optimising configurations only: at -O0 nothing is inlined or turned into a table. */
const O0 = ['gcc -O0'];

export const CASES: readonly Case[] = [
  {
    name: 'a comment at the top of the file',
    base: 'int f(int a) { return a * 3 + 1; }\nint g(int a) { return f(a) + 2; }\n',
    next: '/* new */\n\n// more\nint f(int a) { return a * 3 + 1; }\nint g(int a) { return f(a) + 2; }\n',
    changes: [],
  },
  {
    name: 'white space and line breaks inside of functions',
    base: 'int f(int a) { if (a > 3) return a * 3 + 1; return 0; }\n',
    next: 'int\nf(int a)\n{\n  if (a > 3)\n    return a * 3 + 1;\n\n  return 0;\n}\n',
    changes: [],
  },
  {
    name: 'functions in another order',
    base: `static int ${NOINLINE} a(int x) { return x * 7; }\nstatic int ${NOINLINE} b(int x) { return x * 9 - 1; }\nint m(int x) { return a(x) + b(x); }\n`,
    next: `static int b(int x);\nstatic int ${NOINLINE} b(int x) { return x * 9 - 1; }\nstatic int ${NOINLINE} a(int x) { return x * 7; }\nint m(int x) { return a(x) + b(x); }\n`,
    changes: [],
  },
  {
    name: 'variables in another order',
    base: `${DECLS}static int first = 1; static int second = 2; static int z1, z2;\nvoid f(void) { use(&first); use(&second); use(&z1); use(&z2); }\nint g(void) { return first + second + z2; }\n`,
    next: `${DECLS}static int second = 2; static int z2; static int first = 1; static int z1;\nvoid f(void) { use(&first); use(&second); use(&z1); use(&z2); }\nint g(void) { return first + second + z2; }\n`,
    changes: [],
  },
  {
    name: 'a constant',
    base: 'int f(int a) { return a * 3 + 1; }\nint g(int a) { return a - 1; }\n',
    next: 'int f(int a) { return a * 3 + 200; }\nint g(int a) { return a - 1; }\n',
    changes: ['f changed'],
    reasons: { f: ['own-edit'] },
  },
  {
    name: 'a constant in an immediate',
    base: `${DECLS}int f(void) { return ext(1000); }\n`,
    next: `${DECLS}int f(void) { return ext(1001); }\n`,
    changes: ['f changed'],
    reasons: { f: ['own-edit', 'constant'] },
  },
  {
    name: 'another external callee',
    base: `${DECLS}int f(int x) { return ext(x) + 1; }\n`,
    next: `${DECLS}int f(int x) { return ext2(x) + 1; }\n`,
    changes: ['f changed'],
    reasons: { f: ['own-edit', 'callee'] },
  },
  {
    name: 'another static callee of the same size',
    base: `static int ${NOINLINE} a(int x) { return x * 7; }\nstatic int ${NOINLINE} b(int x) { return x * 7 + 0; }\nint m(int x) { return a(x) + 1; }\nint n(int x) { return a(x) + b(x); }\n`,
    next: `static int ${NOINLINE} a(int x) { return x * 7; }\nstatic int ${NOINLINE} b(int x) { return x * 7 + 0; }\nint m(int x) { return b(x) + 1; }\nint n(int x) { return a(x) + b(x); }\n`,
    changes: ['m changed'],
    reasons: { m: ['callee'] },
    extra: ['-fno-ipa-icf'],
    // clang has no such option, and merges nothing here.
    not: ['clang -O2', 'clang -Os plain', 'clang-16 -O2'],
  },
  {
    name: 'callees that trade places while the call keeps its bytes',
    base: `static int ${NOINLINE} a(int x) { return x * 7; }\nstatic int ${NOINLINE} b(int x) { return x * 9; }\nint m(int x) { return a(x) + 1; }\nint n(int x) { return a(x) + b(x); }\n`,
    next: `static int ${NOINLINE} b(int x) { return x * 9; }\nstatic int ${NOINLINE} a(int x) { return x * 7; }\nint m(int x) { return b(x) + 1; }\nint n(int x) { return a(x) + b(x); }\n`,
    changes: ['m changed'],
    reasons: { m: ['callee'] },
  },
  {
    name: 'a string literal',
    base: `${DECLS}void f(void) { puts("hello"); }\nvoid g(void) { puts("world"); }\n`,
    next: `${DECLS}void f(void) { puts("hellO"); }\nvoid g(void) { puts("world"); }\n`,
    changes: ['f changed'],
    reasons: { f: ['own-edit', 'string'] },
  },
  {
    name: 'a new string before the others',
    base: `${DECLS}void f(void) { puts("b text"); }\nvoid g(void) { puts("c text"); puts("d text"); }\n`,
    next: `${DECLS}void n(void) { puts("a text"); }\nvoid f(void) { puts("b text"); }\nvoid g(void) { puts("c text"); puts("d text"); }\n`,
    changes: ['n new'],
  },
  {
    name: 'long strings and wide strings',
    base: `${DECLS}void f(void) { puts("a text that is long enough to be put into the section of aligned strings by gcc"); use(L"wide"); }\nvoid g(void) { use(L"other"); }\n`,
    next: `${DECLS}void f(void) { puts("a text that is long enough to be put into the section of aligned strings by gcc"); use(L"wide"); }\nvoid g(void) { use(L"othes"); }\n`,
    changes: ['g changed'],
    // clang gives wide strings no kind of their own: they are constants of the function all the same.
  },
  {
    name: 'a changed function that is inlined into its callers',
    base: `static inline int c(int v) { return v > 100 ? 100 : v; }\nint a(int x) { return c(x) + 1; }\nint b(int x) { return c(x * 2); }\nint z(int x) { return x; }\n`,
    next: `static inline int c(int v) { return v > 90 ? 90 : v; }\nint a(int x) { return c(x) + 1; }\nint b(int x) { return c(x * 2); }\nint z(int x) { return x; }\n`,
    changes: ['a changed', 'b changed'],
    reasons: { a: ['inlined-callee'], b: ['inlined-callee'] },
    not: O0,
  },
  {
    name: 'a changed callee with code of its own',
    base: `static int ${NOINLINE} c(int v) { return v > 100 ? 100 : v * 3; }\nint a(int x) { return c(x) + 1; }\nint b(int x) { return c(x * 2); }\n`,
    next: `static int ${NOINLINE} c(int v) { return v > 90 ? 90 : v * 3; }\nint a(int x) { return c(x) + 1; }\nint b(int x) { return c(x * 2); }\n`,
    changes: ['c changed'],
  },
  {
    name: 'a function that grows and moves everything behind it',
    base: `${DECLS}static int ${NOINLINE} h(int v) { puts("none"); return v + 1; }\nint a(int x) { return h(x) + 1; }\nint b(int x) { while (x > 0) x = h(x) - 2; return x; }\nint c(int x) { return b(x) + a(x); }\n`,
    next: `${DECLS}static int ${NOINLINE} h(int v) { puts("one"); puts("two"); puts("three"); return v + 1; }\nint a(int x) { return h(x) + 1; }\nint b(int x) { while (x > 0) x = h(x) - 2; return x; }\nint c(int x) { return b(x) + a(x); }\n`,
    changes: ['h changed'],
    // It makes calls on both sides: gcc lays out a caller's stack otherwise for a callee that makes none.
  },
  {
    name: 'the value of a variable',
    base: 'int limit = 10; static int step = 3;\nint f(int i) { step += i; return i < limit ? step : 0; }\n',
    next: 'int limit = 20; static int step = 3;\nint f(int i) { step += i; return i < limit ? step : 0; }\n',
    changes: ['limit changed contents'],
  },
  {
    name: 'an entry of a constant table',
    base: 'static const int t[4] = {1, 2, 3, 4};\nint f(int i) { return t[i & 3]; }\n',
    next: 'static const int t[4] = {1, 2, 3, 5};\nint f(int i) { return t[i & 3]; }\n',
    // The code is the same: it is in the patch because that brings the new table along.
    changes: ['f changed', 't changed contents'],
    reasons: { f: ['table'] },
    // clang puts such a table into a section of constants that are merged by content: it then belongs to the function, too.
    not: ['clang -O2', 'clang -Os plain', 'clang-16 -O2'],
  },
  {
    name: 'a function pointer in a table',
    base: 'int a(void) { return 1; }\nint b(void) { return 2; }\nstruct o { int (*x)(void); int (*y)(void); };\nconst struct o ops = {a, b};\n',
    next: 'int a(void) { return 1; }\nint b(void) { return 2; }\nstruct o { int (*x)(void); int (*y)(void); };\nconst struct o ops = {a, a};\n',
    changes: ['ops changed references'],
  },
  {
    name: 'a string that a table points to',
    base: `const char *names[] = {"alpha", "beta"};\nconst char *f(int i) { return names[i & 1]; }\n`,
    next: `const char *names[] = {"alpha", "gamma"};\nconst char *f(int i) { return names[i & 1]; }\n`,
    changes: ['names changed references'],
  },
  {
    name: 'a variable that gets an initial value',
    base: 'int c;\nint f(void) { return c++; }\n',
    next: 'int c = 5;\nint f(void) { return c++; }\n',
    changes: ['c changed contents section'],
  },
  {
    name: 'an array that grows',
    base: 'int t[4]; int after = 1;\nint f(int i) { return t[i & 3]; }\nint g(void) { return after++; }\n',
    next: 'int t[8]; int after = 1;\nint f(int i) { return t[i & 3]; }\nint g(void) { return after++; }\n',
    changes: ['t changed size'],
  },
  {
    name: 'a variable with more alignment',
    base: 'int c = 1;\nint f(void) { return c++; }\n',
    next: 'int c __attribute__((aligned(64))) = 1;\nint f(void) { return c++; }\n',
    changes: ['c changed align'],
    // Without a section of its own the alignment of a variable is not in the object.
    not: ['gcc -O2 plain', 'gcc -O0', 'clang -Os plain'],
  },
  {
    name: 'a static function that becomes global',
    base: `static int ${NOINLINE} h(int a) { return a * 3; }\nint f(int a) { return h(a) + 1; }\n`,
    next: `int ${NOINLINE} h(int a) { return a * 3; }\nint f(int a) { return h(a) + 1; }\n`,
    changes: [],
    // With -fcf-protection a global function begins with endbr64: its code does change.
    not: ['gcc kernel', 'gcc hardened'],
  },
  {
    name: 'a global variable that becomes static',
    base: `${DECLS}int v = 3;\nint f(int a) { use(&v); return v + a; }\n`,
    next: `${DECLS}static int v = 3;\nint f(int a) { use(&v); return v + a; }\n`,
    changes: ['v changed scope'],
  },
  {
    name: 'a new static local',
    base: 'int f(void) { return 1; }\nint g(void) { static int n; return ++n; }\n',
    next: 'int f(void) { static int n; return ++n; }\nint g(void) { static int n; return ++n; }\n',
    changes: ['f changed', 'n new'],
  },
  {
    name: 'a static local less',
    base: 'int f(void) { static int n; return ++n; }\nint g(void) { static int n; return ++n; }\n',
    next: 'int f(void) { return 1; }\nint g(void) { static int n; return ++n; }\n',
    changes: ['f changed', 'n removed'],
  },
  {
    name: 'a static local with another size',
    base: 'int f(int i) { static int n[4]; return ++n[i & 3]; }\nint g(int i) { static int n[4]; return ++n[i & 3]; }\n',
    next: 'int f(int i) { static int n[4]; return ++n[i & 3]; }\nint g(int i) { static int n[8]; return ++n[i & 7]; }\n',
    changes: ['g changed', 'n changed size'],
    // In one section the end of the one is the start of the other: what refers to the other is then reported, too.
    not: ['gcc -O2 plain'],
  },
  {
    name: 'static locals that the compiler renumbers',
    base: 'int a(void) { static int n; return ++n; }\nint f(void) { static int n = 3; return n += 2; }\n',
    next: 'int z(void) { static int n = 9; return n += 7; }\nint a(void) { static int n; return ++n; }\nint f(void) { static int n = 3; return n += 2; }\n',
    changes: ['n new', 'z new'],
  },
  {
    name: 'static locals of one name whose functions trade places',
    base: 'int a(void) { static int n = 1; return ++n; }\nint f(void) { static int n = 1; return n += 2; }\n',
    next: 'int f(void) { static int n = 1; return n += 2; }\nint a(void) { static int n = 1; return ++n; }\n',
    changes: [],
  },
  {
    name: 'names of functions as constants, renumbered',
    base: `${DECLS}void f(int a) { printf("%s %d", __func__, a); }\nvoid g(int a) { printf("%s %d", __func__, a + 1); }\n`,
    next: `${DECLS}void n(int a) { printf("%s %d!", __func__, a); }\nvoid f(int a) { printf("%s %d", __func__, a); }\nvoid g(int a) { printf("%s %d", __func__, a + 1); }\n`,
    changes: ['n new'],
  },
  {
    name: 'tables that the compiler made of switches, renumbered',
    base: 'int f(int x) { switch (x) { case 1: return 34; case 2: return 67; case 3: return 12; case 4: return 99; case 5: return 3; } return 0; }\nint g(int x) { switch (x) { case 1: return 4; case 2: return 7; case 3: return 1; case 4: return 9; case 5: return 3; } return 0; }\n',
    next: 'int n(int x) { switch (x) { case 1: return 3; case 2: return 6; case 3: return 12; case 4: return 9; case 5: return 31; } return 0; }\nint f(int x) { switch (x) { case 1: return 34; case 2: return 67; case 3: return 12; case 4: return 99; case 5: return 3; } return 0; }\nint g(int x) { switch (x) { case 1: return 4; case 2: return 7; case 3: return 1; case 4: return 9; case 5: return 3; } return 0; }\n',
    changes: ['n new'],
  },
  {
    name: 'one value in such a table',
    base: 'int f(int x) { switch (x) { case 1: return 34; case 2: return 67; case 3: return 12; case 4: return 99; case 5: return 3; } return 0; }\nint g(int x) { switch (x) { case 1: return 4; case 2: return 7; case 3: return 1; case 4: return 9; case 5: return 3; } return 0; }\n',
    next: 'int f(int x) { switch (x) { case 1: return 34; case 2: return 67; case 3: return 13; case 4: return 99; case 5: return 3; } return 0; }\nint g(int x) { switch (x) { case 1: return 4; case 2: return 7; case 3: return 1; case 4: return 9; case 5: return 3; } return 0; }\n',
    changes: ['f changed'],
  },
  {
    name: 'jump tables: one arm of one switch',
    base: switches('puts("three")', 'case 2', 'case 4'),
    next: switches('puts("drei")', 'case 2', 'case 4'),
    changes: ['f changed'],
  },
  {
    name: 'jump tables: two labels trade places and the code does not change',
    base: switches('puts("three")', 'case 2', 'case 4'),
    next: switches('puts("three")', 'case 4', 'case 2'),
    changes: ['f changed'],
  },
  {
    name: 'a floating point constant',
    base: 'double f(double x) { return x * 3.25 + 1.5; }\ndouble g(double x) { return x * 7.5; }\nfloat h(float x) { return x + 0.1f; }\n',
    next: 'double f(double x) { return x * 3.25 + 1.75; }\ndouble g(double x) { return x * 7.5; }\nfloat h(float x) { return x + 0.1f; }\n',
    changes: ['f changed'],
    reasons: { f: ['constant'] },
  },
  {
    name: 'the initial value of an automatic array',
    base: `${DECLS}void f(void) { int a[8] = {1, 2, 3, 4, 5, 6, 7, 8}; use(a); }\nvoid g(void) { int a[8] = {8, 7, 6, 5, 4, 3, 2, 1}; use(a); }\n`,
    next: `${DECLS}void f(void) { int a[8] = {1, 2, 3, 4, 5, 6, 7, 8}; use(a); }\nvoid g(void) { int a[8] = {8, 7, 6, 5, 4, 3, 2, 0}; use(a); }\n`,
    changes: ['g changed'],
  },
  {
    name: 'compound literals at file scope',
    base: `struct p { int x, y; }; struct p *one = &(struct p){1, 2}; struct p *two = &(struct p){3, 4};\nint f(void) { return one->x + two->y; }\n`,
    next: `struct p { int x, y; }; struct p *two = &(struct p){3, 4}; struct p *one = &(struct p){1, 2};\nint f(void) { return one->x + two->y; }\n`,
    changes: [],
  },
  {
    name: 'thread-local variables',
    base: '__thread int t; static __thread int s = 4;\nint f(void) { return t++ + s++; }\nint g(void) { return s; }\n',
    next: '__thread int t; __thread int u; static __thread int s = 5;\nint f(void) { return t++ + s++ + u; }\nint g(void) { return s; }\n',
    changes: ['f changed', 's changed contents', 'u new'],
  },
  {
    name: 'common symbols',
    base: 'int shared[4]; int other;\nint f(int i) { return shared[i & 3] + other; }\n',
    next: 'int shared[8]; int other;\nint f(int i) { return shared[i & 3] + other; }\n',
    changes: ['shared changed size'],
    extra: ['-fcommon'],
  },
  {
    name: 'a weak function and aliases',
    base: `${DECLS}int area(int x) { return ext(x) + 1; }\nint other(int) __attribute__((alias("area")));\nint soft(int) __attribute__((weak, alias("area")));\n__attribute__((weak)) int w(int x) { return x * 5; }\nint m(int x) { return soft(x) + w(x) + other(x); }\n`,
    next: `${DECLS}int area(int x) { return ext(x) + 2000; }\nint other(int) __attribute__((alias("area")));\nint soft(int) __attribute__((weak, alias("area")));\n__attribute__((weak)) int w(int x) { return x * 50; }\nint m(int x) { return soft(x) + w(x) + other(x); }\n`,
    changes: ['area changed', 'w changed'],
    // Calls of an alias of a function in the unit may be inlined or made direct; what matters is that the caller did not change.
    extra: ['-fno-inline'],
  },
  {
    name: 'an alias that leads to another function',
    base: `int one(int x) { return x + 1; }\nint two(int x) { return x + 2; }\nint pick(int) __attribute__((alias("one")));\n`,
    next: `int one(int x) { return x + 1; }\nint two(int x) { return x + 2; }\nint pick(int) __attribute__((alias("two")));\n`,
    changes: ['pick changed'],
  },
  {
    name: 'an indirect function',
    base: 'static int fast(int x) { return x * 4; }\nstatic int slow(int x) { return x * 3 + x; }\nstatic void *pick(void) { return (void *)(__builtin_cpu_supports("avx2") ? fast : slow); }\nint work(int) __attribute__((ifunc("pick")));\nint m(int x) { return work(x); }\n',
    next: 'static int fast(int x) { return x * 4; }\nstatic int slow(int x) { return x * 3 + x; }\nstatic void *pick(void) { return (void *)(__builtin_cpu_supports("sse4.2") ? fast : slow); }\nint work(int) __attribute__((ifunc("pick")));\nint m(int x) { return work(x); }\n',
    changes: ['work changed'],
  },
  {
    name: 'new and removed functions',
    base: 'int a(int x) { return x * 3; }\nint b(int x) { return x * 5; }\n',
    next: 'int b(int x) { return x * 5; }\nint c(int x) { return x * 7; }\n',
    changes: ['a removed', 'c new'],
  },
  {
    name: 'a pointer behind the end of an array that grows',
    base: `static int a[4]; static int b[4];\nint sum(void) { int s = 0; for (int *p = a; p < a + 4; p++) s += *p; return s; }\nvoid set(int i, int v) { a[i] = v; b[i] = v; }\nint get(int i) { return b[i]; }\n`,
    next: `static int a[8]; static int b[4];\nint sum(void) { int s = 0; for (int *p = a; p < a + 8; p++) s += *p; return s; }\nvoid set(int i, int v) { a[i] = v; b[i] = v; }\nint get(int i) { return b[i]; }\n`,
    changes: ['a changed size', 'sum changed'],
    // In one section "behind a" and "at b" are one place: other functions may be reported, too, rather than this one missed.
    not: ['gcc ubsan', 'gcc -O2 plain', 'gcc -O0', 'clang -Os plain'],
  },
  {
    name: 'a loop that calls itself and its neighbour',
    base: `${DECLS}int walk(int d) { if (d > 10) return ext(d); return walk(d + 1) * 2 + walk(d + 3); }\nint top(void) { return walk(0); }\n`,
    next: `${DECLS}int early(int d) { return ext(d) + ext(d + 1); }\nint walk(int d) { if (d > 10) return ext(d); return walk(d + 1) * 2 + walk(d + 3); }\nint top(void) { return walk(0); }\n`,
    changes: ['early new'],
  },
  {
    name: 'addresses of labels',
    base: 'int f(int x) { static const void *const t[] = {&&a, &&b, &&c}; goto *t[x]; a: return 5; b: return 60; c: return 700; }\nint g(int x) { return x; }\n',
    next: 'int n(int x) { return x + 1; }\nint f(int x) { static const void *const t[] = {&&a, &&b, &&c}; goto *t[x]; a: return 5; b: return 60; c: return 700; }\nint g(int x) { return x; }\n',
    changes: ['n new'],
  },
  {
    name: 'references through the global offset table',
    base: `${DECLS}extern int shared, shared2; int own;\nint f(void) { own++; return shared + ext(own); }\nint g(void) { return shared2; }\n`,
    next: `${DECLS}extern int shared, shared2; int own;\nint f(void) { own++; return shared + ext(own); }\nint g(void) { return shared; }\n`,
    changes: ['g changed'],
    reasons: { g: ['data'] },
    extra: ['-fPIC'],
    // The kernel code model excludes -fPIC.
    not: ['gcc kernel'],
  },
  {
    name: 'absolute references',
    base: `${DECLS}static int t[16]; static const char *const names[] = {"a1", "b2", "c3"};\nint f(int i) { puts(names[i]); return t[i]++; }\nvoid g(void) { use(t); puts("lone"); }\n`,
    next: `${DECLS}static int before[5]; static int t[16]; static const char *const names[] = {"a1", "b2", "c3"};\nint n(int i) { use(before); puts("fresh"); return 0; }\nint f(int i) { puts(names[i]); return t[i]++; }\nvoid g(void) { use(t); puts("lone"); }\n`,
    changes: ['before new', 'n new'],
    extra: ['-fno-pie', '-fno-pic'],
  },
  {
    name: 'code in a section of its own',
    base: 'int x;\nvoid __attribute__((section(".init.text"))) setup(void) { x = 1; }\nvoid __attribute__((section(".init.text"))) other(void) { x = 7; }\n',
    next: 'int x;\nvoid __attribute__((section(".init.text"))) setup(void) { x = 2000; }\nvoid __attribute__((section(".init.text"))) other(void) { x = 7; }\n',
    changes: ['setup changed'],
  },
  {
    name: 'functions written in assembly',
    base: 'asm(".pushsection .text.raw,\\"ax\\"\\n.globl raw\\n.type raw,@function\\nraw: mov $1,%eax\\nret\\n.size raw,.-raw\\n.globl raw2\\nraw2: mov $5,%eax\\nret\\n.popsection");\nint raw(void); int f(void) { return raw(); }\n',
    next: 'asm(".pushsection .text.raw,\\"ax\\"\\n.globl raw\\n.type raw,@function\\nraw: mov $1,%eax\\nret\\n.size raw,.-raw\\n.globl raw2\\nraw2: mov $6,%eax\\nret\\n.popsection");\nint raw(void); int f(void) { return raw(); }\n',
    changes: ['raw2 changed'],
  },
];

function switches(arm: string, first: string, second: string): string {
  const body = (calls: string[]) => `switch (x) { ${calls.join(' ')} } return 0; }`;
  return `${DECLS}int e(int x) { ${body([
    'case 0: puts("zero"); break;',
    'case 1: return ext(7);',
    'case 2: puts("two"); return 2;',
    'case 3: return ext2(9);',
    'case 4: puts("four"); break;',
    'case 5: return ext(ext2(x));',
  ])}\nint f(int x) { ${body([
    'case 0: puts("null"); break;',
    'case 1: return ext(8);',
    `${first}: puts("a"); return 2;`,
    `case 3: ${arm}; return 9;`,
    `${second}: puts("b"); break;`,
    'case 5: return ext2(ext(x));',
  ])}\nint g(int x) { ${body([
    'case 0: puts("nought"); break;',
    'case 1: return ext(5);',
    'case 2: puts("pair"); return 2;',
    'case 3: return ext2(8);',
    'case 4: puts("quad"); break;',
    'case 5: return ext(ext2(x + 1));',
  ])}\n`;
}
