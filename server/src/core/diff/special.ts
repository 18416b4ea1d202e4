import { equalBytes } from '../asm/bytes.ts';
import type { Body } from '../asm/places.ts';
import { callsAt, locationAt } from '../asm/source.ts';
import { relocationTarget } from '../asm/targets.ts';
import type { SourceLocation } from '../dwarf/types.ts';
import type { Relocation, Section } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import {
  type AlternativeLayout,
  alternativeLayout,
  distanceIn,
  type SpecialEntry,
  type SpecialTable,
  specialTablesOf,
} from '../special/index.ts';
import type { CodeComparer } from './code.ts';
import type { Meaning, Side } from './meaning.ts';
import { familyOf, type Piece, pieceAt, pieceSize, samePiece } from './pieces.ts';
import type { Reason, SpecialDifference } from './types.ts';

/** Compares what the special sections (alternatives, bug and exception tables, static branches ...) say about functions. */
export interface SpecialComparer {
  /**
   * Entries of a function that mean something else than those of its partner, for two functions with the same code. Order within a section,
   * line numbers of bug entries and lists that tools derive from the code make no difference.
   */
  differences(base: Body, next: Body): readonly SpecialDifference[];
}

/** Prepares the comparison; the tables are read at the first question. */
export function createSpecialComparer(base: Side, next: Side, meaning: Meaning): SpecialComparer {
  return new Comparer(base, next, meaning);
}

/** Code comparison for which a function is the same only where its special entries are the same, too. */
export function withSpecial(code: CodeComparer, special: SpecialComparer): CodeComparer {
  return {
    same: (base, next) => code.same(base, next) && special.differences(base, next).length === 0,
    immediateSites: (base, next) =>
      special.differences(base, next).length === 0 ? code.immediateSites(base, next) : undefined,
  };
}

/** Why a function whose code is the same is in the patch: one reason per section. */
export function specialReasons(differences: readonly SpecialDifference[]): Reason[] {
  return [...new Set(differences.map(({ section }) => section))].map((detail) => ({ kind: 'special', detail }));
}

/** Source lines of the places that the differing entries are about: of the next side where it has the entry. */
export function specialLines(
  base: ObjectModel,
  next: ObjectModel,
  differences: readonly SpecialDifference[],
): SourceLocation[] {
  const lines = new Map<string, SourceLocation>();
  for (const difference of differences) {
    const [object, about] = difference.next ? [next, difference.next] : [base, difference.base!];
    const at = locationAt(object.dwarf.linesOf(about.section), about.offset);
    // An instruction of an inlined function counts for the line that calls it, too.
    for (const place of [at, callsAt(object, about.section, about.offset)[0]?.call])
      if (place) lines.set(`${place.file}:${place.line}`, { file: place.file, line: place.line });
  }
  return [...lines.values()];
}

const NONE: readonly SpecialDifference[] = [];

class Comparer implements SpecialComparer {
  readonly #base: Side;
  readonly #next: Side;
  readonly #meaning: Meaning;
  readonly #known = new Map<Body, readonly SpecialDifference[]>();
  readonly #layouts = new Map<Section, AlternativeLayout>();

  constructor(base: Side, next: Side, meaning: Meaning) {
    this.#base = base;
    this.#next = next;
    this.#meaning = meaning;
  }

  differences(base: Body, next: Body): readonly SpecialDifference[] {
    let found = this.#known.get(base);
    if (!found) {
      found = this.#compare(base, next);
      this.#known.set(base, found);
    }
    return found;
  }

  #compare(base: Body, next: Body): readonly SpecialDifference[] {
    const left = entriesOf(this.#base, base);
    const right = entriesOf(this.#next, next);
    if (left.length === 0 && right.length === 0) return NONE;
    const found: SpecialDifference[] = [];
    const still = this.#sameCode(base, next);
    let i = 0;
    let j = 0;
    while (i < left.length || j < right.length) {
      const order = this.#order(base, left[i], next, right[j], still);
      const b = order <= 0 ? left[i++] : undefined;
      const n = order >= 0 ? right[j++] : undefined;
      const field = b && n ? this.#differing(b, n) : undefined;
      if (b && n && field === undefined) continue;
      const { section, kind } = (n ?? b!).table;
      found.push({
        section: section.name,
        kind: kind.kind,
        what: b && n ? 'changed' : n ? 'added' : 'removed',
        ...(field === undefined ? {} : { field }),
        ...(b ? { base: b.about } : {}),
        ...(n ? { next: n.about } : {}),
      });
    }
    return found;
  }

  /** The code is the same byte by byte: then offsets in it tell as much as instructions, which need not be found. */
  #sameCode(base: Body, next: Body): boolean {
    if (base.size !== next.size) return false;
    const left = this.#base.elf.sections[base.section]!;
    const right = this.#next.elf.sections[next.section]!;
    return equalBytes(left.data, base.start, right.data, next.start, base.size);
  }

