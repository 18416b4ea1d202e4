import { createHash } from 'node:crypto';
import type { Range } from 'vscode-languageserver/node';
import { listFunction } from '../core/asm/listing.ts';
import type { AsmRow } from '../core/asm/types.ts';
import { alignRows } from '../core/diff/rows.ts';
import { matchRows } from '../core/diff/tables.ts';
import type { AlignedRow, FunctionChange, SourceHunk } from '../core/diff/types.ts';
import type { SourceLocation } from '../core/dwarf/types.ts';
import { evidenceHash } from '../core/findings/accept.ts';
import type { Finding } from '../core/findings/types.ts';
import type { ObjectModel } from '../core/object.ts';
import type { Choices, Place, ServerSettings } from '../protocol.ts';
import type { SessionApi } from '../session-types.ts';
import type { LastBuilt } from '../shell/builtStore.ts';
import { canonical } from '../shell/commandIndex.ts';
import type { UnitState } from '../shell/types.ts';
import { type Documents, type Moment, uriOf } from './documents.ts';

type Result = NonNullable<UnitState['result']>;

/** A function's listings, aligned. */
export interface Listing {
  readonly base: readonly AsmRow[];
  readonly next: readonly AsmRow[];
  readonly rows: readonly AlignedRow[];
}

/** Name of a function without the compiler's suffix: `parse.constprop.0` → `parse`. */
export const plainName = (name: string): string => name.replace(/\.(isra|constprop|part|cold|lto_priv|llvm)\b.*$/, '');

/** How a blocker is named where it is overridden. */
export const overrideKey = (finding: Pick<Finding, 'code' | 'symbol'>): string => `${finding.code}:${finding.symbol}`;

/**
 * The session as the views see it: each fact with its place in the text as it is now. Computes nothing about C or machine code
 * by itself; keeps listings, since several views ask for the same ones.
 */
export class Model {
  session: SessionApi | undefined;
  choices: Choices = { leaveOut: [], overrides: {} };
  settings: ServerSettings = { inlayHints: false, codeLens: true };
  /** URI of the folder with the pages of the findings. */
  docs = '';
  /** The patch that was built last, in this session or in one before. */
  built: LastBuilt | undefined;
  readonly documents: Documents;
  readonly #listings = new WeakMap<FunctionChange, Listing>();
  readonly #same = new WeakMap<Result, Map<string, FunctionChange>>();
  readonly #fingerprints = new WeakMap<FunctionChange, string>();
  readonly #findingFingerprints = new WeakMap<Finding, string>();
  /** `unit id\ngeneration` → what the build held. */
  readonly #moments = new Map<string, Moment>();

  constructor(documents: Documents) {
    this.documents = documents;
  }

