import { placesOf } from '../asm/places.ts';
import { scanOf } from '../asm/scans.ts';
import type { ElfFile, Section } from '../elf/types.ts';

/** Distance from a PC-relative field in code to the end of its instruction (x86-64). */
export function exactBias(elf: ElfFile, section: Section, at: number): number {
  if (plainField(section.data, at)) return 4;
  const bodies = placesOf(elf).bodiesIn(section.index);
  let low = 0;
  let high = bodies.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (bodies[middle]!.start <= at) low = middle + 1;
    else high = middle;
  }
  const body = bodies[low - 1];
  const scanned = body && at < body.start + body.size ? scanOf(elf, body) : undefined;
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
 * True where the bytes before a 32-bit PC-relative field prove that it ends its instruction: `lea`, `mov`, `call` and `jmp`. These are
 * most; the rest needs a scan. What stands in front of the opcode is no proof of anything: it may end the instruction before.
 */
export function plainField(code: Uint8Array, at: number): boolean {
  const last = code[at - 1]!;
  if (last === 0xe8 || last === 0xe9) {
    // As ModRM, E8 and E9 would be register forms, which have no displacement.
    return true;
  }
  if ((last & 0xc7) !== 0x05 || at < 2) return false;
  // None of these opcodes has an immediate, whatever the prefix and the map (Intel SDM 2, tables ).
  return plainOpcodes.has(code[at - 2]!);
}

/** mov to and from memory, lea. */
const plainOpcodes: ReadonlySet<number> = new Set([0x88, 0x89, 0x8a, 0x8b, 0x8d]);
