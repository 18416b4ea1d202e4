/// <reference path="./elfy.d.ts" />
import elfy from 'elfy';
import type { Problem } from '../problem.ts';
import * as c from './constants.ts';
import { MAX_NAME, StringTable } from './strings.ts';
import type { Segment } from './types.ts';

/** A section header with its contents as they stand in the file (not decompressed). Numbers are exact below 2^53. */
export interface RawSection {
  readonly index: number;
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly address: bigint;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
  readonly info: number;
  readonly align: number;
  readonly entrySize: number;
  /** View of the file; empty for SHT_NOBITS and SHT_NULL, cut at the end of the file (with a problem) where it points past it. */
  readonly data: Uint8Array;
}

/** Header, section table and program headers of an ELF64 little-endian file. */
export interface Container {
  /** `e_type`: ET_REL 1, ET_EXEC 2, ET_DYN 3, ET_CORE 4. */
  readonly type: number;
  readonly machine: number;
  readonly osabi: number;
  readonly flags: number;
  readonly entry: bigint;
  readonly sections: readonly RawSection[];
  readonly segments: readonly Segment[];
  /** True where elfy opened the file; false where it cannot (no sections, SHN_XINDEX, damaged tables) and only our own reading was used. */
  readonly viaElfy: boolean;
}

const HEADER_SIZE = 64;
const SECTION_HEADER_SIZE = 64;
const PROGRAM_HEADER_SIZE = 56;
/** Sections that are told to be cut off one by one; a damaged file may have thousands. */
const MAX_TOLD = 20;

/** Reads an unsigned 64-bit little-endian number; exact below 2^53, rounded above. */
export function readU64(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true);
}

/**
 * Opens an ELF64 little-endian file (gABI 4.1): the container only. Other classes, byte orders and files that are not
 * ELF give no container and a problem; damaged tables give what can be read and problems. Never throws.
 */
export function openContainer(bytes: Uint8Array): { container?: Container; problems: Problem[] } {
  const problems: Problem[] = [];
  const fail = (message: string) => {
    problems.push({ area: 'elf', message });
    return { problems };
  };
  if (bytes.length < 16 || bytes[0] !== 0x7f || bytes[1] !== 0x45 || bytes[2] !== 0x4c || bytes[3] !== 0x46) {
    if (isBitcode(bytes)) {
      const what = 'This is LLVM bitcode (clang -flto, ThinLTO included): it holds no machine code yet.';
      return fail(`${what} Compile the unit with -fno-lto.`);
    }
    return fail('This is not an ELF file (its first bytes are not 7f 45 4c 46).');
  }
  const named = machineOf(bytes);
  if (bytes[4] !== 2) {
    return fail(
      bytes[4] === 1
        ? `This is a 32-bit ELF file (${named}); only 64-bit files are read. Compile the unit for x86-64 or AArch64.`
        : `The ELF file class ${bytes[4]} is unknown; only 64-bit files are read.`,
    );
  }
  if (bytes[5] !== 1) {
    return fail(
      bytes[5] === 2
        ? `This is a big-endian ELF file (${named}); only little-endian files are read. Compile the unit for x86-64 or AArch64.`
        : `The ELF byte order ${bytes[5]} is unknown; only little-endian files are read.`,
    );
  }
  if (bytes.length < HEADER_SIZE) return fail(`The ELF header is cut off: ${bytes.length} of ${HEADER_SIZE} bytes.`);

  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const segments = readSegments(view, problems);
  const { sections, viaElfy } = readSections(bytes, view, segments.clean, problems);
  return {
    container: {
      type: view.getUint16(16, true),
      machine: view.getUint16(18, true),
      // elfy takes the OS ABI from the version byte.
      osabi: view.getUint8(7),
      flags: view.getUint32(48, true),
      entry: view.getBigUint64(24, true),
      sections,
      segments: segments.list,
      viaElfy,
    },
    problems,
  };
}

