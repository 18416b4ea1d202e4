import type { AsmRow } from '../asm/types.ts';
import type { DwarfType, Member, SourceLocation } from '../dwarf/types.ts';
import type { ElfSymbol } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import type { Problem } from '../problem.ts';
import type { SpecialKindName } from '../special/kinds.ts';

/** Where an object of a pair comes from; shown to the user and kept in the payload's manifest. */
export interface Provenance {
  /** Source path as the build names it. */
  readonly unit: string;
  /** Argument vector that was run, for each side; empty for objects given as files. */
  readonly baseCommand: readonly string[];
  readonly nextCommand: readonly string[];
  /** Compiler's first `--version` line. */
  readonly compiler: string;
  /** `git:<rev>`, `folder:<path>` or `file:<path>`. */
  readonly baseline: string;
  /** The baseline does not have the source: the base object is that of an empty file. */
  readonly added?: true;
}

/** The two objects of one unit: as it runs (base) and as edited (next). */
export interface ObjectPair {
  readonly base: ObjectModel;
  readonly next: ObjectModel;
  readonly provenance: Provenance;
}

/** Lines that differ between the base source and the next source of one file. Line ranges are 1-based, [start, start+count). */
export interface SourceHunk {
  readonly baseStart: number;
  readonly baseCount: number;
  readonly nextStart: number;
  readonly nextCount: number;
}

/** Hunks by absolute path of the file, as DWARF spells it after joining with the compilation directory. */
export type SourceEdits = ReadonlyMap<string, readonly SourceHunk[]>;

/** Why a function is in the patch. */
export interface Reason {
  readonly kind:
    | 'own-edit'
    | 'inlined-callee'
    | 'header-type'
    | 'macro'
    | 'constant'
    | 'string'
    | 'callee'
    | 'data'
    | 'table'
    | 'clone'
    | 'special'
    | 'line-only'
    | 'compiler-noise'
    | 'new'
    | 'removed';
  /** Name of the callee, type.field, constant (`0x10 → 0x20`), symbol, special section; for `table` the constant whose contents changed; empty where there is none. */
  readonly detail: string;
}

/** Where the code of a function first differs. */
export interface FirstDifference {
  /** The instruction on each side, with what it refers to by name; empty where the other side has one more there. */
  readonly base: string;
  readonly next: string;
  /** Source line: of the next side, of the base side for an instruction that is gone. */
  readonly at?: SourceLocation;
}

/** A function that differs. Functions that are the same are only counted. */
export interface FunctionChange {
  /** Name in the base object (in the next one for new functions), compiler suffix included. */
  readonly name: string;
  readonly status: 'changed' | 'new' | 'removed';
  /** Symbol in each object, where it exists there. */
  readonly base?: ElfSymbol;
  readonly next?: ElfSymbol;
  /** Bytes of code; 0 where absent. Children (.cold, .part) are functions of their own with `parent` set. */
  readonly baseSize: number;
  readonly nextSize: number;
  /** Number of instructions, nops at the end not counted; 0 where absent. */
  readonly baseInstructions: number;
  readonly nextInstructions: number;
  /** Name of the function that this is a compiler clone or cold part of. */
  readonly parent?: string;
  readonly reasons: readonly Reason[];
  /** The only difference is line numbers in constants (`__LINE__`). */
  readonly lineOnly: boolean;
  /** Definition in the next source (in the base source for removed functions). */
  readonly at?: SourceLocation;
  /** Source lines (of the next side; of the base side for removed code) whose machine code differs. */
  readonly changedLines: readonly SourceLocation[];
  /** For changed functions whose own code differs in more than line numbers. Differences that only follow from others (registers, labels) come last. */
  readonly firstDifference?: FirstDifference;
}

/** Who uses a changed constant that has a name. */
export interface ConstantUse {
  /** Functions of the unit that refer to it. Where `keeps` is empty, all of them are in the patch, and its new contents with them. */
  readonly functions: readonly string[];
  /** What of this unit goes on using the old copy, in words: `a pointer in handlers`, `f(), which stores its address`. */
  readonly keeps: readonly string[];
  /** Where its address leaves a function, in words: whoever keeps it there keeps the old copy. Empty for texts. */
  readonly handsOn: readonly string[];
  /** An array of characters: read where it is needed, seldom made into something else that stays. */
  readonly text: boolean;
}

/** A data object (STT_OBJECT, STT_TLS, common, a label of assembly in a section of data, or a nameless constant) that differs. */
export interface DataChange {
  /** Name in the base object, or in the next one for new data. */
  readonly name: string;
  readonly status: 'changed' | 'new' | 'removed';
  readonly base?: ElfSymbol;
  readonly next?: ElfSymbol;
  readonly baseSize: number;
  readonly nextSize: number;
  readonly baseSection?: string;
  readonly nextSection?: string;
  /** What differs. Empty for new and removed. */
  readonly differs: readonly ('size' | 'contents' | 'references' | 'section' | 'align' | 'scope' | 'type')[];
  /** First differing byte offset, where contents or references differ. */
  readonly firstDifference?: number;
  readonly staticLocal: boolean;
  /** Function that contains it, for static locals. */
  readonly scope?: string;
  readonly tls: boolean;
  readonly readOnly: boolean;
  readonly at?: SourceLocation;
  /** For constants whose contents or size changed. */
  readonly use?: ConstantUse;
}

