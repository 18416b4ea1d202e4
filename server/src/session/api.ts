import type { Analyser } from '../analyse.ts';
import type { CallersElsewhere } from '../core/render/report/types.ts';
import type { SessionApi } from '../session-types.ts';
import type { ConfigOverrides } from '../shell/config.ts';
import type { Config } from '../shell/types.ts';

/** Settings of a session that are not part of livepatch.json. */
export interface SessionOptions {
  /** Asked before every program is started. Trusted by default (the command line: who runs it trusts the folder). */
  readonly isTrusted?: () => boolean;
  /** A text for the user, with `{0}` for the first argument, in the user's language; English where absent. */
  readonly say?: (text: string, ...args: string[]) => string;
  /** The core, where the caller has one already. */
  readonly analyser?: Analyser;
  /** Cache folder; the user's (XDG) by default. */
  readonly cacheDir?: string;
  /** Keep the objects of edited files in the cache as well: for programs that end, and are started again on the same edit. */
  readonly keepEdited?: boolean;
  /** Compilers at once. 2 by default. */
  readonly jobs?: number;
  /** Command line overrides, so that a changed livepatch.json is read with them again. */
  readonly overrides?: ConfigOverrides;
  /** Watch livepatch.json and compile_commands.json. On by default. */
  readonly watch?: boolean;
}

/** A session as the programs hold it: `SessionApi` and the parts that only some need. */
export interface Session extends SessionApi {
  readonly config: Config;
  /** Removes every cached original object. @returns bytes freed */
  clearCache(): Promise<number>;
  /** Files that differ from the baseline, and new sources that the build compiles, by real path. @throws BaselineError */
  changedFiles(): Promise<readonly string[]>;
  /** New sources in folders of the program that the build has no command for, with what to say of them. @throws BaselineError */
  uncompiled(): Promise<readonly { readonly file: string; readonly message: string }[]>;
  /**
   * Compares what was edited before the session began, too: whatever differs from the baseline. Resolves when nothing is queued or building.
   * @returns false where that was cancelled meanwhile: then not all is compared
   */
  cover(): Promise<boolean>;
  /** livepatch.json was written: it is read again, where the system does not tell of it, too. */
  reload(): void;
  /** Who calls functions in the units of the build, but for some (by id), as their objects say. Reads an object once. */
  callers(
    names: readonly string[],
    but: ReadonlySet<string>,
    progress?: (done: number, total: number) => void,
  ): Promise<CallersElsewhere>;
  /** `git:<commit>`, `folder:<path>`, `start:<time>`, or why there is none. */
  baseline(): Promise<string>;
}
