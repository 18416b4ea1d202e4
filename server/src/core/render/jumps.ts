import type { ListingLine } from './asm.ts';

/** Jumps to one place of a listing, drawn as one line with an arrow at its end. Lines from 0. */
export interface Jumps {
  /** Line of the label. */
  readonly to: number;
  /** Lines of the branches, rising. */
  readonly from: readonly number[];
  /** Column that the line is drawn in: 0 is the one beside the text; -1 where it would cross others in every column. */
  readonly lane: number;
}

/** Columns that there is room for. */
export const LANES = 5;

const LABEL_LINE = /^(\.L\d+):$/;

/** The jumps within a listing, each in a column where it crosses no other: short ones beside the text, long ones further out. */
export function jumpsOf(lines: readonly ListingLine[]): Jumps[] {
  const labels = new Map<string, number>();
  for (let at = 0; at < lines.length; at++) {
    const { text, row } = lines[at]!;
    const label = row || !text.startsWith('.') ? undefined : LABEL_LINE.exec(text)?.[1];
    if (label !== undefined) labels.set(label, at);
  }
  const sources = new Map<number, number[]>();
  // Most of ten thousands of lines refer to nothing.
  for (let at = 0; labels.size > 0 && at < lines.length; at++) {
    const references = lines[at]!.row?.references;
    if (!references || references.length === 0) continue;
    for (const reference of references) {
      // The entries of a jump table are named in its own line: drawn, they would hide the others.
      const to = reference.kind === 'label' && !reference.labels ? labels.get(reference.name) : undefined;
      if (to === undefined) continue;
      const list = sources.get(to);
      if (list) list.push(at);
      else sources.set(to, [at]);
    }
  }
  const spans = [...sources].map(([to, from]) => ({
    to,
    from,
    first: Math.min(to, from[0]!),
    last: Math.max(to, from.at(-1)!),
  }));
  spans.sort((a, b) => a.last - a.first - (b.last - b.first) || a.first - b.first);
  const lanes = Array.from({ length: LANES }, () => new Lane());
  return spans
    .map(({ to, from, first, last }) => ({ to, from, lane: lanes.findIndex((each) => each.take(first, last)) }))
    .sort((a, b) => a.to - b.to);
}

/** The stretches of a column that are in use: apart from each other, in rising order. */
class Lane {
  readonly #taken: (readonly [first: number, last: number])[] = [];

  /** Takes the stretch where nothing of it is in use. */
  take(first: number, last: number): boolean {
    let [low, high] = [0, this.#taken.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#taken[middle]![1] < first) low = middle + 1;
      else high = middle;
    }
    const next = this.#taken[low];
    if (next && next[0] <= last) return false;
    this.#taken.splice(low, 0, [first, last]);
    return true;
  }
}
