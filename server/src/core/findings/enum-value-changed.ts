import type { TypeChange } from '../diff/types.ts';
import { oldDefinition, running } from './layout-finding.ts';
import { finding, labelOf, listed, revertHunk } from './support.ts';
import type { Finding, Hazard } from './types.ts';

/** Enumerators that only count the others; nobody stores them. */
const counter = /(^|_)(max|count|num|nr|last|end|size|total|sentinel|limit)_*$|^(n|num|nr)_|__last|_max_/i;

/** `enum-value-changed`: a stored value means something else to patched code. */
export const enumValueChanged: Hazard = {
  codes: ['enum-value-changed'],
  find: (input) =>
    input.diff.types
      .filter((type) => type.kind === 'enum' && type.status === 'changed')
      .flatMap((type) => judge(type, running(input))),
};

function judge(type: TypeChange, holder: string): Finding[] {
  const changed = type.enumerators.filter(({ base, next }) => base !== undefined && next !== undefined);
  const removed = type.enumerators.filter(({ base, next }) => base !== undefined && next === undefined);
  if (changed.length === 0 && removed.length === 0) return [];
  const label = labelOf(type);
  const values = changed.map(({ name, base, next }) => `${name} ${base} → ${next}`);
  const gone = removed.map(({ name, base }) => `${name} (was ${base})`);
  const evidence = { type: label, changed: values, removed: gone, outlivesBy: type.outlivesBy };
  const common = {
    code: 'enum-value-changed',
    symbol: label,
    at: type.at,
    evidence,
    related: oldDefinition(type),
    fixes: revertHunk(type.at, label),
  };
  if (changed.length > 0 && !changed.every(({ name }) => counter.test(name)) && !unstored(type)) {
    return [
      finding({
        ...common,
        severity: 'blocker',
        message: `${label}: ${listed(values)}. Values that ${holder} stored before the patch, and code outside the patch, use the old numbers. Give new enumerators numbers of their own at the end and leave the existing ones alone.`,
      }),
    ];
  }
  return [
    finding({
      ...common,
      severity: 'review',
      message:
        changed.length > 0
          ? `${label}: ${listed(values)}. Code outside the patch keeps the old number; arrays and loops sized with it must agree. Check every user.`
          : `${label}: ${listed(gone)} removed. ${holder[0]!.toUpperCase()}${holder.slice(1)} may still hold the value: patched code must cope with it.`,
    }),
  ];
}

/**
 * No stored value is to be expected: only automatic variables of the patch have the type; or nothing has it, it has no name, and its enumerators are not
 * numbered one after the other as states and kinds are (these are often kept in an int), but are constants of their own.
 */
const unstored = (type: TypeChange): boolean =>
  type.confined ||
  (type.base?.name === '' &&
    type.outlivesBy.every((evidence) => evidence.startsWith('no variable of it')) &&
    !numbered(type.base.enumerators.map(({ value }) => value)));

const numbered = (values: readonly bigint[]): boolean =>
  values.length > 1 && values.every((value, i) => i === 0 || value === values[i - 1]! + 1n);
