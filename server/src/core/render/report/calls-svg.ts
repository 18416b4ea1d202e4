import { html } from './text.ts';
import type { CallGraph, CallNode } from './types.ts';

// Measures of the drawing, in user units (CSS pixels at natural size).
const BOX = { width: 200, height: 28, step: 38 };
const COLUMN = 290;
/** Neighbours that are drawn on each side, and functions of the patch; the list has all. */
const MOST_BESIDE = 24;
const MOST_INSIDE = 40;
const CHARACTER = 7.1;

/** Words for what a function is, also used by the list. */
export const KIND_WORDS: Readonly<Record<CallNode['kind'], string>> = {
  changed: 'changed',
  new: 'new',
  removed: 'gone',
  leftOut: 'left out',
  unchanged: 'unchanged',
  elsewhere: 'in another unit or library',
};

const MARKS: Readonly<Record<CallNode['kind'], string>> = {
  changed: '~',
  new: '+',
  removed: '−',
  leftOut: '×',
  unchanged: '',
  elsewhere: '',
};

interface Placed {
  readonly node: CallNode;
  readonly column: number;
  readonly x: number;
  readonly y: number;
}

const isInside = (node: CallNode): boolean => node.kind !== 'unchanged' && node.kind !== 'elsewhere';

/**
 * Callers on the left, the functions of the patch in the middle, what they call on the right; as SVG without a style of its own
 * (classes `cg-*`). The list of calls is its text equivalent, which the page has to show as well. Empty where there is nothing to draw.
 */
export function callsSvg(graph: CallGraph, id: string): string {
  const inside = graph.nodes.filter(isInside).slice(0, MOST_INSIDE);
  if (inside.length === 0) return '';
  const middle = new Map(inside.map((node, index) => [node.id, index]));
  const outside = graph.nodes.filter((node) => !isInside(node));
  const isCaller = (node: CallNode): boolean => graph.edges.some(({ from, to }) => from === node.id && middle.has(to));
  // Those that belong to functions above come first, so that fewer lines cross.
  const weight = (node: CallNode): number => {
    const ends = graph.edges.flatMap(({ from, to }) =>
      from === node.id ? [middle.get(to)] : to === node.id ? [middle.get(from)] : [],
    );
    const known = ends.filter((end) => end !== undefined);
    return known.length === 0 ? inside.length : known.reduce((sum, end) => sum + end, 0) / known.length;
  };
  const sorted = (list: readonly CallNode[]): CallNode[] =>
    list
      .map((node, index) => ({ node, index, weight: weight(node) }))
      .sort((a, b) => a.weight - b.weight || a.index - b.index)
      .map(({ node }) => node)
      .slice(0, MOST_BESIDE);
  const columns = [
    sorted(outside.filter(isCaller)),
    inside,
    sorted(outside.filter((node) => !isCaller(node))),
  ] as const;
  // A column that would be empty has no place.
  const xs: number[] = [];
  for (const list of columns) xs.push(list.length > 0 ? xs.filter((x) => x >= 0).length * COLUMN : -1);
  const width = Math.max(...xs) + BOX.width + 1;
  const rows = Math.max(...columns.map((list) => list.length));
  const height = rows * BOX.step + 34;
  const placed = new Map<string, Placed>();
  for (const [index, list] of columns.entries()) {
    const top = 30 + ((rows - list.length) * BOX.step) / 2;
    for (const [row, node] of list.entries())
      placed.set(node.id, { node, column: index, x: xs[index]!, y: top + row * BOX.step });
  }
  const headings = ['calls them', 'in the patch', 'is called']
    .map((words, column) =>
      columns[column]!.length > 0 ? `<text class="cg-head" x="${xs[column]! + 2}" y="14">${words}</text>` : '',
    )
    .filter((text) => text !== '');
  const edges = graph.edges.flatMap(({ from, to, side }) => {
    const a = placed.get(from);
    const b = placed.get(to);
    return a && b ? [edge(a, b, side, id)] : [];
  });
  return [
    `<svg class="cg" role="img" aria-labelledby="${id}-t ${id}-d" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">`,
    `<title id="${id}-t">Calls between the functions of the patch and their neighbours</title>`,
    `<desc id="${id}-d">${html(`${inside.length} in the patch, ${outside.length} neighbours. The list below has each call.`)}</desc>`,
    `<defs>${(['both', 'base', 'next'] as const).map((side) => `<marker id="${id}-${side}" class="cg-arrow-${side}" viewBox="0 0 8 8" refX="7" refY="4" markerUnits="userSpaceOnUse" markerWidth="9" markerHeight="9" orient="auto"><path d="M0 0.5L7.5 4L0 7.5Z"/></marker>`).join('')}</defs>`,
    ...headings,
    ...edges,
    ...[...placed.values()].map(box),
    '</svg>',
  ].join('\n');
}

