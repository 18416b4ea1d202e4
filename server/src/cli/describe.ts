import { relative } from 'node:path';
import type { DataChange, FunctionChange, ObjectDiff, Reason, TypeChange } from '../core/diff/types.ts';
import type { SourceLocation } from '../core/dwarf/types.ts';
import type { Finding } from '../core/findings/types.ts';
import type { Verdict } from './report.ts';
import { count, type Paint, printable, table, wrap } from './text.ts';

const verdictWords: Readonly<Record<Verdict, string>> = {
  unchanged: 'Unchanged: the machine code and data are the same.',
  patchable: 'Patchable',
  blocked: 'Blocked',
};

/** The verdict, with what it is about in one line. */
export function verdictLine(
  verdict: Verdict,
  diffs: readonly ObjectDiff[],
  findings: readonly Finding[],
  paint: Paint,
): string {
  const colour = verdict === 'blocked' ? paint.red : paint.green;
  if (verdict === 'unchanged') return paint.green(verdictWords.unchanged);
  const functions = diffs.flatMap((diff) => diff.functions);
  const parts = (['changed', 'new', 'removed'] as const)
    .map((status) => ({ status, n: functions.filter((change) => change.status === status).length }))
    .filter(({ n }) => n > 0)
    .map(({ status, n }) => `${count(n, 'function')} ${status}`);
  const blockers = findings.filter((finding) => finding.severity === 'blocker').length;
  const reviews = findings.filter((finding) => finding.severity === 'review').length;
  if (blockers > 0) parts.push(count(blockers, 'blocker'));
  if (reviews > 0) parts.push(`${reviews} to review`);
  return `${colour(paint.bold(verdictWords[verdict]))}: ${parts.join(', ') || 'no function changed'}`;
}

const reasonWords: Readonly<Record<Reason['kind'], (detail: string) => string>> = {
  'own-edit': () => 'edited',
  'inlined-callee': (detail) => `inlines ${detail}`,
  'header-type': (detail) => `type ${detail}`,
  macro: (detail) => `macro ${detail}`,
  declaration: (detail) => `declaration ${detail}`,
  constant: (detail) => `constant ${detail}`,
  string: (detail) => `string ${detail}`,
  callee: (detail) => `calls ${detail}`,
  data: (detail) => `data ${detail}`,
  table: (detail) => `contents of ${detail}`,
  clone: (detail) => `clone of ${detail}`,
  special: (detail) => `its entries in ${detail}`,
  'line-only': () => 'line numbers only',
  'compiler-noise': () => "compiler's choice only",
  new: () => 'new',
  removed: () => 'removed',
};

/** Why a function is in the patch, in words. */
export function reasonText(reason: Reason): string {
  return printable(reasonWords[reason.kind](reason.detail)).trimEnd();
}

/** Differences of one kind that are named; the listing shows the others. */
const mostOfKind = 3;

/** All reasons in one line: where the change comes from in full, of what differs in the code the first of each kind. */
function reasonList(reasons: readonly Reason[]): string {
  const counts = new Map<Reason['kind'], number>();
  const texts: string[] = [];
  let left = 0;
  for (const reason of reasons) {
    const at = (counts.get(reason.kind) ?? 0) + 1;
    counts.set(reason.kind, at);
    if (at > mostOfKind && ['constant', 'string', 'callee', 'data'].includes(reason.kind)) left++;
    else texts.push(reasonText(reason));
  }
  if (left > 0) texts.push(`${left} more`);
  return texts.join('; ');
}

/** A path as a person wants it: relative to where they are, when it lies below. */
export function shortPath(file: string, cwd: string): string {
  const short = relative(cwd, file);
  return file.startsWith('/') && short !== '' && !short.startsWith('..') ? short : file;
}

export function placeText(at: SourceLocation | undefined, cwd: string): string {
  return at ? printable(`${shortPath(at.file, cwd)}:${at.line}`) : '';
}

const marks = { changed: '~', new: '+', removed: '-' } as const;

function functionRow(change: FunctionChange): string[] {
  const sizes =
    change.status === 'changed'
      ? `${change.baseSize} → ${change.nextSize} bytes`
      : `${change.status === 'new' ? change.nextSize : change.baseSize} bytes`;
  const instructions =
    change.status === 'changed'
      ? `${change.baseInstructions} → ${change.nextInstructions} instructions`
      : `${change.status === 'new' ? change.nextInstructions : change.baseInstructions} instructions`;
  return [marks[change.status], printable(change.name), sizes, instructions, reasonList(change.reasons)];
}

