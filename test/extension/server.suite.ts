import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import * as vscode from 'vscode';
import { api, codeOf, findings, functionsOf, open, replace, reset, settled, until } from './support.ts';

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
    const { serverPid, isReviewed } = await api();
    const alarm = async () =>
      (await settled('quote_alarm changed', (state) => functionsOf(state).length === 2, 60_000)).units
        .flatMap((unit) => unit.functions)
        .find((each) => each.name === 'quote_alarm');
    await replace(editor, '/ quote->open * 10000', '/ quote->open * 20000');
    await editor.document.save();
    const before = await alarm();
    assert.ok(before);
    await vscode.commands.executeCommand('livepatch.markReviewed', { function: before });
    assert.ok(isReviewed(before), 'it is marked');
    const first = serverPid();
    assert.ok(first);
    process.kill(first, 'SIGKILL');
    const second = await until('another server', () => serverPid() !== first && serverPid(), 30_000);
    assert.notEqual(second, first);
    await settled('it has looked again', (state) => state.verdict === 'blocked', 60_000);
    await until('the finding is told again', find, 30_000);
    const after = await alarm();
    assert.ok(after && isReviewed(after), 'what was reviewed still is');
    await replace(editor, '/ quote->open * 20000', '/ quote->open * 30000');
    await editor.document.save();
    const state = await settled(
      'it follows edits',
      (each) => functionsOf(each).some((item) => item.name === 'quote_alarm' && !isReviewed(item)),
      60_000,
    );
    assert.equal(
      state.units.flatMap((unit) => unit.functions).find((each) => each.name === 'quote_line')?.leftOut,
      true,
    );
    await vscode.commands.executeCommand('livepatch.takeIn', { name: 'quote_line' });
  });

  it('comes back where messages were on their way to it, and where it dies again while it starts', async function () {
    this.timeout(180_000);
    await reset();
    const editor = await open('src/quote.c');
    await replace(editor, '/ quote->open * 10000', '/ quote->open * 20000');
    await editor.document.save();
    await settled('both functions changed', (state) => functionsOf(state).length === 2, 60_000);
    const { serverPid } = await api();
    const ask = () => vscode.commands.executeCommand('livepatch.checkNow').then(undefined, () => {});
    const first = serverPid();
    assert.ok(first);
    process.kill(first, 'SIGKILL');
    // It is gone before this process has been told so: what is sent now goes nowhere.
    const since = Date.now();
    while (Date.now() - since < 200);
    const asked = [1, 2, 3, 4, 5].map(ask);
    const second = await until('another server', () => serverPid() !== first && serverPid(), 30_000);
    process.kill(second, 'SIGKILL');
    const third = await until('a third server', () => serverPid() !== second && serverPid(), 30_000);
    await Promise.all(asked);
    await ask();
    assert.equal(serverPid(), third);
    await replace(editor, '/ quote->open * 20000', '/ quote->open * 30000');
    await editor.document.save();
    await settled(
      'it follows edits',
      (state) => functionsOf(state).length === 2 && state.verdict === 'patchable',
      60_000,
    );
  });

  it('remembers edits in files that are closed: what was edited before is part of the patch', async function () {
    this.timeout(180_000);
    await reset();
    const editor = await open('src/quote.c');
    await replace(editor, '/ quote->open * 10000', '/ quote->open * 20000');
    await editor.document.save();
    const both = (): Promise<unknown> =>
      settled('both functions changed', (state) => functionsOf(state).length === 2, 60_000);
    await both();
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    await open('src/server.c');
    const { serverPid } = await api();
    const first = serverPid();
    assert.ok(first);
    process.kill(first, 'SIGKILL');
    await until('another server', () => serverPid() !== first && serverPid(), 30_000);
    await both();
  });

  it('is left alone where it dies again and again, until it is asked for', async function () {
    this.timeout(180_000);
    await reset();
    const header = await open('src/quote.h');
    await replace(header, '\tlong open;', '\tlong volume;\n\tlong open;');
    await header.document.save();
    const isLayout = ({ code }: { readonly code: string }): boolean => code === 'struct-layout';
    const { units } = await settled(
      'a layout changed',
      (state) => state.units.some(({ findings }) => findings.some(isLayout)),
      60_000,
    );
    // Views that ask whenever the state is another one, which the end of a server makes it.
    const unit = units.find(({ findings }) => findings.some(isLayout))?.id;
    await vscode.commands.executeCommand('livepatch.showLayoutPicture', { unit, type: 'struct quote' });
    await vscode.commands.executeCommand('livepatch.showOverview');
    await vscode.commands.executeCommand('livepatch.patch.focus');
    const { serverPid } = await api();
    let kills = 0;
    const rest = async (): Promise<number | undefined> => {
      for (let round = 0; round < 100 && serverPid() === undefined; round++)
        await new Promise((resolve) => setTimeout(resolve, 60));
      return serverPid();
    };
    for (let pid = await rest(); pid !== undefined && kills < 10; pid = await rest()) {
      process.kill(pid, 'SIGKILL');
      kills++;
      const gone = pid;
      await until('it is gone', () => serverPid() !== gone, 30_000);
    }
    assert.ok(kills < 10, `started again after ${kills} kills within three minutes`);
    await vscode.commands.executeCommand('livepatch.refreshTargets').then(undefined, () => {});
    await new Promise((resolve) => setTimeout(resolve, 5000));
    assert.equal(serverPid(), undefined, 'no view has started it');
    await vscode.commands.executeCommand('livepatch.restartServer');
    assert.ok(serverPid());
    await settled(
      'it knows the edit again',
      (state) => state.units.some((each) => each.findings.some(isLayout)),
      60_000,
    );
    await reset();
    const editor = await open('src/quote.c');
    await replace(editor, '/ quote->open * 10000', '/ quote->open * 20000');
    await editor.document.save();
    await settled('it follows edits', (state) => functionsOf(state).length === 2, 60_000);
  });

  it('is one, though it was started again twice at once', async function () {
    this.timeout(120_000);
    const { serverPid } = await api();
    const servers = (): number[] =>
      readdirSync('/proc')
        .filter((name) => /^\d+$/.test(name))
        .map(Number)
        .filter((pid) => {
          try {
            const parent = / [A-Z] (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1];
            return (
              Number(parent) === process.pid && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('server.cjs')
            );
          } catch {
            return false;
          }
        });
    const restart = () => vscode.commands.executeCommand('livepatch.restartServer');
    await Promise.all([restart(), restart()]);
    await Promise.all([restart(), new Promise((resolve) => setTimeout(resolve, 100)).then(restart)]);
    await until('the others are gone', () => servers().length === 1, 20_000);
    assert.deepEqual(servers(), [serverPid()]);
    await settled('it works', (state) => functionsOf(state).length === 2, 60_000);
  });
});
