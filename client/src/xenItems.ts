import { l10n, MarkdownString, ThemeColor, ThemeIcon, TreeItem, TreeItemCollapsibleState } from 'vscode';
import { items } from './names.ts';
import type { TargetItem } from './targets.ts';

/** `contextValue` of a hypervisor: one that does not answer takes no patch. */
export function xenTargetContext({ alive, patches }: TargetItem): string {
  if (!alive) return items.targetXenDown;
  return patches.some(({ state }) => state === 'applied') ? items.targetXenPatched : items.targetXen;
}

/** A payload in a hypervisor: its state, its place in the stack; `contextValue` names the actions that are legal now. */
export function xenPatchItem(target: TargetItem, patch: TargetItem['patches'][number]): TreeItem {
  const { id, state, depth, top, actions = [], functions, error } = patch;
  const hasRows = (patch.running ?? []).length > 0;
  const item = new TreeItem(id, hasRows ? TreeItemCollapsibleState.Collapsed : TreeItemCollapsibleState.None);
  // The view keeps an item as it was folded: one without functions to show is another item.
  item.id = `applied ${target.root} ${target.name} ${id}${hasRows ? ' running' : ''}`;
  item.contextValue = [items.xenPatch, ...actions].join(' ');
  const height = target.patches.filter((each) => each.state === 'applied').length;
  const place =
    depth === undefined || height < 2
      ? ''
      : top
        ? l10n.t('top of the stack ({0} of {1})', depth, height)
        : l10n.t('{0} of {1} from below', depth, height);
  const words = [
    state === 'applied' ? l10n.t('applied') : l10n.t('checked, not applied'),
    place,
    error === undefined ? '' : l10n.t('last action: error {0}', error),
  ].filter(Boolean);
  item.description = `${words.join(', ')}${functions.length > 0 ? `: ${functions.join(', ')}` : ''}`;
  item.iconPath =
    error !== undefined
      ? new ThemeIcon('warning', new ThemeColor('list.warningForeground'))
      : state === 'applied'
        ? new ThemeIcon('zap', new ThemeColor('charts.green'))
        : new ThemeIcon('circle-outline');
  const tip = new MarkdownString();
  tip.appendText(`${id}: ${words.join(', ')}`);
  if (functions.length > 0) tip.appendMarkdown('\n\n').appendText(functions.join(', '));
  if (state === 'applied' && !top)
    tip.appendMarkdown('\n\n').appendText(l10n.t('Another patch is on top: revert that first.'));
  item.tooltip = tip;
  return item;
}
