import { isNamelessConstant } from '../asm/places.ts';
import type { ElfFile, ElfSymbol } from '../elf/types.ts';
import type { Finding } from '../findings/types.ts';
import { type FileGroup, fileOf, type Home, moduleSymbols } from './home.ts';
import { refusal } from './refusal.ts';
import type { Hypervisor } from './xen-symbols.ts';

/** Where a unit is in the hypervisor, and how its names are spelled there. */
export interface XenHome {
  readonly home: Home;
  /** False where the hypervisor names its files and this one is not among them: it is not linked in, or another one took its place. */
  readonly linked: boolean;
  /** The name under which Xen knows a symbol of the unit's objects (tools/symbols.c): `file#name` for local ones, else the name. */
  nameOf(symbol: ElfSymbol): string;
}

/** May an object with file symbol `own` be what the hypervisor calls `linked`? Xen's build puts the folder in front, in a step that no command file records. */
function fits(own: string, linked: string): boolean {
  return linked === own || linked.endsWith(`/${own}`) || (own.includes('/') && own.endsWith(`/${linked}`));
}

/**
 * Finds the unit's own symbols in xen-syms: the group of local symbols behind the file symbol that fits by name, and among several by
 * what the object defines (functions by name, variables by name and size).
 */
export function xenHome(base: ElfFile, unit: string, hypervisor: Hypervisor): XenHome | Finding {
  const module = { path: hypervisor.path, elf: hypervisor.elf };
  const symbols = moduleSymbols(hypervisor.elf);
  const own = fileOf(base);
  const locals = base.symbols.filter(
    (symbol) =>
      symbol.bind === 'local' &&
      (symbol.type === 'func' || symbol.type === 'object') &&
      typeof symbol.place === 'number' &&
      !isNamelessConstant(base, symbol),
  );
  const candidates = symbols.groups.filter((group) => fits(own, group.file));
  let best: FileGroup[] = [];
  let bestScore = -1;
  for (const group of candidates) {
    const names = new Map(group.symbols.map((symbol) => [symbol.name, symbol]));
    let score = 0;
    for (const symbol of locals) {
      const linked = names.get(symbol.name);
      if (linked && linked.type === symbol.type && (symbol.type === 'func' || linked.size === symbol.size)) score++;
    }
    // A unit without static symbols fits all files of its name alike: the unit's own path decides.
    const near = unit.endsWith(group.file) || group.file.endsWith(unit) ? 0.5 : 0;
    if (score + near > bestScore) best = [group];
    else if (score + near === bestScore) best.push(group);
    bestScore = Math.max(bestScore, score + near);
  }
  if (best.length > 1 && locals.length > 0) {
    return refusal(
      'symbol-ambiguous',
      unit,
      `${unit} could be any of ${best.map((group) => group.file).join(', ')} in ${hypervisor.path}. Build the hypervisor with CONFIG_ENFORCE_UNIQUE_SYMBOLS.`,
      { files: best.map((group) => group.file) },
    );
  }
  const group = best[0];
  const file = group?.file ?? own;
  const found = base.symbols.filter(
    (symbol) =>
      symbol.type === 'func' &&
      typeof symbol.place === 'number' &&
      (symbol.bind === 'local'
        ? group?.symbols.some((one) => one.name === symbol.name)
        : symbols.globals.has(symbol.name)),
  ).length;
  return {
    home: { module, group, found },
    linked: group !== undefined || own === '' || symbols.groups.length === 0,
    nameOf: (symbol) => (symbol.bind === 'local' && file !== '' ? `${file}#${symbol.name}` : symbol.name),
  };
}
