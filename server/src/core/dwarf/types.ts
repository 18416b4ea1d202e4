import type { Problem } from '../problem.ts';

/** A place in the source. Lines and columns count from 1; column 0 or absent = unknown. `file` is as DWARF spells it, joined with its directory. */
export interface SourceLocation {
  readonly file: string;
  readonly line: number;
  readonly column?: number;
  readonly endLine?: number;
  readonly endColumn?: number;
}

/** Kinds of types, in C's words. `unspecified` = void or unknown. */
export type TypeKind =
  | 'base'
  | 'pointer'
  | 'struct'
  | 'union'
  | 'enum'
  | 'array'
  | 'typedef'
  | 'const'
  | 'volatile'
  | 'restrict'
  | 'atomic'
  | 'function'
  | 'unspecified';

/** A member of a struct or union. All positions are in bits from the start of the enclosing type, little-endian bit order. */
export interface Member {
  /** Empty for anonymous struct/union members and unnamed bit-fields. */
  readonly name: string;
  readonly type: TypeRef;
  readonly bitOffset: number;
  /** Size of the member in bits (for bit-fields the width). 0 for flexible arrays. */
  readonly bitSize: number;
  readonly bitField: boolean;
  readonly at?: SourceLocation;
}

/** Index into `DwarfInfo.types`; -1 = void. */
export type TypeRef = number;

/** A type as DWARF describes it (DWARF 5, chapter 5), with the debug information's indirections resolved to indices. */
export interface DwarfType {
  readonly index: TypeRef;
  readonly kind: TypeKind;
  /** Tag, typedef or base type name; empty for anonymous types and for pointers, arrays, qualifiers. */
  readonly name: string;
  /** Bytes; undefined for incomplete types and functions. For arrays: the whole array (0 for flexible ones). */
  readonly size: number | undefined;
  readonly declaration: boolean;
  /** Bytes, from DW_AT_alignment where given. */
  readonly align?: number | undefined;
  /** Target of pointer, typedef, qualifier; element of array; return type of function; underlying type of enum. -1 = void/none. */
  readonly target: TypeRef;
  /** struct, union. */
  readonly members: readonly Member[];
  /** enum: value as a signed or unsigned integer, exact. */
  readonly enumerators: readonly { readonly name: string; readonly value: bigint }[];
  /** array: number of elements per dimension, outermost first; undefined = flexible. */
  readonly dimensions: readonly (number | undefined)[];
  /** function type: parameter types. */
  readonly parameters: readonly TypeRef[];
  readonly variadic: boolean;
  /** base: DW_ATE_* encoding (boolean 2, float 4, signed 5, signed_char 6, unsigned 7, unsigned_char 8, ...). */
  readonly encoding?: number | undefined;
  /** array: a SIMD vector (`__attribute__((vector_size))`). */
  readonly vector?: boolean | undefined;
  readonly at?: SourceLocation | undefined;
}

/** A range of code: section index and byte offsets in it (relocatable files). `end` is exclusive. */
export interface CodeRange {
  readonly section: number;
  readonly start: number;
  readonly end: number;
}

/** A function body that the compiler inlined (DW_TAG_inlined_subroutine). */
export interface InlinedCall {
  /** Name of the function that was inlined. */
  readonly name: string;
  /** Where the inlined function is declared. */
  readonly decl?: SourceLocation | undefined;
  /** Where it was called. */
  readonly call?: SourceLocation | undefined;
  readonly ranges: readonly CodeRange[];
  /** Nesting depth in the containing function, from 0. */
  readonly depth: number;
}

