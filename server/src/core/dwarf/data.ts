import { lazy } from '../elf/lazy.ts';
import { decodeText, StringTable } from '../elf/strings.ts';
import type { ElfFile } from '../elf/types.ts';
import { AbbrevTables } from './abbrev.ts';
import { Addresses } from './addresses.ts';
import { Die } from './die.ts';
import { LineTables } from './line.ts';
import type { FileNames } from './line-header.ts';
import type { ProblemLog } from './problems.ts';
import { Ranges } from './ranges.ts';
import { Damaged } from './reader.ts';
import { type DebugSection, DebugSections } from './sections.ts';
import { readUnits, type Unit } from './units.ts';

/** Longest string that is read; producers carry whole command lines. */
const MAX_STRING = 65536;

/** The debug sections of one file and the tables over them, shared by all readers of the room. */
export class DwarfData {
  readonly elf: ElfFile;
  readonly log: ProblemLog;
  readonly sections: DebugSections;
  readonly addresses: Addresses;
  readonly ranges: Ranges;
  readonly lines: LineTables;
  readonly units: readonly Unit[];

  readonly #strings: () => StringTable;
  readonly #lineStrings: () => StringTable;
  readonly #strOffsets: () => DebugSection;
  readonly #abbrevs: () => AbbrevTables;
  /** Key base of each .debug_info and .debug_types section by section index. */
  readonly #keyBases = new Map<number, number>();
  #bodyBudget: number | undefined;
  readonly #signatures = new Map<bigint, number>();

  constructor(elf: ElfFile, log: ProblemLog) {
    this.elf = elf;
    this.log = log;
    const sections = new DebugSections(elf, log);
    this.sections = sections;
    this.#strings = lazy(() => new StringTable(sections.get('debug_str').data, MAX_STRING));
    this.#lineStrings = lazy(() => new StringTable(sections.get('debug_line_str').data, MAX_STRING));
    this.#strOffsets = lazy(() => sections.get('debug_str_offsets'));
    this.#abbrevs = lazy(() => new AbbrevTables(sections.get('debug_abbrev').data));
    this.addresses = new Addresses(
      elf,
      lazy(() => sections.get('debug_addr')),
    );
    this.ranges = new Ranges(this);
    this.lines = new LineTables(this);

    const units: Unit[] = [];
    let keyBase = 0;
    const read = (name: string, typesSection: boolean) => {
      for (const section of sections.all(name)) {
        this.#keyBases.set(section.index, keyBase);
        for (const unit of readUnits(this, section, keyBase, typesSection)) units.push(unit);
        keyBase += section.data.length;
      }
    };
    read('debug_info', false);
    read('debug_types', true);
    this.units = units;
    for (const unit of units) {
      if (unit.signature !== undefined && !this.#signatures.has(unit.signature)) {
        this.#signatures.set(unit.signature, unit.typeKey);
      }
    }
  }

  get strings(): StringTable {
    return this.#strings();
  }
  get lineStrings(): StringTable {
    return this.#lineStrings();
  }
  get strOffsets(): DebugSection {
    return this.#strOffsets();
  }
  get abbrevs(): AbbrevTables {
    return this.#abbrevs();
  }

  /** A NUL-terminated string that stands in the section itself. */
  inlineString(data: Uint8Array, at: number): string {
    const limit = Math.min(data.length, at + MAX_STRING);
    let end = at;
    while (end < limit && data[end] !== 0) end++;
    return decodeText(data.subarray(at, end));
  }

  /** Counts an entry of a function's body. Throws `Damaged` where bodies that contain or refer to each other make too many. */
  countBodyEntry(at: number): void {
    this.#bodyBudget ??= 100_000 + this.units.reduce((sum, unit) => sum + 3 * (unit.end - unit.start), 0);
    if (this.#bodyBudget-- <= 0) throw new Damaged('The functions are nested in each other too often.', at);
  }

  /** Part of the information is in a file that dwz made, which is not read. */
  reportSupplement(): void {
    this.log.add('dwarf.info', 'Part of the debug information is in a supplementary file (dwz), which is not read.');
  }

  /** Key for DW_FORM_ref_addr: an offset in .debug_info, in the section that the field's relocation names, else the unit's own. */
  keyInSection(unit: Unit, fieldAt: number, value: number): number {
    const target = unit.section.targetSection(fieldAt);
    const base = target === undefined ? unit.keyBase : this.#keyBases.get(target);
    return base === undefined ? -1 : base + value;
  }

  /** Key of the type that a type unit's signature stands for; -1 where no unit has it. */
  keyOfSignature(signature: bigint): number {
    return this.#signatures.get(signature) ?? -1;
  }

  /** Source file names of the line table at an offset of .debug_line, by DW_AT_decl_file. */
  filesAt(stmtList: number, compDir: string): FileNames {
    return this.lines.filesAt(stmtList, compDir);
  }

  /** The unit that holds the entry of this key. */
  unitOf(key: number): Unit | undefined {
    const { units } = this;
    let low = 0;
    let high = units.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const unit = units[middle]!;
      if (key < unit.keyBase + unit.start) high = middle - 1;
      else if (key >= unit.keyBase + unit.end) low = middle + 1;
      else return unit;
    }
    return undefined;
  }

  /** Reads the entry of this key; undefined where there is none. Throws `Damaged`. */
  dieAt(key: number, into: Die = new Die()): Die | undefined {
    const unit = key < 0 ? undefined : this.unitOf(key);
    if (!unit) return undefined;
    const at = key - unit.keyBase;
    if (at < unit.dieStart) return undefined;
    const reader = unit.reader(at);
    const abbrev = unit.next(reader);
    if (!abbrev) return undefined;
    into.read(unit, reader, abbrev, at);
    return into;
  }
}
