import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../targets/transport/local.ts';
import { openSsh, type SshTransport } from '../targets/transport/ssh.ts';
import { cacheRoot, type Work, withLock } from './cache.ts';
import { endProcess, livingVm, type RunState, runFile, startLock, stopKept, type VmImage, vmFolder } from './made.ts';
import {
  type Accelerator,
  BootError,
  deathIn,
  freePort,
  qemuArguments,
  readFrom,
  spawnQemu,
  startTicks,
} from './qemu.ts';
import { makeRunFolder } from './run-folder.ts';
import { READY } from './xen-guest.ts';

/** A machine that this process holds. */
export interface Machine extends RunState {
  readonly ssh: SshTransport;
  /** Text of the console from a byte offset on. */
  console(offset?: number): Promise<{ text: string; size: number }>;
  /** Types at the serial line. */
  type(text: string): Promise<void>;
  /** Why it died, where it has: its own last words, or QEMU's end. */
  death(): Promise<string | undefined>;
  stop(): Promise<void>;
}

/** How to start a machine. */
export interface StartOptions {
  /** It lives on after this process, until `stopKept`. */
  readonly keep?: boolean;
  /** `auto`: KVM where a boot under it works, else TCG. */
  readonly accelerator?: Accelerator | 'auto';
  /** QEMU's name of a processor; absent: qemu64 under TCG, host under KVM. */
  readonly cpu?: string;
  readonly cpus?: number;
  /** Seconds until it has to answer; 120 where absent. */
  readonly seconds?: number;
  /** More words for the hypervisor's command line. */
  readonly append?: string;
}

/** ssh's configuration for one run of a machine: its port, key and host key, and nothing of the user's. */
async function writeSshConfig(folder: string, vm: VmImage, port: number): Promise<string> {
  const known = join(folder, 'known_hosts');
  await writeFile(known, `livepatch-${vm.name} ${vm.hostKey}\n`);
  // ssh refuses keys that others can read, whatever the folder's rights were when it was made.
  await chmod(vm.key, 0o600);
  const quoted = (path: string): string => `"${path.replaceAll('%', '%%')}"`;
  const path = join(folder, 'ssh_config');
  const lines = [
    `Host livepatch-${vm.name}`,
    '  HostName 127.0.0.1',
    `  HostKeyAlias livepatch-${vm.name}`,
    `  Port ${port}`,
    '  User root',
    `  IdentityFile ${quoted(vm.key)}`,
    '  IdentitiesOnly yes',
    `  UserKnownHostsFile ${quoted(known)}`,
    '  GlobalKnownHostsFile /dev/null',
    '  StrictHostKeyChecking yes',
    '  PasswordAuthentication no',
    '  ForwardAgent no',
    '  LogLevel ERROR',
  ];
  await writeFile(path, `${lines.join('\n')}\n`);
  return path;
}

/** ssh into a machine that runs. */
export function sshOf(state: { readonly name: string; readonly sshConfig: string }): SshTransport {
  return openSsh({ destination: `livepatch-${state.name}`, config: state.sshConfig });
}

/** Did KVM work for a boot on this host since it was started? Remembered, so that a broken one is tried once. */
async function kvmMemory(root: string): Promise<{ known?: boolean; remember: (works: boolean) => Promise<void> }> {
  const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')).trim();
  const path = join(root, 'vm', 'kvm.json');
  const text = await readFile(path, 'utf8').catch(() => '{}');
  let kept: { boot?: string; works?: boolean } = {};
  try {
    kept = JSON.parse(text);
  } catch {
    // A damaged memory is none.
  }
  return {
    ...(kept.boot === boot && kept.works !== undefined ? { known: kept.works } : {}),
    remember: async (works) => {
      await mkdir(join(root, 'vm'), { recursive: true });
      await writeFile(path, JSON.stringify({ boot, works }));
    },
  };
}

/**
 * Boots a machine and waits until ssh answers. Of two that start the same kept machine one waits, and is told that it runs.
 * @throws BootError with the reason and the console's last lines; Error where QEMU is missing.
 */
