import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createAnalyser } from '../../server/src/analyse.ts';
import { readElf } from '../../server/src/core/elf/index.ts';
import { cacheRoot } from '../../server/src/vm/cache.ts';
import { startVm } from '../../server/src/vm/machine.ts';
import { readVm } from '../../server/src/vm/made.ts';
import { BootError, startTicks } from '../../server/src/vm/qemu.ts';
import { commandLine } from './command.ts';
import { BOOT, mustBuild, options, vmOrSkip } from './room.ts';
import { workTree } from './tree.ts';

const quiet = { say: () => {} };

describe('machines', { timeout: 1_800_000 }, () => {
  it('vm matrix: a payload on two processor families, as a table', { timeout: 900_000 }, async (context) => {
    const vm = await vmOrSkip(context);
    if (!vm) return;
    const cli = await commandLine(vm);
    const tree = await workTree(vm.tree, await createAnalyser());
    try {
      await tree.edit('common/version.c', 'return XEN_EXTRAVERSION;', 'return "-matrix";');
      const { elf } = readElf(new Uint8Array(await readFile(vm.syms)));
      const { bytes } = mustBuild(await tree.units(), { path: vm.syms, elf: elf!, below: [] }, options('matrix'));
      const file = join(tree.folder, 'matrix.livepatch');
      await writeFile(file, bytes);
      const args = ['vm', 'matrix', '--name', 'probe', '--verify', 'cat /sys/hypervisor/version/extra'];
      const unknown = await cli.run(tree.folder, [...args, '--cpu', 'qemu64,no-such-cpu', file]);
      assert.equal(unknown.status, 2, unknown.stdout);
      assert.match(unknown.stderr, /QEMU has no processor called 'no-such-cpu'/);
      const more = ['--cpu', 'qemu64,Nehalem', '--timeout', String(BOOT), file];
      const result = await cli.run(tree.folder, [...args, ...more], { seconds: 800 });
      console.log(result.stdout.replaceAll(/^/gm, '# '));
      assert.equal(result.status, 0, result.stdout + result.stderr);
      const rows = result.stdout.trimEnd().split('\n');
      assert.equal(rows.length, 2);
      assert.match(rows[0]!, /^qemu64 +works +booted in +\d+ s {2}(\S+) → -matrix → \1 *$/);
      assert.match(rows[1]!, /^Nehalem +works +booted in +\d+ s {2}(\S+) → -matrix → \1 *$/);

      // One that has no 64-bit mode.
      const old = await cli.run(tree.folder, [...args, '--cpu', '486', '--timeout', '20', file], { seconds: 120 });
      console.log(old.stdout.replaceAll(/^/gm, '# '));
      assert.match(old.stdout, /^486 +no boot /);

      // Killed while its machine runs, it leaves no QEMU behind.
      const [program, ...first] = cli.vector;
      const child = spawn(program!, [...first, ...args, '--cpu', 'qemu64', file], {
        env: cli.environment,
        stdio: 'ignore',
      });
      let qemu: number | undefined;
      for (let waited = 0; qemu === undefined && waited < 60_000; waited += 100) {
        await sleep(100);
        qemu = await childOf(child.pid!, 'qemu-system');
      }
      assert.ok(qemu !== undefined, 'the machine is being started');
      child.kill('SIGKILL');
      for (let waited = 0; startTicks(qemu) !== undefined && waited < 10_000; waited += 100) await sleep(100);
      assert.equal(startTicks(qemu), undefined, 'QEMU is gone');
    } finally {
      await tree.close();
      await cli.close();
    }
  });

  it('a machine that does not come up ends in a message with its last words', async (context) => {
    const vm = await vmOrSkip(context);
    if (!vm) return;
    // Without the kernel module the hypervisor has no domain 0.
    const broken = { ...vm, kernel: vm.initramfs };
    await assert.rejects(startVm(broken, { accelerator: 'tcg', seconds: 60 }, quiet), (error: unknown) => {
      assert.ok(error instanceof BootError, String(error));
      assert.match(error.message, /did not start: .+\n.*Last lines of the console/s);
      assert.match(error.message, /\(XEN\)/);
      return true;
    });
    // Out of time, and cancelled.
    await assert.rejects(startVm(vm, { accelerator: 'tcg', seconds: 2 }, quiet), /not ready after 2 s/);
    const stop = new AbortController();
    const starting = startVm(vm, { accelerator: 'tcg' }, { ...quiet, signal: stop.signal });
    setTimeout(() => stop.abort(), 1500);
    await assert.rejects(starting, /cancelled/);
  });

  it("vm create --source: the user's own built tree, and what is wrong with others", {
    timeout: 900_000,
  }, async (context) => {
    const vm = await vmOrSkip(context);
    if (!vm) return;
    const cache = await mkdtemp(join(tmpdir(), 'livepatch-create-'));
    const cli = await commandLine(vm);
    try {
      // Packages that were fetched are at hand; machines are not.
      const root = join(cache, 'livepatch-author');
      await mkdir(root);
      await symlink(join(cacheRoot(), 'debian'), join(root, 'debian'));
      const run = (...args: string[]) =>
        cli.run(cache, ['vm', ...args], { env: { ...cli.environment, XDG_CACHE_HOME: cache }, seconds: 600 });
      const bare = join(cache, 'bare', 'xen');
      await mkdir(join(bare, 'common'), { recursive: true });
      const no = await run('create', 'xen', '--source', cache);
      assert.equal(no.status, 2);
      assert.match(no.stderr, /is not a Xen source tree: there is no xen\/common\/livepatch\.c/);
      await writeFile(join(bare, 'common', 'livepatch.c'), '');
      assert.match((await run('create', 'xen', '--source', bare)).stderr, /is not built: run make -C xen/);
      for (const name of ['xen', 'xen-syms']) await writeFile(join(bare, name), '');
      await writeFile(join(bare, '.config'), 'CONFIG_LIVEPATCH=y\n');
      assert.match((await run('create', 'xen', '--source', bare)).stderr, /built without CONFIG_DEBUG_INFO/);

      // Two at the same time make one machine: the second waits.
      const both = await Promise.all([0, 1].map(() => run('create', 'xen', '--source', vm.tree, '--name', 'own')));
      const lack = both.find(({ stderr }) => /cannot be fetched|could be downloaded/.test(stderr));
      if (lack) return context.skip(lack.stderr);
      for (const one of both) assert.equal(one.status, 0, one.stderr);
      assert.equal(
        both.filter(({ stderr }) => /making keys/.test(stderr)).length,
        1,
        both.map((one) => one.stderr).join(),
      );
      const own = await readVm('own', root);
      assert.equal(own.tree, vm.tree);
      assert.notEqual(own.hostKey, vm.hostKey);
      const machine = await startVm(own, { accelerator: 'tcg', seconds: BOOT }, quiet, root);
      try {
        assert.equal((await machine.ssh.run(['xen-livepatch', 'list'])).status, 0);
      } finally {
        await machine.stop();
      }
    } finally {
      await cli.close();
      await rm(cache, { recursive: true, force: true });
    }
  });

  it('QEMU does not outlive a process that is killed', async (context) => {
    if (!(await vmOrSkip(context))) return;
    const folder = await mkdtemp(join(tmpdir(), 'livepatch-owner-'));
    try {
      const script = join(import.meta.dirname, 'owner.ts');
      const note = join(folder, 'pid');
      const owner = spawn(process.execPath, ['--import', 'tsx', script, note], { stdio: 'ignore' });
      let pid = 0;
      for (let waited = 0; pid === 0 && waited < BOOT * 1000; waited += 200) {
        await sleep(200);
        pid = Number(await readFile(note, 'utf8').catch(() => '0'));
      }
      assert.ok(pid > 0 && startTicks(pid) !== undefined, 'the machine runs');
      owner.kill('SIGKILL');
      for (let waited = 0; startTicks(pid) !== undefined && waited < 5000; waited += 100) await sleep(100);
      assert.equal(startTicks(pid), undefined, 'QEMU is gone');
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

/** A child of a process whose name begins so. */
async function childOf(parent: number, name: string): Promise<number | undefined> {
  const text = await readFile(`/proc/${parent}/task/${parent}/children`, 'utf8').catch(() => '');
  for (const pid of text.trim().split(' ').filter(Boolean)) {
    if ((await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')).startsWith(name.slice(0, 15))) return Number(pid);
  }
  return undefined;
}
