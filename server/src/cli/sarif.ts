import { pathToFileURL } from 'node:url';
import type { SourceLocation } from '../core/dwarf/types.ts';
import type { Finding } from '../core/findings/types.ts';
import { shortPath, uniqueFindings } from './describe.ts';
import { version } from './version.ts';

const levels = { blocker: 'error', review: 'warning', note: 'note' } as const;

/** A SARIF location (SARIF 2.1.0, 3.28). Paths below the root are relative to `%SRCROOT%`, others are file URIs. */
function location(at: SourceLocation, root: string, message?: string) {
  const path = shortPath(at.file, root);
  const artifactLocation = path.startsWith('/')
    ? { uri: pathToFileURL(path).href }
    : { uri: path.split('/').map(encodeURIComponent).join('/'), uriBaseId: 'SRCROOT' };
  const region = {
    startLine: Math.max(1, at.line),
    ...(at.column ? { startColumn: at.column } : {}),
    ...(at.endLine ? { endLine: at.endLine } : {}),
    ...(at.endColumn ? { endColumn: at.endColumn } : {}),
  };
  return {
    physicalLocation: { artifactLocation, region },
    ...(message === undefined ? {} : { message: { text: message } }),
  };
}

/**
 * Findings as a SARIF log, version 2.1.0 (OASIS), for code review and CI. Two units that report the same thing about the
 * same place (a header's) give one result.
 */
export function sarifLog(findings: readonly Finding[], root: string): unknown {
  const unique = uniqueFindings(findings);
  const codes = [...new Set(unique.map((finding) => finding.code))].sort();
  return {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: { driver: { name: 'livepatch', semanticVersion: version, rules: codes.map((id) => ({ id })) } },
        originalUriBaseIds: { SRCROOT: { uri: `${pathToFileURL(root).href}/` } },
        columnKind: 'utf16CodeUnits',
        results: unique.map((finding) => ({
          ruleId: finding.code,
          ruleIndex: codes.indexOf(finding.code),
          level: levels[finding.severity],
          message: { text: finding.message },
          locations: finding.at ? [location(finding.at, root)] : [],
          relatedLocations: finding.related
            .filter((related) => related.at)
            .map((related, id) => ({ id, ...location(related.at!, root, related.message) })),
          partialFingerprints: { 'livepatch/v1': `${finding.code}:${finding.symbol}` },
          ...(finding.accepted === undefined
            ? {}
            : { suppressions: [{ kind: 'external', status: 'accepted', justification: finding.accepted }] }),
          properties: { severity: finding.severity, symbol: finding.symbol, evidence: finding.evidence },
        })),
      },
    ],
  };
}
