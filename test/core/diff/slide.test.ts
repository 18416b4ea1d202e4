import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listFunction } from '../../../server/src/core/asm/listing.ts';
import type { AsmRow } from '../../../server/src/core/asm/types.ts';
import { alignRows } from '../../../server/src/core/diff/rows.ts';
import { slideBlocks } from '../../../server/src/core/diff/slide.ts';
import { objectOf } from './support.ts';

const rowsOf = async (source: string, name: string): Promise<readonly AsmRow[]> => {
  const object = await objectOf(source, { extra: ['-O1'] });
  const known = object.elf.symbols.find((each) => each.name === name);
  assert.ok(known);
  return listFunction(object, known);
};
const lineOf = (row: AsmRow | undefined): number | undefined => row?.source?.line;

const body = (lines: readonly string[]): string =>
  `void two(int, int); void log_it(const char *);\nvoid work(int n)\n{\n${lines.join('\n')}\n}\n`;

test('a call that is new among calls like it is shown as a whole line of the source', async () => {
  const old = ['  two(n, 1);', '  two(2, n);', '  two(n, 3);', '  two(4, n);'];
  const base = await rowsOf(body(old), 'work');
  for (const [at, line] of [
    [1, '  two(5, n);'],
    [2, '  two(n, 5);'],
    [3, '  two(5, n);'],
    [1, '  two(n, 5);'],
    [2, old[1]!],
  ] as const) {
    const next = await rowsOf(body([...old.slice(0, at), line, ...old.slice(at)]), 'work');
    const rows = alignRows(base, next).filter((row) => !row.same);
    assert.ok(rows.length > 1 && rows.every((row) => !row.base), 'only added');
    assert.equal(new Set(rows.map((row) => lineOf(row.next))).size, 1, 'of one line');
    const whole = next.filter((row) => lineOf(row) === lineOf(rows[0]?.next));
    assert.equal(rows.length, whole.length, 'and all of it');
  }
});

test('the same for what is taken out', async () => {
  const old = ['  put(n);', '  log_it("a");', '  log_it("a");', '  log_it("a");', '  put(n);'];
  const base = await rowsOf(body(old), 'work');
  const next = await rowsOf(body([...old.slice(0, 2), ...old.slice(3)]), 'work');
  const rows = alignRows(base, next).filter((row) => !row.same);
  assert.ok(rows.length > 1 && rows.every((row) => !row.next), 'only removed');
  const line = lineOf(rows[0]?.base);
  assert.ok(rows.every((row) => lineOf(row.base) === line));
  assert.equal(rows.length, base.filter((row) => lineOf(row) === line).length);
});

test('pairs stay as many, equal and rising, wherever the blocks end up', () => {
  let state = 5;
  const random = (below: number): number => {
    state = (state * 48271) % 2147483647;
    return state % below;
  };
  const row = (key: number): AsmRow => ({
    offset: 0,
    bytes: new Uint8Array(),
    mnemonic: key % 3 === 0 ? 'jmp' : 'mov',
    operands: String(key),
    references: [],
    inlinedFrom: [],
    source: { file: '/a.c', line: random(9) },
  });
  for (let round = 0; round < 500; round++) {
    const letters = 1 + random(4);
    const [a, b] = [0, 1].map(() => Int32Array.from({ length: random(30) }, () => random(letters)));
    const pairs: [number, number][] = [];
    // Any common subsequence, not only a longest one.
    for (let [x, y] = [0, 0]; x < a!.length && y < b!.length; ) {
      if (a![x] === b![y] && random(4) > 0) pairs.push([x++, y++]);
      else if (random(2)) x++;
      else y++;
    }
    const slid = slideBlocks(pairs, a!, b!, [...a!].map(row), [...b!].map(row));
    assert.equal(slid.length, pairs.length);
    for (const [at, [x, y]] of slid.entries()) {
      assert.equal(a![x], b![y]);
      assert.ok(at === 0 || (x > slid[at - 1]![0] && y > slid[at - 1]![1]), `${slid}`);
      assert.ok(x >= 0 && y >= 0 && x < a!.length && y < b!.length);
    }
  }
});
