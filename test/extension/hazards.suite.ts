import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import {
  api,
  codeOf,
  find,
  findings,
  functionsOf,
  hoverText,
  needsPage,
  open,
  page,
  replace,
  reset,
  settled,
  until,
  uriOf,
} from './support.ts';

const HEADER = 'src/quote.h';
const QUOTE = 'src/quote.c';

async function fixes(uri: vscode.Uri, range: vscode.Range): Promise<vscode.CodeAction[]> {
  return vscode.commands.executeCommand<vscode.CodeAction[]>(
    'vscode.executeCodeActionProvider',
    uri,
    range,
    vscode.CodeActionKind.QuickFix.value,
    20,
  );
}

/** What a running program cannot take is said at the place that causes it. */
describe('an edit that the running program cannot take', () => {
  beforeEach(reset);
  after(reset);

  it('blocks a field in front of others, inline in the header, and names who keeps old instances', async function () {
    this.timeout(90_000);
    await open(QUOTE);
    const editor = await open(HEADER);
    await replace(editor, '\tlong open;', '\tlong volume;\n\tlong open;');
    await editor.document.save();
    await settled('blocked', (state) => state.verdict === 'blocked', 60_000);
    const uri = uriOf(HEADER);
    const found = await until('struct-layout', () => findings(uri).find((each) => codeOf(each) === 'struct-layout'));
    assert.equal(found.severity, vscode.DiagnosticSeverity.Error);
    assert.match(found.message, /quote/);
    const lines = editor.document.getText(found.range);
    assert.match(lines, /volume|open|quote/);
    const type = await hoverText(uri, find(editor.document, 'struct quote {', 8));
    assert.match(type, /struct quote/);
    assert.match(type, /32 → 40 bytes/);
    const member = await hoverText(uri, find(editor.document, 'long price;', 6));
    assert.match(member, /offset \| 16 \| 24/);
    if (!page.available) return;
    await vscode.window.showTextDocument(uri);
    await until('the squiggle', () => page.evaluate<number>("document.querySelectorAll('.squiggly-error').length"));
    await until('the status bar', async () =>
      (await page.texts('.statusbar-item')).some((text) => /Live Patch: \d+ blocker/.test(text)),
    );
  });

  it('says it where it is seen: hover, view and problems', async function () {
    needsPage(this);
    this.timeout(90_000);
    const editor = await open(HEADER);
    await open(QUOTE);
    await vscode.window.showTextDocument(editor.document);
    await replace(editor, '\tlong open;', '\tlong volume;\n\tlong open;');
    await editor.document.save();
    await settled('blocked', (state) => state.verdict === 'blocked', 60_000);
    await vscode.commands.executeCommand('livepatch.patch.focus');
    await until('the view lists blockers', async () =>
      (await page.texts('.monaco-list-row')).some((text) => /struct-layout/.test(text)),
    );
    await until('the view lists units', async () =>
      (await page.texts('.monaco-list-row')).some((text) => /market\.c/.test(text)),
    );
    await vscode.window.showTextDocument(uriOf(HEADER));
    const found = await until('struct-layout', () =>
      findings(uriOf(HEADER)).find((each) => codeOf(each) === 'struct-layout'),
    );
    const active = vscode.window.activeTextEditor!;
    active.selection = new vscode.Selection(found.range.start, found.range.start);
    await vscode.commands.executeCommand('editor.action.showHover');
    await until('the hover', async () =>
      (await page.texts('.monaco-hover')).some((text) => /struct-layout/.test(text)),
    );
    await page.shot('warning');
    await page.shot('walkthrough/edit', { x: 352, y: 68, width: 870, height: 490 });
    await page.press('Escape');
  });

  it('offers to take the edit back, and the code is the same again', async function () {
    this.timeout(90_000);
    const editor = await open(QUOTE);
    await replace(editor, 'alarm_threshold = 200', 'alarm_threshold = 100');
    await editor.document.save();
    const found = await until(
      'data-init-changed',
      () => findings(editor.document.uri).find((each) => codeOf(each) === 'data-init-changed'),
      30_000,
    );
    const actions = await fixes(editor.document.uri, found.range);
    const undo = actions.find((each) => /baseline|Take back/.test(each.title));
    assert.ok(undo?.edit, actions.map((each) => each.title).join('; '));
    await vscode.workspace.applyEdit(undo.edit);
    assert.match(editor.document.getText(), /alarm_threshold = 200/);
    await editor.document.save();
    await until('the finding is gone', () => findings(editor.document.uri).length === 0);
  });

  it('lets a blocker be overridden only with a written reason', async function () {
    needsPage(this);
    this.timeout(90_000);
    const editor = await open(QUOTE);
    await replace(editor, 'alarm_threshold = 200', 'alarm_threshold = 100');
    await editor.document.save();
    const find = () => findings(editor.document.uri).find((each) => codeOf(each) === 'data-init-changed');
    const found = await until('data-init-changed', find, 30_000);
    assert.equal(found.severity, vscode.DiagnosticSeverity.Error);
    const action = (await fixes(editor.document.uri, found.range)).find((each) => /Override/.test(each.title));
    assert.ok(action?.command);
    const done = vscode.commands.executeCommand(action.command.command, ...(action.command.arguments ?? []));
    await until('the question', () =>
      page.evaluate<boolean>("getComputedStyle(document.querySelector('.quick-input-widget')).display !== 'none'"),
    );
    await page.type('short');
    await page.press('Enter');
    assert.equal(find()?.severity, vscode.DiagnosticSeverity.Error);
    await page.type(' of it: only new alarms matter');
    await page.press('Enter');
    await done;
    await until('it is no error any more', () => find()?.severity === vscode.DiagnosticSeverity.Information);
    assert.match(find()?.message ?? '', /only new alarms matter/);
    const [{ code, symbol }] = action.command.arguments as [{ code: string; symbol: string }];
    await vscode.commands.executeCommand('livepatch.dropOverride', { code, symbol });
    await until('it is an error again', () => find()?.severity === vscode.DiagnosticSeverity.Error);
  });

  it('keeps the last good findings, marked stale, while the file does not compile', async function () {
    this.timeout(90_000);
    const editor = await open(QUOTE);
    await replace(editor, 'alarm_threshold = 200', 'alarm_threshold = 100');
    await editor.document.save();
    await until(
      'the finding',
      () => findings(editor.document.uri).some((each) => codeOf(each) === 'data-init-changed'),
      30_000,
    );
    await replace(editor, 'long moved = change(quote);', 'long moved = change(quote;');
    await editor.document.save();
    const error = await until(
      'the compile error',
      () => findings(editor.document.uri).find((each) => codeOf(each) === 'compile-error'),
      30_000,
    );
    assert.equal(error.range.start.line, find(editor.document, 'long moved').line);
    assert.equal(error.severity, vscode.DiagnosticSeverity.Error);
    const stale = findings(editor.document.uri).find((each) => codeOf(each) === 'data-init-changed');
    assert.match(stale?.message ?? '', /^\(stale\) /);
    await replace(editor, 'long moved = change(quote;', 'long moved = change(quote);');
    await editor.document.save();
    await until(
      'the error is gone',
      () => !findings(editor.document.uri).some((each) => codeOf(each) === 'compile-error'),
      30_000,
    );
    await until(
      'nothing is stale',
      () => !findings(editor.document.uri).some((each) => /\(stale\)/.test(each.message)),
    );
  });

  it('rebuilds every unit that includes an edited header, and says which stayed the same', async function () {
    this.timeout(90_000);
    await open(QUOTE);
    const editor = await open(HEADER);
    await replace(
      editor,
      '/* One line of the board.',
      '#define QUOTE_SIZE sizeof(struct quote)\n/* One line of the board.',
    );
    await editor.document.save();
    const state = await settled(
      'all units are known',
      (each) => each.units.filter((unit) => unit.phase === 'ready').length >= 4,
      60_000,
    );
    const names = state.units.filter((unit) => unit.unchanged).map((unit) => unit.file.split('/').pop());
    for (const name of ['quote.c', 'market.c', 'server.c', 'main.c'])
      assert.ok(names.includes(name), `${name} of ${names.join(' ')}`);
    assert.equal(functionsOf(state).length, 0);
  });

  it('drops neither of two saves in a row', async function () {
    this.timeout(90_000);
    const editor = await open(QUOTE);
    await replace(editor, '/ quote->open * 10000', '/ quote->open * 20000');
    await editor.document.save();
    await replace(editor, '/ quote->open * 20000', '/ quote->open * 30000');
    await editor.document.save();
    await settled('the second save counts', (state) => functionsOf(state).length > 0, 30_000);
    const item = functionsOf((await api()).state())[0]!;
    const text = await until('the listing of the newest code', async () => {
      await vscode.commands.executeCommand('livepatch.reviewFunction', { unit: item.unit, name: item.name });
      const { input } = vscode.window.tabGroups.activeTabGroup.activeTab ?? {};
      if (!(input instanceof vscode.TabInputTextDiff)) return undefined;
      const document = await vscode.workspace.openTextDocument(input.modified);
      return /0x7530/.test(document.getText()) && document.getText();
    });
    assert.doesNotMatch(text, /0x4e20/);
  });
});
