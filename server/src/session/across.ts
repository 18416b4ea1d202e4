import { setImmediate } from 'node:timers/promises';
import { markAccepted } from '../core/findings/accept.ts';
import { withNewUnits } from '../core/findings/new-unit.ts';
import { crossFindings, type OtherUnit, type PatchedUnit, wantsReach } from '../core/findings/reach.ts';
import type { Finding } from '../core/findings/types.ts';
import type { BuildIndex } from '../shell/build-index.ts';
import type { Unit, UnitState } from '../shell/types.ts';
import { macroUses } from './macros.ts';
import { payloadFindings } from './payload.ts';
import { inSameProgram } from './program.ts';
import type { BuildQueue } from './queue.ts';
import type { BuildRoom } from './room.ts';

/** Findings of a unit alone, by its comparison, before the other units were looked at. */
const own = new WeakMap<object, readonly Finding[]>();

/**
 * Looks at all compared units together when no build is on its way, and at the objects of the rest of the build where a changed type or signature asks for it. Writes
 * the findings that follow into the units' results.
 * @param progress told of the objects that are read
 */
export async function lookAcross(
  queue: BuildQueue,
  room: () => BuildRoom,
  index: BuildIndex,
  signal: AbortSignal,
  progress: (done: number, total: number) => void,
): Promise<void> {
  const slots = [...queue.slots.values()];
  if (slots.some(({ state }) => state.phase === 'queued' || state.phase === 'building')) return;
  const ready = slots.filter(({ state }) => state.phase === 'ready' && state.result !== undefined);
  const changed = ready.filter(({ state }) => hasChange(state));
  if (changed.length === 0) return;
  const units = changed.map(({ state }): PatchedUnit => {
    const { diff, pair, findings, edits } = state.result!;
    if (!own.has(diff)) own.set(diff, findings);
    return { file: state.unit.command.file, base: pair.base, diff, findings: own.get(diff)!, edits };
  });
  const same = ready.filter((slot) => !changed.includes(slot)).map(({ state }) => state.unit.command.file);
  const generations = ready.map(({ state }) => state.generation);
  const patched = changed.map(({ state }) => state.unit);
  const known = new Set(ready.map(({ state }) => state.unit.id));
  const { others, complete } = units.some(wantsReach)
    ? await readOthers(
        room().index.units.filter((unit) => !known.has(unit.id) && inSameProgram(unit, patched)),
        index,
        signal,
        progress,
      )
    : { others: [], complete: false };
  // Newer edits have their own look.
  if (signal.aborted || ready.some(({ state }, at) => state.generation !== generations[at])) return;
  const macros = await macroUses(
    units.map(({ edits }) => edits),
    ready.map(({ state }) => ({ file: state.unit.command.file, dependencies: state.dependencies })),
  );
  if (signal.aborted || ready.some(({ state }, at) => state.generation !== generations[at])) return;
  const crossed = crossFindings(units, others, same, complete, macros);
  const states = changed.map(({ state }) => state);
  const ofPayload = await payloadFindings(states, crossed, room().config);
  if (signal.aborted || ready.some(({ state }, at) => state.generation !== generations[at])) return;
  const all = crossed.map((list, at) => [...list, ...(ofPayload.get(states[at]!.unit.id) ?? [])]);
  const lists = withNewUnits(
    units.map(({ file, diff }, at) => ({ file, diff, pair: states[at]!.result!.pair, findings: all[at]! })),
  );
  for (const [at, slot] of changed.entries()) {
    const { result } = slot.state;
    const findings = markAccepted(lists[at]!, room().config.accepted ?? []);
    if (!result || JSON.stringify(findings) === JSON.stringify(result.findings)) continue;
    queue.set(slot, { result: { ...result, findings } });
  }
}

const hasChange = ({ result }: UnitState): boolean =>
  result !== undefined &&
  (result.diff.functions.length > 0 || result.diff.data.length > 0 || result.findings.length > 0);

/** The objects of the rest of the build that are there; `complete` where all are. */
async function readOthers(
  units: readonly Unit[],
  index: BuildIndex,
  signal: AbortSignal,
  progress: (done: number, total: number) => void,
): Promise<{ readonly others: readonly OtherUnit[]; readonly complete: boolean }> {
  const others: OtherUnit[] = [];
  for (const [at, unit] of units.entries()) {
    if (signal.aborted) break;
    const reach = await index.of(unit);
    if (reach) others.push({ file: unit.command.file, reach });
    // Reading an object takes some milliseconds: the editor's requests come in between.
    await setImmediate();
    if (units.length > 20) progress(at + 1, units.length);
  }
  return { others, complete: others.length === units.length };
}
