import type { AppliedPatch } from './types.ts';
import type { XenPatch } from './xen.ts';

/** Why the old code in memory is not compared, and what does it instead. */
export const memoryNote =
  'The old code in memory was not compared: domain 0 cannot read the memory of the hypervisor. Payloads that are built with --expect ("expect": true of the target in livepatch.json) let the hypervisor itself compare it when they are applied.';

/** Functions that a payload in a hypervisor replaces, as its own metadata name them. */
export const functionsOf = ({ metadata }: Pick<XenPatch, 'metadata'>): readonly string[] =>
  metadata.get('functions')?.split(',').filter(Boolean) ?? [];

/** Does a patch above it replace this function again? Then the newest code runs, and not that of the patch. */
export function isCovered(name: string, above: readonly XenPatch[]): boolean {
  return above.some((patch) => patch.state === 'applied' && functionsOf(patch).includes(name));
}

/** What is in a hypervisor as the status of a target. `patches`: the lowest of the stack first, what is not applied last. */
export function statusOf(patches: readonly XenPatch[]): AppliedPatch[] {
  return patches.map((patch, order) => ({
    id: patch.id,
    description: patch.metadata.get('description') ?? '',
    state: patch.state,
    order,
    appliedAt: '',
    functions: functionsOf(patch).map((name) => ({
      name,
      oldAddress: '',
      newAddress: '',
      redirected: patch.state === 'applied' && !isCovered(name, patches.slice(order + 1)),
    })),
  }));
}
