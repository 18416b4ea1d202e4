import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAnalyser } from '../../../server/src/analyse.ts';
import { diffTypes } from '../../../server/src/core/diff/layout.ts';
import { diffSignatures } from '../../../server/src/core/diff/signatures.ts';
import { declare, typeTable } from '../../../server/src/core/diff/type-table.ts';
import type { ObjectPair, TypeChange } from '../../../server/src/core/diff/types.ts';
import type { DwarfInfo, DwarfType, Member } from '../../../server/src/core/dwarf/types.ts';
import { CASE_COMPILERS, compile, hasTool } from '../../support/cc.ts';

const compilers = CASE_COMPILERS.filter(hasTool);
const analyser = createAnalyser();
const provenance = { unit: 'unit.c', baseCommand: [], nextCommand: [], compiler: '', baseline: 'test' };

async function pairOf(
  base: string,
  next: string,
  compiler: string,
  extra: readonly string[] = [],
): Promise<ObjectPair> {
  const { load } = await analyser;
  const object = (source: string) => load(compile(source, { compiler, extra })).object!;
  return { base: object(base), next: object(next), provenance };
}

/** One line per change: `struct a: moved x, added y`. Sorted, since compilers list types in their own order. */
const summary = (changes: readonly TypeChange[]): string[] =>
  changes
    .filter(({ status }) => status === 'changed')
    .map((type) => {
      const parts = [
        ...type.members.map(({ what, path, because }) => `${what} ${path}${because ? ` (${because})` : ''}`),
        ...type.enumerators.map(({ name, base, next }) => `${name} ${base ?? '–'}→${next ?? '–'}`),
      ];
      return `${type.label} ${type.baseSize}→${type.nextSize}: ${parts.sort().join(', ')}`;
    })
    .sort();

