import { placesOf } from '../asm/places.ts';
import { relocationTarget } from '../asm/targets.ts';
import { lazy } from '../elf/lazy.ts';
import type { ElfSymbol } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import type { SpecialEntry } from '../special/index.ts';
import { entriesAbout } from './special.ts';
import { carriedFunctions, finding, listed } from './support.ts';
import type { Finding, Hazard, HazardInput } from './types.ts';

/**
 * `static-call-or-key` (Linux): a carried function has a static branch or a static call whose key lives in a module. The patch module's
 * entries are applied when it is loaded, before its references into another module are resolved: the kernel would follow a pointer that is not
 * there yet. Keys of the kernel proper are resolved in time, and a key that the edit adds is in the patch module itself. Tracepoints and debug messages are left switched off instead.
 */
export const staticCallOrKey: Hazard = {
  codes: ['static-call-or-key'],
  find: (input) => {
    if (input.target !== 'linux' || !isModule(input)) return [];
    const inModule = lazy(() => new Set(input.diff.pairing.values()));
    return carriedFunctions(input).flatMap((fn): Finding[] => {
      const keys = new Map<string, SpecialEntry>();
      for (const entry of entriesAbout(input.pair.next, fn)) {
        const key = keyOf(input.pair.next, entry);
        // An undefined key is exported: by the kernel, or by another module that is loaded before.
        if (!key || key.place === 'undef' || keys.has(key.name)) continue;
        if (inModule().has(key.index)) keys.set(key.name, entry);
      }
      const names = [...keys.keys()].sort();
      const silent = names.filter(isDebug);
      const hard = names.filter((name) => !isDebug(name));
      const findings: Finding[] = [];
      const call = (some: readonly string[]) =>
        some.every((name) => keys.get(name)!.table.kind.kind === 'static-call') ? 'static call' : 'static branch';
      if (hard.length > 0)
        findings.push(
          finding({
            code: 'static-call-or-key',
            severity: 'blocker',
            symbol: fn.name,
            at: fn.changedLines[0] ?? fn.at,
            message: `${fn.name}() has a ${call(hard)} with a key that its module defines (${listed(hard)}). The kernel reads such entries of a patch before it resolves references into modules, and would write through a pointer that is not set. Use static_key_enabled() or an ordinary call in the patched function.`,
            evidence: { keys: hard },
          }),
        );
      if (silent.length > 0)
        findings.push(
          finding({
            code: 'static-call-or-key',
            severity: 'review',
            symbol: fn.name,
            at: fn.changedLines[0] ?? fn.at,
            message: `${fn.name}() has tracepoints or debug messages whose keys are in its module (${listed(silent)}): in the patched function they stay switched off.`,
            evidence: { keys: silent },
          }),
        );
      return findings;
    });
  },
};

const isDebug = (name: string): boolean =>
  /^__tracepoint_|__UNIQUE_ID_ddebug|^descriptor(\.|$)|^__SCK__tp_func_/.test(name);

/** Built as (part of) a module: told on the command line, or by use of THIS_MODULE. */
function isModule({ pair }: HazardInput): boolean {
  const told = [...pair.provenance.nextCommand, ...pair.provenance.baseCommand];
  if (told.includes('-DMODULE')) return true;
  return pair.next.elf.symbols.some(({ name }) => name === '__this_module');
}

/** The key that an entry follows: third field of a static branch, second of a static call; its low bits are flags. */
function keyOf({ elf }: ObjectModel, entry: SpecialEntry): ElfSymbol | undefined {
  const { kind } = entry.table.kind;
  if (kind !== 'jump-label' && kind !== 'static-call') return undefined;
  const last = entry.relocations.at(-1);
  return last && entry.relocations.length > 1 ? relocationTarget(placesOf(elf), last, 0).symbol : undefined;
}
