import { isCode, isNamelessConstant, isNobits, isStrings, placesOf, SHF } from '../asm/places.ts';
import { relocationMeaning } from '../asm/relocation.ts';
import { instructionAt, KIND, type Scan } from '../asm/scan.ts';
import { codeBias, relocationsIn, relocationTarget, type Target } from '../asm/targets.ts';
import { x86Scanner } from '../asm/x86.ts';
import type { ElfSymbol, Relocation, Section } from '../elf/types.ts';
import type { Finding } from '../findings/types.ts';
import type { PieceRelocation, Reference } from './plan.ts';
import { refusal } from './refusal.ts';
import { isColdPartOf, type Replacement } from './select.ts';
import type { PatchUnit } from './types.ts';
import { HOOKS, RELOCATION, startsWithEndbr, WIDTH } from './xen-format.ts';
import type { XenHome } from './xen-home.ts';
import { distanceIn, fixupEnds, type Table, tablesOf } from './xen-special.ts';
import type { XenSymbols } from './xen-symbols.ts';

/** A unit with the functions that were chosen in it. */
export interface XenUnit {
  readonly unit: PatchUnit;
  readonly replaced: readonly Replacement[];
  readonly home: XenHome;
}

/** A part of a section of a next object that goes into the payload. */
export interface XenPiece {
  readonly unit: number;
  readonly section: Section;
  /** Byte range in the section. */
  readonly start: number;
  readonly end: number;
  readonly kind: 'function' | 'data' | 'constant' | 'string' | 'table' | 'fixup' | 'replacement' | 'hook';
  /** For messages. */
  readonly name: string;
  /** The symbol that stands for it in the payload; undefined for nameless parts. */
  readonly symbol?: { readonly name: string; readonly type: 'func' | 'object'; readonly size: number };
  /** The hypervisor does not have it. */
  readonly added: boolean;
  /** Name of the section of the payload that it goes to. */
  readonly out: string;
  readonly align: number;
  /** The table that the entry is from. */
  readonly table?: Table;
  readonly relocations: PieceRelocation[];
}

/** What goes into a payload. */
export interface XenPlan {
  readonly pieces: readonly XenPiece[];
  readonly imports: ReadonlySet<string>;
  readonly refusals: readonly Finding[];
  /** Index of the piece that holds the new code of a replaced function. */
  pieceOf(unit: number, replacement: Replacement): number;
}

/** Sections that only the build or the boot look at. */
const dropped =
  /^\.(discard|init\.|initcall|exit\.|debug|comment|note|eh_frame|group|data\.cf_clobber|rodata\.cf_clobber)/;

/** Sections of which Xen frees or runs at boot. */
const isInit = (name: string): boolean => /^\.(init\.|initcall|init$|exit\.)/.test(name);

/**
 * Collects everything that the new code needs, as create-diff-object of Xen's livepatch-build-tools does: new functions and data,
 * strings and constants, and of the tables about code the entries of the carried functions. What the hypervisor has
 * already is referred to by name. References to a function that is replaced mean its entry in the hypervisor, where the
 * jump to the newest version is: pointers stay equal to those that it holds, and none is left dangling after a revert.
 */
export function planXen(units: readonly XenUnit[], symbols: XenSymbols): XenPlan {
  const planner = new Planner(units, symbols);
  units.forEach((unit, index) => {
    for (const one of unit.replaced) planner.pieceOf(index, one);
    planner.hooks(index);
  });
  planner.run();
  return planner;
}

class Planner implements XenPlan {
  readonly pieces: XenPiece[] = [];
  readonly imports = new Set<string>();
  readonly refusals: Finding[] = [];
  readonly #units: readonly XenUnit[];
  readonly #symbols: XenSymbols;
  readonly #byPlace = new Map<string, number>();
  /** next symbol index → base symbol index, for each unit. */
  readonly #baseOf: readonly ReadonlyMap<number, number>[];
  /** New definitions that all units of the patch can use, by name. */
  readonly #added = new Map<string, { unit: number; symbol: ElfSymbol }>();
  readonly #tables: readonly (readonly Table[])[];
  readonly #names = new Set<string>();
  #done = 0;

