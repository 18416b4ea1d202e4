import { lazy } from '../elf/lazy.ts';
import type { ElfFile } from '../elf/types.ts';
import { DwarfData } from './data.ts';
import { compareTypes } from './likeness.ts';
import { structNamed } from './named.ts';
import { ProblemLog } from './problems.ts';
import { Damaged } from './reader.ts';
import { scan } from './scan.ts';
import { FunctionEntry, prototypesOf } from './subprograms.ts';
import type {
  DwarfFunction,
  DwarfInfo,
  DwarfPrototype,
  DwarfType,
  DwarfUnit,
  DwarfVariable,
  LineRow,
  TypeLikeness,
} from './types.ts';
import { variablesOf } from './variables.ts';

/**
 * Reads the debug information of an ELF file: DWARF 2 to 5, 32- and 64-bit DWARF, as gcc and clang write it, relocated as
 * it is read. Never throws. Types, functions and variables are read together when one of them is first asked for, line
 * rows per section, function bodies per function; `problems` grows with what these find.
 */
export function readDwarf(elf: ElfFile): DwarfInfo {
  const log = new ProblemLog();
  try {
    return new Info(elf, log);
  } catch (error) {
    if (!(error instanceof Damaged) && !(error instanceof RangeError)) throw error;
    log.add('dwarf', `The debug information cannot be read: ${error.message}`);
    return new Absent(log);
  }
}

class Info implements DwarfInfo {
  readonly present: boolean;
  readonly units: readonly DwarfUnit[];
  readonly #log: ProblemLog;
  readonly #data: DwarfData;
  readonly #scan;
  readonly #functions: () => readonly DwarfFunction[];
  readonly #prototypes: () => readonly DwarfPrototype[];
  readonly #variables: () => readonly DwarfVariable[];
  #likeness: { readonly base: Info; readonly found: TypeLikeness | undefined } | undefined;

  constructor(elf: ElfFile, log: ProblemLog) {
    this.#log = log;
    const data = new DwarfData(elf, log);
    this.#data = data;
    this.present = data.sections.has('debug_info');
    if (!this.present && elf.sections.some((section) => section.name.startsWith('.gnu.lto_'))) {
      log.add('dwarf', 'The object holds link-time optimisation code only; compile the unit with -fno-lto.');
    }
    if (data.units.some((unit) => unit.split)) {
      log.add(
        'dwarf.split',
        'The debug information is split off into .dwo files, which are not read; compile without -gsplit-dwarf.',
      );
    }
    this.units = data.units
      .filter((unit) => unit.signature === undefined)
      .map(({ name, compDir, producer, version, language }) => ({ name, compDir, producer, version, language }));
    this.#scan = lazy(() => scan(data));
    this.#functions = lazy(() => {
      const found = this.#scan();
      return found.subprograms
        .filter((entry) => entry.hasCode && entry.ranges.length > 0)
        .map((entry) => new FunctionEntry(found, entry));
    });
    this.#prototypes = lazy(() => prototypesOf(this.#scan(), this.#scan().subprograms));
    this.#variables = lazy(() => variablesOf(this.#scan(), this.#scan().variables));
  }

  get problems() {
    return this.#log.list;
  }
  get types(): readonly DwarfType[] {
    return this.#scan().types;
  }
  get functions(): readonly DwarfFunction[] {
    return this.#functions();
  }
  get prototypes(): readonly DwarfPrototype[] {
    return this.#prototypes();
  }
  get variables(): readonly DwarfVariable[] {
    return this.#variables();
  }
  linesOf(section: number): readonly LineRow[] {
    return this.#data.lines.rowsOf(section);
  }
  structSize(tag: string): number | undefined {
    return structNamed(this.#scan(), tag)?.size;
  }
  typesLike(base: DwarfInfo): TypeLikeness | undefined {
    if (!(base instanceof Info)) return undefined;
    // One object is compared with one other, by several rooms.
    if (this.#likeness?.base !== base) this.#likeness = { base, found: compareTypes(base.#scan(), this.#scan()) };
    return this.#likeness.found;
  }
}

/** Stands for debug information of which nothing could be read. */
class Absent implements DwarfInfo {
  readonly present = false;
  readonly units = [];
  readonly types = [];
  readonly functions = [];
  readonly prototypes = [];
  readonly variables = [];
  readonly problems;

  constructor(log: ProblemLog) {
    this.problems = log.list;
  }
  linesOf(): readonly LineRow[] {
    return [];
  }
  structSize(): number | undefined {
    return undefined;
  }
  typesLike(): TypeLikeness | undefined {
    return undefined;
  }
}
