import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AsmRow } from '../../../server/src/core/asm/types.ts';
import { alignKeys, alignRows } from '../../../server/src/core/diff/rows.ts';

const row = (mnemonic: string, operands = ''): AsmRow => ({
  offset: 0,
  bytes: new Uint8Array(),
  mnemonic,
  operands,
  references: [],
  inlinedFrom: [],
});

/** Length of the longest common subsequence, by the textbook's table. */
function longest(a: readonly number[], b: readonly number[]): number {
  let previous = new Array<number>(b.length + 1).fill(0);
  for (const x of a) {
    const current = [0];
    for (const [j, y] of b.entries())
      current.push(x === y ? previous[j]! + 1 : Math.max(previous[j + 1]!, current[j]!));
    previous = current;
  }
  return previous[b.length]!;
}

/** A repeatable sequence of pseudo-random numbers (Park and Miller). */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 48271) % 2147483647;
    return state % below;
  };
}

test('alignment is a longest common subsequence, rising on both sides', () => {
  const random = generator(7);
  for (let round = 0; round < 400; round++) {
    const letters = 2 + random(6);
    const a = Array.from({ length: random(40) }, () => random(letters));
    const b = Array.from({ length: random(40) }, () => random(letters));
    const matches = alignKeys(Int32Array.from(a), Int32Array.from(b));
    assert.equal(matches.length, longest(a, b), `${a} | ${b}`);
    let last: readonly [number, number] = [-1, -1];
    for (const match of matches) {
      assert.ok(match[0] > last[0] && match[1] > last[1]);
      assert.equal(a[match[0]], b[match[1]]);
      last = match;
    }
  }
});

test('without budget the matches are still rising and equal', () => {
  const random = generator(11);
  for (let round = 0; round < 200; round++) {
    const a = Int32Array.from({ length: 60 }, () => random(20));
    const b = Int32Array.from({ length: 60 }, () => random(20));
    let last: readonly [number, number] = [-1, -1];
    for (const match of alignKeys(a, b, 50)) {
      assert.ok(match[0] > last[0] && match[1] > last[1]);
      assert.equal(a[match[0]], b[match[1]]);
      last = match;
    }
  }
});

test('20,000 against 20,000 different instructions takes about a second at most', () => {
  const base = Array.from({ length: 20_000 }, (_, i) => row('mov', `eax, ${i * 2}`));
  const next = Array.from({ length: 20_000 }, (_, i) => row('mov', `eax, ${i * 2 + 1}`));
  const started = process.cpuUsage().user;
  const aligned = alignRows(base, next);
  const seconds = (process.cpuUsage().user - started) / 1e6;
  assert.equal(aligned.length, 20_000);
  assert.ok(aligned.every((one) => !one.same && one.base && one.next));
  assert.ok(seconds < 2, `${seconds} s`);
});

test('the worst case, few different instructions in random order, is bounded as well', () => {
  const random = generator(3);
  const make = (shift: number) => Array.from({ length: 20_000 }, () => row('op', `${random(50) + shift}`));
  const started = process.cpuUsage().user;
  alignRows(make(0), make(25));
  const seconds = (process.cpuUsage().user - started) / 1e6;
  assert.ok(seconds < 2, `${seconds} s`);
});

test('a long listing with some edits is aligned exactly', () => {
  const base = Array.from({ length: 20_000 }, (_, i) => row('op', `${i % 997}`));
  const next = base.flatMap((one, i) => (i % 100 === 50 ? [row('new', `${i}`), one] : [one]));
  const aligned = alignRows(base, next);
  assert.equal(aligned.filter((one) => !one.same).length, 200);
});

test('rows of one form stand side by side', () => {
  const base = [row('push', 'rbx'), row('mov', 'edi, 1'), row('call', 'a'), row('ret')];
  const next = [row('push', 'rbx'), row('xor', 'eax, eax'), row('mov', 'edi, 2'), row('call', 'a'), row('ret')];
  const shown = alignRows(base, next).map((one) => `${one.base?.operands ?? '-'} | ${one.next?.operands ?? '-'}`);
  assert.deepEqual(shown, ['rbx | rbx', '- | eax, eax', 'edi, 1 | edi, 2', 'a | a', ' | ']);
});

test('a renamed register does not put rows beside others', () => {
  // An inserted test at the head of a loop, and another register for what the loop reads.
  const base = [row('push', 'rbx'), row('mov', 'rdx, r14'), row('lea', 'rsi, [r12 + rbx]'), row('call', 'a')];
  const next = [
    row('push', 'rbx'),
    row('cmp', 'qword ptr [rbp + 0x18], 0'),
    row('je', '.L5'),
    row('mov', 'rdx, r12'),
    row('lea', 'rsi, [r13 + rbx]'),
    row('call', 'a'),
  ];
  const shown = alignRows(base, next).map((one) => `${one.base?.mnemonic ?? '-'} | ${one.next?.mnemonic ?? '-'}`);
  assert.deepEqual(shown, ['push | push', '- | cmp', '- | je', 'mov | mov', 'lea | lea', 'call | call']);
});
