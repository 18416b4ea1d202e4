import { AARCH64, X86_64 } from './machine.ts';

/** What a relocation type means, as far as comparing and showing code needs it. */
export interface RelocationMeaning {
  /** Name of the psABI, e.g. `R_X86_64_PC32`; `type 77` where unknown. */
  readonly name: string;
  /** The place's address is subtracted: on x86 the addend carries the distance from the field to the end of the instruction. */
  readonly pcRelative: boolean;
  /** Types of one family do the same to a program: PC32 and PLT32, GOTPCREL and GOTPCRELX. */
  readonly family: number;
  /** How the listing marks it: `@GOTPCREL`, `@tpoff`, `:lo12:`; empty for plain references. */
  readonly mark: string;
}

type Row = readonly [type: number, name: string, pcRelative: boolean, family: number, mark: string];

// System V psABI AMD64, table 4.9.
const X86: readonly Row[] = [
  [1, '64', false, 1, ''],
  [2, 'PC32', true, 2, ''],
  [3, 'GOT32', false, 3, '@GOT'],
  [4, 'PLT32', true, 2, ''],
  [9, 'GOTPCREL', true, 9, '@GOTPCREL'],
  [10, '32', false, 10, ''],
  [11, '32S', false, 11, ''],
  [12, '16', false, 12, ''],
  [13, 'PC16', true, 13, ''],
  [14, '8', false, 14, ''],
  [15, 'PC8', true, 15, ''],
  [16, 'DTPMOD64', false, 16, '@dtpmod'],
  [17, 'DTPOFF64', false, 17, '@dtpoff'],
  [18, 'TPOFF64', false, 18, '@tpoff'],
  [19, 'TLSGD', true, 19, '@tlsgd'],
  [20, 'TLSLD', true, 20, '@tlsld'],
  [21, 'DTPOFF32', false, 21, '@dtpoff'],
  [22, 'GOTTPOFF', true, 22, '@gottpoff'],
  [23, 'TPOFF32', false, 23, '@tpoff'],
  [24, 'PC64', true, 24, ''],
  [25, 'GOTOFF64', false, 25, '@GOTOFF'],
  [26, 'GOTPC32', true, 26, '@GOTPC'],
  [31, 'PLTOFF64', false, 31, '@PLTOFF'],
  [32, 'SIZE32', false, 32, '@size'],
  [33, 'SIZE64', false, 33, '@size'],
  [34, 'GOTPC32_TLSDESC', true, 34, '@tlsdesc'],
  [35, 'TLSDESC_CALL', false, 35, '@tlscall'],
  [41, 'GOTPCRELX', true, 9, '@GOTPCREL'],
  [42, 'REX_GOTPCRELX', true, 9, '@GOTPCREL'],
];

// ELF for the Arm 64-bit Architecture, 5.7.
const A64: readonly Row[] = [
  [257, 'ABS64', false, 257, ''],
  [258, 'ABS32', false, 258, ''],
  [259, 'ABS16', false, 259, ''],
  [260, 'PREL64', true, 260, ''],
  [261, 'PREL32', true, 261, ''],
  [262, 'PREL16', true, 262, ''],
  [263, 'MOVW_UABS_G0', false, 263, ':abs_g0:'],
  [264, 'MOVW_UABS_G0_NC', false, 264, ':abs_g0_nc:'],
  [265, 'MOVW_UABS_G1', false, 265, ':abs_g1:'],
  [266, 'MOVW_UABS_G1_NC', false, 266, ':abs_g1_nc:'],
  [267, 'MOVW_UABS_G2', false, 267, ':abs_g2:'],
  [268, 'MOVW_UABS_G2_NC', false, 268, ':abs_g2_nc:'],
  [269, 'MOVW_UABS_G3', false, 269, ':abs_g3:'],
  [273, 'LD_PREL_LO19', true, 273, ''],
  [274, 'ADR_PREL_LO21', true, 274, ''],
  [275, 'ADR_PREL_PG_HI21', true, 275, ''],
  [276, 'ADR_PREL_PG_HI21_NC', true, 275, ''],
  [277, 'ADD_ABS_LO12_NC', false, 277, ':lo12:'],
  [278, 'LDST8_ABS_LO12_NC', false, 277, ':lo12:'],
  [279, 'TSTBR14', true, 279, ''],
  [280, 'CONDBR19', true, 280, ''],
  [282, 'JUMP26', true, 282, ''],
  [283, 'CALL26', true, 282, ''],
  [284, 'LDST16_ABS_LO12_NC', false, 277, ':lo12:'],
  [285, 'LDST32_ABS_LO12_NC', false, 277, ':lo12:'],
  [286, 'LDST64_ABS_LO12_NC', false, 277, ':lo12:'],
  [299, 'LDST128_ABS_LO12_NC', false, 277, ':lo12:'],
  [311, 'ADR_GOT_PAGE', true, 311, ':got:'],
  [312, 'LD64_GOT_LO12_NC', false, 312, ':got_lo12:'],
  [541, 'TLSIE_ADR_GOTTPREL_PAGE21', true, 541, ':gottprel:'],
  [542, 'TLSIE_LD64_GOTTPREL_LO12_NC', false, 542, ':gottprel_lo12:'],
  [549, 'TLSLE_ADD_TPREL_HI12', false, 549, ':tprel_hi12:'],
  [550, 'TLSLE_ADD_TPREL_LO12', false, 550, ':tprel_lo12:'],
  [551, 'TLSLE_ADD_TPREL_LO12_NC', false, 550, ':tprel_lo12_nc:'],
  [562, 'TLSDESC_ADR_PAGE21', true, 562, ':tlsdesc:'],
  [563, 'TLSDESC_LD64_LO12', false, 563, ':tlsdesc_lo12:'],
  [564, 'TLSDESC_ADD_LO12', false, 564, ':tlsdesc_lo12:'],
  [569, 'TLSDESC_CALL', false, 569, ':tlsdesc_call:'],
];

function table(prefix: string, rows: readonly Row[]): ReadonlyMap<number, RelocationMeaning> {
  return new Map(
    rows.map(([type, name, pcRelative, family, mark]) => [type, { name: prefix + name, pcRelative, family, mark }]),
  );
}

const TABLES: ReadonlyMap<number, ReadonlyMap<number, RelocationMeaning>> = new Map([
  [X86_64, table('R_X86_64_', X86)],
  [AARCH64, table('R_AARCH64_', A64)],
]);

/** Meaning of a relocation type of a machine. Unknown types are taken as absolute and equal only to themselves. */
export function relocationMeaning(machine: number, type: number): RelocationMeaning {
  return TABLES.get(machine)?.get(type) ?? { name: `type ${type}`, pcRelative: false, family: type, mark: '' };
}
