import { dataSize } from '../asm/labels.ts';
import { isCode, isNamelessConstant, isNobits, isRecord, isRelro, isStrings, placesOf, SHF } from '../asm/places.ts';
import { relocationsIn, relocationTarget, type Target } from '../asm/targets.ts';
import type { ElfSymbol, Relocation, Section } from '../elf/types.ts';
import type { Finding } from '../findings/types.ts';
import { fileOf, type Home, sharedSymbol } from './home.ts';
import { importOf } from './import.ts';
import { mergeableAt } from './mergeable.ts';
import { type AnyPiece, alignmentAt, type ChosenUnit, type CodeTarget, Planner, type Resolved } from './planner.ts';
import { refusal } from './refusal.ts';
import { isColdPartOf, type Replacement } from './select.ts';
import type { ImportedSymbol } from './types.ts';
import { ALLOWED, isTls, TLS_DYNAMIC } from './x86.ts';

/** A unit with what was decided about it. */
export interface PlannedUnit extends ChosenUnit {
  readonly home: Home;
}

/** A part of a section of a next object that goes into the payload. */
export interface Piece extends AnyPiece {
  readonly kind: 'function' | 'data' | 'constant';
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
 * Collects everything that the new code of a running program needs: its own parts, new functions and data, constants; and decides for each
 * reference whether it means something in the payload or something that runs already.
 * @param moved names that units defined and define no longer
 */
export function makePlan(units: readonly PlannedUnit[], moved: ReadonlySet<string> = new Set()): Plan {
  const planner = new ProcessPlanner(units, moved);
  for (const [index, unit] of units.entries()) for (const one of unit.replaced) planner.pieceOf(index, one);
  planner.run();
  return planner;
}

/** Names by symbol tables and the dynamic linker, sections as the compiler had them. */
class ProcessPlanner extends Planner<PlannedUnit, Piece> implements Plan {
  readonly #imports = new Map<string, ImportedSymbol & { weak: boolean }>();
  readonly #moved: ReadonlySet<string>;

  constructor(units: readonly PlannedUnit[], moved: ReadonlySet<string>) {
    super(units);
    this.#moved = moved;
  }

  get imports(): readonly (ImportedSymbol & { weak: boolean })[] {
    return [...this.#imports.values()];
  }

  pieceOf(unit: number, replacement: Replacement): number {
    return this.#function(unit, replacement.next, false);
  }

  #function(unit: number, symbol: ElfSymbol, added: boolean): number {
    const elf = this.next(unit);
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
    return this.take({ unit, section, start, end, kind, name, added, align: alignmentAt(section, start) });
  }

  protected override codeOf(type: number): string {
    return TLS_DYNAMIC.has(type) ? 'tls-changed' : 'forbidden-relocation';
  }

  protected refusedType(type: number): string | undefined {
    if (TLS_DYNAMIC.has(type))
      return 'this thread-local storage model asks the dynamic linker; build the unit without -fPIC, or leave the function out';
    return ALLOWED.has(type) ? undefined : 'build the unit in the small code model';
  }

  protected outside(piece: Piece, relocation: Relocation, symbol: ElfSymbol | undefined, delta: number): Resolved {
    if (!symbol || symbol.place === 'abs')
      return this.forbidden(piece, relocation, 'it refers to an absolute address without a name');
    if (symbol.place === 'common') {
      const base = this.baseSymbol(piece.unit, symbol);
      if (base) return this.#import(piece.unit, base, delta, false);
      const made = this.#piece(piece.unit, commonSection(symbol), 0, symbol.size, 'data', symbol.name, true);
      return { to: { kind: 'piece', piece: made }, delta };
    }
    const added = this.added.get(symbol.name);
    if (added && typeof added.symbol.place === 'number' && !this.#runsAlready(piece.unit, added)) {
      const to = this.#definition(added.unit, added.symbol);
      if (to !== undefined) return { to: { kind: 'piece', piece: to }, delta };
    }
    return this.#import(piece.unit, symbol, delta, symbol.bind === 'weak');
  }

