import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../targets/transport/local.ts';
import { openSsh, type SshTransport } from '../targets/transport/ssh.ts';
import { cacheRoot, type Work } from './cache.ts';
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
import { READY } from './xen-guest.ts';

/** A virtual machine that `vm create` made: `vm.json` in its folder. */
export interface VmImage {
  readonly schema: 1;
  readonly name: string;
  readonly kind: 'xen';
  /** Multiboot image of the hypervisor, and its ELF file with symbols and debug information. */
  readonly hypervisor: string;
  readonly syms: string;
  /** Source tree that it was built from. */
  readonly tree: string;
  readonly version: string;
  readonly kernel: string;
  readonly initramfs: string;
  readonly key: string;
  readonly hostKey: string;
  readonly memoryMiB: number;
}

/** A machine that runs: `run.json`. */
export interface RunState {
  readonly name: string;
  readonly pid: number;
  /** Start of the process in clock ticks: another process of the same id is not ours. */
  readonly ticks: string;
  readonly sshPort: number;
  readonly sshConfig: string;
  readonly accelerator: Accelerator;
  readonly cpu: string;
  readonly consoleLog: string;
  readonly consoleSocket: string;
  /** ISO 8601. */
  readonly startedAt: string;
  /** Milliseconds from QEMU's start until ssh answered. */
  readonly bootMilliseconds: number;
}

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

/** Folder of a machine. Names are letters, digits, `-`, `_` and `.`. */
export function vmFolder(name: string, root = cacheRoot()): string {
  if (!/^[A-Za-z0-9][\w.-]{0,40}$/.test(name))
    throw new Error(`'${name}' is no name for a machine: use letters, digits, '-', '_' and '.'`);
  return join(root, 'vm', name);
}

/** @throws Error where there is no such machine, saying how to make it. */
export async function readVm(name: string, root = cacheRoot()): Promise<VmImage> {
  const text = await readFile(join(vmFolder(name, root), 'vm.json'), 'utf8').catch(() => undefined);
  if (text === undefined)
    throw new Error(
      `There is no virtual machine '${name}'. Make it: livepatch vm create xen${name === 'xen' ? '' : ` --name ${name}`}`,
    );
  return JSON.parse(text) as VmImage;
}

/** Every machine that was made. */
export async function listVms(root = cacheRoot()): Promise<VmImage[]> {
  const names = await readdir(join(root, 'vm')).catch(() => []);
  const found: VmImage[] = [];
  for (const name of names.sort())
    if (existsSync(join(root, 'vm', name, 'vm.json'))) found.push(await readVm(name, root));
  return found;
}

/** The kept machine of this name, where it runs. */
export async function runningVm(name: string, root = cacheRoot()): Promise<RunState | undefined> {
  const text = await readFile(join(vmFolder(name, root), 'run.json'), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const state = JSON.parse(text) as RunState;
  return startTicks(state.pid) === state.ticks ? state : undefined;
}

/** Ends a QEMU and waits until it is gone. */
async function endProcess(pid: number, ticks: string): Promise<void> {
  for (const [signal, wait] of [
    ['SIGTERM', 3000],
    ['SIGKILL', 3000],
  ] as const) {
    if (startTicks(pid) !== ticks) return;
    try {
      process.kill(pid, signal);
    } catch {
      return;
    }
    for (let waited = 0; waited < wait && startTicks(pid) === ticks; waited += 25) await sleep(25);
  }
}

/** Ends the kept machine of this name. False where none runs. */
export async function stopKept(name: string, root = cacheRoot()): Promise<boolean> {
  const state = await runningVm(name, root);
  if (state) {
    await endProcess(state.pid, state.ticks);
    await rm(dirname(state.sshConfig), { recursive: true, force: true });
  }
  await rm(join(vmFolder(name, root), 'run.json'), { force: true });
  return state !== undefined;
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
 * Boots a machine and waits until ssh answers.
 * @throws BootError with the reason and the console's last lines; Error where QEMU is missing.
 */
export async function startVm(vm: VmImage, options: StartOptions, work: Work, root = cacheRoot()): Promise<Machine> {
  if ((await run('which', ['qemu-system-x86_64'], { seconds: 10 })).status !== 0) {
    throw new Error('qemu-system-x86_64 is not installed: sudo apt-get install qemu-system-x86');
  }
  if (options.keep) {
    const running = await runningVm(vm.name, root);
    if (running)
      throw new Error(
        `The machine '${vm.name}' runs already (process ${running.pid}). Stop it: livepatch vm stop ${vm.name}`,
      );
  }
  const wish = options.accelerator ?? 'auto';
  if (wish !== 'auto') return boot(vm, options, wish, options.seconds ?? 120, work, root);
  const memory = await kvmMemory(root);
  if (existsSync('/dev/kvm') && memory.known !== false) {
    try {
      // Under KVM the first words come at once; what is silent for 20 seconds does not work.
      const machine = await boot(vm, options, 'kvm', Math.min(options.seconds ?? 120, 45), work, root, 20);
      await memory.remember(true);
      return machine;
    } catch (error) {
      if (!(error instanceof BootError) || work.signal?.aborted) throw error;
      if (memory.known === undefined) await memory.remember(false);
      work.say(`KVM does not work here (${error.reason}): emulating instead`);
    }
  }
  return boot(vm, options, 'tcg', options.seconds ?? 120, work, root);
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
  // Sockets have short paths (108 bytes): the run's folder is a temporary one.
  const folder = await mkdtemp(join(tmpdir(), 'livepatch-vm-'));
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

  const sshConfig = await writeSshConfig(folder, vm, sshPort);
  const ssh = sshOf({ name: vm.name, sshConfig });
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
  const state: RunState = {
    name: vm.name,
    pid: child.pid!,
    ticks: ticks!,
    sshPort,
    sshConfig,
    accelerator,
    cpu,
    consoleLog,
    consoleSocket,
    startedAt: new Date(began).toISOString(),
    bootMilliseconds: Date.now() - began,
  };
  if (options.keep) {
    process.off('exit', killOnExit);
    await writeFile(join(vmFolder(vm.name, root), 'run.json'), JSON.stringify(state, null, 2));
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
