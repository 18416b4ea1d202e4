import * as d from './constants.ts';
import type { DwarfData } from './data.ts';
import { joinPath } from './paths.ts';
import { Damaged, Reader } from './reader.ts';
import type { DebugSection } from './sections.ts';

/** Header of a line number program (DWARF 5, 6.2.4). */
export interface LineHeader {
  /** Offsets in .debug_line: first opcode, and end of the table. */
  readonly program: number;
  readonly end: number;
  readonly minInstruction: number;
  readonly defaultIsStatement: boolean;
  readonly lineBase: number;
  readonly lineRange: number;
  readonly opcodeBase: number;
  /** Number of LEB128 operands of each standard opcode. */
  readonly operands: readonly number[];
  /** Names by file index; index 0 is the unit's own file in DWARF 5 and empty before. */
  readonly files: FileNames;
}

/** The file names of a table, each joined with its directory when it is first asked for: of hundreds of headers few are named. */
export class FileNames {
  readonly #directories: readonly string[];
  readonly #entries: readonly FileEntry[];
  readonly #compDir: string;
  readonly #names: (string | undefined)[] = [];

  constructor(directories: readonly string[], entries: readonly FileEntry[], compDir: string) {
    this.#directories = directories;
    this.#entries = entries;
    this.#compDir = compDir;
  }

  /** The full name of a file; undefined where the table has none of this index. */
  at(index: number): string | undefined {
    const entry = this.#entries[index];
    if (!entry) return undefined;
    this.#names[index] ??= entry.none ? '' : joinPath(this.#directories[entry.directory] ?? this.#compDir, entry.path);
    return this.#names[index];
  }
}

interface FileEntry {
  readonly path: string;
  readonly directory: number;
  /** Stands for no file. */
  readonly none?: boolean;
}

/** No names at all. */
export const NO_FILES = new FileNames([], [], '');

/** Largest number of file entries that is read: a crafted count must not make an endless list of empty names. */
const MAX_FILES = 1 << 20;

/** Reads the header at `offset`. `compDir` is directory 0 before DWARF 5. Throws `Damaged`. */
export function readLineHeader(data: DwarfData, section: DebugSection, offset: number, compDir: string): LineHeader {
  if (!(offset >= 0 && offset < section.data.length)) throw new Damaged('It lies outside of .debug_line.', offset);
  const reader = new Reader(section.data, offset);
  const { length, offsetSize } = reader.initialLength();
  const end = Math.min(reader.pos + length, section.data.length);
  reader.end = end;
  const version = reader.u16();
  if (version < 2 || version > 5) throw new Damaged(`Line table version ${version} is not known.`, offset);
  if (version >= 5) reader.skip(2); // address size, segment selector size
  const headerLength = reader.unsigned(offsetSize);
  const program = reader.pos + headerLength;
  if (program > end) throw new Damaged('The header is longer than the table.', offset);
  const minInstruction = reader.u8();
  if (version >= 4) reader.skip(1); // maximum operations per instruction: VLIW only
  const defaultIsStatement = reader.u8() !== 0;
  const lineBase = reader.i8();
  const lineRange = reader.u8();
  if (lineRange === 0) throw new Damaged('The line range is 0.', offset);
  const opcodeBase = reader.u8();
  const operands = [0];
  for (let i = 1; i < opcodeBase; i++) operands.push(reader.u8());
  const files = version >= 5 ? readFiles5(data, reader, offsetSize, compDir) : readFiles4(data, reader, compDir);
  return { program, end, minInstruction, defaultIsStatement, lineBase, lineRange, opcodeBase, operands, files };
}

function readFiles4(data: DwarfData, reader: Reader, compDir: string): FileNames {
  const directories = [compDir];
  while (reader.u8() !== 0) {
    reader.pos--;
    directories.push(joinPath(compDir, data.inlineString(reader.data, reader.skipString())));
  }
  const files: FileEntry[] = [{ path: '', directory: 0, none: true }];
  while (reader.u8() !== 0) {
    reader.pos--;
    const name = data.inlineString(reader.data, reader.skipString());
    const directory = reader.uleb();
    reader.skipLeb(); // modification time
    reader.skipLeb(); // length
    files.push({ path: name, directory });
  }
  return new FileNames(directories, files, compDir);
}

interface EntryFormat {
  readonly content: number;
  readonly form: number;
}

function readFormats(reader: Reader): EntryFormat[] {
  const formats: EntryFormat[] = [];
  for (let count = reader.u8(); count > 0; count--) formats.push({ content: reader.uleb(), form: reader.uleb() });
  return formats;
}

function readFiles5(data: DwarfData, reader: Reader, offsetSize: 4 | 8, compDir: string): FileNames {
  const directories: string[] = [];
  const directoryFormats = readFormats(reader);
  const read = (formats: readonly EntryFormat[], add: (path: string, directory: number) => void) => {
    const count = reader.uleb();
    if (count > MAX_FILES || (formats.length === 0 && count > 0)) throw new Damaged('Too many file names.', reader.pos);
    for (let i = 0; i < count; i++) {
      let path = '';
      let directory = 0;
      for (const { content, form } of formats) {
        if (content === d.DW_LNCT_path) path = readPath(data, reader, form, offsetSize);
        else if (content === d.DW_LNCT_directory_index) directory = readIndex(reader, form);
        else skipValue(reader, form, offsetSize);
      }
      add(path, directory);
    }
  };
  read(directoryFormats, (path) => {
    directories.push(joinPath(directories[0] ?? compDir, path));
  });
  const files: FileEntry[] = [];
  read(readFormats(reader), (path, directory) => {
    files.push({ path, directory });
  });
  return new FileNames(directories, files, compDir);
}

function readPath(data: DwarfData, reader: Reader, form: number, offsetSize: 4 | 8): string {
  switch (form) {
    case d.DW_FORM_string:
      return data.inlineString(reader.data, reader.skipString());
    case d.DW_FORM_line_strp:
      return data.lineStrings.at(reader.unsigned(offsetSize));
    case d.DW_FORM_strp:
      return data.strings.at(reader.unsigned(offsetSize));
    default:
      throw new Damaged(`File names of form 0x${form.toString(16)} are not known.`, reader.pos);
  }
}

function readIndex(reader: Reader, form: number): number {
  switch (form) {
    case d.DW_FORM_data1:
      return reader.u8();
    case d.DW_FORM_data2:
      return reader.u16();
    case d.DW_FORM_udata:
      return reader.uleb();
    default:
      throw new Damaged(`Directory indices of form 0x${form.toString(16)} are not known.`, reader.pos);
  }
}

function skipValue(reader: Reader, form: number, offsetSize: 4 | 8): void {
  switch (form) {
    case d.DW_FORM_data16:
      reader.skip(16);
      return;
    case d.DW_FORM_block:
      reader.skip(reader.uleb());
      return;
    case d.DW_FORM_data4:
      reader.skip(4);
      return;
    case d.DW_FORM_data8:
      reader.skip(8);
      return;
    case d.DW_FORM_data1:
    case d.DW_FORM_data2:
    case d.DW_FORM_udata:
      readIndex(reader, form);
      return;
    default:
      readPathOrFail(reader, form, offsetSize);
  }
}

function readPathOrFail(reader: Reader, form: number, offsetSize: 4 | 8): void {
  if (form === d.DW_FORM_string) reader.skipString();
  else if (form === d.DW_FORM_line_strp || form === d.DW_FORM_strp) reader.skip(offsetSize);
  else throw new Damaged(`Form 0x${form.toString(16)} is not known here.`, reader.pos);
}
