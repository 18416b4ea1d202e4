import type { DataValues, ValueNode } from '../diff/values.ts';

/** Which side a text shows. */
export type ValueSide = 'base' | 'next';

/** Equal values beside a changed one in the same aggregate that are shown; more in a row are told in one line. */
const CONTEXT = 8;
/** Lines of changed values, at most; the rest is counted. */
const MOST_LINES = 200;

/** What a run of parts that are the same is called: `[0..2]`, `.x`, `.a … .f`; `, now [4..6]` where they moved. */
function runText(run: readonly ValueNode[]): string {
  const name = (side: ValueSide): string => {
    const first = run[0]?.[side]?.label ?? '';
    const last = run.at(-1)?.[side]?.label ?? '';
    if (first === last) return first;
    return first.startsWith('[')
      ? `[${/\d+/.exec(first)?.[0]}..${/(\d+)\]$/.exec(last)?.[1]}]`
      : `${first} … ${last} (${run.length} members)`;
  };
  const before = name('base');
  const after = name('next');
  return before === after ? `${after} unchanged` : `${before}, now ${after}: unchanged`;
}

/** Children in order, with those that are equal and need not be seen gathered into runs. */
function gathered(children: readonly ValueNode[]): (ValueNode | readonly ValueNode[])[] {
  const runs: (ValueNode | ValueNode[])[] = [];
  for (const child of children) {
    const open = runs.at(-1);
    if (child.changed) runs.push(child);
    else if (Array.isArray(open)) open.push(child);
    else runs.push([child]);
  }
  return runs.flatMap((run) =>
    Array.isArray(run) && run.length <= CONTEXT && run.every((each) => each.children.length === 0 && !isLong(each))
      ? run
      : [run],
  );
}

/** An aggregate that was compared as a whole, or a long text. */
const isLong = (node: ValueNode): boolean => {
  const text = node.next?.text ?? '';
  return text.startsWith('{') || text.length > 60;
};

/** Consecutive parts of one side that hold the same: `[4 ... 63] = 0`. */
function repeats(children: readonly (ValueNode | readonly ValueNode[])[], at: number, side: ValueSide): number {
  const first = children[at];
  if (!first || Array.isArray(first)) return 1;
  const node = first as ValueNode;
  const lonely = (node.base === undefined) !== (node.next === undefined);
  if (!lonely || !node[side]?.label.startsWith('[')) return 1;
  let count = 1;
  for (;;) {
    const other = children[at + count];
    if (!other || Array.isArray(other)) return count;
    const next = other as ValueNode;
    if (next.base !== undefined && next.next !== undefined) return count;
    if (next[side]?.text !== node[side]?.text || node[side]!.text.endsWith('…}')) return count;
    count++;
  }
}

/**
 * One side of a data object as a C initialiser, made to be shown beside the other: what is the same on both sides is left out in the same
 * words, so that a text comparison pairs the rest.
 */
export function renderDataSide(values: DataValues, side: ValueSide): string {
  const root = values.root[side];
  const declaration = side === 'base' ? values.baseDeclaration : values.nextDeclaration;
  if (!root) return `/* ${values.name} does not exist on this side. */\n`;
  const lines = [
    `/* ${root.size} bytes${values.typed ? '' : '; no debug information tells its type: bytes by offset'} */`,
  ];
  const title = declaration || values.name;
  if (values.root.children.length === 0) lines.push(`${title} = ${root.text};`);
  else {
    lines.push(`${title} = {`);
    body(values.root, side, 1, lines);
    lines.push('};');
  }
  if (values.cut) lines.push('/* There is more than is shown here: the rest was compared by its bytes. */');
  return `${lines.join('\n')}\n`;
}

function body(node: ValueNode, side: ValueSide, depth: number, lines: string[]): void {
  const indent = '    '.repeat(depth);
  const children = gathered(node.children);
  for (let at = 0; at < children.length; at++) {
    const child = children[at]!;
    if (Array.isArray(child)) {
      lines.push(`${indent}/* ${runText(child)} */`);
      continue;
    }
    const each = child as ValueNode;
    const own = each[side];
    if (!own) continue;
    const union = each.alternative ? ' /* union */' : '';
    const count = repeats(children, at, side);
    if (count > 1) {
      const last = (children[at + count - 1] as ValueNode)[side]!.label;
      lines.push(`${indent}${own.label.slice(0, -1)} ... ${last.slice(1)} = ${own.text},`);
      at += count - 1;
    } else if (each.children.length === 0) lines.push(`${indent}${own.label} = ${own.text},${union}`);
    else {
      lines.push(`${indent}${own.label} = {${union}`);
      body(each, side, depth + 1, lines);
      lines.push(`${indent}},`);
    }
  }
}

/** A part that differs, for lists: `handlers[3].name`, before, after; absent where that side lacks it. */
export interface ValueDifference {
  readonly path: string;
  readonly base?: string;
  readonly next?: string;
  /** One of the members of a union. */
  readonly alternative: boolean;
}

/** Every value that differs, in order. What only one side has is one entry, however many parts it has. */
export function valueDifferences(values: DataValues): ValueDifference[] {
  const list: ValueDifference[] = [];
  const visit = (node: ValueNode): void => {
    if (!node.changed) return;
    const differing = node.base && node.next ? node.children.filter((child) => child.changed) : [];
    if (differing.length > 0) for (const child of differing) visit(child);
    else
      list.push({
        path:
          node.base && node.next && node.base.label !== node.next.label
            ? `${node.path} (was ${node.base.label})`
            : node.path,
        ...(node.base ? { base: node.base.text } : {}),
        ...(node.next ? { next: node.next.text } : {}),
        alternative: node.alternative,
      });
  };
  visit(values.root);
  return list;
}

/** `handlers[3].name: "get" → "put"`, one a line; what only one side has is `new` or `gone`. */
export function dataLines(values: DataValues): string[] {
  const all = valueDifferences(values);
  const lines = all.slice(0, MOST_LINES).map(({ path, base, next, alternative }) => {
    const union = alternative ? ' (a member of a union)' : '';
    if (base === undefined) return `${path}: new, ${next}${union}`;
    return next === undefined ? `${path}: gone, was ${base}${union}` : `${path}: ${base} → ${next}${union}`;
  });
  if (all.length > lines.length) lines.push(`… and ${all.length - lines.length} more`);
  return lines;
}
