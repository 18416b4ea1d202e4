import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAnalyser } from '../../../server/src/analyse.ts';
import { listFunction } from '../../../server/src/core/asm/listing.ts';
import { alignRows } from '../../../server/src/core/diff/rows.ts';
import { typeTable } from '../../../server/src/core/diff/type-table.ts';
import { hoverFunction, hoverLine, hoverMember, hoverType } from '../../../server/src/core/render/hover.ts';
import { layoutRows, renderLayoutChange, renderStruct } from '../../../server/src/core/render/layout.ts';
import { CASE_COMPILERS, compile, hasTool } from '../../support/cc.ts';

const analyser = createAnalyser();

async function comparisonOf(base: string, next: string, compiler = 'gcc-12') {
  const { load, compare } = await analyser;
  const object = (source: string) => load(compile(source, { compiler })).object!;
  return compare(object(base), object(next), {
    unit: 'unit.c',
    baseCommand: [],
    nextCommand: [],
    compiler,
    baseline: 'test',
  });
}

const before = `
extern int rnd(int);
struct conn { char kind; int port; char name[70]; struct { short lo; short hi; } part; unsigned open : 1; unsigned mode : 4; };
struct conn conns[4];
int run(int i) {
  int port = conns[i].port;
  return rnd(port) + conns[i].part.hi;
}
int stays(int x) { return rnd(x); }
`;
const after = before
  .replace('int port; char name', 'int port; long id; char name')
  .replace('+ conns[i].part.hi', '* 3 + conns[i].part.hi');

test('a layout in pahole words', async () => {
  const { pair } = await comparisonOf(before, before);
  const table = typeTable(pair.base.dwarf);
  const conn = pair.base.dwarf.types.find(({ name, kind }) => name === 'conn' && kind === 'struct')!;
  assert.equal(
    renderStruct(table, conn.index).replace(/ +/g, ' '),
    `struct conn {
 char kind; /* 0 1 */
 /* 3 bytes hole */
 int port; /* 4 4 */
 char name[70]; /* 8 70 */
 /* --- cacheline 1 boundary (64 bytes) --- */
 struct {
 short int lo; /* 78 2 */
 short int hi; /* 80 2 */
 } part; /* 78 4 */
 unsigned int open:1; /* 82: 0 1 */
 unsigned int mode:4; /* 82: 1 4 */
 /* 11 bits padding */

 /* size: 84, cachelines: 2, members: 6, holes: 1 (3 bytes), padding: 11 bits */
};
`,
  );
  const bits = layoutRows(table, conn.index).filter(
    ({ what }) => what === 'member' || what === 'hole' || what === 'padding',
  );
  assert.equal(
    bits.reduce((sum, row) => sum + row.size, 0),
    84 * 8,
    'members, holes and padding make up the whole struct',
  );
});

test('a changed layout before and after', async () => {
  const { pair, diff, findings } = await comparisonOf(before, after);
  const change = diff.types.find(({ name }) => name === 'conn')!;
  const text = renderLayoutChange(pair, change);
  const lines = text.split('\n').map((line) => line.replace(/ +/g, ' ').trim());
  assert.ok(lines.includes('+ long int id; /* 8 8 */'));
  assert.ok(lines.includes('- char name[70]; /* 8 70 */') && lines.includes('+ char name[70]; /* 16 70 */'));
  assert.ok(lines.includes('int port; /* 4 4 */'), 'what is the same has no mark');
  assert.equal(lines.filter((line) => line.startsWith('- /* size: 84')).length, 1);
  const hover = hoverType(pair, change, findings);
  assert.match(hover, /`struct conn` changed: 84 → 96 bytes/);
  assert.match(hover, /Instances outlive the patch: variable conns/);
  assert.match(hover, /blocker `struct-layout`/);
  assert.ok(hover.includes('```diff\n'));
  const member = hoverMember(change, 'name')!;
  assert.match(member, /name moved from offset 8 to 16/);
  assert.match(member, /\| offset \| 8 \| 16 \|\n\| size \| 70 bytes \| 70 bytes \|/);
  assert.equal(hoverMember(change, 'port'), undefined);
  assert.match(hoverMember(change, 'id')!, /\| offset \| – \| 8 \|/);
});

test('enums and typedefs', async () => {
  const { pair, diff } = await comparisonOf(
    'enum e { A, B, C } v; typedef int num; num n;\n',
    'enum e { A, X, B } v; typedef long num; num n;\n',
  );
  const text = (name: string): string => renderLayoutChange(pair, diff.types.find((type) => type.name === name)!);
  assert.equal(text('e'), '  enum e {\n+     X = 1,\n-     B = 1,\n+     B = 2,\n-     C = 2,\n  };\n');
  assert.equal(text('num'), '- typedef int num; /* 4 bytes */\n+ typedef long int num; /* 8 bytes */\n');
});

for (const compiler of CASE_COMPILERS.filter(hasTool)) {
  test(`hovers on a function and its lines [${compiler}]`, async () => {
    const next = before.replace('return rnd(port) + conns', 'return rnd(port) * 3 + conns');
    const { pair, diff, findings } = await comparisonOf(before, next, compiler);
    const change = diff.functions.find(({ name }) => name === 'run')!;
    const hover = hoverFunction(change, findings);
    assert.ok(hover.includes(`| bytes | ${change.baseSize} | ${change.nextSize} |`));
    assert.ok(hover.includes(`| instructions | ${change.baseInstructions} | ${change.nextInstructions} |`));
    assert.match(hover, /In the patch because:\n- /);

    const rows = alignRows(listFunction(pair.base, change.base!), listFunction(pair.next, change.next!));
    const line = hoverLine(rows, { file: change.at!.file, line: 7 })!;
    assert.match(line, /machine code of this line: \d+ → \d+ instructions/);
    assert.match(line, /^\+ (lea|imul)/m);
    assert.equal(hoverLine(rows, { file: change.at!.file, line: 9 }), undefined, 'another function');
    assert.equal(hoverLine(rows, { file: '/src/other.h', line: 7 }), undefined, 'another file');
    assert.equal(
      hoverLine(
        rows.map((row) => ({ ...row, same: true })),
        { file: change.at!.file, line: 7 },
      ),
      undefined,
    );
  });
}

test('names from objects cannot bring markup into a hover', () => {
  const evil = 'f`<img src=x>|\n```';
  const hover = hoverFunction({
    name: evil,
    status: 'changed',
    baseSize: 1,
    nextSize: 2,
    baseInstructions: 1,
    nextInstructions: 1,
    reasons: [{ kind: 'string', detail: '`<script>`' }],
    lineOnly: false,
    changedLines: [],
  });
  assert.ok(!/[^\\]<|[^\\]`<|\n```/.test(hover.replace(/: `'<script>'`/, '')), hover);
});
