import { referencesFrom, referencesOf } from '../diff/references.ts';
import { sameTypeOf } from '../diff/same-type.ts';
import { type TypeTable, typeTable } from '../diff/type-table.ts';
import { arrowText, typeWords } from '../diff/type-words.ts';
import type { DwarfVariable, TypeRef } from '../dwarf/types.ts';
import type { ElfSymbol } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import { running } from './layout-finding.ts';
import { carriedFunctions, finding, listed, replacedFunctions, revertHunk, sectionName } from './support.ts';
import type { Finding, HazardInput } from './types.ts';

/** What no value of a running program is kept in, or is used up when the patch comes. */
const notLive = /^\.init\b|^\.l?rodata|^\.data\.rel\.ro/;

/** A variable that keeps its bytes, and is declared with another type. */
interface Retyped {
  readonly base: DwarfVariable;
  readonly next: DwarfVariable;
  /** Symbol of the base object, where it is defined there. */
  readonly was: ElfSymbol | undefined;
  /** Symbol of the next object: that of the definition, or the undefined one of a declaration. */
  readonly symbol: ElfSymbol | undefined;
}

/**
 * Variables with static storage whose type is another one of the same size: the value that lives keeps its bits, and code of the patch takes them for something else. A
 * review where a function of the patch uses it; a note where none does, since nothing that runs reads it otherwise then.
 */
export function retypedVariables(input: HazardInput, code: string): Finding[] {
  const found = search(input);
  if (found.length === 0) return [];
  const [base, next] = [typeTable(input.pair.base.dwarf), typeTable(input.pair.next.dwarf)];
  const carried = carriedFunctions(input).flatMap((fn) => (fn.next ? [fn.next] : []));
  const references = referencesFrom(input.pair.next, carried);
  return found.flatMap((one) => {
    const users = [
      ...new Set(
        references.flatMap(({ from, target }) =>
          from && target.index === one.symbol?.index ? [`${from.name}()`] : [],
        ),
      ),
    ];
    // A declaration says nothing of its own: what is wrong with it, users show.
    if (users.length === 0 && one.next.declaration) return [];
    const words = typeWords(base, one.base.type, next, one.next.type);
    const types = words ? arrowText(words) : 'another type of the same size';
    const { name, scope, decl } = one.next;
    const called = scope === undefined ? name : `${name} in ${scope}()`;
    return finding({
      code,
      severity: users.length > 0 ? 'review' : 'note',
      symbol: scope === undefined ? name : `${scope}.${name}`,
      at: decl,
      message:
        users.length > 0
          ? `The variable ${called} has another type: ${types}. ${listed(users)} of the patch would read what ${running(input)} stored in it before with the new meaning${shared(input, one) ? ', and code outside the patch goes on with the old one' : ''}. Check that every value that can be stored now means the same under both types, or use a new variable.`
          : `The variable ${called} has another type: ${types}. No function of the patch uses it, so what ${running(input)} stored in it is read as before.`,
      evidence: { variable: called, ...(words && { base: words.base, next: words.next }), functions: users },
      related: one.base.decl ? [{ at: one.base.decl, message: 'in the running program it was declared here' }] : [],
      fixes: revertHunk(decl, called),
    });
  });
}

/** Code that stays as it is can use the variable, too. */
function shared(input: HazardInput, { base, was }: Retyped): boolean {
  if (base.external || !was) return true;
  const replaced = new Set(replacedFunctions(input).flatMap((fn) => (fn.base ? [fn.base.index] : [])));
  return referencesOf(input.pair.base).some(
    ({ from, target }) => target.index === was.index && !(from && replaced.has(from.index)),
  );
}

