import * as capstone from 'capstone-wasm';
import { AARCH64, scannerFor, X86_64 } from './machine.ts';
import { KIND, type Scan } from './scan.ts';
import type { Decode, Instruction } from './types.ts';

/**
 * Text of instructions by Capstone 5 (capstone-wasm 1.0.3). The only module that knows its memory layout.
 *
 * Boundaries, operand fields and control flow come from our own scanners; Capstone supplies mnemonic and operands. So neither
 * its detail layout nor its wrong lengths (`ud1`) matter, and an instruction that it does not know becomes one `.byte` row
 * instead of putting everything after it out of step. The layout of `cs_insn` is checked at start-up; where it is not the
 * expected one, the package's own (slower) reader is used.
 */

/** Decoders by machine; made once per process, since every Capstone handle leaks a little. */
export interface Decoders {
  /** Decoder for an `e_machine` value; undefined where the machine is not supported. */
  forMachine(machine: number): Decode | undefined;
}

/** What `loadCapstone` puts into the object that it is given (Emscripten's module). */
interface RawCapstone {
  wasmBinary?: Uint8Array;
  HEAPU8: Uint8Array;
  HEAPU16: Uint16Array;
  HEAPU32: Uint32Array;
  _malloc(size: number): number;
  _cs_open(arch: number, mode: number, handle: number): number;
  _cs_option(handle: number, option: number, value: number): number;
  _cs_disasm(handle: number, code: number, size: number, address: bigint, count: number, out: number): number;
  _cs_free(instructions: number, count: number): void;
}

/** Text for the instructions in `bytes`, as far as Capstone gets: calls `emit` per instruction and returns. */
type Text = (bytes: Uint8Array, from: number, to: number, address: number, emit: Emit) => void;
type Emit = (at: number, size: number, mnemonic: string, operands: string) => void;

/** Above about 64 KB per call the module corrupts its own memory; 16 KB is safe and as fast. */
const CHUNK = 16384;
const CS_ARCH_ARM64 = 1;
const CS_ARCH_X86 = 3;
const CS_MODE_64 = 8;

// struct cs_insn on wasm32 (capstone.h): id u32, address u64 at 8, size u16, bytes[24], mnemonic[32], op_str[160], detail pointer.
const INSN = { size: 240, address: 8, length: 16, mnemonic: 42, operands: 74 } as const;

let shared: Promise<RawCapstone> | undefined;

/**
 * Loads Capstone from its wasm file's bytes and returns decoders for x86-64 and AArch64. Rejects where the wasm does not
 * load. Later calls reuse the first instance.
 */
export async function createDecoders(wasm: Uint8Array): Promise<Decoders> {
  shared ??= load(wasm);
  const raw = await shared;
  const decoders = new Map<number, Decode>();
  return {
    forMachine(machine) {
      let decode = decoders.get(machine);
      if (!decode && (machine === X86_64 || machine === AARCH64)) {
        const text = machine === X86_64 ? openText(raw, CS_ARCH_X86, CS_MODE_64) : openText(raw, CS_ARCH_ARM64, 0);
        decode = decoderOf(machine, text);
        decoders.set(machine, decode);
      }
      return decode;
    },
  };
}

async function load(wasm: Uint8Array): Promise<RawCapstone> {
  const raw = { wasmBinary: wasm } as RawCapstone;
  await capstone.loadCapstone(raw as unknown as Record<string, unknown>);
  return raw;
}

/** Opens a handle; falls back to the package's reader where the raw layout is not as expected. */
function openText(raw: RawCapstone, arch: number, mode: number): Text {
  const fast = rawText(raw, arch, mode);
  return fast && layoutHolds(fast, arch) ? fast : packageText(arch, mode);
}

function rawText(raw: RawCapstone, arch: number, mode: number): Text | undefined {
  if (!raw._cs_disasm || !raw._malloc || !raw.HEAPU8) return undefined;
  const pointer = raw._malloc(8);
  if (pointer === 0 || raw._cs_open(arch, mode, pointer) !== 0) return undefined;
  const handle = raw.HEAPU32[pointer >> 2]!;
  const code = raw._malloc(CHUNK);
  if (code === 0) return undefined;
  return (bytes, from, to, address, emit) => {
    // The views are taken anew: they are replaced when the memory grows.
    raw.HEAPU8.set(bytes.subarray(from, to), code);
    const count = raw._cs_disasm(handle, code, to - from, BigInt(address + from), 0, pointer);
    if (count <= 0) return;
    const list = raw.HEAPU32[pointer >> 2]!;
    const heap = raw.HEAPU8;
    let at = from;
    for (let i = 0; i < count; i++) {
      const entry = list + i * INSN.size;
      const size = raw.HEAPU16[(entry + INSN.length) >> 1]!;
      emit(at, size, readText(heap, entry + INSN.mnemonic, 32), readText(heap, entry + INSN.operands, 160));
      at += size;
    }
    raw._cs_free(list, count);
  };
}

/** A NUL-terminated ASCII text of at most `limit` bytes. */
function readText(heap: Uint8Array, at: number, limit: number): string {
  let text = '';
  for (let i = at; i < at + limit; i++) {
    const byte = heap[i]!;
    if (byte === 0) break;
    text += String.fromCharCode(byte);
  }
  return text;
}

