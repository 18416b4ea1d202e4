import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import * as vscode from 'vscode';
import { api, functionsOf, needsPage, open, page, replace, reset, root, settled, until } from './support.ts';

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

  it('is patched after one question that names everything, and keeps its state', async function () {
    needsPage(this);
    this.timeout(60_000);
    const before = await board();
    await vscode.commands.executeCommand('livepatch.patch.focus');
    const outcome = vscode.commands.executeCommand<{ ok: boolean; message: string }>('livepatch.applyPatch');
    const [question] = await until('the question', async () => {
      const list = await page.texts('.monaco-dialog-box');
      return list.length > 0 && list;
    });
    assert.match(question!, /ticker/);
    assert.match(question!, new RegExp(`process ${process.env.LPA_TICKER_PID}`));
    assert.match(question!, /quote_alarm/);
    assert.match(question!, /quote_line/);
    assert.match(question!, /Not reviewed: .*quote_line/);
    await page.click('.monaco-dialog-box .monaco-button', 'Apply');
    const result = await outcome;
    assert.ok(result?.ok, result?.message);
    const after = await until('the new behaviour', async () => {
      const text = await board();
      return isFixed(text) && text;
    });
    assert.ok(pages(after) > pages(before) && ticks(after) > ticks(before), 'the program went on where it was');
    const [target] = (await api()).targets();
    assert.equal(target?.pid, Number(process.env.LPA_TICKER_PID));
    assert.equal(target?.patches.filter((each) => each.state === 'applied').length, 1);
    await until('the view shows it', async () =>
      (await page.texts('.monaco-list-row')).some((text) => /applied/.test(text) && /quote_line/.test(text)),
    );
    await page.shot('patched');
  });

  it('is itself again after the revert', async function () {
    needsPage(this);
    this.timeout(60_000);
    const result = await vscode.commands.executeCommand<{ ok: boolean; message: string }>('livepatch.revertPatch');
    assert.ok(result?.ok, result?.message);
    for (let round = 0; round < 5; round++) {
      assert.ok(!isFixed(await board()));
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const [target] = (await api()).targets();
    assert.equal(target?.patches.filter((each) => each.state === 'applied').length, 0);
  });
});
