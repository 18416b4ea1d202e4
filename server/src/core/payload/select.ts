import { type Body, placesOf } from '../asm/places.ts';
import type { FunctionChange } from '../diff/types.ts';
import type { ElfSymbol } from '../elf/types.ts';
import type { PatchUnit, PlanOptions } from './types.ts';

/** A function of the running program that gets new code. */
export interface Replacement {
  readonly change: FunctionChange | undefined;
  readonly base: ElfSymbol;
  readonly next: ElfSymbol;
  readonly body: Body;
}

/** The functions of one unit that the patch is about. */
export interface Selection {
  readonly replaced: readonly Replacement[];
  readonly leftOut: readonly { readonly name: string; readonly why: string }[];
}

/** The end of the name of a cold part. */
export const COLD = /\.cold(\.\d+)?$/;

/** `foo.isra.3` → `foo.isra`: what kind of copy of a function it is, which decides how it is called. */
const shape = (name: string): string => name.replace(/\.\d+/g, '');

/**
 * Chooses the functions to redirect: all that changed, without those that were left out by name and those that only differ
 * in line numbers (unless they are to be kept). A part that only its parent jumps into (`.cold`) cannot be redirected
 * alone: its parent is taken instead. New functions come with whoever uses them.
 */
export function selectFunctions(unit: PatchUnit, options: PlanOptions): Selection {
  const { base, next } = unit.pair;
  const places = placesOf(next.elf);
  const leaveOut = new Set(options.leaveOut);
  const replaced = new Map<string, Replacement>();
  const leftOut: { name: string; why: string }[] = [];
  const take = (change: FunctionChange | undefined, from: ElfSymbol, to: ElfSymbol): void => {
    const body = places.bodyOf(to);
    if (body) replaced.set(from.name, { change, base: from, next: to, body });
  };
  for (const change of unit.diff.functions) {
    if (change.status !== 'changed' || !change.base || !change.next) continue;
    const name = change.name;
    if (leaveOut.has(name) || (change.parent !== undefined && COLD.test(name) && leaveOut.has(change.parent)))
      leftOut.push({ name, why: 'left out by choice' });
    else if (change.lineOnly && !options.keepLineOnly) leftOut.push({ name, why: 'only line numbers differ' });
    else if (COLD.test(name)) {
      const parent = change.parent ?? name.replace(COLD, '');
      if (replaced.has(parent)) continue;
      const from = base.elf.symbols.find((symbol) => symbol.name === parent && symbol.type === 'func');
      const to = next.elf.symbols.find((symbol) => symbol.name === parent && symbol.type === 'func');
      if (from && to && typeof to.place === 'number') take(undefined, from, to);
    } else if (shape(change.base.name) === shape(change.next.name)) take(change, change.base, change.next);
    else leftOut.push({ name, why: `is called in another way than ${change.next.name}; its callers are in the patch` });
  }
  // Two names of one place are one function: one redirect.
  const bodies = new Map<string, Replacement>();
  for (const one of replaced.values()) {
    const key = `${one.base.place}:${one.base.offset}`;
    if (!bodies.has(key)) bodies.set(key, one);
  }
  return { replaced: [...bodies.values()], leftOut };
}

/** New functions or data: the unit lends them to the patch although it may replace nothing. */
export function hasNews({ diff }: PatchUnit): boolean {
  return diff.functions.some((one) => one.status === 'new') || diff.data.some((one) => one.status === 'new');
}

/** Names that units of the patch defined and define no longer: what another one defines by such a name has moved. */
export function removedNames(units: readonly PatchUnit[]): ReadonlySet<string> {
  return new Set(
    units.flatMap(({ diff }) =>
      [...diff.functions, ...diff.data].flatMap(({ status, base }) =>
        status === 'removed' && base && base.bind !== 'local' ? [base.name] : [],
      ),
    ),
  );
}

/** True where `part` is the cold part of the function `whole`. */
export const isColdPartOf = (part: string, whole: string): boolean =>
  COLD.test(part) && part.replace(COLD, '') === whole;
