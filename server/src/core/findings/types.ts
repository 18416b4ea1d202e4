import type { ObjectDiff, ObjectPair, SourceEdits } from '../diff/types.ts';
import type { SourceLocation } from '../dwarf/types.ts';

/** `blocker` refuses the payload unless overridden with a written reason; `review` asks a person to look; `note` explains. */
export type Severity = 'blocker' | 'review' | 'note';

/** What a patch is made for; rules differ between them. */
export type TargetKind = 'process' | 'xen' | 'linux';

/** Another place that a finding speaks of. */
export interface Related {
  readonly at?: SourceLocation;
  readonly message: string;
}

/** A suggested way out that the editor can offer as a quick fix. */
export interface Fix {
  readonly title: string;
  readonly kind: 'leave-out' | 'revert-hunk' | 'insert-text' | 'open-docs' | 'command';
  /** Arguments of the kind: the function's name for `leave-out`, `{file,line,text}` for `insert-text`, ... */
  readonly data: Readonly<Record<string, string | number>>;
}

/** Something that the person who writes the patch has to know. */
export interface Finding {
  /** Stable code of the catalogue, e.g. `struct-layout`. */
  readonly code: string;
  readonly severity: Severity;
  /** Symbol, type (`struct foo`) or field that it is about. */
  readonly symbol: string;
  /** One or two sentences: the edit, the consequence, the way out. */
  readonly message: string;
  /** Place in the edited source that causes it. */
  readonly at?: SourceLocation;
  /** Facts: names, sizes, offsets, old and new. Values are plain JSON. */
  readonly evidence: Readonly<Record<string, string | number | boolean | readonly string[]>>;
  readonly related: readonly Related[];
  readonly fixes: readonly Fix[];
  /** Kinds of target that it holds for, where the patch is made for others too; absent: for all of them. */
  readonly targets?: readonly TargetKind[];
  /** Told by making a payload and throwing it away: who builds one asks anew, since the target may be in another state. */
  readonly from?: 'payload';
  /** Reason for which somebody accepted it, for this evidence: it stays visible and does not block. */
  readonly accepted?: string;
  /** Reason of an acceptance that no longer holds: the evidence is another now. */
  readonly outdated?: string;
}

/** What a hazard rule sees. */
export interface HazardInput {
  readonly pair: ObjectPair;
  readonly diff: ObjectDiff;
  readonly target: TargetKind;
  /** Source hunks, where the sources are at hand. */
  readonly edits?: SourceEdits;
}

/** A hazard rule: one file under `core/findings`, registered in `catalogue.ts`. Pure. */
export interface Hazard {
  /** Codes that it can report. */
  readonly codes: readonly string[];
  readonly find: (input: HazardInput) => Finding[];
}
