import * as d from './constants.ts';
import type { DwarfData } from './data.ts';
import { type FileNames, type LineHeader, NO_FILES, readLineHeader } from './line-header.ts';
import { Damaged, Reader } from './reader.ts';
import type { DebugSection, Place } from './sections.ts';
import type { LineRow } from './types.ts';

/** A run of line rows that ends with DW_LNE_end_sequence: one function with -ffunction-sections. */
interface Sequence {
  readonly header: LineHeader;
  readonly start: number;
  readonly end: number;
}

const NONE: readonly LineRow[] = Object.freeze([]);

/**
 * The line tables of `.debug_line` (DWARF 2 to 5, chapter 6.2). A first pass, without making rows, finds which sequence
 * speaks of which section; rows are made for the sections that are asked for.
 */
export class LineTables {
  readonly #data: DwarfData;
  #sequences: Map<number, Sequence[]> | undefined;
  readonly #rows = new Map<number, readonly LineRow[]>();
  /** Headers of a crafted file may overlap: no more bytes of them are read than this. */
  #headerBudget: number | undefined;
  readonly #headers = new Map<number, LineHeader | undefined>();

  constructor(data: DwarfData) {
    this.#data = data;
  }

  get #section(): DebugSection {
    return this.#data.sections.get('debug_line');
  }

  /** File names of the table at `offset`, by the index that DW_AT_decl_file and DW_AT_call_file use. */
  filesAt(offset: number, compDir: string): FileNames {
    return this.#headerAt(offset, compDir)?.files ?? NO_FILES;
  }

  #headerAt(offset: number, compDir: string): LineHeader | undefined {
    if (this.#headers.has(offset)) return this.#headers.get(offset);
    let header: LineHeader | undefined;
    this.#headerBudget ??= 65536 + 2 * this.#section.data.length;
    try {
      if (this.#headerBudget <= 0) throw new Damaged('The headers overlap.', offset);
      header = readLineHeader(this.#data, this.#section, offset, compDir);
      this.#headerBudget -= header.program - offset;
    } catch (error) {
      if (!(error instanceof Damaged) && !(error instanceof RangeError)) throw error;
      this.#data.log.add('dwarf.line', `A line table header cannot be read: ${error.message}`, offset);
    }
    this.#headers.set(offset, header);
    return header;
  }

  /** Rows of a code section, sorted by offset, one for each offset: the last that the table gives for it. */
  rowsOf(section: number): readonly LineRow[] {
    const cached = this.#rows.get(section);
    if (cached) return cached;
    this.#sequences ??= this.#index();
    const sequences = this.#sequences.get(section);
    const rows = sequences ? this.#rowsFrom(section, sequences) : NONE;
    this.#rows.set(section, rows);
    return rows;
  }

  #index(): Map<number, Sequence[]> {
    const index = new Map<number, Sequence[]>();
    const { log, units } = this.#data;
    const section = this.#section;
    const compDirs = new Map<number, string>();
    for (const unit of units) {
      if (unit.stmtList !== undefined && !compDirs.has(unit.stmtList)) compDirs.set(unit.stmtList, unit.compDir);
    }
    let at = 0;
    while (at < section.data.length) {
      const header = this.#headerAt(at, compDirs.get(at) ?? '');
      if (!header) {
        const next = skipTable(section, at);
        if (next === undefined) break;
        at = next;
        continue;
      }
      try {
        this.#indexProgram(header, index);
      } catch (error) {
        if (!(error instanceof Damaged) && !(error instanceof RangeError)) throw error;
        log.add('dwarf.line', `A line program cannot be read: ${error.message}`, at);
      }
      at = header.end;
    }
    return index;
  }

  /** Walks a line program without computing rows, and notes the sections of each sequence. */
  #indexProgram(header: LineHeader, index: Map<number, Sequence[]>): void {
    const section = this.#section;
    const reader = new Reader(section.data, header.program, header.end);
    const { data } = reader;
    let start = reader.pos;
    let found: number[] = [];
    const close = () => {
      for (const target of found) {
        const list = index.get(target);
        const sequence = { header, start, end: reader.pos };
        if (list) list.push(sequence);
        else index.set(target, [sequence]);
      }
      start = reader.pos;
      found = [];
    };
    while (reader.pos < header.end) {
      const op = data[reader.pos++]!;
      if (op >= header.opcodeBase) continue;
      if (op === 0) {
        const length = reader.uleb();
        const next = reader.pos + length;
        if (length === 0 || next > header.end) throw new Damaged('An extended opcode runs past the end.', reader.pos);
        const sub = reader.u8();
        if (sub === d.DW_LNE_set_address) {
          const place = this.#data.addresses.ofField(section, reader.pos, length - 1);
          if (place && !found.includes(place.section) && found.length < 64) found.push(place.section);
        }
        reader.pos = next;
        if (sub === d.DW_LNE_end_sequence) close();
      } else if (op === d.DW_LNS_fixed_advance_pc) reader.pos += 2;
      else for (let i = header.operands[op]!; i > 0; i--) reader.skipLeb();
    }
    // A table that does not end its last sequence still tells what it has told.
    close();
  }

  #rowsFrom(target: number, sequences: readonly Sequence[]): readonly LineRow[] {
    const { elf, log } = this.#data;
    const rows: LineRow[] = [];
    const limit = elf.sections[target]?.data.length ?? 0;
    try {
      for (const sequence of sequences) this.#run(sequence, target, limit, rows);
    } catch (error) {
      if (!(error instanceof Damaged) && !(error instanceof RangeError)) throw error;
      log.add('dwarf.line', `A line program cannot be read: ${error.message}`);
    }
    return settle(rows);
  }

  /** Runs the state machine (DWARF 5, 6.2.2) over one sequence. */
  #run(sequence: Sequence, target: number, limit: number, rows: LineRow[]): void {
    const { header } = sequence;
    const section = this.#section;
    const { addresses } = this.#data;
    const { files, lineBase, lineRange, opcodeBase, minInstruction } = header;
    const reader = new Reader(section.data, sequence.start, sequence.end);
    const { data } = reader;
    let place: Place | undefined;
    let offset = 0;
    let file = 1;
    let line = 1;
    let column = 0;
    let isStatement = header.defaultIsStatement;
    const emit = (shownLine: number) => {
      if (place?.section !== target || offset < 0 || offset > limit) return;
      const last = rows[rows.length - 1];
      const row = { offset, file: shownLine === 0 ? '' : (files.at(file) ?? ''), line: shownLine, column, isStatement };
      // The last row for an offset is the one that holds.
      if (last && last.offset === offset) rows[rows.length - 1] = row;
      else rows.push(row);
    };
    while (reader.pos < sequence.end) {
      const op = data[reader.pos++]!;
      if (op >= opcodeBase) {
        const adjusted = op - opcodeBase;
        offset += Math.floor(adjusted / lineRange) * minInstruction;
        line += lineBase + (adjusted % lineRange);
        emit(line);
        continue;
      }
      switch (op) {
        case 0: {
          const length = reader.uleb();
          const next = reader.pos + length;
          const sub = reader.u8();
          if (sub === d.DW_LNE_end_sequence) {
            // Behind the end nothing is known, until another row begins there.
            if (offset < limit) emit(0);
            return;
          }
          if (sub === d.DW_LNE_set_address) {
            place = addresses.ofField(section, reader.pos, length - 1);
            offset = place?.offset ?? 0;
          }
          reader.pos = next;
          break;
        }
        case d.DW_LNS_copy:
          emit(line);
          break;
        case d.DW_LNS_advance_pc:
          offset += reader.uleb() * minInstruction;
          break;
        case d.DW_LNS_advance_line:
          line += reader.sleb();
          break;
        case d.DW_LNS_set_file:
          file = reader.uleb();
          break;
        case d.DW_LNS_set_column:
          column = reader.uleb();
          break;
        case d.DW_LNS_negate_stmt:
          isStatement = !isStatement;
          break;
        case d.DW_LNS_const_add_pc:
          offset += Math.floor((255 - opcodeBase) / lineRange) * minInstruction;
          break;
        case d.DW_LNS_fixed_advance_pc:
          offset += reader.u16();
          break;
        default:
          for (let i = header.operands[op]!; i > 0; i--) reader.skipLeb();
      }
    }
  }
}

/** The offset behind a table whose header could not be read; undefined where even its length makes no sense. */
function skipTable(section: DebugSection, at: number): number | undefined {
  try {
    const reader = new Reader(section.data, at);
    const { length } = reader.initialLength();
    return reader.pos + length;
  } catch {
    return undefined;
  }
}

/** Sorts rows by offset and keeps one for each: a sequence that begins where another ended wins over the end. */
function settle(rows: LineRow[]): readonly LineRow[] {
  let sorted = true;
  for (let i = 1; i < rows.length && sorted; i++) sorted = rows[i]!.offset > rows[i - 1]!.offset;
  if (sorted) return rows;
  rows.sort((a, b) => a.offset - b.offset);
  const kept: LineRow[] = [];
  for (const row of rows) {
    const last = kept[kept.length - 1];
    if (last?.offset !== row.offset) kept.push(row);
    else if (row.line !== 0 || last.line === 0) kept[kept.length - 1] = row;
  }
  return kept;
}
