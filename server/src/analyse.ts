import { createDecoders } from './core/asm/decode.ts';
import { diffObjects } from './core/diff/index.ts';
import type { ObjectDiff, ObjectPair, Provenance, SourceEdits } from './core/diff/types.ts';
import { verdictOf } from './core/findings/catalogue.ts';
import { findForTargets } from './core/findings/several.ts';
import type { Finding, TargetKind } from './core/findings/types.ts';
import { loadObject } from './core/load-object.ts';
import type { ObjectModel } from './core/object.ts';
import type { Problem } from './core/problem.ts';
import { readAsset } from './shell/assets.ts';
import { inflate } from './shell/inflate.ts';

/** One comparison: what the core says of a pair of objects. */
export interface Comparison {
  readonly pair: ObjectPair;
  readonly diff: ObjectDiff;
  readonly findings: readonly Finding[];
  readonly verdict: 'unchanged' | 'patchable' | 'blocked';
}

/** The core with its one asset (the disassembler) loaded. */
export interface Analyser {
  /** Reads an object file. Never throws for bad input: no `object` and the problems instead. */
  load(bytes: Uint8Array): { object?: ObjectModel; problems: Problem[] };
  /** Compares two objects and looks for hazards of each kind of target that the patch is for; `process` where none is named. */
  compare(
    base: ObjectModel,
    next: ObjectModel,
    provenance: Provenance,
    edits?: SourceEdits,
    targets?: readonly TargetKind[],
  ): Comparison;
}

/** Provenance of objects that were given as files, not built here. */
export function fileProvenance(base: string, next: string): Provenance {
  return { unit: next, baseCommand: [], nextCommand: [], compiler: '', baseline: `file:${base}` };
}

/** Loads the disassembler (about 20 ms) and returns the core ready to use. One instance serves a whole program. */
export async function createAnalyser(): Promise<Analyser> {
  const decoders = await createDecoders(await readAsset('capstone.wasm'));
  return {
    load: (bytes) => loadObject(bytes, decoders, { inflate }),
    compare(base, next, provenance, edits, targets = ['process']) {
      const pair: ObjectPair = { base, next, provenance };
      const diff = diffObjects(pair, edits ? { edits } : {});
      const findings = findForTargets({ pair, diff, ...(edits ? { edits } : {}) }, targets);
      return { pair, diff, findings, verdict: verdictOf(diff, findings) };
    },
  };
}
