import { fromHex, sha256Hex, toHex } from '../core/payload/sha256.ts';
import { STATE } from './record.ts';
import type { AppliedPatch } from './types.ts';
import type { PatchInProcess, Visit } from './visit.ts';

/**
 * Compares the old code of each patched function in memory with what its patch remembers: the bytes under the jumps, and
 * the checksum of the rest where the patch keeps one. Nothing is stopped and nothing is written.
 */
export async function verifyPatches(visit: Visit, patches: readonly PatchInProcess[]): Promise<AppliedPatch[]> {
  const shown: AppliedPatch[] = [];
  for (const patch of patches) {
    const functions: AppliedPatch['functions'][number][] = [];
    for (const [index, one] of patch.record.functions.entries()) {
      const jump = toHex(patch.bytes[index]!);
      const above = patches.some(
        (other) =>
          other.state === STATE.applied &&
          other.record.order > patch.record.order &&
          other.record.functions.some(
            ({ jumpAddress, jump: bytes }) => jumpAddress === one.jumpAddress && bytes === jump,
          ),
      );
      const below = patches.some(
        (other) =>
          other.state === STATE.applied &&
          other.record.order < patch.record.order &&
          other.record.functions.some(
            ({ jumpAddress, jump: bytes }) => jumpAddress === one.jumpAddress && bytes === jump,
          ),
      );
      let memory: NonNullable<AppliedPatch['functions'][number]['memory']> = 'foreign';
      if (jump === one.jump) memory = 'redirected';
      else if (above || below) memory = 'covered';
      else if (jump === one.original) memory = 'original';
      if (one.oldCode !== undefined && memory !== 'foreign') {
        const code = await visit.helper.tryRead(Number(one.entry), one.size);
        code?.set(fromHex(one.original)!, Number(one.jumpAddress) - Number(one.entry));
        if (!code || sha256Hex(code) !== one.oldCode) memory = 'foreign';
      }
      functions.push({ ...patch.shown.functions[index]!, memory });
    }
    shown.push({ ...patch.shown, functions });
  }
  return shown;
}
