import type { Instruction } from '../asm/types.ts';
import { type Reference, referencesFrom, referencesOf } from '../diff/references.ts';
import { plainName } from '../diff/signatures.ts';
import type { ElfSymbol } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import { lineAt } from './allocations.ts';
import { initArray, initSection, startupFunctions } from './init-code-changed.ts';
import { finding, listed, replacedFunctions, sectionName } from './support.ts';
import type { Finding, Hazard, HazardInput } from './types.ts';

/** Data that Linux and Xen make read-only when start-up is over. */
const sealed = /^\.data\.\.?ro_after_init/;

/** How a place uses an object: stores to it, only loads it, or takes its address (and may do anything with it). */
type Use = 'write' | 'read' | 'address';

/**
 * `init-once-data`: patched code writes data that nothing but start-up code wrote so far. Everybody who read it could rely on it not to change.
 * Told from the machine code of this unit: for an object that other units can write too, only where it is made read-only after start-up.
 */
export const initOnceData: Hazard = {
  codes: ['init-once-data'],
  find: (input) => {
    const { base, next } = input.pair;
    // Without code that runs at start-up only, and data that is sealed after it, there is nothing to look for.
    if (!base.elf.sections.some(({ name }) => initSection.test(name) || initArray.test(name) || sealed.test(name)))
      return [];
    const back = new Map([...input.diff.pairing].map(([b, n]) => [n, b]));
    const findings: Finding[] = [];
    const done = new Set<number>();
    for (const fn of replacedFunctions(input)) {
      if (!fn.next || !fn.base || initSection.test(sectionName(base, fn.base))) continue;
      for (const reference of writesOf(next, fn.next)) {
        const index = back.get(reference.target.index);
        const data = index === undefined ? undefined : base.elf.symbols[index];
        if (!data || done.has(data.index) || !isWritable(base, data)) continue;
        done.add(data.index);
        const found = judge(input, data, fn.name, reference);
        if (found) findings.push(found);
      }
    }
    return findings;
  },
};

function judge(input: HazardInput, data: ElfSymbol, writer: string, place: Reference): Finding | undefined {
  const { base, next } = input.pair;
  const section = sectionName(base, data);
  const isSealed = sealed.test(section);
  if (!isSealed && data.bind !== 'local') return undefined;
  const writers = new Set<string>();
  const startup = startupFunctions(base);
  for (const reference of referencesOf(base)) {
    if (reference.target.index !== data.index) continue;
    // Its address in other data, or loaded: who writes through that is not known.
    const use = reference.from ? useOf(base, reference) : 'address';
    if (use === 'read') continue;
    if (use === 'address' && !isSealed) return undefined;
    if (!reference.from || use === 'address') continue;
    if (!startup.has(reference.from.name) && !initSection.test(reference.section.name)) {
      if (!isSealed) return undefined;
      continue;
    }
    writers.add(reference.from.name);
  }
  // Nobody writes it at all: a constant by habit, or written through pointers from elsewhere.
  if (writers.size === 0 && !isSealed) return undefined;
  const at = lineAt(next, place.section.index, place.offset);
  const name = plainName(data.name);
  const how =
    writers.size > 0
      ? `so far only ${listed([...writers])} wrote it, at start-up`
      : 'it is read-only once start-up is over';
  return finding({
    code: 'init-once-data',
    severity: 'review',
    symbol: data.name,
    at: at ?? input.diff.functions.find((fn) => fn.name === writer)?.at,
    message: isSealed
      ? `${writer}() writes ${name}, which is in ${section}: ${how}, and the write would fault. Keep the value in a variable of its own.`
      : `${writer}() writes ${name}; ${how}. Code that runs may have taken its value, or what follows from it, once and for all: check everything that reads ${name}, or keep the new value in a variable of its own.`,
    evidence: { writer, startupWriters: [...writers], section },
    related: [...writers].map((from) => {
      const decl = base.dwarf.functions.find((f) => f.name === plainName(from))?.decl;
      return { ...(decl && { at: decl }), message: `${from}() writes it at start-up` };
    }),
  });
}

const isWritable = ({ elf }: ObjectModel, { type, place }: ElfSymbol): boolean =>
  (type === 'object' || type === 'notype') &&
  typeof place === 'number' &&
  ((elf.sections[place]?.flags ?? 0) & 1) !== 0;

const writesOf = (object: ObjectModel, fn: ElfSymbol): Reference[] =>
  referencesFrom(object, [fn]).filter((reference) => !reference.call && useOf(object, reference) === 'write');

const instructions = new WeakMap<ObjectModel, Map<number, Instruction[]>>();

/** Instructions that only look at their memory operand, though it comes first. */
const looks = /^(cmp|test|bt|push|call|jmp|v?u?comis|nop|prefetch|bound|div|idiv|mul)/;

/** The instruction that covers an offset, of a list in the order of the code. */
function instructionAt(code: readonly Instruction[], offset: number): Instruction | undefined {
  let low = 0;
  let high = code.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (code[middle]!.offset <= offset) low = middle + 1;
    else high = middle;
  }
  const found = code[low - 1];
  return found && offset < found.offset + found.size ? found : undefined;
}

/** What the instruction at a reference does with its operand. x86-64 only; on other machines everything counts as an address. */
export function useOf(object: ObjectModel, { from, offset }: Reference): Use {
  if (object.elf.machine !== 62 || typeof from?.place !== 'number') return 'address';
  let known = instructions.get(object);
  if (!known) {
    known = new Map();
    instructions.set(object, known);
  }
  let code = known.get(from.index);
  if (!code) {
    const { data } = object.elf.sections[from.place]!;
    code = object.decode(data.subarray(from.offset, from.offset + from.size), from.offset);
    known.set(from.index, code);
  }
  const at = instructionAt(code, offset);
  if (!at?.displacement || offset !== at.offset + at.displacement.at) return 'address';
  const { mnemonic, operands } = at;
  const name = mnemonic.replace(/^(lock|rep\w*) /, '');
  if (name === 'lea') return 'address';
  // An array element or a field through an index is the object too.
  const first = operands.split(',')[0] ?? '';
  const inMemory = first.includes('[');
  if (name === 'xchg' || name === 'xadd') return 'write';
  return inMemory && !looks.test(name) ? 'write' : 'read';
}
