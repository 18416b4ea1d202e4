import { referencesOf } from '../diff/references.ts';
import { plainName } from '../diff/signatures.ts';
import { isTagged, typeTable } from '../diff/type-table.ts';
import type { ObjectDiff, SourceEdits, TypeChange } from '../diff/types.ts';
import type { DwarfInfo, TypeRef } from '../dwarf/types.ts';
import type { ObjectModel } from '../object.ts';
import { finding, labelOf, listed } from './support.ts';
import type { Finding, Related } from './types.ts';

/** What an object of the build says of names that other units know. Plain data: kept in the cache. */
export interface UnitReach {
  /** False: without debug information nothing is known of its types. */
  readonly debug: boolean;
  /** C label of each complete struct, union and enum → hash of its layout. Compilers leave out types that the unit does not use. */
  readonly types: Readonly<Record<string, string>>;
  /** Name of a global function of another unit → functions of this unit that call it or have its address. */
  readonly calls: Readonly<Record<string, readonly string[]>>;
}

/** A unit of the build that is not in the patch. */
export interface OtherUnit {
  /** Source path. */
  readonly file: string;
  readonly reach: UnitReach;
}

/** A unit of the patch. */
export interface PatchedUnit {
  readonly file: string;
  readonly base: ObjectModel;
  readonly diff: ObjectDiff;
  /** Of the unit alone. */
  readonly findings: readonly Finding[];
  readonly edits: SourceEdits;
}

/** Reads what `crossFindings` needs of one object. */
export function reachOf(object: ObjectModel): UnitReach {
  const types: Record<string, string> = {};
  const { dwarf } = object;
  const table = typeTable(dwarf);
  for (const type of dwarf.types) {
    if (!isTagged(type) || type.declaration) continue;
    const label = table.label(type.index);
    if (label !== '' && types[label] === undefined) types[label] = layoutHash(dwarf, type.index);
  }
  const calls: Record<string, string[]> = {};
  for (const { from, target } of referencesOf(object)) {
    if (target.place !== 'undef' || target.name === '') continue;
    calls[target.name] ??= [];
    const list = calls[target.name]!;
    const name = from ? plainName(from.name) : '';
    if (!list.includes(name)) list.push(name);
  }
  return { debug: dwarf.present, types, calls };
}

/** Same hash: same size, members and enumerators at the same places. Types inside count by their size only. */
function layoutHash(dwarf: DwarfInfo, ref: TypeRef): string {
  const table = typeTable(dwarf);
  const type = table.get(ref)!;
  const members = table.flatMembers(ref).map((m) => `${m.name}:${m.bitOffset}:${m.bitSize}`);
  const enumerators = type.enumerators.map(({ name, value }) => `${name}=${value}`);
  return hash(`${type.size} ${members.join()} ${enumerators.join()}`);
}

