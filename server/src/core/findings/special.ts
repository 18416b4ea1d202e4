import { placesOf } from '../asm/places.ts';
import type { FunctionChange } from '../diff/types.ts';
import type { ObjectModel } from '../object.ts';
import { type SpecialEntry, type SpecialKind, specialTablesOf } from '../special/index.ts';
import type { TargetKind } from './types.ts';

/** The entries of special sections about a function, in the next object for what the payload carries. */
export function entriesAbout(object: ObjectModel, change: FunctionChange): readonly SpecialEntry[] {
  const symbol = change.next;
  const body = symbol && placesOf(object.elf).bodyOf(symbol);
  return (body && specialTablesOf(object).byOwner.get(body)) ?? [];
}

/** True where the target's loader applies tables of this kind to a payload. Programs have no such loader. */
export const isLoaded = (kind: SpecialKind, target: TargetKind): boolean =>
  target !== 'process' && kind.loadedBy.includes(target);

/** Who would have to read the entries, for messages. */
export const loaderOf: Readonly<Record<TargetKind, string>> = {
  process: 'the running program',
  xen: 'the hypervisor',
  linux: 'the kernel',
};
