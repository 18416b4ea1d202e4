import { createXenTarget } from '../targets/xen.ts';
import { check, type Work } from './cache.ts';
import { type StartOptions, startVm } from './machine.ts';
import type { VmImage } from './made.ts';
import { BootError } from './qemu.ts';

/** How a payload fared on one processor. */
export interface MatrixRow {
  readonly cpu: string;
  readonly accelerator: string;
  /** `no-boot`: the hypervisor or its domain 0 does not start on this processor; the payload was not tried. */
  readonly outcome: 'works' | 'refused' | 'no-boot' | 'died';
  /** What the last step said; empty where all went well. */
  readonly message: string;
  /** Output of the verify command: before, applied, reverted. */
  readonly verify: readonly string[];
  readonly bootSeconds: number;
}

/** Processors that are tried where none are named: three of Intel's families and two of AMD's that QEMU emulates. */
export const defaultCpus = ['qemu64', 'Nehalem', 'Haswell-noTSX', 'Opteron_G5', 'EPYC'] as const;

/**
 * Boots a machine for each processor, one after the other; applies, verifies and reverts the payload on each.
 * @throws Error where the work was cancelled.
 */
export async function tryOnProcessors(
  vm: VmImage,
  payload: Uint8Array,
  cpus: readonly string[],
  options: Pick<StartOptions, 'accelerator' | 'seconds'> & { readonly verify?: string },
  work: Work,
  each: (row: MatrixRow) => void = () => {},
): Promise<MatrixRow[]> {
  const rows: MatrixRow[] = [];
  for (const cpu of cpus) {
    check(work);
    const row = await tryOn(vm, payload, cpu, options, work);
    // What a cancel ended says nothing of the processor.
    check(work);
    rows.push(row);
    each(row);
  }
  return rows;
}

async function tryOn(
  vm: VmImage,
  payload: Uint8Array,
  cpu: string,
  options: Pick<StartOptions, 'accelerator' | 'seconds'> & { readonly verify?: string },
  work: Work,
): Promise<MatrixRow> {
  const began = Date.now();
  const start = {
    cpu,
    seconds: options.seconds ?? 60,
    ...(options.accelerator ? { accelerator: options.accelerator } : {}),
  };
  const machine = await startVm(vm, start, work).catch((error: Error) => error);
  if (machine instanceof Error) {
    if (!(machine instanceof BootError)) throw machine;
    return {
      cpu,
      accelerator: '',
      outcome: 'no-boot',
      message: machine.reason,
      verify: [],
      bootSeconds: (Date.now() - began) / 1000,
    };
  }
  const bootSeconds = machine.bootMilliseconds / 1000;
  const { accelerator } = machine;
  try {
    const target = createXenTarget({
      name: cpu,
      connect: () => ({ ssh: machine.ssh, console: machine.console }),
      ...(options.verify ? { verify: options.verify } : {}),
    });
    const row = async (
      outcome: MatrixRow['outcome'],
      message: string,
      verify: readonly string[],
    ): Promise<MatrixRow> => {
      const death = await machine.death();
      return { cpu, accelerator, outcome: death ? 'died' : outcome, message: death ?? message, verify, bootSeconds };
    };
    const applied = await target.load(payload, work.signal);
    if (applied.kind !== 'done') return await row('refused', applied.message, []);
    const seen = applied.verify ? [applied.verify.before, applied.verify.after] : [];
    const reverted = await target.act('revert', applied.id, work.signal);
    if (reverted.kind !== 'done') return await row('refused', reverted.message, seen);
    return await row('works', '', reverted.verify ? [...seen, reverted.verify.after] : seen);
  } finally {
    await machine.stop();
  }
}
