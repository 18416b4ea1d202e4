import { specialKind } from '../special/kinds.ts';
import { isLoaded, loaderOf } from './special.ts';
import { finding, leaveOut, listed } from './support.ts';
import type { Hazard } from './types.ts';

/**
 * `special-section-changed`: the code of a function is the same, but what a table says about it is not: where a fault continues, what an alternative
 * puts in its place, which key a branch follows. The function goes into the payload to carry its entries; where the target's loader does
 * not read the table, nothing can.
 */
export const specialSectionChanged: Hazard = {
  codes: ['special-section-changed'],
  find: ({ diff, target }) =>
    diff.special.map(({ function: name, differences }) => {
      const fn = diff.functions.find((one) => one.name === name);
      const lost = differences.filter(({ section }) => !isLoaded(specialKind(section)!, target));
      const what = listed([
        ...new Set(
          differences.map(
            ({ section, what, field }) => `${specialKind(section)!.entry} in ${section} ${words[what]}${of(field)}`,
          ),
        ),
      ]);
      const consequence =
        lost.length > 0
          ? `Nothing in a payload takes this to ${loaderOf[target]}: the old entries would stay in force. Take the change back, or restart instead.`
          : `${name}() is replaced by the same code, so that its new entries come into force. Check that this is what the edit is about.`;
      return finding({
        code: 'special-section-changed',
        severity: lost.length > 0 ? 'blocker' : 'review',
        symbol: name,
        at: fn?.changedLines[0] ?? fn?.at,
        message: `The code of ${name}() is the same, but not what a table says about it: ${what}. ${consequence}`,
        evidence: {
          sections: [...new Set(differences.map(({ section }) => section))],
          entries: differences.length,
          differs: [...new Set(differences.map(({ what, field }) => field ?? what))],
        },
        fixes: [leaveOut(name)],
      });
    }),
};

const words = { changed: 'differs', added: 'is new', removed: 'is gone' } as const;

const of = (field: string | undefined): string => (field === undefined ? '' : ` (${field})`);
