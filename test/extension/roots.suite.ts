import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import * as vscode from 'vscode';
import { api, needsPage, page, replace, until } from './support.ts';

const folder = (index: number): string => {
  const found = vscode.workspace.workspaceFolders?.[index];
  assert.ok(found);
  return found.uri.fsPath;
};

async function openIn(index: number, name: string): Promise<vscode.TextEditor> {
  return vscode.window.showTextDocument(vscode.Uri.file(join(folder(index), name)), { preview: false });
}

/** A window with several folders: each configured one has a session of its own, which starts with its first C source. */
describe('several folders in one window', () => {
  it('checks what is saved in either', async function () {
    this.timeout(180_000);
    const { states } = await api();
    const changed = (index: number): string[] =>
      states()
        .filter((state) => state.root === folder(index))
        .flatMap((state) => state.units)
        .flatMap((unit) => unit.functions.map((each) => each.name));
    const first = await openIn(0, 'src/quote.c');
    await until('the first folder', () => states().length === 1, 60_000);
    await replace(first, '/ quote->open * 10000', '/ quote->open * 20000');
    await first.document.save();
    await until('its functions', () => changed(0).length === 2, 60_000);
    assert.equal(states().length, 1, 'the other folder has not been started');
    const second = await openIn(1, 'src/quote.c');
    await until('the second folder', () => states().length === 2, 60_000);
    assert.equal(changed(1).length, 0);
    await replace(second, '/ quote->open * 10000', '/ quote->open * 30000');
    await second.document.save();
    await until('its functions', () => changed(1).length === 2, 90_000);
    assert.equal(changed(0).length, 2);
    const listing = async (index: number): Promise<string> => {
      const item = states()
        .find((state) => state.root === folder(index))
        ?.units.flatMap((unit) => unit.functions)
        .find((each) => each.name === 'quote_line');
      await vscode.commands.executeCommand('livepatch.reviewFunction', { unit: item?.unit, name: 'quote_line' });
      const input = await until('the diff', () => {
        const tab = vscode.window.tabGroups.activeTabGroup.activeTab?.input;
        return tab instanceof vscode.TabInputTextDiff && tab;
      });
      const text = (await vscode.workspace.openTextDocument(input.modified)).getText();
      await vscode.commands.executeCommand('workbench.action.closeActiveEditor');
      return text;
    };
    assert.match(await listing(0), /0x4e20/);
    assert.match(await listing(1), /0x7530/);
  });

  it('shows a patch for each folder', async function () {
    needsPage(this);
    await vscode.commands.executeCommand('livepatch.patch.focus');
    await page.text('.monaco-list-row', /Patch of one/);
    await page.text('.monaco-list-row', /Patch of two/);
  });

  it('shows how far a long check is, and ends it on request', async function () {
    needsPage(this);
    this.timeout(180_000);
    const { states } = await api();
    const state = () => states().find((each) => each.root === folder(1));
    await openIn(1, 'src/quote.c');
    const header = await openIn(1, 'src/quote.h');
    await replace(header, '\tlong open;', '\tlong volume;\n\tlong open;');
    await header.document.save();
    await until('progress', () => (state()?.progress?.total ?? 0) > 1, 30_000);
    await page.text('.statusbar-item', /Live Patch \d+\/\d+/, 30_000);
    assert.deepEqual(await page.texts('.notification-list-item'), [], 'a status does');
    await vscode.commands.executeCommand('livepatch.patch.focus');
    await page.click('.action-label[aria-label^="Cancel the Running Check"]');
    await until('it rests', () => state()?.busy === false, 20_000);
    const waiting = state()?.units.filter((unit) => unit.phase === 'ready' && !unit.stale) ?? [];
    assert.ok(waiting.length < 4, 'not every unit was built');
    await vscode.commands.executeCommand('workbench.action.files.revert');
  });

  it("records the user's own build", async function () {
    needsPage(this);
    this.timeout(300_000);
    const list = join(folder(0), 'build', 'compile_commands.json');
    rmSync(list, { force: true });
    const done = vscode.commands.executeCommand('livepatch.recordBuild');
    await until('the question', () =>
      page.evaluate<boolean>("getComputedStyle(document.querySelector('.quick-input-widget')).display !== 'none'"),
    );
    await page.press('Enter');
    await done;
    await until('the list', () => existsSync(list) && readFileSync(list, 'utf8').trim().endsWith(']'), 280_000);
    const entries: { file: string }[] = JSON.parse(readFileSync(list, 'utf8'));
    for (const name of ['quote.c', 'market.c', 'server.c', 'main.c'])
      assert.ok(
        entries.some((entry) => entry.file.endsWith(name)),
        `${name} in ${JSON.stringify(entries.map((entry) => entry.file))}`,
      );
  });
});
