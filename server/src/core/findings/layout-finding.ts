import { typeTable } from '../diff/type-table.ts';
import { arrowText, typeWords } from '../diff/type-words.ts';
import type { TypeChange } from '../diff/types.ts';
import { finding, labelOf, listed, memberText, revertHunk } from './support.ts';
import type { Finding, HazardInput, Related, Severity } from './types.ts';
import { judgeLayout, type LayoutVerdict, layoutFacts, membersOf } from './types-of-change.ts';

/** Longest list of places that a finding carries. */
const maxRelated = 12;

/** What a rule about layouts adds to the facts that all of them share. */
export interface LayoutRule {
  readonly code: string;
  readonly severity: Severity;
  /** The consequence and the way out, after the sentence that names the edit. */
  readonly consequence: string;
  /** Further places, named before the users of the type. */
  readonly related?: readonly Related[];
  /** Facts besides those of every layout finding. */
  readonly evidence?: Finding['evidence'];
}

/**
 * One finding for each type that the fact holds of, that was itself edited and of which instances can outlive the patch. Types that differ
 * only because they contain it are named in it, and get none of their own.
 */
export function layoutFindings(
  input: HazardInput,
  verdict: LayoutVerdict,
  rule: (type: TypeChange, input: HazardInput) => LayoutRule,
): Finding[] {
  return input.diff.types
    .filter((type) => layoutFacts(type).includes(verdict) && !type.confined && (type.causes ?? []).length === 0)
    .map((type) => describe(input, type, verdict, rule(type, input)));
}

function describe(input: HazardInput, type: TypeChange, fact: LayoutVerdict, rule: LayoutRule): Finding {
  const label = labelOf(type);
  const edited = membersOf(type, fact);
  const worst = judgeLayout(type) === fact;
  const first = edited.find(({ next, at }) => next !== undefined && at !== undefined);
  const at = first?.at ?? type.at;
  const followers = followersOf(input, label);
  // The members are told once: by the worst finding of the type.
  const told = worst || fact !== 'grown';
  const facts = type.kind === 'typedef' || !told ? [] : edited.map(memberText);
  const pushed = type.members.filter((member) => !edited.includes(member));
  const size = type.baseSize === type.nextSize ? '' : ` (${type.baseSize} → ${type.nextSize} bytes)`;
  const moved = pushed.filter(({ what }) => what === 'moved' || what === 'bit-position').map(({ path }) => path);
  const moves = fact === 'layout' && moved.length > 0 ? `, which moves ${listed(moved, 3)}` : '';
  const words =
    type.kind === 'typedef' && type.base && type.next
      ? typeWords(
          typeTable(input.pair.base.dwarf),
          type.base.target,
          typeTable(input.pair.next.dwarf),
          type.next.target,
        )
      : undefined;
  const what = words
    ? `${label}${size}: ${arrowText(words)}`
    : facts.length > 0
      ? `${label}${size}: ${listed(facts, 3)}${moves}`
      : `${label} ${fact === 'grown' ? `went from ${type.baseSize} to ${type.nextSize} bytes` : `changed${size}`}`;
  const inside =
    followers.length > 0 && told
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
      members: (worst ? type.members : edited).map(memberText),
      ...(pushed.length > 0 && { pushed: pushed.map(({ path }) => path) }),
      ...(words && { base: words.base, next: words.next }),
      ...(followers.length > 0 && { embeddedIn: followers.map(labelOf) }),
      outlivesBy: type.outlivesBy,
      ...rule.evidence,
    },
    related: [...oldDefinition(type), ...(rule.related ?? []), ...users(input, type, followers)].slice(0, maxRelated),
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

/** Objects with static storage that are, or contain, an instance: `quotes (global)`, `cache (static in lookup())`. */
export function instancesOf(input: HazardInput, type: TypeChange): string[] {
  const { dwarf } = input.pair.base;
  const table = typeTable(dwarf);
  const label = labelOf(type);
  const holders = new Set([type, ...followersOf(input, label)].map(({ base }) => base?.index ?? -1));
  holders.delete(-1);
  const names = new Set<string>();
  for (const { name, type: ref, declaration, scope, external } of dwarf.variables) {
    if (declaration || !holders.has(table.element(ref))) continue;
    names.add(`${name} (${scope !== undefined ? `static in ${scope}()` : external ? 'global' : 'static'})`);
  }
  return [...names];
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
