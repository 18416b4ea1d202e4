import { equalBytes } from '../asm/bytes.ts';
import { isDataLabel } from '../asm/labels.ts';
import { isRecord, placesOf } from '../asm/places.ts';
import { relocationTarget } from '../asm/targets.ts';
import { referencesOf } from '../diff/references.ts';
import type { DataChange } from '../diff/types.ts';
import { relocationWidth } from '../elf/constants.ts';
import type { ElfSymbol, Section } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import { specialKind } from '../special/kinds.ts';
import { bootList } from './data.ts';
import { running } from './layout-finding.ts';
import { finding, listed, unitPlace } from './support.ts';
import type { Finding, Hazard, HazardInput } from './types.ts';
import { uncovered } from './uncovered.ts';

const SHT_PROGBITS = 1;
const SHT_NOBITS = 8;
const SHF_WRITE = 1;
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
    const before = openSections(base);
    const after = openSections(next);
    const findings: Finding[] = [...registered(input), ...uncovered(input)];
    for (const name of [...new Set([...before.keys(), ...after.keys()])].sort()) {
      const old = before.get(name) ?? [];
      const now = after.get(name) ?? [];
      if (sameBytes(base, old, next, now)) continue;
      const was = old.flatMap((section) => wordsOf(base, section));
      const is = now.flatMap((section) => wordsOf(next, section));
      if (was.join() === is.join()) continue;
      const added = without(is, was);
      const gone = without(was, is);
      // Functions that start-up runs are named by relocation; an edited one of them is reported as init-code-changed.
      const what = startup.test(name)
        ? `functions that run at start-up differ (${name}): ${listed([...added.map((x) => `${x} is new`), ...gone.map((x) => `${x} is gone`)])}`
        : loose(input.pair.next, name) || loose(input.pair.base, name)
          ? `code or data that no symbol names differs (${name}), as in an object that was stripped of local symbols or in assembly without names`
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
    return [...findings, ...tableEntries(input)];
  },
};

/** Changes of data by the section that they are about. */
function bySection(changes: readonly DataChange[]): Map<string, DataChange[]> {
  const map = new Map<string, DataChange[]>();
  for (const data of changes) {
    const section = data.nextSection ?? data.baseSection ?? '';
    const list = map.get(section);
    if (list) list.push(data);
    else map.set(section, [data]);
  }
  return map;
}

/** New on a list that was gone through long ago. */
const isRegistered = ({ status, nextSection }: DataChange): boolean =>
  status === 'new' && bootList.test(nextSection ?? '');

/** What the edit puts on a list that was gone through long ago: by section. */
function registered(input: HazardInput): Finding[] {
  return [...bySection(input.diff.data.filter(isRegistered))].map(([section, list]) => {
    const names = list.map(({ name }) => name);
    return finding({
      code: 'edit-not-covered',
      severity: 'blocker',
      symbol: names[0]!,
      at: list[0]!.at ?? unitPlace(input),
      message: `Part of the edit would be left out: ${listed(names)} ${names.length === 1 ? 'is' : 'are'} new in ${section}, which ${running(input)} went through when it started. A new boot parameter keeps its initial value, and a function that is registered there does not run. Take this part of the change back, do its work in a load hook, or restart instead of patching.`,
      evidence: { section, added: names.slice(0, 16), removed: [] },
    });
  });
}

/** Names and texts of modules that tools read in files, and what is registered with a patch itself. */
const elsewhere = /^\.(modinfo|kpatch|livepatch|init|exit|ref|debug|note|comment)\b|^\.livepatch/;

/**
 * Entries of tables that the linker puts together from sections of one name (module parameters, registrations): new or gone, and nothing in the
 * object uses them but who reads the whole table. Those do so when the program starts.
 */
function tableEntries(input: HazardInput): Finding[] {
  const entries = input.diff.data.filter((data) => {
    const name = data.nextSection ?? data.baseSection;
    if (data.status === 'changed' || name === undefined || isRegistered(data)) return false;
    if (covered.test(name) || elsewhere.test(name) || specialKind(name) || /^\.(data|bss)\.|percpu/.test(name))
      return false;
    const object = data.status === 'new' ? input.pair.next : input.pair.base;
    const symbol = data.next ?? data.base;
    return typeof symbol?.place === 'number' && !isUsed(object, symbol);
  });
  return [...bySection(entries)].map(([section, changes]) => {
    const added = changes.filter(({ status }) => status === 'new').map(({ name }) => name);
    const gone = changes.filter(({ status }) => status === 'removed').map(({ name }) => name);
    const what = listed([...added.map((x) => `${x} is new`), ...gone.map((x) => `${x} is gone`)]);
    return finding({
      code: 'edit-not-covered',
      severity: 'blocker',
      symbol: (added[0] ?? gone[0])!,
      at: changes.find(({ at }) => at)?.at ?? unitPlace(input),
      message: `Part of the edit would be left out: the table in ${section} differs (${what}), and no code uses the entry by itself. Whoever reads that table does so when the program starts or a module is loaded. Take this part of the change back, or restart instead of patching.`,
      evidence: { section, added: added.slice(0, 16), removed: gone.slice(0, 16) },
    });
  });
}

