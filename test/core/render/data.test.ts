import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { diffObjects } from '../../../server/src/core/diff/index.ts';
import type { DataValues } from '../../../server/src/core/diff/values.ts';
import { compareValues } from '../../../server/src/core/diff/values.ts';
import { dataLines, renderDataSide } from '../../../server/src/core/render/data.ts';
import { type CompileOptions, hasTool } from '../../support/cc.ts';
import { objectOf } from '../diff/support.ts';

/** Values of every data object that differs between two sources, by name. */
async function valuesOf(base: string, next: string, options: CompileOptions = {}): Promise<Map<string, DataValues>> {
  const pair = {
    base: await objectOf(base, options),
    next: await objectOf(next, options),
    provenance: { unit: 'unit.c', baseCommand: [], nextCommand: [], compiler: '', baseline: 'test' },
  };
  const diff = diffObjects(pair);
  return new Map(diff.data.map((change) => [change.name.replace(/\.\d+$/, ''), compareValues(pair, diff, change)]));
}

const lines = (values: DataValues | undefined): string[] => {
  assert.ok(values, 'the object differs');
  return dataLines(values);
};

const TABLE = `
enum flag { FLAG_A = 1, FLAG_B = 2, FLAG_C = 4 };
struct point { short x, y; };
struct handler {
  const char *name; int (*fn)(int); enum flag flags; unsigned ready : 1, level : 5; signed delta : 4;
  float rate; double scale; struct point at[2]; char tag[8]; _Bool on; unsigned long mask; const int *limit;
};
static int get(int x) { return x + 1; }
static int put(int x) { return x + 2; }
int limits[8] = {1, 2, 3};
struct handler handlers[] = {
  { "get", get, FLAG_A, 1, 3, -2, 0.1f, 2.5, {{1, 2}, {3, 4}}, "one", 1, 0xff00, limits },
  { "head", get, FLAG_A, 1, 3, -2, 0.1f, 2.5, {{1, 2}, {3, 4}}, "two", 1, 0xff00, limits },
  { "stat", get, FLAG_A, 1, 3, -2, 0.1f, 2.5, {{1, 2}, {3, 4}}, "three", 1, 0xff00, limits },
  { "last", put, FLAG_C, 0, 0, 0, 1, 1, {{0}}, "four", 0, 0, 0 },
};
`;
const LAST = '{ "last", put, FLAG_C, 0, 0, 0, 1, 1, {{0}}, "four", 0, 0, 0 }';
const CHANGED =
  '{ "final", get, FLAG_A | FLAG_B, 1, 9, -7, 0.3f, -1.5, {{0}, {0, 7}}, "fünf\\n", 1, 0x8000000000000001, limits + 3 }';

