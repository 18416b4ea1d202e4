import { typeTable } from '../diff/type-table.ts';
import type { TypeChange } from '../diff/types.ts';
import { finding, labelOf, listed, memberText, revertHunk } from './support.ts';
import type { Finding, HazardInput, Related, Severity } from './types.ts';
import { editedMembers, judgeLayout, type LayoutVerdict } from './types-of-change.ts';

/** Longest list of places that a finding carries. */
const maxRelated = 12;

/** What a rule about layouts adds to the facts that all of them share. */
export interface LayoutRule {
  readonly code: string;
  readonly severity: Severity;
  /** The consequence and the way out, after the sentence that names the edit. */
  readonly consequence: string;
}

/**
 * One finding for each type of that verdict that was itself edited and of which instances can outlive the patch. Types that differ
 * only because they contain it are named in it, and get none of their own.
 */
export function layoutFindings(
  input: HazardInput,
  verdict: LayoutVerdict,
  rule: (type: TypeChange, input: HazardInput) => LayoutRule,
): Finding[] {
  return input.diff.types
    .filter((type) => judgeLayout(type) === verdict && !type.confined && (type.causes ?? []).length === 0)
    .map((type) => describe(input, type, rule(type, input)));
}

function describe(input: HazardInput, type: TypeChange, rule: LayoutRule): Finding {
  const label = labelOf(type);
  const edited = editedMembers(type);
  const first = edited.find(({ next, at }) => next !== undefined && at !== undefined);
  const at = first?.at ?? type.at;
  const followers = followersOf(input, label);
  const facts = type.kind === 'typedef' || edited.length === 0 ? [] : edited.map(memberText);
  const pushed = type.members.filter((member) => !edited.includes(member));
  const size = type.baseSize === type.nextSize ? '' : ` (${type.baseSize} → ${type.nextSize} bytes)`;
  const what = facts.length > 0 ? `${label}${size}: ${listed(facts, 3)}` : `${label} changed${size}`;
  const inside =
    followers.length > 0
      ? ` ${listed(followers.map(labelOf), 3)} contain${followers.length === 1 ? 's' : ''} it and change${followers.length === 1 ? 's' : ''} too.`
      : '';
  return finding({
    code: rule.code,
    severity: rule.severity,
    symbol: label,
    message: `${what}. ${rule.consequence}${inside}`,
    at,
    evidence: {
      type: label,
      baseSize: type.baseSize,
      nextSize: type.nextSize,
      members: type.members.map(memberText),
      ...(pushed.length > 0 && { pushed: pushed.map(({ path }) => path) }),
      ...(followers.length > 0 && { embeddedIn: followers.map(labelOf) }),
      outlivesBy: type.outlivesBy,
    },
    related: [...oldDefinition(type), ...users(input, type, followers)].slice(0, maxRelated),
    fixes: revertHunk(at, label),
  });
}

/** Types whose change is caused by `label`, directly or through others. */
export function followersOf(input: HazardInput, label: string): readonly TypeChange[] {
  const causes = new Set([label]);
  const found = new Set<TypeChange>();
  for (let grew = true; grew; ) {
    grew = false;
    for (const type of input.diff.types) {
      if (found.has(type) || !(type.causes ?? []).some((cause) => causes.has(cause))) continue;
      found.add(type);
      causes.add(labelOf(type));
      grew = true;
    }
  }
  return [...found];
}

export function oldDefinition(type: TypeChange): readonly Related[] {
  const at = type.base?.at;
  return at
    ? [{ at, message: `${labelOf(type)} in the running program is ${type.baseSize} bytes; it was declared here` }]
    : [];
}

/** Variables and functions of the next object that hold the type, or point to it. */
function users(input: HazardInput, type: TypeChange, followers: readonly TypeChange[]): Related[] {
  const { dwarf } = input.pair.next;
  const table = typeTable(dwarf);
  const targets = new Set([type, ...followers].map(({ next }) => next?.index ?? -1));
  targets.delete(-1);
  const uses = (ref: number): boolean => {
    let current = table.element(ref);
    for (let depth = 0; depth < 8 && table.get(current)?.kind === 'pointer'; depth++) {
      current = table.element(table.get(current)?.target ?? -1);
    }
    return targets.has(current) || table.typedefs(ref).some((typedef) => targets.has(typedef.ref));
  };
  const related: Related[] = [];
  for (const variable of dwarf.variables) {
    if (variable.declaration || !uses(variable.type)) continue;
    related.push({
      ...(variable.decl && { at: variable.decl }),
      message: `${variable.name} holds it while the program runs`,
    });
  }
  const seen = new Set<string>();
  for (const fn of dwarf.functions) {
    if (seen.has(fn.name) || !fn.localTypes.some(uses)) continue;
    seen.add(fn.name);
    related.push({ ...(fn.decl && { at: fn.decl }), message: `${fn.name}() uses it` });
  }
  return related;
}

/** What runs, in the words of the target. */
export const running = (input: HazardInput): string =>
  ({ process: 'the process', xen: 'the hypervisor', linux: 'the kernel' })[input.target];
