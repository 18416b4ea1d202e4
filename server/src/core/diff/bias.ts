import type { Section } from '../elf/types.ts';
import type { Side } from './meaning.ts';

/** Distance from a PC-relative field in code to the end of its instruction (x86-64). */
export function exactBias(side: Side, section: Section, at: number): number {
  if (plainField(section.data, at)) return 4;
  const bodies = side.places.bodiesIn(section.index);
  let low = 0;
  let high = bodies.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (bodies[middle]!.start <= at) low = middle + 1;
    else high = middle;
  }
  const body = bodies[low - 1];
  const scanned = body && at < body.start + body.size ? side.scanOf(body) : undefined;
  if (!body || !scanned) return 4;
  const { scan } = scanned;
  const offset = at - body.start;
  let from = 0;
  let to = scan.count - 1;
  while (from < to) {
    const middle = (from + to + 1) >> 1;
    if (scan.start[middle]! <= offset) from = middle;
    else to = middle - 1;
  }
  return scan.start[from]! + scan.size[from]! - offset;
}

/**
 * True where the bytes before a 32-bit PC-relative field prove that it ends its instruction: 64-bit `lea` and
 * `mov`, `call` and `jmp`. These are most; the rest needs a scan.
 */
export function plainField(code: Uint8Array, at: number): boolean {
  const last = code[at - 1]!;
  if (last === 0xe8 || last === 0xe9) {
    // As ModRM, E8 and E9 would be register forms, which have no displacement.
    return true;
  }
  if ((last & 0xc7) !== 0x05 || at < 3) return false;
  const opcode = code[at - 2]!;
  // A REX byte before the opcode; no instruction of the three-byte maps, which have immediates, uses these opcodes.
  return (code[at - 3]! & 0xf0) === 0x40 && (opcode === 0x8d || opcode === 0x8b || opcode === 0x89);
}
