import { readElf } from '../elf/index.ts';
import type { ElfFile, Section } from '../elf/types.ts';
import { decodeManifest, MANIFEST_SECTION } from './manifest.ts';
import type { Manifest } from './types.ts';
import { ALLOWED, widthOf } from './x86.ts';

/** A section of a payload that is loaded, with what has to be filled in. */
export interface PayloadSection {
  readonly section: Section;
  readonly relocations: readonly {
    readonly offset: number;
    readonly type: number;
    readonly symbol: number;
    readonly addend: number;
  }[];
}

/** A payload as read: checked, ready to be linked. */
export interface ProcessPayload {
  readonly elf: ElfFile;
  readonly manifest: Manifest;
  readonly sections: readonly PayloadSection[];
  /** Bytes of the whole file, from which its checksum is made. */
  readonly bytes: Uint8Array;
}

/** Most bytes that a payload may load. */
const LIMIT = 64 * 1024 * 1024;

/**
 * Reads a process payload. The file may come from anybody: everything that linking relies on is checked here. A string says
 * in one sentence why the file is not a payload.
 */
export function readPayload(bytes: Uint8Array): ProcessPayload | string {
  const { elf, problems } = readElf(bytes);
  if (!elf) return `This is not a payload: ${problems[0]?.message ?? 'not an ELF file'}`;
  if (elf.kind !== 'rel' || elf.machine !== 62)
    return 'This is not a payload: it is not a relocatable ELF file for x86-64.';
  const manifestSection = elf.sections.find((section) => section.name === MANIFEST_SECTION);
  if (!manifestSection)
    return problems[0]
      ? `This is not a payload: it is cut off or damaged (${problems[0].message.replace(/\.$/, '')}).`
      : `This is not a payload: it has no ${MANIFEST_SECTION} section.`;
  const manifest = decodeManifest(manifestSection.data);
  if (typeof manifest === 'string') return manifest;
  const sections: PayloadSection[] = [];
  let total = 0;
  for (const section of elf.sections) {
    if ((section.flags & 2) === 0) continue;
    if (!Number.isSafeInteger(section.size) || section.size < 0 || section.size > LIMIT)
      return `Section ${section.name} is too large for a payload.`;
    if (section.type !== 8 && section.data.length !== section.size) return `Section ${section.name} is cut off.`;
    const align = Math.max(1, section.align);
    if (align > 4096 || (align & (align - 1)) !== 0)
      return `Section ${section.name} asks for an alignment of ${align} bytes; at most a page is possible.`;
    total += section.size + align;
    if (total > LIMIT) return `The payload loads more than ${LIMIT} bytes.`;
    const relocations = elf.relocationsOf(section.index);
    for (const one of relocations) {
      if (!ALLOWED.has(one.type))
        return `Section ${section.name} has a relocation of type ${one.type}, which a payload may not have.`;
      if (one.offset < 0 || one.offset + widthOf(one.type) > section.data.length)
        return `Section ${section.name} has a relocation outside of it.`;
      const symbol = elf.symbols[one.symbol];
      if (!symbol || one.symbol === 0) return `Section ${section.name} has a relocation without a symbol.`;
      if (typeof symbol.place === 'number') {
        const to = elf.sections[symbol.place];
        if (!to || (to.flags & 2) === 0) return `Symbol ${symbol.name} is not in a section that is loaded.`;
      } else if (symbol.place !== 'undef') return `Symbol ${symbol.name} is neither defined here nor an import.`;
    }
    sections.push({ section, relocations });
  }
  for (const one of manifest.replaces) {
    const symbol = elf.symbols.find(
      (candidate) => candidate.name === one.replacement && typeof candidate.place === 'number',
    );
    const section = symbol && elf.sections[symbol.place as number];
    if (!section || (section.flags & 6) !== 6)
      return `The payload has no code named ${one.replacement}, which is to replace ${one.name}.`;
  }
  if (manifest.replaces.length === 0) return 'The payload replaces no function.';
  return { elf, manifest, sections, bytes };
}
