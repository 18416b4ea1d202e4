import type { TextEdit } from 'vscode-languageserver/node';
import { hookName, writeHookPair } from '../core/findings/fixes/xen-hooks.ts';
import type { HookEdit } from '../protocol.ts';
import { pathOf } from './documents.ts';
import type { Model } from './model.ts';

/** The edit that writes a pair of Xen's hooks at the end of a source; null where that source belongs to no Xen tree with such hooks. */
export function hookEdit(model: Model, { uri, pair, name }: HookEdit): TextEdit[] | null {
  const unit = pathOf(uri);
  if (!unit) return null;
  const now = (file: string): readonly string[] | undefined =>
    model.documents.text(model.documents.spelling(file))?.split('\n');
  const changes = writeHookPair({ unit, now }, pair, hookName(name ?? ''));
  if (!changes) return null;
  return changes.map(({ start, end, text }) => ({
    range: {
      start: { line: start.line - 1, character: start.column - 1 },
      end: { line: end.line - 1, character: end.column - 1 },
    },
    newText: text,
  }));
}
