import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import * as vscode from 'vscode';
import type { PatchState } from '../../server/src/protocol.ts';
import {
  api,
  find,
  functionsOf,
  hoverText,
  needsPage,
  open,
  Page,
  page,
  pathOf,
  replace,
  reset,
  settled,
  until,
  uriOf,
} from './support.ts';

const MENU = 'src/menu.c';
const PAGE = '#page main';

/** Value of an expression in the webview that shows a page. */
const inPage = <T>(expr: string): Promise<T> => page.evaluateIn<T>(PAGE, expr);

/** Text of the page that is shown, once it matches. */
const pageText = (pattern: RegExp): Promise<string> =>
  until(
    `${pattern} in the page`,
    async () => {
      const text = await inPage<string>('document.body.innerText').catch(() => '');
      return pattern.test(text) && text;
    },
    40_000,
  );

const activeDiff = (scheme: string): Promise<vscode.Tab> =>
  until(`a diff of ${scheme}`, () => {
    const tab = vscode.window.tabGroups.activeTabGroup.activeTab;
    return tab?.input instanceof vscode.TabInputTextDiff && tab.input.modified.scheme === scheme && tab;
  });

/** Both texts of the diff that is open. */
async function sides(scheme: string): Promise<{ base: string; next: string; label: string }> {
  const tab = await activeDiff(scheme);
  const { original, modified } = tab.input as vscode.TabInputTextDiff;
  const text = async (uri: vscode.Uri) => (await vscode.workspace.openTextDocument(uri)).getText();
  return { base: await text(original), next: await text(modified), label: tab.label };
}

/** What axe has against the page that is shown: rules of WCAG 2 A and AA and the best practices. */
async function accessibility(): Promise<string[]> {
  await inPage(`${readFileSync(process.env.LPA_AXE!, 'utf8')};undefined`);
  return inPage<
    string[]
  >(`axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })
    .then(({ violations }) => violations.map((each) => each.id + ': ' + each.nodes.map((node) => node.html.slice(0, 160) + ' — ' + node.failureSummary).join(' | ')))`);
}

const THEMES = [
  ['Default Light Modern', 'vs', 'light'],
  ['Default Dark Modern', 'vs-dark', 'dark'],
  ['Default High Contrast', 'hc-black', 'contrast-dark'],
  ['Default High Contrast Light', 'hc-light', 'contrast-light'],
] as const;

async function setTheme(theme: string, kind: string): Promise<void> {
  await vscode.workspace.getConfiguration('workbench').update('colorTheme', theme, vscode.ConfigurationTarget.Global);
  await until('the theme', () =>
    page.evaluate<boolean>(`document.querySelector('.monaco-workbench').classList.contains('${kind}')`),
  );
}

