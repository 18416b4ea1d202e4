import { readlinkSync } from 'node:fs';
import { fromHex, toHex } from '../core/payload/sha256.ts';
import { JUMP_SIZE } from '../core/payload/x86.ts';
import { Helper, type Poke } from './helper.ts';
import { type LoadedModule, loadedModules } from './image.ts';
import { isAlive, type Mapping, mapsOf } from './procfs.ts';
import { type FoundPatch, findPatches, STATE, STATE_OFFSET, stateBytes } from './record.ts';
import type { AppliedPatch } from './types.ts';

/** The request cannot be met because of what the target or the payload is; the target is as it was. */
export class Refusal extends Error {
  readonly reason: string;

  constructor(reason: string, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** A patch in a process, and how it is shown. */
export interface PatchInProcess extends FoundPatch {
  readonly shown: AppliedPatch;
  /** Current bytes at each function's jump. */
  readonly bytes: readonly Uint8Array[];
}

/** One look into a process: the helper that has it open, its mappings, its modules, the patches in it. */
export class Visit {
  readonly pid: number;
  readonly helper: Helper;
  mappings: Mapping[];
  #modules: Promise<LoadedModule[]> | undefined;
  #prepared: Promise<void> | undefined;
  #claimed = false;

  private constructor(pid: number, helper: Helper) {
    this.pid = pid;
    this.helper = helper;
    this.mappings = mapsOf(pid);
  }

  static async open(pid: number, helperPath?: string): Promise<Visit> {
    const helper = await Helper.open(pid, helperPath);
    try {
      return new Visit(pid, helper);
    } catch (error) {
      helper.close();
      if (!isAlive(pid)) throw new Refusal('dead', `Process ${pid} ended.`);
      throw error;
    }
  }

  /** Ends the visit; the next one may claim the process at once. */
  async close(): Promise<void> {
    if (this.#claimed) await this.helper.release();
    this.helper.close();
  }

  /**
   * Has the process for itself until the visit ends; to be called before anything is looked at that is to be changed. What
   * is half done in it was then left behind by a tool that died, and is not the work of one that is at it.
   * @throws Refusal where another tool has it
   */
  async claim(): Promise<void> {
    this.#claimed = await this.helper.claim();
    if (!this.#claimed)
      throw new Refusal(
        'occupied',
        `Another livepatch is at work in process ${this.pid}: wait until it is done, and try again.`,
      );
    // It may have been at work when the visit began.
    this.mappings = mapsOf(this.pid);
  }

  /** ELF files in memory, the executable first. */
  modules(): Promise<LoadedModule[]> {
    this.#modules ??= (async () => {
      const found = await loadedModules((address, size) => this.helper.tryRead(address, size), this.mappings);
      let executable = '';
      try {
        executable = readlinkSync(`/proc/${this.pid}/exe`).replace(/ \(deleted\)$/, '');
      } catch {
        // Not readable: the lowest in memory is the executable as a rule.
      }
      const at = found.findIndex((module) => module.path === executable);
      if (at > 0) found.unshift(...found.splice(at, 1));
      return found;
    })();
    return this.#modules;
  }

  /** Finds the instructions that injected calls need: `syscall; ret` and the C library's signal return. */
  prepare(): Promise<void> {
    this.#prepared ??= this.#findGadgets();
    return this.#prepared;
  }

  async #findGadgets(): Promise<void> {
    const code = this.mappings.filter((one) => one.permissions.startsWith('r-x') && one.name !== '[vsyscall]');
    const find = async (...hex: readonly string[]): Promise<number | undefined> => {
      for (const one of code) {
        for (const bytes of hex) {
          const found = await this.helper.find(one.start, one.end, fromHex(bytes)!);
          if (found !== undefined) return found;
        }
      }
      return undefined;
    };
    // mov $15, %rax; syscall (rt_sigreturn), long and short form
    const restorer = await find('48c7c00f0000000f05', 'b80f0000000f05');
    const returning = await find('0f05c3');
    const plain = returning ?? (await find('0f05'));
    if (plain === undefined)
      throw new Refusal('memory', 'The process has no system call instruction that could be used to map memory.');
    await this.helper.gadgets(plain, returning !== undefined && restorer !== undefined ? restorer : 0);
  }

  /** Patches in the process's memory in the order in which they were applied, those left behind half done repaired not yet. */
  async patches(): Promise<PatchInProcess[]> {
    const found = (await findPatches(this.helper, this.mappings)).filter((one) => one.state !== STATE.mapped);
    const bytes: Uint8Array[][] = [];
    for (const one of found) {
      const list: Uint8Array[] = [];
      for (const { jumpAddress } of one.record.functions)
        list.push((await this.helper.tryRead(Number(jumpAddress), JUMP_SIZE)) ?? new Uint8Array(JUMP_SIZE));
      bytes.push(list);
    }
    return found.map((one, index) => ({ ...one, bytes: bytes[index]!, shown: shown(one, bytes[index]!, found) }));
  }

  /**
   * Brings back the old code of patches that a killed tool left half done; only for who has claimed the process. Needs no look at the stacks: an instruction
   * pointer is at a jump or behind it, never inside.
   */
  async repair(patches: readonly PatchInProcess[]): Promise<boolean> {
    let repaired = false;
    for (const patch of [...patches].reverse()) {
      if (patch.state !== STATE.applying && patch.state !== STATE.reverting) continue;
      const pokes: Poke[] = [];
      for (const [index, one] of patch.record.functions.entries()) {
        if (toHex(patch.bytes[index]!) !== one.jump) continue;
        pokes.push({ address: Number(one.jumpAddress), before: fromHex(one.jump)!, after: fromHex(one.previous)! });
      }
      const answer = await this.helper.switch(
        [],
        pokes,
        [
          {
            address: patch.address + STATE_OFFSET,
            before: stateBytes(patch.state),
            during: stateBytes(patch.state),
            after: stateBytes(STATE.reverted),
          },
        ],
        {},
      );
      if (!answer.ok)
        throw new Refusal(
          'interrupted',
          `Patch ${patch.record.id} was left half done and cannot be put back now (${answer.reason}). Try again.`,
        );
      repaired = true;
    }
    return repaired;
  }
}

function shown(patch: FoundPatch, bytes: readonly Uint8Array[], all: readonly FoundPatch[]): AppliedPatch {
  const functions = patch.record.functions.map((one, index) => ({
    name: one.name,
    oldAddress: one.entry,
    newAddress: one.newAddress,
    redirected: toHex(bytes[index]!) === one.jump,
  }));
  let state: AppliedPatch['state'] = patch.state === STATE.applied ? 'applied' : 'reverted';
  if (patch.state === STATE.applying || patch.state === STATE.reverting) state = 'interrupted';
  // A jump that is not there has to be that of a patch further up.
  const covered = (jumpAddress: string): boolean =>
    all.some(
      (other) =>
        other.record.order > patch.record.order &&
        other.state !== STATE.reverted &&
        other.record.functions.some((one) => one.jumpAddress === jumpAddress),
    );
  if (
    state === 'applied' &&
    patch.record.functions.some((one, index) => !functions[index]!.redirected && !covered(one.jumpAddress))
  )
    state = 'interrupted';
  return {
    id: patch.record.id,
    description: patch.record.description,
    state,
    order: patch.record.order,
    appliedAt: patch.record.appliedAt,
    functions,
  };
}
