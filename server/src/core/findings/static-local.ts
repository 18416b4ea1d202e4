import type { DataChange } from '../diff/types.ts';
import type { SourceLocation } from '../dwarf/types.ts';
import { isMacroStatic } from '../special/index.ts';
import { fateOf } from './constants.ts';
import { isInitData, isPercpu, oldPlace, resizedData } from './data.ts';
import { afterEdits, dataName, finding, isGenerated, labelOf, revertHunk } from './support.ts';
import type { Hazard, HazardInput } from './types.ts';

const lone = (input: HazardInput, status: DataChange['status']): readonly DataChange[] =>
  input.diff.data.filter(
    (data) =>
      data.staticLocal &&
      data.status === status &&
      !data.tls &&
      !isGenerated(data) &&
      !isMacroData(data) &&
      !isPercpu(data) &&
      !isInitData(data),
  );

/** Flags, keys and descriptions that macros make: nobody keeps anything in them that would be missed. */
const isMacroData = ({ name, baseSection, nextSection }: DataChange): boolean =>
  isMacroStatic(name.replace(/\.\d+$/, '').replace(/^.*\./, ''), nextSection ?? baseSection ?? '');

/** `static-local-new`: it starts with its initial value when the patch is applied, and is gone when the patch is reverted. */
export const staticLocalNew: Hazard = {
  codes: ['static-local-new'],
  find: (input) =>
    lone(input, 'new')
      .filter(({ readOnly }) => !readOnly)
      .map((data) =>
        finding({
          code: 'static-local-new',
          severity: 'note',
          symbol: data.name,
          at: data.at,
          message: `The static variable ${dataName(data)} is new: it lives in the patch, starts with its initial value when the patch is applied, and its value is lost on revert.`,
          evidence: { size: data.nextSize, ...(data.scope && { function: data.scope }) },
        }),
      ),
};

/** `static-local-removed`: the patched function forgets a state that it kept so far. */
export const staticLocalRemoved: Hazard = {
  codes: ['static-local-removed'],
  find: (input) =>
    lone(input, 'removed')
      .filter(({ readOnly }) => !readOnly)
      .map((data) =>
        finding({
          code: 'static-local-removed',
          severity: 'review',
          symbol: data.name,
          at: functionPlace(input, data.scope) ?? afterEdits(input, data.at),
          message: `The static variable ${dataName(data)} is no longer used. What it holds in the running program (a counter, a cache, memory, a lock) stays behind, and comes back on revert as it was. Check that nothing is leaked or stays locked.`,
          evidence: { size: data.baseSize, ...(data.scope && { function: data.scope }) },
          related: oldPlace(input, data),
        }),
      ),
};

/** `static-local-resized`: the running copy has the old size. */
export const staticLocalResized: Hazard = {
  codes: ['static-local-resized'],
  find: (input) =>
    resizedData(input)
      .filter(({ data }) => data.staticLocal)
      .flatMap(({ data, behind, follows, related }) => {
        const fate = data.readOnly ? fateOf(input, data) : undefined;
        if (data.readOnly && !fate) return [];
        const consequence = fate
          ? `${fate.consequence}${fate.severity === 'blocker' ? ' Use a constant of a new name.' : ''}`
          : 'The running copy keeps its size and its value: patched code would reach past its end or misread it. Give the new variable a new name (it then starts with its initial value), or keep the size.';
        return finding({
          code: 'static-local-resized',
          severity: fate?.severity ?? 'blocker',
          symbol: data.name,
          at: data.at,
          message: `The static ${data.readOnly ? 'constant' : 'variable'} ${dataName(data)} went from ${data.baseSize} to ${data.nextSize} bytes.${follows} ${consequence}`,
          evidence: {
            baseSize: data.baseSize,
            nextSize: data.nextSize,
            ...(data.scope && { function: data.scope }),
            ...(behind && { type: labelOf(behind) }),
            ...fate?.evidence,
          },
          related: [...related, ...(fate?.related ?? [])],
          fixes: behind ? [] : revertHunk(data.at, data.name),
        });
      }),
};

/** Where the function that kept the variable is now. */
const functionPlace = (input: HazardInput, name: string | undefined): SourceLocation | undefined =>
  name === undefined ? undefined : input.pair.next.dwarf.prototypes.find((p) => p.defined && p.name === name)?.decl;
