import { l10n, MarkdownString, ThemeColor, ThemeIcon, TreeItem } from 'vscode';
import type { RunningFunction } from '../../server/src/protocol.ts';
import { commands, items } from './names.ts';
import type { TargetItem } from './targets.ts';

/** What runs, and what the target's memory holds where the old code was. */
function words({ redirected, covered, memory }: RunningFunction): string {
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
      if (covered) return l10n.t('a patch on top of this one runs instead');
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
  if (one.oldAddress) tip.appendMarkdown(`\n\n\`${one.oldAddress}\` → \`${one.newAddress}\``);
  if (target.kind === 'xen')
    tip
      .appendMarkdown('\n\n')
      .appendText(
        l10n.t(
          'Domain 0 cannot read the memory of the hypervisor: the old code there is not compared. With "expect": true of the target in livepatch.json the hypervisor compares it itself when a patch is applied.',
        ),
      );
  item.tooltip = tip;
  item.command = {
    title: l10n.t('Go to Definition'),
    command: commands.revealFunction,
    // Xen has local functions as `common/keyhandler.c#show_handlers`.
    arguments: [{ name: one.name.slice(one.name.lastIndexOf('#') + 1), root: target.root }],
  };
  return item;
}
