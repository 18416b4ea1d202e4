import { callersOf } from '../diff/references.ts';
import { plainName } from '../diff/signatures.ts';
import type { SignatureChange } from '../diff/types.ts';
import { finding, listed } from './support.ts';
import type { Finding, Hazard, HazardInput, Related } from './types.ts';

/** `signature-changed`: callers that stay as they are would pass and take values in the old way. */
export const signatureChanged: Hazard = {
  codes: ['signature-changed'],
  find: (input) => input.diff.signatures.flatMap((change) => judge(input, change)),
};

function judge(input: HazardInput, change: SignatureChange): Finding[] {
  const { name, external, unpatchedCallers, addressTaken = false } = change;
  // A static function whose every caller is replaced with it, and that nobody can reach otherwise, may change as it likes.
  if (!external && !addressTaken && unpatchedCallers.length === 0) return [];
  const why = external
    ? `other units can call ${name}()`
    : addressTaken
      ? `${name}() is called through a pointer`
      : `${listed(unpatchedCallers)} call${unpatchedCallers.length === 1 ? 's' : ''} it and ${unpatchedCallers.length === 1 ? 'is' : 'are'} not in the patch`;
  const { severity, consequence } = consequenceOf(input, change);
  return [
    finding({
      code: 'signature-changed',
      severity,
      symbol: name,
      at: change.at,
      message: `${change.base} became ${change.next}, and ${why}: ${consequence}`,
      evidence: { base: change.base, next: change.next, external, addressTaken, unpatchedCallers },
      related: callers(input, change),
    }),
  ];
}

/** What callers that stay as they are run into: nothing, where the code takes what they pass for what it was. */
function consequenceOf(
  { diff }: HazardInput,
  change: SignatureChange,
): Pick<Finding, 'severity'> & { consequence: string } {
  const edited = diff.functions.some(
    ({ name, status, lineOnly }) => status === 'changed' && !lineOnly && plainName(name) === change.name,
  );
  if (!edited && (change.passedAlike || onlyEllipsis(change)))
    return {
      severity: 'note',
      consequence:
        'running callers pass the same, and the machine code that takes it is the same. Nothing changes for them.',
    };
  if (change.passedAlike)
    return {
      severity: 'review',
      consequence:
        'running callers pass the same bits in the same places, which the new code takes for the new types. Check that all that they pass means the same under both.',
    };
  return {
    severity: 'blocker',
    consequence:
      'running callers would pass the old arguments. Keep the old function and add one under a new name with the new parameters.',
  };
}

const onlyEllipsis = ({ base, next }: SignatureChange): boolean =>
  base.replace(', ...)', ')') === next.replace(', ...)', ')');

function callers(input: HazardInput, change: SignatureChange): Related[] {
  const symbols = input.pair.base.elf.symbols.filter(
    ({ type, name }) => (type === 'func' || type === 'ifunc') && plainName(name) === change.name,
  );
  const names = new Set(symbols.flatMap(({ name }) => callersOf(input.pair.base, name)).map(plainName));
  names.delete(change.name);
  const old = input.pair.base.dwarf.prototypes.find(({ name, defined }) => defined && name === change.name)?.decl;
  return [
    ...(old ? [{ at: old, message: `before: ${change.base}` }] : []),
    ...[...names].slice(0, 10).map((name) => {
      const at = input.pair.next.dwarf.functions.find((fn) => fn.name === name)?.decl;
      return { ...(at && { at }), message: `${name}() calls it` };
    }),
  ];
}
