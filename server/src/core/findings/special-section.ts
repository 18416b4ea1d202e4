import { isCode, placesOf } from '../asm/places.ts';
import type { Section } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import { bodyAt, specialKind, specialTablesOf } from '../special/index.ts';
import { entriesAbout, isLoaded, loaderOf } from './special.ts';
import { carriedFunctions, finding, listed, replacedFunctions, unitPlace } from './support.ts';
import type { Finding, Hazard, HazardInput } from './types.ts';

const ALLOC = 2;

/** Sections whose references into functions are part of the function or of its unwinding, or are looked at elsewhere. */
const ordinary =
  /^\.(l?rodata|l?data|l?bss|tdata|init|exit|eh_frame|gcc_except_table|preinit_array|init_array|fini_array|ctors|dtors|note|toc|got)/;

/** `special-section`: a table has entries about places inside a function of the payload that cannot be carried along. */
export const specialSection: Hazard = {
  codes: ['special-section'],
  find: (input) => [...unread(input), ...broken(input), ...unknown(input)],
};

/** Tables that are known, but that the target's loader does not read from a payload. */
function unread(input: HazardInput): Finding[] {
  const { pair, target } = input;
  return carriedFunctions(input).flatMap((fn) => {
    const lost = entriesAbout(pair.next, fn).filter(({ table: { kind } }) => kind.meaning && !isLoaded(kind, target));
    if (lost.length === 0 || input.diff.special.some((one) => one.function === fn.name)) return [];
    const sections = [...new Set(lost.map(({ table }) => table.section.name))];
    return [
      finding({
        code: 'special-section',
        severity: 'blocker',
        symbol: fn.name,
        at: fn.changedLines[0] ?? fn.at,
        message: `${fn.name}() has ${lost.length === 1 ? 'an entry' : `${lost.length} entries`} in ${listed(sections)} (${lost[0]!.table.kind.entry}), which ${loaderOf[target]} does not read from a payload: the new code would run without. Make the change in a function that has none, or restart instead.`,
        evidence: { sections, entries: lost.length },
      }),
    ];
  });
}

/** Tables that could not be split into entries. */
function broken(input: HazardInput): Finding[] {
  if (input.target === 'process' || carriedFunctions(input).length === 0) return [];
  return specialTablesOf(input.pair.next).problems.map(({ section, why }) =>
    finding({
      code: 'special-section',
      severity: 'blocker',
      symbol: section.name,
      at: unitPlace(input),
      message: `${section.name} cannot be split into the entries of single functions: ${why}. What it says about the changed functions cannot be carried; build with a compiler and headers that the target's kernel was built with.`,
      evidence: { section: section.name, bytes: section.size },
    }),
  );
}

/** Tables of the program's own that name places inside of functions that are replaced. */
function unknown(input: HazardInput): Finding[] {
  const findings: Finding[] = [];
  const { next } = input.pair;
  const replaced = new Map(
    replacedFunctions(input).flatMap((fn) => {
      const body = fn.next && placesOf(next.elf).bodyOf(fn.next);
      return body ? [[body, fn] as const] : [];
    }),
  );
  if (replaced.size === 0) return findings;
  for (const section of next.elf.sections) {
    if (!isOwnTable(next, section)) continue;
    const counts = new Map<string, number>();
    for (const { symbol, addend } of next.elf.relocationsOf(section.index)) {
      const target = next.elf.symbols[symbol];
      if (typeof target?.place !== 'number' || !isCode(next.elf.sections[target.place])) continue;
      const offset = target.offset + addend;
      const body = bodyAt(placesOf(next.elf), target.place, offset);
      const fn = body && replaced.get(body);
      // The start of a function is its address: a pointer that leads to the new code through the old.
      if (fn && offset > body.start) counts.set(fn.name, (counts.get(fn.name) ?? 0) + 1);
    }
    for (const [name, count] of counts) {
      const fn = input.diff.functions.find((one) => one.name === name);
      findings.push(
        finding({
          code: 'special-section',
          severity: 'blocker',
          symbol: name,
          at: fn?.changedLines[0] ?? fn?.at,
          message: `The section ${section.name} names ${count === 1 ? 'a place' : `${count} places`} inside ${name}(). Whoever reads that table in ${loaderOf[input.target]} knows the places in the old code only, and would miss the new ones. Make the change in a function without such entries, or restart instead.`,
          evidence: { section: section.name, entries: count },
        }),
      );
    }
  }
  return findings;
}

/** A loaded section of data without names that is none of the usual ones. */
function isOwnTable({ elf }: ObjectModel, section: Section): boolean {
  if ((section.flags & ALLOC) === 0 || isCode(section) || section.size === 0) return false;
  if (ordinary.test(section.name) || specialKind(section.name)) return false;
  return !elf.symbols.some(({ place, type }) => place === section.index && (type === 'object' || type === 'tls'));
}
