import { basename } from 'node:path';
import { commands as editorCommands, l10n, ProgressLocation, type QuickPickItem, Uri, window, workspace } from 'vscode';
import {
  type ActionResult,
  applyPatch,
  buildPatch,
  type FunctionItem,
  inspectPatch,
  type PatchState,
  revertPatch,
} from '../../server/src/protocol.ts';
import { commands, section, settings } from './names.ts';
import type { Room } from './room.ts';
import type { TargetItem } from './targets.ts';

/** The payload that was built last in this window, and the code that it was built from. */
interface Built {
  readonly file: string;
  /** Folder whose edits it holds. */
  readonly root: string;
  readonly fingerprint: string;
  readonly functions: readonly string[];
}

const functionsOf = (state: PatchState): FunctionItem[] =>
  state.units.flatMap((unit) => unit.functions).filter((each) => !each.leftOut);

/** Shows an action's outcome; a refusal with details opens them as a document. */
async function tell(result: ActionResult, ...choices: string[]): Promise<string | undefined> {
  if (result.ok) return window.showInformationMessage(result.message, ...choices);
  const details = l10n.t('Details');
  const more = result.details ? [details] : [];
  const chosen = await window.showErrorMessage(result.message, ...more);
  if (chosen === details) {
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

async function build(room: Room, root?: string): Promise<Built | undefined> {
  const { server, decisions } = room;
  const state = server.states.find((each) => each.root === root) ?? server.state;
  const folder = patchFolder(state.root || (workspace.workspaceFolders?.[0]?.uri.fsPath ?? ''));
  const result = await withProgress(l10n.t('Building the patch'), (token) =>
    server.request(buildPatch, { ...decisions.choices, folder }, token, state.root),
  );
  if (!result.ok || !result.file) {
    await tell(result);
    return undefined;
  }
  room.log.info(`${result.message}: ${result.file}`);
  const now = server.states.find((each) => each.root === state.root) ?? state;
  return { file: result.file, root: now.root, fingerprint: now.fingerprint, functions: result.functions ?? [] };
}

async function chooseTarget(room: Room, argument: unknown, root?: string): Promise<TargetItem | undefined> {
  const given = (argument as { readonly target?: TargetItem })?.target;
  if (given) return given;
  const list = (await room.targets.refresh()).filter((target) => root === undefined || target.root === root);
  if (list.length === 0) {
    const open = l10n.t('Open livepatch.json');
    const chosen = await window.showWarningMessage(
      l10n.t('livepatch.json names no target to apply the patch to.'),
      open,
    );
    if (chosen === open) await editorCommands.executeCommand(commands.openConfig);
    return undefined;
  }
  if (list.length === 1) return list[0];
  const items = list.map((target): QuickPickItem & { target: TargetItem } => ({
    label: target.name,
    description: !target.alive
      ? l10n.t('not running')
      : target.pid
        ? l10n.t('running, process {0}', target.pid)
        : l10n.t('running'),
    ...(target.message ? { detail: target.message } : {}),
    target,
  }));
  return (await window.showQuickPick(items, { placeHolder: l10n.t('Target') }))?.target;
}

/** What the modal question says: the target, each function, what has not been reviewed and what was overridden. */
export function applyQuestion(
  target: TargetItem,
  built: Pick<Built, 'functions'>,
  room: Pick<Room, 'decisions'>,
  state: PatchState,
): string {
  const known = functionsOf(state);
  const lines = [l10n.t('Functions that are replaced: {0}.', built.functions.join(', ') || l10n.t('none'))];
  const unseen = known.filter((each) => built.functions.includes(each.name) && !room.decisions.isReviewed(each));
  lines.push(
    unseen.length === 0
      ? l10n.t('All of them have been reviewed.')
      : l10n.t('Not reviewed: {0}.', unseen.map((each) => each.name).join(', ')),
  );
  const open = state.units.flatMap((unit) => unit.findings).filter((each) => each.severity === 'review');
  if (open.length > 0)
    lines.push(l10n.t('Findings to look at: {0}.', open.map((each) => `${each.code} (${each.symbol})`).join(', ')));
  const overridden = Object.entries(room.decisions.choices.overrides);
  for (const [key, reason] of overridden) lines.push(l10n.t('Overridden: {0} because “{1}”.', key, reason));
  if (target.patches.some((each) => each.state === 'applied'))
    lines.push(l10n.t('Other patches are applied; this one goes on top.'));
  return lines.join('\n');
}

/** Building, applying and reverting, with one modal question before anything in a target changes. */
export function activate(room: Room): void {
  const { context, server, targets } = room;
  let last: Built | undefined;
  const stateOf = (root: string | undefined): PatchState =>
    server.states.find((each) => each.root === root) ?? server.state;
  const current = async (root: string | undefined): Promise<Built | undefined> => {
    const now = stateOf(root);
    if (last?.root === now.root && last.fingerprint === now.fingerprint) return last;
    last = await build(room, now.root);
    return last;
  };
  const apply = async (argument: unknown): Promise<ActionResult | undefined> => {
    const file = argument instanceof Uri ? argument.fsPath : undefined;
    const built = file
      ? { file, root: undefined, functions: (await server.request(inspectPatch, { file })).functions ?? [] }
      : await current((argument as { readonly target?: TargetItem })?.target?.root);
    const target = built && (await chooseTarget(room, argument, built.root));
    if (!built || !target) return undefined;
    const question = target.pid
      ? l10n.t('Apply {0} to {1} (process {2})?', basename(built.file), target.name, target.pid)
      : l10n.t('Apply {0} to {1}?', basename(built.file), target.name);
    const yes = l10n.t('Apply');
    const detail = applyQuestion(target, built, room, stateOf(target.root));
    if ((await window.showWarningMessage(question, { modal: true, detail }, yes)) !== yes) return undefined;
    const result = await withProgress(l10n.t('Applying to {0}', target.name), (token) =>
      server.request(applyPatch, { file: built.file, target: target.name }, token, target.root),
    );
    await targets.refresh();
    const back = l10n.t('Revert');
    void tell(result, back).then((chosen) => {
      if (chosen === back) return revert({ target });
    });
    return result;
  };
  const revert = async (argument: unknown): Promise<ActionResult | undefined> => {
    const target = await chooseTarget(room, argument);
    if (!target) return undefined;
    const id = (argument as { readonly patch?: { readonly id: string } })?.patch?.id;
    const result = await withProgress(l10n.t('Reverting on {0}', target.name), (token) =>
      server.request(revertPatch, { target: target.name, ...(id ? { id } : {}) }, token, target.root),
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
      const [now, look] = [l10n.t('Apply'), l10n.t('Inspect')];
      void window
        .showInformationMessage(
          l10n.t('The patch is built: {0} replaces {1}.', basename(built.file), built.functions.join(', ')),
          now,
          look,
        )
        .then((chosen) => {
          if (chosen === now) return apply(undefined);
          if (chosen === look) return editorCommands.executeCommand(commands.inspectPatch, Uri.file(built.file));
        });
      return built.file;
    }),
    editorCommands.registerCommand(commands.applyPatch, apply),
    editorCommands.registerCommand(commands.revertPatch, revert),
    editorCommands.registerCommand(commands.refreshTargets, () => targets.refresh()),
    editorCommands.registerCommand(commands.inspectPatch, async (argument: unknown) => {
      const chosen = argument instanceof Uri ? argument : last && Uri.file(last.file);
      const file = chosen ?? (await window.showOpenDialog({ title: l10n.t('Payload to inspect') }))?.[0];
      if (!file) return;
      const result = await server.request(inspectPatch, { file: file.fsPath });
      if (!result.ok) return void (await tell(result));
      const document = await workspace.openTextDocument({ language: 'plaintext', content: result.details ?? '' });
      await window.showTextDocument(document, { preview: true });
    }),
  );
}
