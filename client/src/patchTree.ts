import {
  EventEmitter,
  MarkdownString,
  ThemeColor,
  ThemeIcon,
  type TreeDataProvider,
  TreeItem,
  TreeItemCheckboxState,
  TreeItemCollapsibleState,
  Uri,
  window,
} from 'vscode';
import type { FindingItem, FunctionItem, PatchState, TargetItem, UnitItem } from '../../server/src/protocol.ts';
import { commands, items, views } from './names.ts';
import type { Room } from './room.ts';
import { blockersOf } from './status.ts';

export type Node =
  | { readonly kind: 'patch'; readonly state: PatchState }
  | { readonly kind: 'file'; readonly unit: UnitItem }
  | { readonly kind: 'function'; readonly function: FunctionItem }
  | { readonly kind: 'finding'; readonly finding: FindingItem; readonly unit: string }
  | { readonly kind: 'problem'; readonly text: string }
  | { readonly kind: 'targets'; readonly list: readonly TargetItem[] }
  | { readonly kind: 'target'; readonly target: TargetItem }
  | { readonly kind: 'applied'; readonly target: TargetItem; readonly patch: TargetItem['patches'][number] };

/** Milliseconds between questions to the targets while the view is visible. */
const POLL = 4000;

const plural = (number: number, word: string): string => `${number} ${word}${number === 1 ? '' : 's'}`;
const icon = (name: string, color?: string): ThemeIcon =>
  new ThemeIcon(name, color ? new ThemeColor(color) : undefined);

const SEVERITY_ICON = {
  blocker: icon('error', 'list.errorForeground'),
  review: icon('warning', 'list.warningForeground'),
  note: icon('info'),
} as const;

const PHASE: Readonly<Record<UnitItem['phase'], string>> = {
  idle: '',
  queued: 'waiting',
  building: 'building',
  ready: '',
  compileError: 'does not compile',
  failed: 'cannot be built',
};

/** Worth a line in the view: something changed, or something went wrong. */
const interesting = (unit: UnitItem): boolean =>
  unit.functions.length > 0 || unit.findings.length > 0 || unit.phase === 'compileError' || unit.phase === 'failed';

class Tree implements TreeDataProvider<Node> {
  readonly #room: Room;
  readonly #changed = new EventEmitter<undefined>();
  readonly onDidChangeTreeData = this.#changed.event;

  constructor(room: Room) {
    this.#room = room;
  }

  refresh(): void {
    this.#changed.fire(undefined);
  }

  getChildren(node?: Node): Node[] {
    const { server, targets } = this.#room;
    const state = server.state;
    switch (node?.kind) {
      case undefined: {
        const units = state.units.filter(interesting);
        const problems = state.problems.map((text): Node => ({ kind: 'problem', text }));
        const all: Node[] = units.length > 0 ? [{ kind: 'patch', state }] : [];
        if (targets.list.length > 0) all.push({ kind: 'targets', list: targets.list });
        return [...all, ...problems];
      }
      case 'patch':
        return node.state.units.filter(interesting).map((unit): Node => ({ kind: 'file', unit }));
      case 'file':
        return [
          ...node.unit.functions.map((each): Node => ({ kind: 'function', function: each })),
          ...node.unit.findings.map((finding): Node => ({ kind: 'finding', finding, unit: node.unit.id })),
        ];
      case 'targets':
        return node.list.map((target): Node => ({ kind: 'target', target }));
      case 'target':
        return node.target.patches.map((patch): Node => ({ kind: 'applied', target: node.target, patch }));
      default:
        return [];
    }
  }

  getTreeItem(node: Node): TreeItem {
    switch (node.kind) {
      case 'patch':
        return this.#patch(node.state);
      case 'file':
        return this.#file(node.unit);
      case 'function':
        return this.#function(node.function);
      case 'finding':
        return this.#finding(node.finding, node.unit);
      case 'problem': {
        const item = new TreeItem(node.text);
        item.iconPath = icon('warning', 'list.warningForeground');
        item.tooltip = node.text;
        return item;
      }
      case 'targets': {
        const item = new TreeItem('Targets', TreeItemCollapsibleState.Expanded);
        item.id = 'targets';
        item.contextValue = items.targets;
        item.iconPath = icon('server-process');
        return item;
      }
      case 'target':
        return this.#target(node.target);
      case 'applied':
        return this.#applied(node.target, node.patch);
    }
  }

