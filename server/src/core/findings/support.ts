import { arrowText } from '../diff/type-words.ts';
import type { DataChange, FunctionChange, MemberChange, TypeChange } from '../diff/types.ts';
import type { DwarfVariable, SourceLocation } from '../dwarf/types.ts';
import type { ElfSymbol } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import type { Finding, Fix, HazardInput, Related, Severity } from './types.ts';

/** What a rule states; the rest of a finding is filled in by `finding`. */
export interface Statement {
  readonly code: string;
  readonly severity: Severity;
  readonly symbol: string;
  readonly message: string;
  readonly at: SourceLocation | undefined;
  readonly evidence?: Finding['evidence'];
  readonly related?: readonly Related[];
  readonly fixes?: readonly Fix[];
}

/** Completes a finding: the link to the page of its code comes last of the fixes. */
export function finding(statement: Statement): Finding {
  const { code, severity, symbol, message, at, evidence = {}, related = [], fixes = [] } = statement;
  return {
    code,
    severity,
    symbol,
    message,
    ...(at && { at }),
    evidence,
    related,
    fixes: [...fixes, { title: `Read about ${code}`, kind: 'open-docs', data: { code } }],
  };
}

/** Fix that leaves one function out of the patch. */
export const leaveOut = (name: string): Fix => ({
  title: `Leave ${name} out of the patch`,
  kind: 'leave-out',
  data: { function: name },
});

/** Fix that takes the edit at a place back to the baseline's text; none where the place is unknown. */
export const revertHunk = (at: SourceLocation | undefined, what: string): readonly Fix[] =>
  at ? [{ title: `Take back the change of ${what}`, kind: 'revert-hunk', data: { file: at.file, line: at.line } }] : [];

/** Fix that puts text in front of a line. */
export const insertBefore = (at: SourceLocation | undefined, title: string, text: string): readonly Fix[] =>
  at ? [{ title, kind: 'insert-text', data: { file: at.file, line: at.line, text } }] : [];

/** A file that several units may include, by its name. */
export const isHeader = (path: string): boolean => /\.(h|hh|hpp|inc|def)$/.test(path);