function search(input: HazardInput): Retyped[] {
  const { base, next } = input.pair;
  if (!base.dwarf.present || !next.dwarf.present) return [];
  const tables = [typeTable(base.dwarf), typeTable(next.dwarf)] as const;
  const same = sameTypeOf(...tables);
  const [before, after] = [variables(base), variables(next)];
  const told = toldOf(input, tables[0]);
  const found: Retyped[] = [];
  const consider = (
    from: DwarfVariable,
    to: DwarfVariable | undefined,
    was: ElfSymbol | undefined,
    symbol: ElfSymbol | undefined,
  ): void => {
    if (!to || from.name !== to.name || sizeOf(tables[0], from.type) !== sizeOf(tables[1], to.type)) return;
    if (!same(from.type, to.type) && !isFirmed(tables, from.type, to.type) && !told(from.type))
      found.push({ base: from, next: to, was, symbol });
  };
  for (const symbol of base.elf.symbols) {
    if (symbol.type !== 'object' && symbol.type !== 'tls' && symbol.type !== 'common') continue;
    const from = before.get(keyOf(symbol));
    const index = from && input.diff.pairing.get(symbol.index);
    const partner = index === undefined ? undefined : next.elf.symbols[index];
    if (!from || !partner || partner.size !== symbol.size || notLive.test(sectionName(base, symbol))) continue;
    consider(from, after.get(keyOf(partner)), symbol, partner);
  }
  const declared = new Map(
    next.dwarf.variables
      .filter(({ declaration, scope }) => declaration && scope === undefined)
      .map((one) => [one.name, one]),
  );
  const defined = new Set([...before.values()].map(({ name }) => name));
  for (const from of base.dwarf.variables) {
    if (!from.declaration || from.scope !== undefined || defined.has(from.name)) continue;
    const symbol = next.elf.symbols.find(({ name, place }) => name === from.name && place === 'undef');
    consider(from, symbol && declared.get(from.name), undefined, symbol);
  }
  return found;
}

const keyOf = ({ place, offset, name }: ElfSymbol): string => (typeof place === 'number' ? `${place}:${offset}` : name);

/** Variables that are defined, by place; those of common storage by name. */
function variables({ dwarf }: ObjectModel): ReadonlyMap<string, DwarfVariable> {
  const map = new Map<string, DwarfVariable>();
  for (const variable of dwarf.variables) {
    if (variable.declaration) continue;
    if (variable.place) map.set(`${variable.place.section}:${variable.place.offset}`, variable);
    else if (variable.external) map.set(variable.linkageName ?? variable.name, variable);
  }
  return map;
}

/** Arrays of arrays are followed so deep: in damaged debug information they may lead to themselves. */
const DEEPEST = 32;

/** Bytes; undefined where the dimensions are not known. */
function sizeOf(table: TypeTable, ref: TypeRef, depth = 0): number | undefined {
  const type = table.get(table.strip(ref));
  if (type?.kind !== 'array') return type?.size;
  const element = depth < DEEPEST ? sizeOf(table, type.target, depth + 1) : undefined;
  return element === undefined ? undefined : type.dimensions.reduce<number>((all, one) => all * (one ?? 0), element);
}

/** The type is another one because a typedef, or a struct without a name, that it goes through is: that is reported as such. */
function toldOf({ diff }: HazardInput, table: TypeTable): (ref: TypeRef) => boolean {
  const changed = new Set(diff.types.flatMap(({ base, status }) => (base && status === 'changed' ? [base.index] : [])));
  return (ref) => {
    let current = ref;
    for (let depth = 0; depth < 8; depth++) {
      if (table.typedefs(current).some((typedef) => changed.has(typedef.ref))) return true;
      const element = table.element(current);
      if (changed.has(element)) return true;
      const type = table.get(element);
      if (type?.kind !== 'pointer') return false;
      current = type.target;
    }
    return false;
  };
}

/** `void *` that says what it leads to now, or no longer does: the addresses in it are the same. */
function isFirmed([base, next]: readonly [TypeTable, TypeTable], b: TypeRef, n: TypeRef): boolean {
  const leads = (table: TypeTable, ref: TypeRef): string | undefined => {
    const type = table.get(table.strip(ref));
    if (type?.kind !== 'pointer') return undefined;
    return table.get(table.strip(type.target))?.kind ?? 'void';
  };
  const [was, is] = [leads(base, b), leads(next, n)];
  return was !== undefined && is !== undefined && (was === 'void' || is === 'void');
}