  #patch(state: PatchState): TreeItem {
    const functions = state.units.flatMap((unit) => unit.functions).filter((each) => !each.leftOut);
    const item = new TreeItem('Patch', TreeItemCollapsibleState.Expanded);
    item.id = 'patch';
    item.contextValue = items.patch;
    item.description = `${plural(functions.length, 'function')}, ${state.verdict === 'blocked' ? 'blocked' : 'can be applied'}`;
    item.iconPath =
      state.verdict === 'blocked' ? icon('circle-slash', 'list.errorForeground') : icon('zap', 'charts.green');
    return item;
  }

  #file(unit: UnitItem): TreeItem {
    const item = new TreeItem(Uri.file(unit.file), TreeItemCollapsibleState.Expanded);
    item.id = `file ${unit.id}`;
    item.contextValue = items.file;
    const words = [PHASE[unit.phase], unit.stale ? 'stale' : ''].filter((word) => word !== '');
    if (words.length > 0) item.description = words.join(', ');
    if (unit.message) item.tooltip = unit.message;
    return item;
  }

  #function(each: FunctionItem): TreeItem {
    const item = new TreeItem(each.name);
    item.id = `function ${each.unit} ${each.name}`;
    const size =
      each.status === 'changed' ? `${each.baseInstructions} → ${each.nextInstructions} instructions` : each.status;
    const reviewed = this.#room.decisions.isReviewed(each);
    item.description = `${size}${each.leftOut ? ', left out' : ''}`;
    item.contextValue = each.leftOut ? items.functionLeftOut : items.function;
    item.iconPath = icon(
      each.status === 'new' ? 'diff-added' : each.status === 'removed' ? 'diff-removed' : 'diff-modified',
      each.leftOut ? 'disabledForeground' : undefined,
    );
    if (!each.leftOut)
      item.checkboxState = {
        state: reviewed ? TreeItemCheckboxState.Checked : TreeItemCheckboxState.Unchecked,
        tooltip: reviewed ? 'Reviewed' : 'Not reviewed',
      };
    const tip = new MarkdownString();
    tip.appendMarkdown(`\`${each.name}\` ${each.baseSize} → ${each.nextSize} bytes\n\n`);
    for (const reason of each.reasons) tip.appendMarkdown('- ').appendText(reason).appendMarkdown('\n');
    item.tooltip = tip;
    item.command = {
      title: 'Review',
      command: commands.reviewFunction,
      arguments: [{ unit: each.unit, name: each.name }],
    };
    return item;
  }

  #finding(finding: FindingItem, unit: string): TreeItem {
    const item = new TreeItem(`${finding.code}: ${finding.symbol}`);
    item.id = `finding ${unit} ${finding.code} ${finding.symbol} ${finding.place?.line ?? ''} ${finding.message}`;
    item.description = finding.overridden ? `overridden: ${finding.overridden}` : finding.message;
    item.tooltip = finding.message;
    item.iconPath = finding.overridden ? icon('pass', 'disabledForeground') : SEVERITY_ICON[finding.severity];
    item.contextValue = finding.overridden
      ? items.overridden
      : finding.severity === 'blocker'
        ? items.blocker
        : items.finding;
    if (finding.place) {
      const { uri, line, character } = finding.place;
      const selection = { start: { line, character }, end: { line, character } };
      item.command = { title: 'Open', command: 'vscode.open', arguments: [Uri.parse(uri), { selection }] };
    }
    return item;
  }

  #target(target: TargetItem): TreeItem {
    const applied = target.patches.filter((each) => each.state === 'applied');
    const item = new TreeItem(
      target.name,
      target.patches.length > 0 ? TreeItemCollapsibleState.Expanded : TreeItemCollapsibleState.None,
    );
    // The view keeps an item collapsed that had no children: one with patches is another item.
    item.id = `target ${target.name}${target.patches.length > 0 ? ' patched' : ''}`;
    item.contextValue = applied.length > 0 ? items.targetPatched : items.target;
    const where = target.pid === undefined ? '' : ` (process ${target.pid})`;
    item.description = target.alive
      ? `${applied.length > 0 ? plural(applied.length, 'patch').replace('patchs', 'patches') : 'running'}${where}`
      : (target.message ?? 'not running');
    item.tooltip = target.message ?? item.description;
    item.iconPath = target.alive
      ? icon(applied.length > 0 ? 'vm-active' : 'vm-running', 'charts.green')
      : icon('vm-outline', 'disabledForeground');
    return item;
  }

  #applied(target: TargetItem, patch: TargetItem['patches'][number]): TreeItem {
    const item = new TreeItem(patch.id);
    item.id = `applied ${target.name} ${patch.id}`;
    item.contextValue = items.applied;
    item.description = `${patch.state}: ${patch.functions.join(', ')}`;
    item.iconPath = icon(
      patch.state === 'applied' ? 'zap' : 'history',
      patch.state === 'applied' ? 'charts.green' : undefined,
    );
    return item;
  }
}

/** The Live Patch view: patch → file → function and findings; targets with their state. Checked functions are reviewed. */
export function activate(room: Room): void {
  const { context, server, decisions, targets } = room;
  const tree = new Tree(room);
  const view = window.createTreeView(views.patch, {
    treeDataProvider: tree,
    manageCheckboxStateManually: true,
    showCollapseAll: true,
  });
  const refresh = (): void => {
    tree.refresh();
    const blockers = blockersOf(server.state);
    view.badge =
      blockers.length > 0 ? { value: blockers.length, tooltip: plural(blockers.length, 'blocker') } : undefined;
  };
  const ask = (): void => {
    if (view.visible && server.running) targets.refresh().catch(() => {});
  };
  const timer = setInterval(ask, POLL);
  context.subscriptions.push(
    view,
    { dispose: () => clearInterval(timer) },
    server.onState(refresh),
    decisions.onDidChange(refresh),
    targets.onDidChange(refresh),
    view.onDidChangeVisibility(ask),
    view.onDidChangeCheckboxState(async ({ items: changed }) => {
      const list = (wanted: TreeItemCheckboxState): FunctionItem[] =>
        changed.flatMap(([node, state]) => (node.kind === 'function' && state === wanted ? [node.function] : []));
      await decisions.review(list(TreeItemCheckboxState.Checked), true);
      await decisions.review(list(TreeItemCheckboxState.Unchecked), false);
    }),
  );
}
