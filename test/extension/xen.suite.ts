import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import * as vscode from 'vscode';
import type { ActionResult, TargetItem } from '../../server/src/protocol.ts';
import {
  api,
  codeOf,
  findings,
  functionsOf,
  needsPage,
  open,
  type Page,
  page,
  patience,
  replace,
  reset,
  root,
  settled,
  until,
  uriOf,
} from './support.ts';

const KERNEL = 'xen/common/kernel.c';
const SCHED = 'xen/include/xen/sched.h';
const TELLS = 'deny ? xen_deny() : xen_extra_version()';
const EXTRA = '/sys/hypervisor/version/extra';
const MINUTE = 60_000;
const PATCHED = '-live';

const state = (): string => join(process.env.XDG_CACHE_HOME ?? '', 'livepatch-author', 'vm', 'xen');

/** Runs a command in the machine, past the extension. */
async function inMachine(...words: readonly string[]): Promise<string> {
  const { sshConfig, name } = JSON.parse(readFileSync(join(state(), 'run.json'), 'utf8')) as Record<string, string>;
  const { stdout } = await promisify(execFile)('ssh', ['-F', sshConfig!, `livepatch-${name}`, ...words], {
    timeout: 60_000,
  });
  return stdout.trim();
}

const machine = async () => (await api()).machines().find(({ name }) => name === 'xen');
const target = async (): Promise<TargetItem | undefined> => {
  await vscode.commands.executeCommand('livepatch.refreshTargets');
  return (await api()).targets().find(({ kind }) => kind === 'xen');
};

/** A window of a user: with notifications and questions, and the Live Patch view in it. */
async function userWindow(): Promise<Page> {
  const window = await page.open(uriOf(KERNEL).fsPath);
  await window.text('.activitybar .action-item a', /Live Patch/, 3 * MINUTE);
  const isShown = (await window.texts('.composite.title')).some((text) => /Live Patch/i.test(text));
  if (!isShown) await window.click('.activitybar .action-item a[aria-label*="Live Patch"]');
  return window;
}

/** Waits for a notification: the list of them closes by itself when a progress is over. */
async function told(window: Page, pattern: RegExp): Promise<void> {
  await until(
    `a notification ${pattern}`,
    async () => {
      if ((await window.texts('.notifications-center.visible')).length === 0)
        await window.click('[id="status.notifications"] a');
      const texts = await window.texts('.notifications-center .notification-list-item');
      return texts.some((text) => pattern.test(text));
    },
    3 * MINUTE,
  ).catch(async (error: unknown) => {
    await window.shot('failed');
    throw error;
  });
}

