import type { Resolved } from '../core/payload/link.ts';
import type { ImportedSymbol } from '../core/payload/types.ts';
import type { Helper } from './helper.ts';
import { type DynamicInfo, type DynamicSymbol, type LoadedModule, type ReadMemory, readDynamic } from './image.ts';

const STT = { object: 1, func: 2, tls: 6, ifunc: 10 } as const;
const IRELATIVE = 37;

/** A name that could not be resolved, with the reason. */
export interface SymbolProblem {
  readonly reason: 'symbol-unresolved' | 'symbol-ambiguous';
  readonly message: string;
}

interface Loaded {
  readonly module: LoadedModule;
  readonly info: DynamicInfo;
}

/**
 * Resolves names as the dynamic linker did: in the order of its list of loaded objects, those of the start only; objects
 * that were opened later are asked when nobody else has the name, and have to agree.
 */
export class ProcessSymbols {
  readonly #read: ReadMemory;
  readonly #helper: Helper;
  readonly #modules: readonly LoadedModule[];
  readonly #patched: LoadedModule;
  readonly #prepare: () => Promise<void>;
  #order: Promise<{ start: Loaded[]; later: Loaded[] }> | undefined;

  constructor(helper: Helper, modules: readonly LoadedModule[], patched: LoadedModule, prepare: () => Promise<void>) {
    this.#helper = helper;
    this.#read = (address, size) => helper.tryRead(address, size);
    this.#modules = modules;
    this.#patched = patched;
    this.#prepare = prepare;
  }

  /** Address of an import, or why there is none. Undefined result: a weak reference may be left empty. */
  async resolve(symbol: ImportedSymbol): Promise<Resolved | SymbolProblem | undefined> {
    if (symbol.address !== undefined && symbol.module !== undefined) {
      const module = this.#modules.find((one) => one.buildId === symbol.module);
      if (!module)
        return { reason: 'symbol-unresolved', message: `${symbol.name} is in a file that the process has not loaded.` };
      const value = Number(symbol.address);
      if (symbol.kind === 'tls') return this.#threadLocal(symbol.name, module, value);
      if (symbol.resolver)
        return this.#chosen(value + module.bias, symbol.slot === undefined ? [] : [Number(symbol.slot) + module.bias]);
      return { address: value + module.bias };
    }
    return this.#global(symbol.name);
  }

  /** The executable's block lies directly below the thread pointer (psABI, variant II). */
  #threadLocal(name: string, module: LoadedModule, value: number): Resolved | SymbolProblem {
    if (module !== this.#modules[0] || !module.tls)
      return {
        reason: 'symbol-unresolved',
        message: `${name} is thread-local data of a shared object; only that of the executable can be reached from a patch.`,
      };
    return { threadOffset: value - Math.ceil(module.tls.size / module.tls.align) * module.tls.align };
  }

  async #load(): Promise<{ start: Loaded[]; later: Loaded[] }> {
    const loaded: Loaded[] = [];
    for (const module of this.#modules) {
      const info = module.path === '[vdso]' ? undefined : await readDynamic(this.#read, module);
      if (info) loaded.push({ module, info });
    }
    const order = await this.#linkMap(loaded);
    const names = (one: Loaded): string[] => [
      ...(one.info.soname ? [one.info.soname] : []),
      one.module.path.slice(one.module.path.lastIndexOf('/') + 1),
    ];
    const closure = new Set<Loaded>();
    const queue = order.slice(0, 1);
    while (queue.length > 0) {
      const one = queue.shift()!;
      if (closure.has(one)) continue;
      closure.add(one);
      for (const wanted of one.info.needed)
        queue.push(...order.filter((other) => names(other).includes(wanted.slice(wanted.lastIndexOf('/') + 1))));
    }
    // What was loaded at the start stands before what was opened later; preloaded objects are in between.
    let last = 0;
    for (const [index, one] of order.entries()) if (closure.has(one)) last = index;
    return { start: order.slice(0, last + 1), later: order.slice(last + 1) };
  }

