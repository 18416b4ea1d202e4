import { relative } from 'node:path';
import * as l10n from '@vscode/l10n';
import type { CodeLens, Range } from 'vscode-languageserver/node';
import type { FunctionChange } from '../core/diff/types.ts';
import { clientCommands } from '../protocol.ts';
import type { UnitState } from '../shell/types.ts';
import { dataItems, sourceName, summaryOf } from './dataContent.ts';
import type { Model } from './model.ts';

/** A changed function of a unit, and where its lenses stand. */
interface Group {
  readonly state: UnitState;
  readonly change: FunctionChange;
  readonly range: Range;
}

/** The changed functions that are defined in a file, by their lines. */
function groupsOf(model: Model, path: string): readonly (readonly Group[])[] {
  const byLine = new Map<number, Group[]>();
  for (const state of model.unitsWith(path)) {
    for (const change of state.result?.diff.functions ?? []) {
      if (!change.at || !model.documents.same(change.at.file, path) || change.status === 'removed') continue;
      const range = model.range(state, change.at, change.name);
      const line = byLine.get(range.start.line) ?? [];
      byLine.set(range.start.line, line);
      line.push({ state, change, range });
    }
  }
  return [...byLine.values()];
}

/**
 * What tells a function apart from the others of its line: nothing where it is alone, else its name (a macro defines several; a source that is
 * included into another one has others there), with its unit where several have it.
 */
function nameIn(line: readonly Group[], { state, change }: Group, root: string): string {
  if (line.length === 1) return change.parent ? change.name : '';
  const named = line.filter((each) => each.change.name === change.name);
  if (named.length === 1) return change.name;
  const fileOf = (each: Group): string => each.state.unit.command.file;
  // A source that is compiled twice: its objects differ.
  const isOne = named.some((each) => each.state !== state && fileOf(each) === state.unit.command.file);
  const unit = isOne ? state.unit.id : state.unit.command.file;
  const inside = relative(root, unit);
  return `${change.name} (${inside.startsWith('..') ? unit : inside})`;
}

/** `machine code changed: 41 → 44 instructions`, Review and Build patch above each function whose code changed; each named where several share a line. */
export function codeLenses(model: Model, path: string): CodeLens[] {
  const lenses: CodeLens[] = [];
  const root = model.session?.config.root ?? '';
  for (const line of groupsOf(model, path)) {
    for (const group of line) {
      const { state, change, range } = group;
      const { baseInstructions: before, nextInstructions: after } = change;
      const size =
        change.status === 'new'
          ? l10n.t('new function: {0} instructions', after)
          : l10n.t('machine code changed: {0} → {1} instructions', before, after);
      const name = nameIn(line, group, root);
      const out = change.lineOnly
        ? ` (${l10n.t('line numbers only, left out')})`
        : model.isLeftOut(change)
          ? ` (${l10n.t('left out')})`
          : '';
      const stale = state.stale ? ` (${l10n.t('stale')})` : '';
      const review = { command: clientCommands.review, arguments: [{ unit: state.unit.id, name: change.name }] };
      lenses.push({ range, command: { title: `${name === '' ? '' : `${name}: `}${size}${out}${stale}`, ...review } });
      const title = line.length > 1 ? l10n.t('Review {0}', name) : l10n.t('Review');
      lenses.push({ range, command: { title, ...review } });
    }
    // One patch holds them all.
    if (line.some(({ change }) => !model.isLeftOut(change)))
      lenses.push({
        range: line.at(-1)!.range,
        command: { title: l10n.t('Build patch'), command: clientCommands.build },
      });
  }
  return [...lenses, ...typeLenses(model, path), ...dataLenses(model, path)];
}

/** `values changed: limits[1].most: 16 → 64 · Compare` above each changed data object. */
function dataLenses(model: Model, path: string): CodeLens[] {
  const seen = new Set<string>();
  const lenses: CodeLens[] = [];
  for (const state of model.unitsWith(path)) {
    if (!state.result) continue;
    const shown = new Set(dataItems(model, state, state.result).map((item) => item.name));
    for (const change of state.result.diff.data) {
      if (!change.at || change.status === 'removed' || !shown.has(change.name)) continue;
      if (!model.documents.same(change.at.file, path) || seen.has(change.name)) continue;
      seen.add(change.name);
      const summary = summaryOf(state.result, change);
      lenses.push({
        range: model.range(state, change.at, sourceName(change)),
        command: {
          title: l10n.t('values: {0} · Compare', summary.length > 80 ? `${summary.slice(0, 79)}…` : summary),
          command: clientCommands.compareData,
          arguments: [{ unit: state.unit.id, name: change.name }],
        },
      });
    }
  }
  return lenses;
}

/** `layout changed: 32 → 40 bytes · Compare layouts` above each changed type, once for all units. */
function typeLenses(model: Model, path: string): CodeLens[] {
  const seen = new Set<string>();
  const lenses: CodeLens[] = [];
  for (const state of model.unitsWith(path)) {
    for (const type of state.result?.diff.types ?? []) {
      const label = type.label ?? type.name;
      if (!type.at || type.status !== 'changed' || type.kind === 'base' || seen.has(label)) continue;
      if (!model.documents.same(type.at.file, path)) continue;
      seen.add(label);
      const sizes =
        type.baseSize === type.nextSize
          ? l10n.t('{0} bytes', type.nextSize)
          : l10n.t('{0} → {1} bytes', type.baseSize, type.nextSize);
      lenses.push({
        range: model.range(state, type.at, type.name),
        command: {
          title:
            type.kind === 'enum'
              ? l10n.t('values changed: {0} · Compare', sizes)
              : l10n.t('layout changed: {0} · Compare', sizes),
          command: clientCommands.compareLayout,
          arguments: [{ unit: state.unit.id, type: label }],
        },
      });
      if (type.kind === 'struct' || type.kind === 'union')
        lenses.push({
          range: model.range(state, type.at, type.name),
          command: {
            title: l10n.t('Picture'),
            command: clientCommands.layoutPicture,
            arguments: [{ unit: state.unit.id, type: label }],
          },
        });
    }
  }
  return lenses;
}
