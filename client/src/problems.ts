import { type Diagnostic, DiagnosticSeverity, type Disposable, languages, Uri, workspace } from 'vscode';
import { section, settings } from './names.ts';

type Publish = (uri: Uri, diagnostics: Diagnostic[]) => void;

/** Code of the compiler's own messages among our diagnostics. */
const COMPILE_ERROR = 'compile-error';

const isCompileError = (one: Diagnostic): boolean =>
  one.source === section && (typeof one.code === 'object' ? one.code.value : one.code) === COMPILE_ERROR;

/**
 * Keeps the compiler's messages from appearing twice: where another extension already marks an error on a line, ours stays
 * away from that line (setting `livepatch.compileErrors`). Findings are never held back.
 */
export class CompileErrors implements Disposable {
  readonly #received = new Map<
    string,
    { readonly list: readonly Diagnostic[]; readonly publish: Publish; shown: number }
  >();
  readonly #watching: Disposable[];

  constructor() {
    this.#watching = [
      languages.onDidChangeDiagnostics(({ uris }) => {
        for (const uri of uris) this.#refresh(uri);
      }),
      workspace.onDidChangeConfiguration((change) => {
        if (!change.affectsConfiguration(`${section}.${settings.compileErrors}`)) return;
        for (const uri of this.#received.keys()) this.#refresh(Uri.parse(uri));
      }),
    ];
  }

  publish(uri: Uri, list: readonly Diagnostic[], publish: Publish): void {
    const kept = this.#choose(uri, list);
    this.#received.set(uri.toString(), { list, publish, shown: kept.length });
    publish(uri, kept);
  }

  #refresh(uri: Uri): void {
    const known = this.#received.get(uri.toString());
    if (!known?.list.some(isCompileError)) return;
    const kept = this.#choose(uri, known.list);
    if (kept.length === known.shown) return;
    known.shown = kept.length;
    known.publish(uri, kept);
  }

  #choose(uri: Uri, list: readonly Diagnostic[]): Diagnostic[] {
    const mode = workspace.getConfiguration(section, uri).get<string>(settings.compileErrors, 'auto');
    if (mode === 'always') return [...list];
    if (mode === 'never') return list.filter((one) => !isCompileError(one));
    const taken = new Set(
      languages
        .getDiagnostics(uri)
        .filter((one) => one.source !== section && one.severity === DiagnosticSeverity.Error)
        .map((one) => one.range.start.line),
    );
    return list.filter((one) => !isCompileError(one) || !taken.has(one.range.start.line));
  }

  dispose(): void {
    for (const each of this.#watching) each.dispose();
  }
}
