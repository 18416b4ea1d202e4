import { sha256Hex } from '../payload/sha256.ts';
import type { Finding } from './types.ts';

/** A finding that somebody looked at and lives with, as livepatch.json keeps it. Who and when is left to version control. */
export interface Accepted {
  readonly code: string;
  /** Symbol of the finding, without the compiler's numbers. */
  readonly symbol: string;
  /** Why it is safe here, for other people. */
  readonly reason: string;
  /** `evidenceHash` of each finding that was accepted: a header's finding has one in each unit. */
  readonly evidence: readonly string[];
}

/** Numbers that the compiler gives to static locals and clones differ from build to build. */
const withoutNumbers = (text: string): string => text.replace(/([A-Za-z_]\w*)\.\d+(?!\w)/g, '$1');

/** The name under which a finding is accepted. */
export const acceptedSymbol = (finding: Finding): string => withoutNumbers(finding.symbol);

/**
 * Stands for what a finding says: its code, symbol, severity and evidence, 16 hexadecimal digits. Lines and wording do not count, so that
 * an edit elsewhere in the file asks nobody again.
 */
export function evidenceHash(finding: Finding): string {
  const evidence = Object.entries(finding.evidence).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const text = JSON.stringify([finding.code, finding.symbol, finding.severity, evidence]);
  return sha256Hex(new TextEncoder().encode(withoutNumbers(text))).slice(0, 16);
}

/**
 * Puts the reasons of accepted findings on them (`accepted`). Where the evidence is no longer what was accepted the finding stands as before,
 * and its message says that it is to be judged anew (`outdated`). Marks of an earlier call are replaced.
 */
export function markAccepted(findings: readonly Finding[], accepted: readonly Accepted[]): Finding[] {
  return findings.map((finding) => {
    const { accepted: _, outdated: __, ...plain } = finding;
    const symbol = acceptedSymbol(finding);
    const entries = accepted.filter((entry) => entry.code === finding.code && withoutNumbers(entry.symbol) === symbol);
    if (entries.length === 0) return plain;
    const hash = evidenceHash(finding);
    const entry = entries.find(({ evidence }) => evidence.includes(hash));
    return entry ? { ...plain, accepted: entry.reason } : { ...plain, outdated: entries[0]!.reason };
  });
}

/** Reasons of accepted blockers by `code:symbol`, as a payload's overrides. */
export function acceptedOverrides(findings: readonly Finding[]): Record<string, string> {
  const overrides: Record<string, string> = {};
  const asked = new Set<string>();
  for (const { code, symbol, severity, accepted } of findings) {
    if (severity !== 'blocker') continue;
    const key = `${code}:${symbol}`;
    if (accepted === undefined) asked.add(key);
    else overrides[key] = accepted;
  }
  // One unit's finding of that name stands: the acceptance of another unit's does not speak for it.
  for (const key of asked) delete overrides[key];
  return overrides;
}
