import { basename } from 'node:path';
import { commands as editorCommands, ProgressLocation, type QuickPickItem, Uri, window, workspace } from 'vscode';
import {
  type ActionResult,
  applyPatch,
  buildPatch,
  type FunctionItem,
  inspectPatch,
  type PatchState,
  revertPatch,
  type TargetItem,
} from '../../server/src/protocol.ts';
import { commands, section, settings } from './names.ts';
import type { Room } from './room.ts';

/** The payload that was built last in this window, and the code that it was built from. */
interface Built {
  readonly file: string;
  readonly fingerprint: string;
  readonly functions: readonly string[];
}

const functionsOf = (state: PatchState): FunctionItem[] =>
  state.units.flatMap((unit) => unit.functions).filter((each) => !each.leftOut);

/** Shows an action's outcome; a refusal with details opens them as a document. */
async function tell(result: ActionResult, ...choices: string[]): Promise<string | undefined> {
  if (result.ok) return window.showInformationMessage(result.message, ...choices);
  const more = result.details ? ['Details'] : [];
  const chosen = await window.showErrorMessage(result.message, ...more);
  if (chosen === 'Details') {
    const document = await workspace.openTextDocument({ language: 'markdown', content: result.details ?? '' });
    await window.showTextDocument(document, { preview: true });
  }
  return undefined;
}

/** Folder for payloads: the setting, relative to the workspace folder. */
function patchFolder(root: string): string {
  const configured = workspace.getConfiguration(section).get<string>(settings.patchFolder, '.livepatch');
  return configured.startsWith('/') ? configured : Uri.joinPath(Uri.file(root), configured).fsPath;
}

function withProgress<T>(title: string, work: (token: import('vscode').CancellationToken) => Promise<T>): Thenable<T> {
  return window.withProgress(
    { location: ProgressLocation.Notification, title, cancellable: true },
    (_progress, token) => work(token),
  );
}

async function build(room: Room): Promise<Built | undefined> {
  const { server, decisions } = room;
  const state = server.state;
  const folder = patchFolder(state.root || (workspace.workspaceFolders?.[0]?.uri.fsPath ?? ''));
  const result = await withProgress('Building the patch', (token) =>
    server.request(buildPatch, { ...decisions.choices, folder }, token),
  );
  if (!result.ok || !result.file) {
    await tell(result);
    return undefined;
  }
  room.log.info(`${result.message}: ${result.file}`);
  return { file: result.file, fingerprint: server.state.fingerprint, functions: result.functions ?? [] };
}

async function chooseTarget(room: Room, argument: unknown): Promise<TargetItem | undefined> {
  const given = (argument as { readonly target?: TargetItem })?.target;
  if (given) return given;
  const list = await room.targets.refresh();
  if (list.length === 0) {
    const open = 'Open livepatch.json';
    const chosen = await window.showWarningMessage('livepatch.json names no target to apply the patch to.', open);
    if (chosen === open) await editorCommands.executeCommand(commands.openConfig);
    return undefined;
  }
  if (list.length === 1) return list[0];
  const items = list.map((target): QuickPickItem & { target: TargetItem } => ({
    label: target.name,
    description: target.alive ? `running${target.pid ? `, process ${target.pid}` : ''}` : 'not running',
    ...(target.message ? { detail: target.message } : {}),
    target,
  }));
  return (await window.showQuickPick(items, { placeHolder: 'Target' }))?.target;
}

