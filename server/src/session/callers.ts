import { setImmediate } from 'node:timers/promises';
import type { CallersElsewhere } from '../core/render/report/types.ts';
import type { BuildIndex } from '../shell/build-index.ts';
import type { Unit } from '../shell/types.ts';

/** Who calls functions or holds their addresses, by the objects of the build: of each name the functions of the given units. */
export async function callersIn(
  units: readonly Unit[],
  names: readonly string[],
  index: BuildIndex,
  signal: AbortSignal,
  progress: (done: number, total: number) => void = () => {},
): Promise<CallersElsewhere> {
  const list: { readonly name: string; readonly file: string; readonly by: string }[] = [];
  let unread = 0;
  for (const [at, unit] of units.entries()) {
    const reach = signal.aborted ? undefined : await index.of(unit);
    if (!reach) unread++;
    for (const name of reach ? names : [])
      for (const by of Object.hasOwn(reach!.calls, name) ? reach!.calls[name]! : [])
        list.push({ name, file: unit.command.file, by });
    progress(at + 1, units.length);
    // Reading an object takes some milliseconds: the editor's requests come in between.
    if (!signal.aborted) await setImmediate();
  }
  return { list, units: units.length, unread };
}
