import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startVm } from '../../server/src/vm/machine.ts';
import { tryOnProcessors } from '../../server/src/vm/matrix.ts';
import { BootError, startTicks } from '../../server/src/vm/qemu.ts';
import { mustBuild, openRoom, options, testVm, whyNot } from './room.ts';

const quiet = { say: () => {} };

describe('machines', { timeout: 600_000 }, () => {
  it('a payload on two processor families', async (context) => {
    const room = await openRoom(context);
    if (!room) return;
    let bytes: Uint8Array;
    try {
      await room.tree.edit('common/version.c', 'return XEN_EXTRAVERSION;', 'return "-matrix";');
      bytes = mustBuild(await room.tree.units(), room.hypervisor(), options('matrix')).bytes;
    } finally {
      await room.close();
    }
    const rows = await tryOnProcessors(
      room.vm,
      bytes,
      ['qemu64', 'Nehalem', 'no-such-cpu'],
      { verify: 'cat /sys/hypervisor/version/extra', seconds: 150 },
      quiet,
    );
    for (const row of rows) console.log(`# ${row.cpu}: ${row.outcome} ${row.verify.join(' → ')} ${row.message}`);
    assert.deepEqual(
      rows.map((row) => row.outcome),
      ['works', 'works', 'no-boot'],
    );
    assert.deepEqual(rows[0]!.verify[1], '-matrix');
    assert.equal(rows[0]!.verify[0], rows[0]!.verify[2]);
    assert.match(rows[2]!.message, /no-such-cpu/);
  });

  it('a machine that does not come up ends in a message with its last words', async (context) => {
    const reason = await whyNot();
    if (reason) return context.skip(reason);
    const vm = await testVm();
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

  it('QEMU does not outlive a process that is killed', async (context) => {
    const reason = await whyNot();
    if (reason) return context.skip(reason);
    await testVm();
    const folder = await mkdtemp(join(tmpdir(), 'livepatch-owner-'));
    try {
      const script = join(import.meta.dirname, 'owner.ts');
      const note = join(folder, 'pid');
      const owner = spawn(process.execPath, ['--import', 'tsx', script, note], { stdio: 'ignore' });
      let pid = 0;
      for (let waited = 0; pid === 0 && waited < 120_000; waited += 200) {
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
