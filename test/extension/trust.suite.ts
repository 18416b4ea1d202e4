import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import * as vscode from 'vscode';
import { EXTENSION, findings, open, page, replace, settled, until } from './support.ts';

const told = process.env.LPA_SPY ?? '';

/** A folder's own settings name its compiler: nothing of it may run before the user trusts the folder. */
describe('a folder that is not trusted', () => {
  it('runs no compiler', async function () {
    if (!page.available) this.skip();
    this.timeout(90_000);
    assert.equal(vscode.workspace.isTrusted, false);
    await page.press('Escape').catch(() => {});
    const editor = await open('src/quote.c');
    await replace(editor, '/ quote->open * 10000', '/ quote->open * 30000');
    await editor.document.save();
    await new Promise((resolve) => setTimeout(resolve, 4000));
    // VS Code runs an extension that is loaded from a folder for development even here: then it must keep still by itself.
    if (process.env.LPA_INSTALLED)
      assert.ok(!vscode.extensions.getExtension(EXTENSION)?.isActive, 'the extension does not run');
    assert.ok(!existsSync(told), 'no compiler was run');
    assert.deepEqual(findings(editor.document.uri), []);
  });

  it('works as soon as the user trusts it', async function () {
    if (!page.available) this.skip();
    this.timeout(90_000);
    await vscode.commands.executeCommand('workbench.trust.manage');
    await until('the button', async () => {
      await page.click('.workspace-trust-editor .monaco-button', 'Trust');
      return true;
    });
    await until('the folder is trusted', () => vscode.workspace.isTrusted);
    await open('src/quote.c');
    await settled('the edit is seen', (state) => state.units.some((unit) => unit.functions.length > 0), 60_000);
    assert.match(readFileSync(told, 'utf8'), /quote\.c/);
  });
});
