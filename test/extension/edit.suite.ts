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

const QUOTE = 'src/quote.c';
const FROM = '(quote->price - quote->open) / quote->open * 10000';
const TO = '(quote->price - quote->open) * 10000 / quote->open';

/** The main job's first half: edit a function, see at once what became of the machine code. */
describe('an edit of a function', () => {
  before(async function () {
    this.timeout(90_000);
    await reset();
    const editor = await open(QUOTE);
    await api();
    await settled('the folder is at rest', (state) => state.root !== '');
    await replace(editor, FROM, TO);
    await editor.document.save();
    await settled('functions changed', (state) => functionsOf(state).length > 0, 60_000);
  });
  after(reset);

  it('lists the functions whose code changed, and no other', async () => {
    const state = await settled('functions', (each) => functionsOf(each).length > 0);
    const names = functionsOf(state).map((each) => each.name);
    assert.deepEqual(names.sort(), ['quote_alarm', 'quote_line']);
    assert.equal(state.verdict, 'patchable');
    for (const each of functionsOf(state)) {
      assert.equal(each.status, 'changed');
      assert.ok(each.baseInstructions > 0 && each.nextInstructions > 0 && each.baseSize > 0 && each.nextSize > 0);
      assert.ok(
        each.reasons.some((reason) => /inlined/.test(reason) && /change/.test(reason)),
        each.reasons.join('; '),
      );
    }
  });

  it('says that the change arrived by inlining, on the edited file, with a link and related places', async () => {
    const uri = uriOf(QUOTE);
    const [found] = await until('inline-widened', () => {
      const list = findings(uri).filter((each) => codeOf(each) === 'inline-widened');
      return list.length > 0 && list;
    });
    assert.equal(found?.severity, vscode.DiagnosticSeverity.Warning);
    assert.ok(typeof found?.code === 'object' && found.code.target.path.endsWith('docs/hazards/inline-widened.md'));
    await vscode.workspace.fs.stat(vscode.Uri.file((found.code as { target: vscode.Uri }).target.fsPath));
  });

  it('shows sizes and reasons when the function is hovered', async () => {
    const { document } = await open(QUOTE);
    const text = await hoverText(document.uri, find(document, 'int quote_line', 5));
    assert.match(text, /machine code of `quote_line` changed/);
    assert.match(text, /instructions \| \d+ \| \d+/);
    assert.match(text, /bytes \| \d+ \| \d+/);
    assert.match(text, /inlined into it/);
  });

  it('shows the instructions before and after when the line is hovered', async () => {
    const { document } = await open(QUOTE);
    const text = await hoverText(document.uri, find(document, '* 10000 /', 1));
    assert.match(text, /machine code of this line: \d+ → \d+ instructions/);
    assert.match(text, /```diff[\s\S]*^- /m);
    assert.match(text, /```diff[\s\S]*^\+ /m);
  });

  it('puts lenses above the functions: the change in size, Review, Build patch', async () => {
    const { document } = await open(QUOTE);
    const lenses = await until('lenses', async () => {
      const list = await vscode.commands.executeCommand<vscode.CodeLens[]>(
        'vscode.executeCodeLensProvider',
        document.uri,
        50,
      );
      return list.length >= 6 && list;
    });
    const line = find(document, 'int quote_line').line;
    const titles = lenses.filter((lens) => lens.range.start.line === line).map((lens) => lens.command?.title);
    assert.match(titles[0] ?? '', /^machine code changed: \d+ → \d+ instructions$/);
    assert.deepEqual(titles.slice(1), ['Review', 'Build patch']);
  });

  it('marks edited lines and lines that nobody edited', async () => {
    const { document } = await open(QUOTE);
    const edited = find(document, TO).line;
    const state = (await api()).state();
    const lines = functionsOf(state).flatMap((each) => each.changedLines);
    assert.ok(lines.some((each) => each.line === edited && each.edited));
    assert.ok(lines.every((each) => each.edited === (each.line === edited) || !each.edited));
  });

  it('draws all of it', async function () {
    needsPage(this);
    const editor = await open(QUOTE);
    editor.revealRange(new vscode.Range(0, 0, 0, 0));
    await until('the squiggle', () => page.evaluate<number>("document.querySelectorAll('.squiggly-warning').length"));
    await until('the lenses', async () =>
      (await page.texts('.codelens-decoration')).some((text) =>
        /machine code changed: \d+ → \d+ instructions/.test(text),
      ),
    );
    await until('the mark in the gutter', () =>
      page.evaluate<boolean>(
        "[...document.querySelectorAll('.glyph-margin-widgets .cgmr')].some((e) => /gutter-edited/.test(getComputedStyle(e).backgroundImage))",
      ),
    );
    await until('the status bar', async () =>
      (await page.texts('.statusbar-item')).some((text) => /Live Patch: 2 functions/.test(text)),
    );
  });

  it('draws the hover of a line: the instructions before and after', async function () {
    needsPage(this);
    const editor = await open(QUOTE);
    const at = find(editor.document, '* 10000 /', 1);
    editor.selection = new vscode.Selection(at, at);
    await vscode.commands.executeCommand('workbench.action.focusActiveEditorGroup');
    await vscode.commands.executeCommand('editor.action.showHover');
    await page.text('.monaco-hover', /machine code of this line/);
    await page.shot('hover');
    await page.press('Escape');
  });

  it('opens the machine code in the native diff editor', async () => {
    await open(QUOTE);
    const item = functionsOf((await api()).state()).find((each) => each.name === 'quote_line');
    await vscode.commands.executeCommand('livepatch.reviewFunction', { unit: item?.unit, name: 'quote_line' });
    const tab = await until('the diff', () => {
      const input = vscode.window.tabGroups.activeTabGroup.activeTab;
      return input?.input instanceof vscode.TabInputTextDiff ? input : undefined;
    });
    const { original, modified } = tab.input as vscode.TabInputTextDiff;
    assert.equal(original.scheme, 'livepatch-asm');
    assert.match(tab.label, /^quote_line: \d+ → \d+ instructions, \d+ → \d+ bytes\b/);
    const [before, after] = await Promise.all(
      [original, modified].map((uri) => vscode.workspace.openTextDocument(uri)),
    );
    assert.equal(before?.languageId, 'livepatch-asm');
    assert.match(before?.getText() ?? '', /; .*quote->open \* 10000/);
    assert.match(after?.getText() ?? '', /; .*\* 10000 \/ quote->open/);
    assert.match(after?.getText() ?? '', /call\s+.*snprintf/);
    assert.notEqual(before?.getText(), after?.getText());
    const row = after!.positionAt((/^ +call .*snprintf/m.exec(after!.getText())?.index ?? 0) + 6);
    assert.match(await hoverText(modified, row), /R_X86_64_(PLT32|PC32|GOTPCRELX?)/);
    const places = await vscode.commands.executeCommand<vscode.Location[]>(
      'vscode.executeDefinitionProvider',
      modified,
      row,
    );
    assert.equal(places[0]?.uri.fsPath, uriOf(QUOTE).fsPath);
    if (!page.available) return;
    await until('both sides are drawn', async () => {
      const drawn = await page.evaluate<{ minus: number; plus: number; keywords: number }>(
        `({ minus: document.querySelectorAll('.monaco-diff-editor .line-delete, .monaco-diff-editor .char-delete').length,
            plus: document.querySelectorAll('.monaco-diff-editor .line-insert, .monaco-diff-editor .char-insert').length,
            keywords: new Set([...document.querySelectorAll('.monaco-diff-editor .modified .view-line span span')].map((e) => e.className)).size })`,
      );
      return drawn.minus > 0 && drawn.plus > 0 && drawn.keywords > 3;
    });
  });

  it('reports nothing for a comment or an empty line', async () => {
    await reset();
    const editor = await open(QUOTE);
    await replace(editor, '/* Change since the day began', '\n/* Change (of the price) since the day began');
    await editor.document.save();
    await settled(
      'same code',
      (state) => functionsOf(state).length === 0 && state.units.some((unit) => unit.phase === 'ready'),
    );
    assert.deepEqual(findings(editor.document.uri), []);
    assert.equal((await api()).state().verdict, 'unchanged');
  });

  it('checks an unsaved buffer after a pause, and forgets it when the edit is undone', async () => {
    await reset();
    const editor = await open(QUOTE);
    await replace(editor, FROM, TO);
    await settled('the unsaved edit is seen', (state) => functionsOf(state).length === 2, 30_000);
    assert.ok(editor.document.isDirty);
    await vscode.commands.executeCommand('undo');
    await settled('nothing is left of it', (state) => functionsOf(state).length === 0, 30_000);
  });
});
