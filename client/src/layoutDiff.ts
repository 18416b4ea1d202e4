import {
  EventEmitter,
  commands as editorCommands,
  l10n,
  type TextDocumentContentProvider,
  Uri,
  window,
  workspace,
} from 'vscode';
import { type LayoutSubject, layoutText, typeAt } from '../../server/src/protocol.ts';
import type { Server } from './client.ts';
import { commands, layout } from './names.ts';
import type { Room } from './room.ts';
import { tell } from './status.ts';

type Subject = Pick<LayoutSubject, 'unit' | 'type'>;

/** `livepatch-layout:/struct foo.base.h?{"unit":…,"type":…,"side":…}`. */
function uriOf(subject: Subject, side: LayoutSubject['side']): Uri {
  return Uri.from({
    scheme: layout.scheme,
    path: `/${subject.type}.${side}.h`,
    query: JSON.stringify({ ...subject, side }),
  });
}

/** Serves layouts of changed types as read-only documents, and reads them again when the code changes. */
class Layouts implements TextDocumentContentProvider {
  readonly #server: Server;
  readonly #changed = new EventEmitter<Uri>();
  readonly onDidChange = this.#changed.event;

  constructor(server: Server) {
    this.#server = server;
  }

  async provideTextDocumentContent(uri: Uri): Promise<string> {
    return (await this.#server.request(layoutText, JSON.parse(uri.query) as LayoutSubject)).text;
  }

  refresh(): void {
    for (const { uri } of workspace.textDocuments) if (uri.scheme === layout.scheme) this.#changed.fire(uri);
  }
}

/** Old and new layout of a changed struct side by side in the diff editor. */
export function activate({ context, server }: Room): void {
  const layouts = new Layouts(server);
  const compare = async (argument: unknown): Promise<void> => {
    let subject = argument as Subject | undefined;
    const editor = window.activeTextEditor;
    if (typeof subject?.type !== 'string' && editor) {
      const { line, character } = editor.selection.active;
      subject = (await server.request(typeAt, { uri: editor.document.uri.toString(), line, character })) ?? undefined;
    }
    if (typeof subject?.type !== 'string') {
      tell(
        l10n.t(
          'No type whose layout changed is at the cursor. Put it on the name of a struct or on one of its fields.',
        ),
      );
      return;
    }
    const { title } = await server.request(layoutText, { ...subject, side: 'next' });
    await editorCommands.executeCommand('vscode.diff', uriOf(subject, 'base'), uriOf(subject, 'next'), title, {
      preview: true,
    });
  };
  context.subscriptions.push(
    workspace.registerTextDocumentContentProvider(layout.scheme, layouts),
    editorCommands.registerCommand(commands.compareLayout, compare),
    server.onOtherCode(() => layouts.refresh()),
  );
}
