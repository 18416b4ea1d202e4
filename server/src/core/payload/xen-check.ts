import { relocationMeaning } from '../asm/relocation.ts';
import { relocationsIn } from '../asm/targets.ts';
import type { ElfFile, Section } from '../elf/types.ts';
import type { Finding } from '../findings/types.ts';
import { specialTables } from '../special/index.ts';
import { bytesAt } from './home.ts';
import { refusal } from './refusal.ts';
import { toHex } from './sha256.ts';
import {
  BUILD_ID,
  DEPENDS,
  EXPECT_OFFSET,
  FUNC_SIZE,
  FUNCS,
  HOOKS,
  jumpSize,
  MAX_PAYLOAD,
  MAX_SECTIONS,
  MAX_SYMBOL,
  OPAQUE_SIZE,
  readBuildIdNote,
  WIDTH,
  XEN_DEPENDS,
  type XenVersion,
} from './xen-format.ts';
import { type FuncEntry, type Hypervisor, readFuncs, type XenSymbols, xenSymbols } from './xen-symbols.ts';

const ALLOC = 2;
/** Where `struct alt_instr` of Xen has the two lengths, one byte each (asm/alternative.h): the same in entries of 12 and 14 bytes. */
const ORIGINAL_LENGTH = 10;
const REPLACEMENT_LENGTH = 11;

/**
 * Checks a finished payload against everything that the hypervisor checks while it loads one (common/livepatch.c,
 * common/livepatch_elf.c, arch/x86/livepatch.c), reading nothing but the bytes. What Xen would refuse is a blocker here.
 * @param version of the function table that the hypervisor wants.
 */
export function checkXenPayload(elf: ElfFile, hypervisor: Hypervisor, version: XenVersion): Finding[] {
  const check = new Check(elf, hypervisor, version);
  check.file();
  check.sections();
  check.notes();
  check.symbols();
  check.relocations();
  check.functions();
  check.hooks();
  check.tables();
  return check.findings;
}

class Check {
  readonly findings: Finding[] = [];
  readonly #elf: ElfFile;
  readonly #xen: Hypervisor;
  readonly #version: XenVersion;
  readonly #names: XenSymbols;

  constructor(elf: ElfFile, xen: Hypervisor, version: XenVersion) {
    this.#elf = elf;
    this.#xen = xen;
    this.#version = version;
    this.#names = xenSymbols(xen);
  }

