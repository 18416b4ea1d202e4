import type { Section } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import { specialKind } from '../special/kinds.ts';
import { finding, listed, unitPlace } from './support.ts';
import type { Finding, Hazard } from './types.ts';

const SHT_PROGBITS = 1;
const SHF_ALLOC = 2;
const SHF_EXECINSTR = 4;
const SHF_MERGE = 0x10;
const SHF_TLS = 0x400;

/**
 * Sections that belong to code or named data, which are compared on their own: literals, tables of a function, unwind tables. The lists of
 * places in the code that the kernel or the hypervisor keeps (`specialKind`) are compared per function.
 */
const covered =
  /^\.(l?rodata|l?data|l?bss|tdata|tbss|text|eh_frame|note|comment|gcc_except_table|debug|llvm|stack_sizes|livepatch\.)/;
const startup = /^\.(preinit_array|init_array|ctors)/;

/**
 * `edit-not-covered`: a section that no function and no named object accounts for differs. The payload carries functions and data, so that part
 * of the edit would be left out without a word.
 */
export const editNotCovered: Hazard = {
  codes: ['edit-not-covered'],
  find: (input) => {
    const { base, next } = input.pair;
    const before = contentsByName(base);
    const after = contentsByName(next);
    const findings: Finding[] = [];
    for (const name of [...new Set([...before.keys(), ...after.keys()])].sort()) {
      const was = before.get(name) ?? [];
      const is = after.get(name) ?? [];
      if (was.join() === is.join()) continue;
      const added = without(is, was);
      const gone = without(was, is);
      // Functions that start-up runs are named by relocation; an edited one of them is reported as init-code-changed.
      const what = startup.test(name)
        ? `functions that run at start-up differ (${name}): ${listed([...added.map((x) => `${x} is new`), ...gone.map((x) => `${x} is gone`)])}`
        : `the section ${name} differs`;
      const at = next.dwarf.prototypes.find((p) => p.defined && added.includes(p.name))?.decl ?? unitPlace(input);
      findings.push(
        finding({
          code: 'edit-not-covered',
          severity: 'blocker',
          symbol: added[0] !== undefined && startup.test(name) ? added[0] : name,
          at,
          message: `Part of the edit would be left out: ${what}. A patch carries functions and variables; what is in this section takes effect only when the program starts or is linked. Take this part of the change back, or restart instead of patching.`,
          evidence: { section: name, added: added.slice(0, 16), removed: gone.slice(0, 16) },
        }),
      );
    }
    return findings;
  },
};

/** For each section that nothing else accounts for: its relocations as words, and its bytes outside of them as one. */
function contentsByName(object: ObjectModel): Map<string, string[]> {
  const { elf } = object;
  const named = new Set<number>();
  for (const { type, place } of elf.symbols) {
    if (typeof place === 'number' && (type === 'object' || type === 'tls' || type === 'func')) named.add(place);
  }
  const map = new Map<string, string[]>();
  for (const section of elf.sections) {
    if ((section.flags & SHF_ALLOC) === 0 || (section.flags & (SHF_EXECINSTR | SHF_MERGE | SHF_TLS)) !== 0) continue;
    if (named.has(section.index) || section.size === 0) continue;
    if (covered.test(section.name) || specialKind(section.name)) continue;
    if (section.type !== SHT_PROGBITS && !startup.test(section.name) && !section.name.startsWith('.fini_array'))
      continue;
    const words = map.get(section.name) ?? [];
    words.push(...wordsOf(object, section));
    map.set(section.name, words);
  }
  return map;
}

function wordsOf({ elf }: ObjectModel, section: Section): string[] {
  const words: string[] = [];
  const bytes = new Uint8Array(section.data);
  for (const { offset, symbol, addend } of elf.relocationsOf(section.index)) {
    bytes.fill(0, offset, offset + 8);
    const target = elf.symbols[symbol];
    let name = target?.name ?? '';
    let rest = addend;
    if (target?.type === 'section' && typeof target.place === 'number') {
      const at = target.offset + addend;
      const inside = elf.symbols.find(
        (s) =>
          s.place === target.place && s.type !== 'section' && s.size > 0 && at >= s.offset && at < s.offset + s.size,
      );
      if (inside) {
        name = inside.name;
        rest = at - inside.offset;
      }
    }
    words.push(rest === 0 ? name : `${name}+${rest}`);
  }
  const text = [...bytes].map((b) => b.toString(16).padStart(2, '0')).join('');
  if (/[^0]/.test(text) || words.length === 0) words.push(text);
  return words;
}

function without(list: readonly string[], other: readonly string[]): string[] {
  const left = [...other];
  return list.filter((word) => {
    const at = left.indexOf(word);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}
