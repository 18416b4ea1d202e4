import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CompileOptions } from '../../support/cc.ts';
import { diffSources, editsBetween, summary } from './support.ts';

/** Reasons as `kind detail`, by function. */
async function reasons(base: string, next: string, options: CompileOptions = {}, withEdits = true) {
  const diff = await diffSources(base, next, options, withEdits ? editsBetween(base, next) : undefined);
  return Object.fromEntries(
    diff.functions.map((one) => [one.name, one.reasons.map((reason) => `${reason.kind} ${reason.detail}`.trim())]),
  );
}

const DECLS = 'int ext(int); int ext2(int); void use(void *); int puts(const char *);\n';

test('own edit, with the constant, the callee and the string that differ', async () => {
  const base = `${DECLS}int f(int a) { puts("old"); return ext(0x1000) + a; }\n`;
  const next = `${DECLS}int f(int a) { puts("new"); return ext2(0x2000) + a; }\n`;
  assert.deepEqual(await reasons(base, next), {
    f: ['own-edit', 'string "old" → "new"', 'constant 0x1000 → 0x2000', 'callee ext → ext2'],
  });
});

test('text that the compiler copies by immediates and vector constants is told as text, numbers exactly', async () => {
  const source = (text: string, magic: string) =>
    `void use(void *);\nvoid f(char *to) { __builtin_memcpy(to, "${text}", 24); }\nvoid g(long *to) { *to = ${magic}; }\n`;
  const found = await reasons(
    source('Unknown command. Please.', '0x1122334455667788'),
    source('Unknown command, sorry..', '0x1122334455667789'),
  );
  assert.deepEqual(found.f, [
    'own-edit',
    'constant "Unknown command." → "Unknown command,"',
    'constant " Please." → " sorry.."',
  ]);
  assert.deepEqual(found.g, ['own-edit', 'constant 0x1122334455667788 → 0x1122334455667789']);
});

test('an inlined function that changed is named in each caller, with and without the edits', async () => {
  const source = (limit: number) =>
    `static inline int clamp(int v)\n{\n  return v > ${limit} ? ${limit} : v;\n}\nint a(int x)\n{\n  return clamp(x) + 1;\n}\nint b(int x) { return clamp(x * 2); }\n`;
  for (const withEdits of [true, false]) {
    const found = await reasons(source(100), source(90), {}, withEdits);
    assert.deepEqual(Object.keys(found).sort(), ['a', 'b']);
    for (const list of Object.values(found)) assert.ok(list.includes('inlined-callee clamp'), list.join());
    for (const list of Object.values(found)) assert.ok(!list.includes('own-edit'), list.join());
  }
});

test('an inlined function that is given something else, or only moved, is not what was edited', async () => {
  const source = (text: string, before = '', limit = 3) => `${DECLS}
static inline __attribute__((always_inline)) void show(const char *s, int v) { puts(s); if (ext(v) > ${limit}) ext2(v); }
int f(int a) { show("one", a); show("${text}", a + 1); show("three", a + 2); ${before} return ext(a); }
`;
  const given = await reasons(source('two'), source('zwei'), {}, false);
  assert.deepEqual(given.f, ['own-edit', 'string "two" → "zwei"']);
  const beside = await reasons(source('two'), source('two', 'if (a > 77) ext2(9);'), {}, false);
  assert.ok(!beside.f?.some((reason) => reason.startsWith('inlined-callee')), beside.f?.join());
  // Near miss: an edit of the inlined function is in each copy.
  const edited = await reasons(source('two'), source('two', '', 4), {}, false);
  assert.ok(edited.f?.includes('inlined-callee show'), edited.f?.join());
});

test('variables that macros number, and line numbers, are no reason', async () => {
  const source = (before: string, value: number) => `${DECLS}void check(void *, const char *, int);
#define KEY(p) ({ static int key_; check(&key_, __FILE__, __LINE__); key_++; })
#define TWICE do { KEY(0); { KEY(1); } } while (0)
${before}
int f(int a) { TWICE; TWICE; if (a > ${value}) ext2(a); TWICE; return ext(a); }
`;
  const found = await reasons(
    source('', 3),
    source('int early(int a) { TWICE; return ext(a); }\n\n', 77777),
    {},
    false,
  );
  assert.deepEqual(found.f, ['own-edit', 'constant 0x3 → 0x12fd1']);
});

test('an inlined function is named where the edit only calls another inline one, behind all code of its own', async () => {
  const source = (more: string) =>
    `${DECLS}static inline __attribute__((always_inline)) void fence(void)\n{\n  __asm__ volatile ("lfence");\n}\nstatic inline __attribute__((always_inline)) void lock(int *p)\n{\n  *p = 1;\n${more}\n}\nint a(int *p)\n{\n  lock(p);\n  return ext(1);\n}\n`;
  for (const [base, next] of [
    ['  ;', '  fence();'],
    ['  fence();', '  ;'],
  ] as const)
    assert.deepEqual((await reasons(source(base), source(next))).a, ['inlined-callee lock'], next);
});