/** 53 bits of text (cyrb53): tells layouts apart, no security. */
function hash(text: string): string {
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    a = Math.imul(a ^ code, 2654435761);
    b = Math.imul(b ^ code, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return (4294967296 * (2097151 & b) + (a >>> 0)).toString(36);
}

/** Whether a unit's findings can be told better by looking at the rest of the build. */
export const wantsReach = ({ diff, findings }: Pick<PatchedUnit, 'diff' | 'findings'>): boolean =>
  diff.signatures.some(({ external }) => external) ||
  findings.some(({ code }) => code === 'struct-layout' || code === 'struct-grown' || code === 'enum-value-changed');

const shortName = (path: string): string => path.replace(/^.*\//, '');

/**
 * Findings of all units of a patch, in the light of each other and of the rest of the build: units that stay old and use a changed type
 * (`struct-layout-unpatched-users`), callers of a changed signature that stay old, and how far a header edit spread (`header-spread`).
 * @param patched units that were rebuilt to other code; the result has one list for each, in their order
 * @param others units that were not rebuilt, as far as their objects are there
 * @param same source paths of units that were rebuilt to the same code
 * @param complete `others` are all of the rest of the build: what is not among them does not call
 */
export function crossFindings(
  patched: readonly PatchedUnit[],
  others: readonly OtherUnit[],
  same: readonly string[],
  complete: boolean,
): Finding[][] {
  const lists = patched.map((unit) => unit.findings.map((one) => acrossUnits(one, unit, patched, others, complete)));
  const told = new Set<string>();
  for (const [index, unit] of patched.entries()) lists[index]!.push(...unpatchedUsers(unit, others, told));
  for (const [index, note] of spread(patched, same)) lists[index]!.push(note);
  return lists;
}

/** One finding for each changed type that units outside of the patch use. */
function unpatchedUsers(unit: PatchedUnit, others: readonly OtherUnit[], told: Set<string>): Finding[] {
  const findings: Finding[] = [];
  for (const one of unit.findings) {
    if (one.code !== 'struct-layout' && one.code !== 'struct-grown' && one.code !== 'enum-value-changed') continue;
    if (one.severity !== 'blocker' || told.has(one.symbol)) continue;
    const type = unit.diff.types.find((change) => labelOf(change) === one.symbol);
    if (!type) continue;
    told.add(one.symbol);
    const users = usersOf(unit, type, others);
    const blind = others.filter(({ reach }) => !reach.debug).length;
    if (users.length === 0) {
      if (blind > 0) findings.push(notKnown(one, blind));
      continue;
    }
    const names = users.map(shortName);
    const plural = users.length === 1 ? 'is' : 'are';
    findings.push(
      finding({
        code: 'struct-layout-unpatched-users',
        severity: 'blocker',
        symbol: one.symbol,
        at: one.at,
        message: `${listed(names)} use${users.length === 1 ? 's' : ''} ${one.symbol} and ${plural} not in the patch: ${users.length === 1 ? 'it goes' : 'they go'} on with the old ${type.kind === 'enum' ? 'values' : 'layout'}, and the two halves of the program would disagree about every ${type.kind === 'enum' ? 'value' : 'instance'}. Keep the type as it is, or rebuild ${users.length === 1 ? 'it' : 'them'} into the patch.`,
        evidence: { units: users, count: users.length, ...(blind > 0 && { withoutDebugInformation: blind }) },
        related: [
          ...users.slice(0, 12).map((file) => ({ at: { file, line: 1 }, message: `${shortName(file)} uses it` })),
          ...(blind > 0
            ? [
                {
                  message: `${blind} object${blind === 1 ? '' : 's'} of the build without debug information: not known`,
                },
              ]
            : []),
        ],
      }),
    );
  }
  return findings;
}

/** Objects that do not say which types they use. */
const notKnown = (one: Finding, blind: number): Finding =>
  finding({
    code: 'struct-layout-unpatched-users',
    severity: 'note',
    symbol: one.symbol,
    at: one.at,
    message: `Whether other units use ${one.symbol} is not known: ${blind} object${blind === 1 ? '' : 's'} of the build that ${blind === 1 ? 'is' : 'are'} not in the patch ha${blind === 1 ? 's' : 've'} no debug information. Build the program with -g to be told.`,
    evidence: { withoutDebugInformation: blind },
  });

function usersOf(unit: PatchedUnit, type: TypeChange, others: readonly OtherUnit[]): string[] {
  const label = labelOf(type);
  if (!type.base || !isTagged(type.base)) return [];
  const before = layoutHash(unit.base.dwarf, type.base.index);
  const home = type.base.at?.file;
  // Another type may have the same tag in a unit of its own: the layout decides, and that a source file's own type is nobody else's.
  if (home !== undefined && /\.(c|cc|cpp)$/.test(home)) return [];
  return others
    .filter(({ reach }) => reach.types[label] === before)
    .map(({ file }) => file)
    .sort();
}

/** A finding of one unit with what the other units say of it. */
function acrossUnits(
  one: Finding,
  unit: PatchedUnit,
  patched: readonly PatchedUnit[],
  others: readonly OtherUnit[],
  complete: boolean,
): Finding {
  if (one.code !== 'signature-changed') return one;
  const change = unit.diff.signatures.find(({ name }) => name === one.symbol);
  if (!change?.external) return one;
  const stay: { readonly file: string; readonly name: string }[] = [];
  for (const { file, reach } of others) for (const name of reach.calls[change.name] ?? []) stay.push({ file, name });
  for (const other of patched) {
    if (other === unit) continue;
    const replaced = new Set(
      other.diff.functions.filter(({ lineOnly }) => !lineOnly).map(({ name }) => plainName(name)),
    );
    for (const name of reachOf(other.base).calls[change.name] ?? [])
      if (!replaced.has(name)) stay.push({ file: other.file, name });
  }
  const words = stay.map(({ file, name }) =>
    name === '' ? `a table in ${shortName(file)}` : `${name}() in ${shortName(file)}`,
  );
  const related: Related[] = stay.slice(0, 12).map(({ file, name }, index) => ({
    at: { file, line: 1 },
    message: `${words[index]} stays old${name === '' ? ' and holds its address' : ' and calls it'}`,
  }));
  const evidence = { ...one.evidence, unpatchedUnits: words };
  if (!complete && stay.length === 0) return one;
  if (stay.length > 0 || change.unpatchedCallers.length > 0 || change.addressTaken) {
    const message =
      stay.length > 0
        ? `${change.base} became ${change.next}, and ${listed(words)} stay${stay.length === 1 ? 's' : ''} old: running callers would pass the old arguments. Keep the old function and add one under a new name with the new parameters.`
        : one.message;
    return { ...one, message, evidence, related: [...related, ...one.related].slice(0, 16) };
  }
  return {
    ...one,
    severity: 'review',
    message: `${change.base} became ${change.next}. Every caller in the ${patched.length + others.length} units of the build that were looked at is in the patch: they change over together. Check that nothing else calls it: a plugin, a program that links the library, code that is loaded later.`,
    evidence,
  };
}

/** One note for each edited header: which units changed, which only compiled to the same code. At the first unit that changed. */
function spread(patched: readonly PatchedUnit[], same: readonly string[]): [number, Finding][] {
  const notes: [number, Finding][] = [];
  const headers = new Map<string, number[]>();
  for (const [index, { edits, file }] of patched.entries()) {
    for (const path of edits.keys()) {
      if (path === file || !/\.(h|hh|hpp|inc|def)$/.test(path)) continue;
      headers.set(path, [...(headers.get(path) ?? []), index]);
    }
  }
  for (const [path, indices] of headers) {
    if (indices.length + same.length < 2) continue;
    // A source that is built twice is named once.
    const changed = [...new Set(indices.map((index) => shortName(patched[index]!.file)))].sort();
    const line = patched[indices[0]!]!.edits.get(path)?.[0]?.nextStart ?? 1;
    notes.push([
      indices[0]!,
      finding({
        code: 'header-spread',
        severity: 'note',
        symbol: shortName(path),
        at: { file: path, line: Math.max(line, 1) },
        message: `The edit of ${shortName(path)} changes the code of ${listed(changed)}${same.length > 0 ? `; ${same.length} other unit${same.length === 1 ? '' : 's'} that ${same.length === 1 ? 'was' : 'were'} rebuilt came out the same` : ''}. All of them are one patch.`,
        evidence: { changed, same: same.map(shortName).sort().slice(0, 64), sameCount: same.length },
      }),
    ]);
  }
  return notes;
}
