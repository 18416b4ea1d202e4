import * as d from './constants.ts';
import type { Die } from './die.ts';
import { memberLocation } from './locations.ts';
import * as s from './slots.ts';
import type { DwarfType, Member, SourceLocation, TypeKind, TypeRef } from './types.ts';

const NO_MEMBERS: readonly MemberEntry[] = Object.freeze([]);
const NO_ENUMERATORS: DwarfType['enumerators'] = Object.freeze([]);
const NO_DIMENSIONS: DwarfType['dimensions'] = Object.freeze([]);
const NO_PARAMETERS: readonly TypeRef[] = Object.freeze([]);

const KINDS: Readonly<Record<number, TypeKind>> = {
  [d.DW_TAG_array_type]: 'array',
  [d.DW_TAG_class_type]: 'struct',
  [d.DW_TAG_enumeration_type]: 'enum',
  [d.DW_TAG_pointer_type]: 'pointer',
  [d.DW_TAG_reference_type]: 'pointer',
  [d.DW_TAG_rvalue_reference_type]: 'pointer',
  [d.DW_TAG_structure_type]: 'struct',
  [d.DW_TAG_subroutine_type]: 'function',
  [d.DW_TAG_typedef]: 'typedef',
  [d.DW_TAG_union_type]: 'union',
  [d.DW_TAG_base_type]: 'base',
  [d.DW_TAG_const_type]: 'const',
  [d.DW_TAG_volatile_type]: 'volatile',
  [d.DW_TAG_restrict_type]: 'restrict',
  [d.DW_TAG_atomic_type]: 'atomic',
  [d.DW_TAG_unspecified_type]: 'unspecified',
};

/** A member while it is read; positions are settled when the sizes of all types are known. */
export class MemberEntry implements Member {
  readonly name: string;
  type: TypeRef = -1;
  bitOffset: number;
  bitSize: number;
  readonly bitField: boolean;
  readonly at?: SourceLocation;
  /** Key of the type's entry. */
  readonly typeKey: number;
  /** DW_AT_bit_offset, counted from the most significant bit of the storage unit (DWARF 3, 5.5.6), and the unit's bytes. */
  readonly oldBitOffset: number | undefined;
  readonly storageSize: number | undefined;

  constructor(die: Die) {
    this.name = die.string(s.AT_NAME) ?? '';
    this.typeKey = die.reference(s.AT_TYPE);
    const bits = die.number(s.AT_BIT_SIZE);
    this.bitField = bits !== undefined;
    this.bitSize = bits ?? 0;
    this.bitOffset = die.number(s.AT_DATA_BIT_OFFSET) ?? (memberLocation(die) ?? 0) * 8;
    this.oldBitOffset = bits === undefined ? undefined : signedOffset(die);
    this.storageSize = die.number(s.AT_BYTE_SIZE);
    const at = die.unit.declaration(die);
    if (at) this.at = at;
  }
}

/** DW_AT_bit_offset may be negative (packed bit-fields that straddle their unit); some writers put that into an unsigned form. */
function signedOffset(die: Die): number | undefined {
  const value = die.number(s.AT_BIT_OFFSET);
  if (value === undefined) return undefined;
  switch (die.form(s.AT_BIT_OFFSET)) {
    case d.DW_FORM_data1:
      return value; // up to 255: a wide storage unit's bit
    case d.DW_FORM_data2:
      return (value << 16) >> 16;
    case d.DW_FORM_data4:
      return value | 0;
    case d.DW_FORM_data8:
      return Number(BigInt.asIntN(64, die.big(s.AT_BIT_OFFSET)!));
    default:
      return value;
  }
}

/** A type while it is read. References are keys of entries until `settleTypes` has run. */
export class TypeEntry implements DwarfType {
  readonly index: TypeRef;
  readonly kind: TypeKind;
  readonly name: string;
  size: number | undefined;
  readonly declaration: boolean;
  readonly align?: number;
  target: TypeRef = -1;
  members: readonly MemberEntry[] = NO_MEMBERS;
  enumerators: DwarfType['enumerators'] = NO_ENUMERATORS;
  dimensions: DwarfType['dimensions'] = NO_DIMENSIONS;
  parameters: readonly TypeRef[] = NO_PARAMETERS;
  variadic = false;
  readonly encoding?: number;
  readonly vector?: boolean;
  readonly at?: SourceLocation;
  /** Key of the target's entry. */
  readonly targetKey: number;
  parameterKeys: number[] | undefined;

