import { inflateSync } from 'node:zlib';
import { createDecoders } from './core/asm/decode.ts';
import { diffObjects } from './core/diff/index.ts';
import type { ObjectDiff, ObjectPair, Provenance, SourceEdits } from './core/diff/types.ts';
import { findHazards, verdictOf } from './core/findings/catalogue.ts';
import type { Finding, TargetKind } from './core/findings/types.ts';
import { loadObject } from './core/load-object.ts';
import type { ObjectModel } from './core/object.ts';
import type { Problem } from './core/problem.ts';
import { readAsset } from './shell/assets.ts';

/** Largest section that is decompressed: a crafted header must not make the process run out of memory. */
const MAX_INFLATED = 1 << 30;

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
  /** Compares two objects and looks for hazards. `target` defaults to `process`. */
  compare(
    base: ObjectModel,
    next: ObjectModel,
    provenance: Provenance,
    edits?: SourceEdits,
    target?: TargetKind,
  ): Comparison;
}

/** `SHF_COMPRESSED` sections: zlib only; Node 20 has no zstd, and the reader then reports the section as unread. */
function inflate(data: Uint8Array, kind: 'zlib' | 'zstd', size: number): Uint8Array | undefined {
  if (kind !== 'zlib' || size > MAX_INFLATED) return undefined;
  try {
    return new Uint8Array(inflateSync(data, { maxOutputLength: Math.max(1, size) }));
  } catch {
    return undefined;
  }
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
    compare(base, next, provenance, edits, target = 'process') {
      const pair: ObjectPair = { base, next, provenance };
      const diff = diffObjects(pair, edits ? { edits } : {});
      const findings = findHazards({ pair, diff, target, ...(edits ? { edits } : {}) });
      return { pair, diff, findings, verdict: verdictOf(diff, findings) };
    },
  };
}
