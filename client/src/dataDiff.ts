import {
  EventEmitter,
  commands as editorCommands,
  l10n,
  type TextDocumentContentProvider,
  Uri,
  window,
  workspace,
} from 'vscode';
import { type DataItem, type DataSubject, dataAt, dataText } from '../../server/src/protocol.ts';
import type { Server } from './client.ts';
import { commands, data } from './names.ts';
import type { Room } from './room.ts';
import { tell } from './status.ts';

type Side = 'base' | 'next';

/** `livepatch-data:/limits.base.h?{"unit":…,"name":…,"side":…}`: shown as C. */
function uriOf({ unit, name }: DataSubject, side: Side): Uri {
  return Uri.from({ scheme: data.scheme, path: `/${name}.${side}.h`, query: JSON.stringify({ unit, name, side }) });
}

/** Serves the sides of changed data as read-only documents, and reads them again when the data change. */
class Sides implements TextDocumentContentProvider {
  readonly #server: Server;
  readonly #changed = new EventEmitter<Uri>();
  readonly onDidChange = this.#changed.event;

  constructor(server: Server) {
    this.#server = server;
  }

  async provideTextDocumentContent(uri: Uri): Promise<string> {
    const subject = JSON.parse(uri.query) as DataSubject & { readonly side: Side };
    return (await this.#server.request(dataText, subject)).text;
  }

  refresh(): void {
    for (const { uri } of workspace.textDocuments) if (uri.scheme === data.scheme) this.#changed.fire(uri);
  }
}

/** The data object that a command is about: its argument, an item of the view, or what is at the cursor. */
async function subjectOf({ server }: Room, argument: unknown): Promise<DataSubject | undefined> {
  const given = argument as (Partial<DataSubject> & { readonly data?: DataItem }) | undefined;
  if (given?.data) return { unit: given.data.unit, name: given.data.name };
  if (typeof given?.unit === 'string' && typeof given.name === 'string') return { unit: given.unit, name: given.name };
  const editor = window.activeTextEditor;
  if (!editor) return undefined;
  const { line, character } = editor.selection.active;
  return (await server.request(dataAt, { uri: editor.document.uri.toString(), line, character })) ?? undefined;
}

/** Old and new values of a changed data object side by side in the diff editor. */
export function activate(room: Room): void {
  const { context, server } = room;
  const sides = new Sides(server);
  const compare = async (argument: unknown): Promise<void> => {
    const subject = await subjectOf(room, argument);
    if (!subject) {
      tell(
        l10n.t(
          'No data whose initial value changed is at the cursor. Put it on the name of a variable or into its initialiser.',
        ),
      );
      return;
    }
    const { title } = await server.request(dataText, { ...subject, side: 'next' });
    await editorCommands.executeCommand('vscode.diff', uriOf(subject, 'base'), uriOf(subject, 'next'), title, {
      preview: true,
    });
  };
  context.subscriptions.push(
    workspace.registerTextDocumentContentProvider(data.scheme, sides),
    editorCommands.registerCommand(commands.compareData, compare),
    // What the state itself tells of data is their first difference and a count.
    server.onOtherCode(() => sides.refresh()),
  );
}
