import { basename } from 'node:path';
import {
  EventEmitter,
  l10n,
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
import type {
  DataItem,
  FindingItem,
  FunctionItem,
  PatchState,
  RunningFunction,
  UnitItem,
} from '../../server/src/protocol.ts';
import { boxes } from './boxes.ts';
import { type FileRow, fileRows, hasRows } from './fileRows.ts';
import { machineItem, machinesItem } from './machineItems.ts';
import type { MachineItem } from './machines.ts';
import { commands, items, views } from './names.ts';
import type { Room } from './room.ts';
import { runningItem } from './runningItem.ts';
import { blockersOf, blockersText, functionsText } from './status.ts';
import type { TargetItem } from './targets.ts';
import { xenPatchItem, xenTargetContext } from './xenItems.ts';

export type Node =
  | { readonly kind: 'patch'; readonly state: PatchState }
  | { readonly kind: 'file'; readonly row: FileRow; readonly root: string }
  | { readonly kind: 'function'; readonly function: FunctionItem }
  | { readonly kind: 'finding'; readonly finding: FindingItem; readonly unit: string }
  | { readonly kind: 'data'; readonly data: DataItem }
  | { readonly kind: 'problem'; readonly text: string }
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'targets'; readonly list: readonly TargetItem[] }
  | { readonly kind: 'target'; readonly target: TargetItem }
  | { readonly kind: 'machines' }
  | { readonly kind: 'machine'; readonly machine: MachineItem }
  | { readonly kind: 'applied'; readonly target: TargetItem; readonly patch: TargetItem['patches'][number] }
  | { readonly kind: 'running'; readonly target: TargetItem; readonly patch: string; readonly one: RunningFunction };

/** Milliseconds between questions to the targets while the view is visible. */
const POLL = 4000;
/** The same where a hypervisor is among them: each question is a session of ssh, and work for a small machine. */
const POLL_SSH = 15_000;

const icon = (name: string, color?: string): ThemeIcon =>
  new ThemeIcon(name, color ? new ThemeColor(color) : undefined);

const SEVERITY_ICON = {
  blocker: icon('error', 'list.errorForeground'),
  review: icon('warning', 'list.warningForeground'),
  note: icon('info'),
} as const;

const PHASE: Readonly<Record<UnitItem['phase'], string>> = {
  idle: '',
  queued: l10n.t('waiting'),
  building: l10n.t('building'),
  ready: '',
  compileError: l10n.t('does not compile'),
  failed: l10n.t('cannot be built'),
};

