import type { Analyser } from '../analyse.ts';
import { compareBuilds, type ModelCache, sourceEdits, unitName } from '../compare.ts';
import { markAccepted } from '../core/findings/accept.ts';
import type { BaseObject, Built, Failure } from '../shell/builder.ts';
import { canonical } from '../shell/commandIndex.ts';
import { targetKinds } from '../shell/config.ts';
import type { Dependents } from '../shell/dependents.ts';
import type { Replacement } from '../shell/mirror.ts';
import type { Unit } from '../shell/types.ts';
import { unknownOriginals } from '../shell/unknownOriginals.ts';
import type { BuildQueue, Slot } from './queue.ts';
import type { BuildRoom, Original } from './room.ts';

/** What one build works with. */
export interface Step {
  readonly room: BuildRoom;
  readonly queue: BuildQueue;
  readonly dependents: Dependents;
  readonly analyser: Analyser;
  readonly models: ModelCache;
  readonly log: (level: 'trace' | 'info' | 'error', text: string) => void;
  /** Unsaved buffers by canonical path. */
  readonly unsaved: ReadonlyMap<string, Uint8Array>;
  readonly original: (slot: Slot, priority: number) => Promise<Original>;
}

/**
 * Builds a unit as it is edited, its original beside it where that is not at hand, and compares the two. Writes the outcome
 * into the slot, unless a newer edit has moved its generation on.
 */
export async function buildUnit(step: Step, slot: Slot, generation: number, signal: AbortSignal): Promise<void> {
  const { room, queue, dependents } = step;
  const { unit } = slot;
  const outdated = () => slot.state.generation !== generation;
  const builder = await room.builder;
  const unsaved = relevant(step, slot);
  const original = step.original(slot, slot.priority - 0.5);
  original.catch(() => {});
  const before = new Set(dependents.of(unit.id));
  // While the compiler works: what can be said of the files that the original was built from.
  const early = original.then((done) => blindSpots(step, unit, done)).catch(() => undefined);
  // The overlay shows every unsaved buffer: units that build at the same time share it.
  const shown = unsaved.size > 0 ? new Map(step.unsaved) : unsaved;
  const next = await builder.next(unit.command, shown, signal, slot.priority);
  if (outdated()) return;
  if (next.kind !== 'built') return refuse(step, slot, next);
  dependents.learn(unit.id, next.dependencies);
  const { base, differing } = await original;
  if (outdated()) return;
  if (base.kind !== 'built') return refuse(step, slot, base);
  const started = performance.now();
  const known = await withNewFiles(room, next, base, before, differing);
  const edits = await sourceEdits([...next.dependencies, ...base.dependencies], known, unsaved);
  const name = unitName(room.config, unit.command.file, unit.command.arguments, unit.command.directory);
  const baseline = await room.baseline;
  const read = new Set(next.dependencies);
  const blind = (await early)?.filter(({ at }) => read.has(at?.file ?? '')) ?? [];
  if (outdated()) return;
  const pair = { base, next, differing: known, unsaved, unit: name, baseline: baseline.description };
  const compared = compareBuilds(
    step.analyser,
    step.models,
    pair,
    edits,
    generation,
    slot.mismatch,
    targetKinds(room.config),
  );
  const result = { ...compared, findings: markAccepted([...blind, ...compared.findings], room.config.accepted ?? []) };
  const timings = { compile: next.milliseconds, analyse: performance.now() - started };
  forgetMessage(slot);
  const { dependencies } = next;
  queue.set(slot, { phase: 'ready', result, stale: false, errors: [], timings, dependencies });
  step.log(
    'trace',
    `${name}: compiled in ${timings.compile.toFixed(0)} ms, compared in ${timings.analyse.toFixed(0)} ms`,
  );
}

/** Files of the original object whose text in the running program is not known. What only the edited one reads is seen whole. */
async function blindSpots({ room }: Step, unit: Unit, { base, differing }: Original) {
  const paths = base.kind === 'built' ? base.dependencies : [];
  return unknownOriginals(unit.command, paths, differing, await room.baseline, room.config);
}

/** The differences that are known, and those of files that the edit includes for the first time. */
async function withNewFiles(
  room: BuildRoom,
  next: Built,
  base: BaseObject,
  before: ReadonlySet<string>,
  differing: ReadonlyMap<string, Replacement>,
): Promise<ReadonlyMap<string, Replacement>> {
  const asked = new Set(base.dependencies);
  const fresh = next.dependencies.filter((path) => !asked.has(path) && !before.has(path));
  if (fresh.length === 0) return differing;
  return new Map([...differing, ...(await (await room.baseline).differing(fresh.map(canonical)))]);
}

/** A build that came to no object: the last good result stays, marked stale. */
function refuse(step: Step, slot: Slot, failure: Failure): void {
  const stale = slot.state.result !== undefined;
  forgetMessage(slot);
  switch (failure.kind) {
    case 'cancelled':
      step.queue.restore(slot);
      return;
    case 'compileError':
      for (const { at, severity, message } of failure.errors.slice(0, 5)) {
        step.log('info', `${at.file}:${at.line}: ${severity}: ${message}`);
      }
      step.queue.set(slot, { phase: 'compileError', errors: failure.errors, stale });
      return;
    default:
      step.log('error', failure.message);
      step.queue.set(slot, { phase: 'failed', message: failure.message, errors: [], stale });
  }
}

function forgetMessage(slot: Slot): void {
  const { message: _, ...rest } = slot.state;
  slot.state = rest;
}

/** Unsaved buffers that the unit reads. Where its dependencies are not known yet, all of them. */
function relevant(step: Step, slot: Slot): Map<string, Uint8Array> {
  const { unit } = slot;
  const known = step.dependents.of(unit.id).length > 0;
  const own = canonical(unit.command.file);
  return new Map([...step.unsaved].filter(([path]) => !known || path === own || step.dependents.dependsOn(unit, path)));
}
