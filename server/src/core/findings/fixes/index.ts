import { insertedText } from './inserted.ts';
import { usePadding } from './padding.ts';
import { revertHunk } from './revert.ts';
import { sideTable } from './side-table.ts';
import type { FixContext, FixProvider, OfferedFix } from './types.ts';
import { xenHooks, xenHookUndo } from './xen-hooks.ts';

/** Every way out that is an edit of the source, in the order in which they are offered. Add a provider here. */
export const fixProviders: readonly FixProvider[] = [
  usePadding,
  sideTable,
  xenHookUndo,
  xenHooks,
  insertedText,
  revertHunk,
];

/** The edits that are offered for a finding, in the order of the providers; no title twice. */
export function offerFixes(context: FixContext, providers: readonly FixProvider[] = fixProviders): OfferedFix[] {
  const offered = new Map<string, OfferedFix>();
  for (const { codes, offer } of providers) {
    if (codes && !codes.includes(context.finding.code)) continue;
    for (const fix of offer(context)) if (!offered.has(fix.title)) offered.set(fix.title, fix);
  }
  return [...offered.values()];
}
