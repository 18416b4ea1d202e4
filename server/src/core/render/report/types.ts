import type { ObjectDiff, ObjectPair } from '../../diff/types.ts';
import type { Finding } from '../../findings/types.ts';
import type { LayoutPicture } from '../layout-picture.ts';

/** One unit as the report is made of it. */
export interface ReportUnit {
  /** Stable name of the unit, for links. */
  readonly id: string;
  /** Source as the build names it. */
  readonly file: string;
  /** Absent where it could not be compared; `problem` says why. */
  readonly result?: { readonly pair: ObjectPair; readonly diff: ObjectDiff; readonly findings: readonly Finding[] };
  readonly problem?: string;
}

/** What a payload of these edits would be, or why there is none. */
export type ReportPayload =
  | {
      readonly kind: 'payload';
      readonly id: string;
      readonly bytes: number;
      /** Most bytes that the target takes, and who says so. */
      readonly limit: number;
      readonly limitText: string;
      /** How much of the base objects is what runs: `4,812 of 4,812 functions reproduce`; absent where that is not counted. */
      readonly baseline?: string;
      readonly adds: readonly { readonly name: string; readonly size: number; readonly kind: 'function' | 'data' }[];
      /** What it must find where it is applied: `role` is `patched`, `imported`, `hypervisor` or `below`. */
      readonly modules: readonly { readonly name: string; readonly buildId: string; readonly role: string }[];
      readonly imports: readonly { readonly name: string; readonly kind: string; readonly where: string }[];
      readonly leftOut: readonly { readonly name: string; readonly why: string }[];
    }
  | { readonly kind: 'refused'; readonly reasons: readonly { readonly code: string; readonly message: string }[] };

/** Who calls functions of the patch in units that are not part of it, as the objects of the build say. */
export interface CallersElsewhere {
  /** `by` is empty where something else than a function refers to it: a table. */
  readonly list: readonly { readonly name: string; readonly file: string; readonly by: string }[];
  /** Units that were looked at, and those of them without an object that can be read. */
  readonly units: number;
  readonly unread: number;
}

/** All that a report is made from. */
export interface ReportInput {
  readonly units: readonly ReportUnit[];
  readonly verdict: 'unchanged' | 'patchable' | 'blocked';
  /** `git:<revision>`, `folder:<path>`. */
  readonly baseline: string;
  /** Kind of what it is for: `process`, `xen`. */
  readonly target: string;
  readonly description: string;
  readonly payload: ReportPayload;
  /** Functions that the author leaves out, by name. */
  readonly leaveOut: readonly string[];
  /** Blockers overridden for this patch only: `code:symbol` → reason. */
  readonly overrides: Readonly<Record<string, string>>;
  /** Files that are not compared and why. */
  readonly notCompared: readonly { readonly what: string; readonly why: string }[];
  /** False: without the machine code of the functions, which takes time and which an editor shows by itself. */
  readonly listings?: boolean;
  /** Absent where the rest of the build was not looked at. */
  readonly callers?: CallersElsewhere;
  /** Paths as a reader wants them. */
  readonly shorten: (path: string) => string;
  /** What a person has looked at; absent where that is not known. */
  readonly reviewed?: {
    readonly function: (unit: string, name: string) => boolean;
    readonly finding: (finding: Finding) => boolean;
  };
}

export interface ReportFunction {
  readonly unit: string;
  readonly file: string;
  readonly name: string;
  readonly status: 'changed' | 'new' | 'removed';
  readonly baseSize: number;
  readonly nextSize: number;
  readonly baseInstructions: number;
  readonly nextInstructions: number;
  readonly reasons: readonly string[];
  /** `src/quote.c:9`. */
  readonly place: string;
  /** Why it is not in the patch. */
  readonly leftOut?: string;
  readonly reviewed?: boolean;
  /** What differs in the machine code, with a few equal instructions around. */
  readonly code: readonly CodeLine[];
  /** Lines of the code that are not shown. */
  readonly codeLeft: number;
}

/** `gap`: equal instructions that are left out, counted in `text`. */
export interface CodeLine {
  readonly mark: 'same' | 'base' | 'next' | 'gap' | 'source';
  readonly text: string;
}

