import type { ObjectDiff } from '../core/diff/types.ts';
import type { SourceLocation } from '../core/dwarf/types.ts';
import type { OfferedFix } from '../core/findings/fixes/types.ts';
import type { Finding } from '../core/findings/types.ts';
import type { Problem } from '../core/problem.ts';

/** Version of every JSON document that the command line writes; see docs/json.md. Grows when a field changes its meaning or goes. */
export const jsonSchema = 1;

export type Verdict = 'unchanged' | 'patchable' | 'blocked';

/** A place in JSON: line and column count from 1. */
export interface JsonPlace {
  readonly file: string;
  readonly line: number;
  readonly column?: number;
}

export interface JsonFinding {
  readonly code: string;
  readonly severity: string;
  readonly symbol: string;
  readonly message: string;
  readonly at: JsonPlace | null;
  readonly evidence: Finding['evidence'];
  /** Kinds of target that it holds for, where the patch is made for others too. */
  readonly targets?: readonly string[];
  /** Reason, where it was accepted. */
  readonly accepted?: string;
  /** Reason of an acceptance that the evidence outgrew. */
  readonly outdated?: string;
  readonly related: readonly { readonly at: JsonPlace | null; readonly message: string }[];
  /** Ways out that are edits of the source (`check` only). */
  readonly fixes?: readonly OfferedFix[];
}

/** What `diff --json` prints, and each unit of `check --json`. */
export interface JsonDiff {
  readonly verdict: Verdict;
  readonly functions: readonly {
    readonly name: string;
    readonly status: string;
    readonly baseSize: number;
    readonly nextSize: number;
    readonly baseInstructions: number;
    readonly nextInstructions: number;
    readonly reasons: readonly { readonly kind: string; readonly detail: string }[];
    readonly lineOnly: boolean;
    /** First instruction that differs; null where the code itself does not, or only in line numbers. */
    readonly firstDifference: { readonly base: string; readonly next: string; readonly at: JsonPlace | null } | null;
    readonly at: JsonPlace | null;
  }[];
  readonly data: readonly {
    readonly name: string;
    readonly status: string;
    readonly baseSize: number;
    readonly nextSize: number;
    readonly differs: readonly string[];
  }[];
  readonly types: readonly {
    readonly name: string;
    readonly kind: string;
    readonly status: string;
    readonly baseSize: number;
    readonly nextSize: number;
  }[];
  readonly findings: readonly JsonFinding[];
  readonly problems: readonly Problem[];
}

/** A place as JSON has it; null where the finding has none. */
export function jsonPlace(at: SourceLocation | undefined): JsonPlace | null {
  if (!at) return null;
  return { file: at.file, line: at.line, ...(at.column ? { column: at.column } : {}) };
}

export function jsonFinding(finding: Finding, fixes?: readonly OfferedFix[]): JsonFinding {
  return {
    code: finding.code,
    severity: finding.severity,
    symbol: finding.symbol,
    message: finding.message,
    at: jsonPlace(finding.at),
    evidence: finding.evidence,
    ...(finding.targets === undefined ? {} : { targets: finding.targets }),
    ...(finding.accepted === undefined ? {} : { accepted: finding.accepted }),
    ...(finding.outdated === undefined ? {} : { outdated: finding.outdated }),
    related: finding.related.map((related) => ({ at: jsonPlace(related.at), message: related.message })),
    ...(fixes ? { fixes } : {}),
  };
}

/** The JSON body of one comparison; with the edits that are offered where the sources are at hand. */
export function jsonDiff(
  diff: ObjectDiff,
  findings: readonly Finding[],
  verdict: Verdict,
  fixesOf?: (finding: Finding) => readonly OfferedFix[],
): JsonDiff {
  return {
    verdict,
    functions: diff.functions.map((change) => ({
      name: change.name,
      status: change.status,
      baseSize: change.baseSize,
      nextSize: change.nextSize,
      baseInstructions: change.baseInstructions,
      nextInstructions: change.nextInstructions,
      reasons: change.reasons.map((reason) => ({ kind: reason.kind, detail: reason.detail })),
      lineOnly: change.lineOnly,
      firstDifference: change.firstDifference
        ? {
            base: change.firstDifference.base,
            next: change.firstDifference.next,
            at: jsonPlace(change.firstDifference.at),
          }
        : null,
      at: jsonPlace(change.at),
    })),
    data: diff.data.map((change) => ({
      name: change.name,
      status: change.status,
      baseSize: change.baseSize,
      nextSize: change.nextSize,
      differs: change.differs,
    })),
    types: diff.types.map((change) => ({
      name: change.name,
      kind: change.kind,
      status: change.status,
      baseSize: change.baseSize,
      nextSize: change.nextSize,
    })),
    findings: findings.map((finding) => jsonFinding(finding, fixesOf?.(finding))),
    problems: diff.problems,
  };
}

/** JSON text as every command prints it: bigints as decimal strings, a line break at the end. */
export function jsonText(value: unknown): string {
  return `${JSON.stringify(value, (_key, item) => (typeof item === 'bigint' ? item.toString() : item), 2)}\n`;
}
