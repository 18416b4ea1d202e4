import type { ObjectModel } from '../object.ts';
import { finding, unitPlace } from './support.ts';
import type { Finding, Hazard, HazardInput } from './types.ts';

/** `config-unsupported`: the object is not what runs, or does not say enough. */
export const configUnsupported: Hazard = {
  codes: ['config-unsupported'],
  find: (input) => {
    const { base, next, provenance } = input.pair;
    const state = (reason: string, message: string, severity: Finding['severity'] = 'blocker'): Finding =>
      finding({
        code: 'config-unsupported',
        severity,
        symbol: provenance.unit,
        at: unitPlace(input),
        message,
        evidence: { reason },
      });
    if (isLto(base) || isLto(next)) {
      return [
        state(
          'lto',
          'The object was compiled for link-time optimisation (-flto): the code that runs was made by the linker and is not in it. Build without -flto to live patch.',
        ),
      ];
    }
    if (randomised(base) || randomised(next)) {
      return [
        state(
          'randomised-layout',
          'The compiler was told to shuffle struct layouts (randstruct): offsets here may not be those of the running code. Build without it, or with the same seed.',
        ),
      ];
    }
    if (isSplit(base) || isSplit(next)) {
      return [
        state(
          'split-debug',
          'The debug information was split off into a .dwo file (-gsplit-dwarf), which is not read: changes of structs, enums and signatures cannot be seen. Compile both objects without -gsplit-dwarf.',
        ),
      ];
    }
    if (nameless(base) || nameless(next)) {
      return [
        state(
          'no-symbols',
          'The object has code but no symbols (it was stripped): its functions have no names, so that their changes cannot be seen. Compare the objects as the compiler wrote them.',
        ),
      ];
    }
    // The object of an empty file has none: nothing is in it.
    const isThere = base.dwarf.present || provenance.added === true;
    if (differs(input) && !(isThere && next.dwarf.present) && hasCode(next)) {
      const side = next.dwarf.present ? 'base' : isThere ? 'next' : 'base and next';
      return [
        state(
          'no-debug-info',
          `The ${side} object has no debug information: changes of structs, enums and signatures cannot be seen. Compile both with -g.`,
          'review',
        ),
      ];
    }
    return [];
  },
};

const isLto = ({ elf, dwarf }: ObjectModel): boolean =>
  elf.sections.some(({ name }) => name.startsWith('.gnu.lto_') || name === '.llvm.lto') ||
  dwarf.units.some(({ producer }) => / -flto\b(?!=?no)/.test(producer) && !/ -fno-lto\b/.test(producer));

const isSplit = ({ dwarf }: ObjectModel): boolean => dwarf.problems.some(({ area }) => area === 'dwarf.split');

const EXECINSTR = 4;
/** Code of which no function has a name: not an object whose functions are in assembly with names of other kinds. */
const nameless = ({ elf }: ObjectModel): boolean =>
  elf.sections.some(({ flags, size, type }) => (flags & EXECINSTR) !== 0 && size > 0 && type === 1) &&
  !elf.symbols.some(({ place, type, name }) => typeof place === 'number' && type !== 'section' && name !== '');

const randomised = ({ dwarf }: ObjectModel): boolean =>
  dwarf.units.some(({ producer }) => /randomize_layout|-frandomize-layout-seed/.test(producer));

const hasCode = ({ elf }: ObjectModel): boolean => elf.symbols.some(({ type, size }) => type === 'func' && size > 0);
const differs = ({ diff }: HazardInput): boolean => diff.functions.length > 0 || diff.data.length > 0;
