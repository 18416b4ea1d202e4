import type { Problem } from '../problem.ts';
import { decompress, type Inflate, isCompressed, MAX_DECOMPRESSED } from './compressed.ts';
import * as c from './constants.ts';
import { type Container, openContainer, type RawSection } from './container.ts';
import { readDynamic } from './dynamic.ts';
import { readGroups } from './groups.ts';
import { lazy } from './lazy.ts';
import { buildIdOf, readNotes } from './notes.ts';
import { type RelocationReader, readDynamicRelocations, relocationReader } from './relocations.ts';
import { readSymbols } from './symbols.ts';
import type {
  DynamicRelocation,
  ElfFile,
  ElfSymbol,
  Note,
  Relocation,
  Section,
  SectionGroup,
  Segment,
} from './types.ts';

export type { Inflate } from './compressed.ts';

/** Options of `readElf`. */
export interface ReadElfOptions {
  /** Decompresses SHF_COMPRESSED sections; without it they are empty, with a problem. */
  readonly inflate?: Inflate;
}

/**
 * Reads an ELF64 little-endian file (gABI 4.1, x86-64 and AArch64 supplements), relocatable or linked. Never throws: what
 * cannot be read is missing and told in `problems`; `elf` is absent where not even the header can be used. Symbols,
 * relocations and notes are read when first asked for, and kept.
 */
export function readElf(bytes: Uint8Array, options: ReadElfOptions = {}): { elf?: ElfFile; problems: Problem[] } {
  const { container, problems } = openContainer(bytes);
  if (!container) return { problems };
  if (container.machine !== c.EM_X86_64 && container.machine !== c.EM_AARCH64) {
    problems.push({
      area: 'elf.machine',
      message: `The file is for ${c.machineName(container.machine)}; only x86-64 and AArch64 objects are read. Compile the unit for one of these.`,
    });
  }
  return { elf: new File(bytes, container, options.inflate, problems), problems };
}

const KINDS: Readonly<Record<number, ElfFile['kind']>> = {
  [c.ET_REL]: 'rel',
  [c.ET_EXEC]: 'exec',
  [c.ET_DYN]: 'dyn',
  [c.ET_CORE]: 'core',
};

/** A section whose contents are decompressed at the first look. */
class LazySection implements Section {
  readonly index: number;
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly address: bigint;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
  readonly info: number;
  readonly align: number;
  readonly entrySize: number;
  group?: number;
  readonly #load: () => Uint8Array;
  #data: Uint8Array | undefined;

  constructor(raw: RawSection, load: () => Uint8Array) {
    this.index = raw.index;
    this.name = raw.name;
    this.type = raw.type;
    this.flags = raw.flags;
    this.address = raw.address;
    this.offset = raw.offset;
    this.size = raw.size;
    this.link = raw.link;
    this.info = raw.info;
    this.align = raw.align;
    this.entrySize = raw.entrySize;
    this.#load = load;
  }

  get data(): Uint8Array {
    this.#data ??= this.#load();
    return this.#data;
  }
}

class File implements ElfFile {
  readonly kind: ElfFile['kind'];
  readonly machine: number;
  readonly littleEndian = true;
  readonly entry: bigint;
  readonly bytes: Uint8Array;
  readonly sections: readonly Section[];
  readonly segments: readonly Segment[];
  readonly problems: Problem[];

  readonly #symbols: () => ElfSymbol[];
  readonly #dynamicSymbols: () => ElfSymbol[];
  readonly #relocations: () => RelocationReader;
  readonly #dynamicRelocations: () => DynamicRelocation[];
  readonly #notes: () => Note[];
  readonly #groups: readonly SectionGroup[];
  readonly #dynamic: () => ReturnType<typeof readDynamic>;
  readonly #byName: () => Map<string, Section[]>;

  constructor(bytes: Uint8Array, container: Container, inflate: Inflate | undefined, problems: Problem[]) {
    this.bytes = bytes;
    this.kind = KINDS[container.type] ?? 'other';
    this.machine = container.machine;
    this.entry = container.entry;
    this.segments = container.segments;
    this.problems = problems;
    const linked = this.kind !== 'rel';
    const room = { left: MAX_DECOMPRESSED };
    const sections = container.sections.map((raw): Section & { group?: number } =>
      isCompressed(raw) ? new LazySection(raw, () => decompress(raw, inflate, room, problems)) : raw,
    );
    this.sections = sections;

    const context = {
      sections,
      linked,
      tlsAddress: this.segments.find((s) => s.type === c.PT_TLS)?.address ?? 0n,
      problems,
    };
    const symbolsOf = (type: number) => {
      const table = sections.find((s) => s.type === type);
      return table ? readSymbols(table, context) : [];
    };
    this.#symbols = lazy(() => symbolsOf(c.SHT_SYMTAB));
    this.#dynamicSymbols = lazy(() => symbolsOf(c.SHT_DYNSYM));
    this.#relocations = lazy(() => relocationReader(sections, this.machine, linked, problems));
    this.#dynamicRelocations = lazy(() => (linked ? readDynamicRelocations(sections, this.dynamicSymbols) : []));
    this.#notes = lazy(() => readNotes(bytes, sections, this.segments, problems));
    this.#dynamic = lazy(() => readDynamic(bytes, sections, this.segments));
    this.#byName = lazy(() => {
      const map = new Map<string, Section[]>();
      for (const section of sections) {
        const list = map.get(section.name);
        if (list) list.push(section);
        else map.set(section.name, [section]);
      }
      return map;
    });
    this.#groups = readGroups(container.sections, this.#symbols, problems);
    for (const group of this.#groups) {
      for (const member of group.members) sections[member]!.group = group.section;
    }
  }

  get symbols(): readonly ElfSymbol[] {
    return this.#symbols();
  }
  get dynamicSymbols(): readonly ElfSymbol[] {
    return this.#dynamicSymbols();
  }
  get groups(): readonly SectionGroup[] {
    return this.#groups;
  }
  get dynamicRelocations(): readonly DynamicRelocation[] {
    return this.#dynamicRelocations();
  }
  get notes(): readonly Note[] {
    return this.#notes();
  }
  get buildId(): string | undefined {
    return buildIdOf(this.notes);
  }
  get needed(): readonly string[] {
    return this.#dynamic().needed;
  }
  get soname(): string | undefined {
    return this.#dynamic().soname;
  }
  relocationsOf(section: number): readonly Relocation[] {
    return this.#relocations().of(section);
  }
  relocationTablesOf(section: number): readonly Section[] {
    return this.#relocations().tablesOf(section);
  }
  sectionsNamed(name: string): readonly Section[] {
    return this.#byName().get(name) ?? [];
  }
}
