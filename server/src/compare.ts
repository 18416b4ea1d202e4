import { readFile } from 'node:fs/promises';
import { relative } from 'node:path';
import type { Analyser } from './analyse.ts';
import type { ObjectDiff, ObjectPair, Provenance, SourceEdits, SourceHunk } from './core/diff/types.ts';
import type { Finding, TargetKind } from './core/findings/types.ts';
import type { ObjectModel } from './core/object.ts';
import type { BaseObject, Built } from './shell/builder.ts';
import { canonical } from './shell/commandIndex.ts';
import { diffLines } from './shell/lineDiff.ts';
import type { Replacement } from './shell/mirror.ts';
import type { Config, UnitState } from './shell/types.ts';

/** Bytes of object files whose models are kept ready. A model takes a few times its file. */
const MAX_MODEL_BYTES = 96 << 20;

/** Base objects as models, ready to compare; the least recently used ones go first. */
export class ModelCache {
  private readonly models = new Map<Uint8Array, ObjectModel>();
  private bytes = 0;

  get(object: Uint8Array): ObjectModel | undefined {
    const model = this.models.get(object);
    if (model) {
      this.models.delete(object);
      this.models.set(object, model);
    }
    return model;
  }

  set(object: Uint8Array, model: ObjectModel): void {
    if (!this.models.has(object)) this.bytes += object.length;
    this.models.set(object, model);
    for (const old of this.models.keys()) {
      if (this.bytes <= MAX_MODEL_BYTES || old === object) break;
      this.models.delete(old);
      this.bytes -= old.length;
    }
  }
}

/** The two builds of one unit, and where their sources come from. */
export interface BuildPair {
  readonly base: BaseObject;
  readonly next: Built;
  /** How the baseline differs from the disk. */
  readonly differing: ReadonlyMap<string, Replacement>;
  /** Unsaved buffers that `next` was built from, by canonical path. */
  readonly unsaved: ReadonlyMap<string, Uint8Array>;
  /** Source as the build names it. */
  readonly unit: string;
  /** Description of the baseline. */
  readonly baseline: string;
}

type Result = NonNullable<UnitState['result']>;

/** An object that could not be read: what the reader says. */
export class UnreadableObject extends Error {}

function load(analyser: Analyser, bytes: Uint8Array, unit: string): ObjectModel {
  const { object, problems } = analyser.load(bytes);
  if (!object) {
    throw new UnreadableObject(`The object of ${unit} cannot be read: ${problems[0]?.message ?? 'unknown format'}.`);
  }
  return object;
}

function provenanceOf(pair: BuildPair): Provenance {
  return {
    unit: pair.unit,
    baseCommand: pair.base.command,
    nextCommand: pair.next.command,
    compiler: pair.next.compiler,
    baseline: pair.baseline,
    ...(pair.base.added && { added: pair.base.added }),
  };
}

/**
 * Compares two builds of a unit, with the hazards of the kinds of target that the patch is for. Identical objects are not even read: their pair is loaded when somebody looks at it.
 */
export function compareBuilds(
  analyser: Analyser,
  models: ModelCache,
  pair: BuildPair,
  edits: SourceEdits,
  generation: number,
  extra: Finding | undefined,
  targets?: readonly TargetKind[],
): Result {
  const { base, next } = pair;
  const provenance = provenanceOf(pair);
  if (Buffer.compare(base.object, next.object) === 0) {
    return { pair: lazyPair(analyser, base.object, provenance), diff: sameCode(), findings: [], generation, edits };
  }
  let model = models.get(base.object);
  if (!model) {
    model = load(analyser, base.object, pair.unit);
    models.set(base.object, model);
  }
  const compared = analyser.compare(model, load(analyser, next.object, pair.unit), provenance, edits, targets);
  const changed = compared.diff.functions.length > 0 || compared.diff.data.length > 0 || compared.findings.length > 0;
  if (!changed)
    return { pair: lazyPair(analyser, base.object, provenance), diff: compared.diff, findings: [], generation, edits };
  const findings = extra ? [extra, ...compared.findings] : compared.findings;
  return { pair: compared.pair, diff: compared.diff, findings, generation, edits };
}

/** The difference of two objects that are the same: one of its own for each unit, since what is said of a unit is kept by it. */
const sameCode = (): ObjectDiff => ({
  functions: [],
  sameFunctions: 0,
  data: [],
  types: [],
  signatures: [],
  inlining: [],
  special: [],
  loose: [],
  pairing: new Map(),
  problems: [],
});

/** A pair of an unchanged unit. Most are never looked at, so they are read on demand: a header edit may touch a thousand units. */
function lazyPair(analyser: Analyser, object: Uint8Array, provenance: Provenance): ObjectPair {
  let model: ObjectModel | undefined;
  const get = () => {
    model ??= load(analyser, object, provenance.unit);
    return model;
  };
  return {
    provenance,
    get base() {
      return get();
    },
    get next() {
      return get();
    },
  };
}

const NO_BYTES = new Uint8Array(0);

/** Bytes of a path in the baseline and now. */
async function versions(
  path: string,
  differing: ReadonlyMap<string, Replacement>,
  unsaved: ReadonlyMap<string, Uint8Array>,
): Promise<readonly [Uint8Array, Uint8Array] | undefined> {
  const real = canonical(path);
  const replacement = differing.get(real);
  const buffer = unsaved.get(real);
  if (replacement === undefined && buffer === undefined) return undefined;
  const now = buffer ?? (await readFile(path).catch(() => NO_BYTES));
  if (replacement === undefined) return [await readFile(path).catch(() => NO_BYTES), now];
  if (replacement === 'absent') return [NO_BYTES, now];
  return 'content' in replacement ? [replacement.content, now] : undefined;
}

/** Lines that differ between the baseline's sources and what was built, in the files that either object was made from. */
export async function sourceEdits(
  paths: Iterable<string>,
  differing: ReadonlyMap<string, Replacement>,
  unsaved: ReadonlyMap<string, Uint8Array>,
): Promise<SourceEdits> {
  const edits = new Map<string, readonly SourceHunk[]>();
  if (differing.size === 0 && unsaved.size === 0) return edits;
  for (const path of new Set(paths)) {
    const pair = await versions(path, differing, unsaved);
    if (!pair) continue;
    const hunks = diffLines(Buffer.from(pair[0]).toString(), Buffer.from(pair[1]).toString());
    if (hunks.length > 0) edits.set(path, hunks);
  }
  return edits;
}

/** The source as the build's command names it: relative to the workspace where it lies inside. */
export function unitName(config: Config, file: string, args: readonly string[], directory: string): string {
  const named = args.find(
    (arg) => !arg.startsWith('-') && canonical(arg.startsWith('/') ? arg : `${directory}/${arg}`) === canonical(file),
  );
  if (named !== undefined && !named.startsWith('/')) return named;
  const inside = relative(config.root, file);
  return inside.startsWith('..') ? file : inside;
}
