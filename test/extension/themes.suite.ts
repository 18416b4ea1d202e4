import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { find, functionsOf, needsPage, open, page, replace, reset, settled, until, uriOf } from './support.ts';

/** A theme of each kind that VS Code knows, and the class that its window has then. */
const THEMES = [
  ['Default Light Modern', 'vs', 'light'],
  ['Default Dark Modern', 'vs-dark', 'dark'],
  ['Default High Contrast', 'hc-black', 'contrast-dark'],
  ['Default High Contrast Light', 'hc-light', 'contrast-light'],
] as const;

/** WCAG 2.1: text needs 4.5, marks that carry meaning 3; text that stands back for a reason (1.4.3, inactive) is held to 3 here. */
const READABLE = 3;

/**
 * Contrast of what matches `selector` against the editor, as an expression for the page: colour and opacity of each element over the
 * background, the lowest of all. `property` is the colour that counts.
 */
const contrast = (selector: string, property: string): string => `(() => {
  const parse = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const lum = (c) => c.map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
  const back = parse(getComputedStyle(document.querySelector('.monaco-editor-background, .monaco-editor')).backgroundColor);
  const all = [...document.querySelectorAll(${JSON.stringify(selector)})].filter((e) => e.getClientRects().length > 0);
  return all.length === 0 ? null : Math.min(...all.map((e) => {
    const style = getComputedStyle(e);
    const [r, g, b, a = 1] = parse(style[${JSON.stringify(property)}]);
    const alpha = a * Number(style.opacity);
    const over = [r, g, b].map((v, at) => v * alpha + back[at] * (1 - alpha));
    const [x, y] = [lum(over), lum(back.slice(0, 3))];
    return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
  }));
})()`;

/** The same for one of the extension's colours, as the theme gives it. */
const contrastOf = (variable: string): string => `(() => {
  const probe = document.createElement('span');
  probe.className = 'contrast-probe';
  probe.style.color = 'var(${variable})';
  probe.textContent = 'x';
  document.querySelector('.monaco-workbench').append(probe);
  try {
    return getComputedStyle(document.querySelector('.monaco-workbench')).getPropertyValue('${variable}') === ''
      ? null
      : ${contrast('.contrast-probe', 'color')};
  } finally {
    probe.remove();
  }
})()`;

/** Pictures to look at, no part of the package: only where LPA_UPDATE_MEDIA=themes asks for them. */
const shot = async (name: string): Promise<void> =>
  process.env.LPA_UPDATE_MEDIA === 'themes' ? page.shot(name) : undefined;

describe('the main views in light, dark and high contrast', () => {
  let before_: string | undefined;
  const configuration = (): vscode.WorkspaceConfiguration => vscode.workspace.getConfiguration('workbench');
  before(async function () {
    this.timeout(120_000);
    await reset();
    before_ = configuration().get('colorTheme');
    const editor = await open('src/quote.c');
    await replace(
      editor,
      '(quote->price - quote->open) / quote->open * 10000',
      '(quote->price - quote->open) * 10000 / quote->open',
    );
    await replace(editor, 'alarm_threshold = 200', 'alarm_threshold = 300');
    await editor.document.save();
    await settled('functions changed', (state) => functionsOf(state).length === 2, 60_000);
    await vscode.commands.executeCommand('livepatch.patch.focus');
  });
  after(async () => {
    await configuration().update('colorTheme', before_, vscode.ConfigurationTarget.Global);
    await reset();
  });

  for (const [theme, kind, name] of THEMES)
    it(`can be read in ${theme}`, async function () {
      needsPage(this);
      this.timeout(120_000);
      await configuration().update('colorTheme', theme, vscode.ConfigurationTarget.Global);
      await until('the theme', () =>
        page.evaluate<boolean>(`document.querySelector('.monaco-workbench').classList.contains('${kind}')`),
      );
      await vscode.commands.executeCommand('workbench.action.closeAllEditors');
      const source = await open('src/quote.c');
      await page.text('.codelens-decoration', /machine code changed/);
      await shot(`theme-source-${name}`);
      for (const [selector, property] of [
        ['.codelens-decoration a, .codelens-decoration span', 'color'],
        ['.monaco-list-row .label-name', 'color'],
      ] as const) {
        const ratio = await page.evaluate<number | null>(contrast(selector, property));
        assert.ok(ratio !== null && ratio >= READABLE, `${selector} in ${theme}: ${ratio}`);
      }
      const at = find(source.document, 'int quote_line', 5);
      source.selection = new vscode.Selection(at, at);
      await vscode.commands.executeCommand('livepatch.reviewFunction');
      await page.text('.monaco-diff-editor .view-line', /; /);
      const beside = await vscode.window.showTextDocument(uriOf('src/quote.c'), {
        viewColumn: vscode.ViewColumn.Beside,
        preserveFocus: false,
      });
      const line = find(beside.document, '* 10000 /');
      beside.selection = new vscode.Selection(line, line);
      // The bar at rows that belong to the selected line is what carries the meaning.
      await until('rows light up', () =>
        page.evaluate<boolean>(
          "[...document.querySelectorAll('.monaco-diff-editor .view-overlays .cdr')].some((e) => getComputedStyle(e).borderLeftWidth === '3px')",
        ),
      );
      for (const id of ['linkedLineBorder', 'changedLine', 'reachedLine']) {
        const ratio = await page.evaluate<number | null>(contrastOf(`--vscode-livepatch-${id}`));
        assert.ok(ratio !== null && ratio >= READABLE, `livepatch.${id} in ${theme}: ${ratio}`);
      }
      const text = await page.evaluate<number | null>(contrast('.monaco-diff-editor .view-line span span', 'color'));
      assert.ok(text !== null && text >= READABLE, `text of listings in ${theme}: ${text}`);
      await shot(`theme-code-${name}`);
    });
});
