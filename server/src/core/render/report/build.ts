import { listFunction } from '../../asm/listing.ts';
import type { AsmRow } from '../../asm/types.ts';
import { alignRows } from '../../diff/rows.ts';
import { matchRows } from '../../diff/tables.ts';
import { usersOfType } from '../../diff/type-users.ts';
import type { DataChange, FunctionChange, TypeChange } from '../../diff/types.ts';
import { compareValues } from '../../diff/values.ts';
import type { SourceLocation } from '../../dwarf/types.ts';
import { memberText } from '../../findings/support.ts';
import type { Finding } from '../../findings/types.ts';
import { valueDifferences } from '../data.ts';
import { reasonText } from '../hover.ts';
import { renderLayoutChange } from '../layout.ts';
import { layoutPicture } from '../layout-picture.ts';
import { callGraph } from './calls.ts';
import { count, shell } from './text.ts';
import type {
  CallersElsewhere,
  CodeLine,
  ReportData,
  ReportFinding,
  ReportFunction,
  ReportInput,
  ReportModel,
  ReportPayload,
  ReportType,
  ReportUnit,
} from './types.ts';

/** Lines of machine code that are shown of a function, equal instructions around a change, and values of a data object. */
const MOST_CODE = 160;
/** Lines of machine code of a whole report: a header's edit may change hundreds of functions. */
const MOST_CODE_IN_ALL = 4000;
const CONTEXT = 2;
const MOST_VALUES = 80;
/** What the evidence of one unit ends with where there is more of it: no reason by itself. */
const COUNTED = /^and \d+ more$/;
/** Units whose functions are asked whether they use a type: a header of a kernel is in thousands. */
const MOST_UNITS = 40;

type Result = NonNullable<ReportUnit['result']>;

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Works out all that a report tells. Pure: the same input gives the same model. */
export function buildReport(input: ReportInput): ReportModel {
  const units = [...input.units].sort((a, b) => order(a.file, b.file) || order(a.id, b.id));
  const compared = units.flatMap((unit) => (unit.result ? [{ unit, result: unit.result }] : []));
  const whyOut = new Map<string, string>();
  for (const { name, why } of input.payload.kind === 'payload' ? input.payload.leftOut : [])
    whyOut.set(name, why.replace(/^left out:? /, ''));
  for (const name of input.leaveOut) if (!whyOut.has(name)) whyOut.set(name, 'by choice');
  const room = { left: input.listings === false ? 0 : MOST_CODE_IN_ALL, omitted: 0 };
  const functions = compared.flatMap(({ unit, result }) =>
    result.diff.functions.map((change) => functionOf(input, unit, result, change, whyOut, room)),
  );
  const data = compared.flatMap(({ unit, result }) => result.diff.data.map((change) => dataOf(unit, result, change)));
  const types = reportTypes(
    units,
    new Set(functions.filter((each) => each.leftOut === undefined).map(({ name }) => name)),
  );
  const findings = findingsOf(input, compared);
  const leftOut = new Set(functions.filter((each) => each.leftOut !== undefined).map(({ name }) => name));
  const counted = [
    ...functions.filter((each) => each.leftOut === undefined),
    ...findings.filter((each) => each.severity !== 'note'),
  ];
  return {
    title: titleOf(functions.filter((each) => each.leftOut === undefined)),
    description: input.description,
    verdict: input.verdict === 'blocked' && findings.length > 0 && !findings.some(stands) ? 'patchable' : input.verdict,
    baseline: input.baseline,
    target: input.target,
    functions,
    listingsLeft: input.listings === false ? 0 : room.omitted,
    sameFunctions: compared.reduce((sum, { result }) => sum + result.diff.sameFunctions, 0),
    data,
    types,
    findings,
    calls: callGraph(units, leftOut, input.callers && shortened(input.callers, input.shorten)),
    callersKnown: callersKnown(input.callers),
    payload: withoutTwins(input.payload),
    notCovered: notCovered(input, units, functions, data),
    provenance: compared.map(({ unit, result: { pair } }) => ({
      file: unit.file,
      compiler: pair.provenance.compiler,
      baseCommand: shell(pair.provenance.baseCommand),
      nextCommand: shell(pair.provenance.nextCommand),
      baseline: pair.provenance.baseline,
    })),
    ...(input.reviewed
      ? { review: { done: counted.filter((each) => each.reviewed).length, total: counted.length } }
      : {}),
  };
}

