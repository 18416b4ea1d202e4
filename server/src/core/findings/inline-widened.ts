import { plainName } from '../diff/signatures.ts';
import type { SourceLocation } from '../dwarf/types.ts';
import { finding, insertBefore, listed } from './support.ts';
import type { Finding, Fix, Hazard, HazardInput, Related } from './types.ts';

/** Groups the inlining changes of one kind by callee. */
function byCallee(input: HazardInput, what: string): Map<string, { callers: string[]; at?: SourceLocation }> {
  const map = new Map<string, { callers: string[]; at?: SourceLocation }>();
  // Where the decision itself changed, that is what is reported.
  const flipped = new Set(
    input.diff.inlining
      .filter((change) => change.what !== 'widened')
      .map(({ callee, caller }) => `${callee}/${caller}`),
  );
  for (const change of input.diff.inlining) {
    if (change.what !== what || (what === 'widened' && flipped.has(`${change.callee}/${change.caller}`))) continue;
    // gcc splits a function and inlines one part of it into the other: no other function is reached.
    if (plainName(change.caller) === change.callee) continue;
    const entry = map.get(change.callee) ?? { callers: [] };
    if (!entry.callers.includes(change.caller)) entry.callers.push(change.caller);
    map.set(change.callee, entry);
  }
  for (const [callee, entry] of map) {
    const at = input.pair.next.dwarf.prototypes.find(({ name, defined }) => defined && name === callee)?.decl;
    const first = at ?? input.diff.inlining.find((change) => change.callee === callee && change.what === what)?.at;
    if (first) entry.at = first;
  }
  return map;
}

const places = (input: HazardInput, callers: readonly string[], message: string): Related[] =>
  callers.slice(0, 12).map((caller) => {
    const change = input.diff.functions.find(({ name }) => name === caller);
    const at = change?.at ?? input.pair.next.dwarf.functions.find(({ name }) => name === caller)?.decl;
    return { ...(at && { at }), message: `${caller}() ${message}` };
  });

/** `inline-widened`: the compiler copied the edited function into others, which therefore are in the patch too. */
export const inlineWidened: Hazard = {
  codes: ['inline-widened'],
  find: (input) => {
    const parts = new Map<string, { callee: string; at?: SourceLocation }[]>();
    const findings: Finding[] = [];
    for (const [callee, { callers, at }] of byCallee(input, 'widened')) {
      // A new function in its caller is the caller's own edit.
      if (!input.pair.base.dwarf.prototypes.some(({ name, defined }) => defined && name === callee)) continue;
      if (!isEdited(input, callee)) continue;
      if (callers.length === 1 && !hasCode(input, callee)) {
        const host = callers[0]!;
        parts.set(host, [...(parts.get(host) ?? []), { callee, ...(at && { at }) }]);
        continue;
      }
      const one = callers.length === 1;
      findings.push(
        finding({
          code: 'inline-widened',
          severity: 'review',
          symbol: callee,
          at,
          message: `The change of ${callee}() reaches ${listed(callers)} by inlining: ${one ? 'it is' : 'they are'} replaced too. Review ${one ? 'it' : 'them'} as part of the patch; leaving one out would leave the old code in it.`,
          evidence: { callers, count: callers.length },
          related: places(input, callers, `contains a copy of ${callee}()`),
        }),
      );
    }
    return [...findings, ...[...parts].map(([host, callees]) => partsOf(input, host, callees))];
  },
};

/** One note for the edited functions that are parts of their only caller. */
function partsOf(
  input: HazardInput,
  host: string,
  found: readonly { readonly callee: string; readonly at?: SourceLocation }[],
): Finding {
  const one = found.length === 1;
  const parts = [...found].sort((a, b) => (a.at?.line ?? 0) - (b.at?.line ?? 0) || (a.callee < b.callee ? -1 : 1));
  const names = parts.map(({ callee }) => callee);
  return finding({
    code: 'inline-widened',
    severity: 'note',
    symbol: names[0]!,
    at: parts[0]!.at,
    message: `${listed(names.map((name) => `${name}()`))} ha${one ? 's no code of its own: the compiler made it a part' : 've no code of their own: the compiler made them parts'} of ${host}(), ${one ? 'its' : 'their'} only caller, so ${host}() is what the patch replaces.`,
    evidence: { callers: [host], parts: names },
    related: [
      ...places(input, [host], `contains ${one ? 'it' : 'them'}`),
      ...parts
        .slice(1, 12)
        .map(({ callee, at }) => ({ ...(at && { at }), message: `${callee}() is a part of it, too` })),
    ],
  });
}

