import { commands as editorCommands, l10n, Position, Range, WorkspaceEdit, window, workspace } from 'vscode';
import { hookEdit } from '../../server/src/protocol.ts';
import { commands } from './names.ts';
import type { Room } from './room.ts';
import { tell } from './status.ts';

/** Writes a pair of Xen's hooks at the end of the source in the active editor, and shows where. */
async function addHooks({ server }: Room, argument: unknown): Promise<boolean> {
  const document = window.activeTextEditor?.document;
  if (document?.languageId !== 'c') {
    tell(l10n.t('Open the C source of Xen that the hooks belong to.'));
    return false;
  }
  const given = (argument as { readonly pair?: 'load' | 'check' } | undefined)?.pair;
  const pair =
    given ??
    (
      await window.showQuickPick(
        [
          {
            label: l10n.t('Load and unload hooks'),
            detail: l10n.t('Run while all processors stand still: convert data for the new code, and back.'),
            pair: 'load' as const,
          },
          {
            label: l10n.t('Check before applying, undo after a revert'),
            detail: l10n.t('Run while the machine goes on: may allocate, may refuse.'),
            pair: 'check' as const,
          },
        ],
        { title: l10n.t('Add Hooks to the Patch') },
      )
    )?.pair;
  if (!pair) return false;
  const edits = await server.request(hookEdit, { uri: document.uri.toString(), pair });
  if (!edits) {
    tell(
      l10n.t(
        '{0} belongs to no Xen tree with hooks (include/xen/livepatch_payload.h).',
        workspace.asRelativePath(document.uri),
      ),
    );
    return false;
  }
  const edit = new WorkspaceEdit();
  for (const { range, newText } of edits)
    edit.insert(document.uri, new Position(range.start.line, range.start.character), newText);
  if (!(await workspace.applyEdit(edit))) return false;
  const last = document.getText().lastIndexOf('_HOOK(livepatch_');
  const at = document.positionAt(Math.max(0, last));
  await window.showTextDocument(document, { selection: new Range(at, at) });
  return true;
}

/** Hooks of a patch for Xen. */
export function activate(room: Room): void {
  room.context.subscriptions.push(
    editorCommands.registerCommand(commands.xenAddHooks, (argument: unknown) => addHooks(room, argument)),
  );
}