/** What the modal question says: the target, each function, what has not been reviewed and what was overridden. */
export function applyQuestion(
  target: TargetItem,
  built: Pick<Built, 'functions'>,
  room: Pick<Room, 'decisions'>,
  state: PatchState,
): string {
  const known = functionsOf(state);
  const lines = [`Functions that are replaced: ${built.functions.join(', ') || 'none'}.`];
  const unseen = known.filter((each) => built.functions.includes(each.name) && !room.decisions.isReviewed(each));
  lines.push(
    unseen.length === 0
      ? 'All of them have been reviewed.'
      : `Not reviewed: ${unseen.map((each) => each.name).join(', ')}.`,
  );
  const open = state.units.flatMap((unit) => unit.findings).filter((each) => each.severity === 'review');
  if (open.length > 0)
    lines.push(`Findings to look at: ${open.map((each) => `${each.code} (${each.symbol})`).join(', ')}.`);
  const overridden = Object.entries(room.decisions.choices.overrides);
  for (const [key, reason] of overridden) lines.push(`Overridden: ${key} because “${reason}”.`);
  if (target.patches.some((each) => each.state === 'applied'))
    lines.push('Other patches are applied; this one goes on top.');
  return lines.join('\n');
}

/** Building, applying and reverting, with one modal question before anything in a target changes. */
export function activate(room: Room): void {
  const { context, server, targets } = room;
  let last: Built | undefined;
  const current = async (): Promise<Built | undefined> => {
    if (last && last.fingerprint === server.state.fingerprint) return last;
    last = await build(room);
    return last;
  };
  const apply = async (argument: unknown): Promise<ActionResult | undefined> => {
    const file = argument instanceof Uri ? argument.fsPath : undefined;
    const built = file
      ? { file, functions: (await server.request(inspectPatch, { file })).functions ?? [] }
      : await current();
    const target = built && (await chooseTarget(room, argument));
    if (!built || !target) return undefined;
    const question = `Apply ${basename(built.file)} to ${target.name}${target.pid ? ` (process ${target.pid})` : ''}?`;
    const detail = applyQuestion(target, built, room, server.state);
    if ((await window.showWarningMessage(question, { modal: true, detail }, 'Apply')) !== 'Apply') return undefined;
    const result = await withProgress(`Applying to ${target.name}`, (token) =>
      server.request(applyPatch, { file: built.file, target: target.name }, token),
    );
    await targets.refresh();
    void tell(result, 'Revert').then((chosen) => {
      if (chosen === 'Revert') return revert({ target });
    });
    return result;
  };
  const revert = async (argument: unknown): Promise<ActionResult | undefined> => {
    const target = await chooseTarget(room, argument);
    if (!target) return undefined;
    const id = (argument as { readonly patch?: { readonly id: string } })?.patch?.id;
    const result = await withProgress(`Reverting on ${target.name}`, (token) =>
      server.request(revertPatch, { target: target.name, ...(id ? { id } : {}) }, token),
    );
    await targets.refresh();
    void tell(result);
    return result;
  };

  context.subscriptions.push(
    editorCommands.registerCommand(commands.buildPatch, async () => {
      last = await build(room);
      if (!last) return undefined;
      const built = last;
      void window
        .showInformationMessage(
          `The patch is built: ${basename(built.file)} replaces ${built.functions.join(', ')}.`,
          'Apply',
          'Inspect',
        )
        .then((chosen) => {
          if (chosen === 'Apply') return apply(undefined);
          if (chosen === 'Inspect') return editorCommands.executeCommand(commands.inspectPatch, Uri.file(built.file));
        });
      return built.file;
    }),
    editorCommands.registerCommand(commands.applyPatch, apply),
    editorCommands.registerCommand(commands.revertPatch, revert),
    editorCommands.registerCommand(commands.refreshTargets, () => targets.refresh()),
    editorCommands.registerCommand(commands.inspectPatch, async (argument: unknown) => {
      const chosen = argument instanceof Uri ? argument : last && Uri.file(last.file);
      const file = chosen ?? (await window.showOpenDialog({ title: 'Payload to inspect' }))?.[0];
      if (!file) return;
      const result = await server.request(inspectPatch, { file: file.fsPath });
      if (!result.ok) return void (await tell(result));
      const document = await workspace.openTextDocument({ language: 'plaintext', content: result.details ?? '' });
      await window.showTextDocument(document, { preview: true });
    }),
  );
}
