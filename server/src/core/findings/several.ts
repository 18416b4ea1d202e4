import { findHazards, inOrder } from './catalogue.ts';
import type { Finding, HazardInput, Severity, TargetKind } from './types.ts';

const NAMES: Readonly<Record<TargetKind, string>> = { process: 'a process', xen: 'Xen', linux: 'Linux' };
const RANK: Readonly<Record<Severity, number>> = { blocker: 0, review: 1, note: 2 };

/**
 * Applies every rule for each kind of target that the patch is for. What holds for all of them is said once; what holds for some only names them, and is
 * of no concern for a payload of another kind (`Finding.targets`). Where a fact weighs differently, the heaviest is said, of those it weighs so for.
 * Sorted like `findHazards`.
 */
export function findForTargets(input: Omit<HazardInput, 'target'>, targets: readonly TargetKind[]): readonly Finding[] {
  if (targets.length === 1) return findHazards({ ...input, target: targets[0]! });
  const groups = new Map<string, Map<TargetKind, Finding>>();
  for (const target of targets)
    for (const finding of findHazards({ ...input, target })) {
      const { code, symbol, at } = finding;
      const key = [code, symbol, at?.file, at?.line, at?.column].join('\0');
      const group = groups.get(key) ?? new Map<TargetKind, Finding>();
      groups.set(key, group);
      if (!group.has(target)) group.set(target, finding);
    }
  return [...groups.values()].map((group) => merge(group, targets.length)).sort(inOrder);
}

function merge(group: ReadonlyMap<TargetKind, Finding>, asked: number): Finding {
  const heaviest = Math.min(...[...group.values()].map(({ severity }) => RANK[severity]));
  const [first, ...others] = [...group].filter(([, { severity }]) => RANK[severity] === heaviest);
  const [kind, finding] = first!;
  const targets = [kind, ...others.map(([other]) => other)];
  if (targets.length === asked) return finding;
  const names = targets.map((target) => NAMES[target]).join(' and ');
  return { ...finding, message: `For ${names}: ${finding.message}`, targets };
}
