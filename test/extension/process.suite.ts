import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import * as vscode from 'vscode';
import type { TargetItem } from '../../server/src/protocol.ts';
import { api, functionsOf, needsPage, open, page, replace, reset, root, settled, until, uriOf } from './support.ts';

const QUOTE = 'src/quote.c';
const FROM = '(quote->price - quote->open) / quote->open * 10000';
const TO = '(quote->price - quote->open) * 10000 / quote->open';

const board = async (): Promise<string> => (await fetch(process.env.LPA_TICKER_URL ?? '')).text();
/** The unpatched program shows a change of zero always. */
const isFixed = (text: string): boolean =>
  [...text.matchAll(/[+-]\d+\.\d\d %/g)].some(([change]) => !/^[+-]0\.00 %$/.test(change));
const pages = (text: string): number => Number(/page (\d+)/.exec(text)?.[1]);
const ticks = (text: string): number => Number(/after (\d+) ticks/.exec(text)?.[1]);

/** The main job's second half: the payload, the running program, and back. */
describe('the running program', () => {
  before(async function () {
    this.timeout(90_000);
    await reset();
    const editor = await open(QUOTE);
    await replace(editor, FROM, TO);
    await editor.document.save();
    await settled(
      'it can be patched',
      (state) => state.verdict === 'patchable' && functionsOf(state).length === 2,
      60_000,
    );
  });
  after(reset);

  it('runs the old code at first', async () => {
    const seen = new Set<number>();
    for (let round = 0; round < 5; round++) {
      const text = await board();
      assert.ok(!isFixed(text), text);
      seen.add(ticks(text));
      await new Promise((resolve) => setTimeout(resolve, 120));
    }
    assert.ok(seen.size > 1, 'the prices move');
  });

  it('gets its payload by one command', async () => {
    const file = await vscode.commands.executeCommand<string>('livepatch.buildPatch');
    assert.ok(file?.startsWith(root()), file);
    assert.ok(statSync(file).size > 0);
    assert.equal(readFileSync(file).subarray(0, 4).toString('latin1'), '\x7fELF');
  });

  it('is named with its state among the targets', async () => {
    const { targets } = await api();
    await vscode.commands.executeCommand('livepatch.refreshTargets');
    const [target] = targets();
    assert.equal(target?.name, 'ticker');
    assert.equal(target?.alive, true);
    assert.equal(target?.pid, Number(process.env.LPA_TICKER_PID));
    assert.deepEqual(target?.patches, []);
  });

  it('is patched and reverted by a user with a mouse, after one question that names everything', async function () {
    needsPage(this);
    this.timeout(120_000);
    const target = async (): Promise<TargetItem | undefined> => {
      await vscode.commands.executeCommand('livepatch.refreshTargets');
      return (await api()).targets()[0];
    };
    const before = await board();
    const window = await page.open(uriOf(QUOTE).fsPath);
    // A VS Code that is driven by a test shows no toasts: the list of notifications is opened instead.
    const showNotifications = async (): Promise<void> => {
      if ((await window.texts('.notifications-center.visible')).length > 0) return;
      await until(
        'a notification',
        () => window.evaluate<boolean>("document.querySelector('.codicon-bell-dot') !== null"),
        30_000,
      );
      await window.click('[id="status.notifications"] a');
    };
    try {
      await window.text('.codelens-decoration', /machine code changed/, 40_000);
      // The window may remember the view of the one before it.
      const isShown = (await window.texts('.composite.title')).some((text) => /Live Patch/i.test(text));
      if (!isShown) await window.click('.activitybar .action-item a[aria-label*="Live Patch"]');
      await window.text('.monaco-list-row', /quote_line/);
      await window.text('.monaco-list-row', /ticker.*process/);
      // The view may be drawn anew at the moment of the click.
      await until('one function is ticked', async () => {
        const ticked = () =>
          window.evaluate<boolean>(
            'document.querySelector(\'.monaco-list-row .monaco-custom-toggle.checked, .monaco-list-row [aria-checked="true"]\') !== null',
          );
        if (await ticked()) return true;
        await window.click(
          '.monaco-list-row .monaco-custom-toggle, .monaco-list-row .custom-view-tree-node-item-checkbox',
        );
        await new Promise((resolve) => setTimeout(resolve, 700));
        return ticked();
      });
      await window.click('.codelens-decoration a', 'Build patch');
      await showNotifications();
      await window.text('.notifications-center', /The patch is built/);
      await window.click('.notifications-center .monaco-button', 'Apply');
      const question = await window.text('.monaco-dialog-box', /Apply/);
      assert.match(question, new RegExp(`to ticker \\(process ${process.env.LPA_TICKER_PID}\\)`));
      assert.match(question, /replaced: quote_alarm, quote_line/);
      assert.match(question, /Not reviewed: quote_line\./);
      assert.match(question, /inline-widened/);
      await window.shot('question');
      assert.ok(!isFixed(await board()), 'nothing happens before the answer');
      await window.click('.monaco-dialog-box .monaco-button', 'Apply');
      await showNotifications();
      await window.text('.notifications-center', /runs the new code of 2 functions/, 30_000);
      const after = await until('the new behaviour', async () => {
        const text = await board();
        return isFixed(text) && text;
      });
      assert.ok(pages(after) > pages(before) && ticks(after) > ticks(before), 'the program went on where it was');
      assert.equal((await target())?.pid, Number(process.env.LPA_TICKER_PID));
      assert.equal((await target())?.patches.filter((each) => each.state === 'applied').length, 1);
      await window.text('.monaco-list-row', /applied: .*quote_line/);
      await window.text('.codelens-decoration', /ticker runs the code of patch/);
      await window.shot('patched');
      await window.click('.notifications-center .monaco-button', 'Revert');
      await showNotifications();
      await window.text('.notifications-center', /runs the old code again/, 30_000);
      for (let round = 0; round < 5; round++) {
        assert.ok(!isFixed(await board()));
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      assert.equal((await target())?.patches.filter((each) => each.state === 'applied').length, 0);
    } finally {
      await window.close();
    }
  });
});
