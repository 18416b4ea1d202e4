import { existsSync } from 'node:fs';
import { readdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cacheRoot } from './cache.ts';
import { type Accelerator, startTicks } from './qemu.ts';
import { isRunFolder } from './run-folder.ts';

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
  /** Milliseconds from QEMU's start until ssh answered; 0 while it boots. */
  readonly bootMilliseconds: number;
  /** It boots still: written at once, so that a QEMU whose starter was killed meanwhile is found and ended. */
  readonly booting?: true;
}

/** Folder of a machine. Names are letters, digits, `-`, `_` and `.`. */
export function vmFolder(name: string, root = cacheRoot()): string {
  if (!/^[A-Za-z0-9][\w.-]{0,40}$/.test(name))
    throw new Error(`'${name}' is no name for a machine: use letters, digits, '-', '_' and '.'`);
  return join(root, 'vm', name);
}

/** Lock of whoever starts a machine, or puts another one in its place. */
export const startLock = (name: string, root: string): string => `${vmFolder(name, root)}.start`;

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
  const state = await livingVm(name, root);
  return state?.booting ? undefined : state;
}

/** The kept machine of this name whose QEMU lives, also while it boots. */
export async function livingVm(name: string, root = cacheRoot()): Promise<RunState | undefined> {
  const state = await lastRun(name, root);
  return state && startTicks(state.pid) === state.ticks ? state : undefined;
}

/** The last start of a kept machine that nobody has stopped: it lives, or it ended by itself. */
export async function lastRun(name: string, root = cacheRoot()): Promise<RunState | undefined> {
  const text = await readFile(runFile(name, root), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as RunState;
  } catch {
    // Half written: the disk was full. What it spoke of is not known any more.
    return undefined;
  }
}

/** Why a machine that has to run does not, as a part of a sentence with what to do. */
export async function whyNotRunning(name: string, root = cacheRoot()): Promise<string> {
  const start = `livepatch vm start${name === 'xen' ? '' : ` ${name}`}`;
  const state = await lastRun(name, root);
  if (state === undefined) return `the machine does not run (${start})`;
  if (startTicks(state.pid) === state.ticks) return `the machine still boots: look at livepatch vm console ${name}`;
  return `the machine ended by itself, or was killed; its last words are in ${state.consoleLog} (start it again: ${start})`;
}

/** Where the state of a kept machine is. */
export const runFile = (name: string, root: string): string => join(vmFolder(name, root), 'run.json');

/** Ends a QEMU and waits until it is gone. */
export async function endProcess(pid: number, ticks: string): Promise<void> {
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

/** Ends the kept machine of this name, also one that boots, and clears away after one that ended by itself. False where none runs. */
export async function stopKept(name: string, root = cacheRoot()): Promise<boolean> {
  const state = await lastRun(name, root);
  const living = state !== undefined && startTicks(state.pid) === state.ticks;
  if (living) await endProcess(state.pid, state.ticks);
  const folder = state === undefined ? undefined : dirname(state.consoleSocket);
  if (folder !== undefined && isRunFolder(folder)) await rm(folder, { recursive: true, force: true });
  await rm(runFile(name, root), { force: true });
  return living;
}
