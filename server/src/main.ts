import * as l10n from '@vscode/l10n';
import {
  type CancellationToken,
  CodeActionKind,
  createConnection,
  type InitializeParams,
  type InitializeResult,
  ProposedFeatures,
  TextDocumentSyncKind,
  TextDocuments,
} from 'vscode-languageserver/node';
import { TextDocument } from 'vscode-languageserver-textdocument';
import { Actions } from './lsp/actions.ts';
import { codeActions, resolveCodeAction } from './lsp/codeActions.ts';
import { codeLenses } from './lsp/codeLens.ts';
import { dataAt, dataDocument } from './lsp/dataContent.ts';
import { pathOf } from './lsp/documents.ts';
import { hookEdit } from './lsp/hookEdit.ts';
import { functionAtPlace, functionPlaces, hoverAt } from './lsp/hover.ts';
import { inlayHints } from './lsp/inlay.ts';
import { Keeper } from './lsp/keeper.ts';
import { layoutDocument, typeAt } from './lsp/layoutContent.ts';
import { speak } from './lsp/pageWords.ts';
import { exportReport, overviewPage, picturePage } from './lsp/report.ts';
import { asmDocument, asmHover } from './lsp/textContent.ts';
import * as protocol from './protocol.ts';
import { vmStates } from './vm/states.ts';

/**
 * Entry of the language server: wires the connection to the keeper (sessions, documents, publishing), the views and the actions.
 * Holds nothing itself.
 */
const connection = createConnection(ProposedFeatures.all);
const documents = new TextDocuments(TextDocument);
const keeper = new Keeper(connection);
const actions = new Actions(keeper);
const { model } = keeper;

/** Registers a custom request under its typed name. */
function onRequest<Params, Result>(
  { method }: protocol.Method<Params, Result>,
  handle: (params: Params, token: CancellationToken) => Result | Promise<Result>,
): void {
  connection.onRequest(method, (params: unknown, token: CancellationToken): unknown => handle(params as Params, token));
}

/** Custom requests whose outcome is a message to the user: what goes wrong becomes one, too. */
function onAction<Params>(
  method: protocol.Method<Params, protocol.ActionResult>,
  handle: (params: Params, signal: AbortSignal) => Promise<protocol.ActionResult>,
): void {
  onRequest(method, async (params, token) => {
    const abort = new AbortController();
    token.onCancellationRequested(() => abort.abort());
    try {
      return await handle(params, abort.signal);
    } catch (error) {
      if (abort.signal.aborted) return { ok: false, message: l10n.t('Cancelled.') };
      keeper.say('error', error instanceof Error ? (error.stack ?? error.message) : String(error));
      return { ok: false, message: error instanceof Error ? error.message : String(error) };
    }
  });
}

connection.onInitialize((params: InitializeParams): InitializeResult => {
  const { texts, language } = params.initializationOptions as protocol.ServerOptions;
  if (texts) {
    l10n.config({ contents: texts });
    speak(language ?? 'en');
  }
  const folder = params.workspaceFolders?.[0]?.uri ?? params.rootUri ?? undefined;
  keeper.configure(
    folder === undefined ? undefined : pathOf(folder),
    params.initializationOptions as protocol.ServerOptions,
  );
  return {
    capabilities: {
      textDocumentSync: { openClose: true, change: TextDocumentSyncKind.Incremental, save: { includeText: false } },
      hoverProvider: true,
      codeLensProvider: { resolveProvider: false },
      codeActionProvider: { codeActionKinds: [CodeActionKind.QuickFix], resolveProvider: true },
      inlayHintProvider: true,
    },
    serverInfo: { name: 'livepatch-author' },
  };
});
connection.onInitialized(() => keeper.start());
connection.onShutdown(() => keeper.stop());

documents.onDidOpen(({ document }) => keeper.opened(document.uri, document.getText()));
documents.onDidChangeContent(({ document }) => keeper.changed(document.uri, document.getText()));
documents.onDidSave(({ document }) => keeper.saved(document.uri, document.getText()));
documents.onDidClose(({ document }) => keeper.closed(document.uri));
connection.onDidChangeWatchedFiles(({ changes }) => keeper.filesChanged(changes.map((change) => change.uri)));

connection.onHover(({ textDocument, position }) => hoverAt(model, textDocument.uri, position));
connection.onCodeLens(({ textDocument }) => {
  const path = pathOf(textDocument.uri);
  return path && model.settings.codeLens ? codeLenses(model, path) : [];
});
connection.onCodeAction(({ textDocument, context }) => codeActions(model, textDocument.uri, context.diagnostics));
connection.onCodeActionResolve((action) => resolveCodeAction(model, action));
connection.languages.inlayHint.on(({ textDocument, range }) => {
  const path = pathOf(textDocument.uri);
  return path ? inlayHints(model, path, range) : [];
});

onRequest(protocol.getState, () => keeper.state());
onRequest(protocol.asmText, (subject) => asmDocument(model, subject));
onRequest(protocol.asmHover, (subject) => asmHover(model, subject, subject.line));
onRequest(protocol.lastBuilt, async () => {
  await keeper.session();
  return model.built ? { id: model.built.id } : null;
});
onRequest(protocol.layoutText, (subject) => layoutDocument(model, subject));
onRequest(protocol.dataText, (subject) => dataDocument(model, subject));
onRequest(protocol.dataAt, ({ uri, line, character }) => dataAt(model, uri, { line, character }));
onRequest(protocol.layoutPicture, (subject) => picturePage(model, subject));
onRequest(protocol.overview, ({ reviewed }) => overviewPage(keeper, reviewed));
onRequest(protocol.exportReport, (params) => exportReport(keeper, params));
onRequest(protocol.typeAt, ({ uri, line, character }) => typeAt(model, uri, { line, character }));
onRequest(protocol.functionPlaces, ({ names }) => functionPlaces(model, names));
onRequest(protocol.functionAt, ({ uri, line, character }) => functionAtPlace(model, uri, { line, character }));
onRequest(protocol.checkNow, () => keeper.checkNow());
onRequest(protocol.cancelBuild, () => keeper.cancel());
onRequest(protocol.vms, () => vmStates());
onRequest(protocol.targets, () => actions.targets());
onAction(protocol.acceptFinding, (params) => actions.accept(params));
onAction(protocol.buildPatch, (params, signal) => actions.build(params, signal));
onAction(protocol.applyPatch, ({ file, target }, signal) => actions.apply(file, target, signal));
onAction(protocol.revertPatch, ({ target, id }, signal) => actions.revert(target, id, signal));
onRequest(protocol.hookEdit, (params) => hookEdit(model, params));
onAction(protocol.xenAction, (request, signal) => actions.xen(request, signal));
onAction(protocol.inspectPatch, ({ file }) => actions.inspect(file));
onAction(protocol.clearCache, () => actions.clearCache());
connection.onNotification(protocol.setChoices.method, (choices: protocol.Choices) => keeper.setChoices(choices));
connection.onNotification(protocol.setSettings.method, (settings: protocol.ServerSettings) =>
  keeper.setSettings(settings),
);
connection.onNotification(protocol.setTrust.method, ({ trusted }: { trusted: boolean }) => keeper.setTrust(trusted));

process.on('unhandledRejection', (error) =>
  keeper.say('error', `unhandled: ${error instanceof Error ? error.stack : String(error)}`),
);
documents.listen(connection);
connection.listen();
