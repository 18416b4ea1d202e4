import { readFile } from 'node:fs/promises';
import { offerFixes } from '../core/findings/fixes/index.ts';
import type { OfferedFix } from '../core/findings/fixes/types.ts';
import { unionOfEdits } from '../core/findings/fixes/union.ts';
import type { Finding, TargetKind } from '../core/findings/types.ts';
import type { UnitState } from '../shell/types.ts';

/** The edits that are offered for a finding of a unit. */
export type FixesOf = (unit: UnitState, finding: Finding) => readonly OfferedFix[];

/**
 * Reads the sources that edits can be offered for: the edited files and the units' own, now and in the baseline.
 * @param baseText text of a file in the baseline, undefined where it has none
 */
export async function fixesOf(
  units: readonly UnitState[],
  target: TargetKind,
  baseText: (file: string) => Promise<string | undefined>,
): Promise<FixesOf> {
  const edits = unionOfEdits(units.flatMap(({ result }) => (result ? [result.edits] : [])));
  const now = new Map<string, readonly string[]>();
  const base = new Map<string, readonly string[]>();
  const own = units.flatMap(({ unit, result }) => (result ? [unit.command.file] : []));
  for (const file of new Set([...edits.keys(), ...own])) {
    const text = await readFile(file, 'utf8').catch(() => undefined);
    if (text !== undefined) now.set(file, text.split('\n'));
    const old = edits.has(file) ? await baseText(file).catch(() => undefined) : undefined;
    if (old !== undefined) base.set(file, old.split('\n'));
  }
  return ({ unit, result }, finding) =>
    result
      ? offerFixes({
          finding,
          pair: result.pair,
          diff: result.diff,
          target: finding.targets?.[0] ?? target,
          unit: unit.command.file,
          edits,
          now: (file) => now.get(file),
          base: (file) => base.get(file),
        })
      : [];
}
