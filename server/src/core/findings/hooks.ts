import { referencesOf } from '../diff/references.ts';
import type { ElfSymbol } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import { HOOKS } from '../payload/xen-format.ts';
import { isCarried } from './carried.ts';
import { isInitData } from './data.ts';
import { dataName, finding, isGenerated, listed, unitPlace } from './support.ts';
import type { Hazard, HazardInput } from './types.ts';

/** Sections of a unit that make a function a hook of the patch, and the section of the hook that undoes it. */
const kinds: readonly { readonly section: string; readonly undo?: string }[] = [
  ...HOOKS,
  { section: '.kpatch.callbacks.pre_patch', undo: '.kpatch.callbacks.post_unpatch' },
  { section: '.kpatch.callbacks.post_patch', undo: '.kpatch.callbacks.pre_unpatch' },
];

/** Functions that a hook section refers to. */
function hooked({ elf }: ObjectModel, section: string): ElfSymbol[] {
  return elf.sectionsNamed(section).flatMap(({ index }) =>
    elf.relocationsOf(index).flatMap(({ symbol, addend }) => {
      const target = elf.symbols[symbol];
      if (target?.type !== 'section') return target ? [target] : [];
      const at = target.offset + addend;
      return elf.symbols.filter((s) => s.type === 'func' && s.place === target.place && s.offset === at).slice(0, 1);
    }),
  );
}

/** Hooks of the edited object, before or at the time that the new code comes in, that refer to a data object. */
export function hooksThatReachData({ pair }: HazardInput, data: string): string[] {
  const { next } = pair;
  const before = ['load', 'preapply', 'apply', 'postapply'].map((name) => `.livepatch.hooks.${name}`);
  const names = new Set(before.flatMap((section) => hooked(next, section)).map(({ name }) => name));
  if (names.size === 0) return [];
  const reaching = referencesOf(next)
    .filter(({ from, target }) => from && names.has(from.name) && target.name === data)
    .map(({ from }) => from!.name);
  return [...new Set(reaching)];
}

const placeOf = (input: HazardInput, name: string | undefined) =>
  input.pair.next.dwarf.functions.find((fn) => fn.name === name)?.decl ?? unitPlace(input);

/** `hook-without-undo`: what the hook does stays after a revert. */
export const hookWithoutUndo: Hazard = {
  codes: ['hook-without-undo'],
  find: (input) => {
    const { next } = input.pair;
    return kinds.flatMap(({ section, undo }) => {
      if (!undo || next.elf.sectionsNamed(section).length === 0 || next.elf.sectionsNamed(undo).length > 0) return [];
      const names = hooked(next, section).map(({ name }) => name);
      return [
        finding({
          code: 'hook-without-undo',
          severity: 'review',
          symbol: names[0] ?? section,
          at: placeOf(input, names[0]),
          message: `${listed(names.length > 0 ? names.map((name) => `${name}()`) : [section])} run${names.length > 1 ? '' : 's'} as a hook (${section}), and there is none in ${undo}: what it does stays after a revert. Write the counterpart, or make sure that the old code is content with what the hook left.`,
          evidence: { section, missing: undo, hooks: names },
        }),
      ];
    });
  },
};

/** `hook-not-reappliable`: Xen refuses to apply a payload with writable data a second time, since its data is no longer what it was. */
export const hookNotReappliable: Hazard = {
  codes: ['hook-not-reappliable'],
  find: (input) => {
    if (input.target !== 'xen') return [];
    const data = input.diff.data.filter(
      (one) => one.status === 'new' && !one.readOnly && !isGenerated(one) && !isInitData(one) && isCarried(input, one),
    );
    const first = data[0];
    if (!first) return [];
    const names = data.map(dataName);
    return [
      finding({
        code: 'hook-not-reappliable',
        severity: 'review',
        symbol: first.name,
        at: first.at,
        message: `The patch has writable data of its own (${listed(names)}), so Xen does not apply it again after a revert: the data would not be what it was at first. To try again, unload the payload and upload it anew; the data then starts afresh.`,
        evidence: { data: names },
      }),
    ];
  },
};
