/** Numbers of the ELF specification (gABI 4.1 and the x86-64 and AArch64 processor supplements), named once for everybody. */

export const ET_REL = 1;
export const ET_EXEC = 2;
export const ET_DYN = 3;
export const ET_CORE = 4;

export const EM_X86_64 = 62;
export const EM_AARCH64 = 183;

/** Machines by `e_machine` that C is compiled for, for messages. */
const MACHINES: Readonly<Record<number, string>> = {
  2: 'SPARC',
  3: 'i386',
  8: 'MIPS',
  15: 'PA-RISC',
  20: '32-bit PowerPC',
  21: '64-bit PowerPC',
  22: 's390',
  40: '32-bit ARM',
  42: 'SuperH',
  43: 'SPARC V9',
  50: 'Itanium',
  [EM_X86_64]: 'x86-64',
  83: 'AVR',
  94: 'Xtensa',
  [EM_AARCH64]: 'AArch64',
  243: 'RISC-V',
  247: 'BPF',
  258: 'LoongArch',
};

/** A machine in words: `RISC-V (machine 243)`. */
export function machineName(machine: number): string {
  const name = MACHINES[machine];
  return name === undefined ? `machine ${machine}` : `${name} (machine ${machine})`;
}

export const SHN_UNDEF = 0;
export const SHN_LORESERVE = 0xff00;
/** Large common symbols of the x86-64 medium model. */
export const SHN_X86_64_LCOMMON = 0xff02;
export const SHN_ABS = 0xfff1;
export const SHN_COMMON = 0xfff2;
export const SHN_XINDEX = 0xffff;

export const SHT_NULL = 0;
export const SHT_PROGBITS = 1;
export const SHT_SYMTAB = 2;
export const SHT_STRTAB = 3;
export const SHT_RELA = 4;
export const SHT_HASH = 5;
export const SHT_DYNAMIC = 6;
export const SHT_NOTE = 7;
export const SHT_NOBITS = 8;
export const SHT_REL = 9;
export const SHT_DYNSYM = 11;
export const SHT_INIT_ARRAY = 14;
export const SHT_FINI_ARRAY = 15;
export const SHT_PREINIT_ARRAY = 16;
export const SHT_GROUP = 17;
export const SHT_SYMTAB_SHNDX = 18;
export const SHT_X86_64_UNWIND = 0x70000001;

export const SHF_WRITE = 0x1;
export const SHF_ALLOC = 0x2;
export const SHF_EXECINSTR = 0x4;
export const SHF_MERGE = 0x10;
export const SHF_STRINGS = 0x20;
export const SHF_INFO_LINK = 0x40;
export const SHF_LINK_ORDER = 0x80;
export const SHF_GROUP = 0x200;
export const SHF_TLS = 0x400;
export const SHF_COMPRESSED = 0x800;

export const GRP_COMDAT = 1;

export const ELFCOMPRESS_ZLIB = 1;
export const ELFCOMPRESS_ZSTD = 2;

export const STT_NOTYPE = 0;
export const STT_OBJECT = 1;
export const STT_FUNC = 2;
export const STT_SECTION = 3;
export const STT_FILE = 4;
export const STT_COMMON = 5;
export const STT_TLS = 6;
export const STT_GNU_IFUNC = 10;

export const STB_LOCAL = 0;
export const STB_GLOBAL = 1;
export const STB_WEAK = 2;
export const STB_GNU_UNIQUE = 10;

export const PT_LOAD = 1;
export const PT_DYNAMIC = 2;
export const PT_INTERP = 3;
export const PT_NOTE = 4;
export const PT_TLS = 7;
export const PT_GNU_STACK = 0x6474e551;
export const PT_GNU_RELRO = 0x6474e552;

export const PF_X = 1;
export const PF_W = 2;
export const PF_R = 4;

export const DT_NULL = 0;
export const DT_NEEDED = 1;
export const DT_STRTAB = 5;
export const DT_STRSZ = 10;
export const DT_SONAME = 14;

export const NT_GNU_BUILD_ID = 3;

export const R_X86_64_NONE = 0;
export const R_X86_64_64 = 1;
export const R_X86_64_PC32 = 2;
export const R_X86_64_GOT32 = 3;
export const R_X86_64_PLT32 = 4;
export const R_X86_64_COPY = 5;
export const R_X86_64_GLOB_DAT = 6;
export const R_X86_64_JUMP_SLOT = 7;
export const R_X86_64_RELATIVE = 8;
export const R_X86_64_GOTPCREL = 9;
export const R_X86_64_32 = 10;
export const R_X86_64_32S = 11;
export const R_X86_64_16 = 12;
export const R_X86_64_PC16 = 13;
export const R_X86_64_8 = 14;
export const R_X86_64_PC8 = 15;
export const R_X86_64_DTPMOD64 = 16;
export const R_X86_64_DTPOFF64 = 17;
export const R_X86_64_TPOFF64 = 18;
export const R_X86_64_TLSGD = 19;
export const R_X86_64_TLSLD = 20;
export const R_X86_64_DTPOFF32 = 21;
export const R_X86_64_GOTTPOFF = 22;
export const R_X86_64_TPOFF32 = 23;
export const R_X86_64_PC64 = 24;
export const R_X86_64_GOTOFF64 = 25;
export const R_X86_64_GOTPC32 = 26;
export const R_X86_64_GOT64 = 27;
export const R_X86_64_GOTPCREL64 = 28;
export const R_X86_64_GOTPC64 = 29;
export const R_X86_64_PLTOFF64 = 31;
export const R_X86_64_SIZE32 = 32;
export const R_X86_64_SIZE64 = 33;
export const R_X86_64_GOTPC32_TLSDESC = 34;
export const R_X86_64_TLSDESC_CALL = 35;
export const R_X86_64_TLSDESC = 36;
export const R_X86_64_IRELATIVE = 37;
export const R_X86_64_GOTPCRELX = 41;
export const R_X86_64_REX_GOTPCRELX = 42;

