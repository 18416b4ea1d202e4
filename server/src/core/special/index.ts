import type { ObjectModel } from '../object.ts';
import { type SpecialTables, specialTables } from './entries.ts';

export * from './debug-site.ts';
export * from './entries.ts';
export * from './kinds.ts';
export * from './macro-statics.ts';
export { type AlternativeLayout, alternativeLayout } from './sizes.ts';

/** The special sections of an object, with its debug information to tell the size of entries. */
export function specialTablesOf(object: ObjectModel): SpecialTables {
  return specialTables(object.elf, (tag) => object.dwarf.structSize(tag));
}