for (const compiler of compilers) {
  for (const version of ['-gdwarf-4', '-gdwarf-5']) {
    test(`kinds of changes [${compiler} ${version}]`, async () => {
      const base = `
struct moved { char a; long b; };
struct resized { int list[4]; int after; };
struct retyped { int n; float f; void (*call)(int); };
struct bits { unsigned a : 3, b : 5; };
union mixed { int i; char c[8]; };
enum mode { OFF, ON, AUTO = 7 };
typedef struct { int x; struct { short lo, hi; } part; } nameless_t;
typedef long number_t;
struct same { struct moved *p; const char *s; number_t n[2]; };
struct moved m; struct resized r; struct retyped t; struct bits b; union mixed u; enum mode e; nameless_t n; number_t k; struct same s;
struct { int first, second; } lone;
`;
      const next = `
struct moved { char a, c; long d, b; };
struct resized { int list[6]; int after; };
struct retyped { unsigned n; int f; void (*call)(long); };
struct bits { unsigned a : 4, b : 4; };
union mixed { int i; char c[16]; };
enum mode { OFF, ON = 2, MAYBE, AUTO = 7 };
typedef struct { int x; struct { short hi, lo; } part; } nameless_t;
typedef int number_t;
struct same { struct moved *p; char *const s; number_t n[2]; };
struct moved m; struct resized r; struct retyped t; struct bits b; union mixed u; enum mode e; nameless_t n; number_t k; struct same s;
struct { int second, first; } lone;
`;
      assert.deepEqual(
        summary(diffTypes(await pairOf(base, next, compiler, [version]), new Set())),
        [
          'enum mode 4→4: MAYBE –→3, ON 1→2',
          'nameless_t 8→8: moved part.hi, moved part.lo',
          'number_t 8→4: ',
          'struct bits 4→4: resized a, resized b',
          'struct moved 16→24: added c, added d, moved b',
          'struct resized 20→28: moved after, resized list',
          'struct retyped 16→16: retyped call, retyped f, retyped n',
          'struct same 32→24: resized n (number_t)',
          'struct {…} lone 8→8: moved first, moved second',
          'union mixed 8→16: resized c',
        ].sort(),
      );
    });
  }

  test(`incomplete declarations, other spellings, renamed tags and cycles are no changes [${compiler}]`, async () => {
    const base = `
struct opaque; struct a; struct b { struct a *up; struct opaque *o; }; struct a { struct b *down; struct a *next; unsigned long n; };
typedef struct { int v; } tagless;
struct a *head; tagless one;
`;
    const next = `
struct opaque { int now_known; }; typedef struct opaque opaque_t; struct opaque seen;
struct c; struct b { struct c *up; opaque_t *o; }; struct c { struct b *down; struct c *next; long unsigned n; };
typedef struct tagged { int v; } tagless;
struct c *head; tagless one;
`;
    assert.deepEqual(summary(diffTypes(await pairOf(base, next, compiler), new Set())), []);
  });

  test(`a renamed tag with other contents is a change of what points to it [${compiler}]`, async () => {
    const base = 'struct x { int v; struct x *n; }; struct h { struct x *p; } h;';
    const next = 'struct y { long v; struct y *n; }; struct h { struct y *p; } h;';
    assert.deepEqual(summary(diffTypes(await pairOf(base, next, compiler), new Set())), ['struct h 8→8: retyped p']);
  });

  test(`types of one tag in several scopes [${compiler}]`, async () => {
    const source = (extra: string): string => `
extern void use(void *);
void one(void) { struct s { int a; } v; use(&v); }
void two(void) { struct s { char c; ${extra}long b; } v; use(&v); }
`;
    assert.deepEqual(summary(diffTypes(await pairOf(source(''), source('long x; '), compiler), new Set())), [
      'struct s 16→24: added x, moved b',
    ]);
  });

  test(`who keeps an instance [${compiler}]`, async () => {
    const type = (extra: string): string => `struct t { int a; ${extra}int b; };\n`;
    const outlives = async (rest: string, patched: readonly string[] = ['f']): Promise<readonly string[]> => {
      const [change] = diffTypes(await pairOf(type('') + rest, type('int x; ') + rest, compiler), new Set(patched));
      assert.ok(change, rest);
      assert.equal(change.confined, change.outlivesBy.length === 0);
      return change.outlivesBy;
    };
    const rnd = 'extern int rnd(void);\n';
    const local = `${rnd}int f(int n) { volatile struct t v = { n, rnd() }; return v.a + v.b; }\n`;
    assert.deepEqual(await outlives(local), []);
    assert.deepEqual(await outlives(local, []), ['function f (not in the patch)']);
    assert.deepEqual(await outlives(`${local}struct t kept; void g(void) { kept.a = 1; }\n`), ['variable kept']);
    assert.deepEqual(await outlives(`${local}struct u { int k; struct t in[2]; } kept;\n`), ['variable kept']);
    assert.match(
      (
        await outlives(
          `${local}static struct list { struct t *item; } *head; int g(void) { head = 0; return head == 0; } struct list *h(void) { return head; }\n`,
        )
      ).join('; '),
      /head leads to it; struct list has a pointer to it \(item\)/,
    );
    assert.match(
      (await outlives(`${local}struct ops { void (*run)(struct t *); } table;\n`)).join('; '),
      /table leads to it/,
    );
    assert.match(
      (await outlives(`${local}int g(struct t *p) { return p->a; }\n`)).join(),
      /function g \(not in the patch\)/,
    );
    assert.match(
      (await outlives(`${local}int g(struct t *p) { return p->b; }\n`, ['f', 'g'])).join(),
      /function g can be called from other units/,
    );
    assert.match(
      (
        await outlives(
          `extern int fill(struct t *);\nint f(int n) { struct t v = { n, 1 }; fill(&v); return v.a + v.b; }\n`,
        )
      ).join(),
      /function fill of another unit takes or returns it/,
    );
    assert.match(
      (
        await outlives(`extern void *get(int);\n${local}int g(int n) { struct t *p = get(n); return p->b; }\n`, [
          'f',
          'g',
        ])
      ).join(),
      /a pointer variable in g/,
    );
    // Passed on to a static function that is in the patch as well: still only automatic.
    assert.deepEqual(
      await outlives(
        `${rnd}static __attribute__((noinline)) int sum(volatile struct t *p) { return p->a + p->b + rnd(); }\nint f(int n) { volatile struct t v = { n, rnd() }; return sum(&v); }\n`,
        ['f', 'sum', 'sum.isra.0', 'sum.constprop.0'],
      ),
      [],
    );
  });

  test(`a type of a header is shared [${compiler}]`, async () => {
    const { load } = await analyser;
    const source =
      '#include "t.h"\nextern int rnd(void);\nint f(int n) { volatile struct t v = { n, rnd() }; return v.a; }\n';
    const object = (header: string) => load(compile(source, { compiler, files: { 't.h': header } })).object!;
    const pair = {
      base: object('struct t { int a; int b; };\n'),
      next: object('struct t { int x; int a; int b; };\n'),
      provenance,
    };
    const [change] = diffTypes(pair, new Set(['f']));
    assert.deepEqual(change?.outlivesBy, ['t.h is shared with other units']);
    assert.equal(change?.at?.file.endsWith('t.h'), true);
  });

  test(`signatures [${compiler}]`, async () => {
    const source = (first: string, second: string): string => `
struct s { int a; }; typedef int number;
extern int rnd(int);
${first} { return rnd(1); }
static __attribute__((noinline)) ${second} { return rnd(2); }
int caller(void) { return scale(4, 0) + hidden(5); }
`;
    const pair = await pairOf(
      source('int scale(number x, const char *const *why)', 'int hidden(int x)'),
      source('int scale(long x, char (*why)[4])', 'int hidden(const number y)'),
      compiler,
    );
    const [change, ...rest] = diffSignatures(pair, []);
    assert.deepEqual(rest, []);
    assert.equal(change?.base, 'int scale(number x, const char *const *why)');
    assert.match(change!.next, /^int scale\(long( int)? x, char \(\*why\)\[4\]\)$/);
    assert.equal(change?.external, true);
  });
}

