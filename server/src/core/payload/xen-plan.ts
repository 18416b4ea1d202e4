import { stemOf } from '../asm/names.ts';
import { isCode, isNamelessConstant, isNobits, isStrings, placesOf, SHF } from '../asm/places.ts';
import type { Target } from '../asm/targets.ts';
import { x86Scanner } from '../asm/x86.ts';
import { referencesFrom } from '../diff/references.ts';
import type { ElfSymbol, Relocation, Section } from '../elf/types.ts';
import type { Finding } from '../findings/types.ts';
import { distanceIn, type SpecialEntry, type SpecialTables, specialTablesOf } from '../special/index.ts';
import { mergeableAt } from './mergeable.ts';
import { alignmentAt, type CodeTarget, Planner, placeKey, type Resolved } from './planner.ts';
import { refusal } from './refusal.ts';
import { COLD, type Replacement } from './select.ts';
import type { PatchUnit } from './types.ts';
import { isGot } from './x86.ts';
import { HOOKS, RELOCATION, startsWithEndbr, WIDTH } from './xen-format.ts';
import { entryPiece, partOf, slotSection, type XenPiece, type XenPlan, type XenUnit } from './xen-pieces.ts';
import type { XenSymbols } from './xen-symbols.ts';

/** Sections that only the build or the boot look at. */
const dropped =
  /^\.(discard|init\.|initcall|exit\.|debug|comment|note|eh_frame|group|data\.cf_clobber|rodata\.cf_clobber)/;

/** Sections of which Xen frees or runs at boot. */
const isInit = (name: string): boolean => /^\.(init\.|initcall|init$|exit\.)/.test(name);

/**
 * Collects everything that the new code needs, as create-diff-object of Xen's livepatch-build-tools does: new functions and data,
 * strings and constants, and of the tables about code the entries of the carried functions. What the hypervisor has
 * already is referred to by name.
 */
export function planXen(units: readonly XenUnit[], symbols: XenSymbols): XenPlan {
  const planner = new XenPlanner(units, symbols);
  units.forEach((unit, index) => {
    for (const one of unit.replaced) planner.pieceOf(index, one);
    planner.hooks(index);
  });
  planner.run();
  return planner;
}

/** Names as Xen's symbol table spells them, sections as Xen's loader wants them. */
class XenPlanner extends Planner<XenUnit, XenPiece> implements XenPlan {
  readonly imports = new Set<string>();
  readonly #symbols: XenSymbols;
  readonly #tables: readonly SpecialTables[];
  readonly #names = new Set<string>();
  /** Pieces with code that were taken up to the last look at the tables. */
  #seen = 0;

