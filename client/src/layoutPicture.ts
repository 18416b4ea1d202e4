import { commands as editorCommands, l10n, Uri, ViewColumn, type WebviewPanel, window } from 'vscode';
import { type LayoutSubject, layoutPicture, typeAt } from '../../server/src/protocol.ts';
import { detach } from './apply.ts';
import { commands, layout, panels } from './names.ts';
import { messageOf } from './pageMessages.ts';
import { PagePanel } from './pages.ts';
import type { Room } from './room.ts';
import { tell } from './status.ts';

type Subject = Pick<LayoutSubject, 'unit' | 'type'>;

const isSubject = (value: unknown): value is Subject =>
  typeof (value as Subject | undefined)?.unit === 'string' && typeof (value as Subject).type === 'string';

/** The type that a command is about: its argument, the layout that is shown, or what is at the cursor of a source. */
async function subjectOf({ server }: Room, argument: unknown): Promise<Subject | undefined> {
  if (isSubject(argument)) return { unit: argument.unit, type: argument.type };
  const uri = argument instanceof Uri ? argument : window.activeTextEditor?.document.uri;
  if (uri?.scheme === layout.scheme) {
    const shown: unknown = JSON.parse(uri.query);
    return isSubject(shown) ? { unit: shown.unit, type: shown.type } : undefined;
  }
  const editor = window.activeTextEditor;
  if (!editor) return undefined;
  const { line, character } = editor.selection.active;
  return (await server.request(typeAt, { uri: editor.document.uri.toString(), line, character })) ?? undefined;
}

/** The picture of a changed layout in a panel of its own: drawn again when the type changes, kept when the window is closed. */
export function activate(room: Room): void {
  const { context, server } = room;
  const open = new Map<WebviewPanel, { readonly subject: Subject; readonly page: PagePanel }>();
  const draw = async (panel: WebviewPanel): Promise<void> => {
    const shown = open.get(panel);
    if (shown) await shown.page.show(await server.request(layoutPicture, shown.subject));
  };
  const adopt = async (panel: WebviewPanel, subject: Subject): Promise<void> => {
    const buttons = [{ command: commands.compareLayout, label: l10n.t('Compare as text') }];
    open.set(panel, { subject, page: new PagePanel(panel, context.extensionUri, subject, buttons) });
    panel.onDidDispose(() => open.delete(panel));
    panel.webview.onDidReceiveMessage((value: unknown) => {
      const message = messageOf(value);
      if (message?.type === 'command' && message.command === commands.compareLayout)
        detach(editorCommands.executeCommand(commands.compareLayout, subject));
    });
    await draw(panel);
  };
  const show = async (argument: unknown): Promise<void> => {
    const subject = await subjectOf(room, argument);
    if (!subject) {
      tell(
        l10n.t(
          'No type whose layout changed is at the cursor. Put it on the name of a struct or on one of its fields.',
        ),
      );
      return;
    }
    for (const [panel, shown] of open)
      if (shown.subject.type === subject.type) {
        panel.reveal();
        return draw(panel);
      }
    const title = l10n.t('Layout of {0}', subject.type);
    await adopt(window.createWebviewPanel(panels.layout, title, ViewColumn.Active), subject);
  };
  context.subscriptions.push(
    editorCommands.registerCommand(commands.showLayoutPicture, show),
    window.registerWebviewPanelSerializer(panels.layout, {
      deserializeWebviewPanel: async (panel, state: unknown) => {
        const subject = (state as { readonly subject?: unknown } | undefined)?.subject;
        if (isSubject(subject)) await adopt(panel, subject);
        else panel.dispose();
      },
    }),
    server.onState((state) => {
      if (state.busy) return;
      for (const [panel, { subject }] of open) {
        // A picture starts no server: it is told of the end of one, too.
        const of = server.states.find(({ units }) => units.some(({ id }) => id === subject.unit));
        if (of && server.isRunning(of.root)) draw(panel).catch(() => {});
      }
    }),
  );
}
