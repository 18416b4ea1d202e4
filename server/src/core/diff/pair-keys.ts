import { placesOf } from '../asm/places.ts';
import { relocationTarget } from '../asm/targets.ts';
import type { DwarfVariable } from '../dwarf/types.ts';
import type { ElfSymbol } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import { withoutBits } from '../special/index.ts';
import { lineSaid } from './line-text.ts';

/** A name with every number that the compiler appended taken out: `f.part.0.isra.1` → `f.part.isra`, `count.3` → `count`. */
export function cloneStem(name: string): string {
  return name.includes('.') ? name.replace(/\.\d+(?=\.|$)/g, '') : name;
}

/** Static variables of functions, by section and offset, from the debug information. */
type Statics = ReadonlyMap<number, ReadonlyMap<number, DwarfVariable>>;

const knownStatics = new WeakMap<ObjectModel, Statics>();

function staticsOf(object: ObjectModel): Statics {
  let statics = knownStatics.get(object);
  if (!statics) {
    const found = new Map<number, Map<number, DwarfVariable>>();
    for (const variable of object.dwarf.variables) {
      const { place, scope } = variable;
      if (!place || !scope) continue;
      let inSection = found.get(place.section);
      if (!inSection) {
        inSection = new Map();
        found.set(place.section, inSection);
      }
      inSection.set(place.offset, variable);
    }
    statics = found;
    knownStatics.set(object, statics);
  }
  return statics;
}

/** The debug information's entry of a static variable of a function. */
export function staticOf(object: ObjectModel, { place, offset }: ElfSymbol): DwarfVariable | undefined {
  return typeof place === 'number' ? staticsOf(object).get(place)?.get(offset) : undefined;
}

/** Symbol index → sorted names of the functions that refer to it. */
export function collectUsers(object: ObjectModel): ReadonlyMap<number, string> {
  const places = placesOf(object.elf);
  const users = new Map<number, Set<string>>();
  for (const body of places.bodies) {
    const name = cloneStem(body.symbols[0]!.name);
    for (const relocation of object.elf.relocationsOf(body.section)) {
      if (relocation.offset < body.start || relocation.offset >= body.start + body.size) continue;
      // Bias 4 is right but for instructions with an immediate; the few bytes do not matter for telling users apart.
      const { symbol } = relocationTarget(places, relocation, object.elf.machine === 62 ? 4 : 0);
      if (!symbol) continue;
      let set = users.get(symbol.index);
      if (!set) {
        set = new Set();
        users.set(symbol.index, set);
      }
      set.add(name);
    }
  }
  return new Map([...users].map(([index, names]) => [index, [...names].sort().join(',')]));
}

/** Contents as a key: the bytes, without the line that they say the variable is on, with relocations by offset, symbol name and addend. */
export function contentsKey(object: ObjectModel, symbol: ElfSymbol): string {
  if (typeof symbol.place !== 'number') return '';
  const section = object.elf.sections[symbol.place];
  if (!section) return '';
  const end = symbol.offset + symbol.size;
  const side = { object, elf: object.elf, places: placesOf(object.elf) };
  const said = lineSaid({ side, symbol, variable: staticOf(object, symbol) });
  const all = section.data.subarray(symbol.offset, end);
  const bytes = said ? withoutBits(said.bits, all) : all;
  let key = Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
  for (const relocation of object.elf.relocationsOf(symbol.place)) {
    if (relocation.offset < symbol.offset || relocation.offset >= end) continue;
    const target = object.elf.symbols[relocation.symbol];
    const name = target && target.bind !== 'local' ? target.name : '';
    key += `|${relocation.offset - symbol.offset},${relocation.type},${name}`;
  }
  return key;
}
