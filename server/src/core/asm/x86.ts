import { KIND, type Scan, type Scanner, scanWith, writeBad } from './scan.ts';

/**
 * Instruction lengths and operand fields of x86-64 in 64-bit mode (Intel SDM volume 2, chapter 2 and appendix A; AMD APM
 * volume 3 for XOP and 3DNow!). Only the layout is decoded: which bytes are prefixes, opcode, ModRM, displacement and immediate.
 * This holds for instructions that the text decoder does not know yet, since the encoding is regular.
 */

// Operand bytes that follow an opcode.
const NONE = 0;
const MODRM = 1;
const IMM8 = 2;
/** 4 bytes, 2 with an operand-size prefix. */
const IMMZ = 4;
const IMM16 = 8;
/** As IMMZ, 8 with REX.W. */
const IMMV = 16;
/** An address: 8 bytes, 4 with an address-size prefix. */
const MOFFS = 32;
const REL8 = 64;
const REL32 = 128;
const BAD = 256;
/** IMM8 or IMMZ only where the reg field of ModRM is 0 or 1 (the test of group 3). */
const GROUP3 = 512;

function oneByteMap(): Uint16Array {
  const map = new Uint16Array(256);
  for (let op = 0; op < 0x40; op++) {
    const low = op & 7;
    map[op] = low < 4 ? MODRM : low === 4 ? IMM8 : low === 5 ? IMMZ : BAD;
  }
  const set = (from: number, to: number, value: number) => map.fill(value, from, to + 1);
  set(0x60, 0x62, BAD);
  set(0x63, 0x63, MODRM);
  set(0x68, 0x68, IMMZ);
  set(0x69, 0x69, MODRM | IMMZ);
  set(0x6a, 0x6a, IMM8);
  set(0x6b, 0x6b, MODRM | IMM8);
  set(0x70, 0x7f, REL8);
  set(0x80, 0x80, MODRM | IMM8);
  set(0x81, 0x81, MODRM | IMMZ);
  set(0x82, 0x82, BAD);
  set(0x83, 0x83, MODRM | IMM8);
  set(0x84, 0x8f, MODRM);
  set(0x9a, 0x9a, BAD);
  set(0xa0, 0xa3, MOFFS);
  set(0xa8, 0xa8, IMM8);
  set(0xa9, 0xa9, IMMZ);
  set(0xb0, 0xb7, IMM8);
  set(0xb8, 0xbf, IMMV);
  set(0xc0, 0xc1, MODRM | IMM8);
  set(0xc2, 0xc2, IMM16);
  set(0xc6, 0xc6, MODRM | IMM8);
  set(0xc7, 0xc7, MODRM | IMMZ);
  set(0xc8, 0xc8, IMM16 | IMM8);
  set(0xca, 0xca, IMM16);
  set(0xcd, 0xcd, IMM8);
  set(0xce, 0xce, BAD);
  set(0xd0, 0xd3, MODRM);
  set(0xd4, 0xd6, BAD);
  set(0xd8, 0xdf, MODRM);
  set(0xe0, 0xe3, REL8);
  set(0xe4, 0xe7, IMM8);
  set(0xe8, 0xe9, REL32);
  set(0xea, 0xea, BAD);
  set(0xeb, 0xeb, REL8);
  set(0xf6, 0xf6, MODRM | IMM8 | GROUP3);
  set(0xf7, 0xf7, MODRM | IMMZ | GROUP3);
  set(0xfe, 0xff, MODRM);
  return map;
}

