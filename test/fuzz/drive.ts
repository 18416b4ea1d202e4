import type { Decoders } from '../../server/src/core/asm/decode.ts';
import { diffObjects } from '../../server/src/core/diff/index.ts';
import { compareValues } from '../../server/src/core/diff/values.ts';
import { readDwarf } from '../../server/src/core/dwarf/index.ts';
import type { DwarfInfo } from '../../server/src/core/dwarf/types.ts';
import { readElf } from '../../server/src/core/elf/index.ts';
import type { ElfFile } from '../../server/src/core/elf/types.ts';
import { findHazards, verdictOf } from '../../server/src/core/findings/catalogue.ts';
import { loadObject } from '../../server/src/core/load-object.ts';
import type { ObjectModel } from '../../server/src/core/object.ts';
import { layOutArea, linkArea } from '../../server/src/core/payload/link.ts';
import { type ProcessPayload, readPayload } from '../../server/src/core/payload/read.ts';
import { renderDataSide } from '../../server/src/core/render/data.ts';
import { renderPayload } from '../../server/src/core/render/inspect.ts';
import { buildReport } from '../../server/src/core/render/report/build.ts';
import { reportHtml } from '../../server/src/core/render/report/html.ts';
import { reportMarkdown } from '../../server/src/core/render/report/markdown.ts';
import { specialTables } from '../../server/src/core/special/index.ts';
import { inflate } from '../../server/src/shell/inflate.ts';

/** What became of one object. */
export interface Outcome {
  /** The container could be opened. */
  readonly opened: boolean;
  /** It is a payload that would be linked. */
  readonly payload: boolean;
  /** Types or functions were read. */
  readonly debug: boolean;
  readonly problems: number;
}

const TARGETS = ['process', 'xen', 'linux'] as const;

/** Compares an object with the one that it was made from, in one direction or the other, and looks for hazards. */
export function compare(decoders: Decoders, original: ObjectModel, bytes: Uint8Array, index: number): void {
  const { object } = loadObject(bytes, decoders, { inflate });
  if (!object) return;
  const provenance = { unit: 'fuzz.c', baseCommand: [], nextCommand: [], compiler: '', baseline: 'file:fuzz.o' };
  const pair =
    index % 2 === 0 ? { base: original, next: object, provenance } : { base: object, next: original, provenance };
  const diff = diffObjects(pair);
  const findings = findHazards({ pair, diff, target: TARGETS[index % 3]! });
  const verdict = verdictOf(diff, findings);
  for (const change of diff.data) renderDataSide(compareValues(pair, diff, change), 'next');
  // The report is made of what is above: a part of the objects is enough for its own code.
  if (index % 4 !== 0) return;
  const unit = { id: 'fuzz.o', file: 'fuzz.c', result: { pair, diff, findings } };
  const report = buildReport({
    units: [unit],
    verdict,
    baseline: 'file:fuzz.o',
    target: 'process',
    description: '',
    payload: { kind: 'refused', reasons: [] },
    leaveOut: [],
    overrides: {},
    notCompared: [],
    shorten: (path) => path,
  });
  if (reportHtml(report).length + reportMarkdown(report).length === 0) throw new Error('The report is empty.');
}

/** Reads everything there is to read of a file, lazily read parts too. Whatever it throws is a defect. */
export function drive(bytes: Uint8Array): Outcome {
  const { elf, problems } = readElf(bytes, { inflate });
  if (!elf) return { opened: false, payload: false, debug: false, problems: problems.length };
  const payload = readPayload(bytes);
  if (typeof payload !== 'string') {
    renderPayload(payload);
    linkPayload(payload);
  }
  const size = readAllElf(elf);
  const dwarf = readDwarf(elf);
  const read = readAllDwarf(elf, dwarf);
  if (!Number.isFinite(size + read)) throw new Error('A size or offset is not a number.');
  return {
    opened: true,
    payload: typeof payload !== 'string',
    debug: read > 0,
    problems: problems.length + dwarf.problems.length,
  };
}

/** Links what would be linked into a process, near and far from what it imports. */
function linkPayload(payload: ProcessPayload): void {
  const layout = layOutArea(payload, 4096);
  if (layout.size > 1 << 24) return;
  for (const address of [0x1000_0000, 0x7fff_0000_0000]) {
    const { bytes } = linkArea(payload, layout, 0x1100_0000, (name) =>
      name.includes('thread') ? { threadOffset: -64 } : { address },
    );
    if (bytes.length !== layout.size) throw new Error('The area has another size than its layout.');
  }
}

function readAllElf(elf: ElfFile): number {
  let sum = 0;
  for (const section of elf.sections) {
    sum += section.data.length + elf.sectionsNamed(section.name).length;
    for (const relocation of elf.relocationsOf(section.index)) sum += relocation.offset + relocation.addend;
  }
  for (const symbol of elf.symbols) sum += symbol.offset + symbol.size + symbol.name.length;
  for (const symbol of elf.dynamicSymbols) sum += symbol.offset + symbol.size;
  for (const group of elf.groups) sum += group.members.length;
  const special = specialTables(elf);
  for (const { section, entries } of special.tables) {
    for (const { start, size } of entries)
      if (start < 0 || size <= 0 || start + size > section.size)
        throw new Error('An entry lies outside of its section.');
    sum += entries.length;
  }
  sum += special.problems.length;
  sum += elf.dynamicRelocations.length + elf.notes.length + elf.needed.length;
  void [elf.buildId, elf.soname];
  return sum;
}

function readAllDwarf(elf: ElfFile, dwarf: DwarfInfo): number {
  let read = 0;
  const check = (ref: number) => {
    if (!(ref >= -1 && ref < dwarf.types.length)) throw new Error(`Reference ${ref} leads to no type.`);
  };
  for (const type of dwarf.types) {
    check(type.target);
    type.parameters.forEach(check);
    for (const member of type.members) {
      check(member.type);
      if (!Number.isFinite(member.bitOffset + member.bitSize)) throw new Error(`${member.name} has no position.`);
    }
    read++;
  }
  for (const fn of dwarf.functions) {
    read += 1 + fn.inlined.length + (fn.endLine ?? 0);
    fn.localTypes.forEach(check);
    for (const parameter of fn.parameters) check(parameter.type);
    check(fn.returnType);
    for (const range of fn.ranges) if (!elf.sections[range.section]) throw new Error('A range has no section.');
  }
  for (const prototype of dwarf.prototypes) for (const parameter of prototype.parameters) check(parameter.type);
  for (const variable of dwarf.variables) check(variable.type);
  for (const section of elf.sections) {
    const rows = dwarf.linesOf(section.index);
    for (let i = 1; i < rows.length; i++)
      if (rows[i]!.offset <= rows[i - 1]!.offset) throw new Error('Rows are not sorted.');
    read += rows.length;
  }
  return read + dwarf.units.length;
}
