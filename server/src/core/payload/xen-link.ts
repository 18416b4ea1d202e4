import { isNobits } from '../asm/places.ts';
import { type NewRelocation, type NewSection, type NewSymbol, writeElf } from '../elf/write.ts';
import { sha256 } from './sha256.ts';
import { addDebug } from './xen-debug.ts';
import {
  BUILD_ID,
  buildIdNote,
  DEPENDS,
  EXPECT_OFFSET,
  FUNC_SIZE,
  FUNCS,
  RELOCATION,
  XEN_DEPENDS,
  type XenVersion,
} from './xen-format.ts';
import type { XenPlan, XenUnit } from './xen-pieces.ts';

/** An entry of the function table, before it is laid out. */
export interface FunctionEntry {
  /** Name as Xen resolves it. */
  readonly name: string;
  /** Piece with the new code; undefined: the first `newSize` bytes become NOPs. */
  readonly piece: number | undefined;
  readonly newSize: number;
  readonly oldSize: number;
  /** Bytes that have to stand at the old function's start; empty: none. */
  readonly expect: Uint8Array;
}

/** What is written besides the plan's pieces. */
export interface XenEnvelope {
  readonly version: XenVersion;
  readonly functions: readonly FunctionEntry[];
  /** Build id of the hypervisor, and of what the payload goes on top of. */
  readonly xen: Uint8Array;
  readonly depends: Uint8Array;
  /** NUL-terminated strings that `xen-livepatch list` shows. */
  readonly modinfo: readonly string[];
  /** Not loaded. */
  readonly manifest: Uint8Array;
  /** Units whose debug information goes along, not loaded; absent: none does. */
  readonly debug?: readonly XenUnit[];
}

const SHT = { progbits: 1, note: 7, nobits: 8 } as const;
const A = 2;
const WA = 3;
const AX = 6;

/** Order and flags of the payload's sections. Hooks are read-only: Xen lets a payload be applied again only where it has no writable data but the function table. */
function flagsOf(out: string): number {
  if (out === '.text' || out === '.fixup' || out === '.altinstr_replacement') return AX;
  if (out === '.data' || out === '.bss') return WA;
  return A;
}

/** A section of the payload while it grows. */
class Growing {
  readonly name: string;
  align = 1;
  size = 0;
  readonly parts: { readonly at: number; readonly bytes: Uint8Array }[] = [];

  constructor(name: string) {
    this.name = name;
  }

  add(bytes: Uint8Array, size: number, align: number): number {
    const at = Math.ceil(this.size / align) * align;
    this.align = Math.max(this.align, align);
    this.parts.push({ at, bytes });
    this.size = at + size;
    return at;
  }

  section(): NewSection {
    const nobits = this.name === '.bss';
    const data = new Uint8Array(nobits ? 0 : this.size);
    // Between functions stands what traps (int3), not what runs on.
    if (flagsOf(this.name) === AX) data.fill(0xcc);
    if (!nobits) for (const part of this.parts) data.set(part.bytes, part.at);
    return {
      name: this.name,
      type: nobits ? SHT.nobits : SHT.progbits,
      flags: flagsOf(this.name),
      align: this.align,
      data,
      ...(nobits ? { size: this.size } : {}),
    };
  }
}

/** Writes the payload. Its build id is a hash of everything else in it: the same plan gives the same bytes. */
export function linkXen(plan: XenPlan, envelope: XenEnvelope): { bytes: Uint8Array; buildId: Uint8Array } {
  const unnamed = write(plan, envelope, new Uint8Array(20));
  const buildId = sha256(unnamed).slice(0, 20);
  return { bytes: write(plan, envelope, buildId), buildId };
}

