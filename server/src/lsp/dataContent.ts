import * as l10n from '@vscode/l10n';
import type { DataChange } from '../core/diff/types.ts';
import { compareValues, type DataValues } from '../core/diff/values.ts';
import { dataName, isGenerated } from '../core/findings/support.ts';
import { dataLines, renderDataSide, valueDifferences } from '../core/render/data.ts';
import type { DataItem, DataSubject, LayoutDocument } from '../protocol.ts';
import type { UnitState } from '../shell/types.ts';
import { pathOf } from './documents.ts';
import { identifierAt, type Model } from './model.ts';

type Result = NonNullable<UnitState['result']>;

/** Lines of a hover. */
const MOST_LINES = 16;

const known = new WeakMap<DataChange, DataValues>();

/** The values of a data object before and after; worked out once for each comparison. */
export function valuesOf(result: Result, change: DataChange): DataValues {
  let values = known.get(change);
  if (!values) {
    values = compareValues(result.pair, result.diff, change);
    known.set(change, values);
  }
  return values;
}

/** The name in the source: without the compiler's number, and without the function that clang puts in front. */
export const sourceName = (change: DataChange): string => {
  const plain = change.name.replace(/\.\d+$/, '');
  return change.scope && plain.startsWith(`${change.scope}.`) ? plain.slice(change.scope.length + 1) : plain;
};

/** Data objects of a unit that differ, without those that the compiler makes up. */
export function dataItems(model: Model, state: UnitState, result: Result): DataItem[] {
  return result.diff.data
    .filter((change) => !isGenerated(change))
    .map((change) => {
      const place = model.place(state, change.at, sourceName(change));
      return {
        unit: state.unit.id,
        name: change.name,
        label: dataName(change),
        status: change.status,
        summary: summaryOf(result, change),
        ...(place ? { place } : {}),
      };
    });
}

/** The first value that differs, and how many others do. */
export function summaryOf(result: Result, change: DataChange): string {
  const values = valuesOf(result, change);
  const [first, ...others] = dataLines(values);
  if (first === undefined) return change.differs.join(', ');
  return others.length > 0 ? l10n.t('{0} and {1} more', first, valueDifferences(values).length - 1) : first;
}

/** One side of a changed data object, for the diff editor. */
export function dataDocument(
  model: Model,
  { unit, name, side }: DataSubject & { readonly side: 'base' | 'next' },
): LayoutDocument {
  const result = model.units.find((each) => each.unit.id === unit)?.result;
  const change = result?.diff.data.find((each) => each.name === name);
  if (!result || !change) {
    const said = result
      ? l10n.t('{0} is the same as in the baseline.', name)
      : l10n.t('{0} has not been compared yet.', name);
    return { text: `/* ${said.replaceAll('*/', '* /')} */\n`, title: name };
  }
  const values = valuesOf(result, change);
  const sizes =
    change.status !== 'changed'
      ? change.status === 'new'
        ? l10n.t('new')
        : l10n.t('removed')
      : change.baseSize === change.nextSize
        ? l10n.t('{0} bytes', change.nextSize)
        : l10n.t('{0} → {1} bytes', change.baseSize, change.nextSize);
  return { text: renderDataSide(values, side), title: `${dataName(change)}: ${sizes}` };
}

/** Markdown for a hover on a data object that differs: what became of its values. */
export function hoverData(result: Result, change: DataChange): string {
  const values = valuesOf(result, change);
  const lines = dataLines(values);
  const shown = lines.slice(0, MOST_LINES);
  if (lines.length > shown.length) shown.push(l10n.t('… {0} more', lines.length - shown.length));
  const title =
    change.status === 'new'
      ? l10n.t('{0} is new', `\`${dataName(change)}\``)
      : change.status === 'removed'
        ? l10n.t('{0} is gone', `\`${dataName(change)}\``)
        : l10n.t('values of {0} changed', `\`${dataName(change)}\``);
  const block = shown.map((line) => line.replace(/```/g, "'''")).join('\n');
  return `**Live Patch** · ${title}\n${shown.length > 0 ? `\n\`\`\`\n${block}\n\`\`\`\n` : ''}`;
}

/** Changed data objects that a word of a source means. */
export function dataNamed(result: Result, word: string): readonly DataChange[] {
  return result.diff.data.filter((change) => !isGenerated(change) && sourceName(change) === word);
}

/** The changed data object that a place speaks of: by its name, or by the lines of its definition. */
export function dataAt(
  model: Model,
  uri: string,
  position: { readonly line: number; readonly character: number },
): DataSubject | null {
  const path = pathOf(uri);
  if (!path) return null;
  const word = identifierAt(model.documents.line(path, position.line), position.character)?.name;
  let above: { subject: DataSubject; line: number } | undefined;
  for (const state of model.unitsWith(path)) {
    if (!state.result) continue;
    const line = model.documents.lineThen(path, position.line, model.momentOf(state)) + 1;
    const named = word === undefined ? [] : dataNamed(state.result, word);
    if (named[0]) return { unit: state.unit.id, name: named[0].name };
    // Within an initialiser: debug information has only the line where it begins.
    for (const { at, name } of state.result.diff.data)
      if (
        at &&
        at.line <= line &&
        at.line > (above?.line ?? 0) &&
        model.documents.same(at.file, path) &&
        isInside(model, path, at.line, position.line)
      )
        above = { subject: { unit: state.unit.id, name }, line: at.line };
  }
  return above?.subject ?? null;
}

/** Lines of an initialiser that are looked through for its end. */
const LONGEST = 5000;

/** True where no line from the definition (from 1) to before the place (from 0) ends the declaration. */
function isInside(model: Model, path: string, first: number, line: number): boolean {
  if (line - first > LONGEST) return false;
  for (let at = first - 1; at < line; at++) if (/;\s*(\/[/*].*)?$/.test(model.documents.line(path, at))) return false;
  return true;
}
