import { isBookkeeping, referencesOf } from '../diff/references.ts';
import { plainName } from '../diff/signatures.ts';
import { isTagged, typeTable } from '../diff/type-table.ts';
import type { ObjectDiff, SourceEdits, TypeChange } from '../diff/types.ts';
import type { DwarfInfo, TypeRef } from '../dwarf/types.ts';
import type { ObjectModel } from '../object.ts';
import { handedOn, SEEN_BY_OTHERS } from './constants.ts';
import { CALLED_BY_OTHERS } from './function-removed.ts';
import { type MacroUse, spread } from './spread.ts';
import { finding, isHeader, labelOf, listed, shortName } from './support.ts';
import { USED_BY_OTHERS } from './symbol-scope-changed.ts';
import type { Finding, Related } from './types.ts';
import { joinWidened } from './widened-across.ts';

/** What an object of the build says of names that other units know. Plain data: kept in the cache. */
export interface UnitReach {
  /** False: without debug information nothing is known of its types. */
  readonly debug: boolean;
  /** C label of each complete struct, union and enum → hash of its layout. Compilers leave out types that the unit does not use. */
  readonly types: Readonly<Record<string, string>>;
  /** Name of a global function of another unit → functions of this unit that call it or have its address. */
  readonly calls: Readonly<Record<string, readonly string[]>>;
  /** Name of a function of a header that the compiler inlined → the header, as the debug information spells it. */
  readonly inlined: Readonly<Record<string, string>>;
  /** Headers that a type, function or variable of the debug information comes from. */
  readonly headers: readonly string[];
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
  return { debug: dwarf.present, types, calls, ...headersOf(dwarf) };
}