  constructor(units: readonly XenUnit[], symbols: XenSymbols) {
    super(units);
    this.#symbols = symbols;
    this.#tables = units.map(({ unit }) => {
      const tables = specialTablesOf(unit.pair.next);
      for (const { section, why } of tables.problems) {
        this.refusals.push(
          refusal(
            'special-section',
            section.name,
            `${unit.pair.provenance.unit}: ${section.name} cannot be split into the entries of single functions: ${why}.`,
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
    const { base, next } = this.units[unit]!.unit.pair;
    for (const { section: name } of HOOKS) {
      for (const section of next.elf.sectionsNamed(name)) {
        for (const symbol of next.elf.symbols) {
          if (symbol.place !== section.index || symbol.type !== 'object') continue;
          if (base.elf.symbols.some((old) => old.name === symbol.name && typeof old.place === 'number')) continue;
          const start = symbol.offset;
          const more = { kind: 'hook' as const, name: symbol.name, added: true, out: name, align: 8 };
          this.take({ unit, section, start, end: start + 8, ...more });
        }
      }
    }
  }

  /** Adds the table entries that speak of code that is carried. */
  protected override carryAlong(): void {
    const fresh = this.pieces.slice(this.#seen);
    this.#seen = this.pieces.length;
    for (const piece of fresh) {
      if (!isCode(piece.section)) continue;
      const about = ({ about: { section, offset } }: SpecialEntry): boolean =>
        section === piece.section.index && piece.start <= offset && offset < piece.end;
      for (const table of this.#tables[piece.unit]!.tables) {
        if (!table.kind.loadedBy.includes('xen')) continue;
        for (const entry of table.entries) if (about(entry)) this.take(entryPiece(piece.unit, entry));
      }
    }
  }

  /** Piece of code that covers a place of the next object. */
  #carrying(unit: number, section: number, offset: number): number | undefined {
    const exact = this.byPlace.get(placeKey(unit, section, offset));
    if (exact !== undefined && this.pieces[exact]!.end > offset) return exact;
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

  #nameOf(unit: number, symbol: ElfSymbol): string {
    return this.units[unit]!.home.nameOf(symbol);
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
    const elf = this.next(unit);
    const section = elf.sections[symbol.place as number]!;
    const bodies = placesOf(elf).bodiesIn(section.index);
    const body = placesOf(elf).bodyOf(symbol);
    const start = body?.start ?? symbol.offset;
    const known = this.byPlace.get(placeKey(unit, section.index, start));
    if (known !== undefined) return known;
    // A section of its own goes along whole: what inline assembly put behind the function belongs to it.
    const alone = bodies.length === 1 && start === 0;
    const end = alone ? section.size : start + (body?.size ?? symbol.size);
    if (isInit(section.name)) {
      this.#init(
        symbol.name,
        section,
        `${symbol.name} is in ${section.name}: it ran while the hypervisor booted and is freed. What it did has to be done by a hook, or by a restart.`,
      );
    }
    const made = this.take({
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
      align: alignmentAt(section, start),
    });
    if (!alone) this.#checkJumps(this.pieces[made]!);
    return made;
  }

  /**
   * The function that runs now has the same reference to what is freed after boot, and does without it by a condition of its own
   * (domain_create asks for the interrupts of the hardware domain once): its new code is no worse.
   */
  #usedBefore(piece: XenPiece, name: string): boolean {
    if (piece.kind !== 'function' || piece.added) return false;
    const { base } = this.units[piece.unit]!.unit.pair;
    const whole = (one: string): string => stemOf(one).replace(COLD, '');
    const functions = base.elf.symbols.filter((one) => one.type === 'func' && whole(one.name) === whole(piece.name));
    return referencesFrom(base, functions).some(({ target }) => target.name === name);
  }

  #init(symbol: string, section: Section, message: string): undefined {
    this.refusals.push(refusal('init-code-changed', symbol, message, { section: section.name }));
    return undefined;
  }

  /** Jumps out of a function that shares its section have no relocation, and would lead nowhere in the payload. */
  #checkJumps(piece: XenPiece): void {
    const scan = x86Scanner.scan(piece.section.data.subarray(piece.start, piece.end));
    const relocations = this.next(piece.unit).relocationsOf(piece.section.index);
    const relocated = new Set(relocations.map((one) => one.offset - piece.start));
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

  protected refusedType(type: number): string | undefined {
    return WIDTH.has(type) || isGot(type) ? undefined : "Xen's loader knows R_X86_64_64, PC32 and PLT32 only";
  }

  protected override distanceOf(piece: XenPiece, { addend }: Relocation, at: number) {
    if (!piece.table) return { distance: addend, rest: 0, bias: 0 };
    const { distance, high } = distanceIn(piece.table.kind, addend);
    // Distances of a bug frame count from the frame's start.
    return { distance, rest: high, bias: piece.table.kind.kind === 'bug' ? -at : 0 };
  }

  /** Through the global offset table, which payloads have not: a slot of the payload's own holds the address. */
  protected override through(piece: XenPiece, relocation: Relocation, at: number, { to }: NonNullable<Resolved>) {
    if (!isGot(relocation.type)) return undefined;
    const key = to.kind === 'piece' ? `piece ${to.piece}` : to.name;
    const made = { kind: 'constant' as const, name: `address of ${key}`, added: false, out: '.rodata', align: 8 };
    const slot = this.take({ unit: piece.unit, section: slotSection, start: 0, end: 8, ...made }, key);
    const { relocations } = this.pieces[slot]!;
    if (relocations.length === 0) relocations.push({ offset: 0, type: RELOCATION.abs64, to, addend: 0 });
    const reference = { kind: 'piece' as const, piece: slot };
    return { offset: at, type: RELOCATION.pc32, to: reference, addend: relocation.addend };
  }

