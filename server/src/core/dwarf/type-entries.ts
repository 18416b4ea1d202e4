import * as d from './constants.ts';
import type { DwarfData } from './data.ts';
import { Die } from './die.ts';
import { memberLocation } from './locations.ts';
import { Damaged } from './reader.ts';
import * as s from './slots.ts';
import type { DwarfType, Member, SourceLocation, TypeKind, TypeRef } from './types.ts';

const NO_MEMBERS: readonly Member[] = Object.freeze([]);
const NO_ENUMERATORS: DwarfType['enumerators'] = Object.freeze([]);
const NO_DIMENSIONS: DwarfType['dimensions'] = Object.freeze([]);
const NO_PARAMETERS: readonly TypeRef[] = Object.freeze([]);

/** Kind of a type's tag. */
export function kindOf(tag: number): TypeKind {
  return KINDS[tag] ?? 'unspecified';
}

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

/** What types need to know of the whole file. */
export interface TypeContext {
  readonly data: DwarfData;
  readonly types: readonly TypeEntry[];
  /** One of `types`, without making the others. */
  typeAt(type: TypeRef): TypeEntry | undefined;
  /** The same of a type without making it: tag, and key of its entry. */
  readonly typeCount: number;
  tagOf(type: TypeRef): number;
  keyOf(type: TypeRef): number;
  typeIndex(key: number): TypeRef;
  /** Key of what follows a type's entry and its last part. */
  endOf(type: TypeRef): number;
  /** The entries that stand directly below a type's (members, enumerators, subranges, parameters) by number; -1 ends the list. */
  firstPart(type: TypeRef): number;
  nextPart(part: number): number;
  partKey(part: number): number;
  readonly partCount: number;
}

/** What stands in a type's own entry. */
interface Head {
  readonly name: string;
  /** DW_AT_byte_size; undefined where it is not given. */
  readonly size: number | undefined;
  readonly declaration: boolean;
  readonly target: TypeRef;
  readonly align: number | undefined;
  readonly encoding: number | undefined;
  readonly vector: boolean;
  readonly file: number | undefined;
  readonly line: number | undefined;
  readonly column: number | undefined;
}

const UNREADABLE: Head = {
  name: '',
  size: undefined,
  declaration: false,
  target: -1,
  align: undefined,
  encoding: undefined,
  vector: false,
  file: undefined,
  line: undefined,
  column: undefined,
};

/** What stands below a type's entry. */
interface Body {
  readonly members: readonly Member[];
  readonly enumerators: DwarfType['enumerators'];
  readonly dimensions: DwarfType['dimensions'];
  readonly parameters: readonly TypeRef[];
  readonly variadic: boolean;
}

const NO_BODY: Body = {
  members: NO_MEMBERS,
  enumerators: NO_ENUMERATORS,
  dimensions: NO_DIMENSIONS,
  parameters: NO_PARAMETERS,
  variadic: false,
};

/** Read into for a moment only. */
const scratch = new Die();

/** A type where it stands. Its entry is read at the first look, and so is what stands below: of most types nobody asks anything. */
export class TypeEntry implements DwarfType {
  readonly index: TypeRef;
  readonly kind: TypeKind;
  /** Key of its entry. */
  readonly key: number;
  readonly #context: TypeContext;
  #head: Head | undefined;
  #body: Body | undefined;
  #size: number | undefined;
  #sized = false;

  constructor(context: TypeContext, index: TypeRef, tag: number, key: number) {
    this.#context = context;
    this.index = index;
    this.kind = kindOf(tag);
    this.key = key;
  }

