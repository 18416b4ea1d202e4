/** Bytes that `farAccess` may need for one instruction: 26 of its own and an instruction, aligned. */
export const FAR_ROOM = 48;
/** Longest x86 instruction. */
const LONGEST = 15;

const RSI = 6;
const RDI = 7;
const RBP = 5;

/** Where the parts of an instruction are; undefined for encodings that are not understood. */
interface Encoding {
  readonly modrm: number;
  /** Register numbers (low three bits) that the instruction may use besides its memory operand. */
  readonly uses: readonly number[];
}

const PREFIXES = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3]);
/** One-byte opcodes whose ModRM.reg is part of the opcode (Intel SDM, volume 2, table A-6), without the stack and control flow. */
const GROUPS = new Set([0x80, 0x81, 0x83, 0xc0, 0xc1, 0xc6, 0xc7, 0xd0, 0xd1, 0xd2, 0xd3, 0xf6, 0xf7, 0xfe]);

/** Finds the ModRM byte (Intel SDM, volume 2, 2.1 to 2.3 and 2.7). */
function encodingOf(code: Uint8Array): Encoding | undefined {
  let at = 0;
  while (PREFIXES.has(code[at]!)) {
    // A segment override or a 32-bit address would have another meaning with another base.
    if (code[at] === 0x64 || code[at] === 0x65 || code[at] === 0x67) return undefined;
    at++;
  }
  const first = code[at]!;
  if (first === 0xc5 || first === 0xc4 || first === 0x62) {
    // VEX with two or three bytes, EVEX with four; `vvvv` is inverted.
    const length = first === 0xc5 ? 2 : first === 0xc4 ? 3 : 4;
    const vvvv = (~code[at + (first === 0xc5 ? 1 : 2)]! >> 3) & 7;
    const modrm = at + length + 1;
    // The bit that extends the base register, inverted here: it would choose another register than the one that is saved.
    if (first !== 0xc5 && (code[at + 1]! & 0x20) === 0) return undefined;
    return { modrm, uses: [vvvv, (code[modrm]! >> 3) & 7] };
  }
  if ((first & 0xf0) === 0x40) {
    if ((first & 1) !== 0) return undefined;
    at++;
  }
  const opcode = code[at]!;
  let modrm = at + 1;
  if (opcode === 0x0f) modrm = code[at + 1] === 0x38 || code[at + 1] === 0x3a ? at + 3 : at + 2;
  const register = (code[modrm]! >> 3) & 7;
  // push, pop, call and jmp of a memory operand: the stack pointer or the way back would not be what they count on.
  if (opcode === 0xff ? register > 1 : opcode === 0x8f) return undefined;
  // The stack pointer itself as an operand.
  if (opcode !== 0x0f && opcode !== 0xff && !GROUPS.has(opcode) && opcode < 0xd8 && register === 4) return undefined;
  return { modrm, uses: [register] };
}

/**
 * Code that does what one instruction with an operand relative to the instruction pointer does, when the operand is out of
 * its reach: the address comes out of a slot, into a register that is saved around it. Flags, the red zone and all registers
 * are as they would be. Undefined where the instruction cannot be changed so.
 *
 * @param code the instruction as it stands in the payload
 * @param field byte offset of the 32-bit displacement in it
 * @param distance from the symbol to what the instruction means, in bytes
 * @param at address of the instruction, `room` of the new code, `slot` of the 8 bytes that hold the symbol's address
 */
export function farAccess(
  code: Uint8Array,
  field: number,
  distance: number,
  { at, room, slot }: { readonly at: number; readonly room: number; readonly slot: number },
): { readonly instruction: Uint8Array; readonly code: Uint8Array } | undefined {
  const encoding = encodingOf(code);
  if (!encoding || code.length > LONGEST || code.length < 5 || encoding.modrm !== field - 1) return undefined;
  const modrm = code[encoding.modrm]!;
  if ((modrm & 0xc7) !== 0x05 || distance < -0x80000000 || distance > 0x7fffffff) return undefined;
  // rsi, rdi and rbp are implied by no instruction that has such an operand.
  const base = [RSI, RDI, RBP].find((one) => !encoding.uses.includes(one));
  if (base === undefined) return undefined;
  const bytes = new Uint8Array(FAR_ROOM).fill(0xcc);
  const view = new DataView(bytes.buffer);
  let end = 0;
  const emit = (...list: readonly number[]): void => {
    bytes.set(list, end);
    end += list.length;
  };
  const relative = (to: number): void => view.setInt32(end - 4, to - (room + end), true);
  emit(0x48, 0x8d, 0x64, 0x24, 0x80); // lea -128(%rsp), %rsp
  emit(0x50 | base); // push %base
  emit(0x48, 0x8b, 0x05 | (base << 3), 0, 0, 0, 0); // mov slot(%rip), %base
  relative(slot);
  const start = end;
  emit(...code);
  bytes[start + encoding.modrm] = 0x80 | (modrm & 0x38) | base;
  view.setInt32(start + field, distance, true);
  emit(0x58 | base); // pop %base
  emit(0x48, 0x8d, 0xa4, 0x24, 0x80, 0, 0, 0); // lea 128(%rsp), %rsp
  emit(0xe9, 0, 0, 0, 0); // jmp back
  relative(at + code.length);
  const instruction = new Uint8Array(code.length).fill(0x90);
  instruction[0] = 0xe9;
  new DataView(instruction.buffer).setInt32(1, room - (at + 5), true);
  return { instruction, code: bytes };
}