/** Whether a function is in one of the objects as code of its own, besides the copies. */
const hasCode = ({ pair }: HazardInput, name: string): boolean =>
  [pair.base, pair.next].some(({ elf }) =>
    elf.symbols.some((symbol) => symbol.type === 'func' && symbol.place !== 'undef' && plainName(symbol.name) === name),
  );

/** `inline-decision-flip`: the compiler decided otherwise about inlining than for the running code. */
export const inlineDecisionFlip: Hazard = {
  codes: ['inline-decision-flip'],
  find: (input) => [
    ...flips(input, 'now-inlined', 'is inlined now, where the running code calls it', 'noinline'),
    ...flips(input, 'no-longer-inlined', 'is called now, where the running code has it inlined', 'always_inline'),
  ],
};

function flips(input: HazardInput, what: string, words: string, attribute: string): Finding[] {
  // Callers that were edited themselves, or hold another edited function, are in the patch anyway: the decision adds nothing to it.
  const added = [...byCallee(input, what)].filter(
    ([, { callers }]) => !callers.every((name) => isEditedItself(input, name) || holdsEdited(input, name)),
  );
  return added.map(([callee, { callers, at }]) => {
    const fixes: readonly Fix[] = insertBefore(
      at,
      `Declare ${callee} as ${attribute}`,
      `__attribute__((${attribute}))\n`,
    );
    return finding({
      code: 'inline-decision-flip',
      severity: 'review',
      symbol: callee,
      at,
      message: `${callee}() ${words}: in ${listed(callers)}. The compiler decided anew because of the edit; the patch is larger than the edit and probes on ${callee}() see other calls. Declare it ${attribute} to keep the decision, or review the functions.`,
      evidence: { callers, what },
      related: places(input, callers, what === 'now-inlined' ? 'contains it now' : 'calls it now'),
      fixes,
    });
  });
}

/** Whether the text of a function was edited, as far as the edits are known. */
const isEditedItself = ({ edits, diff }: HazardInput, function_: string): boolean =>
  edits !== undefined &&
  diff.functions.some(({ name, reasons }) => name === function_ && reasons.some(({ kind }) => kind === 'own-edit'));

/** Whether an edited function is inlined into this one in both objects: one that no decision of the compiler put there, or took out. */
const holdsEdited = ({ edits, diff }: HazardInput, function_: string): boolean => {
  if (edits === undefined) return false;
  const decided = new Set(
    diff.inlining.filter(({ caller, what }) => caller === function_ && what !== 'widened').map(({ callee }) => callee),
  );
  return diff.functions.some(
    ({ name, reasons }) =>
      name === function_ && reasons.some(({ kind, detail }) => kind === 'inlined-callee' && !decided.has(detail)),
  );
};

/**
 * Where the edits are known, the reasons name edited callees only. Without them, a copy of a function that only has other offsets of a changed type
 * in it looks like an edited one: that is the type's finding.
 */
function isEdited(input: HazardInput, callee: string): boolean {
  if (input.edits) return true;
  // Only a changed type makes a copy differ without an edit of the function. The search below reads the inlined calls of every function.
  if (!input.diff.types.some(({ status }) => status === 'changed')) return true;
  // An edit is in every copy. A copy in a function that did not change proves that the callee is as it was.
  const differs = new Set(input.diff.functions.map(({ name }) => plainName(name)));
  const { functions } = input.pair.next.dwarf;
  if (functions.some((fn) => !differs.has(fn.name) && fn.inlined.some(({ name }) => name === callee))) return false;
  const own = input.diff.functions.find((fn) => fn.name === callee);
  if (own)
    return (
      own.reasons.some(({ kind }) => kind === 'own-edit') && !own.reasons.some(({ kind }) => kind === 'header-type')
    );
  const callers = new Set(
    input.diff.inlining
      .filter((change) => change.callee === callee && change.what === 'widened')
      .map(({ caller }) => caller),
  );
  return !input.diff.functions.some(
    (fn) => callers.has(fn.name) && fn.reasons.some(({ kind }) => kind === 'header-type'),
  );
}
