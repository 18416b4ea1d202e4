import assert from 'node:assert/strict';
import { join } from 'node:path';
import * as vscode from 'vscode';
import { api, EXTENSION, median, needsPage, page, patience, root } from './support.ts';

/** Milliseconds that VS Code may spend on loading and activating the extension. */
const LIMIT = 100;
const ROUNDS = 3;

/** This suite comes first in its window: nothing has activated the extension. */
describe('activation', () => {
  it('has not happened, and does nothing, before a C file of a configured folder is open', async () => {
    const extension = vscode.extensions.getExtension(EXTENSION);
    assert.equal(extension?.isActive, false);
    await vscode.workspace.openTextDocument(join(root(), 'livepatch.json'));
    await new Promise((done) => setTimeout(done, 1500));
    assert.equal(extension?.isActive, false, 'a file that is no C source does not activate it');
    const { states, serverPid } = await api();
    await new Promise((done) => setTimeout(done, 500));
    assert.deepEqual(states(), []);
    assert.equal(serverPid(), undefined, 'no server was started');
  });

  it('takes less than 100 ms by VS Code’s own clock', async function () {
    needsPage(this);
    this.timeout(240_000);
    const [times, shares]: [number[], number[]] = [[], []];
    for (let round = 0; round < ROUNDS; round++) {
      const window = await page.open(join(root(), 'src', 'quote.c'), root());
      try {
        await window.text('.tab', /quote\.c/, 60_000);
        shares.push(patience());
        await window.text('[id$="livepatch.status"]', /Live Patch/, 60_000);
        await window.press('F1');
        await window.text('.quick-input-list .monaco-list-row', /./);
        await window.type('Show Running Extensions');
        await window.text('.quick-input-list .monaco-list-row', /Show Running Extensions/);
        await window.press('Enter');
        const row = await window.text(
          '.runtime-extensions-editor .monaco-list-row',
          /livepatch-author[\s\S]*Activation: \d+ ?ms|Live Patch Author[\s\S]*Activation: \d+ ?ms/,
          30_000,
        );
        const [, time] = /Activation: (\d+) ?ms/.exec(row) ?? [];
        assert.ok(time, row);
        times.push(Number(time));
      } finally {
        await window.close();
      }
    }
    const share = median(shares);
    console.log(`      activated in ${times.join(', ')} ms; machine shared ${share.toFixed(1)}-fold`);
    assert.ok(median(times) < LIMIT * share, `${times.join(', ')} ms`);
  });
});
