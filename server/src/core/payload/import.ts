import type { ElfSymbol } from '../elf/types.ts';
import type { Finding } from '../findings/types.ts';
import { type Home, linkedSymbol, moduleSymbols } from './home.ts';
import { hexAddress, refusal } from './refusal.ts';
import type { ImportedSymbol } from './types.ts';
import { R } from './x86.ts';

const KINDS: Partial<Record<ElfSymbol['type'], ImportedSymbol['kind']>> = {
  func: 'function',
  ifunc: 'function',
  object: 'data',
  common: 'data',
  tls: 'tls',
};

/** Where an import is in the linked file, as far as that can be known before the program runs. */
export function importOf(
  home: Home,
  symbol: ElfSymbol,
  name: string,
  weak: boolean,
): (ImportedSymbol & { weak: boolean }) | Finding {
  const { elf } = home.module;
  const linked = linkedSymbol(home, symbol);
  const module = elf.buildId;
  if (linked && typeof linked.place === 'number' && module !== undefined) {
    const kind = KINDS[linked.type] ?? 'unknown';
    // A shared object's exported symbols may be another's at run time: only the process can tell.
    const preempted =
      elf.soname !== undefined &&
      linked.bind !== 'local' &&
      linked.visibility === 'default' &&
      elf.dynamicSymbols.some((one) => one.name === symbol.name && one.place !== 'undef');
    if (preempted) return { name, kind, weak };
    const address = hexAddress(linked.value);
    if (linked.type === 'ifunc') {
      const slot = elf.dynamicRelocations.find((one) => one.type === R.irelative && one.addend === linked.value);
      return { name, kind, module, address, weak, resolver: true, ...(slot && { slot: hexAddress(slot.address) }) };
    }
    return { name, kind, module, address, size: linked.size, weak };
  }
  if (symbol.bind === 'local')
    return refusal(
      'symbol-unresolved',
      name,
      `${name} is used by the new code and ${home.module.path} has no symbol for it. Link without stripping local symbols, or give the unstripped file in "binaries".`,
    );
  const dynamic = elf.dynamicSymbols.length > 0;
  if (!dynamic && !weak && !moduleSymbols(elf).undefined.has(symbol.name))
    return refusal(
      'symbol-unresolved',
      name,
      `${name} is used by the new code and is not in ${home.module.path}, which is linked statically: nothing can bring it in. Use a function that the program already has.`,
    );
  return { name, kind: 'unknown', weak };
}
