import { isCode, isNamelessConstant, isNobits, isStrings, placesOf, SHF } from '../asm/places.ts';
import { relocationMeaning } from '../asm/relocation.ts';
import { instructionAt, KIND, type Scan } from '../asm/scan.ts';
import { codeBias, relocationsIn, relocationTarget, type Target } from '../asm/targets.ts';
import { x86Scanner } from '../asm/x86.ts';
import type { ElfSymbol, Relocation, Section } from '../elf/types.ts';
import type { Finding } from '../findings/types.ts';
import { fileOf, type Home } from './home.ts';
import { importOf } from './import.ts';
import { mergeableAt } from './mergeable.ts';
import { refusal } from './refusal.ts';
import { isColdPartOf, type Replacement } from './select.ts';
import type { ImportedSymbol, PatchUnit } from './types.ts';
import { ALLOWED, isTls, R, TLS_DYNAMIC } from './x86.ts';

/** A unit with what was decided about it. */
export interface PlannedUnit {
  readonly unit: PatchUnit;
  readonly replaced: readonly Replacement[];
  readonly home: Home;
}

/** Something that a piece refers to: another piece, or a name of the running program. */
export type Reference =
  | { readonly kind: 'piece'; readonly piece: number }
  | { readonly kind: 'import'; readonly name: string };

/** A relocation of a piece. `addend` counts from the start of the piece or symbol that is referred to. */
export interface PieceRelocation {
  readonly offset: number;
  readonly type: number;
  readonly to: Reference;
  readonly addend: number;
}

/** A part of a section of a next object that goes into the payload. */
export interface Piece {
  readonly unit: number;
  readonly section: Section;
  /** Byte range in the section. */
  readonly start: number;
  readonly end: number;
  readonly kind: 'function' | 'data' | 'constant';
  /** Name of what it holds; the section's for nameless constants. */
  readonly name: string;
  /** True for functions and data that the running program does not have. */
  readonly added: boolean;
  readonly align: number;
  relocations: PieceRelocation[];
}

/** What goes into a payload. */
export interface Plan {
  readonly pieces: readonly Piece[];
  readonly imports: readonly (ImportedSymbol & { readonly weak: boolean })[];
  /** Piece of each replaced function, by unit and base symbol index. */
  readonly pieceOf: (unit: number, replacement: Replacement) => number;
  readonly refusals: readonly Finding[];
}

/**
 * Collects everything that the new code needs: its own parts, new functions and data, constants; and decides for each
 * reference whether it means something in the payload or something that runs already. References to a function that is
 * replaced mean its entry in the running program: the redirect there leads to the newest version, also when
 * another patch comes on top, and pointers to it stay equal to those that the program holds.
 */
export function makePlan(units: readonly PlannedUnit[]): Plan {
  const planner = new Planner(units);
  for (const [index, unit] of units.entries())
    for (const one of unit.replaced) planner.functionPiece(index, one.next, false);
  planner.run();
  return planner;
}

class Planner implements Plan {
  readonly pieces: Piece[] = [];
  readonly #imports = new Map<string, ImportedSymbol & { weak: boolean }>();
  readonly refusals: Finding[] = [];
  readonly #units: readonly PlannedUnit[];
  readonly #byPlace = new Map<string, number>();
  /** next symbol index → base symbol index, for each unit. */
  readonly #baseOf: readonly ReadonlyMap<number, number>[];
  /** Globals that several units of the patch know: definitions of the payload by name. */
  readonly #added = new Map<string, { unit: number; symbol: ElfSymbol }>();
  #done = 0;

