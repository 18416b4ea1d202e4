import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { api, find, median, open, page, patience, replace, settled, until } from './support.ts';

/** The folder `one` holds src/big.c, whose only function has some twenty thousand instructions (scripts/test-extension.mjs). */
describe('a function of 20,000 instructions', () => {
  it('opens in less than a second', async function () {
    this.timeout(900_000);
    await api();
    const editor = await open('src/big.c');
    await replace(editor, 'x ^= p[2500] * 2500', 'x ^= p[2500] * 2503 + p[1]');
    await editor.document.save();
    const state = await settled(
      'it changed',
      (each) => each.units.some((unit) => unit.functions.some((item) => item.name === 'big')),
      500_000,
    );
    const item = state.units.flatMap((unit) => unit.functions).find((each) => each.name === 'big');
    assert.ok((item?.nextInstructions ?? 0) >= 20_000, String(item?.nextInstructions));
    const [times, shares]: [number[], number[]] = [[], []];
    for (let round = 0; round < 5; round++) {
      shares.push(patience());
      await vscode.commands.executeCommand('workbench.action.closeAllEditors');
      const source = await open('src/big.c');
      const at = find(source.document, 'big(', 1);
      source.selection = new vscode.Selection(at, at);
      const began = performance.now();
      await vscode.commands.executeCommand('livepatch.reviewFunction');
      await until(
        'the diff',
        () => vscode.window.tabGroups.activeTabGroup.activeTab?.input instanceof vscode.TabInputTextDiff,
      );
      if (page.available)
        await until('it is drawn', () =>
          page.evaluate<boolean>("document.querySelectorAll('.monaco-diff-editor .view-line').length > 20"),
        );
      times.push(performance.now() - began);
    }
    const share = median(shares);
    console.log(
      `      opened in ${times.map((time) => `${Math.round(time)} ms`).join(', ')}; machine shared ${share.toFixed(1)}-fold`,
    );
    assert.ok(median(times) < 1000 * share, times.join(' '));
    if (!page.available) return;
    await until(
      'the difference is found',
      () =>
        page.evaluate<boolean>(
          "document.querySelector('.monaco-diff-editor .diffOverview, .monaco-diff-editor .line-insert') !== null",
        ),
      60_000,
    );
  });
});