  protected outside(piece: XenPiece, relocation: Relocation, symbol: ElfSymbol | undefined, delta: number): Resolved {
    if (symbol?.place === 'common')
      return this.forbidden(piece, relocation, `${symbol.name} is a common symbol; build with -fno-common`);
    if (symbol?.place !== 'undef') return this.forbidden(piece, relocation, 'it refers to an absolute address');
    const added = this.added.get(symbol.name);
    if (!added || typeof added.symbol.place !== 'number' || this.#symbols.inXen(symbol.name).length > 0)
      return this.#import(piece, relocation, symbol.name, delta);
    const section = this.next(added.unit).sections[added.symbol.place]!;
    const made = isCode(section)
      ? this.#function(added.unit, added.symbol, undefined)
      : this.#newData(added.unit, section, added.symbol);
    return { to: { kind: 'piece', piece: made }, delta };
  }

  protected override part(piece: XenPiece, section: Section, offset: number): Resolved | 'none' {
    const made = partOf(this.next(piece.unit), piece, section, offset);
    if (!made) return 'none';
    // Replacements may be empty: then another one begins at the same place.
    const taken = this.take(made, made.kind === 'replacement' ? `-${made.end}` : '');
    return { to: { kind: 'piece', piece: taken }, delta: 0 };
  }

  protected code(piece: XenPiece, relocation: Relocation, _target: Target, found: CodeTarget, call: boolean): Resolved {
    const { body, symbol, delta, base, replacement, family } = found;
    const { unit } = this.units[piece.unit]!;
    const carried = this.#carrying(piece.unit, body.section, body.start);
    // Tables, fixups and replacements speak of the carried copy.
    const about = piece.kind === 'table' || piece.kind === 'fixup' || piece.kind === 'replacement';
    if (about && carried !== undefined && (delta !== 0 || !call))
      return { to: { kind: 'piece', piece: carried }, delta };
    if (!base || (family && (call || delta !== 0 || !replacement))) {
      const made = replacement
        ? this.pieceOf(piece.unit, replacement)
        : this.#function(piece.unit, symbol, undefined, !family);
      return { to: { kind: 'piece', piece: made }, delta };
    }
    if (delta !== 0) {
      if (carried !== undefined) return { to: { kind: 'piece', piece: carried }, delta };
      return this.forbidden(
        piece,
        relocation,
        `it refers into the middle of ${symbol.name}, which is not in the patch`,
      );
    }
    if (replacement && !call && gainsEndbr(unit, replacement))
      return { to: { kind: 'piece', piece: this.pieceOf(piece.unit, replacement) }, delta };
    return this.#import(piece, relocation, this.#nameOf(piece.unit, base), 0, base.name);
  }

  protected data(piece: XenPiece, relocation: Relocation, target: Target, section: Section): Resolved {
    const elf = this.next(piece.unit);
    const { symbol, offset } = target;
    const constant = (start: number, end: number, string = false): Resolved => ({
      to: {
        kind: 'piece',
        piece: this.take({
          unit: piece.unit,
          section,
          start,
          end,
          kind: string ? 'string' : 'constant',
          name: `${section.name}+${start}`,
          added: false,
          out: string ? '.rodata.str' : '.rodata',
          align: string ? 1 : alignmentAt(section, start),
        }),
      },
      delta: offset - start,
    });
    if (isInit(section.name) && !(symbol && this.#usedBefore(piece, symbol.name)))
      return this.#init(
        symbol?.name ?? section.name,
        section,
        `${piece.name} refers to ${symbol?.name ?? 'data'} in ${section.name}, which is freed after the hypervisor booted.`,
      );
    if (section.flags & SHF.merge)
      return constant(...mergeableAt(section, offset), isStrings(section) && section.entrySize <= 1);
    if (symbol && isNamelessConstant(elf, symbol)) return constant(symbol.offset, symbol.offset + symbol.size);
    if (!symbol) {
      if (section.flags & SHF.write)
        return this.forbidden(piece, relocation, `it refers to nameless data in ${section.name}`);
      return constant(offset, placesOf(elf).extent(section.index, offset));
    }
    const base = this.baseSymbol(piece.unit, symbol);
    const delta = offset - symbol.offset;
    // An edited constant whose users are all in the patch: its new contents come along, under no name of their own.
    const edited = this.units[piece.unit]!.unit.diff.data.find((one) => one.next?.index === symbol.index);
    if (base && edited?.use?.keeps.length === 0) return constant(symbol.offset, symbol.offset + symbol.size);
    if (base) return this.#import(piece, relocation, this.#nameOf(piece.unit, base), delta, base.name);
    return { to: { kind: 'piece', piece: this.#newData(piece.unit, section, symbol) }, delta };
  }

  /** Data that the hypervisor has not: it lives in the payload. */
  #newData(unit: number, section: Section, symbol: ElfSymbol): number {
    const known = this.byPlace.get(placeKey(unit, section.index, symbol.offset));
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
      this.#init(
        symbol.name,
        section,
        `${symbol.name} is new in ${section.name}, which only counts while the hypervisor boots.`,
      );
    }
    const extent = placesOf(this.next(unit)).extent(section.index, symbol.offset);
    const size = symbol.size > 0 ? symbol.size : extent - symbol.offset;
    return this.take({
      unit,
      section,
      start: symbol.offset,
      end: symbol.offset + size,
      kind: 'data',
      name: symbol.name,
      symbol: { name: this.#newName(unit, symbol), type: 'object', size },
      added: true,
      out: isNobits(section) ? '.bss' : section.flags & SHF.write ? '.data' : '.rodata',
      align: alignmentAt(section, symbol.offset),
    });
  }

  /** A reference to what the hypervisor, or a payload below, has: exactly once. `plain`: its name in the object. */
  #import(piece: XenPiece, relocation: Relocation, name: string, delta: number, plain = name): Resolved {
    const found = this.#symbols.inXen(name);
    const refuse = (code: string, message: string, evidence: Finding['evidence'] = {}): undefined => {
      this.refusals.push(refusal(code, name, message, evidence, this.lineOf(piece, relocation)));
      return undefined;
    };
    if (found.length > 1)
      return refuse(
        'symbol-ambiguous',
        `${piece.name} uses ${name}, which the hypervisor has ${found.length} times: Xen would take any of them. Build the hypervisor with CONFIG_ENFORCE_UNIQUE_SYMBOLS, or avoid the name.`,
        { addresses: found.map((one) => `0x${one.address.toString(16)}`) },
      );
    if (found.length === 0 && this.#symbols.inBelow(name) === undefined)
      return refuse(
        'symbol-unresolved',
        `${piece.name} uses ${name}, which neither the hypervisor nor the patch has. Is the file that defines it part of the patch? A new source has to be known to git (git add), or named, and built once.`,
      );
    if (found[0]?.init && !this.#usedBefore(piece, plain))
      return refuse('init-code-changed', `${piece.name} uses ${name}, which is freed after the hypervisor booted.`);
    this.imports.add(name);
    return { to: { kind: 'import', name }, delta };
  }
}

/** The new code may be reached indirectly and the old entry may not: its address is the new one then. */
function gainsEndbr(unit: PatchUnit, { base, next }: Replacement): boolean {
  const code = (symbol: ElfSymbol, side: 'base' | 'next'): Uint8Array =>
    unit.pair[side].elf.sections[symbol.place as number]!.data.subarray(symbol.offset);
  return startsWithEndbr(code(next, 'next')) && !startsWithEndbr(code(base, 'base'));
}