/** A path without its folders. */
export const shortName = (path: string): string => path.replace(/^.*\//, '');

/** `1 byte`, `8 bytes`. */
export const bytes = (count: number): string => `${count} byte${count === 1 ? '' : 's'}`;

/** `a`, `a and b`, `a, b and 3 more`. */
export function listed(names: readonly string[], limit = 4): string {
  if (names.length === 0) return 'nothing';
  if (names.length > limit) return `${names.slice(0, limit).join(', ')} and ${names.length - limit} more`;
  const last = names.at(-1)!;
  return names.length === 1 ? last : `${names.slice(0, -1).join(', ')} and ${last}`;
}

/** C spelling of a changed type. */
export const labelOf = (type: TypeChange): string =>
  type.label ?? (type.kind === 'typedef' || type.kind === 'base' ? type.name : `${type.kind} ${type.name}`);

/** Place of a member in bytes, for bit-fields with the bit: `8`, `4 bit 3`. */
export function offsetText(bits: number): string {
  return bits % 8 === 0 ? String(bits / 8) : `${Math.floor(bits / 8)} bit ${bits % 8}`;
}

/** Size of a member in words: `4 bytes`, `3 bits`. */
export const sizeText = (bits: number): string =>
  bits % 8 === 0 ? bytes(bits / 8) : `${bits} bit${bits === 1 ? '' : 's'}`;

/** One line about a member's change, e.g. `port moved from 4 to 8`. */
export function memberText(change: MemberChange): string {
  const { what, path, base, next, because } = change;
  const cause = because === undefined ? '' : ` (through ${because})`;
  const types = change.types === undefined ? '' : ` (${arrowText(change.types)})`;
  switch (what) {
    case 'moved':
    case 'bit-position':
      return `${path} moved from offset ${offsetText(base?.bitOffset ?? 0)} to ${offsetText(next?.bitOffset ?? 0)}${cause}`;
    case 'resized':
      return base?.bitSize === next?.bitSize
        ? `the elements of ${path} have another size${cause}`
        : `${path} went from ${sizeText(base?.bitSize ?? 0)} to ${sizeText(next?.bitSize ?? 0)}${cause}`;
    case 'retyped':
      return base && next && base.name !== next.name && !path.includes('.')
        ? `${path} took the place of ${base.name} with another type${types}${cause}`
        : `${path} has another type${types}${cause}`;
    case 'added':
      return `${path} is new at offset ${offsetText(next?.bitOffset ?? 0)} (${sizeText(next?.bitSize ?? 0)})`;
    case 'removed':
      return `${path} is gone (was at offset ${offsetText(base?.bitOffset ?? 0)})`;
    case 'renamed':
      return `${base?.name ?? ''} is called ${path} now`;
  }
}

/** Functions that the payload would replace: changed, and not only in line numbers. */
export function replacedFunctions(input: HazardInput): readonly FunctionChange[] {
  const { functions } = input.diff;
  const seen = replaced.get(functions);
  if (seen) return seen;
  const found = functions.filter(({ status, lineOnly }) => status === 'changed' && !lineOnly);
  replaced.set(functions, found);
  return found;
}
/** Asked by many hazards, some of them once per symbol. */
const replaced = new WeakMap<readonly FunctionChange[], readonly FunctionChange[]>();

/** Functions whose code the payload carries: replaced and new ones. */
export const carriedFunctions = (input: HazardInput): readonly FunctionChange[] =>
  input.diff.functions.filter(({ status, lineOnly }) => status !== 'removed' && !lineOnly);

/** Name of the section a symbol is defined in; empty for undefined, absolute and common symbols. */
export function sectionName(object: ObjectModel, symbol: ElfSymbol | undefined): string {
  return typeof symbol?.place === 'number' ? (object.elf.sections[symbol.place]?.name ?? '') : '';
}

/** The debug information's entry for the data object of a symbol. */
export function variableOf(object: ObjectModel, symbol: ElfSymbol | undefined): DwarfVariable | undefined {
  if (typeof symbol?.place !== 'number') return undefined;
  return object.dwarf.variables.find(({ place }) => place?.section === symbol.place && place.offset === symbol.offset);
}

/** What a person would call a data object: a static local by its function, without the compiler's number. */
export function dataName(data: DataChange): string {
  if (!data.staticLocal) return data.name;
  // gcc numbers them (`seq.4`), clang puts the function in front (`next_id.seq`); C names have no dots.
  const plain = data.name.replace(/((\.(lto_priv|llvm|constprop|isra|part))?\.\d+)+$/, '').replace(/^.*\./, '');
  return data.scope ? `${plain} in ${data.scope}()` : plain;
}

/** Names that the compiler makes up for constants, which travel with the code that uses them. */
const generated =
  /^(\.L|__func__|__FUNCTION__|__PRETTY_FUNCTION__|CSWTCH|switch\.table|C\.\d|str\.?\d*$|\.str|__const\.|__compound_literal\.\d|anon\.)/;

/** True for read-only data without a C name of its own: literals, `__func__`, switch tables, initialisers of automatic variables. */
export const isGenerated = (data: DataChange): boolean =>
  data.name === '' ||
  (data.readOnly && generated.test(data.name.replace(/^[\w$]+\.(?=__func__|__FUNCTION__|__PRETTY_FUNCTION__)/, '')));

/**
 * Place in the edited source for something that only the old source has: its old line, moved by the edits above it; within an edited part,
 * the first line of that part. Without the edits: the old line as it is.
 */
export function afterEdits(input: HazardInput, at: SourceLocation | undefined): SourceLocation | undefined {
  const hunks = at && input.edits?.get(at.file);
  if (!hunks) return at;
  let shift = 0;
  for (const { baseStart, baseCount, nextStart, nextCount } of hunks) {
    if (at.line < baseStart) break;
    if (at.line < baseStart + baseCount) return { file: at.file, line: Math.max(nextStart, 1) };
    shift += nextCount - baseCount;
  }
  return { file: at.file, line: at.line + shift };
}

/** First line of the unit's own source file: the place of findings about the object as a whole. */
export function unitPlace(input: HazardInput): SourceLocation | undefined {
  const { provenance, next, base } = input.pair;
  const isSource = /\.(c|S|s|asm|sx|i)$/.test(provenance.unit);
  const unit = next.dwarf.units[0] ?? base.dwarf.units[0];
  // The build may name it from a folder of its own: the debug information knows which.
  const folder = unit?.compDir ?? '';
  if (isSource && (provenance.unit.startsWith('/') || folder === '')) return { file: provenance.unit, line: 1 };
  const name = isSource ? provenance.unit : (unit?.name ?? '');
  if (name === '') return undefined;
  return { file: name.startsWith('/') || folder === '' ? name : `${folder}/${name}`, line: 1 };
}
