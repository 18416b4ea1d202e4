import * as d from './constants.ts';

// Places in `Die` for the attributes that this room reads. 0 stands for "not of interest".
export const AT_NAME = 1;
export const AT_BYTE_SIZE = 2;
export const AT_BIT_OFFSET = 3;
export const AT_BIT_SIZE = 4;
export const AT_STMT_LIST = 5;
export const AT_LOW_PC = 6;
export const AT_HIGH_PC = 7;
export const AT_LANGUAGE = 8;
export const AT_COMP_DIR = 9;
export const AT_CONST_VALUE = 10;
export const AT_INLINE = 11;
export const AT_PRODUCER = 12;
export const AT_UPPER_BOUND = 13;
export const AT_ABSTRACT_ORIGIN = 14;
export const AT_COUNT = 15;
export const AT_MEMBER_LOCATION = 16;
export const AT_DECL_COLUMN = 17;
export const AT_DECL_FILE = 18;
export const AT_DECL_LINE = 19;
export const AT_DECLARATION = 20;
export const AT_ENCODING = 21;
export const AT_EXTERNAL = 22;
export const AT_SPECIFICATION = 23;
export const AT_TYPE = 24;
export const AT_RANGES = 25;
export const AT_CALL_COLUMN = 26;
export const AT_CALL_FILE = 27;
export const AT_CALL_LINE = 28;
export const AT_SIGNATURE = 29;
export const AT_DATA_BIT_OFFSET = 30;
export const AT_LINKAGE_NAME = 31;
export const AT_STR_OFFSETS_BASE = 32;
export const AT_ADDR_BASE = 33;
export const AT_RNGLISTS_BASE = 34;
export const AT_DWO_NAME = 35;
export const AT_NORETURN = 36;
export const AT_ALIGNMENT = 37;
export const AT_LOCATION = 38;
export const AT_SIBLING = 39;
export const AT_VECTOR = 40;
export const SLOT_COUNT = 41;

/** DWARF attribute → slot. */
export const SLOTS: ReadonlyMap<number, number> = new Map([
  [d.DW_AT_name, AT_NAME],
  [d.DW_AT_byte_size, AT_BYTE_SIZE],
  [d.DW_AT_bit_offset, AT_BIT_OFFSET],
  [d.DW_AT_bit_size, AT_BIT_SIZE],
  [d.DW_AT_stmt_list, AT_STMT_LIST],
  [d.DW_AT_low_pc, AT_LOW_PC],
  [d.DW_AT_high_pc, AT_HIGH_PC],
  [d.DW_AT_language, AT_LANGUAGE],
  [d.DW_AT_comp_dir, AT_COMP_DIR],
  [d.DW_AT_const_value, AT_CONST_VALUE],
  [d.DW_AT_inline, AT_INLINE],
  [d.DW_AT_producer, AT_PRODUCER],
  [d.DW_AT_upper_bound, AT_UPPER_BOUND],
  [d.DW_AT_abstract_origin, AT_ABSTRACT_ORIGIN],
  [d.DW_AT_count, AT_COUNT],
  [d.DW_AT_data_member_location, AT_MEMBER_LOCATION],
  [d.DW_AT_decl_column, AT_DECL_COLUMN],
  [d.DW_AT_decl_file, AT_DECL_FILE],
  [d.DW_AT_decl_line, AT_DECL_LINE],
  [d.DW_AT_declaration, AT_DECLARATION],
  [d.DW_AT_encoding, AT_ENCODING],
  [d.DW_AT_external, AT_EXTERNAL],
  [d.DW_AT_specification, AT_SPECIFICATION],
  [d.DW_AT_type, AT_TYPE],
  [d.DW_AT_ranges, AT_RANGES],
  [d.DW_AT_call_column, AT_CALL_COLUMN],
  [d.DW_AT_call_file, AT_CALL_FILE],
  [d.DW_AT_call_line, AT_CALL_LINE],
  [d.DW_AT_signature, AT_SIGNATURE],
  [d.DW_AT_data_bit_offset, AT_DATA_BIT_OFFSET],
  [d.DW_AT_linkage_name, AT_LINKAGE_NAME],
  [d.DW_AT_MIPS_linkage_name, AT_LINKAGE_NAME],
  [d.DW_AT_str_offsets_base, AT_STR_OFFSETS_BASE],
  [d.DW_AT_addr_base, AT_ADDR_BASE],
  [d.DW_AT_GNU_addr_base, AT_ADDR_BASE],
  [d.DW_AT_rnglists_base, AT_RNGLISTS_BASE],
  [d.DW_AT_dwo_name, AT_DWO_NAME],
  [d.DW_AT_GNU_dwo_name, AT_DWO_NAME],
  [d.DW_AT_noreturn, AT_NORETURN],
  [d.DW_AT_alignment, AT_ALIGNMENT],
  [d.DW_AT_location, AT_LOCATION],
  [d.DW_AT_sibling, AT_SIBLING],
  [d.DW_AT_GNU_vector, AT_VECTOR],
]);

