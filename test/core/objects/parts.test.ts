import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CASE_COMPILERS, hasTool } from '../../support/cc.ts';
import { diffLoaded, objectOf, summary } from '../diff/support.ts';

// Parts and copies that the compiler makes of a function: they go into the patch with it, and alone they are not mistaken for another function.
const ARGS = ['-O2', '-g', '-ffunction-sections', '-fdata-sections', '-w'];
const DECLS =
  'int ext(int); int rare(int) __attribute__((cold)); void die(const char *, int) __attribute__((noreturn, cold));\n';
const N = '__attribute__((noinline))';

/** gcc moves the unlikely end into f.cold. */
const cold = (hot: number, far: number) =>
  `${DECLS}int f(int a) { if (__builtin_expect(a > 1000, 0)) { a = rare(a + ${far}); if (a) die("f", a); a = rare(a); } return ext(a) + ${hot}; }\nint g(int a) { if (__builtin_expect(a > 1000, 0)) { a = rare(a + 5); if (a) die("g", a); } return ext(a) - 1; }\n`;
/** gcc splits the work from the test that mostly ends it: work.part.0. */
const part = (limit: number, factor: number) =>
  `${DECLS}static int work(int *p, int n) { if (n < ${limit}) return 0; int s = 0; for (int i = 0; i < n; i++) { s += ext(p[i]) * ${factor}; s ^= ext(s); s += ext(i) - ext(s + 1); } return s; }\nint a1(int *p, int n) { return work(p, n) + 1; }\nint a2(int *p, int n) { return work(p, n * 2); }\nint a3(int *p, int n) { return work(p + 1, n - 1); }\n`;
const constprop = (factor: number, mode: string) =>
  `${DECLS}static ${N} int check(int x, int mode) { return mode == 1 ? ext(x) * ${factor} : ext(x + mode); }\nint first(int x) { return check(x, 1) + 3; }\nint second(int x) { return check(x + 1, ${mode}); }\n`;
const isra = (factor: number) =>
  `${DECLS}struct big { int a, b, c[20]; };\nstatic ${N} int sum(struct big *p) { return ext(p->a) * ${factor}; }\nint one(struct big *p) { return sum(p) + 1; }\nint two(struct big *p) { return sum(p) * 5; }\n`;

interface Case {
  readonly name: string;
  readonly base: string;
  readonly next: string;
  /** A symbol that the compiler has to make for the case to say anything; families that do not are not asked. */
  readonly makes: RegExp;
  readonly changes: readonly string[];
}

const CASES: readonly Case[] = [
  {
    name: '.cold: an edit of the hot half',
    base: cold(1, 7),
    next: cold(200, 7),
    makes: /^f\.cold/,
    changes: ['f changed', 'f.cold changed'],
  },
  {
    name: '.cold: an edit of the cold half alone takes the function along',
    base: cold(1, 7),
    next: cold(1, 800),
    makes: /^f\.cold/,
    changes: ['f changed', 'f.cold changed'],
  },
  {
    name: '.cold: a function less in front shifts those of the others',
    base: `int early(int); ${DECLS}int e(int a) { if (__builtin_expect(a > 9, 0)) { a = rare(a); if (a) die("e", a); } return ext(a); }\n${cold(1, 7)}`,
    next: `int early(int); ${cold(1, 7)}`,
    makes: /^f\.cold/,
    changes: ['e removed', 'e.cold removed'],
  },
  {
    name: '.part: an edit of the part',
    base: part(1, 3),
    next: part(1, 7),
    makes: /^work\.part/,
    changes: ['work.part changed'],
  },
  {
    name: '.part: an edit of the test in front, which was inlined',
    base: part(1, 3),
    next: part(9, 3),
    makes: /^work\.part/,
    changes: ['a1 changed', 'a2 changed', 'a3 changed'],
  },
  {
    name: '.constprop: the copy with a constant argument',
    base: constprop(3, '1'),
    next: constprop(5, '1'),
    makes: /^check\.constprop/,
    changes: ['check.constprop changed'],
  },
  {
    name: '.isra: the copy with the member instead of the pointer',
    base: isra(3),
    next: isra(5),
    makes: /^sum\.(constprop|isra)/,
    changes: ['sum.isra changed'],
  },
];

const plain = (line: string) => line.replace(/\.\d+(?=[ .])/g, '');

for (const one of CASES) {
  for (const compiler of CASE_COMPILERS.filter((name) => name.startsWith('gcc'))) {
    test(`${one.name} [${compiler}]`, { skip: !hasTool(compiler) && `${compiler} is not installed` }, async () => {
      const [base, next] = [
        await objectOf(one.base, { compiler, args: ARGS }),
        await objectOf(one.next, { compiler, args: ARGS }),
      ];
      for (const object of [base, next])
        assert.ok(
          object.elf.symbols.some(({ name }) => one.makes.test(name)),
          `${compiler} makes no ${one.makes.source}`,
        );
      assert.deepEqual(summary(diffLoaded(base, next)).map(plain), [...one.changes].sort());
    });
  }
}

test('.cold parts name their function as the reason, and the function its part', async () => {
  const diff = diffLoaded(await objectOf(cold(1, 7), { args: ARGS }), await objectOf(cold(1, 800), { args: ARGS }));
  const reasons = Object.fromEntries(
    diff.functions.map(({ name, reasons: why }) => [name, why.map((r) => `${r.kind} ${r.detail}`.trim())]),
  );
  assert.deepEqual(reasons, { f: ['clone f.cold'], 'f.cold': ['clone f', 'constant 0x7 → 0x320'] });
});