/** A function with code (concrete DW_TAG_subprogram). */
export interface DwarfFunction {
  readonly name: string;
  /** Assembler name where it differs (DW_AT_linkage_name). */
  readonly linkageName?: string | undefined;
  readonly decl?: SourceLocation | undefined;
  /** Last line of the body, where the line table tells; else undefined. Computed at the first look. */
  readonly endLine?: number | undefined;
  readonly external: boolean;
  readonly ranges: readonly CodeRange[];
  readonly returnType: TypeRef;
  readonly parameters: readonly { readonly name: string; readonly type: TypeRef }[];
  readonly variadic: boolean;
  readonly noreturn: boolean;
  /** In the order of the debug information: outer calls before the inner ones. Read at the first look. */
  readonly inlined: readonly InlinedCall[];
  /** Local variables of automatic storage and parameters, nested blocks and inlined bodies included: their types, each once. Read at the first look. */
  readonly localTypes: readonly TypeRef[];
  /** The same without the parameters of the function and of what was inlined into it. */
  readonly variableTypes: readonly TypeRef[];
}

/** A function declared or defined anywhere in the unit, code or not (also fully inlined ones): for signatures. */
export interface DwarfPrototype {
  readonly name: string;
  readonly external: boolean;
  /** Has a body in this unit (concrete or abstract instance); false for mere declarations. */
  readonly defined: boolean;
  /** DW_AT_inline says that it was inlined. */
  readonly inlined: boolean;
  readonly decl?: SourceLocation | undefined;
  readonly returnType: TypeRef;
  readonly parameters: readonly { readonly name: string; readonly type: TypeRef }[];
  readonly variadic: boolean;
}

/** A variable with static storage (file scope, or `static` in a function). */
export interface DwarfVariable {
  readonly name: string;
  readonly linkageName?: string | undefined;
  readonly type: TypeRef;
  readonly external: boolean;
  readonly declaration: boolean;
  /** Function that contains it, for static locals. */
  readonly scope?: string;
  readonly decl?: SourceLocation | undefined;
  /** Section and byte offset of the object, where it has a location. */
  readonly place?: { readonly section: number; readonly offset: number };
}

/**
 * One row of the line table for a section. Sorted by offset, one for each offset; the row holds until the next row's
 * offset. Line 0 (with an empty file) = code that belongs to no line, or the end of what the table covers.
 */
export interface LineRow {
  readonly offset: number;
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly isStatement: boolean;
}

/** A compilation unit. */
export interface DwarfUnit {
  readonly name: string;
  readonly compDir: string;
  /** DW_AT_producer: compiler, version and options. */
  readonly producer: string;
  readonly version: number;
  readonly language: number;
}

/** Types that are the same in two objects: see `DwarfInfo.typesLike`. */
export interface TypeLikeness {
  /** All types of both objects are the same, in the same order. */
  readonly all: boolean;
  /** Further, both declare and define the same functions with the same parameters and results. False says nothing. */
  readonly signatures: boolean;
  /**
   * The types, and all that they hold by value, are the same: names, sizes, places, enumerators, and the names of the types that
   * they point to. False says nothing.
   */
  isSame(base: TypeRef, next: TypeRef): boolean;
}

/** All that is read of the debug information of one object. */
export interface DwarfInfo {
  /** False where the object carries no .debug_info. */
  readonly present: boolean;
  readonly units: readonly DwarfUnit[];
  readonly types: readonly DwarfType[];
  readonly functions: readonly DwarfFunction[];
  readonly prototypes: readonly DwarfPrototype[];
  readonly variables: readonly DwarfVariable[];
  /** Line rows of a code section, sorted by offset. Parsed at the first call. */
  linesOf(section: number): readonly LineRow[];
  /** Bytes of the first complete struct with this tag; undefined where there is none. Without reading other types. */
  structSize(tag: string): number | undefined;
  /**
   * What of the types is the same as in the debug information of another object of this unit, found without reading them:
   * undefined where that cannot be told. What it does not say to be the same may still be.
   */
  typesLike(base: DwarfInfo): TypeLikeness | undefined;
  /** Grows as lazily read parts turn out to be damaged. */
  readonly problems: readonly Problem[];
}