/** Whether code or another variable of the object refers to a variable; lists for tools of the build do not count. */
function isUsed(object: ObjectModel, symbol: ElfSymbol): boolean {
  return referencesOf(object).some(
    ({ target, section }) => target.index === symbol.index && specialKind(section.name)?.kind !== 'discarded',
  );
}

/** The sections that nothing else accounts for, by name. */
function openSections(object: ObjectModel): Map<string, Section[]> {
  const { elf } = object;
  const named = new Set<number>();
  const places = placesOf(elf);
  for (const symbol of elf.symbols) {
    const { type, place } = symbol;
    if (typeof place !== 'number') continue;
    if (type === 'object' || type === 'tls' || type === 'func' || isDataLabel(elf, symbol)) named.add(place);
  }
  const map = new Map<string, Section[]>();
  for (const section of elf.sections) {
    if ((section.flags & SHF_ALLOC) === 0 || (section.flags & (SHF_MERGE | SHF_TLS)) !== 0) continue;
    if (named.has(section.index) || section.size === 0 || specialKind(section.name)) continue;
    const nameless = isLoose(section);
    if ((section.flags & SHF_EXECINSTR) !== 0 && (!nameless || places.bodiesIn(section.index).length > 0)) continue;
    if (covered.test(section.name) && !nameless) continue;
    if (
      section.type !== SHT_PROGBITS &&
      !nameless &&
      !startup.test(section.name) &&
      !section.name.startsWith('.fini_array')
    )
      continue;
    const list = map.get(section.name);
    if (list) list.push(section);
    else map.set(section.name, [section]);
  }
  return map;
}

/** Byte by byte the same, without relocations: the usual case, and quickly told. */
function sameBytes(base: ObjectModel, old: readonly Section[], next: ObjectModel, now: readonly Section[]): boolean {
  if (old.length !== now.length) return false;
  return old.every((one, at) => {
    const other = now[at]!;
    if (one.data.length !== other.data.length || one.size !== other.size) return false;
    if (base.elf.relocationsOf(one.index).length > 0 || next.elf.relocationsOf(other.index).length > 0) return false;
    return equalBytes(one.data, 0, other.data, 0, one.data.length);
  });
}

/**
 * Code, or data that is written: where no symbol names any of it, nothing else looks at its contents. Constants without a name, and what sanitizers keep for themselves, go with their users.
 * `.LPBX0` is gcc's own record of an object with counters (struct gcov_info, --coverage): it holds a stamp of the source's text.
 */
function isLoose(section: Section): boolean {
  const { name, flags, type } = section;
  if (isRecord(section)) return false;
  if (type === SHT_NOBITS) return /^\.l?bss(\.|$)/.test(name);
  if (type !== SHT_PROGBITS || /^\.(data\.rel\.ro|eh_frame|livepatch\.)|\.LPBX\d+$/.test(name)) return false;
  return (flags & SHF_EXECINSTR) !== 0 || ((flags & SHF_WRITE) !== 0 && /^\.data(\.|$)/.test(name));
}

function loose({ elf }: ObjectModel, name: string): boolean {
  return elf.sectionsNamed(name).some(isLoose);
}

/** The relocations of a section as words, and its bytes outside of them as one. */
function wordsOf({ elf }: ObjectModel, section: Section): string[] {
  if (section.type === SHT_NOBITS) return [`${section.size} bytes`];
  const words: string[] = [];
  const bytes = new Uint8Array(section.data);
  const places = placesOf(elf);
  for (const relocation of elf.relocationsOf(section.index)) {
    const { offset, type } = relocation;
    bytes.fill(0, offset, offset + (relocationWidth(elf.machine, type) || 8));
    const target = relocationTarget(places, relocation, 0);
    // A place without a name goes by its section.
    const name = target.symbol?.name ?? elf.symbols[relocation.symbol]?.name ?? '';
    const rest = target.symbol ? target.delta : relocation.addend;
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
