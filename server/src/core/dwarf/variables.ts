import { lazy } from '../elf/lazy.ts';
import type { DwarfData } from './data.ts';
import { Die } from './die.ts';
import { staticLocation } from './locations.ts';
import type { Place } from './sections.ts';
import * as s from './slots.ts';
import type { FunctionContext } from './subprograms.ts';
import type { DwarfVariable, SourceLocation } from './types.ts';

/** A DW_TAG_variable with static storage as the scan leaves it. */
export interface VariableEntry {
  readonly key: number;
  readonly name: string | undefined;
  readonly linkageName: string | undefined;
  readonly typeKey: number;
  readonly external: boolean;
  readonly declaration: boolean;
  readonly at: SourceLocation | undefined;
  readonly place: Place | undefined;
  /** Declaration or abstract instance that it completes; -1 = none. */
  readonly originKey: number;
  /** Key of the function or inlined call around it; -1 = file scope. */
  readonly scopeKey: number;
}

/** Reads a variable; undefined for automatic ones. */
export function readVariable(data: DwarfData, die: Die, scopeKey: number): VariableEntry | undefined {
  const location = staticLocation(data, die);
  if (scopeKey >= 0 && location.kind !== 'static') return undefined;
  return {
    key: die.key,
    name: die.string(s.AT_NAME),
    linkageName: die.string(s.AT_LINKAGE_NAME),
    typeKey: die.reference(s.AT_TYPE),
    external: die.flag(s.AT_EXTERNAL),
    declaration: die.flag(s.AT_DECLARATION),
    at: die.unit.declaration(die),
    place: location.kind === 'static' ? location.place : undefined,
    originKey: die.has(s.AT_ABSTRACT_ORIGIN) ? die.reference(s.AT_ABSTRACT_ORIGIN) : die.reference(s.AT_SPECIFICATION),
    scopeKey,
  };
}

/**
 * Makes the list of variables: declarations that a definition completes are merged into it, and a static local that stands
 * in an abstract instance and in each inlined copy comes out once.
 */
export function variablesOf(context: FunctionContext, entries: readonly VariableEntry[]): DwarfVariable[] {
  const byKey = new Map(entries.map((entry) => [entry.key, entry]));
  const completed = new Set<VariableEntry>();
  for (const entry of entries) {
    const origin = byKey.get(entry.originKey);
    if (origin && origin !== entry) completed.add(origin);
  }
  const byPlace = new Map<string, VariableEntry>();
  const chosen = new Set<VariableEntry>();
  for (const entry of entries) {
    if (completed.has(entry) && !entry.place) continue;
    if (entry.place && entry.scopeKey >= 0) {
      const key = `${entry.place.section}:${entry.place.offset}`;
      const known = byPlace.get(key);
      // The abstract instance carries name and type; copies only refer to it.
      if (known && (known.originKey < 0 || entry.originKey >= 0)) continue;
      byPlace.set(key, entry);
      if (known) chosen.delete(known);
    }
    chosen.add(entry);
  }
  const symbols = lazy(() => symbolsByPlace(context.data));
  return Array.from(chosen, (entry) => variable(context, entry, byKey, symbols));
}

function variable(
  context: FunctionContext,
  entry: VariableEntry,
  byKey: ReadonlyMap<number, VariableEntry>,
  symbols: () => ReadonlyMap<string, readonly string[]>,
): DwarfVariable {
  const lineage: Pick<VariableEntry, 'name' | 'linkageName' | 'typeKey' | 'external' | 'at'>[] = [entry];
  let origin = entry.originKey;
  while (origin >= 0 && lineage.length < 8) {
    const known = byKey.get(origin) ?? readOrigin(context.data, origin);
    if (!known) break;
    lineage.push(known);
    origin = known.originKey;
  }
  const typeKey = lineage.find((e) => e.typeKey >= 0)?.typeKey ?? -1;
  const name = lineage.find((e) => e.name !== undefined)?.name ?? '';
  const linkageName = lineage.find((e) => e.linkageName !== undefined)?.linkageName;
  const decl = lineage.find((e) => e.at)?.at;
  const scope =
    entry.scopeKey < 0 ? undefined : scopeName(context, entry.scopeKey) || scopeBySymbol(symbols, name, entry.place);
  return {
    name,
    ...(linkageName !== undefined && linkageName !== name ? { linkageName } : {}),
    type: typeKey >= 0 ? context.typeIndex(typeKey) : -1,
    external: lineage.some((e) => e.external),
    declaration: entry.declaration,
    ...(scope === undefined ? {} : { scope }),
    ...(decl ? { decl } : {}),
    ...(entry.place ? { place: entry.place } : {}),
  };
}

/** An abstract variable that is not in the list because it has no place of its own. */
function readOrigin(data: DwarfData, key: number): VariableEntry | undefined {
  try {
    const die = data.dieAt(key);
    return die && readVariable(data, die, -1);
  } catch {
    return undefined;
  }
}

/** Name of the function that a scope's entry is or was inlined from. */
function scopeName(context: FunctionContext, scopeKey: number): string {
  let start = context.subprogram(scopeKey);
  if (!start) {
    try {
      const die = context.data.dieAt(scopeKey, new Die());
      if (die) start = context.subprogram(die.reference(s.AT_ABSTRACT_ORIGIN));
    } catch {
      return '';
    }
  }
  return start?.lineage(context).find((entry) => entry.ownName !== undefined)?.ownName ?? '';
}

/**
 * clang leaves the statics of inlined functions in a nameless subprogram; their symbol is named `function.variable` or `function.variable.7`.
 * Empty where no symbol tells.
 */
function scopeBySymbol(
  symbols: () => ReadonlyMap<string, readonly string[]>,
  name: string,
  place: Place | undefined,
): string {
  if (!place) return '';
  for (const symbol of symbols().get(`${place.section}:${place.offset}`) ?? []) {
    // The second one of a name has a number behind it.
    const plain = symbol.replace(/\.\d+$/, '');
    if (plain.endsWith(`.${name}`)) return plain.slice(0, -name.length - 1);
  }
  return '';
}

/** Names of the data symbols by `section:offset`, those with a dot only. */
function symbolsByPlace(data: DwarfData): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const { place, offset, name, type } of data.elf.symbols) {
    if (typeof place !== 'number' || (type !== 'object' && type !== 'tls') || !name.includes('.')) continue;
    const key = `${place}:${offset}`;
    const list = found.get(key);
    if (list) list.push(name);
    else found.set(key, [name]);
  }
  return found;
}