export const R_AARCH64_ABS64 = 257;
export const R_AARCH64_ABS32 = 258;

const X86_64_NAMES: Readonly<Record<number, string>> = {
  0: 'NONE',
  1: '64',
  2: 'PC32',
  3: 'GOT32',
  4: 'PLT32',
  5: 'COPY',
  6: 'GLOB_DAT',
  7: 'JUMP_SLOT',
  8: 'RELATIVE',
  9: 'GOTPCREL',
  10: '32',
  11: '32S',
  12: '16',
  13: 'PC16',
  14: '8',
  15: 'PC8',
  16: 'DTPMOD64',
  17: 'DTPOFF64',
  18: 'TPOFF64',
  19: 'TLSGD',
  20: 'TLSLD',
  21: 'DTPOFF32',
  22: 'GOTTPOFF',
  23: 'TPOFF32',
  24: 'PC64',
  25: 'GOTOFF64',
  26: 'GOTPC32',
  27: 'GOT64',
  28: 'GOTPCREL64',
  29: 'GOTPC64',
  30: 'GOTPLT64',
  31: 'PLTOFF64',
  32: 'SIZE32',
  33: 'SIZE64',
  34: 'GOTPC32_TLSDESC',
  35: 'TLSDESC_CALL',
  36: 'TLSDESC',
  37: 'IRELATIVE',
  38: 'RELATIVE64',
  41: 'GOTPCRELX',
  42: 'REX_GOTPCRELX',
};

const AARCH64_NAMES: Readonly<Record<number, string>> = {
  0: 'NONE',
  257: 'ABS64',
  258: 'ABS32',
  259: 'ABS16',
  260: 'PREL64',
  261: 'PREL32',
  262: 'PREL16',
  275: 'ADR_PREL_PG_HI21',
  277: 'ADD_ABS_LO12_NC',
  278: 'LDST8_ABS_LO12_NC',
  279: 'TSTBR14',
  280: 'CONDBR19',
  282: 'JUMP26',
  283: 'CALL26',
  284: 'LDST16_ABS_LO12_NC',
  285: 'LDST32_ABS_LO12_NC',
  286: 'LDST64_ABS_LO12_NC',
  299: 'LDST128_ABS_LO12_NC',
  311: 'ADR_GOT_PAGE',
  312: 'LD64_GOT_LO12_NC',
  1024: 'COPY',
  1025: 'GLOB_DAT',
  1026: 'JUMP_SLOT',
  1027: 'RELATIVE',
  1032: 'IRELATIVE',
};

/** Name of a relocation type as the processor supplement spells it, e.g. `R_X86_64_PLT32`; `R_<machine>_<number>` where unknown. */
export function relocationName(machine: number, type: number): string {
  if (machine === EM_X86_64) return `R_X86_64_${X86_64_NAMES[type] ?? type}`;
  if (machine === EM_AARCH64) return `R_AARCH64_${AARCH64_NAMES[type] ?? type}`;
  return `R_${machine}_${type}`;
}

/** Bytes that a relocation of this type writes at its place, where it writes a plain word; 0 where it patches instruction bits or is unknown. */
export function relocationWidth(machine: number, type: number): number {
  if (machine === EM_AARCH64) {
    if (type === R_AARCH64_ABS64 || type === 260) return 8;
    if (type === R_AARCH64_ABS32 || type === 261) return 4;
    return 0;
  }
  if (machine !== EM_X86_64) return 0;
  switch (type) {
    case R_X86_64_NONE:
    case R_X86_64_COPY:
    case R_X86_64_TLSDESC_CALL:
      return 0;
    case R_X86_64_64:
    case R_X86_64_GLOB_DAT:
    case R_X86_64_JUMP_SLOT:
    case R_X86_64_RELATIVE:
    case R_X86_64_DTPMOD64:
    case R_X86_64_DTPOFF64:
    case R_X86_64_TPOFF64:
    case R_X86_64_PC64:
    case R_X86_64_GOTOFF64:
    case R_X86_64_GOT64:
    case R_X86_64_GOTPCREL64:
    case R_X86_64_GOTPC64:
    case 30:
    case R_X86_64_PLTOFF64:
    case R_X86_64_SIZE64:
    case R_X86_64_TLSDESC:
    case R_X86_64_IRELATIVE:
    case 38:
      return 8;
    case R_X86_64_16:
    case R_X86_64_PC16:
      return 2;
    case R_X86_64_8:
    case R_X86_64_PC8:
      return 1;
    default:
      return type in X86_64_NAMES ? 4 : 0;
  }
}
