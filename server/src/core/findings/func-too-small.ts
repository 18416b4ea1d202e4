import type { ElfSymbol } from '../elf/types.ts';
import { bytes, finding, replacedFunctions } from './support.ts';
import type { Hazard, HazardInput } from './types.ts';

const EM_X86_64 = 62;
const EM_AARCH64 = 183;

/** `func-too-small`: the jump to the new code would overwrite what follows the old function. */
export const funcTooSmall: Hazard = {
  codes: ['func-too-small'],
  find: (input) =>
    replacedFunctions(input).flatMap((fn) => {
      const needed = redirection(input, fn.base);
      // Parts that only their own function jumps to (.cold) are not redirected: the new function has its own.
      if (!fn.base || fn.baseSize >= needed || /\.cold(\.\d+)?$/.test(fn.name)) return [];
      return [
        finding({
          code: 'func-too-small',
          severity: 'blocker',
          symbol: fn.name,
          at: fn.at,
          message: `${fn.name}() has ${bytes(fn.baseSize)} of code in the running program; the jump to its replacement needs ${needed} and would overwrite its neighbour. Leave ${fn.name}() as it is and change its callers instead (let them call a new function).`,
          evidence: { size: fn.baseSize, needed, endbr64: needed === 9 },
        }),
      ];
    }),
};

/** Bytes that are written at the start of a replaced function. On Xen the jump comes after a leading endbr64. */
function redirection(input: HazardInput, symbol: ElfSymbol | undefined): number {
  const { elf } = input.pair.base;
  if (elf.machine === EM_AARCH64) return 4;
  if (elf.machine !== EM_X86_64 || input.target !== 'xen' || typeof symbol?.place !== 'number') return 5;
  const data = elf.sections[symbol.place]?.data;
  const endbr64 = [0xf3, 0x0f, 0x1e, 0xfa].every((byte, i) => data?.[symbol.offset + i] === byte);
  return endbr64 ? 9 : 5;
}
