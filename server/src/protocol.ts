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
  readonly changedLines: readonly ChangedLine[];
  /** Differs whenever the new code or the reasons differ: a review holds for one fingerprint only. */
  readonly fingerprint: string;
  /** The person who writes the patch leaves it out (or it is left out by default, being line-only). */
  readonly leftOut: boolean;
}

/** A source line whose machine code differs. `edited`: somebody edited it; else the change arrived from elsewhere. */
export interface ChangedLine {
  readonly uri: string;
  readonly line: number;
  readonly edited: boolean;
}

export interface FindingItem {
  readonly code: string;
  readonly severity: 'blocker' | 'review' | 'note';
  readonly symbol: string;
  readonly message: string;
  readonly place?: Place;
  /** Written reason that overrides a blocker. */
  readonly overridden?: string;
  /** Differs whenever the evidence or the code of the function that it is about differs: a review holds for one fingerprint only. */
  readonly fingerprint: string;
}

/** A data object that differs. */
export interface DataItem {
  readonly unit: string;
  /** Symbol in the object: what `dataText` is asked by. */
  readonly name: string;
  /** What a person would call it: `seen in next()`. */
  readonly label: string;
  readonly status: 'changed' | 'new' | 'removed';
  /** `limits[1].most: 16 → 64 and 2 more`. */
  readonly summary: string;
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
  readonly data: readonly DataItem[];
  /** True where the unit was rebuilt and its code is the same as before. */
  readonly unchanged: boolean;
}

/** One function of a patch that is in a target, as the target itself shows it. Addresses are hexadecimal; empty where they are not known. */
export interface RunningFunction {
  readonly name: string;
  readonly oldAddress: string;
  readonly newAddress: string;
  /** Calls reach the code of the patch. */
  readonly redirected: boolean;
  /** A patch above it replaces the function again: that code runs. */
  readonly covered?: boolean;
  /** The old code in memory against that of the file; see `AppliedPatch` in targets/types.ts. Absent where it cannot be read. */
  readonly memory?: 'original' | 'redirected' | 'covered' | 'foreign';
}

export interface TargetItem {
  readonly name: string;
  readonly kind: 'process' | 'xen' | 'linux';
  readonly alive: boolean;
  readonly pid?: number;
  readonly message?: string;
  readonly patches: readonly {
    readonly id: string;
    readonly state: string;
    readonly functions: readonly string[];
    /** What the target's memory shows of each of them, where it can be read. */
    readonly running?: readonly RunningFunction[];
    /** Xen: what may be done with it now; nothing else is legal. */
    readonly actions?: readonly string[];
    /** Xen: place in the stack, 1 right above the hypervisor; absent where it is not applied. */
    readonly depth?: number;
    /** Xen: applied, with nothing on top. */
    readonly top?: boolean;
    /** Xen: error number of the last action. */
    readonly error?: number;
  }[];
  /** Xen: the machine of `livepatch vm` that it is. */
  readonly vm?: string;
}

/** Everything that the Live Patch view and the status bar show. */
export interface PatchState {
  readonly root: string;
  readonly verdict: 'none' | 'unchanged' | 'patchable' | 'blocked';
  readonly busy: boolean;
  readonly progress?: { readonly title: string; readonly done: number; readonly total: number };
  readonly units: readonly UnitItem[];
  /** Problems of livepatch.json and files without a compile command, as sentences. */
  readonly problems: readonly string[];
  /** Differs whenever what a payload would hold differs: a payload that was built for another one is out of date. */
  readonly fingerprint: string;
}