  constructor(units: readonly XenUnit[], symbols: XenSymbols) {
    this.#units = units;
    this.#symbols = symbols;
    this.#baseOf = units.map(({ unit }) => new Map([...unit.diff.pairing].map(([base, next]) => [next, base])));
    units.forEach(({ unit }, index) => {
      for (const symbol of unit.pair.next.elf.symbols) {
        if (symbol.bind === 'local' || typeof symbol.place !== 'number') continue;
        if (!this.#baseSymbol(index, symbol) && !this.#added.has(symbol.name))
          this.#added.set(symbol.name, { unit: index, symbol });
      }
    });
    this.#tables = units.map(({ unit }) => {
      const { tables, problems } = tablesOf(unit.pair.next.elf);
      for (const { section, why } of problems) {
        this.refusals.push(
          refusal(
            'special-section',
            section,
            `${unit.pair.provenance.unit}: ${section} cannot be split into the entries of single functions: ${why}.`,
          ),
        );
      }
      return tables;
    });
  }

  pieceOf(unit: number, replacement: Replacement): number {
    return this.#function(unit, replacement.next, replacement.base);
  }

  /** Takes the hooks that the edit brought. */
  hooks(unit: number): void {
    const { base, next } = this.#units[unit]!.unit.pair;
    for (const { section: name } of HOOKS) {
      for (const section of next.elf.sectionsNamed(name)) {
        for (const symbol of next.elf.symbols) {
          if (symbol.place !== section.index || symbol.type !== 'object') continue;
          if (base.elf.symbols.some((old) => old.name === symbol.name && typeof old.place === 'number')) continue;
          this.#piece({
            unit,
            section,
            start: symbol.offset,
            end: symbol.offset + 8,
            kind: 'hook',
            name: symbol.name,
            added: true,
            out: name,
            align: 8,
          });
        }
      }
    }
  }

  run(): void {
    do {
      while (this.#done < this.pieces.length) this.#relocate(this.pieces[this.#done++]!);
      this.#carryEntries();
    } while (this.#done < this.pieces.length);
  }

  /** Adds the table entries that speak of code that is carried, where they are not there yet. */
  #carryEntries(): void {
    this.#tables.forEach((tables, unit) => {
      for (const table of tables) {
        for (const entry of table.entries) {
          if (this.#carrying(unit, entry.about.section, entry.about.offset) === undefined) continue;
          this.#piece({
            unit,
            section: table.section,
            start: entry.start,
            end: entry.start + entry.size,
            kind: 'table',
            name: `${table.section.name}[${entry.start / entry.size}]`,
            added: false,
            out: table.section.name,
            align: table.kind === 'alternative' ? 1 : 4,
            table,
          });
        }
      }
    });
  }

  /** Piece of code that covers a place of the next object. */
  #carrying(unit: number, section: number, offset: number): number | undefined {
    const at = this.pieces.findIndex(
      (piece) =>
        piece.unit === unit &&
        piece.section.index === section &&
        isCode(piece.section) &&
        piece.start <= offset &&
        offset < piece.end,
    );
    return at < 0 ? undefined : at;
  }

  #baseSymbol(unit: number, next: ElfSymbol): ElfSymbol | undefined {
    const index = this.#baseOf[unit]!.get(next.index);
    const { base } = this.#units[unit]!.unit.pair;
    if (index !== undefined) return base.elf.symbols[index];
    if (next.bind === 'local') return undefined;
    return base.elf.symbols.find((one) => one.bind !== 'local' && one.name === next.name && one.place !== 'undef');
  }

  #piece(made: Omit<XenPiece, 'relocations'>): number {
    // Replacements may be empty: then another one begins at the same place.
    const key = `${made.unit}:${made.section.index}:${made.start}${made.kind === 'replacement' ? `-${made.end}` : ''}`;
    const known = this.#byPlace.get(key);
    if (known !== undefined) return known;
    this.pieces.push({ ...made, relocations: [] });
    this.#byPlace.set(key, this.pieces.length - 1);
    return this.pieces.length - 1;
  }

  #nameOf(unit: number, symbol: ElfSymbol): string {
    return this.#units[unit]!.home.nameOf(symbol);
  }

  /** A name for the payload's symbol table that nothing else has: Xen refuses new names that it knows. */
  #newName(unit: number, symbol: ElfSymbol): string {
    const wanted = this.#nameOf(unit, symbol);
    const taken = (name: string): boolean =>
      this.#symbols.inXen(name).length > 0 || this.#symbols.inBelow(name) !== undefined || this.#names.has(name);
    let name = wanted;
    for (let n = 1; taken(name); n++) name = `${wanted}.lp${n}`;
    if (name !== wanted && symbol.bind !== 'local') {
      this.refusals.push(
        refusal(
          'symbol-ambiguous',
          wanted,
          `The patch defines ${wanted}, but the hypervisor has a ${wanted} already: Xen would refuse it as a duplicate. Rename it, or make it static.`,
        ),
      );
    }
    this.#names.add(name);
    return name;
  }

  /** The code of a function. `base`: it replaces this one; absent: it is new, or (not `added`) goes along with its parent. */
  #function(unit: number, symbol: ElfSymbol, base: ElfSymbol | undefined, added = base === undefined): number {
    const { elf } = this.#units[unit]!.unit.pair.next;
    const section = elf.sections[symbol.place as number]!;
    const bodies = placesOf(elf).bodiesIn(section.index);
    const body = placesOf(elf).bodyOf(symbol);
    const start = body?.start ?? symbol.offset;
    // A section of its own goes along whole: what inline assembly put behind the function belongs to it.
    const alone = bodies.length === 1 && start === 0;
    const end = alone ? section.size : start + (body?.size ?? symbol.size);
    const known = this.#byPlace.get(`${unit}:${section.index}:${start}`);
    if (known !== undefined) return known;
    if (isInit(section.name)) {
      this.refusals.push(
        refusal(
          'init-code-changed',
          symbol.name,
          `${symbol.name} is in ${section.name}: it ran while the hypervisor booted and is freed. What it did has to be done by a hook, or by a restart.`,
          { section: section.name },
        ),
      );
    }
    const made = this.#piece({
      unit,
      section,
      start,
      end,
      kind: 'function',
      name: symbol.name,
      symbol: {
        name: base ? this.#nameOf(unit, base) : this.#newName(unit, symbol),
        type: 'func',
        size: body?.size ?? symbol.size,
      },
      added,
      out: '.text',
      align: alignment(section, start),
    });
    if (!alone) this.#checkJumps(this.pieces[made]!);
    return made;
  }

  /** Jumps out of a function that shares its section have no relocation, and would lead nowhere in the payload. */
  #checkJumps(piece: XenPiece): void {
    const scan = x86Scanner.scan(piece.section.data.subarray(piece.start, piece.end));
    const { elf } = this.#units[piece.unit]!.unit.pair.next;
    const relocated = new Set(
      relocationsIn(elf.relocationsOf(piece.section.index), piece.start, piece.end).map(
        (one) => one.offset - piece.start,
      ),
    );
    for (let i = 0; i < scan.count; i++) {
      const field = scan.start[i]! + scan.relAt[i]!;
      const target = scan.target[i]!;
      if (scan.relSize[i] === 0 || relocated.has(field) || (target >= 0 && target < piece.end - piece.start)) continue;
      this.refusals.push(
        refusal(
          'special-section',
          piece.name,
          `${piece.name} shares the section ${piece.section.name} with other functions and jumps into one of them without a relocation: it cannot be taken out of there.`,
          { section: piece.section.name, offset: scan.start[i]! },
        ),
      );
      return;
    }
  }

  #relocate(piece: XenPiece): void {
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

  #forbidden(piece: XenPiece, relocation: Relocation, why: string): undefined {
    const { name } = relocationMeaning(62, relocation.type);
    const offset = relocation.offset - piece.start;
    this.refusals.push(
      refusal(
        'forbidden-relocation',
        piece.name,
        `${piece.name} has a relocation ${name} at byte ${offset} that cannot go into a payload: ${why}.`,
        { relocation: name, offset },
      ),
    );
    return undefined;
  }

  #reference(piece: XenPiece, relocation: Relocation, scan: Scan | undefined): PieceRelocation | undefined {
    if (relocation.type === RELOCATION.none) return undefined;
    if (!WIDTH.has(relocation.type))
      return this.#forbidden(piece, relocation, "Xen's loader knows R_X86_64_64, PC32 and PLT32 only");
    const { elf } = this.#units[piece.unit]!.unit.pair.next;
    const at = relocation.offset - piece.start;
    const { distance, high } = distanceIn(piece.table?.kind ?? 'exception', relocation.addend);
    // Distances of a bug frame count from the frame's start, code's from the end of the instruction.
    const bias = scan ? codeBias(62, scan, at, relocation.type) : piece.table?.kind === 'bug' ? -at : 0;
    const target = relocationTarget(placesOf(elf), { ...relocation, addend: distance }, bias);
    const instruction = scan ? instructionAt(scan, at) : -1;
    const kind = instruction >= 0 ? scan!.kind[instruction] : undefined;
    const call = kind === KIND.call || kind === KIND.jump || kind === KIND.branch;
    const made = this.#resolve(piece, relocation, target, call);
    return made && { offset: at, type: relocation.type, to: made.to, addend: made.delta - bias + high };
  }

  #resolve(
    piece: XenPiece,
    relocation: Relocation,
    target: Target,
    call: boolean,
  ): { to: Reference; delta: number } | undefined {
    const { elf } = this.#units[piece.unit]!.unit.pair.next;
    const named = elf.symbols[relocation.symbol];
    if (target.section < 0) {
      if (named?.place !== 'undef')
        return this.#forbidden(
          piece,
          relocation,
          named?.place === 'common'
            ? `${named.name} is a common symbol; build with -fno-common`
            : 'it refers to an absolute address',
        );
      const added = this.#added.get(named.name);
      if (added && this.#symbols.inXen(named.name).length === 0)
        return { to: this.#definition(added.unit, added.symbol), delta: target.delta };
      return this.#import(piece, named.name, target.delta);
    }
    const section = elf.sections[target.section];
    if (!section || (section.flags & SHF.alloc) === 0)
      return this.#forbidden(piece, relocation, 'it refers to a section that is not loaded');
    if (section.name === '.fixup') return this.#fixup(piece, section, target.offset);
    if (section.name === '.altinstr_replacement') return this.#replacement(piece, section, target.offset);
    if (isCode(section)) return this.#code(piece, relocation, target, section, call);
    return this.#data(piece, relocation, target, section);
  }

  #definition(unit: number, symbol: ElfSymbol): Reference {
    const { elf } = this.#units[unit]!.unit.pair.next;
    const section = elf.sections[symbol.place as number]!;
    const piece = isCode(section) ? this.#function(unit, symbol, undefined) : this.#newData(unit, section, symbol);
    return { kind: 'piece', piece };
  }

  #fixup(piece: XenPiece, section: Section, offset: number): { to: Reference; delta: number } {
    const { elf } = this.#units[piece.unit]!.unit.pair.next;
    const end = fixupEnds(elf, section).find((place) => place > offset) ?? section.size;
    const made = this.#piece({
      unit: piece.unit,
      section,
      start: offset,
      end,
      kind: 'fixup',
      name: `.fixup+${offset}`,
      added: false,
      out: '.fixup',
      align: 1,
    });
    return { to: { kind: 'piece', piece: made }, delta: 0 };
  }

  /** The replacement of an alternative; its length is in the entry, behind the two distances and the feature number. */
  #replacement(piece: XenPiece, section: Section, offset: number): { to: Reference; delta: number } {
    const length = piece.table?.kind === 'alternative' ? (piece.section.data[piece.start + 11] ?? 0) : 0;
    const end = Math.min(section.size, offset + length);
    const made = this.#piece({
      unit: piece.unit,
      section,
      start: offset,
      end,
      kind: 'replacement',
      name: `.altinstr_replacement+${offset}`,
      added: false,
      out: '.altinstr_replacement',
      align: 1,
    });
    return { to: { kind: 'piece', piece: made }, delta: 0 };
  }

  #code(
    piece: XenPiece,
    relocation: Relocation,
    target: Target,
    section: Section,
    call: boolean,
  ): { to: Reference; delta: number } | undefined {
    const { unit, replaced } = this.#units[piece.unit]!;
    const bodies = placesOf(unit.pair.next.elf).bodiesIn(section.index);
    const body =
      bodies.length === 1
        ? bodies[0]
        : bodies.find((one) => one.start <= target.offset && target.offset < one.start + one.size);
    if (!body)
      return this.#forbidden(piece, relocation, `it refers to code in ${section.name} that has no function symbol`);
    const delta = target.offset - body.start;
    const symbol = body.symbols.find((one) => one.name === target.symbol?.name) ?? body.symbols[0]!;
    const base = body.symbols.map((one) => this.#baseSymbol(piece.unit, one)).find((one) => one !== undefined);
    const replacement = replaced.find((one) => one.body === body);
    const carried = this.#carrying(piece.unit, section.index, body.start);
    // Tables, fixups and replacements speak of the carried copy.
    const about = piece.kind === 'table' || piece.kind === 'fixup' || piece.kind === 'replacement';
    if (about && carried !== undefined && (delta !== 0 || !call))
      return { to: { kind: 'piece', piece: carried }, delta };
    const family =
      (piece.section === section && piece.start === body.start) ||
      isColdPartOf(piece.name, symbol.name) ||
      isColdPartOf(symbol.name, piece.name);
    if (!base || (family && (call || delta !== 0 || !replacement))) {
      const made = replacement
        ? this.#function(piece.unit, replacement.next, replacement.base)
        : this.#function(piece.unit, symbol, undefined, !family);
      return { to: { kind: 'piece', piece: made }, delta };
    }
    if (delta !== 0) {
      if (carried !== undefined) return { to: { kind: 'piece', piece: carried }, delta };
      return this.#forbidden(
        piece,
        relocation,
        `it refers into the middle of ${symbol.name}, which is not in the patch`,
      );
    }
    if (replacement && !call && this.#gainsEndbr(unit, replacement))
      return { to: { kind: 'piece', piece: this.#function(piece.unit, replacement.next, replacement.base) }, delta };
    return this.#import(piece, this.#nameOf(piece.unit, base), 0);
  }

  /** The new code may be reached indirectly and the old entry may not: its address is the new one then. */
  #gainsEndbr(unit: PatchUnit, { base, next }: Replacement): boolean {
    const code = (symbol: ElfSymbol, side: 'base' | 'next'): Uint8Array =>
      unit.pair[side].elf.sections[symbol.place as number]!.data.subarray(symbol.offset);
    return startsWithEndbr(code(next, 'next')) && !startsWithEndbr(code(base, 'base'));
  }

  #data(
    piece: XenPiece,
    relocation: Relocation,
    target: Target,
    section: Section,
  ): { to: Reference; delta: number } | undefined {
    const { elf } = this.#units[piece.unit]!.unit.pair.next;
    const { symbol } = target;
    const place = (
      start: number,
      end: number,
      kind: 'constant' | 'string',
      out: string,
      align: number,
    ): { to: Reference; delta: number } => ({
      to: {
        kind: 'piece',
        piece: this.#piece({
          unit: piece.unit,
          section,
          start,
          end,
          kind,
          name: `${section.name}+${start}`,
          added: false,
          out,
          align,
        }),
      },
      delta: target.offset - start,
    });
    if (isInit(section.name)) {
      this.refusals.push(
        refusal(
          'init-code-changed',
          symbol?.name ?? section.name,
          `${piece.name} refers to ${symbol?.name ?? 'data'} in ${section.name}, which is freed after the hypervisor booted.`,
          { section: section.name },
        ),
      );
      return undefined;
    }
    if (isStrings(section) && section.entrySize <= 1) {
      let start = target.offset;
      while (start > 0 && section.data[start - 1] !== 0) start--;
      const zero = section.data.indexOf(0, target.offset);
      return place(start, zero < 0 ? section.size : zero + 1, 'string', '.rodata.str', 1);
    }
    if (section.flags & SHF.merge) {
      const size = Math.max(1, section.entrySize);
      const start = isStrings(section) ? 0 : target.offset - (target.offset % size);
      return place(
        start,
        isStrings(section) ? section.size : start + size,
        'constant',
        '.rodata',
        Math.max(1, section.align),
      );
    }
    if (symbol && isNamelessConstant(elf, symbol))
      return place(
        symbol.offset,
        symbol.offset + symbol.size,
        'constant',
        '.rodata',
        alignment(section, symbol.offset),
      );
    if (!symbol) {
      if (section.flags & SHF.write)
        return this.#forbidden(piece, relocation, `it refers to nameless data in ${section.name}`);
      return place(
        target.offset,
        placesOf(elf).extent(section.index, target.offset),
        'constant',
        '.rodata',
        alignment(section, target.offset),
      );
    }
    const base = this.#baseSymbol(piece.unit, symbol);
    if (base) return this.#import(piece, this.#nameOf(piece.unit, base), target.offset - symbol.offset);
    return {
      to: { kind: 'piece', piece: this.#newData(piece.unit, section, symbol) },
      delta: target.offset - symbol.offset,
    };
  }

  /** Data that the hypervisor has not: it lives in the payload. */
  #newData(unit: number, section: Section, symbol: ElfSymbol): number {
    const { elf } = this.#units[unit]!.unit.pair.next;
    const known = this.#byPlace.get(`${unit}:${section.index}:${symbol.offset}`);
    if (known !== undefined) return known;
    if (/\.percpu(\.|$)/.test(section.name)) {
      this.refusals.push(
        refusal(
          'percpu-changed',
          symbol.name,
          `${symbol.name} is a new per-cpu variable. The hypervisor laid out its per-cpu area when it booted, and a payload cannot add to it: use an array over the processors, or shadow data.`,
          { section: section.name },
        ),
      );
    } else if (dropped.test(section.name)) {
      this.refusals.push(
        refusal(
          'init-code-changed',
          symbol.name,
          `${symbol.name} is new in ${section.name}, which only counts while the hypervisor boots.`,
          { section: section.name },
        ),
      );
    }
    const size = symbol.size > 0 ? symbol.size : placesOf(elf).extent(section.index, symbol.offset) - symbol.offset;
    const out = isNobits(section) ? '.bss' : section.flags & SHF.write ? '.data' : '.rodata';
    return this.#piece({
      unit,
      section,
      start: symbol.offset,
      end: symbol.offset + size,
      kind: 'data',
      name: symbol.name,
      symbol: { name: this.#newName(unit, symbol), type: 'object', size },
      added: true,
      out,
      align: alignment(section, symbol.offset),
    });
  }

  /** A reference to what the hypervisor, or a payload below, has: exactly once. */
  #import(piece: XenPiece, name: string, delta: number): { to: Reference; delta: number } | undefined {
    const found = this.#symbols.inXen(name);
    const below = this.#symbols.inBelow(name);
    if (found.length > 1) {
      this.refusals.push(
        refusal(
          'symbol-ambiguous',
          name,
          `${piece.name} uses ${name}, which the hypervisor has ${found.length} times: Xen would take any of them. Build the hypervisor with CONFIG_ENFORCE_UNIQUE_SYMBOLS, or avoid the name.`,
          { addresses: found.map((one) => `0x${one.address.toString(16)}`) },
        ),
      );
      return undefined;
    }
    if (found.length === 0 && below === undefined) {
      this.refusals.push(
        refusal(
          'symbol-unresolved',
          name,
          `${piece.name} uses ${name}, which neither the hypervisor nor the patch has. Is the file that defines it part of the patch?`,
        ),
      );
      return undefined;
    }
    if (found[0]?.init) {
      this.refusals.push(
        refusal('init-code-changed', name, `${piece.name} uses ${name}, which is freed after the hypervisor booted.`),
      );
      return undefined;
    }
    this.imports.add(name);
    return { to: { kind: 'import', name }, delta };
  }
}

/** Alignment that a part of a section keeps. */
function alignment(section: Section, start: number): number {
  let align = Math.max(1, section.align);
  while (align > 1 && start % align !== 0) align /= 2;
  return align;
}
