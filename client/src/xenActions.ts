import { basename } from 'node:path';
import { commands as editorCommands, l10n, ProgressLocation, Uri, window } from 'vscode';
import { type ActionResult, type XenRequest, xenAction } from '../../server/src/protocol.ts';
import { build, detach, tell } from './apply.ts';
import { commands } from './names.ts';
import type { Room } from './room.ts';
import { tell as tellStatus } from './status.ts';
import type { TargetItem } from './targets.ts';
import { type Patch, patchesFor, type Step } from './xenChoice.ts';

const TITLE: Readonly<Record<XenRequest['action'], (id: string, target: string) => string>> = {
  upload: (id, target) => l10n.t('Uploading {0} to {1}', id, target),
  replaceWith: (id, target) => l10n.t('Replacing what is applied to {1} with {0}', id, target),
  apply: (id, target) => l10n.t('Applying {0} to {1}', id, target),
  revert: (id, target) => l10n.t('Reverting {0} on {1}', id, target),
  unload: (id, target) => l10n.t('Unloading {0} from {1}', id, target),
  replace: (id, target) => l10n.t('Replacing what is applied to {1} with {0}', id, target),
};

/** What changes the running hypervisor is asked about first. */
const QUESTION: Partial<Record<Step, (id: string, target: string) => string>> = {
  apply: (id, target) => l10n.t('Apply {0} to {1}?', id, target),
  replace: (id, target) =>
    l10n.t('Revert everything that is applied to {1}, and apply {0} instead, in one step?', id, target),
};

async function request(room: Room, about: XenRequest, name: string, root: string): Promise<ActionResult> {
  const result = await window.withProgress(
    { location: ProgressLocation.Notification, title: TITLE[about.action](name, about.target), cancellable: true },
    (_progress, token) => room.server.request(xenAction, about, token, root),
  );
  detach(tell(result));
  await room.targets.renew().catch((error: unknown) => room.log.warn(String(error)));
  return result;
}

/** What the list says before a step on one of the payloads. */
const ASK: Readonly<Record<Step, () => string>> = {
  apply: () => l10n.t('Which uploaded patch shall be applied?'),
  revert: () => l10n.t('Which patch shall be reverted?'),
  unload: () => l10n.t('Which patch shall be unloaded?'),
  replace: () => l10n.t('Which uploaded patch shall replace all that is applied?'),
};

/** The payload that a step is about: of the view's item, else one that the user picks of those whose state allows the step. */
async function choosePatch(
  room: Room,
  action: Step,
  argument: unknown,
): Promise<{ readonly target: TargetItem; readonly patch: Patch } | undefined> {
  const { target, patch } = (argument ?? {}) as { readonly target?: TargetItem; readonly patch?: Patch };
  if (target && patch) return { target, patch };
  const list = patchesFor(await room.targets.refresh(), action);
  if (list.length === 0) {
    tellStatus(l10n.t('No hypervisor has a patch in the state for that.'));
    return undefined;
  }
  // Asked for a single one too: whoever comes by the keyboard sees what is about to change, and where.
  return window.showQuickPick(
    list.map((each) => ({
      ...each,
      label: each.patch.id,
      description: each.target.name,
      detail: each.patch.functions.join(', '),
    })),
    { placeHolder: ASK[action]() },
  );
}

/** A step on a payload that is in the hypervisor; only the one that its state allows. */
async function step(room: Room, action: Step, argument: unknown): Promise<ActionResult | undefined> {
  const about = await choosePatch(room, action, argument);
  if (!about) return undefined;
  const { target, patch } = about;
  const now = (await room.targets.refresh())
    .find((each) => each.name === target.name && each.root === target.root)
    ?.patches.find((each) => each.id === patch.id);
  if (!now?.actions?.includes(action)) {
    tellStatus(l10n.t('{0} is in another state by now.', patch.id));
    return undefined;
  }
  const question = QUESTION[action]?.(patch.id, target.name);
  if (question !== undefined) {
    const yes = action === 'apply' ? l10n.t('Apply') : l10n.t('Replace');
    const detail = l10n.t('Functions that are replaced: {0}.', now.functions.join(', ') || l10n.t('none'));
    if ((await window.showWarningMessage(question, { modal: true, detail }, yes)) !== yes) return undefined;
  }
  return request(room, { target: target.name, action, id: patch.id }, patch.id, target.root);
}

/** A payload that is built now, or the file that was given, to the hypervisor. */
async function send(
  room: Room,
  action: 'upload' | 'replaceWith',
  argument: unknown,
): Promise<ActionResult | undefined> {
  const given = (argument as { readonly target?: TargetItem } | undefined)?.target;
  const list = (given ? [given] : await room.targets.refresh()).filter(({ kind }) => kind === 'xen');
  const target =
    list.length > 1
      ? (
          await window.showQuickPick(
            list.map((each) => ({ label: each.name, target: each })),
            { placeHolder: l10n.t('Target') },
          )
        )?.target
      : list[0];
  if (!target) {
    const open = l10n.t('Open livepatch.json');
    const chosen = await window.showWarningMessage(l10n.t('livepatch.json names no target of kind xen.'), open);
    if (chosen === open) await editorCommands.executeCommand(commands.openConfig);
    return undefined;
  }
  const file = argument instanceof Uri ? argument.fsPath : (await build(room, target.root))?.file;
  if (!file) return undefined;
  const name = basename(file);
  if (action === 'replaceWith') {
    const question = QUESTION.replace?.(name, target.name) ?? '';
    const yes = l10n.t('Replace');
    if ((await window.showWarningMessage(question, { modal: true }, yes)) !== yes) return undefined;
  }
  return request(room, { target: target.name, action, file }, name, target.root);
}

/** Xen's state machine by hand: upload, apply, revert, unload and replace, each a step of its own. */
export function activate(room: Room): void {
  const register = (name: string, action: (argument: unknown) => unknown): void => {
    room.context.subscriptions.push(editorCommands.registerCommand(name, action));
  };
  register(commands.xenUpload, (argument) => send(room, 'upload', argument));
  register(commands.xenReplaceWith, (argument) => send(room, 'replaceWith', argument));
  register(commands.xenApply, (argument) => step(room, 'apply', argument));
  register(commands.xenRevert, (argument) => step(room, 'revert', argument));
  register(commands.xenUnload, (argument) => step(room, 'unload', argument));
  register(commands.xenReplace, (argument) => step(room, 'replace', argument));
}
