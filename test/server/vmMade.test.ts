import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { withLock } from '../../server/src/vm/cache.ts';
import { replaceVm } from '../../server/src/vm/create.ts';
import { type StartOptions, startVm } from '../../server/src/vm/machine.ts';
import {
  livingVm,
  readVm,
  runFile,
  runningVm,
  startLock,
  stopKept,
  type VmImage,
  vmFolder,
  whyNotRunning,
} from '../../server/src/vm/made.ts';
import { startTicks, unknownCpus } from '../../server/src/vm/qemu.ts';
import { makeRunFolder, RUN_FOLDER } from '../../server/src/vm/run-folder.ts';
import { READY } from '../../server/src/vm/xen-guest.ts';

/** Machines whose QEMU is a shell script: what is remembered of them, and what becomes of them when something goes wrong. */
const top = await mkdtemp(join(tmpdir(), 'livepatch-made-'));
const path = process.env.PATH;
const image = (name: string): VmImage => {
  const file = (what: string) => join(top, what);
  return {
    ...{ schema: 1, name, kind: 'xen', tree: top, version: '4.0.0', hostKey: 'ssh-ed25519 AAAA', memoryMiB: 64 },
    ...{ hypervisor: file('xen'), syms: file('xen'), kernel: file('xen'), initramfs: file('xen'), key: file('xen') },
  };
};
const work = { say: () => {} };
const qemu = async (text: string): Promise<void> => {
  await writeFile(join(top, 'qemu-system-x86_64'), `#!/bin/sh\n${text}\n`);
  await chmod(join(top, 'qemu-system-x86_64'), 0o755);
};

before(async () => {
  await writeFile(join(top, 'xen'), '');
  process.env.PATH = `${top}${delimiter}${path}`;
});
after(async () => {
  process.env.PATH = path;
  await rm(top, { recursive: true, force: true });
});

/** A process in place of a QEMU, and what is remembered of it. */
async function pretend(name: string, booting: boolean): Promise<{ pid: number; ticks: string; folder: string }> {
  const child = spawn('sleep', ['600'], { stdio: 'ignore' });
  await mkdir(vmFolder(name, top), { recursive: true });
  const folder = await mkdtemp(join(top, RUN_FOLDER));
  const ticks = startTicks(child.pid!)!;
  const consoleLog = join(top, `${name}.log`);
  const state = {
    name,
    pid: child.pid,
    ticks,
    consoleLog,
    consoleSocket: join(folder, 'console'),
    ...(booting ? { booting } : {}),
  };
  await writeFile(runFile(name, top), JSON.stringify(state));
  return { pid: child.pid!, ticks, folder };
}

test('a machine that boots is not one that runs, and vm stop ends it', async () => {
  const { pid, ticks, folder } = await pretend('boots', true);
  assert.equal(await runningVm('boots', top), undefined);
  assert.equal((await livingVm('boots', top))?.pid, pid);
  assert.equal(await stopKept('boots', top), true);
  assert.notEqual(startTicks(pid), ticks);
  assert.ok(!existsSync(folder) && !existsSync(runFile('boots', top)));
  assert.equal(await stopKept('boots', top), false);
});

test('a machine that ended by itself is told as such, with its console, and vm stop clears away after it', async () => {
  const { pid, ticks, folder } = await pretend('dead', false);
  assert.equal((await runningVm('dead', top))?.pid, pid);
  process.kill(pid, 'SIGKILL');
  while (startTicks(pid) === ticks) await sleep(20);
  assert.equal(await runningVm('dead', top), undefined);
  assert.match(
    await whyNotRunning('dead', top),
    /ended by itself, or was killed; .*dead\.log.*livepatch vm start dead/,
  );
  assert.equal(await stopKept('dead', top), false);
  assert.ok(!existsSync(folder));
  assert.match(await whyNotRunning('dead', top), /^the machine does not run \(livepatch vm start dead\)$/);
});

test('what was half written on a full disk is no machine', async () => {
  await mkdir(vmFolder('half', top), { recursive: true });
  await writeFile(runFile('half', top), '{"name": "ha');
  assert.equal(await runningVm('half', top), undefined);
  assert.equal(await stopKept('half', top), false);
});

test('a QEMU whose starter was killed while it booted is ended by the next start; one that runs is not touched', async () => {
  await qemu('echo no such machine >&2; exit 1');
  const { pid, ticks, folder } = await pretend('left', true);
  const started = startVm(image('left'), { keep: true, accelerator: 'tcg' }, work, top);
  await assert.rejects(started, /QEMU ended with status 1: no such machine/);
  assert.notEqual(startTicks(pid), ticks);
  assert.ok(!existsSync(folder) && !existsSync(runFile('left', top)));

  const runs = await pretend('runs', false);
  await assert.rejects(startVm(image('runs'), { keep: true, accelerator: 'tcg' }, work, top), /runs already/);
  assert.equal(startTicks(runs.pid), runs.ticks);
  await stopKept('runs', top);
});

