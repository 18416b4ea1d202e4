import { CodeLens, EventEmitter, l10n, languages, type TextDocument, Uri } from 'vscode';
import { functionPlaces, type Place } from '../../server/src/protocol.ts';
import { rangeOf } from './listings.ts';
import { views } from './names.ts';
import { PromptLenses } from './promptLenses.ts';
import type { Room } from './room.ts';

/** Milliseconds after which VS Code is asked once more to show what is new. */
const REMINDER = 1500;

/**
 * Above each function whose calls a running target sends to a patch: which patch, in which target. What the targets say is asked
 * while the view is visible, after each action, and on command.
 */
export function activate({ context, server, targets }: Room): void {
  const changed = new EventEmitter<void>();

  /** Function → `target: patch`, of one folder. The patch on top is the one whose code runs. */
  const redirected = (root: string): Map<string, string> => {
    const found = new Map<string, string>();
    for (const target of targets.list)
      if (target.root === root)
        for (const patch of target.patches)
          if (patch.state === 'applied')
            for (const name of patch.functions)
              found.set(name, l10n.t('{0} runs the code of patch {1}', target.name, patch.id));
    return found;
  };

  const lensesOf = async (document: TextDocument): Promise<CodeLens[]> => {
    const lenses: CodeLens[] = [];
    for (const { root } of server.states) {
      const names = redirected(root);
      // A lens starts no server.
      if (names.size === 0 || !server.isRunning(root)) continue;
      const places = await server.request(functionPlaces, { names: [...names.keys()] }, undefined, root);
      for (const [name, place] of Object.entries(places) as [string, Place][])
        if (Uri.parse(place.uri).toString() === document.uri.toString())
          lenses.push(
            new CodeLens(rangeOf(place), { title: names.get(name) ?? name, command: `${views.patch}.focus` }),
          );
    }
    return lenses;
  };

  // VS Code drops a question that is due when the editor loses the focus, as by a click on the patch in the view: it is reminded, of the
  // lenses of all providers. (Where a function stands is known once its unit has been compared, which may be later than what the targets say.)
  let reminder: NodeJS.Timeout | undefined;
  const remind = (): void => {
    clearTimeout(reminder);
    reminder = setTimeout(() => changed.fire(), REMINDER);
  };
  const lenses = new PromptLenses(() => changed.fire());

  context.subscriptions.push(
    changed,
    targets.onDidChange(() => {
      changed.fire();
      remind();
    }),
    server.onState(remind),
    { dispose: () => clearTimeout(reminder) },
    languages.registerCodeLensProvider(
      { scheme: 'file', language: 'c' },
      {
        onDidChangeCodeLenses: changed.event,
        provideCodeLenses: (document) => lenses.provide(document, () => lensesOf(document)),
      },
    ),
  );
}