/** LLVM's bitcode, bare or in its wrapper. */
function isBitcode(bytes: Uint8Array): boolean {
  const is = (...magic: readonly number[]) => magic.every((byte, at) => bytes[at] === byte);
  return is(0x42, 0x43, 0xc0, 0xde) || is(0xde, 0xc0, 0x17, 0x0b);
}

/** Name of the machine in the header of any class and byte order. */
function machineOf(bytes: Uint8Array): string {
  const [a, b] = [bytes[18] ?? 0, bytes[19] ?? 0];
  const machine = bytes[5] === 2 ? a * 256 + b : b * 256 + a;
  return bytes[4] === 1 && machine === c.EM_X86_64 ? 'x32' : c.machineName(machine);
}

/** Where the section header table is: gABI's escape for large counts (e_shnum 0, SHN_XINDEX) resolved, and clipped to the file. */
function locateSectionTable(view: DataView, problems: Problem[]) {
  const start = readU64(view, 40);
  const entrySize = view.getUint16(58, true);
  let count = view.getUint16(60, true);
  let names = view.getUint16(62, true);
  const plain = count !== 0 && names !== c.SHN_XINDEX;
  const none = { start: 0, count: 0, names: 0, plain: false };
  if (start === 0) {
    if (count !== 0) problems.push({ area: 'elf', message: `The header counts ${count} sections but has no table.` });
    return none;
  }
  if (entrySize !== SECTION_HEADER_SIZE) {
    problems.push({
      area: 'elf',
      message: `Section headers of ${entrySize} bytes; ${SECTION_HEADER_SIZE} were expected.`,
    });
    return none;
  }
  const room = Math.floor((view.byteLength - start) / SECTION_HEADER_SIZE);
  if (room < 1) {
    problems.push({ area: 'elf', message: 'The section header table lies outside of the file.', offset: start });
    return none;
  }
  if (count === 0) count = readU64(view, start + 32);
  if (names === c.SHN_XINDEX) names = view.getUint32(start + 40, true);
  let clipped = false;
  if (count > room) {
    problems.push({
      area: 'elf',
      message: `The section header table is cut off: ${room} of ${count} headers are in the file.`,
      offset: start,
    });
    count = room;
    clipped = true;
  }
  return { start, count, names, plain: plain && !clipped };
}

function readSections(bytes: Uint8Array, view: DataView, segmentsClean: boolean, problems: Problem[]) {
  const table = locateSectionTable(view, problems);
  const sections: RawSection[] = [];
  if (table.count === 0) return { sections, viaElfy: false };

  const nameHeader = table.start + table.names * SECTION_HEADER_SIZE;
  let nameBytes: Uint8Array = new Uint8Array(0);
  let namesClean = false;
  if (table.names === 0) {
    // No names; allowed by the specification.
  } else if (table.names >= table.count || view.getUint32(nameHeader + 4, true) !== c.SHT_STRTAB) {
    problems.push({ area: 'elf', message: `Section ${table.names} is not the string table of section names.` });
  } else {
    const offset = readU64(view, nameHeader + 24);
    const size = readU64(view, nameHeader + 32);
    nameBytes = clip(bytes, offset, size);
    namesClean = nameBytes.length === size;
  }

  // elfy throws on damaged tables and runs out of memory on unending names: it is given sound files only.
  // It makes four objects of each section, which is felt where each function has one of its own.
  const few = table.count <= ELFY_SECTIONS;
  const sound = few && table.plain && segmentsClean && namesClean && longestName(nameBytes) <= MAX_NAME;
  const opened = sound ? openWithElfy(bytes) : undefined;
  const names = new StringTable(nameBytes);
  let cut = 0;

  for (let index = 0; index < table.count; index++) {
    const at = table.start + index * SECTION_HEADER_SIZE;
    const theirs = opened?.[index];
    const type = view.getUint32(at + 4, true);
    const offset = readU64(view, at + 24);
    const size = readU64(view, at + 32);
    const name = theirs ? theirs.name : names.at(view.getUint32(at, true));
    let data: Uint8Array = EMPTY;
    if (type !== c.SHT_NOBITS && type !== c.SHT_NULL && size !== 0) {
      data = clip(bytes, offset, size);
      if (data.length !== size && cut++ < MAX_TOLD) {
        problems.push({
          area: 'elf',
          message: `Section ${name || index} is cut off: ${data.length} of ${size} bytes are in the file.`,
          offset: at,
        });
      }
    }
    sections.push({
      index,
      name,
      type,
      // elfy reads flags as 32 bits, 64-bit values as doubles, and alignment and entry size from the wrong bytes.
      flags: readU64(view, at + 8),
      address: view.getBigUint64(at + 16, true),
      offset,
      size,
      link: theirs ? theirs.link : view.getUint32(at + 40, true),
      info: theirs ? theirs.info : view.getUint32(at + 44, true),
      align: readU64(view, at + 48),
      entrySize: readU64(view, at + 56),
      data,
    });
  }
  return { sections, viaElfy: opened !== undefined };
}