function write(plan: XenPlan, envelope: XenEnvelope, buildId: Uint8Array): Uint8Array {
  const growing = new Map<string, Growing>();
  const into = (name: string): Growing => {
    let section = growing.get(name);
    if (!section) {
      section = new Growing(name);
      growing.set(name, section);
    }
    return section;
  };
  const offsets = plan.pieces.map((piece) => {
    const size = piece.end - piece.start;
    const bytes = isNobits(piece.section) ? new Uint8Array() : piece.section.data.subarray(piece.start, piece.end);
    return into(piece.out).add(bytes, size, piece.align);
  });
  // An alternative without replacement still has to point into the section of replacements, which Xen wants not to be empty.
  const replacements = growing.get('.altinstr_replacement');
  if (replacements?.size === 0) replacements.add(Uint8Array.of(0x90), 1, 1);

  const sections: NewSection[] = [...growing.values()].map((section) => section.section());
  const indexOf = new Map(sections.map((section, index) => [section.name, index]));
  const symbols: NewSymbol[] = [];
  const relocations: NewRelocation[] = [];
  const sectionSymbol = new Map<number, number>();
  const toSection = (section: number): number => {
    let symbol = sectionSymbol.get(section);
    if (symbol === undefined) {
      symbol = symbols.push({ name: '', bind: 'local', type: 'section', section, value: 0, size: 0 }) - 1;
      sectionSymbol.set(section, symbol);
    }
    return symbol;
  };
  const imported = new Map<string, number>();
  const toImport = (name: string): number => {
    let symbol = imported.get(name);
    if (symbol === undefined) {
      symbol = symbols.push({ name, bind: 'global', type: 'notype', section: 'undef', value: 0, size: 0 }) - 1;
      imported.set(name, symbol);
    }
    return symbol;
  };
  plan.pieces.forEach((piece, index) => {
    const section = indexOf.get(piece.out)!;
    if (piece.symbol) {
      symbols.push({
        name: piece.symbol.name,
        bind: 'local',
        type: piece.symbol.type,
        section,
        value: offsets[index]!,
        size: piece.symbol.size,
      });
    }
    for (const relocation of piece.relocations) {
      const { to } = relocation;
      const target = to.kind === 'piece' ? plan.pieces[to.piece]! : undefined;
      relocations.push({
        section,
        offset: offsets[index]! + relocation.offset,
        type: relocation.type,
        symbol: target ? toSection(indexOf.get(target.out)!) : toImport((to as { name: string }).name),
        addend: relocation.addend + (to.kind === 'piece' ? offsets[to.piece]! : 0),
      });
    }
  });

  const add = (name: string, type: number, flags: number, align: number, data: Uint8Array): number =>
    sections.push({ name, type, flags, align, data }) - 1;
  if (envelope.functions.length > 0) {
    const names = nameTable(envelope.functions.map((entry) => entry.name));
    const strings = add('.livepatch.strings', SHT.progbits, A, 1, names.bytes);
    const table = add(FUNCS, SHT.progbits, WA, 8, functionTable(envelope));
    envelope.functions.forEach((entry, index) => {
      const at = index * FUNC_SIZE[envelope.version];
      relocations.push({
        section: table,
        offset: at,
        type: RELOCATION.abs64,
        symbol: toSection(strings),
        addend: names.offsets[index]!,
      });
      if (entry.piece === undefined) return;
      const piece = plan.pieces[entry.piece]!;
      relocations.push({
        section: table,
        offset: at + 8,
        type: RELOCATION.abs64,
        symbol: toSection(indexOf.get(piece.out)!),
        addend: offsets[entry.piece]!,
      });
    });
  }
  add(BUILD_ID, SHT.note, A, 4, buildIdNote(buildId));
  add(DEPENDS, SHT.note, A, 4, buildIdNote(envelope.depends));
  add(XEN_DEPENDS, SHT.note, A, 4, buildIdNote(envelope.xen));
  if (envelope.modinfo.length > 0)
    add('.modinfo', SHT.progbits, A, 1, new TextEncoder().encode(envelope.modinfo.map((line) => `${line}\0`).join('')));
  add('.livepatch.manifest', SHT.progbits, 0, 1, envelope.manifest);
  if (envelope.debug) addDebug(envelope.debug, plan, { sections, relocations, indexOf, offsets, toSection });
  return writeElf({ machine: 62, sections, symbols, relocations });
}

function nameTable(names: readonly string[]): { bytes: Uint8Array; offsets: number[] } {
  const encoded = names.map((name) => new TextEncoder().encode(`${name}\0`));
  const bytes = new Uint8Array(encoded.reduce((sum, name) => sum + name.length, 0));
  let at = 0;
  const offsets = encoded.map((name) => {
    bytes.set(name, at);
    at += name.length;
    return at - name.length;
  });
  return { bytes, offsets };
}

/** The function table; names and new addresses are relocations, old addresses are resolved by name (zero). */
function functionTable({ functions, version }: XenEnvelope): Uint8Array {
  const size = FUNC_SIZE[version];
  const bytes = new Uint8Array(functions.length * size);
  const view = new DataView(bytes.buffer);
  functions.forEach((entry, index) => {
    const at = index * size;
    view.setUint32(at + 24, entry.newSize, true);
    view.setUint32(at + 28, entry.oldSize, true);
    view.setUint8(at + 32, version);
    if (version === 2 && entry.expect.length > 0) {
      view.setUint8(at + EXPECT_OFFSET, 1 | (entry.expect.length << 1));
      bytes.set(entry.expect, at + EXPECT_OFFSET + 1);
    }
  });
  return bytes;
}
