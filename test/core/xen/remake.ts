// Takes a payload apart and writes it anew with something changed: what a bug of ours, or another tool, might hand over.
import { readElf } from '../../../server/src/core/elf/index.ts';
import { type NewRelocation, type NewSection, type NewSymbol, writeElf } from '../../../server/src/core/elf/write.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** The parts of a payload, to be changed in place. Sections and symbols may be added behind the others. */
export interface Parts {
  readonly sections: Mutable<NewSection>[];
  readonly symbols: Mutable<NewSymbol>[];
  readonly relocations: Mutable<NewRelocation>[];
  section(name: string): Mutable<NewSection>;
  /** Index of a section, for relocations and symbols. */
  at(name: string): number;
}

/** The payload with `change` applied to its parts. */
export function remake(bytes: Uint8Array, change: (parts: Parts) => void): Uint8Array {
  const { elf } = readElf(bytes);
  if (!elf) throw new Error('not an ELF file');
  const kept = elf.sections.slice(1).filter((one) => one.type !== 4 && one.type !== 2 && one.type !== 3);
  const index = new Map(kept.map((section, at) => [section.index, at]));
  const sections = kept.map((one): Mutable<NewSection> => {
    const { name, type, flags, align, entrySize } = one;
    return { name, type, flags, align, entrySize, data: one.data.slice(), ...(type === 8 ? { size: one.size } : {}) };
  });
  const symbols = elf.symbols.slice(1).map((one): Mutable<NewSymbol> => {
    const section = typeof one.place === 'number' ? index.get(one.place)! : one.place === 'abs' ? 'abs' : 'undef';
    const bind = one.bind === 'local' || one.bind === 'weak' ? one.bind : 'global';
    const type = one.type === 'func' || one.type === 'object' || one.type === 'section' ? one.type : 'notype';
    return { name: one.type === 'section' ? '' : one.name, bind, type, section, value: one.offset, size: one.size };
  });
  const relocations = kept.flatMap((section, at) =>
    elf.relocationsOf(section.index).map(({ offset, type, symbol, addend }): Mutable<NewRelocation> => {
      return { section: at, offset, type, symbol: symbol - 1, addend };
    }),
  );
  const at = (name: string): number => {
    const found = sections.findIndex((one) => one.name === name);
    if (found < 0) throw new Error(`the payload has no ${name}: ${sections.map((one) => one.name).join(' ')}`);
    return found;
  };
  change({ sections, symbols, relocations, at, section: (name) => sections[at(name)]! });
  return writeElf({ machine: 62, sections, symbols, relocations });
}
