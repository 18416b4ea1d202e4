import { isCode, isRelro, SHF } from '../asm/places.ts';
import { relocationMeaning } from '../asm/relocation.ts';
import { exactBias } from './bias.ts';
import type { Side } from './meaning.ts';

/** Per read-only section, the sorted offsets that relocations refer to: where nameless constants start. */
export function collectStarts(side: Side): Map<number, number[]> {
  const { elf } = side;
  const starts = new Map<number, Set<number>>();
  const readOnly = elf.symbols.map(({ place }) => {
    const section = typeof place === 'number' ? elf.sections[place] : undefined;
    if (!section) return false;
    const flags = section.flags & (SHF.alloc | SHF.exec | SHF.write | SHF.merge);
    return flags === SHF.alloc || (flags === (SHF.alloc | SHF.write) && isRelro(section));
  });
  for (const from of elf.sections) {
    if (!(from.flags & SHF.alloc)) continue;
    const code = isCode(from);
    for (const relocation of elf.relocationsOf(from.index)) {
      if (!readOnly[relocation.symbol]) continue;
      const symbol = elf.symbols[relocation.symbol]!;
      const place = symbol.place as number;
      let offset = symbol.offset;
      if (symbol.type === 'section') {
        const relative = relocationMeaning(elf.machine, relocation.type).pcRelative;
        // Entries of tables of relative offsets count from a start that is not known here.
        if (relative && !code) continue;
        offset += relocation.addend + (relative && elf.machine === 62 ? exactBias(side, from, relocation.offset) : 0);
      }
      let set = starts.get(place);
      if (!set) {
        set = new Set();
        starts.set(place, set);
      }
      set.add(offset);
    }
  }
  return new Map([...starts].map(([section, set]) => [section, [...set].sort((a, b) => a - b)]));
}
