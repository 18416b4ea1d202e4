import * as l10n from '@vscode/l10n';
import type { CodeLens } from 'vscode-languageserver/node';
import { clientCommands } from '../protocol.ts';
import { dataItems, sourceName, summaryOf } from './dataContent.ts';
import type { Model } from './model.ts';

/** `machine code changed: 41 → 44 instructions`, Review and Build patch above each function whose code changed. */
export function codeLenses(model: Model, path: string): CodeLens[] {
  const lenses: CodeLens[] = [];
  for (const state of model.unitsWith(path)) {
    for (const change of state.result?.diff.functions ?? []) {
      if (!change.at || !model.documents.same(change.at.file, path) || change.status === 'removed') continue;
      const range = model.range(state, change.at, change.name);
      const { baseInstructions: before, nextInstructions: after } = change;
      const size =
        change.status === 'new'
          ? l10n.t('new function: {0} instructions', after)
          : l10n.t('machine code changed: {0} → {1} instructions', before, after);
      const clone = change.parent ? `${change.name}: ` : '';
      const out = change.lineOnly
        ? ` (${l10n.t('line numbers only, left out')})`
        : model.isLeftOut(change)
          ? ` (${l10n.t('left out')})`
          : '';
      const review = { command: clientCommands.review, arguments: [{ unit: state.unit.id, name: change.name }] };
      lenses.push({
        range,
        command: { title: `${clone}${size}${out}${state.stale ? ` (${l10n.t('stale')})` : ''}`, ...review },
      });
      lenses.push({ range, command: { title: l10n.t('Review'), ...review } });
      if (!model.isLeftOut(change))
        lenses.push({ range, command: { title: l10n.t('Build patch'), command: clientCommands.build } });
    }
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