/** The Xen tree as it is opened for the first time: nothing written by hand, the machine never started. */
describe('a Xen tree', function () {
  this.timeout(5 * MINUTE);
  let original = '';

  before(async () => {
    await reset();
    await open(KERNEL);
    await settled('the original objects are built', ({ root: known }) => known !== '', 2 * MINUTE);
  });
  after(async () => {
    await reset();
    if (existsSync(join(state(), 'run.json'))) await vscode.commands.executeCommand('livepatch.vmStop');
  });

  it('works without a livepatch.json: the machine is listed, its hypervisor takes nothing while it does not run', async () => {
    assert.ok(!existsSync(join(root(), 'livepatch.json')));
    const found = await until('the target', target, MINUTE);
    assert.equal(found.alive, false);
    assert.equal(found.vm, 'xen');
    assert.match(found.message ?? '', /does not run/);
    assert.deepEqual(found.patches, []);
    const { state: now } = await api();
    assert.deepEqual(now().problems, []);
    await until('the machine', async () => (await machine())?.state === 'created', MINUTE);
    assert.equal((await machine())?.tree, root());
  });

  it('shows on save what Xen could not take', async () => {
    const editor = await open(KERNEL);
    await replace(
      editor,
      'hypfs_string_set_reference(&extra, xen_extra_version());',
      'hypfs_string_set_reference(&extra, "x");',
    );
    await editor.document.save();
    const found = await until(
      'init-code-changed',
      () => findings(editor.document.uri).find((each) => codeOf(each) === 'init-code-changed'),
      2 * MINUTE,
    );
    assert.match(found.message, /buildinfo_init.*memory was freed/s);
    assert.equal(found.severity, vscode.DiagnosticSeverity.Error);
    await reset();
  });

  it('gets hooks by command, with the macros of the tree', async () => {
    const editor = await open(KERNEL);
    assert.equal(await vscode.commands.executeCommand('livepatch.xenAddHooks', { pair: 'load' }), true);
    assert.match(editor.document.getText(), /LIVEPATCH_LOAD_HOOK\(livepatch_patch_load\);/);
    await editor.document.save();
    const now = await settled(
      'the hooks are compiled',
      (state) => functionsOf(state).some(({ name }) => name === 'livepatch_patch_unload'),
      2 * MINUTE,
    );
    assert.deepEqual(
      functionsOf(now)
        .map(({ name, status }) => `${name} ${status}`)
        .sort(),
      ['livepatch_patch_load new', 'livepatch_patch_unload new'],
    );
    await reset();
  });

  it('rebuilds what includes a header with progress, and stops at once', async () => {
    const { state: now } = await api();
    const editor = await open(SCHED);
    await replace(editor, '    domid_t          domain_id;', '    domid_t          domain_id; /* who it is */');
    await editor.document.save();
    try {
      const progress = await until(
        'progress over most of Xen',
        () => (now().progress?.total ?? 0) > 200 && (now().progress?.done ?? 0) > 2 && now().progress,
        4 * MINUTE,
      );
      assert.match(progress.title, /sched\.h/);
      const began = performance.now();
      await vscode.commands.executeCommand('livepatch.cancel');
      await until('it is at rest', () => !now().busy, MINUTE);
      const took = performance.now() - began;
      console.log(`cancelled ${progress.done} of ${progress.total} units in ${Math.round(took)} ms`);
      assert.ok(took < 2000 * patience(), `it took ${took} ms`);
    } finally {
      // What is left would be rebuilt in the next test.
      await vscode.commands.executeCommand('livepatch.cancel');
      await reset();
    }
  });

  it('starts its machine, which is shown as it comes up', async () => {
    const starting = vscode.commands.executeCommand<boolean>('livepatch.vmStart');
    await until('it is starting', async () => (await machine())?.state === 'starting', 20_000);
    assert.equal(await starting, true);
    assert.equal((await machine())?.state, 'running');
    original = await inMachine('cat', EXTRA);
    const found = await until(
      'the hypervisor answers',
      async () => {
        const item = await target();
        return item?.alive && item;
      },
      MINUTE,
    );
    assert.deepEqual(found.patches, []);
  });

  it('is patched by a user with a mouse: the version that do_xen_version tells, there and back', async function () {
    needsPage(this);
    const editor = await open(KERNEL);
    await replace(editor, TELLS, `deny ? xen_deny() : "${PATCHED}"`);
    await editor.document.save();
    await settled(
      'it can be patched',
      (now) => now.verdict === 'patchable' && functionsOf(now).length === 2,
      2 * MINUTE,
    );
    const window = await userWindow();
    try {
      await window.text('.monaco-list-row', /compat_xen_version/, 4 * MINUTE);
      await window.click('.monaco-list-row', 'cpu-dependent-code');
      await window.text('.codelens-decoration', /machine code changed/, MINUTE);
      await window.text('.monaco-list-row', /Test machine xen: running/, MINUTE);
      await window.shot('xen-edit');
      await window.click('.codelens-decoration a', 'Build patch');
      // Is the tree what runs? The count is told.
      await told(window, /The patch is built: .*\. (\d+) of \1 functions reproduce in the hypervisor\./);
      await window.click('.notifications-center .monaco-button', 'Apply');
      const question = await window.text('.monaco-dialog-box', /Apply/, MINUTE);
      assert.match(question, /to test machine\?/);
      assert.match(question, /do_xen_version/);
      assert.equal(await inMachine('cat', EXTRA), original, 'nothing happens before the answer');
      await window.click('.monaco-dialog-box .monaco-button', 'Apply');
      await told(window, /test machine runs .*2 functions replaced/);
      assert.equal(await inMachine('cat', EXTRA), PATCHED);
      await window.text('.monaco-list-row', /applied.*do_xen_version/, MINUTE);
      const rows = (await target())?.patches[0]?.running?.map(({ name, redirected }) => [name, redirected]);
      assert.deepEqual(rows, [
        ['do_xen_version', true],
        ['compat_xen_version', true],
      ]);
      // The console in the panel: a click on the machine.
      await window.click('.monaco-list-row[aria-label^="Test machine xen"]');
      await window.text('.terminal-wrapper, .xterm', /./, MINUTE).catch(() => '');
      await new Promise((resolve) => setTimeout(resolve, 6000));
      await window.shot('xen-patched');
      await told(window, /2 functions replaced/);
      await window.click('.notifications-center .monaco-button', 'Revert');
      await window.text('.statusbar-item', /runs the old code again/, 3 * MINUTE);
      assert.equal(await inMachine('cat', EXTRA), original);
      assert.deepEqual((await target())?.patches, []);
    } finally {
      await window.close();
    }
  });

  it('takes each step of Xen’s state machine, and only the legal ones', async () => {
    const file = await vscode.commands.executeCommand<string>('livepatch.buildPatch');
    assert.match(file ?? '', /\.livepatch$/);
    const upload = await vscode.commands.executeCommand<ActionResult>('livepatch.xenUpload', vscode.Uri.file(file));
    assert.ok(upload.ok, upload.message);
    const now = async () => {
      const item = await target();
      assert.ok(item);
      return { item, patch: item.patches[0] };
    };
    const uploaded = await now();
    assert.deepEqual([uploaded.patch?.state, uploaded.patch?.actions], ['checked', ['apply', 'unload']]);
    assert.equal(await inMachine('cat', EXTRA), original, 'uploaded is not applied');

    // What is there cannot be uploaded again: the reason comes from the hypervisor.
    const again = await vscode.commands.executeCommand<ActionResult>('livepatch.xenUpload', vscode.Uri.file(file));
    assert.equal(again.ok, false);
    assert.match(again.message, /already/);

    // A revert of what is not applied is not tried.
    const { item, patch } = uploaded;
    assert.equal(await vscode.commands.executeCommand('livepatch.xenRevert', { target: item, patch }), undefined);

    const unloaded = await vscode.commands.executeCommand<ActionResult>('livepatch.xenUnload', { target: item, patch });
    assert.ok(unloaded.ok, unloaded.message);
    assert.deepEqual((await now()).item.patches, []);
  });

  it('is patched by the keyboard alone, step by step', async function () {
    needsPage(this);
    const file = await vscode.commands.executeCommand<string>('livepatch.buildPatch');
    const upload = await vscode.commands.executeCommand<ActionResult>('livepatch.xenUpload', vscode.Uri.file(file));
    assert.ok(upload.ok, upload.message);
    const id = (await target())?.patches[0]?.id ?? '';
    const window = await page.open(uriOf(KERNEL).fsPath);
    await window.text('[id$="livepatch.status"]', /2 functions/, 4 * MINUTE);
    /** Runs a command by its title, and takes the patch that is offered. */
    const byName = async (title: string): Promise<void> => {
      await window.press('F1');
      await window.text('.quick-input-widget', /./);
      await window.type(`Live Patch: ${title}`);
      await window.text('.quick-input-list .monaco-list-row', new RegExp(title));
      await window.press('Enter');
      await window.text('.quick-input-list .monaco-list-row', new RegExp(id), MINUTE);
      await window.press('Enter');
    };
    const stateOf = async (): Promise<string | undefined> => (await target())?.patches[0]?.state;
    try {
      await byName('Apply Uploaded Patch');
      await window.text('.monaco-dialog-box', /do_xen_version/, MINUTE);
      await window.press('Enter');
      await until('it is applied', async () => (await stateOf()) === 'applied', MINUTE);
      assert.equal(await inMachine('cat', EXTRA), PATCHED);
      await byName('Revert, Keep Uploaded');
      await until('it is reverted', async () => (await stateOf()) === 'checked', MINUTE);
      assert.equal(await inMachine('cat', EXTRA), original);
      await byName('Unload');
      await until('it is gone', async () => (await target())?.patches.length === 0, MINUTE);
    } finally {
      await window.close();
    }
  });

  it('says what the hypervisor said of a payload that it refuses', async () => {
    const file = await vscode.commands.executeCommand<string>('livepatch.buildPatch');
    const uri = vscode.Uri.file(file.replace(/\.livepatch$/, '-damaged.livepatch'));
    const bytes = await vscode.workspace.fs.readFile(vscode.Uri.file(file));
    // The build ids in its notes, spoilt: it is for a hypervisor that there is not.
    const note = Buffer.from('040000001400000003000000474e5500', 'hex');
    const spoilt = Buffer.from(bytes);
    for (let at = spoilt.indexOf(note); at >= 0; at = spoilt.indexOf(note, at + 1))
      spoilt[at + note.length] = (spoilt[at + note.length] ?? 0) ^ 0xff;
    assert.ok(!spoilt.equals(bytes), 'there are notes');
    await vscode.workspace.fs.writeFile(uri, spoilt);
    const refused = await vscode.commands.executeCommand<ActionResult>('livepatch.xenUpload', uri);
    assert.equal(refused.ok, false);
    assert.match(refused.message, /another hypervisor/);
    assert.match(refused.details ?? '', /build-id/);
  });

  it('sends no file that the hypervisor could not load', async () => {
    const file = await vscode.commands.executeCommand<string>('livepatch.buildPatch');
    const uri = vscode.Uri.file(file.replace(/\.livepatch$/, '-spoilt.livepatch'));
    const spoilt = Buffer.from(await vscode.workspace.fs.readFile(vscode.Uri.file(file)));
    // A section that Xen asks for has another name.
    const name = Buffer.from('.livepatch.xen_depends\0');
    assert.ok(spoilt.includes(name));
    spoilt.fill('x', spoilt.indexOf(name) + 11, spoilt.indexOf(name) + 14);
    await vscode.workspace.fs.writeFile(uri, spoilt);
    const refused = await vscode.commands.executeCommand<ActionResult>('livepatch.xenUpload', uri);
    assert.equal(refused.ok, false);
    assert.match(refused.message, /^Nothing was sent: the hypervisor would refuse this file/);
    assert.deepEqual((await target())?.patches, []);
  });

  it('opens the console and an ssh session in terminals', async () => {
    await vscode.commands.executeCommand('livepatch.vmConsole');
    await vscode.commands.executeCommand('livepatch.vmSsh');
    const names = vscode.window.terminals.map(({ name }) => name);
    assert.ok(names.includes('Console of xen') && names.includes('ssh to xen'), names.join());
    await new Promise((resolve) => setTimeout(resolve, 3000));
    for (const each of vscode.window.terminals) {
      assert.equal(each.exitStatus, undefined, `${each.name} ended`);
      each.dispose();
    }
  });

  it('stops its machine', async () => {
    assert.equal(await vscode.commands.executeCommand('livepatch.vmStop'), true);
    assert.equal((await machine())?.state, 'stopped');
    const found = await target();
    assert.equal(found?.alive, false);
  });

  it('leaves nothing half made where making a machine is cancelled', async function () {
    needsPage(this);
    const making = vscode.commands.executeCommand<boolean>('livepatch.vmCreate', { source: '' });
    await until('it is being made', async () => {
      const list = (await api()).machines();
      return list.some((each) => each.state === 'creating');
    });
    await told(page, /Making the test machine/);
    await page.click('.notifications-center .monaco-button', 'Cancel');
    assert.equal(await making, false);
    const folders = readdirSync(join(state(), '..')).filter((name) => name !== 'xen' && name !== 'kvm.json');
    assert.deepEqual(folders, []);
    const list = (await api()).machines();
    assert.deepEqual(
      list.map(({ name }) => name),
      ['xen'],
    );
  });
});
