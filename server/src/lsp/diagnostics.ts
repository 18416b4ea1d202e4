import * as l10n from '@vscode/l10n';
import {
  type Diagnostic,
  type DiagnosticRelatedInformation,
  DiagnosticSeverity,
  DiagnosticTag,
} from 'vscode-languageserver/node';
import type { Finding, Fix } from '../core/findings/types.ts';
import type { CompileError, UnitState } from '../shell/types.ts';
import { type Model, plainName } from './model.ts';

export const SOURCE = 'livepatch';
export const COMPILE_ERROR = 'compile-error';

/** What a quick fix needs to know, carried by the diagnostic. */
export interface DiagnosticData {
  readonly code: string;
  readonly severity: Finding['severity'];
  readonly symbol: string;
  readonly message: string;
  readonly fixes: readonly Fix[];
  readonly overridden: boolean;
  /** In livepatch.json, for this evidence. */
  readonly accepted: boolean;
  readonly unit: string;
}

const SEVERITY = {
  blocker: DiagnosticSeverity.Error,
  review: DiagnosticSeverity.Warning,
  note: DiagnosticSeverity.Information,
} as const;

const COMPILER_SEVERITY = {
  error: DiagnosticSeverity.Error,
  warning: DiagnosticSeverity.Warning,
  note: DiagnosticSeverity.Information,
} as const;

/** The word of a symbol that a line of source would hold: the last field of `struct foo.bar`, the tag of `struct foo`. */
const sourceWord = (symbol: string): string => plainName(symbol).split(/[\s.]/).pop() ?? symbol;

function ofFinding(model: Model, state: UnitState, finding: Finding): { path: string; diagnostic: Diagnostic } {
  const at = finding.at ?? functionPlace(state, finding.symbol);
  const path = at?.file || state.unit.command.file;
  const range = at?.file ? model.range(state, at, sourceWord(finding.symbol)) : model.rangeIn(path, 0);
  const override = finding.severity === 'blocker' ? model.overrideOf(finding) : undefined;
  const reason = override ?? finding.accepted;
  const related = finding.related.flatMap((each): DiagnosticRelatedInformation[] =>
    each.at?.file
      ? [{ location: { uri: model.uri(each.at.file), range: model.range(state, each.at) }, message: each.message }]
      : [],
  );
  const loose = finding.related.filter((each) => !each.at?.file).map((each) => each.message);
  const data: DiagnosticData = {
    code: finding.code,
    severity: finding.severity,
    symbol: finding.symbol,
    message: finding.message,
    fixes: finding.fixes,
    overridden: override !== undefined,
    accepted: finding.accepted !== undefined,
    unit: state.unit.id,
  };
  const decided = override === undefined ? l10n.t('Accepted: {0}', reason ?? '') : l10n.t('Overridden: {0}', override);
  const message = [
    `${state.stale ? `(${l10n.t('stale')}) ` : ''}${finding.message}`,
    ...loose,
    ...(reason === undefined ? [] : [decided]),
    ...(finding.outdated === undefined
      ? []
      : [l10n.t('Was accepted ({0}), but the evidence is another now: judge it anew.', finding.outdated)]),
  ].join('\n');
  return {
    path,
    diagnostic: {
      range,
      severity: reason === undefined ? SEVERITY[finding.severity] : DiagnosticSeverity.Information,
      code: finding.code,
      codeDescription: { href: `${model.docs}/${finding.code}.md` },
      source: SOURCE,
      message,
      // Drawn faded: what it speaks of is not the text that stands there now.
      ...(state.stale ? { tags: [DiagnosticTag.Unnecessary] } : {}),
      ...(related.length > 0 ? { relatedInformation: related } : {}),
      data,
    },
  };
}

/** Where a finding without a place belongs: the definition of the function that it names. */
function functionPlace(state: UnitState, symbol: string) {
  return state.result?.diff.functions.find((each) => each.name === symbol)?.at;
}

/** The compiler's errors and warnings; notes are related information of the message before them. */
function* ofCompiler(
  model: Model,
  errors: readonly CompileError[],
): Generator<{ path: string; diagnostic: Diagnostic }> {
  for (let index = 0; index < errors.length; index++) {
    const error = errors[index]!;
    if (error.severity === 'note' && index > 0) continue;
    const related: DiagnosticRelatedInformation[] = [];
    while (errors[index + 1]?.severity === 'note') {
      const note = errors[++index]!;
      related.push({
        location: { uri: model.uri(note.at.file), range: model.rangeIn(note.at.file, note.at.line - 1, note.at) },
        message: note.message,
      });
    }
    yield {
      path: error.at.file,
      diagnostic: {
        range: model.rangeIn(error.at.file, error.at.line - 1, error.at),
        severity: COMPILER_SEVERITY[error.severity],
        code: COMPILE_ERROR,
        source: SOURCE,
        message: error.message,
        ...(related.length > 0 ? { relatedInformation: related } : {}),
      },
    };
  }
}

/** A unit that cannot be built at all says so on its first line. */
function ofFailure(model: Model, state: UnitState): { path: string; diagnostic: Diagnostic } {
  const path = state.unit.command.file;
  return {
    path,
    diagnostic: {
      range: model.rangeIn(path, 0),
      severity: DiagnosticSeverity.Warning,
      code: 'build-failed',
      source: SOURCE,
      message: state.message ?? l10n.t('The unit could not be built; see the output channel “Live Patch”.'),
    },
  };
}

/** All diagnostics by path of the file that they belong to. Units that share a header tell the same thing once. */
export function diagnosticsOf(model: Model): Map<string, Diagnostic[]> {
  const byFile = new Map<string, Map<string, Diagnostic>>();
  const add = ({ path: built, diagnostic }: { path: string; diagnostic: Diagnostic }): void => {
    const path = model.documents.spelling(built);
    const list = byFile.get(path) ?? new Map<string, Diagnostic>();
    byFile.set(path, list);
    const { start } = diagnostic.range;
    const key = `${start.line} ${start.character} ${diagnostic.code} ${diagnostic.message}`;
    if (!list.has(key)) list.set(key, diagnostic);
  };
  for (const state of model.units) {
    for (const finding of state.result?.findings ?? []) add(ofFinding(model, state, finding));
    if (state.phase === 'compileError') for (const each of ofCompiler(model, state.errors)) add(each);
    if (state.phase === 'failed') add(ofFailure(model, state));
  }
  return new Map([...byFile].map(([path, list]) => [path, [...list.values()]]));
}
