import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import {
  api,
  codeOf,
  EXTENSION,
  find,
  findings,
  needsPage,
  open,
  page,
  replace,
  reset,
  settled,
  until,
} from './support.ts';

const HEADER = 'src/quote.h';
const QUOTE = 'src/quote.c';

const configuration = (): vscode.WorkspaceConfiguration => vscode.workspace.getConfiguration('livepatch');

/** Labels of the inlay hints of a whole document. */
async function hints(document: vscode.TextDocument): Promise<{ line: number; label: string }[]> {
  const list = await vscode.commands.executeCommand<vscode.InlayHint[]>(
    'vscode.executeInlayHintProvider',
    document.uri,
    new vscode.Range(0, 0, document.lineCount, 0),
  );
  return list.map(({ position, label }) => ({
    line: position.line,
    label: typeof label === 'string' ? label : label.map((part) => part.value).join(''),
  }));
}

/** What a user of VS Code expects of any extension. */
describe('manners', () => {
  beforeEach(reset);
  after(async () => {
    await configuration().update('inlayHints', undefined, vscode.ConfigurationTarget.Workspace);
    await reset();
  });

  it('shows offsets and sizes as inlay hints, once the setting says so', async function () {
    this.timeout(90_000);
    const { document: source } = await open(QUOTE);
    const editor = await open(HEADER);
    await replace(editor, '\tlong open;', '\tlong volume;\n\tlong open;');
    await editor.document.save();
    await settled('blocked', (state) => state.verdict === 'blocked', 60_000);
    assert.deepEqual(await hints(editor.document), [], 'off at first');
    await configuration().update('inlayHints', true, vscode.ConfigurationTarget.Workspace);
    const list = await until('hints', async () => {
      const found = await hints(editor.document);
      return found.length > 0 && found;
    });
    const at = (text: string): string[] =>
      list.filter((each) => each.line === find(editor.document, text).line).map((each) => each.label);
    assert.deepEqual(at('long price;'), ['offset 16 → 24']);
    assert.deepEqual(at('long volume;'), ['new at 8']);
    const sizes = await hints(source);
    assert.ok(
      sizes.some(({ line, label }) => line === find(source, 'int quote_line').line && /^\d+ → \d+ bytes$/.test(label)),
      JSON.stringify(sizes),
    );
    await configuration().update('inlayHints', undefined, vscode.ConfigurationTarget.Workspace);
    await until('no hints', async () => (await hints(editor.document)).length === 0);
  });

  it('keeps its compile errors back where another extension marks the line', async function () {
    this.timeout(90_000);
    const editor = await open(QUOTE);
    const line = find(editor.document, 'long moved = change(quote);').line;
    const ours = () =>
      findings(editor.document.uri).filter(
        (each) => codeOf(each) === 'compile-error' && each.range.start.line === line,
      );
    await replace(editor, 'long moved = change(quote);', 'long moved = change(quote;');
    await editor.document.save();
    const [error] = await until('our mark', () => ours().length > 0 && ours(), 30_000);
    assert.ok(error);
    const others = vscode.languages.createDiagnosticCollection('another-extension');
    try {
      others.set(editor.document.uri, [new vscode.Diagnostic(error.range, 'expected )')]);
      await until('ours is gone', () => ours().length === 0);
      others.clear();
      await until('ours is back', () => ours().length > 0);
      others.set(editor.document.uri, [new vscode.Diagnostic(new vscode.Range(0, 0, 0, 1), 'elsewhere')]);
      await new Promise((resolve) => setTimeout(resolve, 300));
      assert.ok(ours().length > 0, 'an error on another line takes nothing away');
    } finally {
      others.dispose();
    }
  });

  it('fades findings that are stale', async function () {
    this.timeout(90_000);
    const editor = await open(QUOTE);
    const finding = () => findings(editor.document.uri).find((each) => codeOf(each) === 'data-init-changed');
    await replace(editor, 'alarm_threshold = 200', 'alarm_threshold = 100');
    await editor.document.save();
    const fresh = await until('the finding', finding, 30_000);
    assert.ok(!fresh.tags?.includes(vscode.DiagnosticTag.Unnecessary));
    await replace(editor, 'long moved = change(quote);', 'long moved = change(quote;');
    await editor.document.save();
    await until('it is faded', () => finding()?.tags?.includes(vscode.DiagnosticTag.Unnecessary), 30_000);
    if (!page.available) return;
    await vscode.window.showTextDocument(editor.document);
    await until('it is drawn so', () =>
      page.evaluate<boolean>("document.querySelector('.squiggly-inline-unnecessary') !== null"),
    );
  });

  it('lists a finding of a header once, however many units tell of it', async function () {
    needsPage(this);
    this.timeout(90_000);
    await open(QUOTE);
    const editor = await open(HEADER);
    await replace(editor, '\tlong open;', '\tlong volume;\n\tlong open;');
    await editor.document.save();
    const state = await settled(
      'several units tell of it',
      (each) =>
        each.units.filter((unit) => unit.findings.some((finding) => finding.code === 'struct-layout')).length > 1,
      60_000,
    );
    assert.ok(state.units.length > 1);
    await vscode.commands.executeCommand('livepatch.patch.focus');
    await page.text('.monaco-list-row', /struct-layout: .*quote/);
    const rows = await page.texts('.monaco-list-row');
    assert.equal(rows.filter((text) => /struct-layout: .*quote/.test(text)).length, 1, rows.join('\n'));
    assert.ok(
      rows.some((text) => /quote\.h/.test(text)),
      rows.join('\n'),
    );
  });

  it('has a walkthrough whose every button does something', async function () {
    this.timeout(60_000);
    await api();
    const manifest = vscode.extensions.getExtension(EXTENSION)?.packageJSON;
    const known = new Set(await vscode.commands.getCommands());
    const steps: { description: string }[] = manifest.contributes.walkthroughs[0].steps;
    const named = steps.flatMap((step) =>
      [...step.description.matchAll(/\(command:([\w.]+)/g)].map((match) => match[1]!),
    );
    assert.ok(named.length >= 4, named.join(' '));
    for (const name of named) assert.ok(known.has(name), `${name} is a command`);
    const welcome: { contents: string }[] = manifest.contributes.viewsWelcome;
    for (const { contents } of welcome)
      for (const [, name] of contents.matchAll(/\(command:([\w.]+)/g))
        assert.ok(known.has(name!), `${name} is a command`);
    if (!page.available) return;
    await vscode.commands.executeCommand('livepatch.openWalkthrough');
    await page.text(
      '.getting-started-step, .step-title, .getting-started-category, .gettingStartedContainer',
      /Say how the project is built/,
    );
    await page.click('.gettingStartedContainer .monaco-button', 'Open livepatch.json');
    await until('livepatch.json', () =>
      /livepatch\.json$/.test(vscode.window.activeTextEditor?.document.fileName ?? ''),
    );
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
  });
});
