import type { Instruction } from '../asm/types.ts';
import { plainName } from '../diff/signatures.ts';
import type { ElfSymbol, Relocation } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';

/** How a function ends, as far as its code tells. */
export interface FlowEnd {
  /** A return, or a jump to another function, can be reached from the entry. */
  readonly leaves: boolean;
  /** A loop can be reached from the entry. */
  readonly loops: boolean;
  /** Functions, other than those that are known to end the program or thread, whose calls are the last thing on some way: they do not come back. */
  readonly last: readonly ElfSymbol[];
}

/** Functions that do not return, by name: what follows a call of theirs is not reached. */
const deadEnds =
  /^(_?exit|_Exit|quick_exit|abort|__assert_fail|__assert_perror_fail|__stack_chk_fail|__fortify_fail|__chk_fail|longjmp|_?_longjmp|__longjmp_chk|siglongjmp|pthread_exit|panic|machine_halt|do_exit|__builtin_unreachable)$/;

/** True for functions that are known by name not to return. */
export const isDeadEndName = (name: string): boolean => deadEnds.test(name);

const SHF_EXECINSTR = 4;
const R_X86_64_PC32 = 2;

/** More instructions than this are not walked; the function then counts as one that leaves. */
const maxInstructions = 200_000;

interface Part {
  readonly symbol: ElfSymbol;
  readonly byOffset: ReadonlyMap<number, Instruction>;
  readonly relocations: readonly Relocation[];
}

/**
 * Walks the control flow of a function from its entry, its cold part included: direct jumps and branches, jump tables (as the places
 * of the function that read-only data refers to). Where it is not sure it says that the function leaves.
 * @param isDeadEnd whether a function of the same object does not come back from a call; asked for each direct call
 */
export function flowOf(
  object: ObjectModel,
  symbol: ElfSymbol,
  isDeadEnd: (callee: ElfSymbol) => boolean = () => false,
): FlowEnd {
  const parts = [symbol, ...coldParts(object, symbol)].flatMap((s) => partOf(object, s) ?? []);
  const entry = parts[0];
  const unsure: FlowEnd = { leaves: true, loops: false, last: [] };
  const last = new Map<number, ElfSymbol>();
  if (!entry || parts.reduce((n, { byOffset }) => n + byOffset.size, 0) > maxInstructions) return unsure;
  const find = (section: number, offset: number): Part | undefined =>
    parts.find(({ symbol: s }) => s.place === section && offset >= s.offset && offset < s.offset + s.size);

  let leaves = false;
  const edges = new Map<string, string[]>();
  const queue: [Part, number][] = [[entry, entry.symbol.offset]];
  const seen = new Set<string>([keyOf(entry, entry.symbol.offset)]);
  const tables = new Map<Part, readonly number[]>();

  for (let item = queue.pop(); item; item = queue.pop()) {
    const [part, offset] = item;
    const instruction = part.byOffset.get(offset);
    if (!instruction) return unsure;
    const next: [Part, number][] = [];
    const go = (section: number, target: number): void => {
      const to = find(section, target);
      if (to) next.push([to, target]);
      else leaves = true;
    };
    const section = part.symbol.place as number;
    const relocation = relocationIn(part, instruction);
    const through = (): void => {
      const after = offset + instruction.size;
      // What lies behind a call that does not come back is padding, or another part of the function.
      const callee = instruction.flow === 'call' ? calleeOf(object, part, instruction, relocation) : undefined;
      if (after < part.symbol.offset + part.symbol.size && !(callee && isDeadEnd(callee))) next.push([part, after]);
      else if (callee) last.set(callee.index, callee);
    };
    switch (instruction.flow) {
      case 'return':
        leaves = true;
        break;
      case 'trap':
        if (!/^ud|^hlt$|^brk$/.test(instruction.mnemonic)) through();
        break;
      case 'call': {
        const name = relocation ? (object.elf.symbols[relocation.symbol]?.name ?? '') : '';
        if (!deadEnds.test(name)) through();
        break;
      }
      case 'jump':
      case 'branch': {
        if (instruction.flow === 'branch') through();
        if (relocation && isDirect(instruction)) {
          const target = object.elf.symbols[relocation.symbol];
          if (typeof target?.place === 'number') go(target.place, target.offset + relocation.addend + 4);
          else if (!deadEnds.test(target?.name ?? '')) leaves = true;
        } else if (instruction.targetOffset !== undefined) {
          go(section, instruction.targetOffset);
        } else {
          let targets = tables.get(part);
          if (!targets) {
            targets = tableTargets(object, part.symbol);
            tables.set(part, targets);
          }
          if (targets.length === 0) leaves = true;
          for (const target of targets) go(section, target);
        }
        break;
      }
      default:
        through();
    }
    const from = keyOf(part, offset);
    edges.set(
      from,
      next.map(([p, o]) => keyOf(p, o)),
    );
    for (const [p, o] of next) {
      const key = keyOf(p, o);
      if (seen.has(key)) continue;
      seen.add(key);
      queue.push([p, o]);
    }
    if (leaves) return unsure;
  }
  return { leaves, loops: hasCycle(edges), last: [...last.values()] };
}

