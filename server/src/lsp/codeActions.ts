import * as l10n from '@vscode/l10n';
import {
  type CodeAction,
  CodeActionKind,
  type Command,
  type Diagnostic,
  type TextEdit,
} from 'vscode-languageserver/node';
import type { SourceHunk } from '../core/diff/types.ts';
import { hunkAt, revertedHunk } from '../core/findings/fixes/revert.ts';
import type { Fix } from '../core/findings/types.ts';
import { clientCommands } from '../protocol.ts';
import { diffLines } from '../shell/lineDiff.ts';
import { type DiagnosticData, SOURCE } from './diagnostics.ts';
import { pathOf, uriOf } from './documents.ts';
import { sourceFixes } from './fixes.ts';
import type { Model } from './model.ts';

/** What a code action that is worked out only when chosen needs. */
interface Pending {
  readonly revert: { readonly uri: string; readonly line: number };
}

const wordOr = (value: string | number | undefined, fallback: string): string =>
  value === undefined ? fallback : String(value);

/** Inserts `text` as whole lines in front of a line (from 1), or at a column of it. */
function insertion(model: Model, fix: Fix): CodeAction['edit'] | undefined {
  const { file, line, column, text: inserted } = fix.data;
  if (typeof file !== 'string' || typeof line !== 'number' || typeof inserted !== 'string') return undefined;
  const position = { line: line - 1, character: typeof column === 'number' ? column - 1 : 0 };
  const present = model.documents.line(file, position.line);
  if (present.includes(inserted.trim())) return undefined;
  return { changes: { [uriOf(file)]: [{ range: { start: position, end: position }, newText: inserted }] } };
}

function ofFix(model: Model, fix: Fix, data: DiagnosticData, uri: string, line: number): CodeAction | undefined {
  const run = (command: string, argument: unknown): Command => ({ title: fix.title, command, arguments: [argument] });
  switch (fix.kind) {
    case 'leave-out':
      return {
        title: fix.title,
        command: run(clientCommands.leaveOut, { name: wordOr(fix.data.function ?? fix.data.name, data.symbol) }),
      };
    case 'open-docs':
      return { title: fix.title, command: run(clientCommands.openDocs, { code: wordOr(fix.data.code, data.code) }) };
    case 'insert-text': {
      const edit = insertion(model, fix);
      return edit ? { title: fix.title, edit } : undefined;
    }
    case 'revert-hunk': {
      const file = typeof fix.data.file === 'string' ? fix.data.file : undefined;
      const at = typeof fix.data.line === 'number' ? fix.data.line - 1 : line;
      return { title: fix.title, data: { revert: { uri: file ? uriOf(file) : uri, line: at } } satisfies Pending };
    }
    case 'command':
      return typeof fix.data.command === 'string'
        ? { title: fix.title, command: { title: fix.title, command: fix.data.command, arguments: [fix.data] } }
        : undefined;
  }
}

/** Quick fixes of one diagnostic: those of the finding, then what can always be done about it. */
function ofDiagnostic(model: Model, diagnostic: Diagnostic, uri: string): CodeAction[] {
  const data = diagnostic.data as DiagnosticData | undefined;
  if (diagnostic.source !== SOURCE || !data?.code) return [];
  const line = diagnostic.range.start.line;
  const actions: CodeAction[] = [
    ...sourceFixes(model, data),
    ...data.fixes.flatMap((fix) => ofFix(model, fix, data, uri, line) ?? []),
  ];
  const has = (kind: Fix['kind']): boolean => data.fixes.some((fix) => fix.kind === kind);
  if (!has('revert-hunk'))
    actions.push({
      title: l10n.t('Undo this edit (back to the baseline)'),
      data: { revert: { uri, line } } satisfies Pending,
    });
  if (data.severity === 'blocker' && !data.accepted) {
    const argument = { code: data.code, symbol: data.symbol, message: data.message };
    actions.push(
      data.overridden
        ? {
            title: l10n.t('Withdraw the override of {0}', data.code),
            command: { title: l10n.t('Withdraw'), command: clientCommands.dropOverride, arguments: [argument] },
          }
        : {
            title: l10n.t('Override {0} with a written reason…', data.code),
            command: { title: l10n.t('Override'), command: clientCommands.override, arguments: [argument] },
          },
    );
  }
  if (data.severity !== 'note') {
    const argument = { code: data.code, symbol: data.symbol, message: data.message };
    const title = data.accepted
      ? l10n.t('Take back the acceptance of {0}', data.code)
      : l10n.t('Accept {0} with a reason, kept in livepatch.json…', data.code);
    const command = data.accepted ? clientCommands.dropOverride : clientCommands.override;
    actions.push({ title, command: { title, command, arguments: [{ ...argument, keep: true }] } });
  }
  if (!has('open-docs')) {
    const title = l10n.t('Explain {0}', data.code);
    actions.push({ title, command: { title, command: clientCommands.openDocs, arguments: [{ code: data.code }] } });
  }
  return actions.map((action) => ({ ...action, kind: CodeActionKind.QuickFix, diagnostics: [diagnostic] }));
}

/** Quick fixes for our own diagnostics among those given. */
export function codeActions(model: Model, uri: string, diagnostics: readonly Diagnostic[]): CodeAction[] {
  return diagnostics.flatMap((diagnostic) => ofDiagnostic(model, diagnostic, uri));
}

/** The edit that puts one hunk of `now` back to what `base` has. Hunks count lines from 1. */
export function undoHunk(base: string, now: string, hunk: SourceHunk): TextEdit {
  const { start, end, text } = revertedHunk('', base.split('\n'), now.split('\n'), hunk);
  return {
    range: {
      start: { line: start.line - 1, character: start.column - 1 },
      end: { line: end.line - 1, character: end.column - 1 },
    },
    newText: text,
  };
}

/** Works out an action that was chosen: the text of the baseline is fetched only now. */
export async function resolveCodeAction(model: Model, action: CodeAction): Promise<CodeAction> {
  const pending = (action.data as Pending | undefined)?.revert;
  const path = pending && pathOf(pending.uri);
  if (!path || !model.session) return action;
  const [base, now] = [await model.session.baseText(path), model.documents.text(path)];
  if (base === undefined || now === undefined) return action;
  const hunk = hunkAt(diffLines(base, now), pending.line + 1);
  return hunk ? { ...action, edit: { changes: { [pending.uri]: [undoHunk(base, now, hunk)] } } } : action;
}