export async function startVm(vm: VmImage, options: StartOptions, work: Work, root = cacheRoot()): Promise<Machine> {
  if ((await run('which', ['qemu-system-x86_64'], { seconds: 10 })).status !== 0) {
    throw new Error('qemu-system-x86_64 is not installed: sudo apt-get install qemu-system-x86');
  }
  for (const path of [vm.hypervisor, vm.kernel, vm.initramfs, vm.key])
    if (!existsSync(path))
      throw new Error(
        `${path} is not there any more: build it again, or make the machine again (livepatch vm create xen${again(vm.name)})`,
      );
  if (!options.keep) return bootSomehow(vm, options, work, root);
  return withLock(startLock(vm.name, root), `starts the machine '${vm.name}'`, work, async () => {
    const living = await livingVm(vm.name, root);
    if (living && !living.booting)
      throw new Error(
        `The machine '${vm.name}' runs already (process ${living.pid}). Stop it: livepatch vm stop ${vm.name}`,
      );
    // What is left of a machine that ended by itself; or whoever booted it was killed before it was up: this process has the lock, so
    // nobody waits for it.
    await stopKept(vm.name, root);
    return bootSomehow(vm, options, work, root);
  });
}

const again = (name: string): string => ` --again${name === 'xen' ? '' : ` --name ${name}`}`;

/** Under KVM where that works, else emulated. */
async function bootSomehow(vm: VmImage, options: StartOptions, work: Work, root: string): Promise<Machine> {
  const wish = options.accelerator ?? 'auto';
  if (wish !== 'auto') return boot(vm, options, wish, options.seconds ?? 120, work, root);
  const memory = await kvmMemory(root);
  let failed = false;
  if (existsSync('/dev/kvm') && memory.known !== false) {
    try {
      // Under KVM the first words come at once; what is silent for 20 seconds does not work.
      const machine = await boot(vm, options, 'kvm', Math.min(options.seconds ?? 120, 45), work, root, 20);
      await memory.remember(true).catch(() => {});
      return machine;
    } catch (error) {
      if (!(error instanceof BootError) || work.signal?.aborted) throw error;
      failed = true;
      work.say(`KVM does not work here (${error.reason}): emulating instead`);
    }
  }
  const machine = await boot(vm, options, 'tcg', options.seconds ?? 120, work, root);
  // A hypervisor that dies under both, or a processor that only KVM does not have, says nothing of KVM.
  if (failed && memory.known === undefined && options.cpu === undefined) await memory.remember(false).catch(() => {});
  return machine;
}

