import { placesOf } from '../asm/places.ts';
import { functionAt } from '../asm/source.ts';
import type { FunctionChange } from '../diff/types.ts';
import { EM_X86_64 } from '../elf/constants.ts';
import type { ElfSymbol } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import { carriedFunctions, finding, unitPlace } from './support.ts';
import type { Finding, Hazard, HazardInput } from './types.ts';

const DW_LANG_Mips_Assembler = 0x8001;

/** What compilers make without a function of the source: thunks, start-up code, code that several functions share. */
const made = /^(__x86[._]|__cfi_|__pfx_|_GLOBAL_|_sub_I_|__llvm_|__gcov_|[at]san\.|__[atu]bsan|OUTLINED_FUNCTION_)|\./;

/** `hand-written-asm`: no compiler vouches for what a piece of assembly relies on. */
export const handWrittenAsm: Hazard = {
  codes: ['hand-written-asm'],
  find: (input) => {
    const { unit } = input.pair.provenance;
    return carriedFunctions(input).flatMap((fn) => {
      const kind = kindOf(input, fn);
      if (kind === undefined) return [];
      const { what, severity } = kind;
      const unread = `${fn.name} is ${what}. Where it is entered, what it keeps in registers and who jumps into it cannot be read from the object`;
      const at = fn.changedLines[0] ?? fn.at ?? unitPlace(input);
      return [
        finding({
          code: 'hand-written-asm',
          severity,
          symbol: fn.name,
          at,
          message:
            severity === 'blocker'
              ? `${unread}, so it is not replaced. Make the fix in C code that calls it, or restart instead of patching.`
              : `${unread}: read both versions, and who uses it, before it is replaced; or make the fix in C code that calls it.`,
          evidence: { unit, baseSize: fn.baseSize, nextSize: fn.nextSize },
        }),
      ];
    });
  },
};

interface Kind {
  readonly what: string;
  readonly severity: Finding['severity'];
}

/** What makes a function hand-written; undefined for those of a compiler. */
function kindOf(input: HazardInput, fn: FunctionChange): Kind | undefined {
  const { base, next, provenance } = input.pair;
  const { units } = next.dwarf;
  const isAssembly = units.length > 0 && units.every(({ language }) => language === DW_LANG_Mips_Assembler);
  if (isAssembly || /\.(S|s|asm|sx)$/.test(provenance.unit))
    return { what: 'hand-written assembly', severity: 'blocker' };
  // Beside C it is mostly a function as any other; entry code and trampolines are in files of their own.
  if (isOutsideC(next, fn.next) && (!fn.base || isOutsideC(base, fn.base)))
    return {
      what: 'hand-written assembly in a file of C: the compiler knows of no function of that name',
      severity: 'review',
    };
  if (fn.next && isNaked(next, fn.next))
    return {
      what: "a function without the compiler's own instructions (naked): hand-written assembly",
      severity: 'review',
    };
  return undefined;
}

/** A function that the debug information of a unit that has functions does not know: of a top-level `asm`. */
function isOutsideC(object: ObjectModel, symbol: ElfSymbol | undefined): boolean {
  if (typeof symbol?.place !== 'number' || symbol.type !== 'func' || made.test(symbol.name)) return false;
  const { dwarf, elf } = object;
  // Objects that were linked together may hold one without debug information.
  if (dwarf.functions.length === 0 || elf.symbols.filter(({ type }) => type === 'file').length > 1) return false;
  return functionAt(object, symbol.place, symbol.offset) === undefined && !isForwarder(object, symbol);
}

/** What may stand at the entry of any function: padding, landing pads, the hook of a tracer. */
const ENTRY = /^(nop|data16|endbr(32|64)|bti|paciasp|call|bl)$/;

/** Of two functions with the same code, gcc makes one that jumps to the other (-fipa-icf), and tells the debug information nothing of it. */
function isForwarder(object: ObjectModel, symbol: ElfSymbol): boolean {
  const body = placesOf(object.elf).bodyOf(symbol);
  if (!body || body.size > 64) return false;
  const data = object.elf.sections[body.section]!.data.subarray(body.start, body.start + body.size);
  const code = object.decode(data, body.start).filter(({ mnemonic }) => !ENTRY.test(mnemonic));
  return code.length === 1 && (code[0]!.mnemonic === 'jmp' || code[0]!.mnemonic === 'b');
}

/**
 * `__attribute__((naked))`, as far as it can be told: the stack pointer moves and the unwind table, which a compiler keeps up with its own code, does not
 * say so; and all code, the return included, is of the one statement at the start, where a compiler's return has a line row of its own.
 */
function isNaked(object: ObjectModel, symbol: ElfSymbol): boolean {
  const { elf } = object;
  const body = placesOf(elf).bodyOf(symbol);
  if (!body || elf.machine !== EM_X86_64 || !object.dwarf.present || !hasEmptyFrame(object, symbol)) return false;
  const section = elf.sections[body.section]!;
  const code = object.decode(section.data.subarray(body.start, body.start + body.size), body.start);
  const last = code.findLastIndex(({ mnemonic }) => mnemonic === 'ret' || mnemonic === 'jmp');
  const moves = code.some(
    ({ mnemonic, operands }) => /^(push|pop)/.test(mnemonic) || (mnemonic === 'sub' && operands.startsWith('rsp')),
  );
  if (last < 0 || !moves) return false;
  const end = code[last]!.offset;
  const rows = object.dwarf.linesOf(body.section).filter(({ offset }) => offset >= body.start && offset <= end);
  return rows.length > 0 && rows.every(({ offset }) => offset === body.start);
}

/** The unwind table has an entry for the function, and says nothing in it but that it is there. */
function hasEmptyFrame({ elf }: ObjectModel, symbol: ElfSymbol): boolean {
  for (const section of elf.sections) {
    if (section.name !== '.eh_frame') continue;
    for (const { symbol: index, addend, offset } of elf.relocationsOf(section.index)) {
      const target = elf.symbols[index];
      if (target?.place !== symbol.place || target.offset + addend !== symbol.offset) continue;
      // LSB "Exception Frames": length, CIE, first address and size of four bytes each, augmentation, instructions; 0 is DW_CFA_nop.
      const { data } = section;
      const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
      if (offset < 8 || offset + 9 > data.length) return false;
      const end = Math.min(data.length, offset - 4 + view.getUint32(offset - 8, true));
      const first = offset + 9 + data[offset + 8]!;
      return first <= end && data.subarray(first, end).every((byte) => byte === 0);
    }
  }
  return false;
}