test('broken type graphs end', async () => {
  const type = (index: number, more: Partial<DwarfType>): DwarfType => ({
    index,
    kind: 'struct',
    name: '',
    size: 8,
    declaration: false,
    target: -1,
    members: [],
    enumerators: [],
    dimensions: [],
    parameters: [],
    variadic: false,
    ...more,
  });
  const member = (name: string, of: number, bitOffset = 0): Member => ({
    name,
    type: of,
    bitOffset,
    bitSize: 64,
    bitField: false,
  });
  const info = (shift: number): DwarfInfo => ({
    present: true,
    units: [],
    functions: [],
    prototypes: [],
    variables: [],
    linesOf: () => [],
    problems: [],
    structSize: () => undefined,
    typesLike: () => undefined,
    types: [
      type(0, { kind: 'typedef', name: 'loop', target: 1 }),
      type(1, { kind: 'const', target: 0 }),
      // Contains itself by value, by name and without.
      type(2, { name: 'self', members: [member('in', 2), member('', 2, 64), member('v', 0, 128 + shift)] }),
      type(3, { kind: 'array', target: 3, dimensions: [2] }),
      type(4, { name: 'far', members: [member('out', 99), member('neg', -7, 64 + shift), member('arr', 3, 640)] }),
      type(5, { kind: 'pointer', target: 5 }),
      type(6, { kind: 'function', target: 6, parameters: [6, 5] }),
      type(7, { name: 'a', members: [member('b', 8)] }),
      type(8, { name: 'b', members: [member('a', 7, shift)] }),
    ],
  });
  const { load } = await analyser;
  const object = load(compile('int x;')).object!;
  const pair = { base: { ...object, dwarf: info(0) }, next: { ...object, dwarf: info(8) }, provenance };
  const changes = diffTypes(pair, new Set());
  assert.deepEqual(changes.map(({ name }) => name).sort(), ['a', 'b', 'far', 'self']);
  const table = typeTable(info(0));
  for (let i = -1; i < 10; i++) assert.equal(typeof declare(table, i, 'x'), 'string');
});

test('the cost is linear in the number of types', async () => {
  const source = (count: number, extra: string): string => {
    const lines = [`struct s0 { int a; ${extra}int b; };`];
    for (let i = 1; i < count; i++)
      lines.push(`struct s${i} { struct s${i - 1} *p, *q, *r; struct s0 by_value; int n; };`);
    return `${lines.join('\n')}\nstruct s${count - 1} *root;\n`;
  };
  const time = async (count: number): Promise<number> => {
    const pair = await pairOf(source(count, ''), source(count, 'int x; '), 'gcc-12');
    const start = performance.now();
    const changes = diffTypes(pair, new Set());
    assert.equal(changes.length, count);
    assert.deepEqual(changes.find(({ name }) => name === `s${count - 1}`)?.causes, ['struct s0']);
    return performance.now() - start;
  };
  await time(100);
  const small = await time(250);
  const large = await time(2000);
  // Eight times the types: quadratic cost would be 64 times.
  assert.ok(large < Math.max(small, 4) * 32, `${small.toFixed(1)} ms for 250 types, ${large.toFixed(1)} ms for 2000`);
});

for (const compiler of compilers) {
  test(`a constant array is declared const once [${compiler}]`, async () => {
    const source =
      'const struct pair { int a; const char *b; } table[2][3] = { { { 1, "x" } } }; const char word[4] = "abc";\n';
    const { base } = await pairOf(source, source, compiler);
    const types = typeTable(base.dwarf);
    const of = (name: string) => {
      const variable = base.dwarf.variables.find((each) => each.name === name);
      assert.ok(variable?.type !== undefined, name);
      return declare(types, variable.type, name);
    };
    assert.equal(of('table'), 'const struct pair table[2][3]');
    assert.equal(of('word'), 'const char word[4]');
  });
}