function twoByteMap(): Uint16Array {
  const map = new Uint16Array(256).fill(MODRM);
  const set = (from: number, to: number, value: number) => map.fill(value, from, to + 1);
  set(0x04, 0x04, BAD);
  set(0x05, 0x09, NONE);
  set(0x0a, 0x0a, BAD);
  set(0x0b, 0x0b, NONE);
  set(0x0c, 0x0c, BAD);
  set(0x0e, 0x0e, NONE);
  set(0x0f, 0x0f, MODRM | IMM8);
  set(0x24, 0x27, BAD);
  set(0x30, 0x37, NONE);
  set(0x39, 0x39, BAD);
  set(0x3b, 0x3f, BAD);
  set(0x70, 0x73, MODRM | IMM8);
  set(0x77, 0x77, NONE);
  set(0x7a, 0x7b, BAD);
  set(0x80, 0x8f, REL32);
  set(0xa0, 0xa2, NONE);
  set(0xa4, 0xa4, MODRM | IMM8);
  set(0xa8, 0xaa, NONE);
  set(0xac, 0xac, MODRM | IMM8);
  set(0xba, 0xba, MODRM | IMM8);
  set(0xc2, 0xc2, MODRM | IMM8);
  set(0xc4, 0xc6, MODRM | IMM8);
  set(0xc8, 0xcf, NONE);
  return map;
}

const ONE = oneByteMap();
const TWO = twoByteMap();
const MAX_LENGTH = 15;

/** Decodes the layout of the instruction at `at` into entry `index` of the scan; false where it is none. */
function layout(scan: Scan, index: number, at: number): boolean {
  const bytes = scan.bytes;
  const end = Math.min(bytes.length, at + MAX_LENGTH);
  let pos = at;
  let operandSize = false;
  let addressSize = false;
  let repeat = 0;
  let rex = 0;
  // Legacy prefixes in any order, then at most one effective REX directly before the opcode.
  for (; pos < end; pos++) {
    const byte = bytes[pos]!;
    if (byte === 0x66) operandSize = true;
    else if (byte === 0x67) addressSize = true;
    else if (byte === 0xf2 || byte === 0xf3) repeat = byte;
    else if (byte >= 0x40 && byte <= 0x4f) {
      rex = byte;
      continue;
    } else if (
      !(
        byte === 0x26 ||
        byte === 0x2e ||
        byte === 0x36 ||
        byte === 0x3e ||
        byte === 0x64 ||
        byte === 0x65 ||
        byte === 0xf0
      )
    )
      break;
    rex = 0;
  }
  if (pos >= end) return false;
  let opcode = bytes[pos++]!;
  let flags: number;
  let kind: number = KIND.plain;
  let map = 0;
  if (opcode === 0x0f) {
    if (pos >= end) return false;
    opcode = bytes[pos++]!;
    map = 1;
    if (opcode === 0x38 || opcode === 0x3a) {
      if (pos >= end) return false;
      map = opcode === 0x38 ? 2 : 3;
      opcode = bytes[pos++]!;
      flags = map === 2 ? MODRM : MODRM | IMM8;
    } else {
      flags = TWO[opcode]!;
      // SSE4a extrq/insertq take two immediate bytes; without the prefix the opcode is vmread.
      if (opcode === 0x78 && (operandSize || repeat === 0xf2)) flags = MODRM | IMM16;
    }
  } else if ((opcode === 0xc4 || opcode === 0xc5 || opcode === 0x62 || opcode === 0x8f) && pos < end) {
    const vex = vectorPrefix(bytes, opcode, pos, end);
    if (vex) {
      map = vex.map;
      pos = vex.opcodeAt;
      opcode = bytes[pos++]!;
      flags = vectorOperands(map, opcode);
    } else if (opcode === 0x8f) flags = MODRM;
    else return false;
  } else {
    flags = ONE[opcode]!;
    if (opcode === 0x90 && repeat !== 0xf3 && (rex & 1) === 0) kind = KIND.nop;
  }
  if (flags & BAD) return false;

  let relAt = 0;
  let relSize = 0;
  let dispAt = 0;
  let dispSize = 0;
  let modrm = -1;
  if (flags & MODRM) {
    if (pos >= end) return false;
    modrm = bytes[pos++]!;
    const mod = modrm >> 6;
    const rm = modrm & 7;
    // mov to and from control and debug registers is always the register form.
    if (mod !== 3 && !(map === 1 && opcode >= 0x20 && opcode <= 0x23)) {
      let base = rm;
      if (rm === 4) {
        if (pos >= end) return false;
        base = bytes[pos++]! & 7;
      }
      if (mod === 1) dispSize = 1;
      else if (mod === 2) dispSize = 4;
      else if (base === 5) dispSize = 4;
      if (dispSize > 0) {
        dispAt = pos - at;
        if (mod === 0 && rm === 5) {
          relAt = dispAt;
          relSize = 4;
        }
        pos += dispSize;
      }
    }
    if (flags & GROUP3 && (modrm & 0x38) > 8) flags = MODRM;
  }
  const immAt = pos - at;
  let immSize = 0;
  if (flags & IMM8) immSize += 1;
  if (flags & IMM16) immSize += 2;
  if (flags & IMMZ) immSize += operandSize && !(rex & 8) ? 2 : 4;
  if (flags & IMMV) immSize += rex & 8 ? 8 : operandSize ? 2 : 4;
  if (flags & MOFFS) immSize += addressSize ? 4 : 8;
  pos += immSize;
  if (flags & (REL8 | REL32)) {
    relAt = pos - at;
    relSize = flags & REL8 ? 1 : 4;
    pos += relSize;
  }
  if (pos > end) return false;

  if (map === 0) kind = kind === KIND.nop ? kind : oneByteKind(opcode, modrm);
  else if (map === 1) kind = twoByteKind(opcode, modrm, repeat);
  if (map === 0 && opcode === 0xc7 && modrm === 0xf8) {
    // xbegin: its immediate is a branch displacement.
    relAt = immAt;
    relSize = immSize;
    immSize = 0;
    kind = KIND.branch;
  }
  const size = pos - at;
  scan.size[index] = size;
  scan.kind[index] = kind;
  scan.relAt[index] = relAt;
  scan.relSize[index] = relSize;
  scan.dispAt[index] = dispAt;
  scan.dispSize[index] = dispSize;
  scan.immAt[index] = immAt;
  scan.immSize[index] = immSize;
  scan.target[index] = relSize === 0 ? 0 : pos + readSigned(bytes, at + relAt, relSize);
  return true;
}

