/**
 * Custom requests between the extension and the language server, method and types paired. Plain data only: shared with the
 * client, imports nothing.
 */

/** A request `livepatch/...`: `Params` in, `Result` out. The type parameters exist at compile time only. */
export interface Method<Params, Result> {
  readonly method: string;
  readonly _types?: readonly [Params, Result];
}

const define = <Params, Result>(method: string): Method<Params, Result> => ({ method });

/** Line and column count from 0, as in LSP. */
export interface Place {
  readonly uri: string;
  readonly line: number;
  readonly character: number;
  readonly endLine?: number;
  readonly endCharacter?: number;
}

export interface FunctionItem {
  readonly unit: string;
  readonly name: string;
  readonly status: 'changed' | 'new' | 'removed';
  readonly baseSize: number;
  readonly nextSize: number;
  readonly baseInstructions: number;
  readonly nextInstructions: number;
  readonly reasons: readonly string[];
  readonly lineOnly: boolean;
  readonly place?: Place;
  /** Lines (0-based) of `place.uri` or other files whose machine code differs, for gutter marks. */
  readonly changedLines: readonly { readonly uri: string; readonly line: number }[];
}

export interface FindingItem {
  readonly code: string;
  readonly severity: 'blocker' | 'review' | 'note';
  readonly symbol: string;
  readonly message: string;
  readonly place?: Place;
}

export interface UnitItem {
  readonly id: string;
  readonly file: string;
  readonly phase: 'idle' | 'queued' | 'building' | 'ready' | 'compileError' | 'failed';
  readonly stale: boolean;
  readonly message?: string;
  readonly functions: readonly FunctionItem[];
  readonly findings: readonly FindingItem[];
  /** True where the unit was rebuilt and its code is the same as before. */
  readonly unchanged: boolean;
}

export interface TargetItem {
  readonly name: string;
  readonly kind: 'process' | 'xen' | 'linux';
  readonly alive: boolean;
  readonly pid?: number;
  readonly message?: string;
  readonly patches: readonly { readonly id: string; readonly state: string; readonly functions: readonly string[] }[];
}

/** Everything that the Live Patch view and the status bar show. */
export interface PatchState {
  readonly root: string;
  readonly verdict: 'none' | 'unchanged' | 'patchable' | 'blocked';
  readonly busy: boolean;
  readonly progress?: { readonly title: string; readonly done: number; readonly total: number };
  readonly units: readonly UnitItem[];
}

/** Result of an action: `message` is shown to the user as it is. */
export interface ActionResult {
  readonly ok: boolean;
  readonly message: string;
  /** Path of a file that was written, where one was. */
  readonly file?: string;
  /** Patch id. */
  readonly id?: string;
  /** Markdown details: refusals, findings. */
  readonly details?: string;
}

/** Server → client notification: the state changed. */
export const stateChanged = define<PatchState, void>('livepatch/stateChanged');
/** Server → client notification: a line for the output channel. */
export const log = define<{ readonly level: 'trace' | 'info' | 'warn' | 'error'; readonly text: string }, void>(
  'livepatch/log',
);
export const getState = define<Record<string, never>, PatchState>('livepatch/getState');
/** Assembly listing of one side of a function; empty text where the side has none. */
export const asmText = define<
  { readonly unit: string; readonly name: string; readonly side: 'base' | 'next' },
  { readonly text: string; readonly title: string }
>('livepatch/asmText');
export const buildPatch = define<
  { readonly leaveOut: readonly string[]; readonly overrides: Readonly<Record<string, string>> },
  ActionResult
>('livepatch/buildPatch');
export const applyPatch = define<{ readonly file: string; readonly target: string }, ActionResult>(
  'livepatch/applyPatch',
);
export const revertPatch = define<{ readonly target: string; readonly id?: string }, ActionResult>(
  'livepatch/revertPatch',
);
export const targets = define<Record<string, never>, readonly TargetItem[]>('livepatch/targets');
export const clearCache = define<Record<string, never>, ActionResult>('livepatch/clearCache');
export const checkNow = define<Record<string, never>, PatchState>('livepatch/checkNow');
export const cancelBuild = define<Record<string, never>, void>('livepatch/cancelBuild');
/** The workspace's trust changed, or the session has to stop every compiler. */
export const setTrust = define<{ readonly trusted: boolean }, void>('livepatch/setTrust');
