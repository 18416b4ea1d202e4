import type { InlinedCall, SourceLocation } from '../dwarf/types.ts';
import type { ElfSymbol, Relocation } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import { scannerFor } from './machine.ts';
import { describeTarget } from './names.ts';
import { branchTargetOf, branchTargets, paddingOf } from './normalise.ts';
import { putBranch, putReference, referenceText, roleOf } from './operands.ts';
import { type Body, isCode, isNamelessConstant, placesOf, SHF } from './places.ts';
import { relocationMeaning } from './relocation.ts';
import { Recent } from './remember.ts';
import { instructionAt, KIND, type Scan } from './scan.ts';
import { sourceReader } from './source.ts';
import {
  codeBias,
  dropRelocated,
  firstAt,
  placeTarget,
  relocationsIn,
  relocationTarget,
  type Target,
} from './targets.ts';
import type { AsmReference, AsmRow, Instruction } from './types.ts';

/**
 * The instructions of a function with everything that depends on addresses replaced by its meaning: relocation targets as
 * symbol and addend, branch targets as labels, string literals as text. Empty for symbols that are not code.
 */
export function listFunction(object: ObjectModel, symbol: ElfSymbol): readonly AsmRow[] {
  const body = placesOf(object.elf).bodyOf(symbol);
  return body ? listBody(object, body) : [];
}

const listings = new WeakMap<ObjectModel, Recent<AsmRow>>();

/** As `listFunction`, for a piece of code. The rows of the last few are kept with the object. */
export function listBody(object: ObjectModel, body: Body): readonly AsmRow[] {
  let recent = listings.get(object);
  if (!recent) {
    recent = new Recent();
    listings.set(object, recent);
  }
  return recent.get(`${body.section} ${body.start} ${body.size}`, () => list(object, body));
}

function list(object: ObjectModel, body: Body): AsmRow[] {
  const { elf } = object;
  const section = elf.sections[body.section];
  const scanner = scannerFor(elf.machine);
  if (!section || !scanner || !isCode(section)) return [];
  const code = section.data.subarray(body.start, body.start + body.size);
  const scan = scanner.scan(code);
  const instructions = object.decode(code, body.start);
  const relocations = relocationsIn(elf.relocationsOf(body.section), body.start, body.start + body.size);
  dropRelocated(scan, relocations, body.start);
  const tables = jumpTables(object, body, scan, relocations);
  const labels = nameLabels(scan, tables);
  const targets = branchTargets(scan);
  const padding = paddingOf(scan, body.start, (index) => targets[index] === 1);
  const sourceAt = sourceReader(object, body);
  const rows: AsmRow[] = [];
  // Instructions in a row mostly stand in the same inlined calls.
  let calls: readonly InlinedCall[] = [];
  let inlinedFrom: readonly string[] = [];
  let inlinedAt: readonly (SourceLocation | undefined)[] = [];
  let next = 0;
  for (const [i, instruction] of instructions.entries()) {
    const start = instruction.offset;
    const first = next;
    while (next < relocations.length && relocations[next]!.offset < start + instruction.size) next++;
    const { operands, references } = withReferences(
      object,
      body,
      scan,
      i,
      instruction,
      relocations.slice(first, next),
      labels,
      tables,
    );
    const source = sourceAt(start);
    const label = labels.get(i);
    if (source.calls !== calls) {
      calls = source.calls;
      inlinedFrom = calls.map((call) => call.name);
      inlinedAt = calls.map((call) => call.call);
    }
    const row: { -readonly [K in keyof AsmRow]: AsmRow[K] } = {
      offset: start - body.start,
      bytes: code.subarray(start - body.start, start - body.start + instruction.size),
      mnemonic: instruction.mnemonic,
      operands,
      references,
      inlinedFrom,
    };
    if (label) row.label = label;
    if (source.location) row.source = source.location;
    if (calls.length > 0) row.inlinedAt = inlinedAt;
    if (padding[i]) row.padding = true;
    rows.push(row);
  }
  return rows;
}

/** `.L1`, `.L2`, ... for the targets of direct branches and jump tables, in the order of the code. */
function nameLabels(scan: Scan, tables: JumpTables): ReadonlyMap<number, string> {
  const targets = branchTargets(scan);
  for (const table of tables.values()) for (const target of table) targets[target] = 1;
  const labels = new Map<number, string>();
  for (let i = 0; i < scan.count; i++) if (targets[i]) labels.set(i, `.L${labels.size + 1}`);
  return labels;
}

