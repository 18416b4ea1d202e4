import { type Abbrev, type AbbrevTable, type Encoding, fixedFormSize } from './abbrev.ts';
import * as d from './constants.ts';
import type { DwarfData } from './data.ts';
import { Die } from './die.ts';
import { type FileNames, NO_FILES } from './line-header.ts';
import { Damaged, Reader } from './reader.ts';
import type { DebugSection, Place } from './sections.ts';
import * as s from './slots.ts';
import type { SourceLocation } from './types.ts';

/** A unit of .debug_info or .debug_types (DWARF 5, 7.5.1), with what its entries need to be understood. */
export class Unit implements Encoding {
  readonly data: DwarfData;
  readonly section: DebugSection;
  /** Added to an entry's section offset, it makes a key that is unique in the file. */
  readonly keyBase: number;
  /** Offset of the unit header in the section; references count from it. */
  readonly start: number;
  readonly end: number;
  readonly version: number;
  readonly offsetSize: 4 | 8;
  readonly addressSize: number;
  /** DW_UT_*; DW_UT_type also for DWARF 4's .debug_types. */
  readonly unitType: number;
  /** Offset in the section of the unit's own entry. */
  readonly dieStart: number;
  /** Type units: signature, and key of the type that it stands for. */
  readonly signature: bigint | undefined;
  readonly typeKey: number;
  readonly abbrevOffset: number;

  // From the unit's own entry:
  name = '';
  compDir = '';
  producer = '';
  language = 0;
  stmtList: number | undefined;
  low: Place | undefined;
  /** DW_AT_low_pc as a number, for linked files. */
  lowAddress = 0n;
  strOffsetsBase: number;
  addrBase: number;
  rnglistsBase: number;
  /** Names a .dwo file: the entries are elsewhere. */
  split = false;
  tag = 0;

  #abbrevs: AbbrevTable | undefined;
  #files: FileNames | undefined;

  constructor(
    data: DwarfData,
    section: DebugSection,
    keyBase: number,
    header: {
      start: number;
      end: number;
      version: number;
      offsetSize: 4 | 8;
      addressSize: number;
      unitType: number;
      dieStart: number;
      abbrevOffset: number;
      signature: bigint | undefined;
      typeOffset: number;
    },
  ) {
    this.data = data;
    this.section = section;
    this.keyBase = keyBase;
    this.start = header.start;
    this.end = header.end;
    this.version = header.version;
    this.offsetSize = header.offsetSize;
    this.addressSize = header.addressSize;
    this.unitType = header.unitType;
    this.dieStart = header.dieStart;
    this.abbrevOffset = header.abbrevOffset;
    this.signature = header.signature;
    this.typeKey = keyBase + header.start + header.typeOffset;
    // Without the attribute, the contribution begins behind the header of the section's first table.
    this.strOffsetsBase = header.version >= 5 ? (header.offsetSize === 8 ? 16 : 8) : 0;
    this.addrBase = header.version >= 5 ? (header.offsetSize === 8 ? 16 : 8) : 0;
    this.rnglistsBase = header.offsetSize === 8 ? 20 : 12;
  }

  get abbrevs(): AbbrevTable {
    this.#abbrevs ??= this.data.abbrevs.at(this.abbrevOffset, this);
    return this.#abbrevs;
  }

  fixedFormSize(form: number): number {
    return fixedFormSize(form, this);
  }

  /** A reader over the unit, at an offset of the section. */
  reader(at = this.dieStart): Reader {
    return new Reader(this.section.data, at, this.end, this.section.view);
  }

  /** The abbreviation of the entry under the reader, or undefined for the entry that ends a list of children. Throws `Damaged`. */
  next(reader: Reader): Abbrev | undefined {
    const at = reader.pos;
    const code = reader.uleb();
    if (code === 0) return undefined;
    const abbrev = this.abbrevs.get(code);
    if (!abbrev) throw new Damaged(`Abbreviation ${code} is not declared.`, at);
    return abbrev;
  }

  /** A string by form and value. */
  string(form: number, value: number): string {
    const { data } = this;
    switch (form) {
      case d.DW_FORM_strp:
        return data.strings.at(value);
      case d.DW_FORM_line_strp:
        return data.lineStrings.at(value);
      case d.DW_FORM_strx:
      case d.DW_FORM_strx1:
      case d.DW_FORM_strx2:
      case d.DW_FORM_strx3:
      case d.DW_FORM_strx4:
      case d.DW_FORM_GNU_str_index: {
        const { view } = data.strOffsets;
        const at = this.strOffsetsBase + value * this.offsetSize;
        if (at + this.offsetSize > view.byteLength) return '';
        return data.strings.at(this.offsetSize === 8 ? Number(view.getBigUint64(at, true)) : view.getUint32(at, true));
      }
      case d.DW_FORM_strp_sup:
      case d.DW_FORM_GNU_strp_alt:
        data.reportSupplement();
        return '';
      default:
        return '';
    }
  }

