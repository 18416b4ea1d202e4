import type { ObjectDiff, ObjectPair } from '../diff/types.ts';
import type { ElfFile } from '../elf/types.ts';
import type { Finding } from '../findings/types.ts';

/** One unit of a patch, as compared. */
export interface PatchUnit {
  readonly pair: ObjectPair;
  readonly diff: ObjectDiff;
  readonly findings: readonly Finding[];
}

/** A linked file (executable or shared object) that the patched units are part of, with symbols. */
export interface LinkedModule {
  /** Path on the machine where the patch is built. */
  readonly path: string;
  readonly elf: ElfFile;
}

/** Choices of the person who builds. */
export interface PlanOptions {
  /** Functions to leave out (line-only ones are left out by default, see `keepLineOnly`). */
  readonly leaveOut: readonly string[];
  readonly keepLineOnly: boolean;
  /** Finding code or `code:symbol` → written reason. */
  readonly overrides: Readonly<Record<string, string>>;
  /** Identifier of the patch; letters, digits, `-`, `_`, `.`; at most 63. */
  readonly id: string;
  readonly description: string;
  /** ISO 8601; passed in, since the core has no clock. */
  readonly created: string;
  /** Build ids of the linked files to patch, where a unit is part of several. Absent: the only one. */
  readonly modules?: readonly string[];
}

/** A function of the running program that the payload replaces. */
export interface ReplacedFunction {
  readonly name: string;
  /** Source file symbol (STT_FILE) for local functions; empty for global ones. */
  readonly file: string;
  /** Build id of the module that holds it. */
  readonly module: string;
  /** Virtual address in the module's file (before load bias), hexadecimal with 0x. */
  readonly address: string;
  readonly size: number;
  /** SHA-256 of the old code bytes as the module's file has them, hexadecimal. */
  readonly oldCode: string;
  /** Symbol of the new code in the payload. */
  readonly replacement: string;
  readonly newSize: number;
  /** Byte offset of the jump in the old code: 4 behind an endbr64, else 0. */
  readonly jumpAt: number;
  /** Parts of the old code that lie elsewhere (`.cold`): no thread may be in them either. Addresses as above. */
  readonly parts: readonly { readonly name: string; readonly address: string; readonly size: number }[];
}

/** A name that the payload takes from the running program. */
export interface ImportedSymbol {
  /** Name in the payload's symbol table: `name`, or `file.c#name` for locals. */
  readonly name: string;
  readonly kind: 'function' | 'data' | 'tls' | 'unknown';
  /** Module and address (hex, before bias) where the build already knows it; absent: resolved in the process's global scope. */
  readonly module?: string;
  readonly address?: string;
  readonly size?: number;
  /** The address is that of an IFUNC resolver; `slot` (hex, before bias) then holds the chosen function in the running process. */
  readonly resolver?: boolean;
  readonly slot?: string;
}

/** Readable description carried in the payload (section `.livepatch.manifest`, JSON). */
export interface Manifest {
  readonly schema: 1;
  readonly id: string;
  readonly description: string;
  readonly created: string;
  readonly target: 'process';
  readonly units: readonly {
    readonly unit: string;
    readonly compiler: string;
    readonly command: readonly string[];
    readonly baseline: string;
  }[];
  /** Modules that it depends on: build id, file name, role. */
  readonly modules: readonly {
    readonly buildId: string;
    readonly name: string;
    readonly role: 'patched' | 'imported';
  }[];
  readonly replaces: readonly ReplacedFunction[];
  readonly adds: readonly { readonly name: string; readonly size: number; readonly kind: 'function' | 'data' }[];
  readonly imports: readonly ImportedSymbol[];
  readonly leftOut: readonly { readonly name: string; readonly why: string }[];
  readonly findings: readonly {
    readonly code: string;
    readonly severity: string;
    readonly symbol: string;
    readonly message: string;
  }[];
  readonly overrides: Readonly<Record<string, string>>;
}

/** A finished payload. */
export interface Payload {
  readonly bytes: Uint8Array;
  readonly manifest: Manifest;
}

/** Either a payload or why not. Refusals are findings of severity `blocker`. */
export type BuildPayloadOutcome =
  | { readonly kind: 'payload'; readonly payload: Payload }
  | { readonly kind: 'refused'; readonly refusals: readonly Finding[] };
