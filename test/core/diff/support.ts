import { readFileSync } from 'node:fs';
import { createDecoders, type Decoders } from '../../../server/src/core/asm/decode.ts';
import { diffObjects } from '../../../server/src/core/diff/index.ts';
import type { ObjectDiff, SourceEdits } from '../../../server/src/core/diff/types.ts';
import { loadObject } from '../../../server/src/core/load-object.ts';
import type { ObjectModel } from '../../../server/src/core/object.ts';
import { type CompileOptions, compile } from '../../support/cc.ts';

let decoders: Promise<Decoders> | undefined;

/** The decoders, loaded once per test file. */
export function theDecoders(): Promise<Decoders> {
  const wasm = new URL('../../../node_modules/capstone-wasm/dist/capstone.wasm', import.meta.url);
  decoders ??= createDecoders(new Uint8Array(readFileSync(wasm)));
  return decoders;
}

/** Compiles and loads one source. */
export async function objectOf(source: string, options: CompileOptions = {}): Promise<ObjectModel> {
  return load(compile(source, options));
}

export async function load(bytes: Uint8Array): Promise<ObjectModel> {
  const { object, problems } = loadObject(bytes, await theDecoders());
  if (!object) throw new Error(problems.map((problem) => problem.message).join('\n'));
  return object;
}

const PROVENANCE = { unit: 'unit.c', baseCommand: [], nextCommand: [], compiler: '', baseline: 'test' };

/** Compares two loaded objects. */
export function diffLoaded(base: ObjectModel, next: ObjectModel, edits?: SourceEdits): ObjectDiff {
  return diffObjects({ base, next, provenance: PROVENANCE }, edits ? { edits } : {});
}

/** Compiles and compares two versions of a source. */
export async function diffSources(
  base: string,
  next: string,
  options: CompileOptions = {},
  edits?: SourceEdits,
): Promise<ObjectDiff> {
  return diffLoaded(await objectOf(base, options), await objectOf(next, options), edits);
}

/** Line hunks between two texts, by common first and last lines: what the tests need, as `unit.c` in the mapped folder. */
export function editsBetween(base: string, next: string, file = '/src/unit.c'): SourceEdits {
  const a = base.split('\n');
  const b = next.split('\n');
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a.at(-1 - tail) === b.at(-1 - tail)) tail++;
  const hunk = {
    baseStart: head + 1,
    baseCount: a.length - head - tail,
    nextStart: head + 1,
    nextCount: b.length - head - tail,
  };
  return new Map([[file, hunk.baseCount + hunk.nextCount > 0 ? [hunk] : []]]);
}

/** One line per change: `f changed own-edit`, for comparing with what a test expects. */
export function summary(diff: ObjectDiff): string[] {
  return [
    ...diff.functions.map((change) => `${change.name} ${change.status}${change.lineOnly ? ' line-only' : ''}`),
    ...diff.data.map((change) => `${change.name} ${change.status}${change.differs.map((one) => ` ${one}`).join('')}`),
  ].sort();
}