export interface ReportData {
  readonly unit: string;
  readonly file: string;
  readonly name: string;
  /** Symbol in the object, for links. */
  readonly symbol: string;
  readonly status: 'changed' | 'new' | 'removed';
  readonly declaration: string;
  readonly baseSize: number;
  readonly nextSize: number;
  readonly section: string;
  readonly readOnly: boolean;
  readonly differs: readonly string[];
  readonly values: readonly {
    readonly path: string;
    readonly base?: string;
    readonly next?: string;
    readonly note: string;
  }[];
  readonly valuesLeft: number;
  readonly typed: boolean;
}

export interface ReportType {
  readonly unit: string;
  readonly label: string;
  readonly status: 'changed' | 'new' | 'removed';
  readonly baseSize: number;
  readonly nextSize: number;
  /** What became of its fields, as sentences. */
  readonly changes: readonly string[];
  /** Both layouts in one text, lines marked `-` and `+`. */
  readonly layout: string;
  /** Absent for what has no members. */
  readonly picture?: LayoutPicture;
  readonly units: readonly string[];
  readonly users: readonly { readonly name: string; readonly inPatch: boolean }[];
  /** Units beyond the first ones, whose functions were not asked. */
  readonly unitsNotAsked: number;
  /** Who keeps instances that the patch does not know of; empty where none outlives. */
  readonly outlivesBy: readonly string[];
  readonly causes: readonly string[];
}

export interface ReportFinding {
  readonly code: string;
  readonly severity: 'blocker' | 'review' | 'note';
  readonly symbol: string;
  readonly message: string;
  readonly place: string;
  /** File and line as the objects have them, for links. */
  readonly file: string;
  readonly line: number;
  readonly unit: string;
  readonly units: readonly string[];
  readonly related: readonly string[];
  /** Reason for which it is accepted in livepatch.json, or overridden for this patch. */
  readonly accepted?: string;
  readonly overridden?: string;
  readonly outdated?: string;
  readonly reviewed?: boolean;
}

/** A function in the picture of calls. */
export interface CallNode {
  readonly id: string;
  readonly name: string;
  readonly kind: 'changed' | 'new' | 'removed' | 'leftOut' | 'unchanged' | 'elsewhere';
  /** Its address is kept or passed somewhere: it may be called by what is not seen here. */
  readonly addressTaken: boolean;
  readonly unit: string;
  /** Source of a caller in another unit. */
  readonly file?: string;
}

export interface CallEdge {
  readonly from: string;
  readonly to: string;
  /** On which side the call is. */
  readonly side: 'both' | 'base' | 'next';
}

/** Functions of the patch with those that they call and that call them, sorted. */
export interface CallGraph {
  readonly nodes: readonly CallNode[];
  readonly edges: readonly CallEdge[];
}

/** How a unit was built on both sides. */
export interface ReportProvenance {
  readonly file: string;
  readonly compiler: string;
  readonly baseCommand: string;
  readonly nextCommand: string;
  readonly baseline: string;
}

/** A whole patch as a report tells it: plain data, the same for the same edits. */
export interface ReportModel {
  readonly title: string;
  readonly description: string;
  readonly verdict: ReportInput['verdict'];
  readonly baseline: string;
  readonly target: string;
  readonly functions: readonly ReportFunction[];
  /** Functions of the patch whose machine code is left out, since there is too much of it for one page. */
  readonly listingsLeft: number;
  /** Functions that are the same, in the units that were compared. */
  readonly sameFunctions: number;
  readonly data: readonly ReportData[];
  readonly types: readonly ReportType[];
  readonly findings: readonly ReportFinding[];
  readonly calls: CallGraph;
  /** How far callers are known. */
  readonly callersKnown: string;
  readonly payload: ReportPayload;
  readonly notCovered: readonly { readonly what: string; readonly why: string }[];
  readonly provenance: readonly ReportProvenance[];
  /** Number of things that a person is to look at, and of those that somebody did; absent where that is not known. */
  readonly review?: { readonly done: number; readonly total: number };
}
