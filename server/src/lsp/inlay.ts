import * as l10n from '@vscode/l10n';
import { type InlayHint, InlayHintKind, type Range } from 'vscode-languageserver/node';
import type { MemberChange } from '../core/diff/types.ts';
import type { Model } from './model.ts';

const bytes = (bits: number): string => (bits % 8 === 0 ? `${bits / 8}` : `${Math.floor(bits / 8)}:${bits % 8}`);

/** `offset 8 → 16`, `new at 8`, … behind a field. */
function memberText(change: MemberChange): string {
  const before = change.base && bytes(change.base.bitOffset);
  const after = change.next && bytes(change.next.bitOffset);
  if (before === undefined) return l10n.t('new at {0}', after!);
  return before === after ? change.what : l10n.t('offset {0} → {1}', before, after!);
}

/** Instruction counts behind changed functions' names and offsets behind changed fields. Off unless the setting says so. */
export function inlayHints(model: Model, path: string, within: Range): InlayHint[] {
  if (!model.settings.inlayHints) return [];
  const hints: InlayHint[] = [];
  const add = (range: Range, label: string): void => {
    if (range.end.line < within.start.line || range.end.line > within.end.line) return;
    hints.push({ position: range.end, label, kind: InlayHintKind.Type, paddingLeft: true });
  };
  for (const state of model.unitsWith(path)) {
    for (const change of state.result?.diff.functions ?? [])
      if (change.at && model.documents.same(change.at.file, path) && change.status === 'changed')
        add(
          model.range(state, change.at, change.name),
          l10n.t('{0} → {1} instructions', change.baseInstructions, change.nextInstructions),
        );
    for (const type of state.result?.diff.types ?? [])
      for (const member of type.members) {
        const at = member.next?.at ?? member.at;
        if (at && model.documents.same(at.file, path) && member.what !== 'removed')
          add(model.range(state, at, member.path.split('.').pop()), memberText(member));
      }
  }
  const seen = new Set<string>();
  return hints.filter((hint) => {
    const key = JSON.stringify([hint.position, hint.label]);
    return !seen.has(key) && seen.add(key);
  });
}
