import type { AsmRow } from '../asm/types.ts';
import { withoutRegisters } from './noise.ts';
import { slideBlocks } from './slide.ts';
import type { AlignedRow } from './types.ts';

/**
 * Aligns two listings instruction by instruction (Myers, "An O(ND) Difference Algorithm and Its Variations", 1986, linear space variant
 * with a bound on the work). Padding is left out. Labels are compared by where they lead, not by name.
 * Time is bounded: listings that have almost nothing in common are aligned by unique lines and then side by side.
 */
export function alignRows(base: readonly AsmRow[], next: readonly AsmRow[]): AlignedRow[] {
  const left = base.filter((row) => !row.padding);
  const right = next.filter((row) => !row.padding);
  const keys = new Map<string, number>();
  const a = keysOf(left, keys);
  const b = keysOf(right, keys);
  const pairs = slideBlocks(alignKeys(a, b), a, b, left, right);
  return withLabels(left, right, pairs);
}

/** Text of a row with the names of labels left out. */
export function rowKey(row: AsmRow): string {
  let operands = row.operands;
  for (const reference of row.references)
    if (reference.kind === 'label') operands = operands.replace(reference.name, '.L');
  return `${row.mnemonic} ${operands}`;
}

function keysOf(rows: readonly AsmRow[], keys: Map<string, number>): Int32Array {
  const out = new Int32Array(rows.length);
  for (const [i, row] of rows.entries()) {
    const key = rowKey(row);
    let id = keys.get(key);
    if (id === undefined) {
      id = keys.size;
      keys.set(key, id);
    }
    out[i] = id;
  }
  return out;
}

/** Index pairs that correspond, rising on both sides. */
export type Matches = readonly (readonly [number, number])[];

/** Most steps that one alignment may take before it falls back; a fraction of a second. */
const BUDGET = 20_000_000;
/** The same for one run of differing rows. */
const GAP_BUDGET = 100_000;

/** Longest common subsequence of two sequences of integers, exact while the work stays within `steps`. */
export function alignKeys(a: Int32Array, b: Int32Array, steps = BUDGET): Matches {
  const out: [number, number][] = [];
  const budget = { left: steps };
  const size = 2 * (a.length + b.length) + 4;
  align({ a, b, out, budget, forward: new Int32Array(size), backward: new Int32Array(size) }, 0, a.length, 0, b.length);
  return out;
}

interface Work {
  readonly a: Int32Array;
  readonly b: Int32Array;
  readonly out: [number, number][];
  readonly budget: { left: number };
  readonly forward: Int32Array;
  readonly backward: Int32Array;
}

function align(work: Work, a0: number, a1: number, b0: number, b1: number): void {
  const { a, b, out } = work;
  while (a0 < a1 && b0 < b1 && a[a0] === b[b0]) out.push([a0++, b0++]);
  let tail = 0;
  while (a0 < a1 && b0 < b1 && a[a1 - 1] === b[b1 - 1]) {
    a1--;
    b1--;
    tail++;
  }
  if (a0 < a1 && b0 < b1) {
    const middle = work.budget.left > 0 ? middleSnake(work, a0, a1, b0, b1) : undefined;
    if (middle) {
      align(work, a0, middle.x, b0, middle.y);
      align(work, middle.x, a1, middle.y, b1);
    } else anchors(work, a0, a1, b0, b1);
  }
  for (let i = 0; i < tail; i++) out.push([a1 + i, b1 + i]);
}