  #say(code: string, symbol: string, message: string, evidence: Finding['evidence'] = {}): void {
    this.findings.push(refusal(code, symbol, message, evidence));
  }

  #malformed(symbol: string, message: string): void {
    this.#say('payload-malformed', symbol, message);
  }

  file(): void {
    const { bytes, kind, machine, littleEndian } = this.#elf;
    if (bytes.length > MAX_PAYLOAD)
      this.#say(
        'payload-too-large',
        'payload',
        `The payload has ${bytes.length} bytes, and Xen takes at most ${MAX_PAYLOAD}.`,
        { size: bytes.length, limit: MAX_PAYLOAD },
      );
    if (machine !== 62 || !littleEndian) this.#say('endianness-or-class', 'payload', 'The payload is not for x86-64.');
    if (kind !== 'rel') this.#malformed('payload', 'The payload is no relocatable file (ET_REL).');
    if (this.#elf.segments.length > 0) this.#malformed('payload', 'The payload has program headers.');
    if (this.#elf.sections.length > MAX_SECTIONS)
      this.#malformed(
        'payload',
        `The payload has ${this.#elf.sections.length} sections, and Xen takes at most ${MAX_SECTIONS}.`,
      );
    for (const problem of this.#elf.problems) this.#malformed(problem.area, problem.message);
  }

  sections(): void {
    let bss = 0;
    for (const section of this.#elf.sections.slice(1)) {
      const { align, flags, name, type, size } = section;
      if ((align & (align - 1)) !== 0) this.#malformed(name, `The alignment of ${name}, ${align}, is no power of two.`);
      if ((flags & ALLOC) === 0) continue;
      if ((flags & 5) === 5) this.#malformed(name, `${name} is both writable and executable, which Xen does not load.`);
      if (type === 8) bss += size;
      if (type === 9) this.#malformed(name, `${name} holds relocations without addends (SHT_REL).`);
    }
    if (bss > MAX_PAYLOAD)
      this.#say(
        'payload-too-large',
        '.bss',
        `The payload's .bss has ${bss} bytes, and Xen takes at most ${MAX_PAYLOAD}.`,
        { size: bss, limit: MAX_PAYLOAD },
      );
    if (this.#elf.sections.filter((section) => section.type === 2).length !== 1)
      this.#malformed('.symtab', 'A payload has exactly one symbol table.');
  }

  #only(name: string): Section | undefined {
    const found = this.#elf.sectionsNamed(name);
    if (found.length > 1) this.#malformed(name, `${name} is there ${found.length} times.`);
    if (found[0]?.size === 0) this.#malformed(name, `${name} is empty.`);
    return found[0];
  }

  notes(): void {
    const ids = new Map<string, string>();
    for (const name of [BUILD_ID, DEPENDS, XEN_DEPENDS]) {
      const section = this.#only(name);
      const id = section && readBuildIdNote(section.data);
      if (!section || (section.flags & ALLOC) === 0) this.#malformed(name, `${name} is missing.`);
      else if (!id) this.#malformed(name, `${name} holds no GNU build id note.`);
      else ids.set(name, toHex(id));
    }
    const running = this.#xen.elf.buildId;
    const xen = ids.get(XEN_DEPENDS);
    if (running !== undefined && xen !== undefined && xen !== running) {
      this.#say(
        'build-id-mismatch',
        this.#xen.path,
        `The payload is made for the hypervisor with build id ${xen}, and ${this.#xen.path} has ${running}. Build the patch for the hypervisor that runs.`,
        { wanted: xen, found: running },
      );
    }
    const top = this.#xen.below.at(-1);
    const expected = top ? top.elf.buildId : running;
    const depends = ids.get(DEPENDS);
    if (depends !== undefined && expected !== undefined && depends !== expected) {
      this.#say(
        'build-id-mismatch',
        top?.id ?? this.#xen.path,
        `The payload goes on top of build id ${depends}, and ${top ? `the patch ${top.id}` : 'the hypervisor'} on top has ${expected}. Build it on top of that, or use replace.`,
        { wanted: depends, found: expected },
      );
    }
  }

  symbols(): void {
    const replaced = new Set(
      readFuncs(this.#elf).flatMap((entry) => (entry.code ? [`${entry.code.section}:${entry.code.offset}`] : [])),
    );
    for (const symbol of this.#elf.symbols.slice(1)) {
      if (symbol.place === 'common')
        this.#say(
          'forbidden-relocation',
          symbol.name,
          `${symbol.name} is a common symbol, which Xen refuses. Build with -fno-common.`,
        );
      else if (symbol.place === 'undef') this.#resolves(symbol.name);
      else if (typeof symbol.place === 'number') {
        const section = this.#elf.sections[symbol.place];
        if (!section) this.#malformed(symbol.name, `${symbol.name} is in section ${symbol.place}, which is not there.`);
        else if (section.flags & ALLOC && symbol.type !== 'section' && symbol.name !== '') {
          if (new TextEncoder().encode(symbol.name).length > MAX_SYMBOL)
            this.#malformed(symbol.name, `The name ${symbol.name} is longer than ${MAX_SYMBOL} bytes.`);
          const known = this.#names.inXen(symbol.name).length > 0 ? 'the hypervisor' : this.#names.inBelow(symbol.name);
          if (known !== undefined && !replaced.has(`${symbol.place}:${symbol.offset}`))
            this.#say(
              'symbol-ambiguous',
              symbol.name,
              `The payload defines ${symbol.name}, which ${known} has already: Xen refuses a duplicate new symbol.`,
            );
        }
      }
    }
  }

  #resolves(name: string): void {
    const found = this.#names.inXen(name);
    if (found.length > 1)
      this.#say('symbol-ambiguous', name, `The hypervisor has ${found.length} symbols ${name}.`, {
        addresses: found.map((one) => `0x${one.address.toString(16)}`),
      });
    else if (found.length === 0 && this.#names.inBelow(name) === undefined)
      this.#say('symbol-unresolved', name, `Neither the hypervisor nor an applied patch has the symbol ${name}.`);
  }

  relocations(): void {
    const { elf } = this;
    for (const section of elf.sections) {
      if ((section.flags & ALLOC) === 0) continue;
      for (const { offset, type, symbol } of elf.relocationsOf(section.index)) {
        const width = WIDTH.get(type);
        if (width === undefined)
          this.#say(
            'forbidden-relocation',
            section.name,
            `${section.name} has a relocation ${relocationMeaning(62, type).name} at byte ${offset}; Xen's loader knows R_X86_64_64, PC32 and PLT32 only.`,
            { offset, type },
          );
        else if (offset < 0 || offset + width > section.size)
          this.#malformed(section.name, `A relocation of ${section.name} is at byte ${offset}, past its end.`);
        if (symbol === 0)
          this.#malformed(section.name, `A relocation of ${section.name} at byte ${offset} names no symbol.`);
        const place = elf.symbols[symbol]?.place;
        if (typeof place === 'number' && ((elf.sections[place]?.flags ?? 0) & ALLOC) === 0)
          this.#malformed(
            section.name,
            `A relocation of ${section.name} at byte ${offset} refers to a section that is not loaded.`,
          );
      }
    }
  }

  private get elf(): ElfFile {
    return this.#elf;
  }

  functions(): void {
    const section = this.#only(FUNCS);
    const hooks = HOOKS.some((kind) => this.#elf.sectionsNamed(kind.section).length > 0);
    if (!section) {
      if (!hooks) this.#say('nothing-to-patch', 'payload', 'The payload replaces no function and has no hook.');
      return;
    }
    if (section.size % FUNC_SIZE[this.#version] !== 0) {
      this.#malformed(
        FUNCS,
        `${FUNCS} has ${section.size} bytes, no multiple of ${FUNC_SIZE[this.#version]}: its version is not the ${this.#version} of this hypervisor.`,
      );
      return;
    }
    for (const entry of readFuncs(this.#elf)) this.#function(entry);
  }

  #function(entry: FuncEntry): void {
    const { name } = entry;
    if (entry.version !== this.#version) {
      this.#malformed(
        name,
        `The entry of ${name} has version ${entry.version}, and the hypervisor wants ${this.#version}.`,
      );
      return;
    }
    if (entry.oldSize === 0) {
      this.#malformed(name, `The entry of ${name} has no old size.`);
      return;
    }
    if (entry.oldAddress === 0n) this.#resolves(name);
    else if (!this.#isCode(entry.oldAddress))
      this.#malformed(
        name,
        `The entry of ${name} says that it is at 0x${entry.oldAddress.toString(16)}, which is outside of the hypervisor's code.`,
      );
    const linked = this.#names.inXen(name)[0];
    const address = entry.oldAddress || linked?.address;
    const old = address === undefined ? undefined : bytesAt(this.#xen.elf, address, entry.oldSize);
    if (linked && linked.size !== 0 && linked.size !== entry.oldSize)
      this.#say(
        'baseline-differs',
        name,
        `${name} has ${linked.size} bytes in the hypervisor, and the payload expects ${entry.oldSize}.`,
        { found: linked.size, expected: entry.oldSize },
      );
    if (!entry.code) {
      if (entry.newSize > OPAQUE_SIZE)
        this.#malformed(
          name,
          `The entry of ${name} would write NOPs over ${entry.newSize} bytes; at most ${OPAQUE_SIZE} go.`,
        );
      else if (entry.newSize > entry.oldSize)
        this.#malformed(
          name,
          `The entry of ${name} would write NOPs over ${entry.newSize} bytes of a function of ${entry.oldSize}.`,
        );
    } else {
      const needed = jumpSize(old ?? new Uint8Array());
      if (entry.oldSize < needed)
        this.#say(
          'func-too-small',
          name,
          `${name} has ${entry.oldSize} bytes, and the jump to its replacement takes ${needed}${needed === 9 ? ' (5 behind the endbr64)' : ''}. Patch its callers instead.`,
          { size: entry.oldSize, needed },
        );
    }
    this.#expectation(entry, old);
  }

  /** The jump has 32 bits: the payload lies in reach of the hypervisor's own code, and of nothing else. */
  #isCode(address: bigint): boolean {
    return this.#xen.elf.sections.some(
      (section) =>
        (section.flags & 6) === 6 && section.address <= address && address < section.address + BigInt(section.size),
    );
  }

  #expectation(entry: FuncEntry, old: Uint8Array | undefined): void {
    const flags = entry.expect[0] ?? 0;
    if ((flags & 1) === 0) return;
    const length = (flags >> 1) & 31;
    const bytes = entry.expect.subarray(1, 1 + length);
    if (flags >> 6) this.#malformed(entry.name, `Reserved bits of the expectation of ${entry.name} are set.`);
    if (length > entry.oldSize)
      this.#malformed(entry.name, `The expectation of ${entry.name} is longer than the function.`);
    else if (old && this.#xen.below.length === 0 && bytes.some((byte, index) => byte !== old[index]))
      this.#say(
        'baseline-differs',
        entry.name,
        `The code at the start of ${entry.name} is not what the payload expects there (field at byte ${EXPECT_OFFSET} of its entry).`,
      );
  }

  hooks(): void {
    for (const kind of HOOKS) {
      if (this.#elf.sectionsNamed(kind.section).length === 0) continue;
      const section = this.#only(kind.section)!;
      if (kind.since > this.#version)
        this.#malformed(
          kind.section,
          `${kind.section} is not known to this hypervisor, which takes payloads of version ${this.#version}: the hook would not be called.`,
        );
      if (section.size % 8 !== 0)
        this.#malformed(kind.section, `${kind.section} has ${section.size} bytes, no multiple of 8.`);
      else if (kind.single && section.size !== 8)
        this.#say(
          'hook-duplicate',
          kind.section,
          `There are ${section.size / 8} hooks of the kind ${kind.section}, and Xen calls exactly one. Call the others from it.`,
          { count: section.size / 8 },
        );
    }
  }

  tables(): void {
    for (const section of this.#elf.sections) {
      if (/^\.(bug_frames\.\d|ex_table)$/.test(section.name) && section.size % 8 !== 0)
        this.#malformed(section.name, `${section.name} has ${section.size} bytes, no multiple of 8.`);
    }
    this.#alternatives();
    const info = this.#elf.sectionsNamed('.modinfo')[0];
    if (info && info.size > 0 && info.data.at(-1) !== 0)
      this.#malformed('.modinfo', '.modinfo does not end with a NUL: Xen reads strings there.');
  }

  /** Each alternative has to be about the payload's code, and to be replaced by something in `.altinstr_replacement`. */
  #alternatives(): void {
    const name = '.altinstructions';
    const table = this.#elf.sectionsNamed(name)[0];
    if (!table || table.size === 0) return;
    const text = this.#elf.sections.filter((section) => (section.flags & 7) === 6);
    if (text.length === 0) this.#malformed(name, 'There are alternatives and no code.');
    const replacement = this.#elf.sectionsNamed('.altinstr_replacement')[0];
    if (!replacement) {
      this.#malformed(name, 'There are alternatives and no .altinstr_replacement.');
      return;
    }
    const size = specialTables(this.#elf).tables.find(({ section }) => section === table)?.entrySize;
    if (size !== 14 && size !== 12) {
      this.#malformed(name, `${name} has ${table.size} bytes, no multiple of 14: its entries cannot be told apart.`);
      return;
    }
    const relocations = this.#elf.relocationsOf(table.index);
    for (let at = 0; at < table.size; at += size) {
      const say = (what: string, where: string): void =>
        this.#malformed(name, `The ${what} of the alternative at byte ${at} is missing or lies outside of ${where}.`);
      const inside = (field: number, length: number, sections: readonly Section[]): boolean => {
        const relocation = relocationsIn(relocations, at + field, at + field + 1)[0];
        const symbol = relocation && this.#elf.symbols[relocation.symbol];
        const section = sections.find((one) => one.index === symbol?.place);
        const start = (symbol?.offset ?? 0) + (relocation?.addend ?? 0);
        return section !== undefined && start >= 0 && start + length <= section.size;
      };
      if (!inside(0, table.data[at + ORIGINAL_LENGTH] ?? 0, text)) say('code', "the payload's code");
      if (!inside(4, table.data[at + REPLACEMENT_LENGTH] ?? 0, [replacement]))
        say('replacement', '.altinstr_replacement');
    }
  }
}