/** Result of an action: `message` is shown to the user as it is. */
export interface ActionResult {
  readonly ok: boolean;
  readonly message: string;
  /** Path of a file that was written, where one was. */
  readonly file?: string;
  /** Patch id. */
  readonly id?: string;
  /** Functions that the payload replaces. */
  readonly functions?: readonly string[];
  /** A payload for Xen that was built: functions of its base objects, and how many of them are what the hypervisor runs. */
  readonly baseline?: { readonly checked: number; readonly same: number };
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
/** The code of a function: of the baseline, of the patch that was built last, or of the text as it is now. */
export type AsmSide = 'base' | 'built' | 'next';
/** One side of a comparison of a function's code with itself at another time. */
export interface AsmSubject {
  readonly unit: string;
  readonly name: string;
  readonly side: AsmSide;
  /** The side that it is shown beside. */
  readonly against: AsmSide;
}
/** The patch that was built last from the folder of a unit, in this session or in one before; null where there is none. */
export const lastBuilt = define<{ readonly unit: string }, { readonly id: string } | null>('livepatch/lastBuilt');
/** Assembly listing of one side of a function; empty text where the side has none. */
export const asmText = define<AsmSubject, AsmDocument>('livepatch/asmText');
/** Markdown for the hover on a line (from 0) of a listing; null where there is none. */
export const asmHover = define<AsmSubject & { readonly line: number }, string | null>('livepatch/asmHover');

/**
 * What an instruction's row is beside the other side: `registers` and `moved` are differences that the compiler made on its own, on
 * lines that nobody edited; `renumbered` names the same thing by another number.
 */
export type AsmRowKind = 'same' | 'changed' | 'only' | 'registers' | 'moved' | 'renumbered';

/** A listing and what stands behind each of its lines. */
export interface AsmDocument {
  readonly text: string;
  /** `name: 41 → 44 instructions, 160 → 176 bytes · gcc 12.2.0 -O2`, `name: last built ↔ now · gcc 12.2.0 -O2 ↔ gcc 12.2.0 -O1`. */
  readonly title: string;
  /** Source places that lines belong to, in the text as it is now. */
  readonly places: readonly Place[];
  /** One index into `places` a line of `text`, -1 where it belongs to none. A listing has ten thousands of lines: plain numbers are read quickly. */
  readonly placeOf: readonly number[];
  /** One letter a line of `text`: see `lineKinds`. */
  readonly kinds: string;
  /** Jumps within the listing, as they are drawn beside it. */
  readonly jumps: readonly AsmJumps[];
}

/** Jumps to one label. Lines from 0; `lane` 0 is the column beside the text, -1 says that there is no room beside the others. */
export interface AsmJumps {
  readonly to: number;
  readonly from: readonly number[];
  readonly lane: number;
}

/** Letters of `AsmDocument.kinds`: an instruction beside the other side; the text of a source line; anything else. */
export const lineKinds = {
  '=': 'same',
  '~': 'changed',
  '|': 'only',
  r: 'registers',
  m: 'moved',
  n: 'renumbered',
  ';': 'source',
  ' ': undefined,
} as const satisfies Readonly<Record<string, AsmRowKind | 'source' | undefined>>;

/** One side of a changed type's layout; `type` is its C spelling, e.g. `struct foo`. */
export interface LayoutSubject {
  readonly unit: string;
  readonly type: string;
  readonly side: 'base' | 'next';
}
export interface LayoutDocument {
  readonly text: string;
  /** `struct foo: 32 → 40 bytes`. */
  readonly title: string;
}
export const layoutText = define<LayoutSubject, LayoutDocument>('livepatch/layoutText');
/** The changed type that is named or defined at a place of a source. */
export const typeAt = define<
  { readonly uri: string; readonly line: number; readonly character: number },
  { readonly unit: string; readonly type: string } | null
>('livepatch/typeAt');

/** The function whose code covers, or whose definition is at, a place of a source. */
export const functionAt = define<
  { readonly uri: string; readonly line: number; readonly character: number },
  { readonly unit: string; readonly name: string } | null
>('livepatch/functionAt');

/** Where functions are defined now, by name, of those that the session knows. */
export const functionPlaces = define<{ readonly names: readonly string[] }, Readonly<Record<string, Place>>>(
  'livepatch/functionPlaces',
);

/** What the person who writes the patch decided; kept by the client, so that a restarted server loses nothing. */
export interface Choices {
  /** Functions to leave out. */
  readonly leaveOut: readonly string[];
  /** `code:symbol` → written reason. */
  readonly overrides: Readonly<Record<string, string>>;
}
export const setChoices = define<Choices, void>('livepatch/setChoices');

/** Accepts a finding in livepatch.json; without a reason: takes the acceptance back. */
export const acceptFinding = define<
  { readonly code: string; readonly symbol: string; readonly reason?: string },
  ActionResult
>('livepatch/acceptFinding');

/** Builds the payload into `folder`, with these choices. */
export const buildPatch = define<Choices & { readonly folder: string }, ActionResult>('livepatch/buildPatch');
/** Reads a payload file: `details` is the readable form that `livepatch inspect` prints. */
export const inspectPatch = define<{ readonly file: string }, ActionResult>('livepatch/inspectPatch');
export const applyPatch = define<{ readonly file: string; readonly target: string }, ActionResult>(
  'livepatch/applyPatch',
);
export const revertPatch = define<{ readonly target: string; readonly id?: string }, ActionResult>(
  'livepatch/revertPatch',
);
/** A step of Xen's state machine: `upload` and `replaceWith` take a payload file, the others what is there. */
export interface XenRequest {
  readonly target: string;
  readonly action: 'upload' | 'replaceWith' | 'apply' | 'revert' | 'unload' | 'replace';
  readonly id?: string;
  readonly file?: string;
}
/** A pair of Xen's hooks at the end of a source: around the change, or a check before it and its undo after a revert. */
export interface HookEdit {
  readonly uri: string;
  readonly pair: 'load' | 'check';
  /** What they are called after. */
  readonly name?: string;
}
/** Insertions, all against the present text, places as in LSP; null where the source belongs to no Xen tree with hooks. */
export const hookEdit = define<
  HookEdit,
  | readonly {
      readonly range: {
        readonly start: { readonly line: number; readonly character: number };
        readonly end: { readonly line: number; readonly character: number };
      };
      readonly newText: string;
    }[]
  | null
>('livepatch/hookEdit');
export const xenAction = define<XenRequest, ActionResult>('livepatch/xenAction');
/** A virtual machine of `livepatch vm`; `created`: it has never been started. */
export interface VmItem {
  readonly name: string;
  readonly version: string;
  /** Source tree that its hypervisor was built from. */
  readonly tree: string;
  readonly state: 'created' | 'running' | 'stopped';
  /** Serial console of the present run, or of the last one. */
  readonly consoleLog?: string;
  readonly accelerator?: string;
  readonly sshPort?: number;
  /** ISO 8601. */
  readonly startedAt?: string;
}
export const vms = define<Record<string, never>, readonly VmItem[]>('livepatch/vms');
export const targets = define<Record<string, never>, readonly TargetItem[]>('livepatch/targets');
export const clearCache = define<Record<string, never>, ActionResult>('livepatch/clearCache');
export const checkNow = define<Record<string, never>, PatchState>('livepatch/checkNow');
export const cancelBuild = define<Record<string, never>, void>('livepatch/cancelBuild');
/** Settings of the editor that the server follows. */
export interface ServerSettings {
  /** Check buffers that are not saved, after this pause in milliseconds; undefined: on save only. */
  readonly idlePause?: number;
  readonly inlayHints: boolean;
  readonly codeLens: boolean;
}
export const setSettings = define<ServerSettings, void>('livepatch/setSettings');

/** `initializationOptions` of the language server. */
export interface ServerOptions {
  readonly trusted: boolean;
  readonly settings: ServerSettings;
  readonly choices: Choices;
  /** URI of the folder that holds `CODE.md` for each finding's code; without a slash at the end. */
  readonly docs: string;
  /** Folder for scratch space and the cache of base objects; undefined: the server's default. */
  readonly cache?: string;
  /** Text → text in the editor's language, for what the server shows; undefined: English. */
  readonly texts?: Readonly<Record<string, string>>;
  /** Language of `texts`, e.g. `de`: pages tell it to screen readers. */
  readonly language?: string;
}

/** Arguments of the commands that the server's code lenses and quick fixes name; the client implements them. */
export const clientCommands = {
  /** `{unit, name}` */
  review: 'livepatch.reviewFunction',
  /** `{unit, type}` */
  compareLayout: 'livepatch.compareLayout',
  /** `{unit, type}` */
  layoutPicture: 'livepatch.showLayoutPicture',
  /** `{unit, name}` */
  compareData: 'livepatch.compareData',
  build: 'livepatch.buildPatch',
  /** `{name}` */
  leaveOut: 'livepatch.leaveOut',
  /** `{name}` */
  takeIn: 'livepatch.takeIn',
  /** `{code, symbol, message, keep}`; keep: in livepatch.json */
  override: 'livepatch.override',
  /** `{code, symbol, keep}` */
  dropOverride: 'livepatch.dropOverride',
  /** `{code}` */
  openDocs: 'livepatch.openDocs',
} as const;

/** The workspace's trust changed, or the session has to stop every compiler. */
export const setTrust = define<{ readonly trusted: boolean }, void>('livepatch/setTrust');

/** A data object of a unit that differs, by its symbol. */
export interface DataSubject {
  readonly unit: string;
  readonly name: string;
}
/** One side of a changed data object as a C initialiser, for a comparison of texts. */
export const dataText = define<DataSubject & { readonly side: 'base' | 'next' }, LayoutDocument>('livepatch/dataText');
/** The changed data object that is named or defined at a place of a source. */
export const dataAt = define<
  { readonly uri: string; readonly line: number; readonly character: number },
  DataSubject | null
>('livepatch/dataAt');

/** A page for a webview: what stands in <body>, and its style. Names are escaped; there is no script and no handler in it. */
export interface PageDocument {
  readonly title: string;
  readonly style: string;
  readonly body: string;
}
/** Old and new layout of a changed struct or union as a picture, with its text equivalent. */
export const layoutPicture = define<Pick<LayoutSubject, 'unit' | 'type'>, PageDocument>('livepatch/layoutPicture');

/** What a person has looked at: fingerprints of functions by `unit\nname`, and of findings. */
export interface Reviewed {
  readonly functions: Readonly<Record<string, string>>;
  readonly findings: readonly string[];
}
/** What links of the overview (`data-open`, JSON) name. */
export type OverviewLink =
  | { readonly kind: 'function'; readonly unit: string; readonly name: string }
  | { readonly kind: 'type'; readonly unit: string; readonly type: string }
  | { readonly kind: 'data'; readonly unit: string; readonly name: string }
  | { readonly kind: 'finding'; readonly index: number }
  | { readonly kind: 'docs'; readonly code: string };
/** The overview of the patch, and what its boxes (`data-review`: `{kind, index}`) and links stand for, by index. */
export interface OverviewDocument extends PageDocument {
  readonly functions: readonly { readonly unit: string; readonly name: string; readonly fingerprint: string }[];
  readonly findings: readonly { readonly fingerprint: string; readonly place?: Place }[];
  /** The rest of the build is still being asked who calls the functions: the page will say more. */
  readonly unfinished: boolean;
}
export const overview = define<{ readonly reviewed: Reviewed }, OverviewDocument>('livepatch/overview');
/** The same as a file for a pull request or an advisory. */
export const exportReport = define<
  { readonly reviewed: Reviewed; readonly format: 'markdown' | 'html' },
  { readonly text: string; readonly name: string }
>('livepatch/exportReport');