test('inlining: the change was carried into both callers', async () => {
  const source = (limit: number) =>
    `static inline int clamp(int v) { return v > ${limit} ? ${limit} : v; }\nint a(int x) { return clamp(x) + 1; }\nint b(int x) { return clamp(x * 2); }\n`;
  const diff = await diffSources(source(100), source(90));
  assert.deepEqual(diff.inlining.map((one) => `${one.caller} ${one.what} ${one.callee}`).sort(), [
    'a widened clamp',
    'b widened clamp',
  ]);
});

test('inlining: a function that got too big for it', async () => {
  const small = `${DECLS}static int h(int v) { return ext(v) + 1; }\nint a(int x) { return h(x) + 1; }\nint b(int x) { return h(x) * 3; }\n`;
  const big = small.replace('return ext(v) + 1;', `${'v = ext(v) ^ ext2(v + 1); '.repeat(40)} return v;`);
  const there = await diffSources(small, big);
  assert.deepEqual(
    there.inlining
      .filter((one) => one.what === 'no-longer-inlined')
      .map((one) => one.caller)
      .sort(),
    ['a', 'b'],
  );
  const back = await diffSources(big, small);
  assert.deepEqual(
    back.inlining
      .filter((one) => one.what === 'now-inlined')
      .map((one) => one.caller)
      .sort(),
    ['a', 'b'],
  );
});

test('a moved field changes the functions that use the type, and them only', async () => {
  const source = (fields: string) =>
    `struct conn {\n  ${fields}\n};\nextern struct conn *cur;\nint port(void)\n{\n  return cur->port;\n}\nint other(int x)\n{\n  return x * 5;\n}\n`;
  for (const withEdits of [true, false]) {
    const found = await reasons(source('int id; int port;'), source('int id; long flags; int port;'), {}, withEdits);
    assert.deepEqual(Object.keys(found), ['port']);
    assert.ok(
      found.port?.some((one) => one.startsWith('header-type conn.')),
      found.port?.join(),
    );
  }
});

test('a macro, where the edits are known', async () => {
  const source = (limit: number) =>
    `${DECLS}#define LIMIT ${limit}\nint f(int a)\n{\n  return ext(a & LIMIT);\n}\nint g(int a) { return a; }\n`;
  assert.deepEqual(await reasons(source(0x70), source(0x71)), { f: ['macro unit.c:2', 'constant 0x70 → 0x71'] });
});

test('a caller that only follows the layout of another function is told apart from an edit', async () => {
  // gcc aligns the stack of a caller for the callee that it knows: an edit of h changes a and b, too.
  const base = `${DECLS}static int __attribute__((noinline)) h(int v)\n{\n  return v + 1;\n}\nint a(int x)\n{\n  return h(x) + 1;\n}\n`;
  const next = base.replace('  return v + 1;', '  puts("x"); return v + 1;');
  const found = await reasons(base, next, { args: ['-O0', '-g'] });
  assert.deepEqual(found.a, ['compiler-noise', 'constant 0x8 → 0x10']);
  assert.ok(found.h?.includes('own-edit'));
});

test('a cold part and its function go together', async () => {
  const source = (text: string, add: number) =>
    `${DECLS}__attribute__((cold)) void warn(const char *, int);\nint f(int a)\n{\n  if (a > 5) { warn("${text}", a); warn("more", a + 1); a = ext(a); }\n  return ext(a) + ${add};\n}\nint g(int a) { return a; }\n`;
  const part = await diffSources(source('cold', 1), source('edited', 1));
  const names = part.functions.map((one) => one.name).sort();
  assert.deepEqual(names, ['f', 'f.cold']);
  assert.equal(part.functions.find((one) => one.name === 'f.cold')?.parent, 'f');
  assert.deepEqual(
    part.functions.find((one) => one.name === 'f')?.reasons.map((one) => one.kind),
    ['clone'],
  );
  const head = await diffSources(source('cold', 1), source('cold', 2000));
  assert.deepEqual(head.functions.map((one) => one.name).sort(), ['f', 'f.cold']);
});

test('numbered clones are paired by what they are, and changed ones name their function', async () => {
  const source = (first: string, factor: number) =>
    `${DECLS}${first}static __attribute__((noinline)) int h(int *p, int n, int k) { int s = 0; for (int i = 0; i < n; i++) s += ext(p[i]) * ${factor} + k; return s; }\nint a(int *p) { return h(p, 10, 3); }\nint b(int *p) { return h(p, 10, 3) + 1; }\n`;
  const other =
    'static __attribute__((noinline)) int e(int *p, int n, int k) { int s = 1; for (int i = 0; i < n; i++) s += ext2(p[i]) + k; return s; }\nint z(int *p) { return e(p, 7, 5) + e(p + 1, 7, 5); }\n';
  const same = await diffSources(source('', 3), source(other, 3));
  assert.deepEqual(
    summary(same).map((line) => line.replace(/\.\d+/g, '')),
    ['e.constprop new', 'z new'],
  );
  const changed = await diffSources(source('', 3), source('', 5));
  assert.deepEqual(
    changed.functions.map((one) => one.name.replace(/\.\d+/g, '')),
    ['h.constprop'],
  );
  assert.equal(changed.functions[0]?.parent, 'h');
});