/** Slots of the attributes below 0x100, which are nearly all, by number. */
const LOW_SLOTS = new Uint8Array(256);
for (const [attribute, slot] of SLOTS) if (attribute < 256) LOW_SLOTS[attribute] = slot;

/** Slot of an attribute; 0 = not of interest. */
export function slotOf(attribute: number): number {
  return attribute < 256 ? LOW_SLOTS[attribute]! : (SLOTS.get(attribute) ?? 0);
}

// What the scan does with an entry.
export const SKIP = 0;
export const TYPE = 1;
/** Part of the type or function around it: member, enumerator, subrange, parameter. */
export const PART = 2;
export const SUBPROGRAM = 3;
export const VARIABLE = 4;
/** Opens a scope that names local statics: an inlined function. */
export const SCOPE = 5;
/** A variable without a location expression: of interest outside of functions only. */
export const PLACELESS_VARIABLE = 6;
/** A type that only names the type unit in which it stands. */
export const ALIAS = 7;

const TAGS: ReadonlyMap<number, number> = new Map([
  [d.DW_TAG_array_type, TYPE],
  [d.DW_TAG_class_type, TYPE],
  [d.DW_TAG_enumeration_type, TYPE],
  [d.DW_TAG_pointer_type, TYPE],
  [d.DW_TAG_reference_type, TYPE],
  [d.DW_TAG_rvalue_reference_type, TYPE],
  [d.DW_TAG_structure_type, TYPE],
  [d.DW_TAG_subroutine_type, TYPE],
  [d.DW_TAG_typedef, TYPE],
  [d.DW_TAG_union_type, TYPE],
  [d.DW_TAG_base_type, TYPE],
  [d.DW_TAG_const_type, TYPE],
  [d.DW_TAG_volatile_type, TYPE],
  [d.DW_TAG_restrict_type, TYPE],
  [d.DW_TAG_atomic_type, TYPE],
  [d.DW_TAG_unspecified_type, TYPE],
  [d.DW_TAG_member, PART],
  [d.DW_TAG_enumerator, PART],
  [d.DW_TAG_subrange_type, PART],
  [d.DW_TAG_formal_parameter, PART],
  [d.DW_TAG_unspecified_parameters, PART],
  [d.DW_TAG_subprogram, SUBPROGRAM],
  [d.DW_TAG_variable, VARIABLE],
  [d.DW_TAG_inlined_subroutine, SCOPE],
]);

/** What the scan does with entries of this tag and these attributes. */
export function interestOf(tag: number, names: readonly number[], forms: readonly number[]): number {
  if (tag !== d.DW_TAG_variable) {
    const interest = TAGS.get(tag) ?? SKIP;
    return interest === TYPE && names.includes(d.DW_AT_signature) ? ALIAS : interest;
  }
  const form = forms[names.indexOf(d.DW_AT_location)];
  const expression =
    form === d.DW_FORM_exprloc ||
    form === d.DW_FORM_block1 ||
    form === d.DW_FORM_block2 ||
    form === d.DW_FORM_block4 ||
    form === d.DW_FORM_block;
  return expression ? VARIABLE : PLACELESS_VARIABLE;
}
