import type { ObjectDiff, ObjectPair, SourceEdits } from '../core/diff/types.ts';
import type { SourceLocation } from '../core/dwarf/types.ts';
import type { Accepted } from '../core/findings/accept.ts';
import type { Finding } from '../core/findings/types.ts';

/** The exact command that builds one object. */
export interface CompileCommand {
  /** Absolute path of the source file. */
  readonly file: string;
  /** Working directory, absolute. */
  readonly directory: string;
  readonly arguments: readonly string[];
  /** Absolute path of the object that the real build writes, where known. */
  readonly output?: string;
  /** Where the command was found: path of compile_commands.json or of the .cmd file. */
  readonly origin: string;
  /** Commands that run on the object afterwards (Kbuild's second step), with the object's path as `{object}`. */
  readonly after?: readonly (readonly string[])[];
}

/** One unit: a source file with one command. A file that is built twice is two units. */
export interface Unit {
  /** Stable: the output path, or the source path where there is none. */
  readonly id: string;
  readonly command: CompileCommand;
}

/** A target as configured in livepatch.json. */
export interface TargetConfig {
  readonly name: string;
  readonly kind: 'process' | 'xen' | 'linux';
  /** process: how to find it; the first that is given is used. */
  readonly pid?: number;
  readonly pidFile?: string;
  /** process: path of the executable; all processes that run it match. */
  readonly executable?: string;
  /** xen: `user@host` of domain 0, with the user's own ssh configuration. */
  readonly ssh?: string;
  /** xen: name of a machine that `livepatch vm create` made. */
  readonly vm?: string;
  /** xen: xen-syms of the hypervisor that runs; for a machine its own, else looked for in the build folder. */
  readonly syms?: string;
  /** xen: shell command that shows whether a patch took, run there before and after. */
  readonly verify?: string;
  /** xen: payloads let the hypervisor compare the old code before it applies them. */
  readonly expect?: boolean;
  /** xen: functions, by Xen's name, whose first bytes payloads turn into NOPs. */
  readonly nops?: readonly { readonly name: string; readonly size: number }[];
}

/** livepatch.json, defaults filled in, paths absolute. */
export interface Config {
  /** Workspace folder (where livepatch.json is, or would be). */
  readonly root: string;
  readonly buildDir: string;
  readonly baseline:
    | { readonly kind: 'git'; readonly revision: string }
    | { readonly kind: 'folder'; readonly path: string }
    /** The files as they were when the session started: neither a git repository nor a folder is at hand. */
    | { readonly kind: 'start' };
  /** Linked files that the units are part of; empty: looked for in the build folder. */
  readonly binaries: readonly string[];
  readonly targets: readonly TargetConfig[];
  /** Seconds until a compiler is held to hang. */
  readonly compileTimeout: number;
  readonly cacheLimitMiB: number;
  /** Findings that were accepted with a written reason. */
  readonly accepted?: readonly Accepted[];
}

/** What became of a build. */
export type BuildOutcome =
  | {
      readonly kind: 'built';
      readonly object: Uint8Array;
      readonly dependencies: readonly string[];
      readonly command: readonly string[];
      readonly compiler: string;
      readonly log: string;
      readonly milliseconds: number;
      readonly cached: boolean;
    }
  | {
      readonly kind: 'compileError';
      readonly errors: readonly CompileError[];
      readonly log: string;
      readonly command: readonly string[];
    }
  | { readonly kind: 'noCommand'; readonly file: string; readonly message: string }
  | {
      readonly kind: 'failed';
      readonly reason:
        | 'missing-compiler'
        | 'timeout'
        | 'disk-full'
        | 'unsupported'
        | 'untrusted'
        | 'baseline'
        | 'other';
      readonly message: string;
      readonly log: string;
    }
  | { readonly kind: 'cancelled' };

/** A compiler message at its place. */
export interface CompileError {
  readonly at: SourceLocation;
  readonly severity: 'error' | 'warning' | 'note';
  readonly message: string;
}

/** The newest that is known of a unit. */
export interface UnitState {
  readonly unit: Unit;
  readonly phase: 'idle' | 'queued' | 'building' | 'ready' | 'compileError' | 'failed';
  /** Grows with each edit that touches the unit. Results of older generations never replace newer ones. */
  readonly generation: number;
  /** Last good comparison; `stale` where a newer edit does not compile or is being built. */
  readonly result?: {
    readonly pair: ObjectPair;
    readonly diff: ObjectDiff;
    readonly findings: readonly Finding[];
    readonly generation: number;
    /** Lines that differ between the baseline and what was built, by absolute path. */
    readonly edits: SourceEdits;
  };
  readonly stale: boolean;
  readonly errors: readonly CompileError[];
  /** Message for `failed`. */
  readonly message?: string;
  /** Milliseconds of the last build and of the comparison that followed. */
  readonly timings?: { readonly compile: number; readonly analyse: number };
  /** Absolute paths that the unit was built from. */
  readonly dependencies: readonly string[];
}