/** A point on a shortest edit path, found from both ends at once; undefined where the budget ran out. */
function middleSnake(work: Work, a0: number, a1: number, b0: number, b1: number): { x: number; y: number } | undefined {
  const { a, b, forward, backward, budget } = work;
  const n = a1 - a0;
  const m = b1 - b0;
  const max = (n + m + 1) >> 1;
  const delta = n - m;
  const odd = (delta & 1) !== 0;
  const centre = n + m + 1;
  forward[centre + 1] = 0;
  backward[centre + 1] = 0;
  for (let d = 0; d <= max; d++) {
    budget.left -= 2 * d + 2;
    if (budget.left < 0) return undefined;
    for (let k = -d; k <= d; k += 2) {
      let x =
        k === -d || (k !== d && forward[centre + k - 1]! < forward[centre + k + 1]!)
          ? forward[centre + k + 1]!
          : forward[centre + k - 1]! + 1;
      let y = x - k;
      while (x < n && y < m && a[a0 + x] === b[b0 + y]) {
        x++;
        y++;
      }
      forward[centre + k] = x;
      const reverse = delta - k;
      if (odd && reverse >= -(d - 1) && reverse <= d - 1 && x + backward[centre + reverse]! >= n)
        return inside(a0, a1, b0, b1, x, y);
    }
    for (let k = -d; k <= d; k += 2) {
      let x =
        k === -d || (k !== d && backward[centre + k - 1]! < backward[centre + k + 1]!)
          ? backward[centre + k + 1]!
          : backward[centre + k - 1]! + 1;
      let y = x - k;
      while (x < n && y < m && a[a1 - 1 - x] === b[b1 - 1 - y]) {
        x++;
        y++;
      }
      backward[centre + k] = x;
      const straight = delta - k;
      if (!odd && straight >= -d && straight <= d && x + forward[centre + straight]! >= n)
        return inside(a0, a1, b0, b1, n - x, m - y);
    }
  }
  return undefined;
}

/** The point in absolute indices; undefined where it does not divide the ranges (then the fallback takes over). */
function inside(
  a0: number,
  a1: number,
  b0: number,
  b1: number,
  x: number,
  y: number,
): { x: number; y: number } | undefined {
  const px = Math.min(Math.max(a0 + x, a0), a1);
  const py = Math.min(Math.max(b0 + y, b0), b1);
  const whole = (px === a0 && py === b0) || (px === a1 && py === b1);
  return whole ? undefined : { x: px, y: py };
}

/** Fallback: keys that occur once on each side and in rising order are matched (patience), the rest only at the edges. */
function anchors(work: Work, a0: number, a1: number, b0: number, b1: number): void {
  const { a, b, out } = work;
  const seen = new Map<number, { x: number; y: number; count: number }>();
  for (let x = a0; x < a1; x++) {
    const entry = seen.get(a[x]!);
    if (entry) entry.count = 3;
    else seen.set(a[x]!, { x, y: -1, count: 1 });
  }
  for (let y = b0; y < b1; y++) {
    const entry = seen.get(b[y]!);
    if (entry) {
      entry.count = entry.count === 1 ? 2 : 3;
      entry.y = y;
    }
  }
  const unique = [...seen.values()].filter((entry) => entry.count === 2).sort((p, q) => p.x - q.x);
  for (const { x, y } of risingRun(unique)) {
    // Equal neighbours before the anchor belong to it.
    let back = 0;
    const last = out.at(-1);
    const lowX = Math.max(a0, last ? last[0] + 1 : a0);
    const lowY = Math.max(b0, last ? last[1] + 1 : b0);
    while (x - back - 1 >= lowX && y - back - 1 >= lowY && a[x - back - 1] === b[y - back - 1]) back++;
    if (x < lowX || y < lowY) continue;
    for (let i = back; i >= 0; i--) out.push([x - i, y - i]);
    let forward = 1;
    while (x + forward < a1 && y + forward < b1 && a[x + forward] === b[y + forward]) {
      out.push([x + forward, y + forward]);
      forward++;
    }
  }
}

/** Longest run of entries whose `y` rises. */
function risingRun(entries: readonly { x: number; y: number }[]): { x: number; y: number }[] {
  const tails: number[] = [];
  const previous = new Int32Array(entries.length).fill(-1);
  for (const [i, entry] of entries.entries()) {
    let low = 0;
    let high = tails.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (entries[tails[middle]!]!.y < entry.y) low = middle + 1;
      else high = middle;
    }
    if (low > 0) previous[i] = tails[low - 1]!;
    tails[low] = i;
  }
  const run: { x: number; y: number }[] = [];
  for (let i = tails.at(-1) ?? -1; i >= 0; i = previous[i]!) run.push(entries[i]!);
  return run.reverse();
}

