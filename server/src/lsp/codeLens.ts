import type { CodeLens } from 'vscode-languageserver/node';
import { clientCommands } from '../protocol.ts';
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
          ? `new function: ${after} instructions`
          : `machine code changed: ${before} → ${after} instructions`;
      const clone = change.parent ? `${change.name}: ` : '';
      const out = change.lineOnly ? ' (line numbers only, left out)' : model.isLeftOut(change) ? ' (left out)' : '';
      const review = { command: clientCommands.review, arguments: [{ unit: state.unit.id, name: change.name }] };
      lenses.push({ range, command: { title: `${clone}${size}${out}${state.stale ? ' (stale)' : ''}`, ...review } });
      lenses.push({ range, command: { title: 'Review', ...review } });
      if (!model.isLeftOut(change))
        lenses.push({ range, command: { title: 'Build patch', command: clientCommands.build } });
    }
  }
  return [...lenses, ...typeLenses(model, path)];
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
        type.baseSize === type.nextSize ? `${type.nextSize} bytes` : `${type.baseSize} → ${type.nextSize} bytes`;
      lenses.push({
        range: model.range(state, type.at, type.name),
        command: {
          title: `${type.kind === 'enum' ? 'values' : 'layout'} changed: ${sizes} · Compare`,
          command: clientCommands.compareLayout,
          arguments: [{ unit: state.unit.id, type: label }],
        },
      });
    }
  }
  return lenses;
}
