import { placesOf } from '../asm/places.ts';
import { scanOf } from '../asm/scans.ts';
import type { ObjectModel } from '../object.ts';
import type { Side } from './meaning.ts';

/** Prepares one object of a pair. */
export function createSide(object: ObjectModel): Side {
  const { elf } = object;
  return { object, elf, places: placesOf(elf), scanOf: (body) => scanOf(elf, body) };
}
