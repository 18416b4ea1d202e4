import { referencesOf } from '../diff/references.ts';
import { plainName } from '../diff/signatures.ts';
import { typeTable } from '../diff/type-table.ts';
import type { TypeChange } from '../diff/types.ts';
import type { SourceLocation } from '../dwarf/types.ts';
import type { ElfSymbol } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import { labelOf } from './support.ts';
import type { HazardInput } from './types.ts';

/** A call that gets memory of exactly the size of a type. */
export interface Allocation {
  /** Function that calls. */
  readonly function: string;
  /** What it calls, e.g. `malloc`. */
  readonly callee: string;
  /** Source line of the call in the next source, where the line table tells. */
  readonly at?: SourceLocation;
}

/** Functions that hand out memory, by name: malloc, calloc, kzalloc, zmalloc, sqlite3DbMallocRaw, kmem_cache_create, posix_memalign. */
const allocates = /alloc|memalign|kmem_cache_create|mem_pool_create/i;
const releases = /dealloc|free|alloc(ated|_?size|_?usable)/i;
/** Functions that get the size of something that is there already, and may return where it is. */
const looksAt = /mem(p?cpy|move|set|r?chr|cmp|mem)|copy|find|search|lookup|hash|read|write|send|recv|check/i;

/** Instructions before a call in which its arguments are looked for. */
const window = 16;

/**
 * Registers of the first three integer arguments: System V x86-64 and AAPCS64. Linux passes the size of a fixed-size kmalloc third.
 */
const argument = /^(?:[re]?(?:di|si|dx)|[wx][012])$/;

/**
 * Calls of allocators of the type that asked for `before` bytes in the base object and ask for `after` bytes at the same function's place in the next one:
 * sizeof of a type that grew. A constant that did not follow the type is another thing's size. Not seen: sizes that are computed
 * from variables, allocators behind pointers, callers in other units. What has no name of an allocator is one where it returns `void *` or a pointer to the type, or
 * its caller returns the latter.
 */
export function allocationsOf(input: HazardInput, type: TypeChange): Allocation[] {
  const { baseSize: before, nextSize: after } = type;
  if (before === 0 || before === after) return [];
  const { base, next } = input.pair;
  const found: Allocation[] = [];
  const grown = input.diff.functions.filter(({ status, base: b, next: n }) => status === 'changed' && b && n);
  const inBase = callsIn(base, new Set(grown.map((fn) => fn.base!.index)), allocatorsOf(base, type));
  const inNext = callsIn(next, new Set(grown.map((fn) => fn.next!.index)), allocatorsOf(next, type));
  for (const fn of grown) {
    const old = (inBase.get(fn.base!.index) ?? []).filter((call) => asksFor(base, call, before));
    if (old.length === 0) continue;
    const callees = new Set(old.map(({ callee }) => callee));
    for (const call of inNext.get(fn.next!.index) ?? []) {
      if (!callees.has(call.callee) || !asksFor(next, call, after)) continue;
      const at = lineAt(next, call.section, call.offset);
      found.push({ function: fn.name, callee: call.callee, ...(at && { at }) });
    }
  }
  return found;
}

interface Call {
  readonly from: ElfSymbol;
  readonly section: number;
  /** Of the field that the relocation fills, within the call. */
  readonly offset: number;
  readonly callee: string;
}

/** Tells calls that get memory from others, by the name of what is called, or by what it and its caller return. */
function allocatorsOf({ dwarf }: ObjectModel, type: TypeChange): (caller: string, callee: string) => boolean {
  const table = typeTable(dwarf);
  const label = labelOf(type);
  const returned = new Map<string, 'it' | 'anything' | undefined>();
  for (const { name, returnType } of dwarf.prototypes) {
    const pointer = table.get(table.strip(returnType));
    if (pointer?.kind !== 'pointer') continue;
    const target = table.strip(pointer.target);
    if (table.label(target) === label) returned.set(name, 'it');
    else if (table.get(target) === undefined) returned.set(name, 'anything');
  }
  return (caller, callee) => {
    if (releases.test(callee)) return false;
    if (allocates.test(callee)) return true;
    return !looksAt.test(callee) && (returned.has(callee) || returned.get(plainName(caller)) === 'it');
  };
}

function callsIn(
  object: ObjectModel,
  functions: ReadonlySet<number>,
  allocator: (caller: string, callee: string) => boolean,
): Map<number, Call[]> {
  const map = new Map<number, Call[]>();
  for (const { from, section, offset, target, call } of referencesOf(object)) {
    if (!call || !from || !functions.has(from.index)) continue;
    const callee = target.name.replace(/@.*$/, '');
    if (!allocator(from.name, callee)) continue;
    const list = map.get(from.index) ?? [];
    list.push({ from, section: section.index, offset, callee });
    map.set(from.index, list);
  }
  return map;
}

const decoded = new WeakMap<ObjectModel, Map<number, ReturnType<ObjectModel['decode']>>>();

function codeOf(object: ObjectModel, symbol: ElfSymbol): ReturnType<ObjectModel['decode']> {
  let known = decoded.get(object);
  if (!known) {
    known = new Map();
    decoded.set(object, known);
  }
  let code = known.get(symbol.index);
  if (!code && typeof symbol.place === 'number') {
    const { data } = object.elf.sections[symbol.place]!;
    code = object.decode(data.subarray(symbol.offset, symbol.offset + symbol.size), symbol.offset);
    known.set(symbol.index, code);
  }
  return code ?? [];
}

/** True where the number goes into an argument register right before the call: moved, added (a flexible array behind it) or multiplied (an array of them). */
function asksFor(object: ObjectModel, call: Call, size: number): boolean {
  const code = codeOf(object, call.from);
  let at = code.findIndex((one) => call.offset >= one.offset && call.offset < one.offset + one.size);
  const wanted = new Set([`0x${size.toString(16)}`, String(size), `#0x${size.toString(16)}`, `#${size}`]);
  for (let left = window; at > 0 && left > 0; left--) {
    const { mnemonic, operands, flow } = code[--at]!;
    if (flow === 'call' || flow === 'return' || flow === 'jump') return false;
    const parts = operands.split(/,\s*/);
    if (!argument.test(parts[0] ?? '')) continue;
    if (/^(mov|movz|movabs|orr|add|imul)$/.test(mnemonic) && wanted.has(parts.at(-1) ?? '')) return true;
    // lea rdi, [rax + 0x18]
    const displacement = /^\[.*\+\s*(\w+)\]$/.exec(operands.slice((parts[0] ?? '').length).replace(/^,\s*/, ''));
    if (mnemonic === 'lea' && displacement && wanted.has(displacement[1]!)) return true;
  }
  return false;
}

/** The source line that covers a place of the code. */
export function lineAt(object: ObjectModel, section: number, offset: number): SourceLocation | undefined {
  const rows = object.dwarf.linesOf(section);
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle]!.offset <= offset) low = middle + 1;
    else high = middle;
  }
  const row = rows[low - 1];
  return row && row.line > 0 ? { file: row.file, line: row.line } : undefined;
}