describe('data by value', () => {
  for (const compiler of ['gcc-12', 'clang-14'])
    for (const dwarf of ['-gdwarf-4', '-gdwarf-5']) {
      const options = { compiler, extra: [dwarf] };
      const skip = !hasTool(compiler) && `${compiler} is not installed`;
      test(`every kind of value in a table [${compiler} ${dwarf}]`, { skip }, async () => {
        const values = (await valuesOf(TABLE, TABLE.replace(LAST, CHANGED), options)).get('handlers');
        assert.deepEqual(lines(values), [
          'handlers[3].name: "last" → "final"',
          'handlers[3].fn: put → get',
          'handlers[3].flags: FLAG_C (4) → FLAG_A|FLAG_B (3)',
          'handlers[3].ready: 0 → 1',
          'handlers[3].level: 0 → 9',
          'handlers[3].delta: 0 → -7',
          'handlers[3].rate: 1.0 → 0.3',
          'handlers[3].scale: 1.0 → -1.5',
          'handlers[3].at[1].y: 0 → 7',
          'handlers[3].tag: "four" → "f\\xc3\\xbcnf\\n"',
          'handlers[3].on: false → true',
          'handlers[3].mask: 0 → 9223372036854775809 (0x8000000000000001)',
          'handlers[3].limit: NULL → &limits+12',
        ]);
      });

      test(`equal stretches are told in one line, on both sides alike [${compiler} ${dwarf}]`, { skip }, async () => {
        const next = TABLE.replace(LAST, LAST.replace('FLAG_C', 'FLAG_B'));
        const values = (await valuesOf(TABLE, next, options)).get('handlers')!;
        assert.equal(
          renderDataSide(values, 'next'),
          `/* 320 bytes */
struct handler handlers[4] = {
    /* [0..2] unchanged */
    [3] = {
        /* .name … .fn (2 members) unchanged */
        .flags = FLAG_B (2),
        /* .ready … .limit (10 members) unchanged */
    },
};
`.replace('/* .name … .fn (2 members) unchanged */', '.name = "last",\n        .fn = put,'),
        );
        const [base, after] = (['base', 'next'] as const).map((side) => renderDataSide(values, side).split('\n'));
        assert.equal(base!.filter((line, i) => line !== after![i]).length, 1, 'one line differs');
      });

      test(`an element that was put in between shifts no other [${compiler} ${dwarf}]`, { skip }, async () => {
        const next = TABLE.replace(
          '{ "head"',
          '{ "new", put, FLAG_B, 0, 0, 0, 0, 0, {{0}}, "", 0, 0, 0 },\n  { "head"',
        );
        const values = (await valuesOf(TABLE, next, options)).get('handlers');
        const list = lines(values);
        assert.equal(list.length, 1, list.join('\n'));
        assert.match(list[0]!, /^handlers\[1\]: new, \{\.name = "new", \.fn = put, \.flags = FLAG_B \(2\), /);
        assert.match(renderDataSide(values!, 'next'), /\/\* \[1\.\.3\], now \[2\.\.4\]: unchanged \*\//);
      });
    }

  test('a field that moved is the same value; a new one is told', async () => {
    const base = 'struct s { int a; char b; long c; };\nstruct s table[2] = {{1, 2, 3}, {4, 5, 6}};\n';
    const next = 'struct s { int a; long c; char b; int d; };\nstruct s table[2] = {{1, 3, 2, 0}, {4, 6, 7, 8}};\n';
    assert.deepEqual(lines((await valuesOf(base, next)).get('table')), [
      'table[0].d: new, 0',
      'table[1].b: 5 → 7',
      'table[1].d: new, 8',
    ]);
  });

  test('unions show each member, and say so; nameless structs are lifted', async () => {
    const base = 'struct v { int kind; union { int i; float f; struct { short lo, hi; }; }; } v = {1, {1}};\n';
    const next = base.replace('{1, {1}}', '{1, {0x3f800000}}');
    assert.deepEqual(
      lines((await valuesOf(base, next)).get('v')),
      [
        'v.i: 1 → 1065353216 (a member of a union)',
        'v.f: 1.401298464324817e-45 → 1.0 (a member of a union)',
        'v.lo: 1 → 0 (a member of a union)',
        'v.hi: 0 → 16256 (a member of a union)',
      ].map((line) => line.replace('1.401298464324817e-45', '1e-45')),
    );
  });

  test('arrays of several dimensions, strings, flexible members, long double, 128 bits', async () => {
    const base = `
int grid[2][3] = {{1, 2, 3}, {4, 5, 6}};
const char *const names[] = {"a", "b", "c"};
struct list { int n; short items[]; } list = {3, {1, 2, 3}};
long double wide = 1.5L;
__int128 huge = -1;
unsigned char raw[4] = {1, 2, 3, 4};
`;
    const next = base
      .replace('5, 6', '5, 9')
      .replace('"c"', '"see"')
      .replace('1, 2, 3}};\nlong', '1, 7, 3}};\nlong')
      .replace('1.5L', '-2.25L')
      .replace('= -1', '= (__int128)1 << 100')
      .replace('3, 4}', '3, 255}');
    const values = await valuesOf(base, next);
    assert.deepEqual(lines(values.get('grid')), ['grid[1][2]: 6 → 9']);
    assert.deepEqual(lines(values.get('names')), ['names[2]: "c" → "see"']);
    assert.deepEqual(lines(values.get('list')), ['list.items[1]: 2 → 7']);
    assert.deepEqual(lines(values.get('wide')), ['wide: 1.5 → -2.25']);
    assert.deepEqual(lines(values.get('huge')), ['huge: -1 → 1267650600228229401496703205376']);
    assert.deepEqual(lines(values.get('raw')), ['raw[3]: 4 → 255']);
  });

  test('what a pointer to a nameless table means counts, not where it lies', async () => {
    const base = 'const int *const table[2] = { (const int[]){1, 2, 3}, (const int[]){4, 5} };\n';
    const list = lines((await valuesOf(base, base.replace('4, 5', '4, 6'))).get('table'));
    assert.equal(list.length, 1);
    assert.match(list[0]!, /^table\[1\]: /);
    const [, before, after] = /: (.*) → (.*)$/.exec(list[0]!)!;
    assert.notEqual(before, after);
  });

  test('static locals, thread-local and zeroed data', async () => {
    const base =
      'int f(void) { static int seen = 1; static __thread int mine; return seen++ + mine++; }\nint zero[100];\n';
    const next = base
      .replace('seen = 1', 'seen = 2')
      .replace('int mine', 'int mine = 5')
      .replace('zero[100]', 'zero[100] = {[50] = 1}');
    const values = await valuesOf(base, next);
    assert.deepEqual(lines(values.get('seen')), ['seen: 1 → 2']);
    assert.deepEqual(lines(values.get('mine')), ['mine: 0 → 5']);
    assert.deepEqual(lines(values.get('zero')), ['zero[50]: 0 → 1']);
    assert.match(
      renderDataSide(values.get('zero')!, 'next'),
      /\/\* \[0\.\.49\] unchanged \*\/\n {4}\[50\] = 1,\n {4}\/\* \[51\.\.99\] unchanged \*\//,
    );
  });

  test('new and removed data, with repeated elements in one line', async () => {
    const base = 'int kept = 1;\nint *const user[1] = {&kept};\n';
    const next = `${base}short fresh[40] = {1, 2, [39] = 3};\n`;
    const fresh = (await valuesOf(base, next)).get('fresh')!;
    assert.match(renderDataSide(fresh, 'base'), /does not exist on this side/);
    assert.match(renderDataSide(fresh, 'next'), /\[1\] = 2,\n {4}\[2 \.\.\. 38\] = 0,\n {4}\[39\] = 3,/);
    assert.match(lines(fresh)[0]!, /^fresh: new, \{1, 2, 0, /);
    const gone = (await valuesOf(next, base)).get('fresh')!;
    assert.match(lines(gone)[0]!, /^fresh: gone, was \{1, 2, 0, /);
  });

  test('without debug information: bytes by offset, pointers by name', async () => {
    const source = 'extern int a, b; struct t { int *p; int n[4]; } table = { &a, {1, 2, 3, 4} };\n';
    const next = source.replace('&a', '&b').replace('3, 4', '3, 5');
    const values = (await valuesOf(source, next, { args: ['-O2', '-fdata-sections'] })).get('table')!;
    assert.equal(values.typed, false);
    assert.deepEqual(lines(values), [
      'table+0x0: 00 00 00 00 00 00 00 00 → a → 00 00 00 00 00 00 00 00 → b',
      'table+0x10: 03 00 00 00 04 00 00 00 → 03 00 00 00 05 00 00 00',
    ]);
    assert.match(renderDataSide(values, 'base'), /no debug information tells its type/);
  });

  test('a table of half a million numbers costs no more than what differs in it', async () => {
    const base = 'int big[500000] = {[0 ... 499999] = 7};\n';
    const values = (await valuesOf(base, base.replace('= 7}', '= 7, [250000] = 8}'))).get('big')!;
    assert.deepEqual(lines(values), ['big[250000]: 7 → 8']);
    assert.equal(values.cut, false);
    assert.match(
      renderDataSide(values, 'base'),
      /\/\* \[0\.\.249999\] unchanged \*\/\n {4}\[250000\] = 7,\n {4}\/\* \[250001\.\.499999\] unchanged \*\//,
    );
  });
});