function box({ node, x, y }: Placed): string {
  const mark = MARKS[node.kind];
  const room = Math.floor((BOX.width - 20 - (mark ? 16 : 0)) / CHARACTER);
  const shown = node.name.length > room ? `${node.name.slice(0, room - 1)}…` : node.name;
  const words = `${node.name}: ${node.file ? `in ${node.file}` : KIND_WORDS[node.kind]}${node.addressTaken ? '; its address is taken' : ''}`;
  return `<g class="cg-node cg-${node.kind}"><title>${html(words)}</title><rect x="${x + 0.5}" y="${y + 0.5}" width="${BOX.width - 1}" height="${BOX.height - 1}" rx="5"/>${mark ? `<text class="cg-mark" x="${x + 10}" y="${y + 18}">${mark}</text>` : ''}<text x="${x + (mark ? 26 : 10)}" y="${y + 18}">${html(shown)}</text></g>`;
}

function edge(from: Placed, to: Placed, side: string, id: string): string {
  const y1 = from.y + BOX.height / 2;
  const y2 = to.y + BOX.height / 2;
  const right = (placed: Placed): number => placed.x + BOX.width;
  const left = (placed: Placed): number => placed.x;
  const tail = `class="cg-edge cg-edge-${side}" marker-end="url(#${id}-${side})"`;
  if (from.column === to.column) {
    const x = right(from);
    const reach = x + 26 + Math.min(44, Math.abs(y2 - y1) / 5);
    return `<path ${tail} d="M${x} ${y1}C${reach} ${y1} ${reach} ${y2} ${x + 1} ${y2}"/>`;
  }
  const forward = from.column < to.column;
  const x1 = forward ? right(from) : left(from);
  const x2 = forward ? left(to) - 1 : right(to) + 1;
  const middle = (x1 + x2) / 2;
  return `<path ${tail} d="M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}"/>`;
}

/** Functions of the patch that the picture leaves out. */
export const notDrawn = (graph: CallGraph): number => Math.max(0, graph.nodes.filter(isInside).length - MOST_INSIDE);

/** The other end of a call; `note`: `new, a new call`, or empty. */
export interface CallEnd {
  readonly name: string;
  readonly note: string;
}

/** The calls of one function in words. */
export interface CallLine {
  readonly name: string;
  readonly kind: string;
  readonly addressTaken: boolean;
  readonly calls: readonly CallEnd[];
  readonly calledBy: readonly CallEnd[];
}

/** The text equivalent of the picture: each function of the patch with what it calls and what calls it. */
export function callLines(graph: CallGraph): CallLine[] {
  const byId = new Map(graph.nodes.map((node) => [node.id, node]));
  const words = (id: string, side: string): CallEnd => {
    const node = byId.get(id)!;
    const kind = isInside(node) ? KIND_WORDS[node.kind] : (node.file ?? '');
    const notes = [kind, side === 'base' ? 'this call is gone' : side === 'next' ? 'a new call' : ''].filter(Boolean);
    return { name: node.name, note: notes.join(', ') };
  };
  return graph.nodes.filter(isInside).map((node) => ({
    name: node.name,
    kind: KIND_WORDS[node.kind],
    addressTaken: node.addressTaken,
    calls: graph.edges.filter(({ from }) => from === node.id).map(({ to, side }) => words(to, side)),
    calledBy: graph.edges.filter(({ to }) => to === node.id).map(({ from, side }) => words(from, side)),
  }));
}
