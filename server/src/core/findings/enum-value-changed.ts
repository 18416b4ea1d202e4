import type { TypeChange } from '../diff/types.ts';
import { counters, unstored } from './enum-values.ts';
import { oldDefinition, running } from './layout-finding.ts';
import { finding, labelOf, listed, revertHunk } from './support.ts';
import type { Finding, Hazard, HazardInput } from './types.ts';

/** `enum-value-changed`: a stored value means something else to patched code. */
export const enumValueChanged: Hazard = {
  codes: ['enum-value-changed'],
  find: (input) =>
    input.diff.types
      .filter((type) => type.kind === 'enum' && type.status === 'changed')
      .flatMap((type) => judge(input, type)),
};

function judge(input: HazardInput, type: TypeChange): Finding[] {
  const holder = running(input);
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
  const counting = counters(type, input.pair.base.dwarf, input.pair.next.dwarf);
  const onlyCounters = changed.every(({ name }) => counting.has(name));
  if (changed.length > 0 && !onlyCounters && !unstored(type)) {
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
          ? `${label}: ${listed(values)}. Code outside the patch keeps the old number${onlyCounters ? '; arrays and loops sized with it must agree' : ', and so does whatever was made with it'}. Check every user.`
          : `${label}: ${listed(gone)} removed. ${holder[0]!.toUpperCase()}${holder.slice(1)} may still hold the value: patched code must cope with it.`,
    }),
  ];
}