/** The box by which something is marked as looked at. */
const reviewBox = (reviewed: boolean, name: string): NonNullable<TreeItem['checkboxState']> & object => ({
  state: reviewed ? TreeItemCheckboxState.Checked : TreeItemCheckboxState.Unchecked,
  tooltip: reviewed ? l10n.t('Reviewed') : l10n.t('Not reviewed'),
  accessibilityInformation: { label: l10n.t('Reviewed: {0}', name), role: 'checkbox' },
});

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

  /** What a row is called for as long as the view lives, however often it is drawn. */
  nameOf(node: Node): string {
    const { id, label } = this.getTreeItem(node);
    return id ?? String(label);
  }

  getChildren(node?: Node): Node[] {
    const { server, targets, machines } = this.#room;
    const { states } = server;
    switch (node?.kind) {
      case undefined: {
        const problems = states.flatMap((each) => each.problems).map((text): Node => ({ kind: 'problem', text }));
        const all = states.filter(({ units }) => hasRows(units)).map((state): Node => ({ kind: 'patch', state }));
        const isEmpty = all.length === 0 && server.running;
        if (targets.list.length > 0) all.push({ kind: 'targets', list: targets.list });
        if (server.running && machines.list.length > 0) all.push({ kind: 'machines' });
        // In a view with anything in it the welcome text is not shown: it goes as soon as the targets have answered.
        if (isEmpty && all.length > 0 && problems.length === 0) all.unshift({ kind: 'unchanged' });
        return [...all, ...problems];
      }
      case 'patch':
        return fileRows(node.state.units, node.state.root).map(
          (row): Node => ({ kind: 'file', row, root: node.state.root }),
        );
      case 'file': {
        const { unit, findings, file } = node.row;
        return [
          ...(unit?.functions ?? []).map((each): Node => ({ kind: 'function', function: each })),
          ...(unit?.data ?? []).map((each): Node => ({ kind: 'data', data: each })),
          ...findings.map((finding): Node => ({ kind: 'finding', finding, unit: unit?.id ?? file })),
        ];
      }
      case 'machines':
        return machines.list.map((machine): Node => ({ kind: 'machine', machine }));
      case 'targets':
        return node.list.map((target): Node => ({ kind: 'target', target }));
      case 'target':
        return node.target.patches.map((patch): Node => ({ kind: 'applied', target: node.target, patch }));
      case 'applied':
        return (node.patch.running ?? []).map(
          (one): Node => ({ kind: 'running', target: node.target, patch: node.patch.id, one }),
        );
      default:
        return [];
    }
  }

  getTreeItem(node: Node): TreeItem {
    switch (node.kind) {
      case 'patch':
        return this.#patch(node.state);
      case 'file':
        return this.#file(node.row, node.root);
      case 'function':
        return this.#function(node.function);
      case 'finding':
        return this.#finding(node.finding, node.unit);
      case 'data':
        return this.#data(node.data);
      case 'problem': {
        const item = new TreeItem(node.text);
        item.iconPath = icon('warning', 'list.warningForeground');
        item.tooltip = node.text;
        return item;
      }
      case 'unchanged': {
        const item = new TreeItem(l10n.t('No edit has changed any machine code yet'));
        item.id = 'unchanged';
        item.iconPath = icon('pass');
        return item;
      }
      case 'targets': {
        const item = new TreeItem(l10n.t('Targets'), TreeItemCollapsibleState.Expanded);
        item.id = 'targets';
        item.contextValue = items.targets;
        item.iconPath = icon('server-process');
        return item;
      }
      case 'machines':
        return machinesItem();
      case 'machine':
        return machineItem(node.machine);
      case 'target':
        return this.#target(node.target);
      case 'applied':
        if (node.target.kind === 'xen') return xenPatchItem(node.target, node.patch);
        return this.#applied(node.target, node.patch);
      case 'running':
        return runningItem(node.target, node.patch, node.one);
    }
  }

  #patch(state: PatchState): TreeItem {
    const functions = state.units.flatMap((unit) => unit.functions).filter((each) => !each.leftOut);
    const several = this.#room.server.states.length > 1;
    const name = several ? l10n.t('Patch of {0}', basename(state.root)) : l10n.t('Patch');
    const item = new TreeItem(name, TreeItemCollapsibleState.Expanded);
    item.id = `patch ${state.root}`;
    item.contextValue = items.patch;
    item.description = `${functionsText(functions.length)}, ${state.verdict === 'blocked' ? l10n.t('blocked') : l10n.t('can be applied')}`;
    item.iconPath =
      state.verdict === 'blocked' ? icon('circle-slash', 'list.errorForeground') : icon('zap', 'charts.green');
    return item;
  }

  #file({ file, unit, where }: FileRow, root: string): TreeItem {
    const item = new TreeItem(Uri.file(file), TreeItemCollapsibleState.Expanded);
    item.id = unit ? `file ${unit.id}` : `header ${root} ${file}`;
    item.contextValue = items.file;
    const words = [where, unit ? PHASE[unit.phase] : '', unit?.stale ? l10n.t('stale') : ''].filter(
      (word) => word !== '',
    );
    if (words.length > 0) item.description = words.join(', ');
    if (unit?.message) item.tooltip = unit.message;
    return item;
  }

  #function(each: FunctionItem): TreeItem {
    const item = new TreeItem(each.name);
    item.id = `function ${each.unit} ${each.name}`;
    const size =
      each.status === 'changed'
        ? l10n.t('{0} → {1} instructions', each.baseInstructions, each.nextInstructions)
        : each.status;
    const reviewed = this.#room.decisions.isReviewed(each);
    item.description = `${size}${each.leftOut ? `, ${l10n.t('left out')}` : ''}`;
    item.contextValue = each.lineOnly ? items.functionLineOnly : each.leftOut ? items.functionLeftOut : items.function;
    item.iconPath = icon(
      each.status === 'new' ? 'diff-added' : each.status === 'removed' ? 'diff-removed' : 'diff-modified',
      each.leftOut ? 'disabledForeground' : undefined,
    );
    if (!each.leftOut) item.checkboxState = reviewBox(reviewed, each.name);
    const tip = new MarkdownString();
    tip.appendMarkdown(`${l10n.t('{0} {1} → {2} bytes', `\`${each.name}\``, each.baseSize, each.nextSize)}\n\n`);
    for (const reason of each.reasons) tip.appendMarkdown('- ').appendText(reason).appendMarkdown('\n');
    item.tooltip = tip;
    item.command = {
      title: l10n.t('Review'),
      command: commands.reviewFunction,
      arguments: [{ unit: each.unit, name: each.name }],
    };
    return item;
  }

  #data(each: DataItem): TreeItem {
    const item = new TreeItem(each.label);
    item.id = `data ${each.unit} ${each.name}`;
    item.description = each.summary;
    item.tooltip = each.summary;
    item.accessibilityInformation = { label: `${each.label}: ${each.summary}` };
    item.contextValue = items.data;
    item.iconPath = icon('symbol-variable');
    item.command = { title: l10n.t('Compare'), command: commands.compareData, arguments: [{ data: each }] };
    return item;
  }

  #finding(finding: FindingItem, unit: string): TreeItem {
    const item = new TreeItem(`${finding.code}: ${finding.symbol}`);
    item.id = `finding ${unit} ${finding.code} ${finding.symbol} ${finding.place?.line ?? ''} ${finding.message}`;
    item.description = finding.overridden ? l10n.t('overridden: {0}', finding.overridden) : finding.message;
    item.tooltip = finding.message;
    item.iconPath = finding.overridden ? icon('pass', 'disabledForeground') : SEVERITY_ICON[finding.severity];
    item.contextValue = finding.overridden
      ? items.overridden
      : finding.severity === 'blocker'
        ? items.blocker
        : items.finding;
    const reviewed = this.#room.decisions.isFindingReviewed(finding);
    item.checkboxState = reviewBox(reviewed, `${finding.code}: ${finding.symbol}`);
    // The name of an item is else its tooltip alone: neither code nor severity.
    const severity = { blocker: l10n.t('blocker'), review: l10n.t('to review'), note: l10n.t('note') }[
      finding.severity
    ];
    item.accessibilityInformation = {
      label: `${finding.code}: ${finding.symbol}, ${severity}. ${String(item.description)}`,
    };
    if (finding.place) {
      const { uri, line, character } = finding.place;
      const selection = { start: { line, character }, end: { line, character } };
      item.command = { title: l10n.t('Open'), command: 'vscode.open', arguments: [Uri.parse(uri), { selection }] };
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
    item.id = `target ${target.root} ${target.name}${target.patches.length > 0 ? ' patched' : ''}`;
    const plain = applied.length > 0 ? items.targetPatched : items.target;
    item.contextValue = target.kind === 'xen' ? xenTargetContext(target) : plain;
    const where = target.pid === undefined ? '' : ` (${l10n.t('process {0}', target.pid)})`;
    item.description = target.alive
      ? `${applied.length === 0 ? l10n.t('running') : applied.length === 1 ? l10n.t('1 patch') : l10n.t('{0} patches', applied.length)}${where}`
      : (target.message ?? l10n.t('not running'));
    item.tooltip = target.message ?? item.description;
    item.iconPath = target.alive
      ? icon(applied.length > 0 ? 'vm-active' : 'vm-running', 'charts.green')
      : icon('vm-outline', 'disabledForeground');
    return item;
  }

  #applied(target: TargetItem, patch: TargetItem['patches'][number]): TreeItem {
    const item = new TreeItem(
      patch.id,
      (patch.running ?? []).length > 0 ? TreeItemCollapsibleState.Collapsed : TreeItemCollapsibleState.None,
    );
    item.id = `applied ${target.root} ${target.name} ${patch.id}`;
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
  const { context, server, decisions, targets, machines } = room;
  const tree = new Tree(room);
  const view = window.createTreeView(views.patch, {
    treeDataProvider: tree,
    manageCheckboxStateManually: true,
    showCollapseAll: true,
  });
  const refresh = (): void => {
    tree.refresh();
    const blockers = server.states.flatMap(blockersOf);
    view.badge = blockers.length > 0 ? { value: blockers.length, tooltip: blockersText(blockers.length) } : undefined;
  };
  let asked = 0;
  const ask = (): void => {
    if (!view.visible || !server.running) return;
    const pause = targets.list.some(({ kind }) => kind === 'xen') ? POLL_SSH : 0;
    if (Date.now() - asked < pause) return;
    asked = Date.now();
    targets.refresh().catch(() => {});
    if (machines.hasXen) machines.refresh().catch(() => {});
  };
  const timer = setInterval(ask, POLL);
  context.subscriptions.push(
    view,
    { dispose: () => clearInterval(timer) },
    server.onState(refresh),
    decisions.onDidChange(refresh),
    targets.onDidChange(refresh),
    machines.onDidChange(refresh),
    view.onDidChangeVisibility(ask),
    ...boxes(view, (node) => tree.nameOf(node), decisions),
  );
}