/** The first instruction that differs, for the line under a function: `first: mov eax, 1 → mov eax, 2 (quote.c:12)`. */
function firstLine({ firstDifference }: FunctionChange): string | undefined {
  if (!firstDifference) return undefined;
  const { base, next, at } = firstDifference;
  const code = (text: string): string => (text === '' ? 'nothing' : text);
  const place = at ? ` (${at.file.replace(/^.*\//, '')}:${at.line})` : '';
  return printable(`first: ${code(base)} → ${code(next)}${place}`);
}

function dataRow(change: DataChange): string[] {
  const resized = change.status === 'changed' && change.baseSize !== change.nextSize;
  const size = resized
    ? `${change.baseSize} → ${change.nextSize} bytes`
    : `${change.status === 'removed' ? change.baseSize : change.nextSize} bytes`;
  const differs = change.differs.filter((what) => !(resized && what === 'size'));
  const plural = differs.length > 1 || differs[0] === 'contents' || differs[0] === 'references';
  const what = differs.length === 0 ? '' : `${differs.join(', ')} ${plural ? 'differ' : 'differs'}`;
  return [marks[change.status], printable(change.name), size, change.status === 'changed' ? what : change.status];
}

function typeRow(change: TypeChange): string[] {
  const size =
    change.baseSize !== change.nextSize ? `${change.baseSize} → ${change.nextSize} bytes` : `${change.nextSize} bytes`;
  const members = change.members.slice(0, 4).map((member) => `${member.path} ${member.what}`);
  if (change.members.length > members.length) members.push(`${change.members.length - members.length} more`);
  if (change.align) members.push(`aligned to ${change.align.next} bytes`);
  const name = change.kind === 'typedef' || change.kind === 'base' ? change.name : `${change.kind} ${change.name}`;
  return [marks[change.status], printable(name), size, printable(members.join(', '))];
}

/** Functions, data and types of one comparison, as aligned lists. */
export function diffLines(diff: ObjectDiff, paint: Paint): string[] {
  const lines: string[] = [];
  const section = (title: string, rows: string[][], below: readonly (string | undefined)[] = []) => {
    if (rows.length === 0) return;
    lines.push(paint.dim(title));
    for (const [i, line] of table(rows).entries()) {
      const colour = line.startsWith('+') ? paint.green : line.startsWith('-') ? paint.red : paint.yellow;
      lines.push(`  ${colour(line.slice(0, 1))}${line.slice(1)}`);
      if (below[i] !== undefined) lines.push(`      ${paint.dim(below[i])}`);
    }
  };
  section('Functions', diff.functions.map(functionRow), diff.functions.map(firstLine));
  section('Data', diff.data.map(dataRow));
  section('Types', diff.types.map(typeRow));
  return lines;
}

/** Findings without those that say the same about the same place: a header's is reported by each unit that includes it. */
export function uniqueFindings(findings: readonly Finding[], seen = new Set<string>()): Finding[] {
  return findings.filter((finding) => {
    const key = JSON.stringify([finding.code, finding.symbol, finding.at?.file, finding.at?.line, finding.message]);
    return !seen.has(key) && seen.add(key);
  });
}

/** Findings, the gravest first: place, code, message wrapped below. */
export function findingLines(findings: readonly Finding[], paint: Paint, cwd: string, columns: number): string[] {
  const order = { blocker: 0, review: 1, note: 2 } as const;
  const colours = { blocker: paint.red, review: paint.yellow, note: paint.blue } as const;
  const lines: string[] = [];
  for (const finding of [...findings].sort((a, b) => order[a.severity] - order[b.severity])) {
    const place = placeText(finding.at, cwd);
    lines.push(
      `${colours[finding.severity](finding.severity)} ${paint.bold(finding.code)} ${printable(finding.symbol)}${finding.accepted === undefined ? '' : paint.green(' accepted')}${place ? paint.dim(`  ${place}`) : ''}`,
    );
    for (const line of wrap(printable(finding.message), Math.min(columns, 110) - 4)) lines.push(`    ${line}`);
    if (finding.accepted !== undefined) lines.push(paint.green(`    accepted: ${printable(finding.accepted)}`));
    if (finding.outdated !== undefined)
      lines.push(
        paint.yellow(
          `    was accepted (${printable(finding.outdated)}), but the evidence is another now: judge it anew`,
        ),
      );
    for (const related of finding.related) {
      const where = placeText(related.at, cwd);
      lines.push(paint.dim(`    ${where ? `${where}: ` : ''}${printable(related.message)}`));
    }
  }
  return lines;
}
