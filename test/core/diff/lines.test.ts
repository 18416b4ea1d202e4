import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CASE_COMPILERS, hasTool } from '../../support/cc.ts';
import { diffSources, editsBetween } from './support.ts';

// A function that differs in line numbers only is told apart; what only looks like it is not.
const DECLS =
  'void fail(const char *expr, const char *file, unsigned line, const char *func) __attribute__((noreturn));\nvoid note(int line);\nint ext(int);\nint ext2(int);\n#define CHECK(e) ((e) ? (void)0 : fail(#e, __FILE__, __LINE__, __func__))\n';

const COMPILERS = CASE_COMPILERS.filter(hasTool);

async function lineOnly(base: string, next: string, compiler: string, withEdits: boolean) {
  const edits = withEdits ? editsBetween(base, next) : undefined;
  const diff = await diffSources(base, next, { compiler }, edits);
  return Object.fromEntries(diff.functions.map((one) => [one.name, one.lineOnly]));
}

for (const compiler of COMPILERS) {
  for (const withEdits of [true, false]) {
    const title = `${compiler}, ${withEdits ? 'edits known' : 'objects only'}`;

    test(`${title}: lines above assertions`, async () => {
      const source = `int f(int a)\n{\n  CHECK(a > 3);\n  CHECK(a < 100);\n  return ext(a);\n}\nint g(int a) { return a; }\n`;
      assert.deepEqual(await lineOnly(DECLS + source, `${DECLS}/* one */\n/* two */\n${source}`, compiler, withEdits), {
        f: true,
      });
    });

    test(`${title}: line numbers that outgrow a byte`, async () => {
      const source = `int f(int a)\n{\n  if (a > 3) note(__LINE__);\n  CHECK(a < 100);\n  return ext(a);\n}\n`;
      const head = '\n'.repeat(118);
      const found = await lineOnly(DECLS + head + source, `${DECLS}${head}\n\n\n\n${source}`, compiler, withEdits);
      // note() passes nothing but the number: without the edits that is not enough, with two different lines only.
      assert.deepEqual(found, { f: withEdits });
    });

    test(`${title}: line numbers in an inlined function`, async () => {
      const source = `static inline void need(int a)\n{\n  CHECK(a > 3);\n}\nint f(int a)\n{\n  need(a);\n  return ext(a);\n}\n`;
      assert.deepEqual(await lineOnly(DECLS + source, `${DECLS}\n\n${source}`, compiler, withEdits), { f: true });
    });

    test(`${title}: another constant beside a line number`, async () => {
      const source = (k: number) => `int f(int a)\n{\n  CHECK(a > 3);\n  return ext(${k});\n}\n`;
      assert.deepEqual(await lineOnly(DECLS + source(70), `${DECLS}\n${source(71)}`, compiler, withEdits), {
        f: false,
      });
    });

    test(`${title}: another callee beside a line number`, async () => {
      const source = (callee: string) => `int f(int a)\n{\n  CHECK(a > 3);\n  return ${callee}(a);\n}\n`;
      assert.deepEqual(await lineOnly(DECLS + source('ext'), `${DECLS}\n${source('ext2')}`, compiler, withEdits), {
        f: false,
      });
    });

    test(`${title}: another field beside a line number`, async () => {
      const source = (field: string) =>
        `struct s { int a, b; };\nint f(struct s *p)\n{\n  CHECK(p->a > 3);\n  return ext(p->${field});\n}\n`;
      assert.deepEqual(await lineOnly(DECLS + source('a'), `${DECLS}\n${source('b')}`, compiler, withEdits), {
        f: false,
      });
    });

    test(`${title}: another text in the assertion`, async () => {
      const source = (text: string) =>
        `int f(int a)\n{\n  if (a > 3) fail("${text}", __FILE__, __LINE__, __func__);\n  return ext(a);\n}\n`;
      assert.deepEqual(await lineOnly(DECLS + source('one'), `${DECLS}\n${source('two')}`, compiler, withEdits), {
        f: false,
      });
    });

    test(`${title}: a constant that happens to be its own line number, before and after`, async () => {
      const source = (k: number) => `int f(int a)\n{\n  note(${k});\n  return ext(a);\n}\n`;
      assert.deepEqual(await lineOnly(DECLS + source(8), `${DECLS}\n${source(9)}`, compiler, withEdits), { f: false });
    });

    test(`${title}: a macro's value that moves as the lines do`, async () => {
      const source = (k: number) => `#define K ${k}\nint f(int a)\n{\n  note(K);\n  return ext(a);\n}\n`;
      assert.deepEqual(await lineOnly(DECLS + source(12), `${DECLS}\n${source(13)}`, compiler, withEdits), {
        f: false,
      });
    });

    test(`${title}: an assertion over several lines`, async () => {
      const source = 'int f(int a)\n{\n  CHECK(a > 3 &&\n    a < 70 &&\n    a != 9);\n  return ext(a);\n}\n';
      assert.deepEqual(await lineOnly(DECLS + source, `${DECLS}\n\n${source}`, compiler, withEdits), { f: true });
    });

    test(`${title}: a statement of several lines whose call, in an inlined function, says no more than its line`, async () => {
      const source = (kind: number) =>
        `#define START(k, n) start_at(__LINE__, k, n)\nint start_at(int line, int kind, int n);\nstatic inline int begin(int line, int kind, int n) { return start_at(line, kind, n + ext(kind)); }\n#define BEGIN(k, n) begin(__LINE__, k, n)\nint f(int a)\n{\n  int r = BEGIN(${kind},\n    a *\n    3);\n  return r + START(5,\n    a);\n}\nint g(int a)\n{\n  CHECK(a > 3);\n  CHECK(a < 70);\n  CHECK(a != 9);\n  return ext(a);\n}\n`;
      const base = DECLS + source(6);
      assert.deepEqual(await lineOnly(base, `${DECLS}\n\n${source(6)}`, compiler, withEdits), {
        f: true,
        g: true,
      });
      assert.deepEqual(await lineOnly(base, `${DECLS}\n\n${source(7)}`, compiler, withEdits), {
        f: false,
        g: true,
      });
    });

    test(`${title}: a table beside a line number`, async () => {
      const source = (k: number) =>
        `int f(int a)\n{\n  CHECK(a > 3);\n  switch (a) { case 4: return 11; case 5: return 35; case 6: return 12; case 7: return ${k}; case 8: return 99; }\n  return 0;\n}\n`;
      assert.deepEqual(await lineOnly(DECLS + source(13), `${DECLS}\n${source(14)}`, compiler, withEdits), {
        f: false,
      });
    });
  }
}

test('objects only: three sites in a unit bear witness for each other', async () => {
  const source = [1, 2, 3]
    .map((n) => `int f${n}(int a)\n{\n  if (a > ${n}) note(__LINE__);\n  return ext(a);\n}\n`)
    .join('');
  const diff = await diffSources(DECLS + source, `${DECLS}\n${source}`);
  assert.deepEqual(
    diff.functions.map((one) => `${one.name} ${one.lineOnly}`),
    ['f1 true', 'f2 true', 'f3 true'],
  );
  assert.deepEqual(diff.functions[0]?.reasons, [{ kind: 'line-only', detail: '' }]);
});