/** Builds the aligned rows; a branch is the same only where its target's row corresponds to the other's. */
function withLabels(left: readonly AsmRow[], right: readonly AsmRow[], pairs: Matches): AlignedRow[] {
  const leftLabels = labelRows(left);
  const rightLabels = labelRows(right);
  const partner = new Int32Array(left.length).fill(-1);
  for (const [i, j] of pairs) partner[i] = j;
  const rows: AlignedRow[] = [];
  let i = 0;
  let j = 0;
  const gap = (toLeft: number, toRight: number) => {
    // Rows of one form (another constant, another callee) stand side by side; the rest as far as it goes.
    for (const [x, y] of [
      ...alignForms(left.slice(i, toLeft), right.slice(j, toRight), i, j),
      [toLeft, toRight] as const,
    ]) {
      while (i < x && j < y) rows.push({ base: left[i++]!, next: right[j++]!, same: false });
      while (i < x) rows.push({ base: left[i++]!, same: false });
      while (j < y) rows.push({ next: right[j++]!, same: false });
      if (x < toLeft) rows.push({ base: left[i++]!, next: right[j++]!, same: false });
    }
  };
  for (const [x, y] of pairs) {
    gap(x, y);
    const base = left[i++]!;
    const next = right[j++]!;
    const from = labelsOf(base);
    const to = labelsOf(next);
    const same =
      from.length === to.length &&
      from.every((label, k) => {
        const target = leftLabels.get(label);
        return target !== undefined && leadsTo(partner, target, rightLabels.get(to[k]!) ?? -1);
      });
    rows.push({ base, next, same });
  }
  gap(left.length, right.length);
  return rows;
}

/** Pairs rows of a gap that have the same form: mnemonic and operands with numbers, references and the names of registers left out. */
function alignForms(left: readonly AsmRow[], right: readonly AsmRow[], fromLeft: number, fromRight: number): Matches {
  if (left.length === 0 || right.length === 0 || (left.length === 1 && right.length === 1)) return [];
  const keys = new Map<string, number>();
  const a = formsOf(left, keys);
  const b = formsOf(right, keys);
  return alignKeys(a, b, GAP_BUDGET).map(([x, y]) => [x + fromLeft, y + fromRight]);
}

function formsOf(rows: readonly AsmRow[], keys: Map<string, number>): Int32Array {
  return Int32Array.from(rows, (row) => {
    const key = rowForm(row);
    const id = keys.get(key) ?? keys.size;
    keys.set(key, id);
    return id;
  });
}

/** Mnemonic and operands with references, numbers and the names of registers left out: a compiler that renames a register does so in many rows. */
export function rowForm(row: AsmRow): string {
  let operands = row.operands;
  for (const reference of row.references) operands = operands.replace(reference.name, '@');
  return `${row.mnemonic} ${withoutRegisters(operands).replace(/\b(0x[0-9a-f]+|\d+)\b/g, '#')}`;
}

/** A branch leads to the same place where the target rows correspond, or where what stood at the target was replaced by what stands at the other. */
function leadsTo(partner: Int32Array, target: number, other: number): boolean {
  if (other < 0) return false;
  if (partner[target] === other) return true;
  if (partner[target]! >= 0) return false;
  // The target itself was edited: compare what precedes it on both sides.
  const before = target === 0 ? -1 : partner[target - 1]!;
  return before >= 0 ? before === other - 1 : target === 0 && other === 0;
}

/** Labels that a row leads to: its branch target, or the entries of its jump table. */
function labelsOf(row: AsmRow): readonly string[] {
  const labels: string[] = [];
  for (const reference of row.references) {
    if (reference.kind === 'label') labels.push(reference.name);
    else if (reference.labels) labels.push(...reference.labels);
  }
  return labels;
}

function labelRows(rows: readonly AsmRow[]): ReadonlyMap<string, number> {
  const map = new Map<string, number>();
  for (const [i, row] of rows.entries()) if (row.label !== undefined) map.set(row.label, i);
  return map;
}
