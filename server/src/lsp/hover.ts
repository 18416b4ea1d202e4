import * as l10n from '@vscode/l10n';
import type { Hover, Position } from 'vscode-languageserver/node';
import type { FunctionChange, TypeChange } from '../core/diff/types.ts';
import { hoverFunction, hoverLine, hoverMember, hoverType } from '../core/render/hover.ts';
import type { Place } from '../protocol.ts';
import type { UnitState } from '../shell/types.ts';
import { dataNamed, hoverData } from './dataContent.ts';
import { pathOf } from './documents.ts';
import { identifierAt, type Model, plainName } from './model.ts';

type Result = NonNullable<UnitState['result']>;

/** Functions that one line is part of, at most: a macro or an inline function of a header may be in many. */
const MAX_PARTS = 4;
const stale = (): string => `*${l10n.t('Stale: what was typed last is not in this yet.')}*`;

/** Functions whose code has a row of this line that differs, with the file as the build spells it; `line` counts from 1. */
function changedAt(
  model: Model,
  result: Result,
  path: string,
  line: number,
): { change: FunctionChange; file: string }[] {
  return result.diff.functions.flatMap((change) => {
    const at = change.changedLines.find((each) => each.line === line && model.documents.same(each.file, path));
    return at ? [{ change, file: at.file }] : [];
  });
}

/** Changed types that an identifier may mean: by tag or typedef name, or as the name of one of their fields. */
function typeText(
  model: Model,
  result: Result,
  word: string,
  isField: boolean,
  at: { path: string; line: number },
): string | undefined {
  const named = result.diff.types.find((type) => type.name === word);
  if (named && !isField) return hoverType(result.pair, named, result.findings);
  const declared = (type: TypeChange): string | undefined =>
    type.members.find((member) => {
      const place = member.next?.at ?? member.at;
      return (
        place?.line === at.line && model.documents.same(place.file, at.path) && member.path.split('.').pop() === word
      );
    })?.path;
  for (const type of result.diff.types) {
    const member = declared(type) ?? (isField ? word : undefined);
    const text = member && hoverMember(type, member);
    if (text) return text;
  }
  const enumerator = result.diff.types.find((type) => type.enumerators.some((each) => each.name === word));
  return enumerator && hoverType(result.pair, enumerator, result.findings);
}

/**
 * Hover of a source: on a function's name its sizes and reasons, on a changed type or field the layouts, on any line whose machine
 * code changed the instructions before and after. Undefined where nothing changed.
 */
export function hoverAt(model: Model, uri: string, position: Position): Hover | undefined {
  const path = pathOf(uri);
  if (!path) return undefined;
  const text = model.documents.line(path, position.line);
  const word = identifierAt(text, position.character);
  const isField = word !== undefined && /(\.|->)\s*$/.test(text.slice(0, word.start));
  const parts = new Set<string>();
  for (const state of model.unitsWith(path)) {
    const result = state.result;
    if (!result) continue;
    const line = model.documents.lineThen(path, position.line, model.momentOf(state)) + 1;
    const found: (string | undefined)[] = [];
    if (word && !isField)
      for (const change of result.diff.functions)
        if (plainName(change.name) === word.name) found.push(hoverFunction(change, result.findings));
    if (word && !isField) for (const change of dataNamed(result, word.name)) found.push(hoverData(result, change));
    if (word) found.push(typeText(model, result, word.name, isField, { path, line }));
    const changed = changedAt(model, result, path, line);
    for (const { change, file } of changed) {
      const rows = hoverLine(model.listing(result, change).rows, { file, line }, model.hunks(result, file));
      found.push(rows && changed.length > 1 ? `${l10n.t('In {0}:', `\`${change.name}\``)}\n\n${rows}` : rows);
    }
    for (const each of found) if (each) parts.add(state.stale ? `${stale()}\n\n${each}` : each);
  }
  if (parts.size === 0) return undefined;
  const shown = [...parts].slice(0, MAX_PARTS);
  if (parts.size > MAX_PARTS) shown.push(l10n.t('… and {0} more functions.', parts.size - MAX_PARTS));
  return { contents: { kind: 'markdown', value: shown.join('\n\n---\n\n') } };
}

/** The changed function that a place belongs to: by the name at it, by its definition, or by a line whose code is in it. */
export function functionAtPlace(
  model: Model,
  uri: string,
  position: Position,
): { readonly unit: string; readonly name: string } | null {
  const path = pathOf(uri);
  if (!path) return null;
  const word = identifierAt(model.documents.line(path, position.line), position.character)?.name;
  let nearest: { readonly unit: string; readonly name: string; readonly rank: number } | undefined;
  for (const state of model.unitsWith(path)) {
    const line = model.documents.lineThen(path, position.line, model.momentOf(state)) + 1;
    for (const change of state.result?.diff.functions ?? []) {
      const rank =
        word === plainName(change.name)
          ? 3
          : change.changedLines.some((at) => at.line === line && model.documents.same(at.file, path))
            ? 2
            : isWithin(model, state.result!, change, path, line)
              ? 1
              : 0;
      if (rank > (nearest?.rank ?? 0)) nearest = { unit: state.unit.id, name: change.name, rank };
    }
  }
  return nearest ? { unit: nearest.unit, name: nearest.name } : null;
}

/** True where the line lies between the function's definition and its last line. */
function isWithin(model: Model, result: Result, change: FunctionChange, path: string, line: number): boolean {
  if (!change.at || line < change.at.line || !model.documents.same(change.at.file, path)) return false;
  const known = result.pair.next.dwarf.functions.find((each) => each.name === plainName(change.name));
  return known?.endLine !== undefined && line <= known.endLine;
}

/** Where functions of the given names are defined now, of those in units that have been compared. */
export function functionPlaces(model: Model, names: readonly string[]): Record<string, Place> {
  const places: Record<string, Place> = {};
  const wanted = new Map(names.map((name) => [plainName(name), name]));
  for (const state of model.units) {
    for (const known of state.result?.pair.next.dwarf.functions ?? []) {
      const name = wanted.get(known.name);
      const place = name !== undefined && known.decl && model.place(state, known.decl, known.name);
      if (place && name !== undefined) places[name] ??= place;
    }
  }
  return places;
}
