import type { SourceHunk } from '../core/diff/types.ts';

/** Edit steps after which the middle of two texts is taken as one hunk: keeps the time bounded for rewritten files. */
const MAX_STEPS = 1500;

/**
 * Lines that differ between two texts: Myers' O(ND) algorithm ("An O(ND) Difference Algorithm and Its Variations", 1986) on
 * the part between the common head and the common tail. Line numbers count from 1; a pure insertion has `baseCount` 0 and
 * `baseStart` the line before which it stands.
 */
export function diffLines(baseText: string, nextText: string): SourceHunk[] {
  if (baseText === nextText) return [];
  const base = baseText.split('\n');
  const next = nextText.split('\n');
  let head = 0;
  while (head < base.length && head < next.length && base[head] === next[head]) head++;
  let tail = 0;
  while (
    tail < base.length - head &&
    tail < next.length - head &&
    base[base.length - 1 - tail] === next[next.length - 1 - tail]
  ) {
    tail++;
  }
  const pairs = matches(base.slice(head, base.length - tail), next.slice(head, next.length - tail));
  const hunks: SourceHunk[] = [];
  let a = 0;
  let b = 0;
  for (const [x, y] of [...pairs, [base.length - tail - head, next.length - tail - head] as const]) {
    if (x > a || y > b) {
      hunks.push({ baseStart: head + a + 1, baseCount: x - a, nextStart: head + b + 1, nextCount: y - b });
    }
    a = x + 1;
    b = y + 1;
  }
  return hunks;
}

/** Pairs of equal lines on the shortest edit path, in order; none where the path is too long to look for. */
function matches(a: readonly string[], b: readonly string[]): (readonly [number, number])[] {
  if (a.length === 0 || b.length === 0) return [];
  const limit = Math.min(MAX_STEPS, a.length + b.length);
  const trace: Int32Array[] = [];
  const width = 2 * limit + 3;
  const v = new Int32Array(width);
  const middle = limit + 1;
  for (let d = 0; d <= limit; d++) {
    trace.push(v.slice(middle - d - 1, middle + d + 2));
    for (let k = -d; k <= d; k += 2) {
      let x =
        k === -d || (k !== d && v[middle + k - 1]! < v[middle + k + 1]!) ? v[middle + k + 1]! : v[middle + k - 1]! + 1;
      let y = x - k;
      while (x < a.length && y < b.length && a[x] === b[y]) {
        x++;
        y++;
      }
      v[middle + k] = x;
      if (x >= a.length && y >= b.length) return backtrack(trace, a.length, b.length);
    }
  }
  return [];
}

function backtrack(trace: readonly Int32Array[], endX: number, endY: number): [number, number][] {
  const pairs: [number, number][] = [];
  let x = endX;
  let y = endY;
  for (let d = trace.length - 1; d >= 0; d--) {
    // trace[d] holds diagonals −d−1 … d+1 as they were before step d.
    const v = trace[d]!;
    const at = (k: number) => v[k + d + 1]!;
    const k = x - y;
    const down = k === -d || (k !== d && at(k - 1) < at(k + 1));
    const before = down ? k + 1 : k - 1;
    const startX = d === 0 ? 0 : at(before);
    const startY = d === 0 ? 0 : startX - before;
    // The step itself goes one down or one right; what follows it on the diagonal are equal lines.
    const afterStep = d === 0 || down ? startX : startX + 1;
    while (x > afterStep) {
      x--;
      y--;
      pairs.push([x, y]);
    }
    x = startX;
    y = startY;
  }
  return pairs.reverse();
}