  /** Order of the dynamic linker's list; order of addresses where there is none (a static program). */
  async #linkMap(loaded: readonly Loaded[]): Promise<Loaded[]> {
    const debug = loaded.find((one) => one.module === this.#modules[0])?.info.debug ?? 0;
    const head = debug ? await this.#read(debug, 16) : undefined;
    if (!head) return [...loaded];
    const order: Loaded[] = [];
    let at = Number(new DataView(head.buffer).getBigUint64(8, true));
    for (let count = 0; at !== 0 && count < 4096; count++) {
      const entry = await this.#read(at, 32);
      if (!entry) break;
      const data = new DataView(entry.buffer);
      const dynamic = Number(data.getBigUint64(16, true));
      const one = loaded.find((candidate) => candidate.module.dynamic?.address === dynamic);
      if (one) order.push(one);
      at = Number(data.getBigUint64(24, true));
    }
    return order.length > 0 ? order : [...loaded];
  }

  async #global(name: string): Promise<Resolved | SymbolProblem | undefined> {
    this.#order ??= this.#load();
    const { start, later } = await this.#order;
    const version = this.#wanted(name, [...start, ...later]);
    for (const one of start) {
      const symbol = defined(one, name, version);
      if (symbol) return this.#value(name, one, symbol, [...start, ...later]);
    }
    const others = later.flatMap((one) => {
      const symbol = defined(one, name, version);
      return symbol ? [{ one, symbol }] : [];
    });
    const own = others.find(({ one }) => one.module === this.#patched);
    if (own) return this.#value(name, own.one, own.symbol, [...start, ...later]);
    if (others.length > 1)
      return {
        reason: 'symbol-ambiguous',
        message: `${name} is in several objects that the process opened: ${others.map(({ one }) => one.module.path).join(', ')}.`,
      };
    const only = others[0];
    return only && this.#value(name, only.one, only.symbol, [...start, ...later]);
  }

  /** The version that the patched file asks for, where it uses the name already. */
  #wanted(name: string, loaded: readonly Loaded[]): string | undefined {
    const own = loaded.find((one) => one.module === this.#patched);
    return own?.info.byName.get(name)?.find((symbol) => !symbol.defined)?.version;
  }

  async #value(
    name: string,
    where: Loaded,
    symbol: DynamicSymbol,
    all: readonly Loaded[],
  ): Promise<Resolved | SymbolProblem> {
    if (symbol.type === STT.tls) return this.#threadLocal(name, where.module, symbol.value);
    if (symbol.type !== STT.ifunc) return { address: symbol.value };
    const slots = [
      ...where.info.slots
        .filter((slot) => slot.type === IRELATIVE && slot.addend + where.module.bias === symbol.value)
        .map((slot) => slot.address),
      ...all.flatMap((one) =>
        one.info.slots
          .filter((slot) => slot.type !== IRELATIVE && one.info.symbols[slot.symbol]?.name === name)
          .map((slot) => slot.address),
      ),
    ];
    return this.#chosen(symbol.value, slots, where.module);
  }

  /** The function that a resolver chose: out of a slot that is filled already, else by asking it in the process. */
  async #chosen(resolver: number, slots: readonly number[], module?: LoadedModule): Promise<Resolved> {
    for (const slot of slots) {
      const bytes = await this.#read(slot, 8);
      if (!bytes) continue;
      const value = Number(new DataView(bytes.buffer).getBigUint64(0, true));
      const inside = (module ? [module] : this.#modules).some((one) =>
        one.executable.some((range) => range.start <= value && value < range.end),
      );
      if (inside && value !== resolver) return { address: value };
    }
    await this.#prepare();
    return { address: await this.#helper.call(resolver) };
  }
}

/** The definition that a reference binds to: of the wanted version, else the default one. */
function defined(loaded: Loaded, name: string, version: string | undefined): DynamicSymbol | undefined {
  const all = loaded.info.byName.get(name)?.filter((symbol) => symbol.defined) ?? [];
  if (all.length === 0) return undefined;
  return (
    (version === undefined ? undefined : all.find((symbol) => symbol.version === version)) ??
    all.find((symbol) => symbol.isDefault) ??
    (version === undefined ? all[0] : undefined)
  );
}
