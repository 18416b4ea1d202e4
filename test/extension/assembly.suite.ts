import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import {
  api,
  find,
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

interface Sides {
  readonly base: vscode.TextDocument;
  readonly next: vscode.TextDocument;
  readonly label: string;
}

async function sides(): Promise<Sides> {
  const tab = await until('the diff', () => {
    const active = vscode.window.tabGroups.activeTabGroup.activeTab;
    return active?.input instanceof vscode.TabInputTextDiff && active;
  });
  const { original, modified } = tab.input as vscode.TabInputTextDiff;
  return {
    base: await vscode.workspace.openTextDocument(original),
    next: await vscode.workspace.openTextDocument(modified),
    label: tab.label,
  };
}

/** Opens the listings of a function the way a user does: the cursor in the function, the command. */
async function review(name = 'int quote_line'): Promise<Sides> {
  const editor = await open(QUOTE);
  const at = find(editor.document, name, 5);
  editor.selection = new vscode.Selection(at, at);
  await vscode.commands.executeCommand('livepatch.reviewFunction');
  return sides();
}

/** How an element is drawn that lights up: the bar at its left, in the dark theme's colour. */
const IS_LIT =
  "(getComputedStyle(e).borderLeftWidth === '3px' && getComputedStyle(e).borderLeftColor === 'rgb(77, 170, 252)')";

/** Rows of listings that light up, as the classes and the heights of what draws them. */
const litRows = (): Promise<string[]> =>
  page.evaluate<string[]>(
    `[...document.querySelectorAll('.monaco-diff-editor .view-overlays .cdr')].filter((e) => ${IS_LIT}).map((e) => e.className + ' ' + e.parentElement.style.top)`,
  );

describe('the review of machine code', () => {
  before(async function () {
    this.timeout(120_000);
    await reset();
    const editor = await open(QUOTE);
    await replace(editor, FROM, TO);
    await editor.document.save();
    await settled('functions changed', (state) => functionsOf(state).length === 2, 60_000);
  });
  after(reset);

  it('names compiler and optimisation in the title, and the command of each side in a hover', async () => {
    const { base, next, label } = await review();
    assert.match(label, /^quote_line: \d+ → \d+ instructions, \d+ → \d+ bytes · \w+ \d+\.\d+\S* -O2$/);
    for (const [document, words] of [
      [base, /Baseline/],
      [next, /Now/],
    ] as const) {
      assert.match(document.lineAt(0).text, /^; .*\d+\.\d+/);
      const text = await hoverText(document.uri, new vscode.Position(0, 3));
      assert.match(text, words);
      assert.match(text, /-O2[^\n]*quote\.c/);
    }
  });

  it('says in words which rows differ by the compiler’s own doing only, never on an edited line', async () => {
    const { base, next } = await review();
    for (const document of [base, next]) {
      let source = '';
      for (const line of document.getText().split('\n')) {
        if (line.startsWith('; ') && !line.startsWith('; inlined')) source = line;
        if (/ {2}; (registers only|moved)$/.test(line)) assert.doesNotMatch(source, /\* 10000/, line);
      }
    }
  });

  it('tells all about an instruction: what it does, bytes, relocation, callee, whether that is in the patch', async () => {
    const { next } = await review();
    const text = next.getText();
    const call = next.positionAt((/^ +call .*snprintf/m.exec(text)?.index ?? 0) + 6);
    const hover = await hoverText(next.uri, call);
    assert.match(hover, /calls a function/);
    assert.match(hover, /R_X86_64_(PLT32|PC32|GOTPCRELX?)/);
    assert.match(hover, /snprintf`, which is not in the patch/);
    assert.match(hover, /`\+0x[0-9a-f]+` {2}`(ff|e8) /);
    assert.match(hover, /quote\.c:\d+`/);
    const inlined = next.positionAt(/^ +i?div /m.exec(text)?.index ?? 0).translate(0, 5);
    assert.match(await hoverText(next.uri, inlined), /inlined from `change`/);
  });

  it('shows a branch and its label as one, and goes from the one to the other', async () => {
    const editor = await open(QUOTE);
    await replace(
      editor,
      'long moved = change(quote);',
      'long moved = change(quote);\n\tif (size < 8)\n\t\treturn -1;',
    );
    await editor.document.save();
    const { next, branch } = await until(
      'the new code is known',
      async () => {
        const { next } = await review();
        const branch = /^ +j\w+ +(\.L\d+)/m.exec(next.getText());
        return branch && { next, branch };
      },
      40_000,
    );
    const position = next.positionAt(branch.index + 6);
    const marked = await vscode.commands.executeCommand<vscode.DocumentHighlight[]>(
      'vscode.executeDocumentHighlights',
      next.uri,
      position,
    );
    const texts = marked.map((each) => next.getText(each.range));
    assert.ok(texts.length >= 2 && texts.every((text) => text === branch[1]), texts.join(' '));
    const [to] = await vscode.commands.executeCommand<vscode.Location[]>(
      'vscode.executeDefinitionProvider',
      next.uri,
      next.positionAt(branch.index + branch[0].length - 1),
    );
    assert.equal(next.lineAt(to?.range.start.line ?? 0).text, `${branch[1]}:`);
  });

  it('goes from change to change by the keyboard', async () => {
    const { base, next } = await review();
    const editor = await until('the listing has the focus', () =>
      vscode.window.activeTextEditor?.document.uri.scheme === 'livepatch-asm'
        ? vscode.window.activeTextEditor
        : undefined,
    );
    editor.selection = new vscode.Selection(0, 0, 0, 0);
    const other = new Set((editor.document === next ? base : next).getText().split('\n'));
    const seen: number[] = [];
    for (let step = 0; step < 3; step++) {
      await vscode.commands.executeCommand('livepatch.nextChange');
      seen.push(editor.selection.active.line);
    }
    assert.ok(seen[0]! > 0 && seen[1]! >= seen[0]!, seen.join(' '));
    assert.ok(!other.has(editor.document.lineAt(seen[0]!).text) || seen[1]! > seen[0]!);
    assert.match(editor.document.lineAt(seen[0]!).text, /^ {4}\S/);
    if (seen[1] === seen[0]) return;
    await vscode.commands.executeCommand('livepatch.previousChange');
    assert.ok(editor.selection.active.line < seen[2]! || seen[2] === seen[1]);
  });

  it('lights up the instructions of the selected source lines, and the source line of an instruction', async function () {
    needsPage(this);
    this.timeout(120_000);
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    await review();
    const source = await vscode.window.showTextDocument(uriOf(QUOTE), { viewColumn: vscode.ViewColumn.Beside });
    source.selection = new vscode.Selection(0, 0, 0, 0);
    await until('nothing is lit', async () => {
      const lit = await litRows();
      if (lit.length > 0) throw new Error(lit.join('; '));
      return true;
    });
    const at = find(source.document, '* 10000 /');
    source.selection = new vscode.Selection(at, at);
    const rows = await until('rows are lit', async () => {
      const lit = await litRows();
      return lit.length >= 2 && lit;
    });
    assert.ok(new Set(rows).size >= 2, rows.join('; '));
    await page.shot('source-and-code');
    const listing = vscode.window.visibleTextEditors.find((each) => each.document.uri.path.includes('.next.'));
    assert.ok(listing);
    await vscode.window
      .showTextDocument(listing.document, { viewColumn: vscode.ViewColumn.One })
      .then(undefined, () => {});
    const call = listing.document.positionAt(/^ +call .*snprintf/m.exec(listing.document.getText())?.index ?? 0);
    await vscode.commands.executeCommand('workbench.action.focusFirstEditorGroup');
    const focused = vscode.window.activeTextEditor ?? listing;
    focused.selection = new vscode.Selection(call, call);
    await until(
      'the source line is lit',
      () =>
        page.evaluate<boolean>(
          `[...document.querySelectorAll('.editor-group-container .view-overlays .cdr')].some((e) => ${IS_LIT} && !e.closest('.monaco-diff-editor'))`,
        ),
      40_000,
    );
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
  });

  it('compares with the patch that was built last', async function () {
    needsPage(this);
    this.timeout(120_000);
    assert.ok(await vscode.commands.executeCommand<string>('livepatch.buildPatch'));
    const editor = await open(QUOTE);
    await replace(editor, TO, TO.replace('10000', '20000'));
    await editor.document.save();
    const pick = async (text: RegExp): Promise<Sides> => {
      const source = await open(QUOTE);
      const at = find(source.document, 'int quote_line', 5);
      source.selection = new vscode.Selection(at, at);
      const done = vscode.commands.executeCommand('livepatch.compareSides');
      await page.text('.quick-input-list .monaco-list-row', text);
      await page.type(text.source.replace(/\\u2194/, '↔'));
      await page.press('Enter');
      await done;
      return sides();
    };
    await until('the newest code is known', async () => /0x4e20/.test((await review()).next.getText()), 60_000);
    const since = await pick(/Last built patch/);
    assert.match(since.label, /last built ↔ now/);
    assert.match(since.base.getText(), /0x2710/);
    assert.doesNotMatch(since.base.getText(), /0x4e20/);
    assert.match(since.next.getText(), /0x4e20/);
    assert.equal((await api()).state().verdict, 'patchable');
  });
});

describe('the review of layouts', () => {
  after(reset);

  it('shows old and new layout of a struct side by side, from the name, a field, or the lens', async function () {
    this.timeout(120_000);
    await reset();
    await open(QUOTE);
    const editor = await open('src/quote.h');
    await replace(editor, '\tlong open;', '\tlong volume;\n\tlong open;');
    await editor.document.save();
    await settled('blocked', (state) => state.verdict === 'blocked', 60_000);
    const lens = await until('the lens', async () => {
      const list = await vscode.commands.executeCommand<vscode.CodeLens[]>(
        'vscode.executeCodeLensProvider',
        editor.document.uri,
        20,
      );
      return list.find((each) => /layout changed: 32 → 40 bytes/.test(each.command?.title ?? ''));
    });
    assert.equal(lens.range.start.line, find(editor.document, 'struct quote {').line);
    for (const text of ['struct quote {', 'long price;']) {
      const shown = await open('src/quote.h');
      const at = find(shown.document, text, text.startsWith('struct') ? 8 : 6);
      shown.selection = new vscode.Selection(at, at);
      await vscode.commands.executeCommand('livepatch.compareLayout');
      const { base, next, label } = await sides();
      assert.match(label, /struct quote: 32 → 40 bytes/);
      assert.match(base.getText(), /\/\*\s+16\s+8 \*\/\s+long (?:int )?price;/);
      assert.match(next.getText(), /\/\*\s+24\s+8 \*\/\s+long (?:int )?price;/);
      assert.doesNotMatch(base.getText(), /volume/);
      assert.match(next.getText(), /\/\*\s+8\s+8 \*\/\s+long (?:int )?volume;/);
      assert.match(next.getText(), /size: 40/);
      assert.match(next.getText(), /in .*market\.c[\s\S]*may outlive/);
    }
    await page.shot('layout');
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
  });
});
