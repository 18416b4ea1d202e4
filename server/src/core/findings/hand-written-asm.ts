import { carriedFunctions, finding, unitPlace } from './support.ts';
import type { Hazard } from './types.ts';

const DW_LANG_Mips_Assembler = 0x8001;

/** `hand-written-asm`: no compiler vouches for what a piece of assembly relies on. */
export const handWrittenAsm: Hazard = {
  codes: ['hand-written-asm'],
  find: (input) => {
    const { unit } = input.pair.provenance;
    const { units } = input.pair.next.dwarf;
    const assembly =
      /\.(S|s|asm|sx)$/.test(unit) ||
      (units.length > 0 && units.every(({ language }) => language === DW_LANG_Mips_Assembler));
    if (!assembly) return [];
    return carriedFunctions(input).map((fn) => {
      const at = fn.changedLines[0] ?? fn.at ?? unitPlace(input);
      return finding({
        code: 'hand-written-asm',
        severity: 'blocker',
        symbol: fn.name,
        at,
        message: `${fn.name} is hand-written assembly. Where it is entered, what it keeps in registers and who jumps into it cannot be read from the object, so it is not replaced. Make the fix in C code that calls it, or restart instead of patching.`,
        evidence: { unit, baseSize: fn.baseSize, nextSize: fn.nextSize },
      });
    });
  },
};
