import type { SourceLocation } from '../dwarf/types.ts';

/** One decoded machine instruction. Offsets count from the start of its section. */
export interface Instruction {
  readonly offset: number;
  /** Bytes, 1 to 15 on x86. */
  readonly size: number;
  /** Capstone's mnemonic, e.g. `mov`; `.byte` for bytes that do not decode. */
  readonly mnemonic: string;
  /** Operands as text, Intel syntax, before relocations are put in. */
  readonly operands: string;
  /** Control flow, where the decoder tells. */
  readonly flow?: 'jump' | 'branch' | 'call' | 'return' | 'trap';
  /** Section offset of the direct target of a jump, branch or call without relocation. */
  readonly targetOffset?: number;
  /** Byte position and size in the instruction of displacement and immediate; undefined where absent or unknown. */
  readonly displacement?: { readonly at: number; readonly size: number };
  readonly immediate?: { readonly at: number; readonly size: number };
}

/**
 * Decodes `bytes` as code that starts at section offset `offset`. Synchronous (the wasm is loaded before), never throws;
 * undecodable bytes come out as `.byte` rows, so that sizes always add up to `bytes.length`.
 */
export type Decode = (bytes: Uint8Array, offset: number) => Instruction[];

/** A reference out of an instruction, by meaning: what the relocation (or the direct branch) points to. */
export interface AsmReference {
  /** Display name of the target: a symbol, or `.rodata.str: "text"`, or a label in the same function. */
  readonly name: string;
  /** Bytes added to the target. PC bias (−4 on x86) already taken out. */
  readonly addend: number;
  readonly relocation?: string;
  /** Addend of the relocation as the object has it, PC bias included: what readelf shows. */
  readonly rawAddend?: number;
  /** Name of the section that holds the target, where defined here. */
  readonly section?: string;
  readonly kind: 'function' | 'data' | 'string' | 'constant' | 'label' | 'external' | 'section';
  /** For a jump table: the labels that its entries lead to, in order. */
  readonly labels?: readonly string[];
  /** A string that is the compiler's `__func__`, `__FUNCTION__` or `__PRETTY_FUNCTION__`. */
  readonly isFunctionName?: boolean;
}

/** One line of a normalised assembly listing. No absolute addresses: only real changes show in a text diff. */
export interface AsmRow {
  /** Bytes from the start of the function. */
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly mnemonic: string;
  /** Operands with relocations as `symbol+offset` and branch targets as `.L1` labels. */
  readonly operands: string;
  /** Label defined at this row, e.g. `.L1`. */
  readonly label?: string;
  readonly references: readonly AsmReference[];
  readonly source?: SourceLocation;
  /** Functions whose inlined body this row belongs to, outermost first. */
  readonly inlinedFrom: readonly string[];
  /** Where each of `inlinedFrom` was called; absent where there are none. */
  readonly inlinedAt?: readonly (SourceLocation | undefined)[];
  /** A nop that only aligns what follows: no part of a comparison, and not shown. */
  readonly padding?: boolean;
}
