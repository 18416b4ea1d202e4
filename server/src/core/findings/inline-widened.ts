import { plainName } from '../diff/signatures.ts';
import type { SourceLocation } from '../dwarf/types.ts';
import { finding, insertBefore, isHeader, listed } from './support.ts';
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

/** Functions that hold a copy of another one, by the inlined calls of both objects. */
interface Copies {
  /** Names of functions that differ and have a copy in either object, in the order of the comparison. */
  readonly changed: readonly string[];
  /** Functions that came out the same. */
  readonly same: readonly string[];
}

/** Where there are copies of a function. `widened` are the functions that the comparison gives it as a reason for. */
function copiesOf(input: HazardInput, callee: string, widened: readonly string[]): Copies {
  const { base, next } = input.pair;
  const holders = new Set(widened.map(plainName));
  for (const { dwarf } of [base, next])
    for (const { name, inlined } of dwarf.functions)
      if (name !== callee && !holders.has(name) && inlined.some((call) => call.name === callee)) holders.add(name);
  // Where the decision to inline changed, that is what is reported.
  const flipped = new Set(
    input.diff.inlining.filter((one) => one.callee === callee && one.what !== 'widened').map(({ caller }) => caller),
  );
  const changed: string[] = [];
  const told = new Set<string>();
  for (const { name, status, lineOnly } of input.diff.functions) {
    const plain = plainName(name);
    if (lineOnly) continue;
    if (widened.includes(name)) changed.push(name);
    // A part that was split off is named where the change is in it; else the function stands for its parts.
    else if (status === 'changed' && name === plain && holders.has(plain) && !flipped.has(name)) changed.push(name);
    told.add(plain);
  }
  return { changed, same: [...holders].filter((name) => !told.has(name)) };
}

/** A function that is a part of one other function, and of none else as far as this unit tells. */
interface Part {
  readonly callee: string;
  readonly at?: SourceLocation;
  /** Other functions whose copy of it came out the same. */
  readonly same: readonly string[];
}

/** `inline-widened`: the compiler copied the edited function into others, which therefore are in the patch too. */
export const inlineWidened: Hazard = {
  codes: ['inline-widened'],
  find: (input) => {
    const parts = new Map<string, Part[]>();
    const findings: Finding[] = [];
    for (const [callee, { callers: widened, at }] of byCallee(input, 'widened')) {
      // A new function in its caller is the caller's own edit.
      if (!input.pair.base.dwarf.prototypes.some(({ name, defined }) => defined && name === callee)) continue;
      const { changed: callers, same } = copiesOf(input, callee, widened);
      if (callers.length === 0 || !isEdited(input, callee, same)) continue;
      if (callers.length === 1 && !hasCode(input, callee)) {
        // Other units have copies of a header's function, and are put together with this one by its name.
        const key = `${callers[0]!} ${isShared(at) ? callee : ''}`;
        parts.set(key, [...(parts.get(key) ?? []), { callee, same, ...(at && { at }) }]);
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
          evidence: { callers, count: callers.length, ...(isShared(at) && { shared: true }) },
          related: places(input, callers, `contains a copy of ${callee}()`),
        }),
      );
    }
    return [...findings, ...[...parts].map(([key, callees]) => partsOf(input, key.split(' ')[0]!, callees))];
  },
};

/** A function of a header: other units may have it as well. */
const isShared = (at: SourceLocation | undefined): boolean => at !== undefined && isHeader(at.file);

/** One note for the edited functions that are parts of their only caller. */
function partsOf(input: HazardInput, host: string, found: readonly Part[]): Finding {
  const one = found.length === 1;
  const parts = [...found].sort((a, b) => (a.at?.line ?? 0) - (b.at?.line ?? 0) || (a.callee < b.callee ? -1 : 1));
  const names = parts.map(({ callee }) => callee);
  const same = [...new Set(parts.flatMap((part) => part.same))];
  const shared = isShared(parts[0]!.at);
  const only = same.length > 0 ? '' : `, ${one ? 'its' : 'their'} only caller${shared ? ' in this unit' : ''}`;
  return finding({
    code: 'inline-widened',
    severity: 'note',
    symbol: names[0]!,
    at: parts[0]!.at,
    message: `${listed(names.map((name) => `${name}()`))} ha${one ? 's no code of its own: the compiler made it a part' : 've no code of their own: the compiler made them parts'} of ${host}()${only}, so ${host}() is what the patch replaces.${same.length > 0 ? ` The cop${same.length === 1 ? 'y' : 'ies'} in ${listed(same)} came out the same.` : ''}`,
    evidence: { callers: [host], parts: names, ...(same.length > 0 && { same }), ...(shared && { shared }) },
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
 * in it looks like an edited one: that is the type's finding. So does one that is given other arguments.
 * @param same functions that hold a copy of it and came out the same
 */
function isEdited(input: HazardInput, callee: string, same: readonly string[]): boolean {
  if (input.edits) return true;
  const own = input.diff.functions.find((fn) => fn.name === callee);
  // An edit is in every copy, be it dead code in some. A copy in a function that did not change speaks for the callee as it was.
  if (same.length > 0 && !own) return false;
  // Only a changed type makes a copy differ without an edit of the function.
  if (!input.diff.types.some(({ status }) => status === 'changed')) return true;
  if (same.length > 0) return false;
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
