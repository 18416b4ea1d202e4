import type { DataChange } from '../diff/types.ts';
import { compareValues, type ValueNode } from '../diff/values.ts';
import type { HazardInput } from './types.ts';

/** Entries that a message names. */
const most = 2;
/** Characters of a value in a message. */
const longest = 40;
/** Larger objects are not taken apart for a message. */
const largest = 1 << 16;

/** The parts of a data object whose contents differ, in words: `cmds[1].fn: h_put → h_del`, of a plain value `100 → 200`; what is more is counted. Empty where debug information lacks it. */
export function valueChanges({ pair, diff }: HazardInput, data: DataChange): readonly string[] {
  if (Math.max(data.baseSize, data.nextSize) > largest) return [];
  const { typed, root } = compareValues(pair, diff, data);
  if (!typed) return [];
  const changed: string[] = [];
  const visit = (node: ValueNode): void => {
    if (!node.changed) return;
    const parts = node.children.filter((child) => child.changed);
    if (parts.length === 0) {
      changed.push(`${node === root ? '' : `${node.path}: `}${short(node.base?.text)} → ${short(node.next?.text)}`);
      return;
    }
    // The alternatives of a union are the same bytes: told once.
    const first = parts.find(({ alternative }) => alternative);
    for (const part of parts) if (!part.alternative || part === first) visit(part);
  };
  visit(root);
  return changed;
}

/** The same for a message, in brackets: empty, or ` (cmds[1].fn: h_put → h_del and 3 more)`. */
export function changesText(changes: readonly string[]): string {
  if (changes.length === 0) return '';
  const more = changes.length - most;
  return ` (${changes.slice(0, most).join(', ')}${more > 0 ? ` and ${more} more` : ''})`;
}

function short(text: string | undefined): string {
  if (text === undefined) return 'nothing';
  return text.length > longest ? `${text.slice(0, longest)}…` : text;
}
