import { commands as editorCommands, l10n, window } from 'vscode';
import type { FunctionItem } from '../../server/src/protocol.ts';
import { subjectOf } from './listings.ts';
import { commands } from './names.ts';
import type { Room } from './room.ts';
import { tell } from './status.ts';

/** Marks functions as reviewed, and goes from one that was not to the next: a whole patch can be read without the view. */
export function activate({ context, server, decisions }: Room): void {
  /** The functions of the patch, in the order of the view. */
  const all = (): FunctionItem[] =>
    server.states
      .flatMap((state) => state.units)
      .flatMap((unit) => unit.functions)
      .filter((each) => !each.leftOut);
  const indexOf = (list: readonly FunctionItem[]): number => {
    const open = window.activeTextEditor && subjectOf(window.activeTextEditor.document.uri);
    return list.findIndex((each) => each.unit === open?.unit && each.name === open?.name);
  };
  /** The first function behind the open one that nobody looked at; from the top again where there is none below. */
  const next = (): FunctionItem | undefined => {
    const list = all();
    const at = indexOf(list);
    return [...list.slice(at + 1), ...list.slice(0, Math.max(at, 0))].find((each) => !decisions.isReviewed(each));
  };
  const tellHowFar = (): void => {
    const list = all();
    const done = list.filter((each) => decisions.isReviewed(each)).length;
    const following = next();
    if (done === list.length) tell(l10n.t('Every function of the patch has been reviewed ({0}).', list.length));
    else if (following) tell(l10n.t('{0} of {1} functions reviewed; next is {2}.', done, list.length, following.name));
    else tell(l10n.t('{0} of {1} functions reviewed.', done, list.length));
  };

  context.subscriptions.push(
    editorCommands.registerCommand(commands.markReviewed, async (argument) => {
      const list = all();
      const given = (argument as { readonly function?: FunctionItem })?.function;
      const item = given
        ? list.find((each) => each.unit === given.unit && each.name === given.name)
        : list[indexOf(list)];
      if (!item) return;
      await decisions.review([item], true);
      tellHowFar();
    }),
    editorCommands.registerCommand(commands.reviewNext, async () => {
      const item = next();
      if (item) await editorCommands.executeCommand(commands.reviewFunction, { unit: item.unit, name: item.name });
      else tellHowFar();
    }),
  );
}