  constructor(index: TypeRef, die: Die) {
    this.index = index;
    this.kind = KINDS[die.abbrev.tag] ?? 'unspecified';
    this.name = die.string(s.AT_NAME) ?? '';
    this.size = die.number(s.AT_BYTE_SIZE);
    if (this.size === undefined && this.kind === 'pointer') this.size = die.unit.addressSize;
    this.declaration = die.flag(s.AT_DECLARATION);
    this.targetKey = die.reference(s.AT_TYPE);
    if (die.has(s.AT_ALIGNMENT)) this.align = die.number(s.AT_ALIGNMENT) ?? 0;
    if (die.has(s.AT_ENCODING)) this.encoding = die.number(s.AT_ENCODING) ?? 0;
    if (die.flag(s.AT_VECTOR)) this.vector = true;
    const at = die.unit.declaration(die);
    if (at) this.at = at;
  }

  /** Takes an entry that stands directly below this type's. */
  addPart(die: Die): void {
    switch (die.abbrev.tag) {
      case d.DW_TAG_member:
        if (this.kind !== 'struct' && this.kind !== 'union') return;
        if (this.members === NO_MEMBERS) this.members = [];
        (this.members as MemberEntry[]).push(new MemberEntry(die));
        return;
      case d.DW_TAG_enumerator:
        if (this.enumerators === NO_ENUMERATORS) this.enumerators = [];
        (this.enumerators as { name: string; value: bigint }[]).push({
          name: die.string(s.AT_NAME) ?? '',
          value: die.big(s.AT_CONST_VALUE) ?? 0n,
        });
        return;
      case d.DW_TAG_subrange_type:
        if (this.kind !== 'array') return;
        if (this.dimensions === NO_DIMENSIONS) this.dimensions = [];
        (this.dimensions as (number | undefined)[]).push(dimension(die));
        return;
      case d.DW_TAG_formal_parameter:
        this.parameterKeys ??= [];
        this.parameterKeys.push(die.reference(s.AT_TYPE));
        return;
      case d.DW_TAG_unspecified_parameters:
        this.variadic = true;
    }
  }
}

/** Number of elements of a DW_TAG_subrange_type (lower bound 0: C); undefined where flexible or computed at run time. */
function dimension(die: Die): number | undefined {
  const count = die.big(s.AT_COUNT);
  // -1 is how compilers spell an array without elements or bound.
  if (count !== undefined) return count >= 0n && count < 1n << 63n ? Number(count) : undefined;
  const upper = die.big(s.AT_UPPER_BOUND);
  if (upper === undefined) return undefined;
  return upper === -1n || upper >= (1n << 64n) - 1n || upper === 0xffffffffn ? 0 : Number(upper) + 1;
}

/** Resolves references to indices, and sizes and bit positions that depend on other types. */
export function settleTypes(types: readonly TypeEntry[], indexOf: (key: number) => TypeRef): void {
  for (const type of types) {
    if (type.targetKey >= 0) type.target = indexOf(type.targetKey);
    if (type.parameterKeys) {
      type.parameters = type.parameterKeys.map((key) => (key >= 0 ? indexOf(key) : -1));
      type.parameterKeys = undefined;
    }
    for (const member of type.members) if (member.typeKey >= 0) member.type = indexOf(member.typeKey);
  }
  settleSizes(types);
  for (const type of types) {
    for (const member of type.members) settleMember(member, types[member.type]?.size);
  }
}

function settleMember(member: MemberEntry, typeSize: number | undefined): void {
  if (!member.bitField) {
    member.bitSize = (typeSize ?? 0) * 8;
    return;
  }
  if (member.oldBitOffset === undefined) return;
  const storage = (member.storageSize ?? typeSize ?? 0) * 8;
  // From the most significant bit of the unit to the least significant bit of the struct: little-endian.
  member.bitOffset += storage - member.oldBitOffset - member.bitSize;
}

/** True for kinds whose size follows from their target's. */
function derivesSize(type: TypeEntry): boolean {
  switch (type.kind) {
    case 'typedef':
    case 'const':
    case 'volatile':
    case 'restrict':
    case 'atomic':
    case 'array':
      return type.size === undefined;
    case 'enum':
      return type.size === undefined && !type.declaration;
    default:
      return false;
  }
}

/** Follows chains of targets without recursion: a crafted file may chain a million of them, or close a circle. */
function settleSizes(types: readonly TypeEntry[]): void {
  const done = new Uint8Array(types.length);
  const chain: TypeEntry[] = [];
  for (const first of types) {
    let type: TypeEntry | undefined = first;
    while (type && done[type.index] === 0 && derivesSize(type)) {
      done[type.index] = 1;
      chain.push(type);
      type = types[type.target];
    }
    // Where the chain met itself, the size stays unknown.
    let size = type?.size;
    for (let member = chain.pop(); member; member = chain.pop()) {
      if (member.kind === 'array') size = arraySize(member.dimensions, size);
      member.size = size;
    }
  }
}

function arraySize(dimensions: DwarfType['dimensions'], element: number | undefined): number | undefined {
  if (element === undefined) return undefined;
  let size = element;
  for (const count of dimensions) size *= count ?? 0;
  if (dimensions.length === 0) return 0;
  return Number.isSafeInteger(size) ? size : undefined;
}