function withReferences(
  object: ObjectModel,
  body: Body,
  scan: Scan,
  index: number,
  instruction: Instruction,
  relocations: readonly Relocation[],
  labels: ReadonlyMap<number, string>,
  tables: JumpTables,
): { operands: string; references: AsmReference[] } {
  const machine = object.elf.machine;
  const places = placesOf(object.elf);
  const references: AsmReference[] = [];
  let operands = instruction.operands;
  const end = instruction.offset + instruction.size;
  for (const relocation of relocations) {
    const meaning = relocationMeaning(machine, relocation.type);
    const bias = machine === 62 && meaning.pcRelative ? end - relocation.offset : 0;
    const target = relocationTarget(places, relocation, bias);
    // TLSDESC_CALL marks an instruction without changing it.
    if (/TLSDESC_CALL$/.test(meaning.name)) continue;
    const table = tables.get(relocation);
    const reference = {
      ...describe(object, target, meaning.name),
      rawAddend: relocation.addend,
      ...(table ? { labels: table.map((index) => labels.get(index)!) } : {}),
    };
    references.push(reference);
    const role = roleOf(instruction, relocation.offset - instruction.offset);
    operands = putReference(machine, operands, role, referenceText(reference, meaning.mark));
  }
  if (relocations.length > 0 || scan.relSize[index] === 0) return { operands, references };

  // No relocation: the assembler knew the distance, so the target is in the same section.
  const inside = branchTargetOf(scan, index);
  if (inside >= 0) {
    const name = labels.get(inside)!;
    references.push({ name, addend: 0, kind: 'label' });
    return { operands: putBranch(machine, operands, name), references };
  }
  const target = placeTarget(places, body.section, body.start + scan.target[index]!);
  const reference = describe(object, target);
  references.push(reference);
  const text = referenceText(reference, '');
  const kind = scan.kind[index]!;
  const isBranch = kind === KIND.branch || kind === KIND.jump || kind === KIND.call;
  return {
    operands: isBranch ? putBranch(machine, operands, text) : putReference(machine, operands, 'memory', text),
    references,
  };
}

function describe(object: ObjectModel, target: Target, relocation?: string): AsmReference {
  return describeTarget(object, target, relocation);
}

/** Jump tables by the relocation that refers to one: the index of the instruction that each entry leads to. */
type JumpTables = ReadonlyMap<Relocation, readonly number[]>;

/**
 * Nameless tables whose entries lead into this function: consecutive relocations of one size that point to its instructions. Entries
 * are addresses, or distances from the table (then an entry's own position is in its addend).
 */
function jumpTables(object: ObjectModel, body: Body, scan: Scan, relocations: readonly Relocation[]): JumpTables {
  const { elf } = object;
  const places = placesOf(elf);
  const tables = new Map<Relocation, readonly number[]>();
  for (const relocation of relocations) {
    const symbol = elf.symbols[relocation.symbol];
    const section = typeof symbol?.place === 'number' ? elf.sections[symbol.place] : undefined;
    if (!symbol || !section || section.flags & (SHF.exec | SHF.merge)) continue;
    if (symbol.type !== 'section' && !isNamelessConstant(elf, symbol)) continue;
    const bias = codeBias(elf.machine, scan, relocation.offset - body.start, relocation.type);
    const start = symbol.offset + relocation.addend + bias;
    const entries = elf.relocationsOf(section.index);
    const found: number[] = [];
    let step = 0;
    for (let i = firstAt(entries, start); i < entries.length; i++) {
      const entry = entries[i]!;
      const at = entry.offset - start;
      if (found.length === 1) step = at;
      if (at !== found.length * step || (found.length > 0 && step !== 4 && step !== 8)) break;
      const target = relocationTarget(places, entry, relocationMeaning(elf.machine, entry.type).pcRelative ? -at : 0);
      const index = target.section === body.section ? instructionAt(scan, target.offset - body.start) : -1;
      if (index < 0 || scan.start[index] !== target.offset - body.start) break;
      found.push(index);
    }
    if (found.length > 1) tables.set(relocation, found);
  }
  return tables;
}