  /**
   * A name that a unit defines for the first time, and that the program has all the same. A variable that moved from one source to another keeps
   * its place and its value: a second copy would divide the state. Code and constants that moved are carried, since they may have been edited on the way.
   * Anything else of that name is not this program's: a test's own version of a function, for instance.
   */
  #runsAlready(unit: number, added: { readonly unit: number; readonly symbol: ElfSymbol }): boolean {
    const { symbol } = added;
    const { module } = this.units[unit]!.home;
    const linked = sharedSymbol(module.elf, symbol.name);
    if (linked === undefined || typeof linked.place !== 'number') return false;
    // The linker would take the new definition.
    if (linked.bind === 'weak' && symbol.bind !== 'weak') return false;
    if (!this.#moved.has(symbol.name)) return true;
    const section = this.next(added.unit).sections[symbol.place as number];
    if (section === undefined || (section.flags & SHF.write) === 0) return false;
    if (linked.size !== symbol.size)
      this.refusals.push(
        refusal(
          'data-size-changed',
          symbol.name,
          `${symbol.name} moved to ${this.units[added.unit]!.unit.pair.provenance.unit} and has ${symbol.size} bytes there, and ${linked.size} in ${module.path}: the program goes on with the old one. Keep its size.`,
          { base: linked.size, next: symbol.size },
        ),
      );
    return true;
  }

  /** Piece of a new definition of any unit. */
  #definition(unit: number, symbol: ElfSymbol): number | undefined {
    const section = this.next(unit).sections[symbol.place as number];
    if (!section) return undefined;
    if (isCode(section)) return this.#function(unit, symbol, true);
    const end = symbol.offset + dataSize(this.next(unit), symbol);
    return this.#piece(unit, section, symbol.offset, end, 'data', symbol.name, true);
  }

  protected code(piece: Piece, relocation: Relocation, _target: Target, found: CodeTarget, call: boolean): Resolved {
    const { body, symbol, delta, base, replacement, family } = found;
    const wants = (): Resolved => ({
      to: {
        kind: 'piece',
        piece: this.#function(piece.unit, symbol, !base && !isColdPartOf(symbol.name, piece.name)),
      },
      delta,
    });
    if (family && (call || delta !== 0 || !replacement)) return wants();
    if (!base) return wants();
    if (replacement) return delta === 0 ? this.#import(piece.unit, replacement.base, 0, false) : wants();
    if (delta === 0) return this.#import(piece.unit, base, 0, false);
    const carried = this.pieces.some(
      (one) => one.unit === piece.unit && one.section.index === body.section && one.start === body.start,
    );
    if (!isCode(piece.section) && carried) return wants();
    return this.forbidden(piece, relocation, `it refers into the middle of ${symbol.name}, which is not in the patch`);
  }

  protected data(piece: Piece, relocation: Relocation, target: Target, section: Section): Resolved {
    const { unit } = this.units[piece.unit]!;
    const elf = this.next(piece.unit);
    const { symbol } = target;
    const constant = (start: number, end: number, name: string): Resolved => ({
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
      if (section.flags & SHF.write && !isRelro(section) && !isRecord(section))
        return this.forbidden(
          piece,
          relocation,
          `it refers to data without a name in ${section.name}, of which the program has its own copy`,
        );
      const start = this.#gapStart(piece.unit, section, target.offset);
      return constant(start, placesOf(elf).extent(section.index, target.offset), section.name);
    }
    const base = this.baseSymbol(piece.unit, symbol);
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
    const end = symbol.offset + dataSize(elf, symbol);
    const made = this.#piece(piece.unit, section, symbol.offset, end, 'data', symbol.name, !base);
    return { to: { kind: 'piece', piece: made }, delta: target.delta };
  }

  /** Tables of labels (computed goto) lead into one version of a function: the new code needs its own. */
  #holdsLabels(unit: number, section: Section, symbol: ElfSymbol): boolean {
    const elf = this.next(unit);
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
    for (const symbol of this.next(unit).symbols) {
      if (symbol.place !== section.index || symbol.type === 'section' || symbol.name === '') continue;
      const end = symbol.offset + symbol.size;
      if (end <= offset && end > start) start = end;
    }
    return start;
  }

  /** A reference to something that runs already. `symbol` is of the base object, or undefined in the next one. */
  #import(unit: number, symbol: ElfSymbol, delta: number, weak: boolean): Resolved {
    const { home, unit: patch } = this.units[unit]!;
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

/** A section for a common symbol (gABI, SHN_COMMON: its value is its alignment), which has none of its own. */
function commonSection(symbol: ElfSymbol): Section {
  return {
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
}
