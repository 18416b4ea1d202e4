import { createHash, randomUUID } from 'node:crypto';
import type { FunctionChange, ObjectDiff, SourceHunk } from '../core/diff/types.ts';
import type { SourceLocation } from '../core/dwarf/types.ts';
import { firstText, reasonText } from '../core/render/hover.ts';
import type { ChangedLine, FindingItem, FunctionItem, PatchState, UnitItem } from '../protocol.ts';
import type { UnitState } from '../shell/types.ts';
import { dataItems } from './dataContent.ts';
import { uriOf } from './documents.ts';
import { type Model, plainName } from './model.ts';

type Result = NonNullable<UnitState['result']>;

/** True where a hunk of the edits holds this line of the next source. */
export function isEdited(hunks: readonly SourceHunk[], at: SourceLocation): boolean {
  return hunks.some((hunk) => at.line >= hunk.nextStart && at.line < hunk.nextStart + Math.max(1, hunk.nextCount));
}

function changedLines(model: Model, state: UnitState, result: Result, change: FunctionChange): ChangedLine[] {
  const lines = new Map<string, ChangedLine>();
  if (change.status === 'removed') return [];
  const moment = model.momentOf(state);
  for (const at of change.changedLines) {
    if (!at.file || at.line < 1) continue;
    const file = model.documents.spelling(at.file);
    const line = model.documents.lineNow(file, at.line - 1, moment);
    lines.set(`${at.file}:${line}`, { uri: uriOf(file), line, edited: isEdited(model.hunks(result, at.file), at) });
  }
  return [...lines.values()];
}

function functionItem(model: Model, state: UnitState, result: Result, change: FunctionChange): FunctionItem {
  const place = model.place(state, change.at, plainName(change.name));
  return {
    unit: state.unit.id,
    name: change.name,
    status: change.status,
    baseSize: change.baseSize,
    nextSize: change.nextSize,
    baseInstructions: change.baseInstructions,
    nextInstructions: change.nextInstructions,
    reasons: [...change.reasons.map(reasonText), firstText(change) ?? []]
      .flat()
      .map((text) => text.replaceAll('`', '')),
    lineOnly: change.lineOnly,
    ...(place ? { place } : {}),
    changedLines: changedLines(model, state, result, change),
    fingerprint: model.fingerprint(result, change),
    leftOut: model.isLeftOut(change),
  };
}

function unitItem(model: Model, state: UnitState): UnitItem {
  const result = state.result;
  const functions = result ? result.diff.functions.map((change) => functionItem(model, state, result, change)) : [];
  const findings = (result?.findings ?? []).map((finding): FindingItem => {
    const place = model.place(state, finding.at);
    const reason = (finding.severity === 'blocker' ? model.overrideOf(finding) : undefined) ?? finding.accepted;
    return {
      code: finding.code,
      severity: finding.severity,
      symbol: finding.symbol,
      message: finding.message,
      ...(place ? { place } : {}),
      ...(reason === undefined ? {} : { overridden: reason }),
      fingerprint: model.findingFingerprint(result!, finding),
    };
  });
  return {
    id: state.unit.id,
    file: state.unit.command.file,
    phase: state.phase,
    stale: state.stale,
    ...(state.message === undefined ? {} : { message: state.message }),
    functions,
    findings,
    data: result ? dataItems(model, state, result) : [],
    unchanged: result !== undefined && isSame(result.diff) && findings.length === 0,
  };
}

const isSame = (diff: ObjectDiff): boolean => diff.functions.length === 0 && diff.data.length === 0;

function verdictOf(units: readonly UnitItem[], known: boolean): PatchState['verdict'] {
  if (!known) return 'none';
  const findings = units.flatMap((unit) => unit.findings);
  if (findings.some((each) => each.severity === 'blocker' && each.overridden === undefined)) return 'blocked';
  return units.some((unit) => unit.functions.some((each) => !each.leftOut)) ? 'patchable' : 'unchanged';
}

/** Comparisons by number, in this process only: a later one is another, whatever a view tells of it. */
const numbers = new WeakMap<ObjectDiff, number>();
const PROCESS = randomUUID();
let compared = 0;

function numberOf(diff: ObjectDiff): number {
  const number = numbers.get(diff) ?? ++compared;
  numbers.set(diff, number);
  return number;
}

/** Everything that the client shows beside the text, worked out anew. */
export function patchState(
  model: Model,
  root: string,
  progress: PatchState['progress'],
  problems: readonly string[],
): PatchState {
  const units = model.units.map((state) => unitItem(model, state));
  const busy = model.units.some((state) => state.phase === 'queued' || state.phase === 'building');
  const hash = createHash('sha256').update(JSON.stringify([PROCESS, model.choices]));
  // What functions and findings tell is not all that a payload holds: a table that they use may have changed alone.
  for (const { unit, result } of model.units) hash.update(`${unit.id}\n${result ? numberOf(result.diff) : ''}\n`);
  for (const unit of units) {
    for (const each of unit.functions) hash.update(`${each.unit}\n${each.name}\n${each.fingerprint}\n`);
    for (const each of unit.findings) hash.update(`${each.code}\n${each.symbol}\n${each.overridden ?? ''}\n`);
  }
  return {
    root,
    verdict: verdictOf(
      units,
      model.units.some((state) => state.result !== undefined),
    ),
    busy,
    ...(progress ? { progress } : {}),
    units,
    problems,
    fingerprint: hash.digest('hex').slice(0, 32),
  };
}
