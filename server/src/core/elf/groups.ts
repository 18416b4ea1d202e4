import type { Problem } from '../problem.ts';
import { GRP_COMDAT, SHT_GROUP } from './constants.ts';
import type { RawSection } from './container.ts';
import type { ElfSymbol, SectionGroup } from './types.ts';

/** Reads the section groups (gABI 4.1, "Section Groups"): SHT_GROUP, COMDAT or not, with the name that identifies each. */
export function readGroups(
  sections: readonly RawSection[],
  symbols: () => readonly ElfSymbol[],
  problems: Problem[],
): SectionGroup[] {
  const groups: SectionGroup[] = [];
  // Sections of a crafted file may overlap: all groups together cannot have more members than there are sections.
  let budget = sections.length;
  for (const section of sections) {
    if (section.type !== SHT_GROUP) continue;
    const { data } = section;
    const words = Math.floor(data.length / 4);
    if (words < 1) {
      problems.push({ area: 'elf.group', message: `Section group ${section.index} is empty.`, offset: section.offset });
      continue;
    }
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    const members: number[] = [];
    for (let i = 1; i < words; i++) {
      if (budget-- <= 0) {
        problems.push({
          area: 'elf.group',
          message: 'The section groups have more members than the file has sections.',
        });
        return groups;
      }
      const member = view.getUint32(i * 4, true);
      if (member > 0 && member < sections.length) members.push(member);
      else problems.push({ area: 'elf.group', message: `Section group ${section.index} names section ${member}.` });
    }
    groups.push({
      section: section.index,
      comdat: (view.getUint32(0, true) & GRP_COMDAT) !== 0,
      signature: symbols()[section.info]?.name ?? '',
      members,
    });
  }
  return groups;
}
