import { basename } from 'node:path';
import {
  type CancellationToken,
  EventEmitter,
  commands as editorCommands,
  env,
  l10n,
  ProgressLocation,
  type QuickPickItem,
  Uri,
  window,
  workspace,
} from 'vscode';
import {
  type ActionResult,
  applyPatch,
  buildPatch,
  type FunctionItem,
  getState,
  inspectPatch,
  type PatchState,
  revertPatch,
} from '../../server/src/protocol.ts';
import { commands, section, settings } from './names.ts';
import type { Room } from './room.ts';
import { EMPTY } from './state.ts';
import { tell as tellStatus } from './status.ts';
import type { TargetItem } from './targets.ts';

/** The payload that was built last in this window, and the code that it was built from. */
interface Built {
  readonly file: string;
  /** Folder whose edits it holds. */
  readonly root: string;
  /** Of the state that it was built from; empty where that changed meanwhile, so that no state is like it. */
  readonly fingerprint: string;
  readonly functions: readonly string[];
  readonly baseline?: ActionResult['baseline'];
}

const functionsOf = (state: PatchState): FunctionItem[] =>
  state.units.flatMap((unit) => unit.functions).filter((each) => !each.leftOut);

/** Name of a function as a payload tells it: Xen has local ones as `common/keyhandler.c#show_handlers`. */
const plainFunction = (name: string): string => name.slice(name.lastIndexOf('#') + 1);

/** Lets go of work that nobody waits for: where it fails, that is told. */
export function detach(work: Thenable<unknown>): void {
  work.then(undefined, (error: unknown) => {
    void window.showErrorMessage(error instanceof Error ? error.message : String(error));
  });
}

/** The folder that a command's argument is about: an item of the view, or `{root}`. */
export function rootOf(argument: unknown): string | undefined {
  const given = (argument ?? undefined) as
    | { readonly root?: string; readonly state?: PatchState; readonly target?: TargetItem }
    | undefined;
  return (given?.target?.root ?? given?.state?.root ?? given?.root) || undefined;
}

/**
 * Tells an action's outcome: in the status bar where nothing can be answered, else in a notification; a refusal with details opens them as a
 * document.
 */
