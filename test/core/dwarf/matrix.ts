import { hasTool } from '../../support/cc.ts';

/** Compilers that the tests run with, those that are installed; gcc always. */
export const COMPILERS = ['gcc', 'gcc-11', 'clang', 'clang-16'].filter((name) => name === 'gcc' || hasTool(name));

/** Ways to write debug information that the readers must all understand alike. */
export const FLAVOURS: readonly { readonly name: string; readonly args: readonly string[] }[] = [
  { name: 'DWARF 4', args: ['-gdwarf-4'] },
  { name: 'DWARF 5', args: ['-gdwarf-5'] },
  { name: 'DWARF 4 type units', args: ['-gdwarf-4', '-fdebug-types-section'] },
  { name: 'DWARF 5 type units', args: ['-gdwarf-5', '-fdebug-types-section'] },
  { name: 'DWARF 3', args: ['-gdwarf-3', '-gstrict-dwarf'] },
  { name: 'DWARF 5, 64-bit', args: ['-gdwarf-5', '-gdwarf64'] },
];
