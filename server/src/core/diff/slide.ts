import type { AsmRow } from '../asm/types.ts';
import type { Matches } from './rows.ts';

/** Rows that one block is moved by at most: what repeats for longer has no better place. */
const FARTHEST = 200;

/**
 * Moves blocks of added or removed rows to where a reader expects them. Where a block begins as the rows behind it do (two calls after each other,
 * and a third one is new), several places are equally short: the one is taken that begins and ends with a line of the source, or
 * else behind a branch or at a label; else the last one, as `git diff` does.
 *
 * @param pairs index pairs that correspond, rising on both sides; `a` and `b` are the keys of the rows
 * @returns as many pairs, each of equal keys, rising on both sides
 */
export function slideBlocks(
  pairs: Matches,
  a: Int32Array,
  b: Int32Array,
  left: readonly AsmRow[],
  right: readonly AsmRow[],
): Matches {
  const out = pairs.map(([x, y]): [number, number] => [x, y]);
  // From the end, so that what a block is moved over is settled.
  for (let at = out.length; at >= 0; at--) {
    const [x0, y0] = at === 0 ? [-1, -1] : out[at - 1]!;
    const [x1, y1] = at === out.length ? [a.length, b.length] : out[at]!;
    const [added, removed] = [y1 - y0 - 1, x1 - x0 - 1];
    if (added > 0 && removed === 0) slide(out, at, 1, b, right, added);
    else if (removed > 0 && added === 0) slide(out, at, 0, a, left, removed);
  }
  return out;
}

/** Moves the block of `size` rows of one side in front of pair `at`; `out` is changed in place. */
function slide(
  out: [number, number][],
  at: number,
  side: 0 | 1,
  keys: Int32Array,
  rows: readonly AsmRow[],
  size: number,
): void {
  const end = at === out.length ? keys.length : out[at]![side];
  // How far it can go without a row changing its text: up, over pairs in front of it; down, over those behind it.
  let up = 0;
  for (; up < FARTHEST && at - up > 0; up++) {
    const pair = out[at - up - 1]![side];
    if (pair !== end - size - up - 1 || keys[pair] !== keys[end - up - 1]) break;
  }
  let down = 0;
  for (; down < FARTHEST && at + down < out.length; down++) {
    const pair = out[at + down]![side];
    if (pair !== end + down || keys[pair] !== keys[end - size + down]) break;
  }
  let [best, score] = [0, -1];
  for (let shift = -up; shift <= down; shift++) {
    const now = fitness(rows, end - size + shift, end + shift);
    if (now >= score) [best, score] = [shift, now];
  }
  for (let step = 1; step <= -best; step++) out[at - step]![side] += size;
  for (let step = 0; step < best; step++) out[at + step]![side] -= size;
}

/** How well rows [start, end) stand for themselves: whole lines of the source first, then whole blocks of code. */
function fitness(rows: readonly AsmRow[], start: number, end: number): number {
  const border = (at: number): number => {
    const [before, here] = [rows[at - 1], rows[at]];
    if (!before || !here) return 6;
    const isLine = before.source?.line !== here.source?.line || before.source?.file !== here.source?.file;
    const isBlock = here.label !== undefined || /^(j|ret|b$|b\.|cb|tb)/.test(before.mnemonic);
    return (isLine ? 4 : 0) + (isBlock ? 2 : 0);
  };
  return border(start) + border(end);
}