const shortened = (callers: CallersElsewhere, shorten: (path: string) => string): CallersElsewhere => ({
  ...callers,
  list: callers.list.map((each) => ({ ...each, file: shorten(each.file) })),
});

/** Whether somebody may call the functions of the patch who is not named. */
function callersKnown(callers: CallersElsewhere | undefined): string {
  if (!callers) return 'As the units that were compared show it: callers in other units are not listed.';
  const read = callers.units - callers.unread;
  if (callers.unread > 0)
    return `Callers in ${count(read, 'other unit')} of the build are listed; ${count(callers.unread, 'unit')} more could not be asked, for want of an object file.`;
  return callers.units === 0
    ? 'All units of the build were compared.'
    : `Callers in the rest of the build (${count(callers.units, 'unit')}) are listed, too.`;
}

/** A blocker that nobody accepted or overrode. */
const stands = (each: ReportFinding): boolean =>
  each.severity === 'blocker' && each.accepted === undefined && each.overridden === undefined;

/** A header's blocker is one of each unit that includes it: the same reason is told once. */
function withoutTwins(payload: ReportPayload): ReportPayload {
  if (payload.kind !== 'refused') return payload;
  return {
    ...payload,
    reasons: [...new Map(payload.reasons.map((each) => [`${each.code}\n${each.message}`, each])).values()],
  };
}

function titleOf(functions: readonly ReportFunction[]): string {
  const first = functions.find(({ status }) => status === 'changed') ?? functions[0];
  if (!first) return 'Live patch: no function changes';
  const others = functions.length - 1;
  return `Live patch of ${first.name}${others > 0 ? ` and ${count(others, 'other function')}` : ''}`;
}

function placeText(input: ReportInput, at: SourceLocation | undefined): string {
  return at?.file ? `${input.shorten(at.file)}:${at.line}` : '';
}

function functionOf(
  input: ReportInput,
  unit: ReportUnit,
  result: Result,
  change: FunctionChange,
  whyOut: ReadonlyMap<string, string>,
  room: { left: number; omitted: number },
): ReportFunction {
  const why = whyOut.get(change.name) ?? (change.lineOnly ? 'only line numbers in it differ' : undefined);
  const code = why === undefined && room.left > 0 ? codeOf(result, change) : [];
  if (why === undefined && room.left <= 0 && change.status !== 'removed') room.omitted++;
  room.left -= Math.min(code.length, MOST_CODE);
  return {
    unit: unit.id,
    file: unit.file,
    name: change.name,
    status: change.status,
    baseSize: change.baseSize,
    nextSize: change.nextSize,
    baseInstructions: change.baseInstructions,
    nextInstructions: change.nextInstructions,
    reasons: [...new Set(change.reasons.map((reason) => reasonText(reason).replaceAll('`', '')))],
    place: placeText(input, change.at),
    ...(why === undefined ? {} : { leftOut: why }),
    ...(input.reviewed ? { reviewed: input.reviewed.function(unit.id, change.name) } : {}),
    code: code.slice(0, MOST_CODE),
    codeLeft: Math.max(0, code.length - MOST_CODE),
  };
}

const instruction = (row: AsmRow): string =>
  `${row.label ? `${row.label}:` : ''}`.padEnd(6) + `${row.mnemonic.padEnd(7)} ${row.operands}`.trimEnd();

