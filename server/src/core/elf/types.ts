import type { Problem } from '../problem.ts';

/** A section of an ELF64 file (gABI 4.1, "Sections"). */
export interface Section {
  /** Index in the section header table (SHN_XINDEX already resolved). */
  readonly index: number;
  readonly name: string;
  /** `sh_type`: SHT_PROGBITS 1, SHT_SYMTAB 2, SHT_RELA 4, SHT_NOBITS 8, SHT_GROUP 17, ... */
  readonly type: number;
  /** `sh_flags`: SHF_WRITE 1, SHF_ALLOC 2, SHF_EXECINSTR 4, SHF_MERGE 0x10, SHF_STRINGS 0x20, SHF_GROUP 0x200, SHF_TLS 0x400, ... */
  readonly flags: number;
  /** `sh_addr`; 0 in relocatable files. */
  readonly address: bigint;
  /** `sh_offset`, bytes from the start of the file. */
  readonly offset: number;
  /** `sh_size`, bytes (also for SHT_NOBITS, whose `data` is empty). */
  readonly size: number;
  readonly link: number;
  readonly info: number;
  /** `sh_addralign`, bytes; 0 and 1 both mean none. */
  readonly align: number;
  /** `sh_entsize`, bytes. */
  readonly entrySize: number;
  /** The contents: a view of the file (decompressed where SHF_COMPRESSED and a decompressor was given); empty for SHT_NOBITS. */
  readonly data: Uint8Array;
  /** Index of the SHT_GROUP section that this section belongs to, where it does. */
  readonly group?: number;
}

/** Where a symbol lives: a section index, or one of the special places. */
export type SymbolPlace = number | 'undef' | 'abs' | 'common';

/** A symbol table entry (gABI 4.1, "Symbol Table"). */
export interface ElfSymbol {
  readonly index: number;
  /** For STT_SECTION symbols: the section's name. */
  readonly name: string;
  readonly type: 'notype' | 'object' | 'func' | 'section' | 'file' | 'common' | 'tls' | 'ifunc' | 'other';
  readonly bind: 'local' | 'global' | 'weak' | 'unique' | 'other';
  readonly visibility: 'default' | 'internal' | 'hidden' | 'protected';
  readonly place: SymbolPlace;
  /** `st_value` as it stands in the file: an address in executables, a section offset in relocatable files, an alignment for common symbols. */
  readonly value: bigint;
  /** Bytes from the start of the symbol's section (value − section address in executables); 0 where `place` is not a section. */
  readonly offset: number;
  /** `st_size`, bytes. */
  readonly size: number;
  /** Name of the STT_FILE symbol that precedes this local symbol; undefined for globals. */
  readonly file?: string;
}

/** A relocation with explicit addend (SHT_REL addends are read from the place). Types are the processor's: R_X86_64_*, R_AARCH64_*. */
export interface Relocation {
  /** Byte offset in the section that is relocated (r_offset − section address in executables' dynamic tables: see `address`). */
  readonly offset: number;
  readonly type: number;
  /** Index into the symbol table that the relocation section is linked to; 0 = none. */
  readonly symbol: number;
  /** Signed addend, exact below 2^53. */
  readonly addend: number;
}

/** A dynamic relocation of an executable or shared object; `address` is r_offset, a virtual address. */
export interface DynamicRelocation {
  readonly address: bigint;
  readonly type: number;
  readonly symbol: ElfSymbol | undefined;
  readonly addend: bigint;
}

/** A program header (gABI 5, "Program Header"). */
export interface Segment {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly address: bigint;
  readonly fileSize: number;
  readonly memorySize: number;
  readonly align: number;
}

/** A note (gABI 5, "Note Section"): `name` without its NUL; build ids are name `GNU`, type 3. */
export interface Note {
  readonly name: string;
  readonly type: number;
  readonly desc: Uint8Array;
  readonly section: string;
}

/** A section group (gABI 4.1, "Section Groups"). */
export interface SectionGroup {
  /** Index of the SHT_GROUP section. */
  readonly section: number;
  readonly comdat: boolean;
  /** Name of the symbol that identifies the group. */
  readonly signature: string;
  /** Indices of the member sections. */
  readonly members: readonly number[];
}

/** A parsed ELF64 file, relocatable or linked. */
export interface ElfFile {
  readonly kind: 'rel' | 'exec' | 'dyn' | 'core' | 'other';
  /** `e_machine`: EM_X86_64 62, EM_AARCH64 183. */
  readonly machine: number;
  readonly littleEndian: boolean;
  readonly entry: bigint;
  readonly bytes: Uint8Array;
  readonly sections: readonly Section[];
  readonly segments: readonly Segment[];
  /** `.symtab`, in file order, index 0 included; empty where stripped. */
  readonly symbols: readonly ElfSymbol[];
  /** `.dynsym`, in file order. */
  readonly dynamicSymbols: readonly ElfSymbol[];
  /** Section groups, COMDAT and others. */
  readonly groups: readonly SectionGroup[];
  /** Relocations that apply to the section of this index, sorted by offset (ties in file order); empty where none. Cached. */
  relocationsOf(section: number): readonly Relocation[];
  /** The SHT_RELA and SHT_REL sections behind `relocationsOf`, in file order. */
  relocationTablesOf(section: number): readonly Section[];
  /** Sections of this name, in file order. */
  sectionsNamed(name: string): readonly Section[];
  /** All of .rela.dyn and .rela.plt. */
  readonly dynamicRelocations: readonly DynamicRelocation[];
  readonly notes: readonly Note[];
  /** GNU build id in lower-case hexadecimal, where the file has one. */
  readonly buildId: string | undefined;
  /** DT_NEEDED names and DT_SONAME. */
  readonly needed: readonly string[];
  readonly soname: string | undefined;
  /** Grows as lazily read parts (symbols, relocations, notes, compressed sections) turn out to be damaged. */
  readonly problems: readonly Problem[];
}
