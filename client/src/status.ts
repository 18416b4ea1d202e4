import { l10n, MarkdownString, StatusBarAlignment, ThemeColor, window } from 'vscode';
import type { FindingItem, PatchState } from '../../server/src/protocol.ts';
import { commands, views } from './names.ts';
import type { Room } from './room.ts';

interface Look {
  readonly text: string;
  readonly color?: 'error' | 'warning';
}

/** Milliseconds that a sentence stands in the status bar. */
const STAYS = 6000;

/** Tells the outcome of a command in the status bar: nothing that has to be answered. */
export function tell(text: string): void {
  window.setStatusBarMessage(text, STAYS);
}

export const blockersText = (number: number): string =>
  number === 1 ? l10n.t('1 blocker') : l10n.t('{0} blockers', number);
export const functionsText = (number: number): string =>
  number === 1 ? l10n.t('1 function') : l10n.t('{0} functions', number);

/** Blockers that stand, each once: units that share a header tell of the same one. */
export function blockersOf(state: PatchState): readonly FindingItem[] {
  const standing = state.units
    .flatMap((unit) => unit.findings)
    .filter((each) => each.severity === 'blocker' && each.overridden === undefined);
  return [...new Map(standing.map((each) => [`${each.code}:${each.symbol}`, each])).values()];
}

/** The one line that says where things stand. */
function look(state: PatchState): Look {
  const functions = state.units.flatMap((unit) => unit.functions).filter((each) => !each.leftOut);
  const blockers = blockersOf(state);
  const failed = state.units.filter((unit) => unit.phase === 'failed' || unit.phase === 'compileError');
  if (state.busy) {
    const progress = state.progress;
    return { text: `$(sync~spin) Live Patch${progress ? ` ${progress.done}/${progress.total}` : ''}` };
  }
  if (failed.some((unit) => unit.phase === 'failed'))
    return { text: `$(error) Live Patch: ${l10n.t('cannot build')}`, color: 'error' };
  if (failed.length > 0) return { text: `$(warning) Live Patch: ${l10n.t('does not compile')}`, color: 'warning' };
  if (state.verdict === 'blocked')
    return { text: `$(circle-slash) Live Patch: ${blockersText(blockers.length)}`, color: 'error' };
  if (functions.length > 0) return { text: `$(zap) Live Patch: ${functionsText(functions.length)}` };
  // Nothing was compared: that the code is the same would be said of nothing.
  if (state.units.length === 0 && state.problems.length > 0)
    return { text: `$(warning) Live Patch: ${l10n.t('nothing can be compared')}`, color: 'warning' };
  return { text: `$(check) Live Patch: ${l10n.t('same code')}` };
}

function explain(state: PatchState): MarkdownString {
  const text = new MarkdownString('', true);
  text.isTrusted = { enabledCommands: [commands.cancel] };
  if (state.busy) {
    const { title = l10n.t('Comparing the edits'), done, total } = state.progress ?? {};
    const far = total ? l10n.t('{0} ({1} of {2})', title, done ?? 0, total) : title;
    text.appendText(far).appendMarkdown(`\n\n[${l10n.t('Cancel')}](command:${commands.cancel})\n\n`);
  }
  for (const unit of state.units) {
    for (const each of unit.functions) {
      const size =
        each.status === 'changed'
          ? l10n.t('{0} → {1} instructions', each.baseInstructions, each.nextInstructions)
          : each.status;
      text.appendMarkdown(`- \`${each.name}\` ${size}${each.leftOut ? ` (${l10n.t('left out')})` : ''}\n`);
    }
    if (unit.message && unit.phase === 'failed')
      text.appendMarkdown('- ').appendText(unit.message).appendMarkdown('\n');
  }
  for (const problem of state.problems) text.appendMarkdown('- ').appendText(problem).appendMarkdown('\n');
  if (text.value === '') text.appendMarkdown(`${l10n.t('The edits so far change no machine code.')}\n`);
  text.appendMarkdown(`\n${l10n.t('Click for the Live Patch view.')}`);
  return text;
}

/** One item in the status bar. */
export function activate({ context, server }: Room): void {
  const item = window.createStatusBarItem('livepatch.status', StatusBarAlignment.Left, 0);
  item.name = 'Live Patch';
  item.command = `${views.patch}.focus`;
  const show = (state: PatchState): void => {
    const { text, color } = look(state);
    item.text = text;
    item.tooltip = explain(state);
    item.backgroundColor = color ? new ThemeColor(`statusBarItem.${color}Background`) : undefined;
    item.accessibilityInformation = { label: text.replace(/\$\([^)]*\)\s*/, '') };
    if (state.root !== '') item.show();
  };
  context.subscriptions.push(item, server.onState(show));
}