  constructor(units: readonly PlannedUnit[]) {
    this.#units = units;
    this.#baseOf = units.map(({ unit }) => new Map([...unit.diff.pairing].map(([base, next]) => [next, base])));
    for (const [index, { unit }] of units.entries()) {
      for (const symbol of unit.pair.next.elf.symbols) {
        if (symbol.bind === 'local' || symbol.place === 'undef' || symbol.place === 'abs') continue;
        if (!this.#baseSymbol(index, symbol) && !this.#added.has(symbol.name))
          this.#added.set(symbol.name, { unit: index, symbol });
      }
    }
  }

  get imports(): readonly (ImportedSymbol & { weak: boolean })[] {
    return [...this.#imports.values()];
  }

  pieceOf(unit: number, replacement: Replacement): number {
    return this.functionPiece(unit, replacement.next, false);
  }

  run(): void {
    while (this.#done < this.pieces.length) this.#relocate(this.pieces[this.#done++]!);
  }

  /** The symbol of the base object that a symbol of the next one is paired with. */
  #baseSymbol(unit: number, next: ElfSymbol): ElfSymbol | undefined {
    const index = this.#baseOf[unit]!.get(next.index);
    const base = this.#units[unit]!.unit.pair.base.elf;
    if (index !== undefined) return base.symbols[index];
    // Aliases of a paired place, and globals that the difference has no reason to speak of.
    if (next.bind === 'local') return undefined;
    return base.symbols.find((one) => one.bind !== 'local' && one.name === next.name && one.place !== 'undef');
  }

  functionPiece(unit: number, symbol: ElfSymbol, added: boolean): number {
    const elf = this.#units[unit]!.unit.pair.next.elf;
    const body = placesOf(elf).bodyOf(symbol);
    const section = elf.sections[symbol.place as number]!;
    const start = body?.start ?? symbol.offset;
    return this.#piece(unit, section, start, start + (body?.size ?? symbol.size), 'function', symbol.name, added);
  }

  #piece(
    unit: number,
    section: Section,
    start: number,
    end: number,
    kind: Piece['kind'],
    name: string,
    added: boolean,
  ): number {
    const key = `${unit}:${section.index}:${start}`;
    const known = this.#byPlace.get(key);
    if (known !== undefined) return known;
    let align = Math.max(1, section.align);
    while (align > 1 && start % align !== 0) align /= 2;
    this.pieces.push({ unit, section, start, end, kind, name, added, align, relocations: [] });
    this.#byPlace.set(key, this.pieces.length - 1);
    return this.pieces.length - 1;
  }

  #relocate(piece: Piece): void {
    const { elf } = this.#units[piece.unit]!.unit.pair.next;
    const relocations = relocationsIn(elf.relocationsOf(piece.section.index), piece.start, piece.end);
    if (relocations.length === 0) return;
    const scan = isCode(piece.section)
      ? x86Scanner.scan(piece.section.data.subarray(piece.start, piece.end))
      : undefined;
    for (const relocation of relocations) {
      const made = this.#reference(piece, relocation, scan);
      if (made) piece.relocations.push(made);
    }
  }