/** Decodes a few known instructions: the layout is only used where every field comes out right. */
function layoutHolds(text: Text, arch: number): boolean {
  const known =
    arch === CS_ARCH_X86
      ? {
          bytes: [0x48, 0x8b, 0x05, 1, 0, 0, 0, 0xc3, 0x83, 0xc0, 5],
          want: '7 mov rax, qword ptr [rip + 1]|1 ret |3 add eax, 5',
        }
      : { bytes: [0xc0, 3, 0x5f, 0xd6, 0, 4, 0, 0x91], want: '4 ret |4 add x0, x0, #1' };
  const got: string[] = [];
  const bytes = Uint8Array.from(known.bytes);
  text(bytes, 0, bytes.length, 0, (_at, size, mnemonic, operands) => got.push(`${size} ${mnemonic} ${operands}`));
  return got.join('|') === known.want;
}

function packageText(arch: number, mode: number): Text {
  const instance = new capstone.Capstone(arch, mode);
  return (bytes, from, to, address, emit) => {
    let at = from;
    try {
      for (const one of instance.disasm(bytes.subarray(from, to), { address: address + from })) {
        emit(at, one.size, one.mnemonic, one.opStr);
        at += one.size;
      }
    } catch {
      // Nothing decodes at `from`: no text.
    }
  };
}

const FLOW: Readonly<Record<number, NonNullable<Instruction['flow']>>> = {
  [KIND.branch]: 'branch',
  [KIND.jump]: 'jump',
  [KIND.indirectJump]: 'jump',
  [KIND.call]: 'call',
  [KIND.indirectCall]: 'call',
  [KIND.return]: 'return',
  [KIND.trap]: 'trap',
};

function decoderOf(machine: number, text: Text): Decode {
  const scanner = scannerFor(machine)!;
  return (bytes, offset) => {
    const scan = scanner.scan(bytes);
    const out: Instruction[] = new Array(scan.count);
    let index = 0;
    while (index < scan.count) {
      const from = scan.start[index]!;
      const to = chunkEnd(scan, index);
      // Capstone runs until it refuses or disagrees about a length; that one instruction is taken from the scan, and it
      // starts again after it.
      let next = index;
      let agreed = true;
      text(bytes, from, to, offset, (at, size, mnemonic, operands) => {
        if (!agreed || next >= scan.count) return;
        if (scan.start[next] !== at || scan.size[next] !== size) agreed = false;
        else {
          out[next] = instruction(scan, next, offset, mnemonic, operands);
          next++;
        }
      });
      if (next < scan.count && (!agreed || scan.start[next]! < to)) {
        out[next] = substitute(scan, next, offset, text);
        next++;
      }
      index = next;
    }
    return out;
  };
}

/** End of the last whole instruction within one chunk. */
function chunkEnd(scan: Scan, index: number): number {
  const from = scan.start[index]!;
  if (scan.bytes.length - from <= CHUNK) return scan.bytes.length;
  let low = index;
  let high = scan.count - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (scan.start[middle]! - from <= CHUNK) low = middle;
    else high = middle - 1;
  }
  return scan.start[low]!;
}

/** An instruction that Capstone does not decode, or with a wrong length. */
function substitute(scan: Scan, index: number, offset: number, text: Text): Instruction {
  const at = scan.start[index]!;
  const bytes = scan.bytes.slice(at, at + scan.size[index]!);
  const ud1 = ud1Opcode(bytes);
  if (ud1 >= 0) {
    // Capstone takes ud1 for two bytes. Its operands are those of imul (0F AF), which is decoded in its place.
    const imul = bytes.slice();
    imul[ud1] = 0xaf;
    let operands: string | undefined;
    text(imul, 0, imul.length, 0, (_at, size, _mnemonic, words) => {
      if (size === imul.length) operands = words;
    });
    if (operands !== undefined) return instruction(scan, index, offset, 'ud1', operands);
  }
  const list = Array.from(bytes, (byte) => `0x${byte.toString(16).padStart(2, '0')}`).join(', ');
  return instruction(scan, index, offset, '.byte', list);
}

/** Position of the second opcode byte of a `ud1`, prefixes skipped; -1 for anything else. */
function ud1Opcode(bytes: Uint8Array): number {
  let at = 0;
  while (at < bytes.length && (bytes[at] === 0x67 || bytes[at] === 0x66 || (bytes[at]! & 0xf0) === 0x40)) at++;
  return bytes[at] === 0x0f && bytes[at + 1] === 0xb9 ? at + 1 : -1;
}

function instruction(scan: Scan, index: number, offset: number, mnemonic: string, operands: string): Instruction {
  const at = scan.start[index]!;
  const flow = FLOW[scan.kind[index]!];
  const direct = scan.relSize[index]! > 0 && scan.kind[index]! >= KIND.branch && scan.kind[index]! <= KIND.call;
  // One by one: spreading is many times slower, and there are as many of these as instructions.
  const made: { -readonly [K in keyof Instruction]: Instruction[K] } = {
    offset: offset + at,
    size: scan.size[index]!,
    mnemonic,
    operands,
  };
  if (flow) made.flow = flow;
  if (direct) made.targetOffset = offset + scan.target[index]!;
  if (scan.dispSize[index]! > 0) made.displacement = { at: scan.dispAt[index]!, size: scan.dispSize[index]! };
  if (scan.immSize[index]! > 0) made.immediate = { at: scan.immAt[index]!, size: scan.immSize[index]! };
  return made;
}
