import { l10n, MarkdownString, ThemeColor, ThemeIcon, TreeItem } from 'vscode';
import type { RunningFunction } from '../../server/src/protocol.ts';
import { commands, items } from './names.ts';
import type { TargetItem } from './targets.ts';

/** What runs, and what the target's memory holds where the old code was. */
function words({ redirected, memory }: RunningFunction): string {
  switch (memory) {
    case 'redirected':
      return l10n.t('runs the patch; the old code is untouched apart from the jump');
    case 'covered':
      return l10n.t('a patch on top of this one runs instead');
    case 'original':
      return l10n.t('runs the old code, as it is in the file');
    case 'foreign':
      return l10n.t('the old code in memory is not that of the file: something else wrote there');
    default:
      return redirected ? l10n.t('runs the patch') : l10n.t('runs the old code');
  }
}

/** A function of a patch in a target: whether its calls reach the patch, and its old bytes in memory against the file. */
export function runningItem(target: TargetItem, patch: string, one: RunningFunction): TreeItem {
  const item = new TreeItem(one.name);
  item.id = `running ${target.root} ${target.name} ${patch} ${one.name}`;
  item.contextValue = items.running;
  const said = words(one);
  item.description = said;
  const isForeign = one.memory === 'foreign';
  item.iconPath = isForeign
    ? new ThemeIcon('warning', new ThemeColor('list.warningForeground'))
    : new ThemeIcon(one.redirected ? 'arrow-right' : 'circle-outline');
  const tip = new MarkdownString();
  tip.appendMarkdown(`\`${one.name}\`: `).appendText(said);
  tip.appendMarkdown(`\n\n\`${one.oldAddress}\` → \`${one.newAddress}\``);
  item.tooltip = tip;
  item.command = {
    title: l10n.t('Go to Definition'),
    command: commands.revealFunction,
    arguments: [{ name: one.name, root: target.root }],
  };
  return item;
}
