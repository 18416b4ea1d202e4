import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { api, needsPage, type Page, page, reset, until, uriOf } from './support.ts';

const board = async (): Promise<string> => (await fetch(process.env.LPA_TICKER_URL ?? '')).text();
/** The unpatched program shows a change of zero always. */
const isFixed = (text: string): boolean =>
  [...text.matchAll(/[+-]\d+\.\d\d %/g)].some(([change]) => !/^[+-]0\.00 %$/.test(change));

/** Presses the keys of a binding with two chords: Ctrl+Alt+L, then a letter. */
async function chord(window: Page, letter: string): Promise<void> {
  await window.press('Control+Alt+l');
  await window.press(letter);
}

/** Text that the focused editor's cursor line shows, as `line:column` of the status bar. */
const place = async (window: Page): Promise<string> =>
  (await window.texts('[id="status.editor.selection"]'))[0]?.replace(/\s+/g, ' ') ?? '';

async function goToLine(window: Page, line: number, column = 1): Promise<void> {
  await window.press('Control+g');
  await window.text('.quick-input-widget input', /./).catch(() => {});
  await window.type(`${line}:${column}`);
  await window.press('Enter');
  await until('the cursor is there', async () => new RegExp(`${line}\\D+${column}\\b`).test(await place(window)));
}

