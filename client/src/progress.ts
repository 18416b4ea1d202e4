import { window } from 'vscode';
import type { PatchState } from '../../server/src/protocol.ts';
import { views } from './names.ts';
import type { Room } from './room.ts';

/** Milliseconds of work before a bar is drawn: most checks are over by then. */
const PATIENCE = 500;

/**
 * The bar above the view while units are built. The status bar says how far that is and offers to cancel, the view's title too: no
 * notification comes up for work that goes on in the background.
 */
export function activate({ context, server }: Room): void {
  let waiting: NodeJS.Timeout | undefined;
  let done: (() => void) | undefined;

  const open = (): void => {
    waiting = undefined;
    void window.withProgress(
      { location: { viewId: views.patch } },
      () =>
        new Promise<void>((resolve) => {
          done = resolve;
        }),
    );
  };
  const show = ({ busy }: PatchState): void => {
    if (busy && !done) waiting ??= setTimeout(open, PATIENCE);
    if (busy) return;
    clearTimeout(waiting);
    waiting = undefined;
    done?.();
    done = undefined;
  };

  context.subscriptions.push({ dispose: () => show({ ...server.state, busy: false }) }, server.onState(show));
}
