import { l10n, ProgressLocation, window } from 'vscode';
import { cancelBuild, type PatchState } from '../../server/src/protocol.ts';
import type { Room } from './room.ts';

/** Milliseconds of work before a notification appears: most checks are over by then. */
const PATIENCE = 1500;

/** A notification with a cancel button while many units are rebuilt, as after the edit of a header. */
export function activate({ context, server }: Room): void {
  let waiting: NodeJS.Timeout | undefined;
  let update: ((state: PatchState) => void) | undefined;

  const open = (): void => {
    waiting = undefined;
    void window.withProgress(
      { location: ProgressLocation.Notification, title: 'Live Patch', cancellable: true },
      (progress, token) =>
        new Promise<void>((done) => {
          let told = 0;
          token.onCancellationRequested(() => void server.request(cancelBuild, {}));
          update = (state) => {
            if (!state.busy) {
              update = undefined;
              done();
              return;
            }
            const now = state.progress;
            if (!now) return;
            const share = now.total > 0 ? (100 * now.done) / now.total : 0;
            progress.report({
              message: l10n.t('{0} ({1} of {2})', now.title, now.done, now.total),
              increment: Math.max(0, share - told),
            });
            told = Math.max(told, share);
          };
          update(server.state);
        }),
    );
  };

  context.subscriptions.push(
    { dispose: () => clearTimeout(waiting) },
    server.onState((state) => {
      update?.(state);
      const long = state.busy && (state.progress?.total ?? 0) > 1;
      if (long && !update) waiting ??= setTimeout(open, PATIENCE);
      if (!long && waiting) {
        clearTimeout(waiting);
        waiting = undefined;
      }
    }),
  );
}
