import { type Disposable, commands as editorCommands, TreeItemCheckboxState, type TreeView } from 'vscode';
import type { Decisions } from './decisions.ts';
import { commands } from './names.ts';
import type { Node } from './patchTree.ts';

/** Times that the view is asked for its row, and milliseconds between: while it is drawn anew VS Code knows of no row. */
const [TIMES, PAUSE] = [20, 60];

/** The row of the view that has the keyboard: VS Code tells an extension what is selected only, so that is changed and put back. */
async function focusedRow(view: TreeView<Node>, nameOf: (node: Node) => string): Promise<Node | undefined> {
  const toggle = (): Thenable<unknown> => editorCommands.executeCommand('list.toggleSelection');
  // A view that was drawn anew in between has other objects for the same rows.
  const without = (list: readonly Node[], others: readonly Node[]): Node[] => {
    const known = new Set(others.map(nameOf));
    return list.filter((node) => !known.has(nameOf(node)));
  };
  for (let time = 0; time < TIMES; time++) {
    const before = view.selection;
    await toggle();
    const after = view.selection;
    await toggle();
    const found = [...without(after, before), ...without(before, after)];
    if (found.length === 1) return found[0];
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
  return undefined;
}

/** The boxes of the view's rows: ticked by a click, and by Space on the row that has the keyboard. */
export function boxes(
  view: TreeView<Node>,
  nameOf: (node: Node) => string,
  decisions: Decisions,
): readonly Disposable[] {
  const mark = async (nodes: readonly Node[], reviewed: boolean): Promise<void> => {
    await decisions.reviewFindings(
      nodes.flatMap((node) => (node.kind === 'finding' ? [node.finding] : [])),
      reviewed,
    );
    await decisions.review(
      nodes.flatMap((node) => (node.kind === 'function' ? [node.function] : [])),
      reviewed,
    );
  };
  /** Space on a row with a box ticks it, on any other it does what it does in every view. */
  const toggle = async (): Promise<void> => {
    const node = await focusedRow(view, nameOf);
    if (node?.kind === 'function' && !node.function.leftOut) await mark([node], !decisions.isReviewed(node.function));
    else if (node?.kind === 'finding') await mark([node], !decisions.isFindingReviewed(node.finding));
    else if (node) await editorCommands.executeCommand('list.toggleExpand');
  };
  let last: Promise<void> = Promise.resolve();
  return [
    // One after the other: what is selected while one looks is none of the next one's business.
    editorCommands.registerCommand(commands.toggleReviewed, () => {
      last = last.catch(() => {}).then(toggle);
      return last;
    }),
    view.onDidChangeCheckboxState(async ({ items }) => {
      const to = (wanted: TreeItemCheckboxState): Node[] =>
        items.flatMap(([node, state]) => (state === wanted ? [node] : []));
      await mark(to(TreeItemCheckboxState.Checked), true);
      await mark(to(TreeItemCheckboxState.Unchecked), false);
    }),
  ];
}