/** The rows that differ with a few equal ones around; of a new function all. */
function codeOf({ pair, diff }: Result, change: FunctionChange): CodeLine[] {
  if (change.status === 'removed') return [];
  const base = change.base ? listFunction(pair.base, change.base) : [];
  const next = change.next ? listFunction(pair.next, change.next) : [];
  const rows = matchRows(diff, change, alignRows(base, next)).filter((row) => !(row.base ?? row.next)?.padding);
  const near = new Uint8Array(rows.length);
  rows.forEach((row, index) => {
    if (!row.same) near.fill(1, Math.max(0, index - CONTEXT), index + CONTEXT + 1);
  });
  const lines: CodeLine[] = [];
  let hidden = 0;
  let place = '';
  const gap = (): void => {
    if (hidden > 0) lines.push({ mark: 'gap', text: count(hidden, 'equal instruction') });
    hidden = 0;
  };
  for (const [index, row] of rows.entries()) {
    if (!near[index]) {
      hidden++;
      continue;
    }
    gap();
    const source = (row.next ?? row.base)?.source;
    const here = source ? `${source.file.split('/').pop()}:${source.line}` : '';
    if (here !== '' && here !== place) lines.push({ mark: 'source', text: here });
    place = here;
    if (row.same) lines.push({ mark: 'same', text: instruction(row.next ?? row.base!) });
    else {
      if (row.base) lines.push({ mark: 'base', text: instruction(row.base) });
      if (row.next) lines.push({ mark: 'next', text: instruction(row.next) });
    }
  }
  gap();
  return lines;
}

function dataOf(unit: ReportUnit, { pair, diff }: Result, change: DataChange): ReportData {
  const values = compareValues(pair, diff, change);
  const differences = valueDifferences(values);
  return {
    unit: unit.id,
    file: unit.file,
    name: change.scope ? `${values.name} in ${change.scope}()` : values.name,
    symbol: change.name,
    status: change.status,
    declaration: values.nextDeclaration || values.baseDeclaration,
    baseSize: change.baseSize,
    nextSize: change.nextSize,
    section: change.nextSection ?? change.baseSection ?? '',
    readOnly: change.readOnly,
    differs: change.differs,
    values: differences.slice(0, MOST_VALUES).map(({ path, base, next, alternative }) => ({
      path,
      ...(base === undefined ? {} : { base }),
      ...(next === undefined ? {} : { next }),
      note: alternative ? 'a member of a union' : '',
    })),
    valuesLeft: Math.max(0, differences.length - MOST_VALUES),
    typed: values.typed,
  };
}

/**
 * Changed types, each once, with the units that have them and the functions that use them. `carried`: names of the functions that the
 * patch holds; with `label` only that type.
 */
export function reportTypes(units: readonly ReportUnit[], carried: ReadonlySet<string>, only?: string): ReportType[] {
  const plain = new Set([...carried].map((name) => name.replace(/\..*$/, '')));
  const byLabel = new Map<string, { unit: ReportUnit; result: Result; change: TypeChange }[]>();
  for (const unit of units)
    for (const change of unit.result?.diff.types ?? []) {
      const label = change.label ?? change.name;
      if (only !== undefined && label !== only) continue;
      const list = byLabel.get(label) ?? [];
      byLabel.set(label, list);
      list.push({ unit, result: unit.result!, change });
    }
  return [...byLabel]
    .sort(([a], [b]) => order(a, b))
    .map(([label, places]): ReportType => {
      const { unit, result, change } = places[0]!;
      const picture = layoutPicture(result.pair, change);
      const users = new Set(
        places.slice(0, MOST_UNITS).flatMap((place) => usersOfType(place.result.pair.next, label).functions),
      );
      return {
        unit: unit.id,
        label,
        status: change.status,
        baseSize: change.baseSize,
        nextSize: change.nextSize,
        changes: [
          ...change.members.map(memberText),
          ...change.enumerators
            .filter((each) => each.base !== each.next)
            .map(({ name, base, next }) => `${name}: ${base ?? 'new'} → ${next ?? 'gone'}`),
        ],
        layout: renderLayoutChange(result.pair, change),
        ...(picture ? { picture } : {}),
        units: places.map((place) => place.unit.file),
        users: [...users].sort().map((name) => ({ name, inPatch: plain.has(name) })),
        unitsNotAsked: Math.max(0, places.length - MOST_UNITS),
        outlivesBy: change.confined
          ? []
          : [...new Set(places.flatMap((place) => place.change.outlivesBy))]
              .filter((text) => !COUNTED.test(text))
              .sort(),
        causes: change.causes ?? [],
      };
    });
}

