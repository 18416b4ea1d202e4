import { plainName } from '../diff/signatures.ts';
import type { OtherUnit, PatchedUnit } from './reach.ts';
import { finding, listed, shortName } from './support.ts';
import type { Finding } from './types.ts';

/** What one unit says of an edited function of a header. */
interface Widened {
  readonly index: number;
  readonly one: Finding;
}

/**
 * `inline-widened` of a header's function, which each unit that includes it tells of its own callers only: one finding that names the callers
 * of all units, at the first of them, and the units outside of the patch that have a copy of it.
 * @param lists findings of each unit of the patch; the result has them anew
 */
export function joinWidened(
  patched: readonly PatchedUnit[],
  lists: readonly Finding[][],
  others: readonly OtherUnit[],
): Finding[][] {
  const groups = new Map<string, Widened[]>();
  for (const [index, list] of lists.entries())
    for (const one of list) {
      if (one.code !== 'inline-widened' || one.evidence.shared !== true) continue;
      const key = `${one.symbol} ${one.at?.file}`;
      groups.set(key, [...(groups.get(key) ?? []), { index, one }]);
    }
  const joined = new Map<Finding, Finding | undefined>();
  for (const group of groups.values()) {
    const first = group[0]!;
    const callers = [
      ...new Set(
        group.flatMap(({ index, one }) =>
          (one.evidence.callers as readonly string[]).map(
            (name) => `${plainName(name)}() in ${shortName(patched[index]!.file)}`,
          ),
        ),
      ),
    ];
    const outside = copiesOutside(first.one, others);
    const units = new Set(group.map(({ index }) => patched[index]!.file));
    if (units.size === 1 && outside.length === 0) continue;
    for (const { one } of group) joined.set(one, undefined);
    joined.set(first.one, together(group, units.size > 1 ? callers : undefined, outside));
  }
  return lists.map((list) =>
    list.flatMap((one) => {
      if (!joined.has(one)) return [one];
      const instead = joined.get(one);
      return instead ? [instead] : [];
    }),
  );
}

/** Units outside of the patch in which the compiler inlined the function. */
function copiesOutside({ symbol, at }: Finding, others: readonly OtherUnit[]): string[] {
  const files = others.filter(({ reach }) => {
    const header = Object.hasOwn(reach.inlined, symbol) ? reach.inlined[symbol] : undefined;
    return header !== undefined && at !== undefined && shortName(header) === shortName(at.file);
  });
  return [...new Set(files.map(({ file }) => file))].sort();
}

/** One finding of several units. `callers` is undefined where they are all of one unit, whose words then hold. */
function together(
  group: readonly Widened[],
  callers: readonly string[] | undefined,
  outside: readonly string[],
): Finding {
  const { one } = group[0]!;
  const names = outside.map(shortName);
  const single = names.length === 1;
  const stay =
    names.length === 0
      ? ''
      : ` ${listed(names)} ha${single ? 's' : 've'} a copy of ${one.symbol}() and ${single ? 'is' : 'are'} not in the patch: the old code stays in ${single ? 'it' : 'them'}. Compare ${single ? 'it' : 'them'}, too, or rebuild ${single ? 'it' : 'them'} into the patch.`;
  const message = callers
    ? `The change of ${one.symbol}() in ${shortName(one.at!.file)} reaches ${listed(callers)} by inlining: they are replaced too. Review them as part of the patch; leaving one out would leave the old code in it.`
    : one.message;
  return finding({
    code: one.code,
    severity: 'review',
    symbol: one.symbol,
    at: one.at,
    message: `${message}${stay}`,
    evidence: {
      ...(callers ? { callers, count: callers.length, shared: true } : one.evidence),
      ...(outside.length > 0 && { unpatchedUnits: outside }),
    },
    related: [
      ...outside
        .slice(0, 8)
        .map((file) => ({ at: { file, line: 1 }, message: `${shortName(file)} has a copy of it and stays old` })),
      ...group.flatMap(({ one: { related } }) => related),
    ].slice(0, 16),
  });
}