  #forbidden(piece: Piece, relocation: Relocation, why: string): undefined {
    const { name } = relocationMeaning(62, relocation.type);
    this.refusals.push(
      refusal(
        TLS_DYNAMIC.has(relocation.type) ? 'tls-changed' : 'forbidden-relocation',
        piece.name,
        `${piece.name} has a relocation of type R_X86_64_${name} at byte ${relocation.offset - piece.start}, which a process patch cannot carry: ${why}.`,
        { relocation: name, offset: relocation.offset - piece.start },
      ),
    );
    return undefined;
  }

  #reference(piece: Piece, relocation: Relocation, scan: Scan | undefined): PieceRelocation | undefined {
    if (relocation.type === R.none) return undefined;
    if (TLS_DYNAMIC.has(relocation.type))
      return this.#forbidden(
        piece,
        relocation,
        'this thread-local storage model asks the dynamic linker; build the unit without -fPIC, or leave the function out',
      );
    if (!ALLOWED.has(relocation.type))
      return this.#forbidden(piece, relocation, 'build the unit in the small code model');
    const { elf } = this.#units[piece.unit]!.unit.pair.next;
    const at = relocation.offset - piece.start;
    const bias = scan ? codeBias(62, scan, at, relocation.type) : 0;
    const target = relocationTarget(placesOf(elf), relocation, bias);
    const instruction = scan ? instructionAt(scan, at) : -1;
    const call = scan !== undefined && instruction >= 0 && isFlow(scan.kind[instruction]!);
    const made = this.#resolve(piece, relocation, target, call);
    if (!made) return undefined;
    // What follows the start of the target stays as the compiler wrote it, the distance to the end of the instruction included.
    return { offset: at, type: relocation.type, to: made.to, addend: made.delta - bias };
  }

  /** What a reference means; `delta` is in bytes from the start of the piece or symbol. */
  #resolve(
    piece: Piece,
    relocation: Relocation,
    target: Target,
    call: boolean,
  ): { to: Reference; delta: number } | undefined {
    const { elf } = this.#units[piece.unit]!.unit.pair.next;
    const named = elf.symbols[relocation.symbol];
    if (target.section < 0) {
      if (!named || named.place === 'abs')
        return this.#forbidden(piece, relocation, 'it refers to an absolute address without a name');
      return this.#outside(piece, named, target.delta);
    }
    const section = elf.sections[target.section];
    if (!section || (section.flags & SHF.alloc) === 0)
      return this.#forbidden(piece, relocation, 'it refers to a section that is not loaded');
    if (isCode(section)) return this.#code(piece, relocation, target, section, call);
    return this.#data(piece, relocation, target, section);
  }

  /** An undefined or common symbol of the next object. */
  #outside(piece: Piece, symbol: ElfSymbol, delta: number): { to: Reference; delta: number } | undefined {
    if (symbol.place === 'common') {
      const base = this.#baseSymbol(piece.unit, symbol);
      if (base) return this.#import(piece.unit, base, delta, false);
      const section: Section = {
        index: -1 - symbol.index,
        name: `.bss.${symbol.name}`,
        type: 8,
        flags: 3,
        address: 0n,
        offset: 0,
        size: symbol.size,
        link: 0,
        info: 0,
        align: Number(symbol.value),
        entrySize: 0,
        data: new Uint8Array(0),
      };
      const made = this.#piece(piece.unit, section, 0, symbol.size, 'data', symbol.name, true);
      return { to: { kind: 'piece', piece: made }, delta };
    }
    const added = this.#added.get(symbol.name);
    if (added && typeof added.symbol.place === 'number') {
      const to = this.#definition(added.unit, added.symbol);
      if (to !== undefined) return { to: { kind: 'piece', piece: to }, delta };
    }
    return this.#import(piece.unit, symbol, delta, symbol.bind === 'weak');
  }

  /** Piece of a new definition of any unit. */
  #definition(unit: number, symbol: ElfSymbol): number | undefined {
    const elf = this.#units[unit]!.unit.pair.next.elf;
    const section = elf.sections[symbol.place as number];
    if (!section) return undefined;
    if (isCode(section)) return this.functionPiece(unit, symbol, true);
    return this.#piece(unit, section, symbol.offset, symbol.offset + symbol.size, 'data', symbol.name, true);
  }

  #code(
    piece: Piece,
    relocation: Relocation,
    target: Target,
    section: Section,
    call: boolean,
  ): { to: Reference; delta: number } | undefined {
    const { unit, replaced } = this.#units[piece.unit]!;
    const places = placesOf(unit.pair.next.elf);
    // Tables of relative offsets have their own place in the addend: the section's only function is meant.
    const bodies = places.bodiesIn(section.index);
    const body =
      bodies.length === 1
        ? bodies[0]!
        : bodies.find((one) => one.start <= target.offset && target.offset < one.start + one.size);
    if (!body)
      return this.#forbidden(piece, relocation, `it refers to code without a function symbol in ${section.name}`);
    const delta = target.offset - body.start;
    const symbol = body.symbols.find((one) => one.name === target.symbol?.name) ?? body.symbols[0]!;
    const base = body.symbols.map((one) => this.#baseSymbol(piece.unit, one)).find((one) => one !== undefined);
    const replacement = replaced.find((one) => one.body === body);
    const inside = piece.section.index === section.index && piece.start === body.start;
    const family = inside || isColdPartOf(piece.name, symbol.name) || isColdPartOf(symbol.name, piece.name);
    const wants = (): { to: Reference; delta: number } => ({
      to: {
        kind: 'piece',
        piece: this.functionPiece(piece.unit, symbol, !base && !isColdPartOf(symbol.name, piece.name)),
      },
      delta,
    });
    if (family && (call || delta !== 0 || !replacement)) return wants();
    if (!base) return wants();
    if (replacement) return delta === 0 ? this.#import(piece.unit, replacement.base, 0, false) : wants();
    if (
      delta !== 0 &&
      !isCode(piece.section) &&
      this.pieces.some((one) => one.section === section && one.start === body.start)
    )
      return wants();
    if (delta !== 0)
      return this.#forbidden(
        piece,
        relocation,
        `it refers into the middle of ${symbol.name}, which is not in the patch`,
      );
    return this.#import(piece.unit, base, 0, false);
  }

  #data(
    piece: Piece,
    relocation: Relocation,
    target: Target,
    section: Section,
  ): { to: Reference; delta: number } | undefined {
    const { unit } = this.#units[piece.unit]!;
    const elf = unit.pair.next.elf;
    const symbol = target.symbol;
    const constant = (start: number, end: number, name: string): { to: Reference; delta: number } => ({
      to: { kind: 'piece', piece: this.#piece(piece.unit, section, start, end, 'constant', name, false) },
      delta: target.offset - start,
    });
    if (isStrings(section) || (section.flags & SHF.merge) !== 0) {
      const [start, end] = mergeableAt(section, symbol ? symbol.offset : target.offset);
      return constant(start, end, section.name);
    }
    if (symbol && isNamelessConstant(elf, symbol))
      return constant(symbol.offset, symbol.offset + symbol.size, symbol.name);
    if (!symbol) {
      const start = this.#gapStart(piece.unit, section, target.offset);
      return constant(start, placesOf(elf).extent(section.index, target.offset), section.name);
    }
    const base = this.#baseSymbol(piece.unit, symbol);
    if ((section.flags & SHF.tls) !== 0 || isTls(relocation.type)) {
      if (base) return this.#import(piece.unit, base, target.delta, false);
      this.refusals.push(
        refusal(
          'tls-changed',
          symbol.name,
          `${symbol.name} is a new thread-local variable: running threads have no room for it. Make it an ordinary static, or keep it out of the patch.`,
        ),
      );
      return undefined;
    }
    const readOnly = (section.flags & SHF.write) === 0 || section.name.startsWith('.data.rel.ro');
    const changed =
      base !== undefined &&
      unit.diff.data.some(
        (one) => one.next?.index === symbol.index && one.status === 'changed' && one.differs.length > 0,
      );
    if (base && !(readOnly && (changed || this.#holdsLabels(piece.unit, section, symbol))))
      return this.#import(piece.unit, base, target.delta, false);
    if (symbol.size === 0 && !isNobits(section)) return constant(0, section.size, section.name);
    const made = this.#piece(
      piece.unit,
      section,
      symbol.offset,
      symbol.offset + symbol.size,
      'data',
      symbol.name,
      !base,
    );
    return { to: { kind: 'piece', piece: made }, delta: target.delta };
  }

  /** Tables of labels (computed goto) lead into one version of a function: the new code needs its own. */
  #holdsLabels(unit: number, section: Section, symbol: ElfSymbol): boolean {
    const elf = this.#units[unit]!.unit.pair.next.elf;
    const places = placesOf(elf);
    return relocationsIn(elf.relocationsOf(section.index), symbol.offset, symbol.offset + symbol.size).some((one) => {
      const target = relocationTarget(places, one, 0);
      const into = elf.sections[target.section];
      if (!isCode(into)) return false;
      return !places.bodiesIn(into!.index).some((body) => body.start === target.offset);
    });
  }

  /** Start of the nameless stretch that holds an offset: end of the last named thing before it. */
  #gapStart(unit: number, section: Section, offset: number): number {
    let start = 0;
    for (const symbol of this.#units[unit]!.unit.pair.next.elf.symbols) {
      if (symbol.place !== section.index || symbol.type === 'section' || symbol.name === '') continue;
      const end = symbol.offset + symbol.size;
      if (end <= offset && end > start) start = end;
    }
    return start;
  }

  /** A reference to something that runs already. `symbol` is of the base object, or undefined in the next one. */
  #import(unit: number, symbol: ElfSymbol, delta: number, weak: boolean): { to: Reference; delta: number } | undefined {
    const { home, unit: patch } = this.#units[unit]!;
    const name = symbol.bind === 'local' ? `${fileOf(patch.pair.base.elf)}#${symbol.name}` : symbol.name;
    const key = symbol.bind === 'local' ? `${unit}:${name}` : name;
    if (!this.#imports.has(key)) {
      const made = importOf(home, symbol, name, weak);
      if ('code' in made) {
        this.refusals.push(made);
        return undefined;
      }
      // Two units of one file name: both have their own place in the program, and the payload needs two names.
      let unique = name;
      const taken = (wanted: string): boolean =>
        [...this.#imports.values()].some((one) => one.name === wanted && one.address !== made.address);
      for (let count = 2; taken(unique); count++) unique = `${name}@${count}`;
      this.#imports.set(key, { ...made, name: unique });
    }
    return { to: { kind: 'import', name: this.#imports.get(key)!.name }, delta };
  }
}

const isFlow = (kind: number): boolean => kind === KIND.call || kind === KIND.jump || kind === KIND.branch;
