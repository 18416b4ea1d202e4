import * as l10n from '@vscode/l10n';
import type { ActionResult, RunningFunction, TargetItem, XenRequest } from '../protocol.ts';
import type { XenPatch, XenResult, XenTarget } from '../targets/xen.ts';
import { payloadFolder } from '../targets/xen-config.ts';
import { knownPayloads, stackOf } from '../targets/xen-stack.ts';
import { functionsOf, isCovered } from '../targets/xen-status.ts';

/** A hypervisor with what is in it: in the order of the stack, each with the actions that are legal now. */
export async function xenTargetItem(target: XenTarget, vm: string | undefined): Promise<TargetItem> {
  const item = { name: target.name, kind: target.kind, ...(vm === undefined ? {} : { vm }) } as const;
  const listed = await target.list();
  if (!('patches' in listed)) return { ...item, alive: false, message: listed.message, patches: [] };
  const stack = stackOf(listed.patches, await knownPayloads(payloadFolder(), listed.patches), listed.buildId);
  return {
    ...item,
    alive: true,
    patches: stack.map(({ id, state, metadata, actions, depth, top, error }, place) => ({
      id,
      state,
      functions: functionsOf({ metadata }),
      ...(state === 'applied' ? { running: running(functionsOf({ metadata }), stack.slice(0, place)) } : {}),
      actions,
      ...(depth === undefined ? {} : { depth }),
      ...(top ? { top } : {}),
      ...(error === 0 ? {} : { error }),
    })),
  };
}

/** What becomes of calls to the functions of an applied patch. Its memory cannot be read from domain 0, so that nothing is said of the old code. */
const running = (functions: readonly string[], above: readonly XenPatch[]): readonly RunningFunction[] =>
  functions.map((name) => {
    const covered = isCovered(name, above);
    return { name, oldAddress: '', newAddress: '', redirected: !covered, ...(covered ? { covered } : {}) };
  });

const done: Readonly<Record<XenRequest['action'], (id: string, target: string) => string>> = {
  upload: (id, target) => l10n.t('{0} is uploaded to {1} and checked; it is not applied.', id, target),
  replaceWith: (id, target) => l10n.t('{1} runs {0} in place of everything that was applied.', id, target),
  apply: (id, target) => l10n.t('{1} runs {0}.', id, target),
  revert: (id, target) => l10n.t('{1} runs the old code again; {0} stays uploaded.', id, target),
  unload: (id, target) => l10n.t('{0} is out of {1}.', id, target),
  replace: (id, target) => l10n.t('{1} runs {0} in place of everything that was applied.', id, target),
};

/** One step of Xen's state machine, on a payload file or on a payload that is there. */
export async function performXen(
  target: XenTarget,
  { action, id }: XenRequest,
  payload: Uint8Array | undefined,
  signal: AbortSignal,
): Promise<ActionResult> {
  const result = await step(target, action, id, payload, signal);
  if (result === undefined) return { ok: false, message: l10n.t('Which patch? It is not there any more.') };
  return told(result, action, target.name);
}

function step(
  target: XenTarget,
  action: XenRequest['action'],
  id: string | undefined,
  payload: Uint8Array | undefined,
  signal: AbortSignal,
): Promise<XenResult> | undefined {
  if (action === 'upload') return payload && target.upload(payload, signal);
  if (action === 'replaceWith') return payload && target.replaceWith(payload, signal);
  return id === undefined ? undefined : target.act(action, id, signal);
}

function told(result: XenResult, action: XenRequest['action'], name: string): ActionResult {
  if (result.kind !== 'done')
    return {
      ok: false,
      message: result.message,
      ...(result.lines.length > 0 ? { details: consoleText(result.message, result.lines) } : {}),
    };
  const { verify } = result;
  const seen = verify ? ` ${verify.before || '—'} → ${verify.after || '—'}` : '';
  return { ok: true, id: result.id, message: `${done[action](result.id, name)}${seen}` };
}

/** What the hypervisor said of a refusal, as a document: its own lines are not translated. */
export function consoleText(message: string, lines: readonly string[]): string {
  return `# ${l10n.t('The hypervisor refused')}\n\n${message}\n\n## ${l10n.t('Its console')}\n\n${lines.map((line) => `    ${line}`).join('\n')}\n`;
}
