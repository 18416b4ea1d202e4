import { isNamelessConstant } from '../asm/places.ts';
import type { ElfFile, ElfSymbol } from '../elf/types.ts';
import type { LinkedModule } from './types.ts';

/** The local symbols that one object brought into a linked file: what follows one STT_FILE symbol. */
export interface FileGroup {
  readonly file: string;
  readonly symbols: readonly ElfSymbol[];
}

/** Where a unit ended up in a linked file. */
export interface Home {
  readonly module: LinkedModule;
  /** Its local symbols; undefined where it has none there. */
  readonly group: FileGroup | undefined;
  /** Defined functions of the unit that are in the module. */
  readonly found: number;
}

/** Symbols of a linked file by name and by object. */
export interface ModuleSymbols {
  /** Global and weak definitions, version suffixes taken off; `undefined` entries are references. */
  readonly globals: ReadonlyMap<string, ElfSymbol>;
  readonly undefined: ReadonlySet<string>;
  readonly groups: readonly FileGroup[];
  /** Local symbols by name, of all groups (hidden globals end up here). */
  readonly locals: ReadonlyMap<string, readonly ElfSymbol[]>;
}

const cache = new WeakMap<ElfFile, ModuleSymbols>();

/** `foo@@GLIBC_2.2.5` → `foo`. */
export const withoutVersion = (name: string): string => {
  const at = name.indexOf('@');
  return at > 0 ? name.slice(0, at) : name;
};

/** Symbols of a linked file, read once. */
export function moduleSymbols(elf: ElfFile): ModuleSymbols {
  let known = cache.get(elf);
  if (!known) {
    known = read(elf);
    cache.set(elf, known);
  }
  return known;
}

function read(elf: ElfFile): ModuleSymbols {
  const globals = new Map<string, ElfSymbol>();
  const missing = new Set<string>();
  const groups: { file: string; symbols: ElfSymbol[] }[] = [];
  const locals = new Map<string, ElfSymbol[]>();
  for (const symbol of elf.symbols) {
    if (symbol.type === 'file') groups.push({ file: symbol.name, symbols: [] });
    else if (symbol.name === '' || symbol.type === 'section') continue;
    else if (symbol.bind === 'local') {
      groups.at(-1)?.symbols.push(symbol);
      const list = locals.get(symbol.name);
      if (list) list.push(symbol);
      else locals.set(symbol.name, [symbol]);
    } else if (symbol.place === 'undef') missing.add(withoutVersion(symbol.name));
    else if (!globals.has(withoutVersion(symbol.name)) || symbol.name.includes('@@'))
      globals.set(withoutVersion(symbol.name), symbol);
  }
  return { globals, undefined: missing, groups, locals };
}

/** Functions and variables that an object defines and that a linked file has to have under the same name. */
function definitions(base: ElfFile): { locals: ElfSymbol[]; globals: ElfSymbol[] } {
  const locals: ElfSymbol[] = [];
  const globals: ElfSymbol[] = [];
  for (const symbol of base.symbols) {
    if (symbol.type !== 'func' && symbol.type !== 'object' && symbol.type !== 'tls') continue;
    if (typeof symbol.place !== 'number' || isNamelessConstant(base, symbol)) continue;
    (symbol.bind === 'local' ? locals : globals).push(symbol);
  }
  return { locals, globals };
}

/** Name of the source as the object's STT_FILE symbol has it; empty where there is none. */
export const fileOf = (base: ElfFile): string => base.symbols.find((symbol) => symbol.type === 'file')?.name ?? '';

/**
 * Places that a unit may have in a linked file: one for each object of the same file name whose local symbols fit, best fit
 * only. Several are returned where names alone do not tell them apart (equal file names in different folders): the code does.
 */
export function homesIn(base: ElfFile, module: LinkedModule): Home[] {
  const { locals, globals } = definitions(base);
  const symbols = moduleSymbols(module.elf);
  const fits = (own: ElfSymbol, linked: ElfSymbol | undefined): boolean =>
    linked !== undefined &&
    linked.type === own.type &&
    // A linked variable has the object's size; a function may have shorter jumps.
    (own.type === 'func' || linked.size === own.size);
  const functions = (list: readonly ElfSymbol[]): number => list.filter((symbol) => symbol.type === 'func').length;
  const foundGlobals = globals.filter(
    (own) => fits(own, symbols.globals.get(own.name)) || symbols.locals.get(own.name)?.some((one) => fits(own, one)),
  );
  const file = fileOf(base);
  let best: Home[] = [];
  let bestScore = 0;
  for (const group of symbols.groups) {
    if (group.file !== file || locals.length === 0) continue;
    const names = new Map(group.symbols.map((symbol) => [symbol.name, symbol]));
    const found = locals.filter((own) => fits(own, names.get(own.name)));
    const score = found.length * 2 - group.symbols.length / (1 + group.symbols.length);
    if (found.length === 0 || score < bestScore) continue;
    const home = { module, group, found: functions(found) + functions(foundGlobals) };
    if (score > bestScore) best = [home];
    else best.push(home);
    bestScore = score;
  }
  if (best.length > 0) return best;
  if (functions(foundGlobals) === 0) return [];
  return [{ module, group: undefined, found: functions(foundGlobals) }];
}

/**
 * The linked symbol of a definition or reference of the base object: by the unit's own group for locals; for globals the
 * module's definition, or the only local of that name (hidden globals become local in a linked file).
 */
export function linkedSymbol(home: Home, symbol: ElfSymbol): ElfSymbol | undefined {
  if (symbol.bind === 'local')
    return home.group?.symbols.find((one) => one.name === symbol.name && one.type === symbol.type);
  const symbols = moduleSymbols(home.module.elf);
  const global = symbols.globals.get(symbol.name);
  if (global) return global;
  if (symbols.undefined.has(symbol.name)) return undefined;
  const hidden = symbols.locals.get(symbol.name);
  return hidden?.length === 1 ? hidden[0] : undefined;
}

/** A definition that every object of the linked file could refer to: global, or hidden, which the linker makes local without a file's name. */
export function sharedSymbol(elf: ElfFile, name: string): ElfSymbol | undefined {
  const symbols = moduleSymbols(elf);
  return (
    symbols.globals.get(name) ??
    symbols.groups.flatMap((group) => (group.file === '' ? group.symbols : [])).find((one) => one.name === name)
  );
}

/** Bytes of a linked file at a virtual address, as the file has them; undefined outside of its sections with contents. */
export function bytesAt(elf: ElfFile, address: bigint, size: number): Uint8Array | undefined {
  for (const section of elf.sections) {
    if ((section.flags & 2) === 0 || section.address === 0n || section.data.length === 0) continue;
    const offset = Number(address - section.address);
    if (offset >= 0 && offset + size <= section.data.length) return section.data.subarray(offset, offset + size);
  }
  return undefined;
}
