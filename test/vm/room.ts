import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { it, type TestContext } from 'node:test';
import { type Analyser, createAnalyser } from '../../server/src/analyse.ts';
import { readElf } from '../../server/src/core/elf/index.ts';
import type { ElfFile } from '../../server/src/core/elf/types.ts';
import type { PatchUnit } from '../../server/src/core/payload/types.ts';
import { buildXenPayload, type XenOptions, type XenOutcome } from '../../server/src/core/payload/xen.ts';
import type { Hypervisor } from '../../server/src/core/payload/xen-symbols.ts';
import { run } from '../../server/src/targets/transport/local.ts';
import { createXenTarget, type XenTarget } from '../../server/src/targets/xen.ts';
import { createXenVm } from '../../server/src/vm/create.ts';
import { NoDownload } from '../../server/src/vm/debian.ts';
import { type Machine, type StartOptions, startVm } from '../../server/src/vm/machine.ts';
import type { VmImage } from '../../server/src/vm/made.ts';
import { BootError } from '../../server/src/vm/qemu.ts';
import { missingForXen } from '../../server/src/vm/xen-source.ts';
import { type WorkTree, workTree } from './tree.ts';

/** A booted hypervisor with a working copy of its source: what the tests in this folder work in. */
export interface Room {
  readonly vm: VmImage;
  readonly machine: Machine;
  readonly target: XenTarget;
  readonly analyser: Analyser;
  readonly tree: WorkTree;
  readonly syms: ElfFile;
  /** The hypervisor, with these payloads applied. */
  hypervisor(below?: readonly { id: string; bytes: Uint8Array }[]): Hypervisor;
  close(): Promise<void>;
}

/** Progress of long steps, so that a CI log does not look stuck. */
const work = { say: (text: string) => console.log(`# ${text}`) };

/** Why these tests cannot run here, as one sentence; undefined where they can. */
export async function whyNot(): Promise<string | undefined> {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'virtual machines with Xen need x86-64 Linux';
  if ((await run('which', ['qemu-system-x86_64'], { seconds: 10 })).status !== 0)
    return 'QEMU is not installed (qemu-system-x86)';
  const missing = await missingForXen();
  if (missing.length > 0) return `Xen cannot be built without ${missing.join(', ')}`;
  if (!existsSync('/etc/debian_version'))
    return "Xen's source is fetched as a Debian source package, and this is no Debian";
  return undefined;
}

let image: Promise<VmImage> | undefined;
/** The machine that all tests share; built where it is absent (two minutes of processor time). */
export const testVm = (): Promise<VmImage> => {
  image ??= createXenVm({ name: 'xen' }, work);
  return image;
};

/** Seconds for a boot: emulated, and beside whatever else the machine does. */
export const BOOT = 300;

/** Why what failed is the machine's lack and no fault of ours; undefined where it is a failure. */
export function lackIn(error: unknown): string | undefined {
  if (error instanceof NoDownload) return `${error.message} (the tests that need a hypervisor are left out)`;
  if (error instanceof BootError && !error.spoke && /^QEMU ended/.test(error.reason))
    return `QEMU does not run here: ${error.reason}`;
  return undefined;
}

/** The machine, or undefined where it cannot be made here: the test is skipped then, with the reason. */
export async function vmOrSkip(context: Pick<TestContext, 'skip'> | undefined): Promise<VmImage | undefined> {
  const skip = (reason: string): undefined => {
    console.log(`# SKIPPED: ${reason}`);
    lack = reason;
    context?.skip(reason);
    return undefined;
  };
  const reason = await whyNot();
  if (reason) return skip(reason);
  try {
    return await testVm();
  } catch (error) {
    const why = lackIn(error);
    if (why === undefined) throw error;
    return skip(why);
  }
}

let lack = '';
/** Why the last machine was not there. */
export const lacking = (): string => lack;

/**
 * Tests in a room: each is skipped with the reason where there is none, begins with the baseline's sources and a hypervisor that lives,
 * and has a time of its own.
 */
export const testIn =
  (room: () => Room | undefined) =>
  (name: string, task: (context: TestContext) => unknown, seconds = 300): void => {
    it(name, { timeout: seconds * 1000 }, async (context) => {
      const opened = room();
      if (!opened) return context.skip(lacking());
      const death = await opened.machine.death();
      if (death !== undefined) throw new Error(`the hypervisor died in an earlier test: ${death}`);
      console.log(`# ${name} (at most ${seconds} s)`);
      await opened.tree.reset();
      await task(context);
    });
  };

/** Opens a room, or skips the test with the reason. What fails although it should work is an error, not a skip. */
export async function openRoom(
  context: Pick<TestContext, 'skip'> | undefined,
  start: StartOptions = {},
): Promise<Room | undefined> {
  const vm = await vmOrSkip(context);
  if (!vm) return undefined;
  const analyser = await createAnalyser();
  const { elf: syms } = readElf(new Uint8Array(await readFile(vm.syms)));
  if (!syms) throw new Error(`${vm.syms} cannot be read`);
  const tree = await workTree(vm.tree, analyser);
  const machine = await startVm(vm, { seconds: BOOT, ...start }, work).catch(async (error) => {
    await tree.close();
    const why = lackIn(error);
    if (why === undefined) throw error;
    console.log(`# SKIPPED: ${why}`);
    lack = why;
    context?.skip(why);
    return undefined;
  });
  if (!machine) return undefined;
  const target = createXenTarget({
    name: 'xen',
    connect: () => ({ ssh: machine.ssh, console: machine.console }),
    verify: 'cat /sys/hypervisor/version/extra',
  });
  return {
    vm,
    machine,
    target,
    analyser,
    tree,
    syms,
    hypervisor: (below = []) => ({
      path: vm.syms,
      elf: syms,
      below: below.map(({ id, bytes }) => ({ id, elf: readElf(bytes).elf! })),
    }),
    async close() {
      await machine.stop();
      await tree.close();
    },
  };
}

/** Options of a payload, with what tests do not care for filled in. */
export const options = (id: string, more: Partial<XenOptions> = {}): XenOptions => ({
  id,
  description: '',
  created: '2026-01-01T00:00:00Z',
  leaveOut: [],
  keepLineOnly: false,
  overrides: {},
  ...more,
});

/** A payload that has to come out; else the refusals are the error. */
export function mustBuild(
  units: readonly PatchUnit[],
  hypervisor: Hypervisor,
  wanted: XenOptions,
): XenOutcome & { kind: 'payload' } {
  const outcome = buildXenPayload(units, hypervisor, wanted);
  if (outcome.kind === 'payload') return outcome;
  throw new Error(outcome.refusals.map((one) => `${one.code} ${one.symbol}: ${one.message}`).join('\n'));
}
