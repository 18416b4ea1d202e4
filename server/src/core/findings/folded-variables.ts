import { referencesFrom, referencesOf } from '../diff/references.ts';
import type { DataChange } from '../diff/types.ts';
import { sectionClass } from './data.ts';
import { startupFunctions } from './init-code-changed.ts';
import { useOf } from './init-once-data.ts';
import { running } from './layout-finding.ts';
import { finding, listed, replacedFunctions, revertHunk } from './support.ts';
import type { Finding, HazardInput } from './types.ts';

/**
 * Variables that running code wrote, and that are constants for the new code: nothing writes them there, so the compiler put the initial value in their place and left
 * the object out. What was set at run time is not seen any more, without a word in the patch. One that the source does not have any more is no such variable.
 */
export function foldedVariables(input: HazardInput, code: string): Finding[] {
  const { base, next } = input.pair;
  const gone = input.diff.data.filter(
    ({ status, readOnly, staticLocal, tls, base: symbol, baseSection }) =>
      status === 'removed' &&
      symbol?.bind === 'local' &&
      !readOnly &&
      !staticLocal &&
      !tls &&
      ['data', 'bss'].includes(sectionClass(baseSection)),
  );
  if (gone.length === 0) return [];
  const replaced = replacedFunctions(input).flatMap((fn) => (fn.base ? [fn.base] : []));
  const readers = referencesFrom(base, replaced);
  const startup = startupFunctions(base);
  return gone.flatMap((data: DataChange) => {
    const { name, base: symbol } = data;
    const kept = next.dwarf.variables.find((one) => one.name === name && one.scope === undefined && !one.declaration);
    if (!kept || kept.place) return [];
    const users = readers.flatMap((one) =>
      one.target.index === symbol!.index && useOf(base, one) === 'read' ? [`${one.from!.name}()`] : [],
    );
    const writers = referencesOf(base).flatMap((one) =>
      one.from && one.target.index === symbol!.index && !startup.has(one.from.name) && useOf(base, one) === 'write'
        ? [`${one.from.name}()`]
        : [],
    );
    if (users.length === 0 || writers.length === 0) return [];
    const [reading, writing] = [[...new Set(users)], [...new Set(writers)]];
    return finding({
      code,
      severity: 'review',
      symbol: name,
      at: kept.decl,
      message: `The new code has no variable ${name} any more: where ${listed(reading)} read it, the compiler put its initial value (or nothing, if it is not read now). What ${listed(writing)} stored in it while ${running(input)} ran, the patched code does not see. Check that it never had another value, or go on reading the variable.`,
      evidence: { baseSection: data.baseSection ?? '', nextSection: '', readers: reading, writers: writing },
      related: data.at
        ? [{ at: data.at, message: `in the running program: ${data.baseSize} bytes in ${data.baseSection}` }]
        : [],
      fixes: revertHunk(kept.decl, name),
    });
  });
}