/** Findings, each once however many units tell of it. */
function findingsOf(
  input: ReportInput,
  compared: readonly { readonly unit: ReportUnit; readonly result: Result }[],
): ReportFinding[] {
  const byKey = new Map<string, { finding: Finding; unit: ReportUnit; units: string[] }>();
  for (const { unit, result } of compared)
    for (const finding of result.findings) {
      const key = JSON.stringify([finding.code, finding.symbol, finding.at?.file, finding.at?.line, finding.message]);
      const known = byKey.get(key);
      if (known) known.units.push(unit.file);
      else byKey.set(key, { finding, unit, units: [unit.file] });
    }
  const rank = { blocker: 0, review: 1, note: 2 } as const;
  return [...byKey.values()]
    .map(({ finding, unit, units }): ReportFinding => {
      const overridden =
        finding.severity === 'blocker'
          ? (input.overrides[`${finding.code}:${finding.symbol}`] ?? input.overrides[finding.code])
          : undefined;
      return {
        code: finding.code,
        severity: finding.severity,
        symbol: finding.symbol,
        message: finding.message,
        place: placeText(input, finding.at),
        file: finding.at?.file ?? '',
        line: finding.at?.line ?? 0,
        unit: unit.id,
        units,
        related: finding.related.map((each) => {
          const place = placeText(input, each.at);
          return place === '' ? each.message : `${place}: ${each.message}`;
        }),
        ...(finding.accepted === undefined ? {} : { accepted: finding.accepted }),
        ...(overridden === undefined ? {} : { overridden }),
        ...(finding.outdated === undefined ? {} : { outdated: finding.outdated }),
        ...(input.reviewed ? { reviewed: input.reviewed.finding(finding) } : {}),
      };
    })
    .sort(
      (a, b) =>
        rank[a.severity] - rank[b.severity] ||
        order(a.file, b.file) ||
        a.line - b.line ||
        order(a.code, b.code) ||
        order(a.symbol, b.symbol),
    );
}

function notCovered(
  input: ReportInput,
  units: readonly ReportUnit[],
  functions: readonly ReportFunction[],
  data: readonly ReportData[],
): { what: string; why: string }[] {
  const list: { what: string; why: string }[] = [];
  for (const { file, problem } of units) if (problem !== undefined) list.push({ what: file, why: problem });
  list.push(...input.notCompared);
  for (const { name, leftOut } of functions)
    if (leftOut !== undefined) list.push({ what: `${name}()`, why: `left out: ${leftOut}` });
  for (const { name, status } of functions)
    if (status === 'removed')
      list.push({ what: `${name}()`, why: 'gone from the source; its old code stays in the running program' });
  for (const { name, status, readOnly } of data) {
    if (status === 'removed') list.push({ what: name, why: 'gone from the source; it stays in the running program' });
    else if (status === 'changed' && !readOnly)
      list.push({
        what: name,
        why: 'data of the running program keeps its value, size and place: a new initial value or layout does not reach it',
      });
  }
  const seen = new Set<string>();
  return list.filter(({ what, why }) => {
    const key = `${what}\n${why}`;
    return !seen.has(key) && seen.add(key);
  });
}
