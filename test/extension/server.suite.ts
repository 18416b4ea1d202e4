import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { api, codeOf, findings, open, replace, reset, settled, until } from './support.ts';

/** A language server that dies is started again and loses nothing that matters. */
describe('a language server that crashes', () => {
  after(reset);

  it('comes back with the same findings and the same decisions', async function () {
    this.timeout(120_000);
    await reset();
    const editor = await open('src/quote.c');
    await replace(editor, 'alarm_threshold = 200', 'alarm_threshold = 100');
    await editor.document.save();
    const find = () => findings(editor.document.uri).find((each) => codeOf(each) === 'data-init-changed');
    await until('the finding', find, 30_000);
    await vscode.commands.executeCommand('livepatch.leaveOut', { name: 'quote_line' });
    const { serverPid } = await api();
    const first = serverPid();
    assert.ok(first);
    process.kill(first, 'SIGKILL');
    const second = await until('another server', () => serverPid() !== first && serverPid(), 30_000);
    assert.notEqual(second, first);
    await settled('it has looked again', (state) => state.verdict === 'blocked', 60_000);
    await until('the finding is told again', find, 30_000);
    await replace(editor, '/ quote->open * 10000', '/ quote->open * 30000');
    await editor.document.save();
    const state = await settled(
      'it follows edits',
      (each) => each.units.some((unit) => unit.functions.length > 0),
      60_000,
    );
    assert.equal(
      state.units.flatMap((unit) => unit.functions).find((each) => each.name === 'quote_line')?.leftOut,
      true,
    );
    await vscode.commands.executeCommand('livepatch.takeIn', { name: 'quote_line' });
  });
});
