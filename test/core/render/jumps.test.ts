import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listFunction } from '../../../server/src/core/asm/listing.ts';
import type { AsmRow } from '../../../server/src/core/asm/types.ts';
import { alignRows } from '../../../server/src/core/diff/rows.ts';
import { type ListingLine, renderPair } from '../../../server/src/core/render/asm.ts';
import { type Jumps, jumpsOf, LANES } from '../../../server/src/core/render/jumps.ts';
import { objectOf } from '../diff/support.ts';

/** A listing of which only labels (`.L1:`), branches (`jmp .L1`) and the number of lines count. */
const listing = (...texts: string[]): ListingLine[] =>
  texts.map((text) => {
    const label = /(\.L\d+)$/.exec(text)?.[1];
    if (text.endsWith(':')) return { text };
    const references = label ? [{ name: label, addend: 0, kind: 'label' as const }] : [];
    return { text: `    ${text}`, row: { references } as unknown as AsmRow };
  });

const first = ({ to, from }: Jumps): number => Math.min(to, ...from);
const last = ({ to, from }: Jumps): number => Math.max(to, ...from);

test('jumps to one label are one line, the shorter one beside the text', () => {
  const jumps = jumpsOf(listing('je .L2', '.L1:', 'nop', 'jne .L1', 'jmp .L1', '.L2:', 'ret'));
  assert.deepEqual(jumps, [
    { to: 1, from: [3, 4], lane: 0 },
    { to: 5, from: [0], lane: 1 },
  ]);
});

test('jumps one after the other share a column, those that meet do not', () => {
  const jumps = jumpsOf(listing('.L1:', 'jmp .L1', '.L2:', 'jmp .L2', '.L3:', 'je .L4', 'jmp .L3', '.L4:', 'ret'));
  assert.deepEqual(
    jumps.map(({ lane }) => lane),
    [0, 0, 0, 1],
  );
});

test('what finds no room is told without a column; no two in a column meet, in thousands of jumps', () => {
  const count = 4000;
  const texts = Array.from({ length: count }, (_, at) => [`.L${at}:`, `jmp .L${(at * 7919) % count}`]).flat();
  const jumps = jumpsOf(listing(...texts));
  assert.equal(jumps.length, count);
  assert.ok(jumps.some(({ lane }) => lane === -1) && jumps.every(({ lane }) => lane < LANES));
  for (let lane = 0; lane < LANES; lane++) {
    const own = jumps.filter((each) => each.lane === lane).sort((a, b) => first(a) - first(b));
    assert.ok(own.length > 0);
    for (const [at, each] of own.entries()) assert.ok(at === 0 || last(own[at - 1]!) < first(each), `column ${lane}`);
  }
});

test('in real code each branch to a label of the pair has its line', async () => {
  const source = (limit: string) => `
    int work(const char *text, int most) {
      int sum = 0;
      for (int i = 0; text[i] && i < ${limit}; i++) {
        if (text[i] == '#') return -1;
        while (text[i] == ' ') i++;
        sum = sum * 31 + text[i];
      }
      return sum;
    }`;
  const rows = await Promise.all(
    ['most', 'most + 2'].map(async (limit) => {
      const object = await objectOf(source(limit));
      return listFunction(object, object.elf.symbols.find(({ name }) => name === 'work')!);
    }),
  );
  const pair = renderPair(alignRows(rows[0]!, rows[1]!));
  for (const lines of [pair.base, pair.next]) {
    const branches = lines.flatMap(({ text, row }, at) => (row && /\.L\d+$/.test(text) ? [at] : []));
    const jumps = jumpsOf(lines);
    assert.ok(branches.length > 3);
    assert.deepEqual(
      jumps.flatMap(({ from }) => from).sort((a, b) => a - b),
      branches,
    );
    for (const { to, from } of jumps)
      for (const at of from) assert.ok(lines[at]!.text.endsWith(` ${lines[to]!.text.replace(':', '')}`));
  }
});
