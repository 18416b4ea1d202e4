import type { CompileError, Config, Unit, UnitState } from './shell/types.ts';

/** The one union of events that the session emits; views redraw from `Session.units()` and these. */
export type SessionEvent =
  | { readonly kind: 'unit'; readonly state: UnitState }
  | { readonly kind: 'progress'; readonly title: string; readonly done: number; readonly total: number }
  | { readonly kind: 'progressEnd' }
  | { readonly kind: 'noCommand'; readonly file: string; readonly message: string }
  | { readonly kind: 'log'; readonly level: 'trace' | 'info' | 'warn' | 'error'; readonly text: string }
  | { readonly kind: 'config'; readonly problems: readonly string[] };

/** What the editor and the command line ask of a session. The only mutable state of the server. */
export interface SessionApi {
  /** The configuration that it works with now. */
  readonly config: Config;
  /** A C file of the workspace was opened: its base object is built ahead, in the background. */
  open(path: string): void;
  /** The file was saved (or changed on disk). Builds each unit that depends on it: `path`'s own unit first. */
  saved(path: string): void;
  /** The file is to be compared as it is now, with its unsaved text where the session has been told of one. */
  looked(path: string): void;
  /** An unsaved buffer, after its idle pause. `undefined` text: the buffer equals the file again. */
  edited(path: string, text: string | undefined): void;
  closed(path: string): void;
  units(): readonly UnitState[];
  unitsOf(path: string): readonly Unit[];
  errors(): readonly CompileError[];
  /** Text of a source as the baseline has it; undefined where it has no such file. For quick fixes that go back to it. */
  baseText(path: string): Promise<string | undefined>;
  /** Resolves when nothing is queued or building. */
  idle(): Promise<void>;
  cancel(): void;
  on(listener: (event: SessionEvent) => void): () => void;
  dispose(): Promise<void>;
}
