import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as vscode from 'vscode';
import type { TargetItem } from '../../server/src/protocol.ts';
import { api, needsPage, open, page, pathOf, reset, settled, until } from './support.ts';

const NAME = `never-made-${process.pid}`;

/** Machines and hypervisors where there are none: what is listed, and what is offered. */
describe('test machines', function () {
  this.timeout(90_000);
  before(async () => {
    await reset();
    await open('src/quote.c');
    await settled('the folder is known', ({ root }) => root !== '', 60_000);
  });
  after(async () => {
    await reset();
    await until('the target is gone', async () => !(await xenTarget()));
  });

  const xenTarget = async (): Promise<TargetItem | undefined> => {
    await vscode.commands.executeCommand('livepatch.refreshTargets');
    return (await api()).targets().find(({ kind }) => kind === 'xen');
  };

  it('are not shown in a project that has nothing to do with Xen', async () => {
    const { machines } = await api();
    assert.equal(await xenTarget(), undefined);
    assert.deepEqual(machines(), []);
  });

  it('are listed where a target names one: not made yet; its hypervisor takes no patch, and says why', async () => {
    const config = { buildDir: 'build', baseline: { git: 'HEAD' }, targets: [{ name: 'lab', kind: 'xen', vm: NAME }] };
    writeFileSync(pathOf('livepatch.json'), `${JSON.stringify(config, null, 2)}\n`);
    const target = await until('the target', xenTarget, 60_000);
    assert.equal(target.alive, false);
    assert.match(target.message ?? '', new RegExp(`no virtual machine '${NAME}'`));
    assert.deepEqual(target.patches, []);
    const { machines } = await api();
    const machine = await until('the machine', () => machines().find(({ name }) => name === NAME));
    assert.equal(machine.state, 'absent');
  });

  it('are drawn with their state, and offer what makes sense in it', async function () {
    needsPage(this);
    await vscode.commands.executeCommand('livepatch.patch.focus');
    await page.text('.monaco-list-row', new RegExp(`Test machine ${NAME}: not made yet`));
    await page.hover('.monaco-list-row', NAME);
    const offered = await until('the buttons of the machine', async () => {
      const found = await page.texts(`.monaco-list-row[aria-label^="Test machine ${NAME}"] .action-item a`);
      return found.length > 0 && found.join('\n');
    });
    assert.match(offered, /Make a Test Machine/);
    assert.doesNotMatch(offered, /Stop|Start|ssh|Console/);
  });

  it('that are there are not replaced by making one, whatever has the focus', async function () {
    const cache = process.env.XDG_CACHE_HOME;
    if (!cache) this.skip();
    const name = `${NAME}-kept`;
    const folder = join(cache, 'livepatch-author', 'vm', name);
    await mkdir(folder, { recursive: true });
    writeFileSync(join(folder, 'vm.json'), JSON.stringify({ name, version: '4.17', tree: '/nowhere' }));
    const empty = await mkdtemp(join(tmpdir(), 'lpa-no-xen-'));
    try {
      const { machines } = await api();
      const making = vscode.commands.executeCommand<boolean>('livepatch.vmCreate', {
        machine: { name, state: 'created' },
        source: empty,
      });
      const made = await until('one is being made', () => machines().find(({ state }) => state === 'creating')?.name);
      assert.equal(made, NAME, 'the one that a target lacks');
      assert.equal(await making, false);
      assert.equal(machines().find((each) => each.name === name)?.state, 'created');
    } finally {
      await rm(empty, { recursive: true });
      await rm(folder, { recursive: true });
    }
  });

  it('that cannot be made are told, and nothing is left of them', async () => {
    const empty = await mkdtemp(join(tmpdir(), 'lpa-no-xen-'));
    try {
      const made = await vscode.commands.executeCommand<boolean>('livepatch.vmCreate', {
        machine: { name: NAME },
        source: empty,
      });
      assert.equal(made, false);
      const { machines } = await api();
      assert.equal(machines().find(({ name }) => name === NAME)?.state, 'absent');
    } finally {
      await rm(empty, { recursive: true });
    }
  });
});