  /** To be called for each unit event, so that marks of this generation find their way through later edits. */
  note(state: UnitState): void {
    const key = `${state.unit.id}\n${state.generation}`;
    if (this.#moments.has(key)) return;
    this.#moments.set(key, this.documents.moment());
    const keep = state.result?.generation ?? state.generation;
    for (const old of this.#moments.keys()) {
      const [unit, generation] = old.split('\n');
      if (unit === state.unit.id && Number(generation) < keep) this.#moments.delete(old);
    }
  }

  reset(): void {
    this.#moments.clear();
  }

  momentOf(state: UnitState): Moment | undefined {
    return state.result && this.#moments.get(`${state.unit.id}\n${state.result.generation}`);
  }

  get units(): readonly UnitState[] {
    return this.session?.units() ?? [];
  }

  /** Units with a result that were built from this file. */
  unitsWith(path: string): UnitState[] {
    return this.units.filter(
      (state) =>
        state.result &&
        (this.documents.same(state.unit.command.file, path) ||
          state.dependencies.some((each) => this.documents.same(each, path))),
    );
  }

  /**
   * Range of a location of a result in the text as it is now. Narrowed to `word` where the line holds it; else the location's
   * columns; else the line without its indentation.
   */
  range(state: UnitState, at: SourceLocation, word?: string): Range {
    const file = this.documents.spelling(at.file);
    const line = this.documents.lineNow(file, Math.max(0, at.line - 1), this.momentOf(state));
    return this.rangeIn(file, line, at, word);
  }

  /** The same for a line that is known already (from 0), such as the compiler's. */
  rangeIn(path: string, line: number, at?: Partial<SourceLocation>, word?: string): Range {
    const text = this.documents.line(path, line);
    const from = Math.max(0, (at?.column ?? 1) - 1);
    const found = word ? wordAt(text, word, from) : undefined;
    if (found !== undefined && word) return across(line, found, found + word.length);
    if (at?.column && at.endColumn && (at.endLine ?? at.line) === at.line && at.endColumn > at.column)
      return across(line, from, Math.min(text.length, at.endColumn));
    const indent = text.length - text.trimStart().length;
    const end = text.trimEnd().length;
    if (at?.column && from < end) {
      const token = /^(\w+|\S)/.exec(text.slice(from));
      return across(line, from, from + Math.max(1, token?.[0].length ?? 1));
    }
    return across(line, Math.min(indent, end), end);
  }

  /** URI of a file as the editor spells it. */
  uri(path: string): string {
    return uriOf(this.documents.spelling(path));
  }

  place(state: UnitState, at: SourceLocation | undefined, word?: string): Place | undefined {
    if (!at?.file) return undefined;
    const { start, end } = this.range(state, at, word);
    return {
      uri: this.uri(at.file),
      line: start.line,
      character: start.character,
      endLine: end.line,
      endCharacter: end.character,
    };
  }

  isLeftOut(change: FunctionChange): boolean {
    return change.lineOnly || this.choices.leaveOut.includes(change.name);
  }

  overrideOf(finding: Finding): string | undefined {
    return this.choices.overrides[overrideKey(finding)];
  }

  listing(result: Result, change: FunctionChange): Listing {
    const known = this.#listings.get(change);
    if (known) return known;
    const base = change.base ? listFunction(result.pair.base, change.base) : [];
    const next = change.next ? listFunction(result.pair.next, change.next) : [];
    const listing = { base, next, rows: matchRows(result.diff, change, alignRows(base, next)) };
    this.#listings.set(change, listing);
    return listing;
  }

  /** Stands for the old and the new code by meaning: the same over rebuilds and restarts while the code is the same. */
  fingerprint(result: Result, change: FunctionChange): string {
    const known = this.#fingerprints.get(change);
    if (known) return known;
    const hash = createHash('sha256').update(`${change.name} ${change.status}\n`);
    const { base, rows } = this.listing(result, change);
    // What only got another number keeps its old one: a use of the counter elsewhere in the file asks nobody to look again.
    const next = rows.flatMap((row) => (row.renumbered ? row.base : row.next) ?? []);
    for (const side of [base, next]) {
      for (const row of side) hash.update(`${row.mnemonic} ${row.operands}\n`);
      hash.update('\0');
    }
    const fingerprint = hash.digest('hex').slice(0, 32);
    this.#fingerprints.set(change, fingerprint);
    return fingerprint;
  }

  /** Stands for what a finding says and, where it is about a function that differs, for that function's code. */
  findingFingerprint(result: Result, finding: Finding): string {
    const known = this.#findingFingerprints.get(finding);
    if (known) return known;
    const hash = createHash('sha256').update(evidenceHash(finding));
    for (const change of result.diff.functions)
      if (plainName(change.name) === finding.symbol) hash.update(this.fingerprint(result, change));
    const fingerprint = hash.digest('hex').slice(0, 32);
    this.#findingFingerprints.set(finding, fingerprint);
    return fingerprint;
  }

  /** Lines that the edits of a result changed in a file. */
  hunks(result: Result, path: string): readonly SourceHunk[] {
    return result.edits.get(path) ?? result.edits.get(canonical(path)) ?? [];
  }

  find(
    unit: string,
    name: string,
  ): { readonly state: UnitState; readonly result: Result; readonly change: FunctionChange } | undefined {
    const state = this.units.find((each) => each.unit.id === unit);
    const change = state?.result?.diff.functions.find((each) => each.name === name);
    return state?.result && change ? { state, result: state.result, change } : undefined;
  }

  /** The same for a comparison with the last patch: that may hold a function which has become that of the baseline again. */
  findBuilt(unit: string, name: string): ReturnType<Model['find']> {
    const found = this.find(unit, name);
    if (found || !this.built?.units.get(unit)?.functions.has(name)) return found;
    const state = this.units.find((each) => each.unit.id === unit);
    const result = state?.result;
    if (!state || !result) return undefined;
    const known = this.#same.get(result) ?? new Map<string, FunctionChange>();
    this.#same.set(result, known);
    const change = known.get(name) ?? unchanged(result, name);
    known.set(name, change);
    return { state, result, change };
  }
}

/** A function that is as the baseline has it, in the form of one that is not. */
function unchanged({ pair }: Result, name: string): FunctionChange {
  const symbolIn = ({ elf }: ObjectModel) => elf.symbols.find((each) => each.name === name && each.type === 'func');
  const [base, next] = [symbolIn(pair.base), symbolIn(pair.next)];
  return {
    name,
    status: 'changed',
    ...(base ? { base } : {}),
    ...(next ? { next } : {}),
    baseSize: base?.size ?? 0,
    nextSize: next?.size ?? 0,
    baseInstructions: 0,
    nextInstructions: 0,
    reasons: [],
    lineOnly: false,
    changedLines: [],
  };
}

const across = (line: number, from: number, to: number): Range => ({
  start: { line, character: from },
  end: { line, character: Math.max(from, to) },
});

/** Column of `word` as a whole word in `text`, the first at or behind `from`, else the first at all. */
export function wordAt(text: string, word: string, from: number): number | undefined {
  if (!/^\w+$/.test(word)) return undefined;
  let first: number | undefined;
  for (const match of text.matchAll(/\w+/g)) {
    if (match[0] !== word) continue;
    if (match.index >= from) return match.index;
    first ??= match.index;
  }
  return first;
}

/** The identifier at a column, with its start. */
export function identifierAt(
  text: string,
  column: number,
): { readonly name: string; readonly start: number } | undefined {
  for (const match of text.matchAll(/[A-Za-z_]\w*/g))
    if (match.index <= column && column <= match.index + match[0].length) return { name: match[0], start: match.index };
  return undefined;
}