test('of two starts at the same time one waits for the other; a cancelled one leaves nothing', async () => {
  await qemu('exec sleep 600');
  await mkdir(vmFolder('twice', top), { recursive: true });
  const stop = new AbortController();
  const said: string[] = [];
  const options = { keep: true, accelerator: 'tcg' as const };
  const first = startVm(image('twice'), options, { ...work, signal: stop.signal }, top).catch((error: Error) => error);
  let qemus = await livingVm('twice', top);
  for (; !qemus; qemus = await livingVm('twice', top)) await sleep(20);
  const say = (text: string): number => said.push(text);
  const second = startVm(image('twice'), options, { say, signal: stop.signal }, top).catch((error: Error) => error);
  while (said.length === 0) await sleep(20);
  assert.match(said[0]!, /waiting for process \d+, which starts the machine 'twice'/);
  stop.abort();
  for (const error of [await first, await second]) assert.match((error as Error).message, /cancelled/);
  assert.notEqual(startTicks(qemus.pid), qemus.ticks);
  assert.ok(!existsSync(runFile('twice', top)));
});

test('a machine that is made again is not put in place of one that was started meanwhile', async () => {
  const fresh = `${vmFolder('again', top)}.new`;
  const make = async (): Promise<void> => {
    await mkdir(fresh, { recursive: true });
    await writeFile(join(fresh, 'vmlinuz'), 'new');
  };
  const runs = await pretend('again', false);
  await make();
  await assert.rejects(replaceVm(image('again'), fresh, work, top), /was started meanwhile.*livepatch vm stop again/);
  assert.equal((await runningVm('again', top))?.pid, runs.pid);
  assert.ok(!existsSync(fresh));
  await stopKept('again', top);

  // One that is being started is waited for.
  await make();
  const said: string[] = [];
  let started: { readonly pid: number } | undefined;
  const start = withLock(startLock('again', top), 'starts it', work, async () => {
    while (said.length === 0) await sleep(20);
    started = await pretend('again', false);
  });
  while (!existsSync(startLock('again', top))) await sleep(5);
  const replaced = replaceVm(image('again'), fresh, { say: (text) => void said.push(text) }, top);
  await assert.rejects(replaced, /was started meanwhile/);
  await start;
  assert.equal((await runningVm('again', top))?.pid, started?.pid);
  await stopKept('again', top);

  await make();
  await replaceVm(image('again'), fresh, work, top);
  assert.equal(await readFile(join(vmFolder('again', top), 'vmlinuz'), 'utf8'), 'new');
  assert.equal((await readVm('again', top)).name, 'again');
});

test('KVM is remembered as broken only where the same machine boots emulated', {
  skip: !existsSync('/dev/kvm') && 'no /dev/kvm',
}, async () => {
  const memory = join(top, 'vm', 'kvm.json');
  await writeFile(join(top, 'ssh'), '#!/bin/sh\nexit 0\n', { mode: 0o755 });
  try {
    await qemu('echo panic >&2; exit 1');
    await assert.rejects(startVm(image('panics'), {}, work, top), /QEMU ended with status 1: panic/);
    assert.ok(!existsSync(memory));
    await qemu(`case "$*" in *"-accel kvm"*) exit 1;; esac
log="\${*#*logfile=}"; echo '${READY}' > "\${log%%,*}"; exec sleep 600`);
    const boot = async (options: StartOptions) => {
      const machine = await startVm(image('emulated'), options, work, top);
      await machine.stop();
      return machine.accelerator;
    };
    assert.equal(await boot({ cpu: 'Icelake-Server' }), 'tcg');
    assert.ok(!existsSync(memory));
    assert.equal(await boot({}), 'tcg');
    assert.equal(JSON.parse(await readFile(memory, 'utf8')).works, false);
  } finally {
    await rm(join(top, 'ssh'));
  }
});

test('processors that QEMU does not know are told before anything boots', async () => {
  const help =
    'Available CPUs:\nx86 EPYC                  (alias of EPYC-v4)\nx86 Opteron_G5            \nx86 qemu64                ';
  await qemu(`cat <<'END'\n${help}\nEND`);
  assert.deepEqual(await unknownCpus(['EPYC', 'Opteron_G5', 'qemu64', 'EPIC']), ['EPIC']);
  // One that does not list them decides itself.
  await qemu('exit 1');
  assert.deepEqual(await unknownCpus(['EPIC']), []);
});

test('the folder of a machine whose owner was killed is cleared away by the next one; others are not touched', async () => {
  const parent = join(top, 'runs');
  await mkdir(parent);
  const owner = spawn('sleep', ['600'], { stdio: 'ignore' });
  const nameOf = (ticks: string) => join(parent, `${RUN_FOLDER}${owner.pid}-${ticks}-abcdef`);
  const living = nameOf(startTicks(owner.pid!)!);
  // The number is in use again, by a process that began later.
  const gone = nameOf('1');
  const kept = await makeRunFolder(true, parent);
  for (const each of [living, gone, join(parent, 'livepatch-vm-elsewhere')]) await mkdir(each);
  await writeFile(join(gone, 'console'), '');
  const own = await makeRunFolder(false, parent);
  assert.deepEqual(
    [own, living, kept, join(parent, 'livepatch-vm-elsewhere'), gone].map((each) => existsSync(each)),
    [true, true, true, true, false],
  );
  const ended = new Promise((resolve) => owner.on('exit', resolve));
  owner.kill('SIGKILL');
  await ended;
  await makeRunFolder(false, parent);
  assert.deepEqual(
    [own, living, kept].map((each) => existsSync(each)),
    [true, false, true],
  );
});
