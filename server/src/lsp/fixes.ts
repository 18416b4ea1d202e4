import type { CodeAction, TextEdit } from 'vscode-languageserver/node';
import { fixProviders, offerFixes } from '../core/findings/fixes/index.ts';
import { insertedText } from '../core/findings/fixes/inserted.ts';
import { revertHunk } from '../core/findings/fixes/revert.ts';
import type { FixProvider, OfferedFix, TextChange } from '../core/findings/fixes/types.ts';
import { unionOfEdits } from '../core/findings/fixes/union.ts';
import { targetKinds } from '../shell/config.ts';
import type { DiagnosticData } from './diagnostics.ts';
import { uriOf } from './documents.ts';
import type { Model } from './model.ts';

/** Insertions and the way back are made by the code action itself, from the finding. */
const providers: readonly FixProvider[] = fixProviders.filter((one) => one !== insertedText && one !== revertHunk);

/** The edits of the source that are offered for a finding. None while the text is newer than what the finding is about. */
export function sourceFixes(model: Model, data: DiagnosticData): Pick<CodeAction, 'title' | 'edit'>[] {
  const state = model.units.find(({ unit }) => unit.id === data.unit);
  const result = state?.result;
  const finding = result?.findings.find(
    ({ code, symbol, message }) => code === data.code && symbol === data.symbol && message === data.message,
  );
  if (!state || state.stale || !result || !finding) return [];
  const { documents, session } = model;
  const offered = offerFixes(
    {
      finding,
      pair: result.pair,
      diff: result.diff,
      target: finding.targets?.[0] ?? (session ? targetKinds(session.config)[0] : undefined) ?? 'process',
      unit: state.unit.command.file,
      edits: unionOfEdits(model.units.flatMap((one) => (one.result ? [one.result.edits] : []))),
      now: (file) => documents.text(documents.spelling(file))?.split('\n'),
      base: () => undefined,
    },
    providers,
  );
  return offered.map((fix) => ({ title: fix.title, edit: { changes: changesOf(model, fix) } }));
}

function changesOf(model: Model, { changes }: OfferedFix): Record<string, TextEdit[]> {
  const byUri: Record<string, TextEdit[]> = {};
  for (const change of changes) {
    const uri = uriOf(model.documents.spelling(change.file));
    byUri[uri] ??= [];
    byUri[uri].push({ range: { start: place(change.start), end: place(change.end) }, newText: change.text });
  }
  return byUri;
}

const place = ({ line, column }: TextChange['start']) => ({ line: line - 1, character: column - 1 });
