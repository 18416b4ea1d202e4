import { isMapping, placesOf } from '../asm/places.ts';
import { isBookkeeping, referencesOf } from '../diff/references.ts';
import type { FunctionChange, LooseChange } from '../diff/types.ts';
import type { ElfSymbol } from '../elf/types.ts';
import { specialKind } from '../special/kinds.ts';
import { lineAt } from './allocations.ts';
import { finding, listed, unitPlace } from './support.ts';
import type { Finding, HazardInput } from './types.ts';

/**
 * What assembly makes and no patch of functions and variables reaches (`edit-not-covered`): code and data outside of every symbol, names of
 * numbers, entries in the middle of a function.
 */
export const uncovered = (input: HazardInput): Finding[] => [
  ...looseChanges(input),
  ...numbers(input),
  ...middleEntries(input),
];

/** Symbols that stand for a hash of a type, for whoever links or loads the object: what they are about is compared by itself. */
const HASHES = /^__(crc|kcfi_typeid)_/;

/** Names of numbers (`.set`) that other units can see: the linker put the number into their code. */
function numbers(input: HazardInput): Finding[] {
  const { base, next } = input.pair;
  const isNumber = ({ place, type, bind, name }: ElfSymbol): boolean =>
    place === 'abs' && type !== 'file' && bind !== 'local' && !HASHES.test(name);
  return base.elf.symbols.filter(isNumber).flatMap((symbol) => {
    const index = input.diff.pairing.get(symbol.index);
    const now = index === undefined ? undefined : next.elf.symbols[index];
    if (!now || !isNumber(now) || now.value === symbol.value) return [];
    return finding({
      code: 'edit-not-covered',
      severity: 'blocker',
      symbol: symbol.name,
      at: unitPlace(input),
      message: `Part of the edit would be left out: ${symbol.name} stands for the number ${now.value} instead of ${symbol.value}. The linker put the old number into all code that uses the name, in other units as well. Take this part of the change back, or restart instead of patching.`,
      evidence: { base: String(symbol.value), next: String(now.value) },
    });
  });
}

/** Code and data that no symbol covers, among named ones: by section. */
function looseChanges(input: HazardInput): Finding[] {
  const bySection = new Map<string, LooseChange[]>();
  for (const one of input.diff.loose) bySection.set(one.section, [...(bySection.get(one.section) ?? []), one]);
  return [...bySection].map(([section, list]) => {
    const first = list.find(({ side }) => side === 'next') ?? list[0]!;
    const what = first.code
      ? 'code that lies outside of every function, such as that of a .subsection that several functions share'
      : 'data without a name';
    const { offset } = first.place;
    return finding({
      code: 'edit-not-covered',
      severity: 'blocker',
      symbol: section,
      at:
        (first.side === 'next' && first.code && lineAt(input.pair.next, first.place.section, offset)) ||
        unitPlace(input),
      message: `Part of the edit would be left out: ${what} differs (${section}, byte ${offset}). A patch carries functions and variables, and nothing tells whose this is. Take this part of the change back, give the code a symbol with its type and size, or restart instead of patching.`,
      evidence: {
        section,
        places: list.slice(0, 16).map(({ side, place, size }) => `${side} +${place.offset}, ${size} bytes`),
      },
    });
  });
}

/** Changed functions that are entered in their middle as well: a redirect of their beginning does not catch who comes in there. */
function middleEntries(input: HazardInput): Finding[] {
  const { functions } = input.diff;
  const patched = new Set(functions.filter(({ status }) => status === 'changed').map(({ name }) => name));
  return functions.flatMap((change) => {
    if (change.status !== 'changed' || change.lineOnly || !change.base) return [];
    const { labels, users } = entriesOf(input, change, patched);
    if (labels.length === 0 && users.length === 0) return [];
    const by = users.length > 0 ? `${listed(users.map((name) => `${name}()`))}, outside of the patch,` : 'other code';
    const at = labels.length > 0 ? ` (${listed(labels)})` : '';
    return finding({
      code: 'edit-not-covered',
      severity: 'blocker',
      symbol: change.name,
      at: change.changedLines[0] ?? change.at ?? unitPlace(input),
      message: `Part of the edit would be left out: ${by} can enter ${change.name} in its middle${at}. A patch redirects the beginning of a function, and who comes in behind it goes on in the old code. Take the change of ${change.name} back, or restart instead of patching.`,
      evidence: { labels, users },
    });
  });
}

/** Names of a function's middle that others can see, and the code outside of the patch that goes there. */
function entriesOf(
  { pair: { base } }: HazardInput,
  { base: symbol }: FunctionChange,
  patched: ReadonlySet<string>,
): { labels: string[]; users: string[] } {
  const body = placesOf(base.elf).bodyOf(symbol!);
  if (!body) return { labels: [], users: [] };
  const isMiddle = ({ place, offset }: ElfSymbol): boolean =>
    place === body.section && body.start < offset && offset < body.start + body.size;
  const isLabel = (one: ElfSymbol): boolean =>
    one.type === 'notype' && one.name !== '' && isMiddle(one) && !isMapping(base.elf, one);
  const users = new Set<string>();
  for (const { from, target, inside, section } of referencesOf(base)) {
    if (isBookkeeping(section.name) || specialKind(section.name)) continue;
    // Tables of labels are the function's own.
    if (!isLabel(target) && !(inside && from && body.symbols.includes(target))) continue;
    const user = from?.name ?? section.name;
    if (from && (body.symbols.includes(from) || patched.has(user))) continue;
    users.add(user);
  }
  return {
    labels: base.elf.symbols.filter((one) => one.bind !== 'local' && isLabel(one)).map(({ name }) => name),
    users: [...users],
  };
}
