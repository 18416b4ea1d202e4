import type { ObjectDiff, ObjectPair, SourceEdits } from '../../diff/types.ts';
import type { Finding, TargetKind } from '../types.ts';

/** A replacement of text. Lines and columns count from 1, columns in UTF-16 units; the end is exclusive. */
export interface TextChange {
  readonly file: string;
  readonly start: { readonly line: number; readonly column: number };
  readonly end: { readonly line: number; readonly column: number };
  readonly text: string;
}

/** A way out of a finding as an edit of the source. */
export interface OfferedFix {
  readonly title: string;
  /** Changes that do not overlap, all against the same texts. */
  readonly changes: readonly TextChange[];
}

/** What a provider may look at. */
export interface FixContext {
  readonly finding: Finding;
  readonly pair: ObjectPair;
  readonly diff: ObjectDiff;
  readonly target: TargetKind;
  /** Source file of the unit. */
  readonly unit: string;
  /** Hunks of every edited file that is known, other units' included. */
  readonly edits: SourceEdits;
  /** Lines of a file as it was built from; undefined where it cannot be read, or has changed since. */
  readonly now: (file: string) => readonly string[] | undefined;
  /** Lines of a file as the baseline has it. */
  readonly base: (file: string) => readonly string[] | undefined;
}

/** One way out, for the codes that it fits. Pure. Offers nothing where it is not sure that the edit compiles and does what its title says. */
export interface FixProvider {
  /** Codes that it has an answer to; absent: all. */
  readonly codes?: readonly string[];
  readonly offer: (context: FixContext) => readonly OfferedFix[];
}