/** What a unit has of headers: functions that were inlined, and the headers that its debug information names. */
function headersOf(dwarf: DwarfInfo): Pick<UnitReach, 'inlined' | 'headers'> {
  const inlined: Record<string, string> = {};
  const headers = new Set<string>();
  for (const { at } of dwarf.types) if (at && isHeader(at.file)) headers.add(at.file);
  for (const { decl } of dwarf.variables) if (decl && isHeader(decl.file)) headers.add(decl.file);
  for (const one of dwarf.prototypes) {
    if (!one.decl || !isHeader(one.decl.file)) continue;
    headers.add(one.decl.file);
    if (one.inlined && one.defined) inlined[one.name] = one.decl.file;
  }
  return { inlined, headers: [...headers] };
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
  findings.some(
    ({ code, evidence }) =>
      code === 'struct-layout' ||
      code === 'struct-grown' ||
      code === 'enum-value-changed' ||
      code === 'rodata-changed' ||
      (code === 'inline-widened' && evidence.shared === true) ||
      evidence.seenByOthers === true,
  ) ||
  findings.some(isSeenByOthers);

/**
 * Findings of all units of a patch, in the light of each other and of the rest of the build: units that stay old and use a changed type
 * (`struct-layout-unpatched-users`), callers of a changed signature that stay old, and how far a header edit spread (`header-spread`).
 * @param patched units that were rebuilt to other code; the result has one list for each, in their order
 * @param others units that were not rebuilt, as far as their objects are there
 * @param same source paths of units that were rebuilt to the same code
 * @param complete `others` are all of the rest of the build: what is not among them does not call
 * @param macros uses of edited macros, by the path of the header that defines them
 */
export function crossFindings(
  patched: readonly PatchedUnit[],
  others: readonly OtherUnit[],
  same: readonly string[],
  complete: boolean,
  macros: ReadonlyMap<string, readonly MacroUse[]> = new Map(),
): Finding[][] {
  const lists = patched.map((unit) =>
    unit.findings.flatMap((one) =>
      (one.evidence.seenByOthers === true
        ? externalConstant(one, unit, patched, others, complete)
        : [acrossUnits(one, unit, patched, others, complete)]
      ).map((each) => usedAtStart(each, unit, patched, others, complete)),
    ),
  );
  const told = new Set<string>();
  for (const [index, unit] of patched.entries()) lists[index]!.push(...unpatchedUsers(unit, others, told));
  for (const [index, note] of spread(patched, same, macros)) lists[index]!.push(note);
  return joinWidened(patched, lists, others);
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
    // Assembly has no types.
    const blind = others.filter(({ file, reach }) => !reach.debug && !/\.(S|s|asm|sx)$/.test(file)).length;
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
  if (one.code === 'function-removed' || one.code === 'symbol-scope-changed')
    return seenElsewhere(one, unit, patched, others, complete);
  if (one.code !== 'signature-changed') return one;
  const change = unit.diff.signatures.find(({ name }) => name === one.symbol);
  // Of one that is no blocker, other units have nothing to add: they pass the same.
  if (!change?.external || one.severity !== 'blocker') return one;
  const stay = usersThatStay(change.name, unit, patched, others);
  const words = stay.map(({ file, name }) => userText(file, name));
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

/** A function of another unit that stays as it is; an empty name stands for data. */
interface User {
  readonly file: string;
  readonly name: string;
}

/** Who of other units refers to a symbol and is not replaced. */
function usersThatStay(
  symbol: string,
  unit: PatchedUnit,
  patched: readonly PatchedUnit[],
  others: readonly OtherUnit[],
): User[] {
  const stay: User[] = [];
  const of = (calls: UnitReach['calls']): readonly string[] => (Object.hasOwn(calls, symbol) ? calls[symbol]! : []);
  for (const { file, reach } of others) for (const name of of(reach.calls)) stay.push({ file, name });
  for (const other of patched) {
    if (other === unit) continue;
    const replaced = new Set(
      other.diff.functions.filter(({ lineOnly }) => !lineOnly).map(({ name }) => plainName(name)),
    );
    for (const name of of(reachOf(other.base).calls)) if (!replaced.has(name)) stay.push({ file: other.file, name });
  }
  return stay;
}

/** A symbol that is gone, or that other units could see and can no longer: who of them uses it. */
function seenElsewhere(
  one: Finding,
  unit: PatchedUnit,
  patched: readonly PatchedUnit[],
  others: readonly OtherUnit[],
  complete: boolean,
): Finding {
  if (!isSeenByOthers(one)) return one;
  const stay = usersThatStay(one.symbol, unit, patched, others);
  if (stay.length === 0 && !complete) return one;
  const words = stay.map(({ file, name }) => userText(file, name));
  const known =
    stay.length > 0
      ? `${listed(words)} still use${stay.length === 1 ? 's' : ''} it`
      : `none of the other ${patched.length + others.length - 1} units of the build that were looked at refers to it and stays as it is`;
  const text =
    one.code === 'function-removed'
      ? one.message.replace(CALLED_BY_OTHERS, () => known)
      : one.message.replace(
          USED_BY_OTHERS,
          () => `As the build is, ${known}${stay.length > 0 ? ': keep its scope' : ''}.`,
        );
  return {
    ...one,
    message: text,
    evidence: { ...one.evidence, unpatchedUnits: words },
    related: [
      ...stay.slice(0, 12).map(({ file }, at) => ({ at: { file, line: 1 }, message: `${words[at]} stays old` })),
      ...one.related,
    ],
  };
}

/** Whether other units could refer to what a finding says is gone or static now. */
const isSeenByOthers = ({ code, evidence }: Finding): boolean =>
  (code === 'function-removed' && evidence.external === true) ||
  (code === 'symbol-scope-changed' && evidence.base !== 'local' && evidence.next === 'local');

/**
 * A changed constant that other units can see, now that they have been looked at: a blocker where one refers to it, and where not all were looked at; else what
 * is left to tell of it.
 */
function externalConstant(
  one: Finding,
  unit: PatchedUnit,
  patched: readonly PatchedUnit[],
  others: readonly OtherUnit[],
  complete: boolean,
): Finding[] {
  const data = unit.diff.data.find(({ name, use }) => name === one.symbol && use !== undefined);
  if (!data) return [one];
  const users: string[] = [];
  for (const { file, reach } of others)
    for (const name of reach.calls[data.name] ?? []) users.push(userText(file, name));
  for (const other of patched) {
    if (other === unit) continue;
    for (const name of reachOf(other.base).calls[data.name] ?? []) users.push(userText(other.file, name));
  }
  if (users.length === 0 && !complete) return [one];
  if (users.length > 0) {
    const message = one.message.replace(
      SEEN_BY_OTHERS,
      `The old copy stays where it is, and goes on being used: by ${listed(users)}.`,
    );
    return [{ ...one, message, evidence: { ...one.evidence, unpatchedUnits: users } }];
  }
  const { seenByOthers: _, ...evidence } = one.evidence;
  const fate = handedOn(data, evidence, one.related);
  if (!fate) return [];
  const edit = one.message.slice(0, one.message.indexOf(SEEN_BY_OTHERS)).trimEnd();
  return [{ ...one, severity: fate.severity, message: `${edit} ${fate.consequence}`, evidence: fate.evidence }];
}

/** A changed constant that only functions use which nobody but main() calls: they may never run again. */
function usedAtStart(
  one: Finding,
  unit: PatchedUnit,
  patched: readonly PatchedUnit[],
  others: readonly OtherUnit[],
  complete: boolean,
): Finding {
  if (one.code !== 'rodata-changed' || one.severity !== 'note' || !complete) return one;
  const users = one.evidence.functions as readonly string[] | undefined;
  if (!users || users.length === 0) return one;
  const inUnit = (name: string): string[] =>
    referencesOf(unit.base)
      .filter(
        ({ target, from, section }) => target.name === name && from?.name !== name && !isBookkeeping(section.name),
      )
      .map(({ from, call }) => (call && from ? plainName(from.name) : ''));
  const callers = (name: string): string[] => [
    ...inUnit(name),
    ...others.flatMap(({ reach }) => reach.calls[name] ?? []),
    ...patched.flatMap((other) => (other === unit ? [] : (reachOf(other.base).calls[name] ?? []))),
  ];
  const onlyMain = users.every((name) => {
    const list = callers(name);
    return list.length > 0 && list.every((caller) => caller === 'main');
  });
  if (!onlyMain) return one;
  const names = listed(users.map((name) => `${name}()`));
  return {
    ...one,
    severity: 'review',
    message: `${one.message} Only main() calls ${names}: where it does so once, at the start, the new contents come too late. Then change what was made of the old ones, in a function that still runs.`,
    evidence: { ...one.evidence, calledBy: 'main' },
  };
}

const userText = (file: string, name: string): string =>
  name === '' ? `a pointer in ${shortName(file)}` : `${name}() in ${shortName(file)}`;
