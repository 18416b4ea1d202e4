import { type Body, isCode, placesOf, SHF } from '../asm/places.ts';
import { relocationMeaning } from '../asm/relocation.ts';
import { instructionAt, KIND, RELOCATED, type Scan } from '../asm/scan.ts';
import { codeBias, dropRelocated, placeTarget, relocationsIn, relocationTarget, type Target } from '../asm/targets.ts';
import { x86Scanner } from '../asm/x86.ts';
import type { SourceLocation } from '../dwarf/types.ts';
import type { ElfFile, ElfSymbol, Relocation, Section } from '../elf/types.ts';
import { lineAt } from '../findings/allocations.ts';
import type { Finding } from '../findings/types.ts';
import { refusal } from './refusal.ts';
import { isColdPartOf, type Replacement } from './select.ts';
import type { PatchUnit } from './types.ts';
import { R } from './x86.ts';

/** A unit with the functions that were chosen in it. */
export interface ChosenUnit {
  readonly unit: PatchUnit;
  readonly replaced: readonly Replacement[];
}

/** Something that a piece refers to: another piece, or a name of what runs. */
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

/** A part of a section of a next object that goes into the payload: what every kind of payload knows of it. */
export interface AnyPiece {
  readonly unit: number;
  readonly section: Section;
  /** Byte range in the section. */
  readonly start: number;
  readonly end: number;
  /** Name of what it holds; the section's for nameless constants. */
  readonly name: string;
  /** True for functions and data that are not there yet. */
  readonly added: boolean;
  readonly align: number;
  readonly relocations: PieceRelocation[];
}

/** What a reference leads to; `delta` is in bytes from the start of the piece or symbol. Undefined where it was refused. */
export type Resolved = { readonly to: Reference; readonly delta: number } | undefined;

/** What code refers to in code. */
export interface CodeTarget {
  readonly body: Body;
  readonly symbol: ElfSymbol;
  /** Bytes from the start of the body. */
  readonly delta: number;
  /** The function as it runs, where it does. */
  readonly base: ElfSymbol | undefined;
  /** The choice that replaces it, where it is replaced. */
  readonly replacement: Replacement | undefined;
  /** The piece's own function, or a part of it that lies elsewhere (`.cold`). */
  readonly family: boolean;
}

/**
 * Collects what new code needs: from the pieces that are wanted along their relocations, to everything that has to come along. What is the same
 * for every kind of payload is here; how things are named, which sections they go to and what may be referred to is each
 * kind's own. A reference to a function that is replaced means its entry in what runs: the jump there leads to the newest version,
 * also when another patch comes on top, and pointers to it stay equal to those that are held already.
 */
export abstract class Planner<U extends ChosenUnit, P extends AnyPiece> {
  readonly pieces: P[] = [];
  readonly refusals: Finding[] = [];
  protected readonly units: readonly U[];
  protected readonly byPlace = new Map<string, number>();
  /** New definitions that all units of the patch can use, by name. */
  protected readonly added = new Map<string, { readonly unit: number; readonly symbol: ElfSymbol }>();
  /** next symbol index → base symbol index, for each unit. */
  readonly #baseOf: readonly ReadonlyMap<number, number>[];
  /** Base symbols by name, those of other objects may refer to: for each unit. */
  readonly #globals: readonly ReadonlyMap<string, ElfSymbol>[];
  #done = 0;

