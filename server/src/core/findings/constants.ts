import type { DataChange } from '../diff/types.ts';
import { dataName, listed } from './support.ts';
import type { Finding, HazardInput, Related, Severity } from './types.ts';

/** What becomes of the edit of a constant that has a name. */
export interface ConstantFate {
  readonly severity: Severity;
  /** The consequence and the way out, after the sentence that names the edit. */
  readonly consequence: string;
  readonly evidence: Finding['evidence'];
  readonly related: readonly Related[];
}

/** Said of a constant that is not static, as long as the other units of the build were not looked at. */
export const SEEN_BY_OTHERS =
  'Other units can see it, and what they do with it goes on with the old copy, which stays where it is.';

/**
 * Judges a changed constant by who uses it (`DataChange.use`): undefined where there is nothing to tell, a text all of whose users are in the patch and bring the new one
 * along, as they do with an unnamed string. A constant that other units can see is a blocker until these have been looked at: see reach.ts.
 */
export function fateOf(input: HazardInput, data: DataChange): ConstantFate | undefined {
  const { use } = data;
  const external = data.base !== undefined && data.base.bind !== 'local';
  const related = (use?.functions ?? []).slice(0, 12).map((name) => userAt(input, name));
  if (!use || use.keeps.length > 0) {
    return {
      severity: 'blocker',
      consequence: use
        ? `The old copy stays where it is, and goes on being used: by ${listed(use.keeps)}.`
        : 'The old copy stays where it is, and code outside the patch, and pointers to it, go on using it.',
      evidence: use ? { functions: use.functions, keeps: use.keeps } : {},
      related,
    };
  }
  const evidence = { functions: use.functions, ...(use.handsOn.length > 0 && { handsOn: use.handsOn }) };
  if (external)
    return {
      severity: 'blocker',
      consequence: SEEN_BY_OTHERS,
      evidence: { ...evidence, seenByOthers: true },
      related,
    };
  return handedOn(data, evidence, related);
}

/** What is left to tell of a constant of which no other unit knows. */
export function handedOn(
  data: DataChange,
  evidence: Finding['evidence'],
  related: readonly Related[],
): ConstantFate | undefined {
  const { functions, handsOn } = data.use!;
  if (functions.length === 0)
    return {
      severity: 'note',
      consequence: `Nothing refers to it, so the patch leaves it out: whoever looks for ${dataName(data)} in the program finds the old text.`,
      evidence,
      related,
    };
  const one = functions.length === 1;
  const users = `${listed(functions.map((name) => `${name}()`))} ${one ? 'is' : 'are'} in the patch and bring${one ? 's' : ''} the new copy along`;
  if (handsOn.length > 0)
    return {
      severity: 'review',
      consequence: `${users}, but ${listed(handsOn)}: what kept the address before the patch goes on with the old copy. Check that nothing keeps it for long.`,
      evidence,
      related,
    };
  if (data.use!.text) return undefined;
  return {
    severity: 'note',
    consequence: `${users}. What ${one ? 'it' : 'they'} made of the old contents before the patch stays as it is.`,
    evidence,
    related,
  };
}

function userAt({ diff }: HazardInput, name: string): Related {
  const at = diff.functions.find((one) => one.name === name)?.at;
  return { ...(at && { at }), message: `${name}() uses it` };
}