/** Everything without a pointer: each step by the keys that package.json and VS Code bind. */
describe('the keyboard alone', () => {
  before(reset);
  after(reset);

  it('edits, follows a finding, reviews, builds, applies and reverts', async function () {
    needsPage(this);
    this.timeout(300_000);
    await reset();
    const text = (await vscode.workspace.openTextDocument(uriOf('src/quote.c'))).getText().split('\n');
    const line = (part: string): number => text.findIndex((each) => each.includes(part)) + 1;
    const formula = line('/ quote->open * 10000');
    const window = await page.open();
    try {
      await window.text('.monaco-workbench', /./, 60_000);
      await window.press('Control+p');
      await window.text('.quick-input-widget', /./);
      await window.type('src/quote.c');
      await window.text('.quick-input-list .monaco-list-row', /quote\.c/);
      await window.press('Enter');
      await window.text('.tab', /quote\.c/);
      await window.text('[id$="livepatch.status"]', /same code/, 60_000);

      // An edit that needs a look: the initial value of a variable that lives.
      await goToLine(window, line('alarm_threshold = 200'), 1);
      await window.press('End');
      await window.press('ArrowLeft');
      await window.type('0');
      await window.press('Control+s');
      await window.text('[id$="livepatch.status"]', /blocker/, 60_000);
      await window.press('Control+Home');
      await window.press('F8');
      await window.text('.zone-widget, .marker-widget', /alarm_threshold/);
      await window.press('Escape');
      const there = new RegExp(`\\b${line('alarm_threshold = 200')}\\b`);
      await until('the cursor is at the finding', async () => there.test(await place(window)));
      // Back, and the edit that is wanted.
      await window.press('Control+z');
      await goToLine(window, formula, 1);
      await window.press('End');
      await window.press('Shift+Home');
      await window.type('return (quote->price - quote->open) * 10000 / quote->open;');
      await window.press('Control+s');
      await window.text('[id$="livepatch.status"]', /2 functions/, 60_000);

      // The machine code of the function at the cursor, its changes, and the mark that it was read.
      await goToLine(window, line('int quote_line'), 6);
      await chord(window, 'r');
      await window.text('.tab.active', /quote_line: \d+ → \d+ instructions/, 60_000);
      await window.text('.monaco-diff-editor .view-line', /; /, 30_000);
      await until('the listing has the focus', () =>
        window.evaluate<boolean>("document.activeElement?.closest('.monaco-diff-editor') !== null"),
      );
      await window.press('Control+Home');
      const start = await place(window);
      await chord(window, 'n');
      const first = await until('the first change', async () => {
        const now = await place(window);
        return now !== start && now;
      });
      await chord(window, 'n');
      await chord(window, 'p');
      assert.ok(first);
      await chord(window, 't');
      await until('source lines are hidden', async () => {
        const lines = await window.texts('.monaco-diff-editor .view-line');
        return lines.length > 0 && !lines.some((each) => /; .*snprintf\(text/.test(each));
      });
      await chord(window, 't');
      await chord(window, 'm');
      // The other function may have been ticked by a test before: then there is no next one.
      const far = await window.text('.statusbar-item', /functions reviewed; next|has been reviewed/);
      await chord(window, 'f');
      if (/next is quote_alarm/.test(far)) await window.text('.tab.active', /quote_alarm: \d+ → \d+ instr/, 60_000);
      await chord(window, 'b');
      await until('the patch is built', async () => (await window.texts('.codicon-bell-dot')).length > 0, 60_000);
      await chord(window, 'a');
      const question = await window.text('.monaco-dialog-box', /Apply/, 60_000);
      assert.match(question, /replaced: quote_alarm, quote_line/);
      assert.doesNotMatch(question, /Not reviewed: .*quote_line/);
      assert.ok(!isFixed(await board()), 'nothing happens before the answer');
      await window.press('Enter');
      await until('the new behaviour', async () => isFixed(await board()), 60_000);
      await chord(window, 'z');
      await until('the old behaviour', async () => !isFixed(await board()), 60_000);
    } catch (error) {
      const file = process.env.LPA_FAILURE_SHOT;
      if (file) await window.ask('shot', { path: file });
      throw error;
    } finally {
      await window.close();
    }
    const { targets } = await api();
    await vscode.commands.executeCommand('livepatch.refreshTargets');
    assert.equal(targets()[0]?.patches.filter((each) => each.state === 'applied').length, 0);
  });

  it('fixes by the menu of quick fixes, ticks a row of the view and a box of the overview', async function () {
    needsPage(this);
    this.timeout(300_000);
    await reset();
    const lines = (await vscode.workspace.openTextDocument(uriOf('src/quote.c'))).getText().split('\n');
    const line = (part: string): number => lines.findIndex((each) => each.includes(part)) + 1;
    const window = await page.open(uriOf('src/quote.c').fsPath);
    const textOf = (selector: string): Promise<string> =>
      window.evaluate<string>(`document.querySelector(${JSON.stringify(selector)})?.textContent ?? ''`);
    /** Presses a key until what is at the keyboard matches. */
    const walk = (key: string, what: string, isThere: () => Promise<boolean>): Promise<unknown> =>
      until(what, async () => {
        if (await isThere()) return true;
        await window.press(key);
        return isThere();
      });
    try {
      await window.text('[id$="livepatch.status"]', /same code/, 120_000);
      await window.text('.tab.active', /quote\.c/);

      // A blocker, and the way out that its menu offers.
      await goToLine(window, line('alarm_threshold = 200'));
      await window.press('End');
      await window.press('ArrowLeft');
      await window.type('0');
      await window.press('Control+s');
      await window.text('[id$="livepatch.status"]', /blocker/, 60_000);
      // The status may be there before the finding.
      const way = async (): Promise<boolean> =>
        (await window.texts('.action-widget .monaco-list-row')).some((text) => /Take back the change/.test(text));
      await until('the ways out', async () => {
        if (await way()) return true;
        await window.press('Control+.');
        return until('the ways out', way, 3000).catch(() => false);
      });
      await walk('ArrowDown', 'the way out has the focus', async () =>
        /Take back the change/.test(await textOf('.action-widget .monaco-list-row.focused')),
      );
      await window.press('Enter');
      await window.text('.view-line', /alarm_threshold\s=\s200;/);
      await window.press('Control+s');
      await window.text('[id$="livepatch.status"]', /same code/, 60_000);

      await goToLine(window, line('/ quote->open * 10000'));
      await window.press('End');
      await window.press('Shift+Home');
      await window.type('return (quote->price - quote->open) * 10000 / quote->open + 7;');
      await window.press('Control+s');
      await window.text('[id$="livepatch.status"]', /2 functions/, 60_000);

      // The view: Space ticks the row that has the keyboard, and opens nothing.
      const row = '.pane-body .monaco-list:focus-within .monaco-list-row.focused';
      const inView = (): Promise<boolean> =>
        window.evaluate<boolean>("document.activeElement?.closest('.pane-body .monaco-list, .pane-body') != null");
      await until('the view has the keyboard', async () => {
        await window.press('Escape');
        await window.press('F1');
        await window.text('.quick-input-widget', /./);
        await window.type('Live Patch: Focus on');
        // The list may still be that of the text before.
        await window.text('.quick-input-list .monaco-list-row.focused', /Live Patch: Focus on/);
        await window.press('Enter');
        return until('the view', inView, 5000).catch(() => false);
      });
      await window.press('Home');
      await walk('ArrowDown', 'the function has the keyboard', async () => /quote_line/.test(await textOf(row)));
      // Undefined while the row is drawn anew.
      const box = (): Promise<string> =>
        window.evaluate<string>(
          `((e) => e ? String(e.classList.contains('checked')) : 'none')(document.querySelector(${JSON.stringify(`${row} .custom-view-tree-node-item-checkbox`)}))`,
        );
      const isBox = (state: boolean): Promise<unknown> =>
        until(`ticked: ${state}`, async () => (await box()) === `${state}`);
      await isBox(false);
      for (const state of [true, false, true]) {
        await window.press('Space');
        await isBox(state);
      }
      assert.deepEqual(
        (await window.texts('.tab')).filter((text) => /instructions/.test(text)),
        [],
        'no listing is opened',
      );
      // Its menu has what the buttons of the row do.
      await window.press('Shift+F10');
      await until('the menu', () =>
        window.evaluate<boolean>(
          "[document, ...[...document.querySelectorAll('.shadow-root-host')].map((e) => e.shadowRoot)].some((e) => [...e.querySelectorAll('.monaco-menu .action-label')].some((item) => /Leave out of the Patch/.test(item.textContent)))",
        ),
      );
      await window.press('Escape');

      // The overview: a box of it by Tab and Space.
      await chord(window, 'o');
      await window.text('.tab.active', /Patch Overview/, 60_000);
      const open = "document.activeElement?.matches('[data-review]') && !document.activeElement.checked";
      const inPage = async (expression: string): Promise<boolean> =>
        (await window.evaluateIn<boolean | null>('[data-review]', expression).catch(() => false)) === true;
      await until('its boxes', () => inPage('true'), 60_000);
      await walk('Tab', 'a box that is not ticked has the keyboard', () => inPage(open));
      const name = await window.evaluateIn<string>('[data-review]', 'document.activeElement.dataset.review');
      await window.press('Space');
      const ticked = `document.querySelector(${JSON.stringify(`[data-review='${name}']`)})?.checked === true`;
      await until('the box is ticked', () => inPage(ticked));
      await until('the page has the keyboard where it was', () =>
        inPage(`document.activeElement?.dataset.review === ${JSON.stringify(name)}`),
      );
    } catch (error) {
      const file = process.env.LPA_FAILURE_SHOT;
      if (file) await window.ask('shot', { path: file });
      throw error;
    } finally {
      await window.close();
    }
  });
});
