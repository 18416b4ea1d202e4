import type { AsmRow } from '../asm/types.ts';
import type { AlignedRow } from '../diff/types.ts';
import type { SourceLocation } from '../dwarf/types.ts';

/**
 * Assembly listings as text, for the native diff editor and the terminal. The grammar, line by line (the TextMate grammar in
 * `syntaxes/` colours exactly this):
 *
 *     listing     = { comment | label | instruction }
 *     comment     = "; " place [ "  " source-text ] | "; " source-text | "; inlined: " name { " > " name }
 *                 | "; jump-table: " label-name { " " label-name }
 *     place       = file-base-name ":" line
 *     label       = ".L" number ":"
 *     instruction = 4 spaces, mnemonic padded to 7 columns, space, operands | 4 spaces, mnemonic
 *
 * Operands are in the decoder's syntax (Intel for x86-64), with symbols (`counter+4`, `puts`, `errno@gottpoff`), labels (`.L2`),
 * string literals (`"text\n"`) and values of nameless constants (`0x3ff0000000000000`) in place of addresses. There are no
 * absolute addresses and no padding, so that a text comparison of two listings shows only real changes.
 */

/** How a listing is written. */
export interface ListingOptions {
  /** Text of a source line; undefined where it is not known. */
  readonly source?: (file: string, line: number) => string | undefined;
  /** Line numbers in comments; default true. Without them an inserted line does not show on every comment below. */
  readonly lineNumbers?: boolean;
}

/** One line of a listing and what it stands for: for hovers on instructions and for going to the source and back. */
export interface ListingLine {
  readonly text: string;
  /** The instruction; absent for comments and labels. */
  readonly row?: AsmRow;
  readonly source?: SourceLocation;
}

/** The listing as text; lines end in a newline. */
export function renderListing(rows: readonly AsmRow[], options: ListingOptions = {}): string {
  return listingLines(rows, options)
    .map((line) => `${line.text}\n`)
    .join('');
}

/** The listing line by line. */
export function listingLines(rows: readonly AsmRow[], options: ListingOptions = {}): ListingLine[] {
  const lines: ListingLine[] = [];
  let place = '';
  let inlined = '';
  for (const row of rows) {
    if (row.padding) continue;
    const chain = row.inlinedFrom.join(' > ');
    const here = row.source ? `${row.source.file}:${row.source.line}` : '';
    if (chain !== inlined && chain !== '') lines.push({ text: `; inlined: ${chain}` });
    if (row.source && (here !== place || chain !== inlined)) {
      const text = sourceComment(row.source, options);
      if (text !== undefined) lines.push({ text, source: row.source });
    }
    if (here !== '') place = here;
    inlined = chain;
    if (row.label) lines.push({ text: `${row.label}:`, ...(row.source ? { source: row.source } : {}) });
    lines.push({ text: instructionText(row), row, ...(row.source ? { source: row.source } : {}) });
    for (const reference of row.references) {
      if (reference.labels) lines.push({ text: `; ${reference.name}: ${reference.labels.join(' ')}` });
    }
  }
  return lines;
}

/** One instruction without its indentation: `mov     eax, dword ptr [rip + counter]`. */
export function rowText(row: AsmRow): string {
  return row.operands === '' ? row.mnemonic : `${row.mnemonic.padEnd(7)} ${row.operands}`;
}

function instructionText(row: AsmRow): string {
  return `    ${rowText(row)}`;
}

function sourceComment(at: SourceLocation, options: ListingOptions): string | undefined {
  const text = options.source?.(at.file, at.line)?.trim();
  if (options.lineNumbers === false) return text ? `; ${text}` : undefined;
  const place = `${at.file.slice(at.file.lastIndexOf('/') + 1)}:${at.line}`;
  return text ? `; ${place}  ${text}` : `; ${place}`;
}

/** The two sides of an aligned listing, to be shown beside each other. */
export interface ListingPair {
  readonly base: readonly ListingLine[];
  readonly next: readonly ListingLine[];
}

/**
 * Listings of both sides that differ only where the code does: labels of rows that correspond have one name on both sides,
 * and comments carry no line numbers. For a review; `renderListing` numbers each side for itself.
 */
export function renderPair(
  aligned: readonly AlignedRow[],
  source: { base?: ListingOptions['source']; next?: ListingOptions['source'] } = {},
): ListingPair {
  const names = commonLabels(aligned);
  const side = (rows: readonly AsmRow[], which: 'base' | 'next', lookup: ListingOptions['source']) =>
    listingLines(
      rows.map((row) => relabelled(row, names[which])),
      { lineNumbers: false, ...(lookup ? { source: lookup } : {}) },
    );
  const baseRows = aligned.flatMap((row) => (row.base ? [row.base] : []));
  const nextRows = aligned.flatMap((row) => (row.next ? [row.next] : []));
  return { base: side(baseRows, 'base', source.base), next: side(nextRows, 'next', source.next) };
}

/** New names of the labels of each side: rows that correspond share one, numbers go on where only one side has a label. */
function commonLabels(aligned: readonly AlignedRow[]): Record<'base' | 'next', ReadonlyMap<string, string>> {
  const base = new Map<string, string>();
  const next = new Map<string, string>();
  let count = 0;
  // Labels of both sides first, so that one that is only on one side does not renumber those below it.
  for (const row of aligned) {
    if (!row.base?.label || !row.next?.label) continue;
    const name = `.L${++count}`;
    base.set(row.base.label, name);
    next.set(row.next.label, name);
  }
  for (const row of aligned) {
    if (row.base?.label && !base.has(row.base.label)) base.set(row.base.label, `.L${++count}`);
    if (row.next?.label && !next.has(row.next.label)) next.set(row.next.label, `.L${++count}`);
  }
  return { base, next };
}

function relabelled(row: AsmRow, names: ReadonlyMap<string, string>): AsmRow {
  let operands = row.operands;
  for (const reference of row.references) {
    const name = reference.kind === 'label' ? names.get(reference.name) : undefined;
    if (name) operands = operands.replace(reference.name, name);
  }
  const label = row.label === undefined ? undefined : names.get(row.label);
  const tables = row.references.some((reference) => reference.labels);
  if (operands === row.operands && label === row.label && !tables) return row;
  const nameOf = (label: string): string => names.get(label) ?? label;
  const references = row.references.map((reference) =>
    reference.labels
      ? { ...reference, labels: reference.labels.map(nameOf) }
      : reference.kind === 'label'
        ? { ...reference, name: nameOf(reference.name) }
        : reference,
  );
  return { ...row, operands, references, ...(label ? { label } : {}) };
}