  get name(): string {
    return (this.#head ?? this.#readHead()).name;
  }
  get declaration(): boolean {
    return (this.#head ?? this.#readHead()).declaration;
  }
  get target(): TypeRef {
    return (this.#head ?? this.#readHead()).target;
  }
  get align(): number | undefined {
    return (this.#head ?? this.#readHead()).align;
  }
  get encoding(): number | undefined {
    return (this.#head ?? this.#readHead()).encoding;
  }
  get vector(): boolean | undefined {
    return (this.#head ?? this.#readHead()).vector || undefined;
  }
  get at(): SourceLocation | undefined {
    const { file, line, column } = this.#head ?? this.#readHead();
    return this.#context.data.unitOf(this.key)?.location(file, line, column);
  }
  get members(): readonly Member[] {
    return (this.#body ?? this.#readBody()).members;
  }
  get enumerators(): DwarfType['enumerators'] {
    return (this.#body ?? this.#readBody()).enumerators;
  }
  get dimensions(): DwarfType['dimensions'] {
    return (this.#body ?? this.#readBody()).dimensions;
  }
  get parameters(): readonly TypeRef[] {
    return (this.#body ?? this.#readBody()).parameters;
  }
  get variadic(): boolean {
    return (this.#body ?? this.#readBody()).variadic;
  }
  get size(): number | undefined {
    if (!this.#sized) TypeEntry.#settleSize(this);
    return this.#size;
  }

  #readHead(): Head {
    this.#head = UNREADABLE;
    return this.#guarded(() => {
      const die = this.#context.data.dieAt(this.key, scratch);
      if (!die) return UNREADABLE;
      const targetKey = die.reference(s.AT_TYPE);
      const declared = die.has(s.AT_DECL_LINE);
      this.#head = {
        name: die.string(s.AT_NAME) ?? '',
        size: die.number(s.AT_BYTE_SIZE) ?? (this.kind === 'pointer' ? die.unit.addressSize : undefined),
        declaration: die.flag(s.AT_DECLARATION),
        target: targetKey >= 0 ? this.#context.typeIndex(targetKey) : -1,
        align: die.has(s.AT_ALIGNMENT) ? (die.number(s.AT_ALIGNMENT) ?? 0) : undefined,
        encoding: die.has(s.AT_ENCODING) ? (die.number(s.AT_ENCODING) ?? 0) : undefined,
        vector: die.flag(s.AT_VECTOR),
        file: declared ? die.number(s.AT_DECL_FILE) : undefined,
        line: declared ? die.number(s.AT_DECL_LINE) : undefined,
        column: declared ? die.number(s.AT_DECL_COLUMN) : undefined,
      };
      return this.#head;
    }, UNREADABLE);
  }

  #readBody(): Body {
    this.#body = NO_BODY;
    const context = this.#context;
    const first = context.firstPart(this.index);
    if (first < 0) return NO_BODY;
    this.#body = this.#guarded(() => {
      const reader = new BodyReader(this.kind);
      for (let part = first; part >= 0; part = context.nextPart(part)) {
        const die = context.data.dieAt(context.partKey(part), scratch);
        if (die) reader.add(die);
      }
      return reader.settle(context);
    }, NO_BODY);
    return this.#body;
  }

  /** The scan moved over these entries; their values may still make no sense. */
  #guarded<T>(read: () => T, otherwise: T): T {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof Damaged) && !(error instanceof RangeError)) throw error;
      this.#context.data.log.add('dwarf.info', `A type cannot be read: ${error.message}`, this.key);
      return otherwise;
    }
  }

  /** Follows the chain of targets without recursion: a crafted file may chain a million of them, or close a circle. */
  static #settleSize(first: TypeEntry): void {
    const chain: TypeEntry[] = [];
    let type: TypeEntry | undefined = first;
    while (type && !type.#sized) {
      type.#sized = true;
      const head: Head = type.#head ?? type.#readHead();
      type.#size = head.size;
      if (head.size !== undefined || !derivesSize(type.kind, head.declaration)) break;
      chain.push(type);
      type = type.#context.typeAt(head.target);
    }
    // Where the chain met itself, the size stays unknown.
    let size = type === undefined ? undefined : type.#size;
    for (let member = chain.pop(); member; member = chain.pop()) {
      if (member.kind === 'array') size = arraySize(member.dimensions, size);
      member.#size = size;
    }
  }
}

/** A member before the types of all members are known. */
interface RawMember {
  readonly name: string;
  readonly typeKey: number;
  readonly byteOffset: number;
  readonly dataBitOffset: number | undefined;
  readonly bits: number | undefined;
  /** DW_AT_bit_offset, counted from the most significant bit of the storage unit (DWARF 3, 5.5.6), and the unit's bytes. */
  readonly oldBitOffset: number | undefined;
  readonly storageSize: number | undefined;
  readonly at: SourceLocation | undefined;
}

/** Takes the entries below a type's, in order. Nothing here looks at other types before `settle`: they use the same `scratch`. */
class BodyReader {
  readonly #kind: TypeKind;
  readonly #members: RawMember[] = [];
  readonly #enumerators: { name: string; value: bigint }[] = [];
  readonly #dimensions: (number | undefined)[] = [];
  readonly #parameterKeys: number[] = [];
  #variadic = false;

  constructor(kind: TypeKind) {
    this.#kind = kind;
  }

  add(die: Die): void {
    switch (die.abbrev.tag) {
      case d.DW_TAG_member: {
        if (this.#kind !== 'struct' && this.#kind !== 'union') return;
        const bits = die.number(s.AT_BIT_SIZE);
        this.#members.push({
          name: die.string(s.AT_NAME) ?? '',
          typeKey: die.reference(s.AT_TYPE),
          byteOffset: memberLocation(die) ?? 0,
          dataBitOffset: die.number(s.AT_DATA_BIT_OFFSET),
          bits,
          oldBitOffset: bits === undefined ? undefined : signedOffset(die),
          storageSize: die.number(s.AT_BYTE_SIZE),
          at: die.unit.declaration(die),
        });
        return;
      }
      case d.DW_TAG_enumerator:
        this.#enumerators.push({ name: die.string(s.AT_NAME) ?? '', value: die.big(s.AT_CONST_VALUE) ?? 0n });
        return;
      case d.DW_TAG_subrange_type:
        if (this.#kind === 'array') this.#dimensions.push(dimension(die));
        return;
      case d.DW_TAG_formal_parameter:
        this.#parameterKeys.push(die.reference(s.AT_TYPE));
        return;
      case d.DW_TAG_unspecified_parameters:
        this.#variadic = true;
    }
  }

  settle(context: TypeContext): Body {
    return {
      members: this.#members.length > 0 ? this.#members.map((member) => settleMember(member, context)) : NO_MEMBERS,
      enumerators: this.#enumerators.length > 0 ? this.#enumerators : NO_ENUMERATORS,
      dimensions: this.#dimensions.length > 0 ? this.#dimensions : NO_DIMENSIONS,
      parameters:
        this.#parameterKeys.length > 0
          ? this.#parameterKeys.map((key) => (key >= 0 ? context.typeIndex(key) : -1))
          : NO_PARAMETERS,
      variadic: this.#variadic,
    };
  }
}

function settleMember(raw: RawMember, context: TypeContext): Member {
  const { name, bits, at } = raw;
  const type = raw.typeKey >= 0 ? context.typeIndex(raw.typeKey) : -1;
  const typeSize = context.typeAt(type)?.size;
  let bitOffset = raw.dataBitOffset ?? raw.byteOffset * 8;
  if (bits !== undefined && raw.oldBitOffset !== undefined) {
    // From the most significant bit of the unit to the least significant bit of the struct: little-endian.
    bitOffset += (raw.storageSize ?? typeSize ?? 0) * 8 - raw.oldBitOffset - bits;
  }
  return {
    name,
    type,
    bitOffset,
    bitSize: bits ?? (typeSize ?? 0) * 8,
    bitField: bits !== undefined,
    ...(at ? { at } : {}),
  };
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

/** Number of elements of a DW_TAG_subrange_type (lower bound 0: C); undefined where flexible or computed at run time. */
function dimension(die: Die): number | undefined {
  const count = die.big(s.AT_COUNT);
  // -1 is how compilers spell an array without elements or bound.
  if (count !== undefined) return count >= 0n && count < 1n << 63n ? Number(count) : undefined;
  const upper = die.big(s.AT_UPPER_BOUND);
  if (upper === undefined) return undefined;
  return upper === -1n || upper >= (1n << 64n) - 1n || upper === 0xffffffffn ? 0 : Number(upper) + 1;
}

/** True for kinds whose size follows from their target's where the entry does not give it. */
function derivesSize(kind: TypeKind, declaration: boolean): boolean {
  switch (kind) {
    case 'typedef':
    case 'const':
    case 'volatile':
    case 'restrict':
    case 'atomic':
    case 'array':
      return true;
    case 'enum':
      return !declaration;
    default:
      return false;
  }
}

function arraySize(dimensions: DwarfType['dimensions'], element: number | undefined): number | undefined {
  if (element === undefined) return undefined;
  let size = element;
  for (const count of dimensions) size *= count ?? 0;
  if (dimensions.length === 0) return 0;
  return Number.isSafeInteger(size) ? size : undefined;
}