  /** Order of two entries by section and by the instruction that they are about. */
  #order(base: Body, b: SpecialEntry | undefined, next: Body, n: SpecialEntry | undefined, still: boolean): number {
    if (!b) return 1;
    if (!n) return -1;
    const left = b.table.section.name;
    const right = n.table.section.name;
    if (left !== right) return left < right ? -1 : 1;
    const from = positionOf(this.#base, base, b, still);
    const to = positionOf(this.#next, next, n, still);
    return from.piece - to.piece || from.at - to.at;
  }

  /** What two entries about the same instruction differ in; undefined where they mean the same. */
  #differing(b: SpecialEntry, n: SpecialEntry): string | undefined {
    if (b.table.entrySize !== n.table.entrySize) return 'size';
    const { kind } = b.table.kind;
    const bytes = this.#differingBytes(b, n);
    if (bytes !== undefined) return bytes;
    if (b.relocations.length !== n.relocations.length) return 'references';
    for (let k = 1; k < b.relocations.length; k++) {
      const from = b.relocations[k]!;
      const to = n.relocations[k]!;
      const at = from.offset - b.start;
      if (at !== to.offset - n.start) return 'references';
      if (familyOf(this.#base, from) !== familyOf(this.#next, to)) return 'references';
      if (!this.#sameReference(b, from, n, to, at)) return fieldName(kind, at, b.table.entrySize);
    }
    return undefined;
  }

  /** The bytes outside of relocations, which hold zero; the line number of a bug entry is left out. */
  #differingBytes(b: SpecialEntry, n: SpecialEntry): string | undefined {
    const from = b.table.section.data;
    const to = n.table.section.data;
    const { kind, systems } = b.table.kind;
    const line = kind === 'bug' && systems.includes('linux') && b.table.entrySize >= 12 ? b.table.entrySize - 4 : -1;
    for (let k = 0; k < Math.max(b.size, n.size); k++) {
      if (k === line || k === line + 1) continue;
      // A short last entry of a table ends where the alignment of the next one would begin.
      if ((from[b.start + k] ?? 0) !== (to[n.start + k] ?? 0) && (k < b.size || k < n.size)) {
        if (kind === 'paravirt' && k >= 12) continue;
        return this.#byteName(b, k);
      }
    }
    return undefined;
  }

  #byteName(entry: SpecialEntry, at: number): string {
    const { kind } = entry.table.kind;
    if (kind === 'alternative') {
      const layout = this.#layoutOf(this.#base, entry.table);
      if (at >= layout.feature && at < layout.originalLength) return 'feature';
      return at === layout.replacementLength ? 'replacement' : 'length';
    }
    if (kind === 'exception') return 'type';
    return kind === 'bug' ? 'flags' : 'contents';
  }

  #layoutOf(side: Side, table: SpecialTable): AlternativeLayout {
    let layout = this.#layouts.get(table.section);
    if (!layout) {
      layout = alternativeLayout(side.elf, table.section, table.entrySize);
      this.#layouts.set(table.section, layout);
    }
    return layout;
  }

  #sameReference(b: SpecialEntry, from: Relocation, n: SpecialEntry, to: Relocation, at: number): boolean {
    const kind = b.table.kind;
    const cleanFrom = { ...from, addend: distanceIn(kind, from.addend).distance };
    const cleanTo = { ...to, addend: distanceIn(kind, to.addend).distance };
    const piece = this.#pieces(b, cleanFrom, n, cleanTo);
    if (piece !== undefined) return piece;
    const same = (bias: number) =>
      this.#meaning.sameTarget(
        relocationTarget(this.#base.places, cleanFrom, bias),
        relocationTarget(this.#next.places, cleanTo, bias),
      );
    // Distances count from the field, in bug entries of some versions from the entry's start.
    return same(0) || (kind.kind === 'bug' && same(-at));
  }

  /** For references to code out of line: is the code the same? Undefined for other references. */
  #pieces(b: SpecialEntry, from: Relocation, n: SpecialEntry, to: Relocation): boolean | undefined {
    const left = pieceOf(this.#base, from);
    const right = pieceOf(this.#next, to);
    if (!left && !right) return undefined;
    if (!left || !right) return false;
    const alternative = b.table.kind.kind === 'alternative';
    const lengthOf = (side: Side, entry: SpecialEntry, piece: Piece) =>
      alternative
        ? (entry.table.section.data[entry.start + this.#layoutOf(side, entry.table).replacementLength] ?? 0)
        : pieceSize(side, piece);
    const size = lengthOf(this.#base, b, left);
    if (size !== lengthOf(this.#next, n, right)) return false;
    return samePiece(this.#base, left, this.#next, right, size, (one, other) => this.#meaning.sameTarget(one, other));
  }
}

function pieceOf(side: Side, { symbol, addend }: Relocation): Piece | undefined {
  const target = side.elf.symbols[symbol];
  return typeof target?.place === 'number' ? pieceAt(side, target.place, target.offset + addend) : undefined;
}

function entriesOf(side: Side, body: Body): readonly SpecialEntry[] {
  const entries = specialTablesOf(side.object).byOwner.get(body);
  return entries ? entries.filter(({ table }) => table.kind.meaning) : [];
}

/** Number of the instruction that an entry is about, or its offset; places in code out of line go by their order alone. */
function positionOf(side: Side, body: Body, { about }: SpecialEntry, byOffset: boolean): { piece: number; at: number } {
  if (about.section !== body.section) return { piece: 1, at: 0 };
  const offset = about.offset - body.start;
  if (byOffset) return { piece: 0, at: offset };
  const ordinal = side.scanOf(body)?.ordinalAt(offset) ?? -1;
  return { piece: 0, at: ordinal >= 0 ? ordinal : offset };
}

function fieldName(kind: string, at: number, size: number): string {
  if (kind === 'alternative') return 'replacement';
  if (kind === 'exception') return at === 4 ? 'fixup' : 'handler';
  if (kind === 'jump-label') return at === (size === 24 ? 8 : 4) ? 'target' : 'key';
  if (kind === 'static-call') return 'key';
  return kind === 'bug' ? 'message' : 'references';
}