export async function tell(result: ActionResult, ...choices: string[]): Promise<string | undefined> {
  if (result.ok && choices.length === 0) return void tellStatus(result.message);
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

/** Is the tree what runs? Said with the numbers, so that nobody has to take it on trust. */
const baselineText = ({ checked, same }: NonNullable<ActionResult['baseline']>): string =>
  l10n.t(
    '{0} of {1} functions reproduce in the hypervisor.',
    same.toLocaleString(env.language),
    checked.toLocaleString(env.language),
  );

const wasBuilt = new EventEmitter<void>();
/** A payload was built: what `last built` means is another code now. */
export const onDidBuild = wasBuilt.event;

/** Folder for payloads: the setting, relative to the workspace folder. */
function patchFolder(root: string): string {
  const configured = workspace
    .getConfiguration(section, Uri.file(root))
    .get<string>(settings.patchFolder, '.livepatch');
  return configured.startsWith('/') ? configured : Uri.joinPath(Uri.file(root), configured).fsPath;
}

function withProgress<T>(title: string, work: (token: CancellationToken) => Promise<T>): Thenable<T> {
  return window.withProgress(
    { location: ProgressLocation.Notification, title, cancellable: true },
    (_progress, token) => work(token),
  );
}

/** Nothing is being compared, and nothing waits for it: the state tells of the sources as they are. */
const isAtRest = ({ busy, units }: PatchState): boolean => !busy && !units.some(({ stale }) => stale);

/** Builds the payload of a folder's edits; undefined where it was refused, which is told. */
export async function build(room: Room, root?: string): Promise<Built | undefined> {
  const { server, decisions } = room;
  const about = root ?? server.state.root;
  const folder = patchFolder(about || (workspace.workspaceFolders?.[0]?.uri.fsPath ?? ''));
  // The server's own word: what it told last may be some milliseconds old.
  const state = (): Promise<PatchState> => server.request(getState, {}, undefined, about);
  const before = await state();
  const result = await withProgress(l10n.t('Building the patch'), async (token) => {
    const answer = server.request(buildPatch, { ...decisions.choices, folder }, token, before.root);
    const built = await answer.catch((error: unknown) => {
      if (token.isCancellationRequested) return undefined;
      throw error;
    });
    if (built?.ok) wasBuilt.fire();
    // Whoever cancelled knows.
    return token.isCancellationRequested ? undefined : built;
  });
  if (!result) return undefined;
  if (!result.ok || !result.file) {
    await tell(result);
    return undefined;
  }
  room.log.info(`${result.message}: ${result.file}`);
  const after = await state();
  // An edit that was compared meanwhile may be in the payload or not.
  const isSame = isAtRest(before) && isAtRest(after) && before.fingerprint === after.fingerprint;
  return {
    file: result.file,
    root: after.root,
    fingerprint: isSame ? after.fingerprint : '',
    functions: result.functions ?? [],
    ...(result.baseline ? { baseline: result.baseline } : {}),
  };
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
    if (chosen === open) await editorCommands.executeCommand(commands.openConfig, { root });
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
  // One that the state does not tell of has been reviewed by nobody.
  const unseen = built.functions.filter((name) => {
    const items = known.filter((each) => each.name === name || plainFunction(each.name) === name);
    return items.length === 0 || items.some((each) => !room.decisions.isReviewed(each));
  });
  lines.push(
    unseen.length === 0 ? l10n.t('All of them have been reviewed.') : l10n.t('Not reviewed: {0}.', unseen.join(', ')),
  );
  // What is only a note asks nobody; a blocker is here only where somebody overrode or accepted it.
  const open = state.units
    .flatMap((unit) => unit.findings)
    .filter((each) => each.severity !== 'note' && !room.decisions.isFindingReviewed(each));
  if (open.length > 0)
    lines.push(
      l10n.t(
        'Findings that nobody has looked at: {0}.',
        [...new Set(open.map((each) => `${each.code} (${each.symbol})`))].join(', '),
      ),
    );
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
  /** Nothing is known of a folder that has told nothing: what another one tells does not stand for it. */
  const stateOf = (root: string): PatchState => server.states.find((each) => each.root === root) ?? EMPTY;
  /** What became of an action is told already: that the targets do not answer takes nothing from it. */
  const renew = (): Promise<unknown> => targets.renew().catch((error: unknown) => room.log.warn(String(error)));
  const current = async (root: string | undefined): Promise<Built | undefined> => {
    if (last && last.root === (root ?? server.state.root)) {
      const now = await server.request(getState, {}, undefined, last.root);
      if (isAtRest(now) && last.fingerprint === now.fingerprint) return last;
    }
    const built = await build(room, root);
    last = built ?? last;
    return built;
  };
  const apply = async (argument: unknown): Promise<ActionResult | undefined> => {
    const file = argument instanceof Uri ? argument.fsPath : undefined;
    const built = file
      ? { file, root: undefined, functions: (await server.request(inspectPatch, { file })).functions ?? [] }
      : await current(rootOf(argument));
    const target = built && (await chooseTarget(room, argument, built.root));
    if (!built || !target) return undefined;
    const question = target.pid
      ? l10n.t('Apply {0} to {1} (process {2})?', basename(built.file), target.name, target.pid)
      : l10n.t('Apply {0} to {1}?', basename(built.file), target.name);
    const yes = l10n.t('Apply');
    const state = stateOf(target.root);
    // Nobody knows whether a file that was given holds the code that was reviewed.
    const known = file ? { ...state, units: state.units.map((unit) => ({ ...unit, functions: [] })) } : state;
    const detail = applyQuestion(target, built, room, known);
    if ((await window.showWarningMessage(question, { modal: true, detail }, yes)) !== yes) return undefined;
    const result = await withProgress(l10n.t('Applying to {0}', target.name), (token) =>
      server.request(applyPatch, { file: built.file, target: target.name }, token, target.root),
    );
    const back = l10n.t('Revert');
    // Another patch may be on top by the time that somebody clicks.
    const patch = result.id === undefined ? {} : { patch: { id: result.id } };
    detach(tell(result, back).then((chosen) => (chosen === back ? revert({ target, ...patch }) : undefined)));
    await renew();
    return result;
  };
  const revert = async (argument: unknown): Promise<ActionResult | undefined> => {
    const target = await chooseTarget(room, argument);
    if (!target) return undefined;
    const id = (argument as { readonly patch?: { readonly id: string } })?.patch?.id;
    const result = await withProgress(l10n.t('Reverting on {0}', target.name), (token) =>
      server.request(revertPatch, { target: target.name, ...(id ? { id } : {}) }, token, target.root),
    );
    detach(tell(result));
    await renew();
    return result;
  };

  context.subscriptions.push(
    editorCommands.registerCommand(commands.buildPatch, async (argument: unknown) => {
      const built = await build(room, rootOf(argument));
      if (!built) return undefined;
      last = built;
      const [now, look] = [l10n.t('Apply'), l10n.t('Inspect')];
      const said = l10n.t(
        'The patch is built: {0} replaces {1}.',
        workspace.asRelativePath(built.file),
        built.functions.join(', '),
      );
      const told = window.showInformationMessage(
        built.baseline ? `${said} ${baselineText(built.baseline)}` : said,
        now,
        look,
      );
      detach(
        told.then((chosen): Thenable<unknown> | undefined => {
          if (chosen === now) return apply({ root: built.root });
          if (chosen === look) return editorCommands.executeCommand(commands.inspectPatch, Uri.file(built.file));
          return undefined;
        }),
      );
      return built.file;
    }),
    editorCommands.registerCommand(commands.applyPatch, apply),
    editorCommands.registerCommand(commands.revertPatch, revert),
    // VS Code hands the focused item to the buttons of the view's title: nobody chose a target by that.
    editorCommands.registerCommand(commands.applyPatchFromView, () => apply(undefined)),
    editorCommands.registerCommand(commands.revertPatchFromView, () => revert(undefined)),
    editorCommands.registerCommand(commands.refreshTargets, () => targets.renew()),
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
