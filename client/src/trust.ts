import { workspace } from 'vscode';
import { setTrust } from '../../server/src/protocol.ts';
import type { Room } from './room.ts';

/**
 * The extension does not run in an untrusted workspace at all (`untrustedWorkspaces: false`). Where trust is given while it
 * runs, the server is told, which looks at it again before each compiler.
 */
export function activate({ context, server }: Room): void {
  context.subscriptions.push(
    workspace.onDidGrantWorkspaceTrust(() => {
      server.send(setTrust, { trusted: true });
      server.watch();
    }),
  );
}