function readSigned(bytes: Uint8Array, at: number, size: number): number {
  if (size === 1) return (bytes[at]! << 24) >> 24;
  if (size === 2) return ((bytes[at]! | (bytes[at + 1]! << 8)) << 16) >> 16;
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

/** VEX, EVEX and XOP prefixes: the opcode map and where the opcode stands; undefined where the bytes are something else. */
function vectorPrefix(bytes: Uint8Array, first: number, pos: number, end: number) {
  const second = bytes[pos]!;
  if (first === 0xc5) return pos + 1 < end ? { map: 1, opcodeAt: pos + 1 } : undefined;
  if (first === 0xc4)
    return pos + 2 < end && (second & 0x1f) >= 1 ? { map: second & 0x1f, opcodeAt: pos + 2 } : undefined;
  if (first === 0x62) return pos + 3 < end && (second & 7) >= 1 ? { map: second & 7, opcodeAt: pos + 3 } : undefined;
  // XOP shares 8F with pop, whose ModRM reg field is 0: maps start at 8.
  return (second & 0x1f) >= 8 && pos + 2 < end ? { map: 16 + (second & 0x1f), opcodeAt: pos + 2 } : undefined;
}

function vectorOperands(map: number, opcode: number): number {
  if (map === 1) {
    if (opcode === 0x77) return NONE;
    const flags = TWO[opcode]!;
    return flags & BAD || flags & REL32 ? MODRM : flags | MODRM;
  }
  if (map === 3 || map === 16 + 8) return MODRM | IMM8;
  if (map === 16 + 10) return MODRM | IMMZ;
  return map <= 7 || map === 16 + 9 ? MODRM : BAD;
}

function oneByteKind(opcode: number, modrm: number): number {
  if (opcode === 0xe8) return KIND.call;
  if (opcode === 0xe9 || opcode === 0xeb) return KIND.jump;
  if ((opcode >= 0x70 && opcode <= 0x7f) || (opcode >= 0xe0 && opcode <= 0xe3)) return KIND.branch;
  if (opcode === 0xc3 || opcode === 0xc2 || opcode === 0xcb || opcode === 0xca || opcode === 0xcf) return KIND.return;
  if (opcode === 0xcc || opcode === 0xf4) return KIND.trap;
  if (opcode === 0xff) {
    const reg = (modrm >> 3) & 7;
    if (reg === 2 || reg === 3) return KIND.indirectCall;
    if (reg === 4 || reg === 5) return KIND.indirectJump;
  }
  return KIND.plain;
}

function twoByteKind(opcode: number, modrm: number, repeat: number): number {
  if (opcode >= 0x80 && opcode <= 0x8f) return KIND.branch;
  if (opcode === 0x0b || opcode === 0xb9 || opcode === 0xff) return KIND.trap;
  if (opcode === 0x1f && (modrm & 0x38) === 0 && repeat === 0) return KIND.nop;
  return KIND.plain;
}

/** The condition of a conditional jump and whether it is a plain `jmp`, whatever its form; -1 for everything else. */
function jumpCode(scan: Scan, index: number): number {
  const at = scan.start[index]!;
  const relAt = scan.relAt[index]!;
  const opcode = scan.bytes[at + relAt - 1]!;
  if (scan.kind[index] === KIND.jump) return 0x100;
  if (scan.relSize[index] === 1) return opcode <= 0x7f ? opcode & 15 : -1;
  return relAt >= 2 && scan.bytes[at + relAt - 2] === 0x0f ? opcode & 15 : -1;
}

/** Scanner for EM_X86_64 in 64-bit mode. */
export const x86Scanner: Scanner = {
  machine: 62,
  scan(bytes) {
    return scanWith(bytes, bytes.length, (scan, index, at) => {
      if (layout(scan, index, at)) return scan.size[index]!;
      writeBad(scan, index, 1);
      return 1;
    });
  },
  sameShape(a, i, b, j) {
    const kind = a.kind[i]!;
    if (kind !== b.kind[j]) return false;
    const size = a.size[i]!;
    const relSize = a.relSize[i]!;
    if (size !== b.size[j] || relSize !== b.relSize[j]) {
      if (kind !== KIND.jump && kind !== KIND.branch) return false;
      const code = jumpCode(a, i);
      return code >= 0 && code === jumpCode(b, j);
    }
    const relAt = a.relAt[i]!;
    if (relSize > 0 && relAt !== b.relAt[j]) return false;
    const from = a.start[i]!;
    const to = b.start[j]!;
    for (let k = 0; k < size; k++) {
      if (relSize > 0 && k === relAt) k += relSize;
      if (k < size && a.bytes[from + k] !== b.bytes[to + k]) return false;
    }
    return true;
  },
  immediates(a, i, b, j) {
    const size = a.immSize[i]!;
    const other = b.immSize[j]!;
    const at = a.immAt[i]!;
    if (size === 0 || other === 0 || at !== b.immAt[j] || a.relSize[i] !== b.relSize[j]) return undefined;
    if (at + size !== a.size[i] || at + other !== b.size[j]) return undefined;
    const from = a.start[i]!;
    const to = b.start[j]!;
    for (let k = 0; k < at; k++) {
      if (a.relSize[i]! > 0 && k >= a.relAt[i]! && k < a.relAt[i]! + a.relSize[i]!) continue;
      const left = a.bytes[from + k]!;
      const right = b.bytes[to + k]!;
      if (left === right) continue;
      if (size === other || shortForm(left) !== shortForm(right)) return undefined;
    }
    if (size > 4 || other > 4) return undefined;
    return { base: readSigned(a.bytes, from + at, size), next: readSigned(b.bytes, to + at, other) };
  },
};

/** Opcodes that have an 8-bit form of the same operation: push, imul, the arithmetic group. */
function shortForm(opcode: number): number {
  return opcode === 0x68 ? 0x6a : opcode === 0x69 ? 0x6b : opcode === 0x81 ? 0x83 : opcode;
}