test('changed lines are those of the next source whose code differs, also where nobody edited', async () => {
  const source = (limit: number) =>
    `static inline int clamp(int v)\n{\n  return v > ${limit} ? ${limit} : v;\n}\nint a(int x)\n{\n  x += 1;\n  return clamp(x);\n}\n`;
  const diff = await diffSources(source(100), source(90));
  const lines = diff.functions[0]?.changedLines.map((at) => at.line);
  assert.ok(lines?.includes(3) && lines.includes(8), `${lines}`);
  assert.ok(!lines?.includes(7));
});

/** First differing instructions as `old | new | line`, by function. */
async function firsts(base: string, next: string, options: CompileOptions = {}) {
  const diff = await diffSources(base, next, options, editsBetween(base, next));
  return Object.fromEntries(
    diff.functions.map(({ name, firstDifference: one }) => [
      name,
      one && `${one.base} | ${one.next} | ${one.at?.line}`,
    ]),
  );
}

test('the first instruction that differs is named with its line, on both sides', async () => {
  const source = (limit: number, more: string): string =>
    `int ext(int);\nint f(int x)\n{\n  x += ext(1);\n  return ext(x + ${limit})${more};\n}\nint same(int x) { return ext(x); }\n`;
  const changed = await firsts(source(5, ''), source(6, ''));
  assert.deepEqual(Object.keys(changed), ['f']);
  assert.match(changed.f!, /^(add|lea) .*5\]? \| (add|lea) .*6\]? \| 5$/);
});

test('the first instruction: a constant before the registers that were chosen anew for it', async () => {
  const source = (callee: string): string =>
    `int ext(int); int other(int);\nint f(int a, int b)\n{\n  int c = ext(a);\n  return ${callee}(b) + c * 3;\n}\n`;
  assert.match((await firsts(source('ext'), source('other'))).f!, /^call ext \| call other \| 5$/);
});

test('the first instruction: none for line numbers only, new functions and constants from elsewhere', async () => {
  const source = (lines: string, text: string, more: string): string =>
    `${lines}void fail(const char *, int); int puts(const char *);\nint divide(int x, int y)\n{\n  if (!y) fail(__FILE__, __LINE__);\n  return x / (y + 1);\n}\nstatic const char banner[] = "${text}";\nvoid show(void) { puts(banner); }\n${more}`;
  assert.deepEqual(await firsts(source('', 'one', ''), source('\n\n', 'one', '')), { divide: undefined });
  const found = await firsts(source('', 'one', ''), source('', 'two', 'int more(int x) { return x * 7; }\n'));
  assert.deepEqual(found, { more: undefined, show: undefined });
});

test('a declaration of what the function refers to is no macro', async () => {
  const source = (type: string) =>
    `extern ${type} workers;\nint puts(const char *);\nvoid f(int a) { workers = a; puts("x"); }\n`;
  assert.deepEqual((await reasons(source('int'), source('long'))).f?.[0], 'declaration workers');
  const scope = (word: string) =>
    `struct s { long a, b; };\n${word}struct s st;\nvoid f(int *p, int a) { *p = a; st.a = a; }\n`;
  assert.deepEqual((await reasons(scope(''), scope('static '))).f?.[0], 'declaration st');
});

test('a macro is named by its place where no function was edited', async () => {
  const source = (limit: number): string =>
    `#define LIMIT ${limit}\nint ext(int);\nint f(int x)\n{\n  return ext(x + LIMIT);\n}\n`;
  assert.deepEqual((await reasons(source(10), source(11))).f?.[0], 'macro unit.c:1');
});

test('a cold part whose function changed is a part of it, with the edits and without', async () => {
  const source = (by: number): string =>
    `void fail(int) __attribute__((cold, noreturn)); int ext(int); int puts(const char *);\nint f(int x)\n{\n  if (ext(x)) { puts("bad"); puts("worse"); fail(x); }\n  return ext(x * ${by}) + ${by};\n}\n`;
  for (const withEdits of [true, false]) {
    const found = await reasons(source(3), source(5), { compiler: 'gcc-12' }, withEdits);
    assert.ok(found['f.cold'] === undefined || found['f.cold'][0] === 'clone f', found['f.cold']?.join());
    assert.equal(found.f?.[0], 'own-edit');
  }
});
