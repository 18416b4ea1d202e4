import type { XenRequest } from '../../server/src/protocol.ts';
import type { TargetItem } from './targets.ts';

/** A payload that is in a hypervisor. */
export type Patch = TargetItem['patches'][number];
/** Steps on a payload that is in the hypervisor. */
export type Step = Exclude<XenRequest['action'], 'upload' | 'replaceWith'>;

/** Payloads in the hypervisors whose state allows a step, in the order of the targets and their stacks. */
export function patchesFor(
  list: readonly TargetItem[],
  action: Step,
): { readonly target: TargetItem; readonly patch: Patch }[] {
  return list
    .filter(({ kind }) => kind === 'xen')
    .flatMap((target) =>
      target.patches.filter(({ actions }) => actions?.includes(action)).map((patch) => ({ target, patch })),
    );
}