describe('data by value', () => {
  before(async function () {
    this.timeout(120_000);
    await reset();
    const editor = await open(MENU);
    await replace(editor, '{ "stop", stop, FLAG_OWNER, 7, 0.25 }', '{ "quit", stop, FLAG_OWNER | FLAG_SLOW, 7, 0.75 }');
    await editor.document.save();
    await settled('the table changed', (state) => state.units.some((unit) => unit.data.length === 1), 60_000);
  });
  after(reset);

  it('tells in a hover on the object which fields have another value', async () => {
    const { document } = await open(MENU);
    const text = await hoverText(document.uri, find(document, 'menu[] =', 1));
    assert.match(text, /menu\[2\]\.name: "stop" → "quit"/);
    assert.match(text, /menu\[2\]\.flags: FLAG_OWNER \(2\) → FLAG_OWNER\|FLAG_SLOW \(6\)/);
    assert.match(text, /menu\[2\]\.weight: 0\.25 → 0\.75/);
    assert.doesNotMatch(text, /menu\[[01]\]/);
  });

  it('opens both sides from the lens above it, with what is equal in one line', async function () {
    needsPage(this);
    this.timeout(120_000);
    const editor = await open(MENU);
    editor.revealRange(
      new vscode.Range(find(editor.document, 'struct entry menu'), find(editor.document, 'struct entry menu')),
      vscode.TextEditorRevealType.InCenter,
    );
    await page.text('.codelens-decoration', /values: menu\[2\]\.name: "stop" → "quit" and 2 more · Compare/);
    await page.click('.codelens-decoration a', 'values: menu[2]');
    const { base, next, label } = await sides('livepatch-data');
    assert.match(label, /^menu: 96 bytes/);
    assert.match(base, /\/\* \[0\.\.1\] unchanged \*\/\n {4}\[2\] = \{\n {8}\.name = "stop",\n {8}\.run = stop,/);
    assert.match(next, /\.name = "quit",\n {8}\.run = stop,\n {8}\.flags = FLAG_OWNER\|FLAG_SLOW \(6\),/);
    await page.text('.monaco-diff-editor .view-lines', /FLAG_OWNER\|FLAG_SLOW/);
    for (const [theme, kind, name] of THEMES) {
      if (!process.env.LPA_UPDATE_MEDIA) break;
      await setTheme(theme, kind);
      await page.shot(name === 'dark' ? 'data' : `theme-data-${name}`);
    }
    if (process.env.LPA_UPDATE_MEDIA) await setTheme('Default Dark Modern', 'vs-dark');
  });

  it('opens from the view, and by the keyboard with the cursor inside the initialiser', async function () {
    needsPage(this);
    this.timeout(120_000);
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    await vscode.commands.executeCommand('livepatch.patch.focus');
    await page.text('.monaco-list-row', /menu.*menu\[2\]\.name/s);
    await page.click('.monaco-list-row .label-description', 'menu[2].name');
    assert.match((await sides('livepatch-data')).next, /"quit"/);
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    const editor = await open(MENU);
    const at = find(editor.document, '"quit"', 2);
    editor.selection = new vscode.Selection(at, at);
    await page.press('Control+Alt+l');
    await page.press('d');
    assert.match((await sides('livepatch-data')).next, /"quit"/);
  });

  it('follows the next edit in the diff that is open', async function () {
    this.timeout(120_000);
    await vscode.commands.executeCommand('livepatch.compareData', {
      unit: (await settled('known', (state) => state.units.some((unit) => unit.data.length > 0))).units.find(
        (unit) => unit.data.length > 0,
      )!.id,
      name: 'menu',
    });
    await activeDiff('livepatch-data');
    const editor = await vscode.workspace.openTextDocument(uriOf(MENU));
    const edit = new vscode.WorkspaceEdit();
    const from = editor.getText().indexOf('7, 0.75');
    edit.replace(editor.uri, new vscode.Range(editor.positionAt(from), editor.positionAt(from + 1)), '9');
    await vscode.workspace.applyEdit(edit);
    await editor.save();
    await until('the new level is shown', async () => /\.level = 9/.test((await sides('livepatch-data')).next), 40_000);
  });

  it('makes another patch where nothing else is another: neither a payload nor the open diff is as before', async function () {
    this.timeout(120_000);
    const document = await vscode.workspace.openTextDocument(uriOf(MENU));
    const change = async (from: string, to: string): Promise<PatchState> => {
      const known = (await api()).state();
      const at = document.getText().indexOf(from);
      const edit = new vscode.WorkspaceEdit();
      edit.replace(document.uri, new vscode.Range(document.positionAt(at), document.positionAt(at + from.length)), to);
      await vscode.workspace.applyEdit(edit);
      await document.save();
      return settled('it was compared', ({ fingerprint }) => fingerprint !== known.fingerprint, 40_000);
    };
    const told = ({ units }: PatchState): string[] => units.flatMap(({ data }) => data.map(({ summary }) => summary));
    const first = await change('9, 0.75', '8, 0.75');
    const second = await change('8, 0.75', '6, 0.75');
    // Only the first difference and a count are told of data.
    assert.deepEqual(told(first), told(second));
    assert.notEqual(first.fingerprint, second.fingerprint);
    await until('the new level is shown', async () => /\.level = 6/.test((await sides('livepatch-data')).next), 40_000);
  });
});

describe('a layout as a picture', () => {
  before(async function () {
    this.timeout(120_000);
    await reset();
    const editor = await open(MENU);
    await replace(editor, '\tint port;\n', '\tint port;\n\tlong started;\n');
    await editor.document.save();
    await settled(
      'the layout is told',
      (state) => state.units.some((unit) => unit.findings.some((each) => each.code === 'struct-layout')),
      60_000,
    );
  });
  after(reset);

  it('opens from the lens, shows both sides with offsets, holes and what moved, and who uses the type', async function () {
    needsPage(this);
    this.timeout(120_000);
    await open(MENU);
    await page.text('.codelens-decoration', /layout changed/);
    await page.click('.codelens-decoration a', 'Picture');
    await pageText(/struct session/);
    const texts = await inPage<string[]>(
      "[...document.querySelectorAll('.lp-picture .lp-row title')].map((each) => each.textContent)",
    );
    assert.ok(texts.includes('long int started: offset 8, 8 bytes'), texts.join('\n'));
    assert.ok(
      texts.includes('char peer[40]: offset 8, 40 bytes') && texts.includes('char peer[40]: offset 16, 40 bytes'),
    );
    assert.ok(texts.some((text) => /^hole: offset 1, 3 bytes/.test(text)));
    assert.ok((await inPage<number>("document.querySelectorAll('.lp-picture .lp-link-moved').length")) >= 4);
    assert.match(await pageText(/Used by/), /menu_run.*session_use/s);
    assert.match(await pageText(/cache line/), /Each member, as a table/);
    const rows = await inPage<string[]>(
      "[...document.querySelectorAll('table tbody tr')].map((each) => each.textContent)",
    );
    assert.ok(rows.includes('long int started–at 8, 8new'), rows.join('\n'));
    assert.ok(rows.includes('char peer[40]at 8, 40at 16, 40moved by +8 bytes'), rows.join('\n'));
  });

  for (const [theme, kind, name] of THEMES)
    it(`has no fault that axe finds in ${theme}`, async function () {
      needsPage(this);
      this.timeout(120_000);
      await setTheme(theme, kind);
      await page.shot(name === 'dark' ? 'layout' : `theme-layout-${name}`);
      assert.deepEqual(await accessibility(), []);
    });

  it('goes to the text and back by its buttons', async function () {
    needsPage(this);
    this.timeout(120_000);
    await setTheme('Default Dark Modern', 'vs-dark');
    await page.clickIn(PAGE, 'button', 'Compare as text');
    assert.match((await sides('livepatch-layout')).next, /started[\s\S]*\/\* used by menu_run, session_use \*\//);
    await page.click('.editor-actions .action-label[aria-label^="Show Layout as a Picture"]');
    await pageText(/struct session/);
  });
});

describe('the overview of the patch', () => {
  const finding = (code: string) => async () =>
    (await api())
      .state()
      .units.flatMap((unit) => unit.findings)
      .find((each) => each.code === code);
  before(async function () {
    this.timeout(120_000);
    await reset();
    const menu = await open(MENU);
    await replace(menu, '{ "stop", stop, FLAG_OWNER, 7, 0.25 }', '{ "quit", stop, FLAG_OWNER | FLAG_SLOW, 7, 0.75 }');
    await menu.document.save();
    const editor = await open('src/quote.c');
    await replace(
      editor,
      '(quote->price - quote->open) / quote->open * 10000',
      '(quote->price - quote->open) * 10000 / quote->open',
    );
    await replace(
      editor,
      'int quote_line(',
      'static int share(long of, long all)\n{\n\treturn all ? of * 100 / all : abs((int)of);\n}\n\nint quote_line(',
    );
    await replace(
      editor,
      'long moved = change(quote);',
      'long moved = change(quote) + share(quote->price, quote->open);',
    );
    await editor.document.save();
    await settled(
      'all is compared',
      (state) => functionsOf(state).length >= 2 && state.units.some((unit) => unit.data.length > 0),
      60_000,
    );
  });
  after(reset);

  it('opens from the view and tells the whole patch on one page', async function () {
    needsPage(this);
    this.timeout(120_000);
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    await vscode.commands.executeCommand('livepatch.patch.focus');
    // The view may be drawn anew at the moment of the click.
    await until('the overview opens', async () => {
      await page.click('.action-label[aria-label^="Show Patch Overview"]');
      await new Promise((resolve) => setTimeout(resolve, 1500));
      return vscode.window.tabGroups.all.some((group) => group.tabs.some((tab) => tab.label === 'Patch Overview'));
    });
    const text = await pageText(/Live patch of/);
    for (const words of [
      /Findings/,
      /quote_line/,
      /an edited function is inlined into it: change/,
      /menu\[2\]\.name/,
      /Payload and what it depends on/,
      /Not covered/,
      /How it was built/,
      /gcc|cc .*\d+\.\d+/,
    ])
      assert.match(text, words);
    const nodes = await inPage<string[]>(
      "[...document.querySelectorAll('.cg-node title')].map((each) => each.textContent)",
    );
    assert.ok(
      nodes.some((each) => /^quote_line: changed/.test(each)),
      nodes.join('\n'),
    );
    assert.ok(
      nodes.some((each) => /^snprintf: in another unit or library/.test(each)),
      nodes.join('\n'),
    );
  });

  it('lets nothing in from outside', async function () {
    needsPage(this);
    await vscode.commands.executeCommand('livepatch.showOverview');
    await pageText(/Live patch of/);
    const policy = await inPage<string>("document.querySelector('meta[http-equiv]').content");
    assert.match(policy, /^default-src 'none'; style-src 'nonce-[\w+/=]+'; script-src 'nonce-[\w+/=]+'$/);
    assert.equal(
      await inPage<number>(
        "document.querySelectorAll('body [src], body link, body iframe, #page [style], #page [onclick]').length",
      ),
      0,
    );
    const answer = await inPage<string>("fetch('https://example.invalid/').then(() => 'loaded', () => 'refused')");
    assert.equal(answer, 'refused');
  });

  it('opens assembly, data, a finding’s place and its explanation by its links', async function () {
    needsPage(this);
    this.timeout(120_000);
    const again = async (): Promise<void> => {
      await vscode.commands.executeCommand('livepatch.showOverview');
      await pageText(/Live patch of/);
    };
    await again();
    await page.clickIn(PAGE, '#functions a', 'quote_line');
    assert.match((await sides('livepatch-asm')).label, /^quote_line: /);
    await again();
    await page.clickIn(PAGE, '#data a', 'menu');
    assert.match((await sides('livepatch-data')).label, /^menu: /);
    await again();
    await page.clickIn(PAGE, '#findings .place a', 'src/quote.c');
    await until('the place', () => vscode.window.activeTextEditor?.document.uri.fsPath === pathOf('src/quote.c'));
    await again();
    await page.clickIn(PAGE, '#findings a', 'inline-widened');
    await until('the explanation', () =>
      /inline-widened/.test(vscode.window.tabGroups.activeTabGroup.activeTab?.label ?? ''),
    );
  });

  it('takes reviews by its boxes, keeps the focus, and asks again when the code is another', async function () {
    needsPage(this);
    this.timeout(120_000);
    await vscode.commands.executeCommand('livepatch.showOverview');
    await pageText(/0 of \d+ looked at/);
    const { isReviewed, isFindingReviewed, state } = await api();
    const line = () => functionsOf(state()).find((each) => each.name === 'quote_line')!;
    await page.clickIn(PAGE, 'input[aria-label="Looked at: quote_line"]');
    await pageText(/1 of \d+ looked at/);
    assert.ok(isReviewed(line()));
    assert.equal(await inPage<string>("document.activeElement.getAttribute('aria-label')"), 'Looked at: quote_line');
    await page.clickIn(PAGE, 'input[aria-label^="Looked at: inline-widened of change"]');
    await pageText(/2 of \d+ looked at/);
    const widened = await until('the finding', finding('inline-widened'));
    assert.ok(isFindingReviewed(widened));
    // The view shows the same.
    await page.text('.monaco-list-row', /inline-widened/);
    await until('both are ticked in the view', async () => {
      const labels = await page.evaluate<string[]>(
        "[...document.querySelectorAll('.monaco-list-row')].filter((row) => row.querySelector('.monaco-custom-toggle.checked')).map((row) => row.getAttribute('aria-label'))",
      );
      return labels.some((text) => /inline-widened/.test(text)) && labels.some((text) => /quote_line/.test(text));
    }).catch(async (error: Error) => {
      throw new Error(
        `${error.message}: ${JSON.stringify(await page.evaluate("[...document.querySelectorAll('.monaco-list-row')].map((row) => row.outerHTML)"))}`,
      );
    });
    const editor = await open('src/quote.c');
    await replace(editor, '* 100 / all', '* 1000 / all');
    await editor.document.save();
    await until('the function is asked for again', () => !isReviewed(line()), 40_000);
    await vscode.commands.executeCommand('livepatch.showOverview');
    await pageText(/[01] of \d+ looked at/);
    assert.equal(
      await inPage<boolean>('document.querySelector(\'input[aria-label="Looked at: quote_line"]\').checked'),
      false,
    );
  });

  it('ticks findings in the view', async function () {
    needsPage(this);
    this.timeout(120_000);
    await vscode.commands.executeCommand('livepatch.patch.focus');
    const { isFindingReviewed } = await api();
    const widened = await until('the finding', finding('inline-widened'));
    const was = isFindingReviewed(widened);
    // The view may be drawn anew at the moment of the click.
    const click = (wanted: boolean): Promise<boolean> =>
      until(`reviewed: ${wanted}`, async () => {
        await page.click('.monaco-list-row[aria-label^="inline-widened: change"] .monaco-custom-toggle');
        await new Promise((resolve) => setTimeout(resolve, 1000));
        return isFindingReviewed(widened) === wanted;
      });
    await click(!was);
    await click(was);
  });

  for (const [theme, kind, name] of THEMES)
    it(`has no fault that axe finds in ${theme}`, async function () {
      needsPage(this);
      this.timeout(120_000);
      await vscode.commands.executeCommand('livepatch.showOverview');
      await pageText(/Live patch of/);
      await setTheme(theme, kind);
      await inPage("document.querySelectorAll('details').forEach((part) => { part.open = true; })");
      assert.deepEqual(await accessibility(), []);
      await inPage(
        "document.querySelectorAll('details').forEach((part) => { part.open = false; }); window.scrollTo(0, 0)",
      );
      await page.shot(`theme-overview-${name}`);
    });

  it('keeps what is open and where one was when it is hidden and shown again', async function () {
    needsPage(this);
    this.timeout(120_000);
    await setTheme('Default Dark Modern', 'vs-dark');
    await vscode.commands.executeCommand('livepatch.showOverview');
    await pageText(/Live patch of/);
    const box = '#findings input[type="checkbox"]';
    const isTicked = (): Promise<boolean> => inPage<boolean>(`document.querySelector('${box}').checked`);
    const looked = (): Promise<string> => inPage<string>('/\\d+ of \\d+ looked at/.exec(document.body.innerText)[0]');
    const lookedBefore = await looked();
    const tickedBefore = await isTicked();
    await page.clickIn(PAGE, box);
    await until(
      'the page follows',
      async () => (await isTicked()) !== tickedBefore && (await looked()) !== lookedBefore,
    );
    await inPage(
      "document.querySelectorAll('details').forEach((part, index) => { part.open = index === 1; }); window.scrollTo(0, 300)",
    );
    const before = await until(
      'it has scrolled',
      async () => (await inPage<number>('window.scrollY')) > 100 && inPage<number>('window.scrollY'),
    );
    await open('src/quote.c');
    await until('the page is hidden', async () =>
      inPage('1').then(
        () => false,
        () => true,
      ),
    );
    await vscode.commands.executeCommand('livepatch.showOverview');
    await pageText(/Live patch of/);
    assert.equal(await isTicked(), !tickedBefore, 'it is as new as it was');
    await until('the place is kept', async () => Math.abs((await inPage<number>('window.scrollY')) - before) < 5);
    assert.deepEqual(
      await inPage<boolean[]>("[...document.querySelectorAll('details')].slice(0, 3).map((part) => part.open)"),
      [false, true, false],
    );
  });

  it('is exported by its buttons, and by commands with a path', async function () {
    needsPage(this);
    this.timeout(120_000);
    await page.clickIn(PAGE.replace('#page main', '.toolbar'), 'button', 'Export as Markdown');
    await page.text('.quick-input-widget', /Export the patch overview/);
    const box = "document.querySelector('.quick-input-widget input').value";
    await until('a name is proposed', async () => /live-patch\.md$/.test(await page.evaluate<string>(box)));
    const file = pathOf('build/exported.md');
    await until('the path is typed', async () => {
      await page.press('Control+a');
      await page.type(file);
      return (await page.evaluate<string>(box)) === file;
    });
    await page.press('Enter');
    const text = await until('the file is written', () => readFileSync(file, 'utf8'));
    assert.match(text, /^# Live patch of /);
    assert.match(text, /^\| `quote_line` `src\/quote\.c:\d+` \| changed \|/m);
    assert.match(text, /^\| `menu\[2\]\.name` \| `"stop"` \| `"quit"` \|$/m);
    const page_ = uriOf('build/exported.html');
    await vscode.commands.executeCommand('livepatch.exportHtml', page_);
    const html = readFileSync(page_.fsPath, 'utf8');
    assert.match(html, /^<!DOCTYPE html>/);
    assert.doesNotMatch(html, /<script|data-open|nonce/);
  });

  it('is exported from the menu of its title, which names the panel and no file', async function () {
    needsPage(this);
    this.timeout(60_000);
    const panel = vscode.Uri.parse('webview-panel:webview-panel/webview-livepatch.overview-1');
    let answer: { readonly file: vscode.Uri | undefined } | undefined;
    const exported = vscode.commands.executeCommand<vscode.Uri | undefined>('livepatch.exportMarkdown', panel);
    const done = exported.then((file) => {
      answer = { file };
    });
    // The widget of the question before is still in the page, hidden.
    const widget = "document.querySelector('.quick-input-widget')";
    const isAsked = `getComputedStyle(${widget}).display !== 'none' && /Export the patch overview/.test(${widget}.innerText)`;
    await until('it asks for a file', () => page.evaluate<boolean>(isAsked));
    await until('it is told of no file', async () => {
      await page.press('Escape');
      await new Promise((resolve) => setTimeout(resolve, 300));
      return answer;
    });
    await done;
    assert.equal(answer?.file, undefined, 'nothing was written');
  });
});

describe('Apply after a review', () => {
  before(async function () {
    this.timeout(120_000);
    await reset();
    const editor = await open('src/quote.c');
    await replace(
      editor,
      '(quote->price - quote->open) / quote->open * 10000',
      '(quote->price - quote->open) * 10000 / quote->open',
    );
    await editor.document.save();
    await settled('functions changed', (state) => functionsOf(state).length === 2, 60_000);
  });
  after(reset);

  it('names functions and findings that nobody has looked at, and no others', async function () {
    needsPage(this);
    this.timeout(180_000);
    await setTheme('Default Dark Modern', 'vs-dark');
    await vscode.commands.executeCommand('livepatch.showOverview');
    assert.match(await pageText(/Payload[\s\S]*KiB of 64 MiB/), /Can be patched/);
    await page.shot('overview');
    const window = await page.open(pathOf('src/quote.c'));
    try {
      await window.text('.codelens-decoration', /machine code changed/, 60_000);
      const isShown = (await window.texts('.composite.title')).some((text) => /Live Patch/i.test(text));
      if (!isShown) await window.click('.activitybar .action-item a[aria-label*="Live Patch"]');
      await window.text('.monaco-list-row', /inline-widened/);
      const question = async (): Promise<string> => {
        await until(
          'the question',
          async () => {
            if ((await window.texts('.monaco-dialog-box')).length > 0) return true;
            await window.click('.action-label[aria-label^="Apply Patch"]');
            await new Promise((resolve) => setTimeout(resolve, 4000));
            return (await window.texts('.monaco-dialog-box')).length > 0;
          },
          60_000,
        );
        const text = await window.text('.monaco-dialog-box', /Apply/);
        await window.press('Escape');
        await until('it is gone', async () => (await window.texts('.monaco-dialog-box')).length === 0);
        return text;
      };
      // What was looked at before, on the same content, still is.
      const tick = async (name: string, wanted: boolean): Promise<void> => {
        const box = `.monaco-list-row[aria-label^="${name}"] .monaco-custom-toggle`;
        const isTicked = () => window.evaluate<boolean>(`document.querySelector('${box}.checked') !== null`);
        await until(`${name} is ${wanted ? 'ticked' : 'not ticked'}`, async () => {
          if ((await isTicked()) === wanted) return true;
          await window.click(box);
          // The box's own hover would lie over the row above.
          await window.hover('.part.statusbar');
          await new Promise((resolve) => setTimeout(resolve, 700));
          return (await isTicked()) === wanted;
        });
      };
      for (const name of ['inline-widened: change', 'quote_line', 'quote_alarm']) await tick(name, false);
      const first = await question();
      assert.match(first, /Not reviewed: quote_alarm, quote_line\./);
      assert.match(first, /Findings that nobody has looked at: inline-widened \(change\)\./);
      await tick('inline-widened: change', true);
      await tick('quote_line', true);
      const second = await question();
      assert.match(second, /Not reviewed: quote_alarm\./);
      assert.doesNotMatch(second, /nobody has looked at/);
    } finally {
      await window.close();
    }
  });

  it('shows the overview again in a window that is loaded anew', async function () {
    needsPage(this);
    this.timeout(240_000);
    // One that is told to open a file would not restore its editors.
    const window = new Page((await page.ask('open', {})) as number);
    try {
      const tabs = async (): Promise<boolean> =>
        (await window.texts('.tab')).some((text) => /Patch Overview/.test(text));
      const text = (): Promise<string> => window.evaluateIn<string>(PAGE, 'document.body.innerText').catch(() => '');
      const choose = async (key: string, words: string): Promise<void> => {
        await window.press(key);
        await window.text('.quick-input-widget', /./);
        await window.type(words);
        await window.text('.quick-input-list .monaco-list-row.focused', new RegExp(words.replace(/^>/, '')));
        await window.press('Enter');
      };
      await window.text('.part.sidebar', /./, 60_000);
      await choose('Control+p', 'quote.c');
      await window.text('.codelens-decoration', /machine code changed/, 60_000);
      await until(
        'the overview',
        async () => {
          if (/Live patch of quote_alarm/.test(await text())) return true;
          await window.press('Control+Alt+l');
          await window.press('o');
          await new Promise((resolve) => setTimeout(resolve, 3000));
          return /Live patch of quote_alarm/.test(await text());
        },
        60_000,
      );
      await choose('F1', 'Reload Window');
      await until('the window is loaded anew', async () => (await text()) === '', 30_000);
      await until('the tab is there again', () => tabs().catch(() => false), 60_000);
      await until('it is drawn again', async () => /Live patch of quote_alarm/.test(await text()), 60_000);
    } finally {
      await window.close();
    }
  });
});