/** The function of this object that an instruction calls by name or distance. */
function calleeOf(
  { elf }: ObjectModel,
  part: Part,
  instruction: Instruction,
  relocation: Relocation | undefined,
): ElfSymbol | undefined {
  const named = relocation && isDirect(instruction) ? elf.symbols[relocation.symbol] : undefined;
  if (relocation && (!named || typeof named.place !== 'number')) return undefined;
  const section = named ? named.place : part.symbol.place;
  // The relocated field of a call counts from its end, four bytes on.
  const offset = named
    ? named.offset + relocation!.addend + (named.type === 'section' || relocation!.addend !== 0 ? 4 : 0)
    : instruction.targetOffset;
  return elf.symbols.find((one) => one.type === 'func' && one.place === section && one.offset === offset);
}

const keyOf = (part: Part, offset: number): string => `${part.symbol.place}:${offset}`;
const isDirect = (instruction: Instruction): boolean => !/[[\]]/.test(instruction.operands);

function coldParts(object: ObjectModel, symbol: ElfSymbol): ElfSymbol[] {
  const name = `${symbol.name}.cold`;
  return object.elf.symbols.filter(
    (s) =>
      s.type === 'func' &&
      (s.name === name || (s.name.startsWith(`${name}.`) && plainName(s.name) === plainName(symbol.name))),
  );
}

function partOf(object: ObjectModel, symbol: ElfSymbol): Part | undefined {
  if (typeof symbol.place !== 'number' || symbol.size === 0) return undefined;
  const data = object.elf.sections[symbol.place]?.data.subarray(symbol.offset, symbol.offset + symbol.size);
  if (!data || data.length !== symbol.size) return undefined;
  const byOffset = new Map(object.decode(data, symbol.offset).map((instruction) => [instruction.offset, instruction]));
  const relocations = object.elf
    .relocationsOf(symbol.place)
    .filter(({ offset }) => offset >= symbol.offset && offset < symbol.offset + symbol.size);
  return { symbol, byOffset, relocations };
}

function relocationIn(part: Part, instruction: Instruction): Relocation | undefined {
  let low = 0;
  let high = part.relocations.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (part.relocations[middle]!.offset < instruction.offset) low = middle + 1;
    else high = middle;
  }
  const relocation = part.relocations[low];
  return relocation && relocation.offset < instruction.offset + instruction.size ? relocation : undefined;
}

/** References of read-only data to places in code: code section → offsets in it, sorted. */
type CodeReferences = ReadonlyMap<number, readonly number[]>;
const references = new WeakMap<ObjectModel, CodeReferences>();

/** Places inside of a function (its entry not counted) that read-only data refers to: the targets of its jump tables. */
export function tableTargets(object: ObjectModel, symbol: ElfSymbol): readonly number[] {
  if (typeof symbol.place !== 'number') return [];
  let all = references.get(object);
  if (!all) {
    all = codeReferences(object);
    references.set(object, all);
  }
  return (all.get(symbol.place) ?? []).filter((at) => at > symbol.offset && at < symbol.offset + symbol.size);
}

function codeReferences({ elf }: ObjectModel): CodeReferences {
  const found = new Map<number, Set<number>>();
  for (const section of elf.sections) {
    if (!section.name.startsWith('.rodata') && !section.name.startsWith('.data.rel.ro')) continue;
    const relocations = elf.relocationsOf(section.index);
    let start = 0;
    let previous = Number.NEGATIVE_INFINITY;
    for (const { offset, type, symbol, addend } of relocations) {
      // A table of PC-relative entries adds the entry's distance from the table's start; its entries follow each other by 4 bytes. Runs of
      // neighbouring tables join here: places from them lie between instructions, which the walk takes as "not sure".
      if (offset !== previous + 4) start = offset;
      previous = offset;
      const target = elf.symbols[symbol];
      if (typeof target?.place !== 'number' || ((elf.sections[target.place]?.flags ?? 0) & SHF_EXECINSTR) === 0)
        continue;
      const place = target.offset + addend - (type === R_X86_64_PC32 ? offset - start : 0);
      const set = found.get(target.place) ?? new Set<number>();
      set.add(place);
      found.set(target.place, set);
    }
  }
  return new Map([...found].map(([section, set]) => [section, [...set].sort((a, b) => a - b)]));
}

/** Depth-first search for a back edge, without recursion. */
function hasCycle(edges: ReadonlyMap<string, readonly string[]>): boolean {
  const done = new Set<string>();
  for (const root of edges.keys()) {
    if (done.has(root)) continue;
    const path = new Set<string>([root]);
    const stack: { node: string; next: number }[] = [{ node: root, next: 0 }];
    while (stack.length > 0) {
      const top = stack.at(-1)!;
      const target = edges.get(top.node)?.[top.next++];
      if (target === undefined) {
        path.delete(top.node);
        done.add(top.node);
        stack.pop();
      } else if (path.has(target)) {
        return true;
      } else if (!done.has(target)) {
        path.add(target);
        stack.push({ node: target, next: 0 });
      }
    }
  }
  return false;
}