  /** Names of the unit's source files, by DW_AT_decl_file. */
  get files(): FileNames {
    this.#files ??= this.stmtList === undefined ? NO_FILES : this.data.filesAt(this.stmtList, this.compDir);
    return this.#files;
  }

  /** A place in the source; undefined where the entry does not tell. */
  location(file: number | undefined, line: number | undefined, column: number | undefined): SourceLocation | undefined {
    if (file === undefined || line === undefined || line === 0) return undefined;
    // Before DWARF 5, file 0 means that none is named.
    const name = this.files.at(file);
    if (!name) return undefined;
    return column ? { file: name, line, column } : { file: name, line };
  }

  /** Where an entry is declared. */
  declaration(die: Die): SourceLocation | undefined {
    if (!die.has(s.AT_DECL_LINE)) return undefined;
    return this.location(die.number(s.AT_DECL_FILE), die.number(s.AT_DECL_LINE), die.number(s.AT_DECL_COLUMN));
  }
}

/** Reads the unit headers of one section. Damage ends the reading; what was read stays. */
export function readUnits(data: DwarfData, section: DebugSection, keyBase: number, typesSection: boolean): Unit[] {
  const units: Unit[] = [];
  const reader = new Reader(section.data);
  while (reader.pos < section.data.length) {
    const start = reader.pos;
    let end = section.data.length;
    try {
      const { length, offsetSize } = reader.initialLength();
      end = reader.pos + length;
      if (end > section.data.length) {
        data.log.add('dwarf.info', `A unit of ${section.name} is cut off.`, start);
        end = section.data.length;
      }
      const unit = readHeader(data, section, keyBase, reader, start, end, offsetSize, typesSection);
      readUnitEntry(unit);
      units.push(unit);
    } catch (error) {
      if (!(error instanceof Damaged) && !(error instanceof RangeError)) throw error;
      data.log.add('dwarf.info', `A unit of ${section.name} cannot be read: ${error.message}`, start);
    }
    if (end <= start) break;
    reader.pos = end;
  }
  return units;
}

function readHeader(
  data: DwarfData,
  section: DebugSection,
  keyBase: number,
  reader: Reader,
  start: number,
  end: number,
  offsetSize: 4 | 8,
  typesSection: boolean,
): Unit {
  const version = reader.u16();
  if (version < 2 || version > 5) throw new Damaged(`DWARF version ${version} is not known.`, start);
  let unitType = typesSection ? d.DW_UT_type : d.DW_UT_compile;
  let addressSize: number;
  let abbrevOffset: number;
  if (version >= 5) {
    unitType = reader.u8();
    addressSize = reader.u8();
    abbrevOffset = reader.unsigned(offsetSize);
  } else {
    abbrevOffset = reader.unsigned(offsetSize);
    addressSize = reader.u8();
  }
  if (addressSize !== 8 && addressSize !== 4) throw new Damaged(`Addresses of ${addressSize} bytes.`, start);
  let signature: bigint | undefined;
  let typeOffset = 0;
  if (unitType === d.DW_UT_type || unitType === d.DW_UT_split_type) {
    reader.need(8);
    signature = reader.view.getBigUint64(reader.pos, true);
    reader.skip(8);
    typeOffset = reader.unsigned(offsetSize);
  } else if (unitType === d.DW_UT_skeleton || unitType === d.DW_UT_split_compile) reader.skip(8);
  const dieStart = reader.pos;
  const header = {
    start,
    end,
    version,
    offsetSize,
    addressSize,
    unitType,
    dieStart,
    abbrevOffset,
    signature,
    typeOffset,
  };
  return new Unit(data, section, keyBase, header);
}

function readUnitEntry(unit: Unit): void {
  const reader = unit.reader();
  const at = reader.pos;
  const abbrev = unit.next(reader);
  if (!abbrev) return;
  const die = new Die();
  die.read(unit, reader, abbrev, at);
  unit.tag = abbrev.tag;
  // The bases come first: names and addresses may be indices.
  unit.strOffsetsBase = die.number(s.AT_STR_OFFSETS_BASE) ?? unit.strOffsetsBase;
  unit.addrBase = die.number(s.AT_ADDR_BASE) ?? unit.addrBase;
  unit.rnglistsBase = die.number(s.AT_RNGLISTS_BASE) ?? unit.rnglistsBase;
  unit.name = die.string(s.AT_NAME) ?? '';
  unit.compDir = die.string(s.AT_COMP_DIR) ?? '';
  unit.producer = die.string(s.AT_PRODUCER) ?? '';
  unit.language = die.number(s.AT_LANGUAGE) ?? 0;
  unit.stmtList = die.number(s.AT_STMT_LIST);
  unit.split = die.has(s.AT_DWO_NAME) || unit.unitType === d.DW_UT_skeleton;
  if (die.has(s.AT_LOW_PC)) {
    unit.low = unit.data.addresses.ofAttribute(die, s.AT_LOW_PC);
    unit.lowAddress = unit.data.addresses.valueOfAttribute(die, s.AT_LOW_PC);
  }
}
