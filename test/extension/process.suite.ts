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
  after(async function () {
    this.timeout(60_000);
    // A test that failed half-way is to be the only one.
    await vscode.commands.executeCommand('livepatch.refreshTargets');
    const [left] = (await api()).targets();
    if (left?.patches.some((each) => each.state === 'applied'))
      await vscode.commands.executeCommand('livepatch.revertPatch', { target: left });
    await reset();
  });

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
    this.timeout(300_000);
    const target = async (): Promise<TargetItem | undefined> => {
      await vscode.commands.executeCommand('livepatch.refreshTargets');
      return (await api()).targets()[0];
    };
    const before = await board();
    const window = await page.open(uriOf(QUOTE).fsPath);
    // A VS Code that is driven by a test shows no toasts: the list of notifications is opened instead, again where it closed itself.
    const notified = (pattern: RegExp): Promise<string> =>
      until(
        String(pattern),
        async () => {
          const isOpen = (await window.texts('.notifications-center.visible')).length > 0;
          const hasNew = await window.evaluate<boolean>("document.querySelector('.codicon-bell-dot') !== null");
          if (!isOpen && hasNew) await window.click('[id="status.notifications"] a');
          return (await window.texts('.notifications-center.visible')).find((text) => pattern.test(text));
        },
        90_000,
      );
    try {
      await window.text('.codelens-decoration', /machine code changed/, 120_000);
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
        // A second click would take it back: the answer may take its time.
        await until('the tick', ticked, 8000).catch(() => false);
        // VS Code draws it before the extension knows of it.
        await new Promise((resolve) => setTimeout(resolve, 1500));
        return ticked();
      });
      await window.click('.codelens-decoration a', 'Build patch');
      await notified(/The patch is built/);
      await window.click('.notifications-center .monaco-button', 'Apply');
      const question = await window.text('.monaco-dialog-box', /Apply/, 60_000);
      assert.match(question, new RegExp(`to ticker \\(process ${process.env.LPA_TICKER_PID}\\)`));
      assert.match(question, /replaced: quote_alarm, quote_line/);
      assert.match(question, /Not reviewed: quote_line\./);
      assert.match(question, /Findings that nobody has looked at: .*inline-widened \(change\)/);
      await window.shot('question');
      assert.ok(!isFixed(await board()), 'nothing happens before the answer');
      await window.click('.monaco-dialog-box .monaco-button', 'Apply');
      await notified(/runs the new code of 2 functions/);
      const after = await until('the new behaviour', async () => {
        const text = await board();
        return isFixed(text) && text;
      });
      assert.ok(pages(after) > pages(before) && ticks(after) > ticks(before), 'the program went on where it was');
      assert.equal((await target())?.pid, Number(process.env.LPA_TICKER_PID));
      assert.equal((await target())?.patches.filter((each) => each.state === 'applied').length, 1);
      await window.text('.monaco-list-row', /applied: .*quote_line/);
      const running = (await target())?.patches[0]?.running ?? [];
      assert.deepEqual(
        running.map(({ name, redirected, memory }) => ({ name, redirected, memory })),
        ['quote_alarm', 'quote_line'].map((name) => ({ name, redirected: true, memory: 'redirected' })),
      );
      await window.click('.monaco-list-row', 'applied: ');
      await window.text(
        '.monaco-list-row',
        /quote_line.*runs the patch; the old code is untouched apart from the jump/s,
      );
      await window.text('.codelens-decoration', /ticker runs the code of patch/, 90_000);
      await window.shot('patched');
      await window.shot('walkthrough/apply', { x: 46, y: 36, width: 870, height: 490 });
      await window.click('.notifications-center .monaco-button', 'Revert');
      // Nothing to answer: a status does.
      await window.text('.statusbar-item', /runs the old code again/, 90_000);
      assert.ok(!(await window.texts('.notification-list-item')).some((text) => /old code again/.test(text)));
      for (let round = 0; round < 5; round++) {
        assert.ok(!isFixed(await board()));
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      assert.equal((await target())?.patches.filter((each) => each.state === 'applied').length, 0);
      // The button of a notification takes back the patch that it tells of, and none where somebody else did.
      await window.click('.codelens-decoration a', 'Build patch');
      await notified(/The patch is built/);
      await window.click('.notifications-center .monaco-button', 'Apply');
      await window.text('.monaco-dialog-box', /Apply/, 60_000);
      await window.click('.monaco-dialog-box .monaco-button', 'Apply');
      await notified(/runs the new code of 2 functions/);
      await vscode.commands.executeCommand('livepatch.revertPatch', { target: await target() });
      assert.equal((await target())?.patches.filter((each) => each.state === 'applied').length, 0);
      await window.click('.notifications-center .monaco-button', 'Revert');
      await notified(/Patch \S+ is not applied\./);
    } finally {
      await window.close();
    }
  });
});