async function boot(
  vm: VmImage,
  options: StartOptions,
  accelerator: Accelerator,
  seconds: number,
  work: Work,
  root: string,
  silence = seconds,
): Promise<Machine> {
  const began = Date.now();
  const folder = await makeRunFolder(options.keep ?? false);
  const consoleLog = options.keep ? join(vmFolder(vm.name, root), 'console.log') : join(folder, 'console.log');
  if (options.keep) await rename(consoleLog, `${consoleLog}.1`).catch(() => {});
  const consoleSocket = join(folder, 'console');
  const errorLog = join(folder, 'qemu.log');
  const cpu = options.cpu ?? (accelerator === 'kvm' ? 'host' : 'qemu64');
  const sshPort = await freePort();
  const args = qemuArguments({
    kernel: vm.hypervisor,
    append: [
      'console=com1 com1=115200,8n1 loglvl=all guest_loglvl=all',
      `dom0_mem=${vm.memoryMiB >> 1}M dom0_max_vcpus=1`,
      options.append ?? '',
    ]
      .join(' ')
      .trim(),
    modules: [
      { path: vm.kernel, args: 'console=hvc0 panic=-1' },
      { path: vm.initramfs, args: '' },
    ],
    accelerator,
    cpu,
    cpus: options.cpus ?? 1,
    memoryMiB: vm.memoryMiB,
    sshPort,
    consoleLog,
    consoleSocket,
  });
  work.say(`booting ${vm.name} under ${accelerator === 'kvm' ? 'KVM' : 'emulation'}, processor ${cpu}`);
  const child = spawnQemu(args, errorLog, options.keep ?? false);
  const exited = endOf(child);
  const killOnExit = (): void => {
    if (child.pid !== undefined && child.exitCode === null) child.kill('SIGKILL');
  };
  process.on('exit', killOnExit);
  const cleanUp = async (): Promise<void> => {
    process.off('exit', killOnExit);
    if (child.pid !== undefined && ticks) await endProcess(child.pid, ticks);
    if (options.keep) await rm(runFile(vm.name, root), { force: true });
    await rm(folder, { recursive: true, force: true });
  };
  const ticks = child.pid === undefined ? undefined : startTicks(child.pid);
  const fail = async (reason: string): Promise<never> => {
    const { text } = await readFrom(consoleLog, 0);
    // The log of a machine that died is kept beside the machine's own files: the run's folder goes.
    const kept = join(vmFolder(vm.name, root), 'console.failed.log');
    if (!options.keep) {
      await mkdir(vmFolder(vm.name, root), { recursive: true });
      await copyFile(consoleLog, kept).catch(() => {});
    }
    await cleanUp();
    throw new BootError(reason, options.keep ? consoleLog : kept, text);
  };

  try {
    // Who clears /tmp of what is old takes nothing away that a kept machine is reached by.
    const sshConfig = await writeSshConfig(options.keep ? vmFolder(vm.name, root) : folder, vm, sshPort);
    const ssh = sshOf({ name: vm.name, sshConfig });
    const booting: RunState = {
      name: vm.name,
      pid: child.pid ?? 0,
      ticks: ticks ?? '',
      sshPort,
      sshConfig,
      accelerator,
      cpu,
      consoleLog,
      consoleSocket,
      startedAt: new Date(began).toISOString(),
      bootMilliseconds: 0,
      booting: true,
    };
    if (options.keep && ticks) await writeFile(runFile(vm.name, root), JSON.stringify(booting, null, 2));
    let ready = false;
    while (!ready) {
      if (work.signal?.aborted) await fail('cancelled');
      const elapsed = (Date.now() - began) / 1000;
      const { text } = await readFrom(consoleLog, 0);
      const death = deathIn(text);
      if (death) await fail(death);
      if (exited.status !== undefined) {
        const words = (await readFile(errorLog, 'utf8').catch(() => '')).trim().split('\n').at(-1) ?? '';
        await fail(
          exited.status === 0
            ? 'the machine reset itself while it booted'
            : `QEMU ended with status ${exited.status}${words ? `: ${words}` : ''}`,
        );
      }
      if (text.trim() === '' && elapsed > silence) await fail(`no word on the console in ${silence} s`);
      if (elapsed > seconds) await fail(`it was not ready after ${seconds} s`);
      if (text.includes(READY)) {
        const answer = await ssh.run(['true'], { seconds: 15, signal: work.signal });
        ready = answer.status === 0;
        if (!ready && elapsed > seconds) await fail(`ssh does not answer: ${answer.stderr.trim()}`);
      }
      if (!ready) await sleep(100, undefined, work.signal ? { signal: work.signal } : {}).catch(() => {});
    }
    const { booting: _, ...rest } = booting;
    const state: RunState = { ...rest, bootMilliseconds: Date.now() - began };
    if (options.keep) {
      process.off('exit', killOnExit);
      await writeFile(runFile(vm.name, root), JSON.stringify(state, null, 2));
    }
    return {
      ...state,
      ssh,
      console: (offset = 0) => readFrom(consoleLog, offset),
      type: (text) => typeAt(consoleSocket, text),
      async death() {
        const words = deathIn((await readFrom(consoleLog, 0)).text);
        if (words) return words;
        return startTicks(state.pid) === state.ticks ? undefined : 'QEMU has ended';
      },
      stop: cleanUp,
    };
  } catch (error) {
    // A full disk, for instance: no QEMU stays behind that nothing speaks of.
    if (!(error instanceof BootError)) await cleanUp();
    throw error;
  }
}

/** Writes to a machine's serial line; slowly, since the line has a small buffer and no flow control. */
async function typeAt(socketPath: string, text: string): Promise<void> {
  const socket = connect(socketPath);
  socket.resume();
  await once(socket, 'connect');
  for (const character of text) {
    socket.write(character);
    await sleep(30);
  }
  socket.end();
}

function endOf(child: ChildProcess): { status?: number | string } {
  const end: { status?: number | string } = {};
  child.on('error', (error) => {
    end.status = error.message;
  });
  child.on('exit', (code, signal) => {
    end.status = signal ?? code ?? 1;
  });
  return end;
}
