import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { lastLines, run } from '../targets/transport/local.ts';

/** How the machine's processors are made: hardware virtualisation, or emulation. */
export type Accelerator = 'kvm' | 'tcg';

/** What QEMU is started with. */
export interface QemuSetup {
  /** Multiboot hypervisor image, or a kernel. */
  readonly kernel: string;
  readonly append: string;
  /** Multiboot modules: path with its command line. For a plain kernel: one initramfs without a command line. */
  readonly modules: readonly { readonly path: string; readonly args: string }[];
  readonly accelerator: Accelerator;
  readonly cpu: string;
  readonly cpus: number;
  readonly memoryMiB: number;
  /** TCP port of this machine that leads to the guest's port 22. */
  readonly sshPort: number;
  /** Log of the serial console, and a socket to type at it. */
  readonly consoleLog: string;
  readonly consoleSocket: string;
}

/** QEMU's argument vector. No display, no devices but serial line and network; the network reaches nothing but the forwarded port. */
export function qemuArguments(setup: QemuSetup): string[] {
  // A comma separates modules; QEMU takes a doubled one literally.
  const literal = (text: string): string => text.replaceAll(',', ',,');
  const modules = setup.modules.map(({ path, args }) => literal(args === '' ? path : `${path} ${args}`)).join(',');
  return [
    ...[
      '-accel',
      setup.accelerator,
      '-cpu',
      setup.cpu,
      '-smp',
      String(setup.cpus),
      '-machine',
      'q35',
      '-m',
      String(setup.memoryMiB),
    ],
    ...['-nodefaults', '-display', 'none', '-no-reboot', '-no-user-config'],
    ...[
      '-chardev',
      `socket,id=console,path=${literal(setup.consoleSocket)},server=on,wait=off,logfile=${literal(setup.consoleLog)},logappend=off`,
    ],
    ...['-serial', 'chardev:console'],
    ...['-kernel', setup.kernel, '-append', setup.append, '-initrd', modules],
    ...[
      '-netdev',
      `user,id=n0,restrict=on,hostfwd=tcp:127.0.0.1:${setup.sshPort}-:22`,
      '-device',
      'virtio-net-pci,netdev=n0',
    ],
  ];
}

/** Names of processors that are none of QEMU's (`-cpu help`); none where QEMU does not tell. */
export async function unknownCpus(names: readonly string[]): Promise<string[]> {
  const help = await run('qemu-system-x86_64', ['-cpu', 'help'], { seconds: 20 });
  const known = new Set([...help.stdout.matchAll(/^(?:x86 )?\s*([\w.-]+)/gm)].map((match) => match[1]!));
  // Versions of a model (EPYC-v2) and its features (EPYC,-svm) are listed or not, as QEMU likes.
  return known.has('qemu64') ? names.filter((name) => !known.has(name.split(',')[0]!)) : [];
}

/** A TCP port of the loopback address that is free now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

/** When a process began, in clock ticks since boot (field 22 of /proc/PID/stat): tells it from a later one of the same id. */
export function startTicks(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

/**
 * Starts QEMU. An owned machine ends with the process that started it, however that ends (the kernel sends the signal); a
 * kept one lives on.
 */
export function spawnQemu(args: readonly string[], errorLog: string, keep: boolean): ChildProcess {
  const errors = openSync(errorLog, 'w');
  const program = 'qemu-system-x86_64';
  const vector = keep ? [program, ...args] : ['setpriv', '--pdeathsig', 'KILL', '--', program, ...args];
  const child = spawn(vector[0]!, vector.slice(1), { stdio: ['ignore', errors, errors], detached: true });
  closeSync(errors);
  if (keep) child.unref();
  return child;
}

/** The text of a console log from a byte offset on, with the log's size. */
export async function readFrom(path: string, offset: number): Promise<{ text: string; size: number }> {
  const size = (await stat(path).catch(() => undefined))?.size ?? 0;
  if (size <= offset) return { text: '', size };
  const file = await open(path, 'r');
  try {
    const buffer = Buffer.alloc(Math.min(size - offset, 8 << 20));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, offset);
    return { text: clean(buffer.subarray(0, bytesRead).toString('latin1')), size: offset + bytesRead };
  } finally {
    await file.close();
  }
}

/** Console text without carriage returns and terminal control sequences. */
export function clean(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to be removed.
  return text.replaceAll(/\u001b\[[0-9;?]*[A-Za-z]/g, '').replaceAll(/[\r\u0000]/g, '');
}

/** Lines that mean that a machine will not come up, or has died. */
const fatal: readonly (readonly [RegExp, string])[] = [
  [/^.*Panic on CPU \d+:(?:\n.*){1,3}/m, 'the hypervisor panicked'],
  [/^.*Kernel panic - not syncing.*$/m, 'the kernel panicked'],
  [/^.*(?:Hardware Dom0|Domain 0) crashed.*$/im, 'domain 0 crashed'],
  [/^livepatch: .* did not (?:load|start).*$/m, 'the machine could not set itself up'],
  [/^.*Could not (?:construct|set up) (?:domain 0|DOM0).*$/im, 'the hypervisor could not start the kernel'],
];

/** What the console says of a death, or undefined. */
export function deathIn(consoleText: string): string | undefined {
  for (const [pattern, meaning] of fatal) {
    const match = pattern.exec(consoleText);
    if (match) return `${meaning}: ${match[0].split('\n').slice(0, 4).join(' / ').trim()}`;
  }
  return undefined;
}

/** A machine did not come up. The message holds why, and the console's last lines. */
export class BootError extends Error {
  readonly reason: string;
  readonly consoleLog: string;
  /** The console had printed something. */
  readonly spoke: boolean;
  constructor(reason: string, consoleLog: string, consoleText: string) {
    const tail = lastLines(consoleText, 15);
    super(
      `The machine did not start: ${reason}.\n${tail === '' ? 'The console printed nothing.' : `Last lines of the console (all of it: ${consoleLog}):\n${tail}`}`,
    );
    this.reason = reason;
    this.consoleLog = consoleLog;
    this.spoke = consoleText.trim() !== '';
  }
}