const EMPTY = new Uint8Array(0);

/** Objects with more sections are read without elfy. */
const ELFY_SECTIONS = 256;

function openWithElfy(bytes: Uint8Array) {
  try {
    // elfy slices as Node's Buffer does, without copying; a plain Uint8Array would be copied section by section.
    const file = elfy.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    return file.body.sections;
  } catch {
    // Whatever it stumbled on, our own reading of the same bytes stands.
    return undefined;
  }
}

/** View of `size` bytes at `offset`, cut at the end of the file. */
function clip(bytes: Uint8Array, offset: number, size: number): Uint8Array {
  if (offset >= bytes.length) return EMPTY;
  return bytes.subarray(offset, Math.min(bytes.length, offset + size));
}

function longestName(table: Uint8Array): number {
  let longest = 0;
  for (let start = 0; start < table.length; ) {
    const end = table.indexOf(0, start);
    if (end < 0) return Math.max(longest, table.length - start);
    longest = Math.max(longest, end - start);
    start = end + 1;
  }
  return longest;
}

function readSegments(view: DataView, problems: Problem[]): { list: Segment[]; clean: boolean } {
  const list: Segment[] = [];
  const start = readU64(view, 32);
  const entrySize = view.getUint16(54, true);
  let count = view.getUint16(56, true);
  if (start === 0 || count === 0) return { list, clean: true };
  if (entrySize !== PROGRAM_HEADER_SIZE) {
    problems.push({
      area: 'elf',
      message: `Program headers of ${entrySize} bytes; ${PROGRAM_HEADER_SIZE} were expected.`,
    });
    return { list, clean: false };
  }
  if (count === 0xffff) {
    // PN_XNUM: the count is in the first section header.
    const sections = readU64(view, 40);
    if (sections > 0 && sections + SECTION_HEADER_SIZE <= view.byteLength) count = view.getUint32(sections + 44, true);
  }
  const room = Math.max(0, Math.floor((view.byteLength - start) / PROGRAM_HEADER_SIZE));
  const clean = count <= room && count < 0xffff;
  if (count > room) {
    problems.push({ area: 'elf', message: `The program headers are cut off: ${room} of ${count} are in the file.` });
    count = room;
  }
  for (let i = 0; i < count; i++) {
    const at = start + i * PROGRAM_HEADER_SIZE;
    list.push({
      type: view.getUint32(at, true),
      flags: view.getUint32(at + 4, true),
      offset: readU64(view, at + 8),
      address: view.getBigUint64(at + 16, true),
      fileSize: readU64(view, at + 32),
      memorySize: readU64(view, at + 40),
      align: readU64(view, at + 48),
    });
  }
  return { list, clean };
}