/** One difference inside a type. Offsets in bits. */
export interface MemberChange {
  readonly what: 'moved' | 'resized' | 'retyped' | 'added' | 'removed' | 'renamed' | 'bit-position';
  /** Path from the outer type, e.g. `addr.port`. */
  readonly path: string;
  readonly base?: Member;
  readonly next?: Member;
  /** For `added`: it lies wholly in what was padding. */
  readonly inPadding?: boolean;
  /** For `added`: one more alternative of a union, over bytes that others use already. */
  readonly overlay?: boolean;
  /** Label of the changed type that alone causes this difference (an embedded struct, a typedef), e.g. `struct inner`. */
  readonly because?: string;
  readonly at?: SourceLocation;
}

/** A named type that differs in layout or meaning. */
export interface TypeChange {
  /** `struct foo`'s tag, typedef name; for anonymous types behind a typedef the typedef's name. */
  readonly name: string;
  readonly kind: 'struct' | 'union' | 'enum' | 'typedef' | 'base';
  readonly status: 'changed' | 'new' | 'removed';
  readonly base?: DwarfType;
  readonly next?: DwarfType;
  /** Bytes; 0 where absent or incomplete. */
  readonly baseSize: number;
  readonly nextSize: number;
  readonly members: readonly MemberChange[];
  readonly enumerators: readonly { readonly name: string; readonly base?: bigint; readonly next?: bigint }[];
  /**
   * True where every instance that the pair's code can see is an automatic variable of functions that the patch replaces:
   * no instance can outlive the patch. `outlivesBy` then is empty; else it says who keeps one.
   */
  readonly confined: boolean;
  /** Evidence that an instance outlives: names of variables, functions with pointers to it, embedding types. */
  readonly outlivesBy: readonly string[];
  /** C spelling for messages: `struct foo`, `enum mode`, `foo_t`. Unique among the changes of one pair. */
  readonly label?: string;
  /** Labels of the changed types that alone cause this change (embedded by value, typedefs); empty where it was edited itself. */
  readonly causes?: readonly string[];
  /** Bytes, where the source asks for a stricter alignment than the type had. */
  readonly align?: { readonly base: number; readonly next: number };
  readonly at?: SourceLocation;
}

/** A function whose parameters or return type changed. */
export interface SignatureChange {
  readonly name: string;
  /** C declarations, old and new. */
  readonly base: string;
  readonly next: string;
  readonly external: boolean;
  /** Its address is kept in data or loaded by code: calls through pointers cannot be followed. */
  readonly addressTaken?: boolean;
  /** Functions of this unit that call it and are not in the patch. */
  readonly unpatchedCallers: readonly string[];
  readonly at?: SourceLocation;
}

/** Inlining that differs between the sides, or that carried a change into a caller. */
export interface InlineChange {
  readonly callee: string;
  /** Function that holds the inlined copy. */
  readonly caller: string;
  readonly what: 'widened' | 'now-inlined' | 'no-longer-inlined';
  readonly at?: SourceLocation;
}

/** An entry of a special section about a function that differs while the function's code does not. */
export interface SpecialDifference {
  /** Name of the section, e.g. `.altinstructions`. */
  readonly section: string;
  readonly kind: SpecialKindName;
  readonly what: 'changed' | 'added' | 'removed';
  /** For `changed`: what differs, e.g. `feature`, `replacement`, `fixup`, `key`. */
  readonly field?: string;
  /** The place in the code that the entry is about, on each side: section index and byte offset. */
  readonly base?: { readonly section: number; readonly offset: number };
  readonly next?: { readonly section: number; readonly offset: number };
}

/** What the special sections say otherwise about one function. */
export interface SpecialChange {
  readonly function: string;
  readonly differences: readonly SpecialDifference[];
}

/** Bytes that belong to no function and no variable, and that the other object does not have so: code behind a function's `.size`, nameless data. */
export interface LooseChange {
  /** Name of the section, e.g. `.text`. */
  readonly section: string;
  /** The object that has them. */
  readonly side: 'base' | 'next';
  /** Whether the section holds code. */
  readonly code: boolean;
  /** Where they begin: section index and byte offset. */
  readonly place: { readonly section: number; readonly offset: number };
  /** Bytes. */
  readonly size: number;
}

/** All differences of one pair. */
export interface ObjectDiff {
  readonly functions: readonly FunctionChange[];
  /** Number of functions that are the same on both sides. */
  readonly sameFunctions: number;
  readonly data: readonly DataChange[];
  readonly types: readonly TypeChange[];
  readonly signatures: readonly SignatureChange[];
  readonly inlining: readonly InlineChange[];
  /** Functions whose code is the same, but not what the special sections say about it; each is in `functions`, too. */
  readonly special: readonly SpecialChange[];
  /** What differs among the bytes that no symbol covers: no payload carries them. */
  readonly loose: readonly LooseChange[];
  /** Base symbol index → next symbol index for every paired symbol (functions, data, static locals, sections). */
  readonly pairing: ReadonlyMap<number, number>;
  readonly problems: readonly Problem[];
  /** Marks rows of a changed function's aligned listings that only name the same things otherwise (see `AlignedRow.renumbered`). Absent where nothing changed. */
  readonly matchRows?: (change: FunctionChange, rows: readonly AlignedRow[]) => AlignedRow[];
}

/** A row pair of an aligned listing; one side is absent for inserted and deleted rows. */
export interface AlignedRow {
  readonly base?: AsmRow;
  readonly next?: AsmRow;
  /** The same text, or `renumbered`. */
  readonly same: boolean;
  /** The texts differ only in what a compiler or a macro numbers (`__key.268`, `__key.269`), and mean the same things. */
  readonly renumbered?: boolean;
}
