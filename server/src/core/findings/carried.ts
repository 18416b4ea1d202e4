import { referencesOf } from '../diff/references.ts';
import type { DataChange } from '../diff/types.ts';
import type { ElfSymbol } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import { carriedFunctions } from './support.ts';
import type { HazardInput } from './types.ts';

const cache = new WeakMap<HazardInput['diff'], ReadonlySet<string>>();

/**
 * Whether new data comes into the payload: code of the patch refers to it, or other new data does that comes. A variable that other units can see counts as used, since one of
 * them may be in the patch as well.
 */
export function isCarried(input: HazardInput, data: DataChange): boolean {
  if (data.next?.bind !== 'local') return true;
  let carried = cache.get(input.diff);
  if (!carried) {
    carried = reached(input);
    cache.set(input.diff, carried);
  }
  return carried.has(keyOf(data.next));
}

const keyOf = (symbol: ElfSymbol): string => `${symbol.place}:${symbol.offset}`;

function reached(input: HazardInput): ReadonlySet<string> {
  const object: ObjectModel = input.pair.next;
  const fresh = new Map(
    input.diff.data.flatMap(({ status, next }) => (status === 'new' && next ? [[keyOf(next), next] as const] : [])),
  );
  const found = new Set<string>();
  if (fresh.size === 0) return found;
  const code = new Set(carriedFunctions(input).flatMap(({ next }) => (next ? [next.name] : [])));
  const links: (readonly [from: string, to: string])[] = [];
  for (const { from, section, offset, target } of referencesOf(object)) {
    const to = keyOf(target);
    if (!fresh.has(to)) continue;
    if (from) {
      if (code.has(from.name)) found.add(to);
      continue;
    }
    const holder = [...fresh].find(
      ([, one]) => one.place === section.index && one.offset <= offset && offset < one.offset + one.size,
    );
    if (holder) links.push([holder[0], to]);
  }
  for (let again = true; again; ) {
    again = false;
    for (const [from, to] of links) {
      if (!found.has(from) || found.has(to)) continue;
      found.add(to);
      again = true;
    }
  }
  return found;
}