  constructor(units: readonly U[]) {
    this.units = units;
    this.#baseOf = units.map(({ unit }) => new Map([...unit.diff.pairing].map(([base, next]) => [next, base])));
    this.#globals = units.map(({ unit }) => {
      const found = new Map<string, ElfSymbol>();
      for (const one of unit.pair.base.elf.symbols)
        if (one.bind !== 'local' && one.place !== 'undef' && !found.has(one.name)) found.set(one.name, one);
      return found;
    });
    units.forEach(({ unit }, index) => {
      for (const symbol of unit.pair.next.elf.symbols) {
        if (symbol.bind === 'local' || symbol.place === 'undef' || symbol.place === 'abs') continue;
        if (!this.baseSymbol(index, symbol) && !this.added.has(symbol.name))
          this.added.set(symbol.name, { unit: index, symbol });
      }
    });
  }

  /** Follows the relocations of everything that was taken, until nothing more is needed. */
  run(): void {
    do {
      while (this.#done < this.pieces.length) this.#relocate(this.pieces[this.#done++]!);
      this.carryAlong();
    } while (this.#done < this.pieces.length);
  }

  /** The edited object of a unit. */
  protected next(unit: number): ElfFile {
    return this.units[unit]!.unit.pair.next.elf;
  }

  /** The symbol of the base object that a symbol of the next one is paired with. */
  protected baseSymbol(unit: number, next: ElfSymbol): ElfSymbol | undefined {
    const index = this.#baseOf[unit]!.get(next.index);
    if (index !== undefined) return this.units[unit]!.unit.pair.base.elf.symbols[index];
    // Aliases of a paired place, and globals that the difference has no reason to speak of.
    return next.bind === 'local' ? undefined : this.#globals[unit]!.get(next.name);
  }

  /** Takes a piece, once; pieces are told apart by where they begin, and by `more` where that is not enough. */
  protected take(made: Omit<P, 'relocations'>, more = ''): number {
    const key = placeKey(made.unit, made.section.index, made.start) + more;
    const known = this.byPlace.get(key);
    if (known !== undefined) return known;
    this.pieces.push({ ...made, relocations: [] } as unknown as P);
    this.byPlace.set(key, this.pieces.length - 1);
    return this.pieces.length - 1;
  }

  /** Adds what speaks of the pieces taken so far, such as entries of tables about code. */
  protected carryAlong(): void {}

  /** Why a relocation type cannot go into a payload of this kind; undefined where it can. */
  protected abstract refusedType(type: number): string | undefined;
  /** Finding code of a relocation that cannot. */
  protected codeOf(_type: number): string {
    return 'forbidden-relocation';
  }
  /** A relocation's distance, without what else its addend may hold (`rest`), and how far the field counts from its own place, where it is not in code. */
  protected distanceOf(
    _piece: P,
    relocation: Relocation,
    _at: number,
  ): { distance: number; rest: number; bias: number } {
    return { distance: relocation.addend, rest: 0, bias: 0 };
  }
  /** A symbol that the unit does not define in a section: undefined, common, absolute. */
  protected abstract outside(piece: P, relocation: Relocation, symbol: ElfSymbol | undefined, delta: number): Resolved;
  protected abstract code(piece: P, relocation: Relocation, target: Target, found: CodeTarget, call: boolean): Resolved;
  protected abstract data(piece: P, relocation: Relocation, target: Target, section: Section): Resolved;
  /** Code that belongs to no function, such as fixups; `none` where the section holds functions. */
  protected part(_piece: P, _section: Section, _offset: number): Resolved | 'none' {
    return 'none';
  }
  /** A type that wants more than an address, such as a slot that holds one; undefined for all others. */
  protected through(
    _piece: P,
    _relocation: Relocation,
    _at: number,
    _resolved: NonNullable<Resolved>,
  ): PieceRelocation | undefined {
    return undefined;
  }

  #relocate(piece: P): void {
    const relocations = relocationsIn(this.next(piece.unit).relocationsOf(piece.section.index), piece.start, piece.end);
    const scan = isCode(piece.section)
      ? x86Scanner.scan(piece.section.data.subarray(piece.start, piece.end))
      : undefined;
    for (const relocation of relocations) {
      const made = this.#reference(piece, relocation, scan);
      if (made) piece.relocations.push(made);
    }
    if (scan) this.#resolved(piece, scan, relocations);
  }

  /**
   * References out of a function to what shares its section: the assembler filled them in and left no relocation. The new code does not stand
   * there, so each gets one.
   */
  #resolved(piece: P, scan: Scan, relocations: readonly Relocation[]): void {
    dropRelocated(scan, relocations, piece.start);
    const size = piece.end - piece.start;
    for (let i = 0; i < scan.count; i++) {
      const to = scan.target[i]!;
      if (scan.relSize[i] === 0 || to === RELOCATED || (to >= 0 && to < size)) continue;
      const at = scan.start[i]! + scan.relAt[i]!;
      const call = isFlow(scan.kind[i]!);
      const relocation = { offset: piece.start + at, type: call ? R.plt32 : R.pc32, symbol: 0, addend: 0 };
      if (scan.relSize[i] !== 4) {
        this.forbidden(
          piece,
          relocation,
          `it is a short jump to what lies beside it in ${piece.section.name}, and the new code lies elsewhere`,
        );
        continue;
      }
      const target = placeTarget(placesOf(this.next(piece.unit)), piece.section.index, piece.start + to);
      const made = this.#resolve(piece, relocation, target, call);
      const bias = scan.start[i]! + scan.size[i]! - at;
      if (made) piece.relocations.push({ offset: at, type: relocation.type, to: made.to, addend: made.delta - bias });
    }
    piece.relocations.sort((a, b) => a.offset - b.offset);
  }

  #reference(piece: P, relocation: Relocation, scan: Scan | undefined): PieceRelocation | undefined {
    const { type } = relocation;
    if (type === 0) return undefined;
    const why = this.refusedType(type);
    if (why !== undefined) return this.forbidden(piece, relocation, why);
    const at = relocation.offset - piece.start;
    const { distance, rest, bias: own } = this.distanceOf(piece, relocation, at);
    const bias = scan ? codeBias(62, scan, at, type) : own;
    const target = relocationTarget(placesOf(this.next(piece.unit)), { ...relocation, addend: distance }, bias);
    const instruction = scan ? instructionAt(scan, at) : -1;
    const call = instruction >= 0 && isFlow(scan!.kind[instruction]!);
    const made = this.#resolve(piece, relocation, target, call);
    if (!made) return undefined;
    // What follows the start of the target stays as the compiler wrote it, the distance to the end of the instruction included.
    return (
      this.through(piece, relocation, at, made) ?? { offset: at, type, to: made.to, addend: made.delta - bias + rest }
    );
  }

  #resolve(piece: P, relocation: Relocation, target: Target, call: boolean): Resolved {
    const elf = this.next(piece.unit);
    if (target.section < 0) return this.outside(piece, relocation, elf.symbols[relocation.symbol], target.delta);
    const section = elf.sections[target.section];
    if (!section || (section.flags & SHF.alloc) === 0)
      return this.forbidden(piece, relocation, 'it refers to a section that is not loaded');
    const part = this.part(piece, section, target.offset);
    if (part !== 'none') return part;
    if (!isCode(section)) return this.data(piece, relocation, target, section);
    const found = this.#codeTarget(piece, target, section);
    if (!found)
      return this.forbidden(piece, relocation, `it refers to code without a function symbol in ${section.name}`);
    return this.code(piece, relocation, target, found, call);
  }

  #codeTarget(piece: P, target: Target, section: Section): CodeTarget | undefined {
    const bodies = placesOf(this.next(piece.unit)).bodiesIn(section.index);
    // Tables of relative offsets have their own place in the addend: the section's only function is meant.
    const body =
      bodies.length === 1
        ? bodies[0]
        : bodies.find((one) => one.start <= target.offset && target.offset < one.start + one.size);
    if (!body) return undefined;
    const symbol = body.symbols.find((one) => one.name === target.symbol?.name) ?? body.symbols[0]!;
    const inside = piece.section.index === section.index && piece.start === body.start;
    return {
      body,
      symbol,
      delta: target.offset - body.start,
      base: body.symbols.map((one) => this.baseSymbol(piece.unit, one)).find((one) => one !== undefined),
      replacement: this.units[piece.unit]!.replaced.find((one) => one.body === body),
      family: inside || isColdPartOf(piece.name, symbol.name) || isColdPartOf(symbol.name, piece.name),
    };
  }

  /** Refuses a relocation, with where it is. */
  protected forbidden(piece: P, relocation: Relocation, why: string): undefined {
    const { name } = relocationMeaning(62, relocation.type);
    const offset = relocation.offset - piece.start;
    this.refusals.push(
      refusal(
        this.codeOf(relocation.type),
        piece.name,
        `${piece.name} has a relocation of type ${name} at byte ${offset}, which a payload of this kind cannot carry: ${why}.`,
        { relocation: name, offset },
        this.lineOf(piece, relocation),
      ),
    );
    return undefined;
  }

  /** The line of the edited source that a relocation of code comes from. */
  protected lineOf(piece: P, relocation: Relocation): SourceLocation | undefined {
    return isCode(piece.section)
      ? lineAt(this.units[piece.unit]!.unit.pair.next, piece.section.index, relocation.offset)
      : undefined;
  }
}

/** Where a piece begins, as one word. */
export const placeKey = (unit: number, section: number, start: number): string => `${unit}:${section}:${start}`;

/** Alignment that a part of a section keeps. */
export function alignmentAt(section: Section, start: number): number {
  let align = Math.max(1, section.align);
  while (align > 1 && start % align !== 0) align /= 2;
  return align;
}

const isFlow = (kind: number): boolean => kind === KIND.call || kind === KIND.jump || kind === KIND.branch;
