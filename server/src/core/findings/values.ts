import type { AsmRow } from '../asm/types.ts';
import { calleeIn, isCallRow, type RowGraph } from './rows-graph.ts';

/** Where a value comes from. */
export type Root =
  | { readonly kind: 'symbol'; readonly name: string }
  | { readonly kind: 'parameter'; readonly index: number }
  | { readonly kind: 'result'; readonly name: string }
  | { readonly kind: 'load'; readonly from: Value }
  | { readonly kind: 'stack' | 'constant' };

/** A value by its origin and the bytes added to it: `lock` of the second parameter is that parameter plus the member's offset. */
export interface Value {
  readonly root: Root;
  readonly offset: number;
  /** Equal for equal values. */
  readonly key: string;
}

/** What registers (by their widest name) and stack slots (`[offset]` from the stack pointer at the entry) hold; absent: unknown. */
export type State = ReadonlyMap<string, Value>;
type Changing = Map<string, Value>;

/** Loads through loads are followed this deep. */
const MAX_DEPTH = 6;
/** Rows looked at, as a multiple of their number, until what is not settled counts as unknown. */
const MAX_VISITS = 12;

const x86Arguments = ['rdi', 'rsi', 'rdx', 'rcx', 'r8', 'r9'] as const;
const a64Arguments = ['x0', 'x1', 'x2', 'x3', 'x4', 'x5', 'x6', 'x7'] as const;
const clobbered = new Set(['rax', 'rcx', 'rdx', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11']);
/** Calls of these keep all registers. */
const transparent = /^(__fentry__|_?mcount|__mcount|__sanitizer_cov_trace_pc)$/;

/** Registers of the first arguments, by whether the code is AArch64. */
export const argumentRegisters = (arm: boolean): readonly string[] => (arm ? a64Arguments : x86Arguments);

/** Makes a value. */
export function makeValue(root: Root, offset = 0): Value {
  return { root, offset, key: `${rootKey(root)}${offset === 0 ? '' : `+${offset}`}` };
}

function rootKey(root: Root): string {
  if (root.kind === 'symbol') return `&${root.name}`;
  if (root.kind === 'parameter') return `#${root.index}`;
  if (root.kind === 'result') return `${root.name}()`;
  return root.kind === 'load' ? `*(${root.from.key})` : root.kind;
}

const depthOf = ({ root }: Value): number => (root.kind === 'load' ? 1 + depthOf(root.from) : 0);
const plus = ({ root, offset }: Value, more: number): Value => makeValue(root, offset + more);
const loadOf = (from: Value): Value | undefined =>
  from.root.kind === 'constant' || from.root.kind === 'stack' || depthOf(from) >= MAX_DEPTH
    ? undefined
    : makeValue({ kind: 'load', from });

/** The registers at the entry of a function: its parameters. */
export function parameters(arm: boolean): State {
  return new Map(argumentRegisters(arm).map((register, index) => [register, makeValue({ kind: 'parameter', index })]));
}

/**
 * What is known in front of each row: where values come from, on whatever way the row is reached. Unknown where two ways differ.
 * @param entry the registers at the entry
 */
export function statesOf(
  { rows, next, orphans }: RowGraph,
  entry: State,
  arm: boolean,
): readonly (State | undefined)[] {
  const states: (Changing | undefined)[] = new Array(rows.length);
  const fixed = new Set<number>();
  let left = rows.length * MAX_VISITS + 64;
  const run = (start: number, state: Changing): boolean => {
    states[start] = state;
    const queue = [start];
    for (let at = queue.pop(); at !== undefined; at = queue.pop()) {
      if (left-- <= 0) return false;
      const after = new Map(states[at]);
      step(rows[at]!, after, arm);
      for (const to of next[at]!) {
        const known = states[to];
        if (!known) states[to] = new Map(after);
        else if (fixed.has(to) || !meet(known, after)) continue;
        queue.push(to);
      }
    }
    return true;
  };
  const stack = makeValue({ kind: 'stack' });
  if (rows.length > 0 && !run(0, new Map([...entry, [arm ? 'sp' : 'rsp', stack]]))) return [];
  // What is reached only from places that nothing leads to takes nothing away from the others.
  for (const [at, state] of states.entries()) if (state) fixed.add(at);
  for (const at of orphans) if (!states[at] && !run(at, new Map())) return [];
  return states;
}

/** Leaves in `known` what both have; true where that took something away. */
function meet(known: Changing, other: State): boolean {
  let changed = false;
  for (const [name, value] of known) {
    if (other.get(name)?.key === value.key) continue;
    known.delete(name);
    changed = true;
  }
  return changed;
}

function step(row: AsmRow, state: Changing, arm: boolean): void {
  if (isCallRow(row)) {
    const callee = calleeIn(row);
    if (callee !== undefined && transparent.test(callee)) return;
    for (const name of [...state.keys()])
      if (arm ? /^x(\d|1[0-8])$/.test(name) : clobbered.has(name)) state.delete(name);
    if (callee !== undefined && !callee.startsWith('__x86_indirect_'))
      state.set(arm ? 'x0' : 'rax', makeValue({ kind: 'result', name: callee }));
    return;
  }
  if (arm) stepArm(row, state);
  else stepX86(row, state);
}

const set = (state: Changing, name: string, value: Value | undefined): void => {
  if (value) state.set(name, value);
  else state.delete(name);
};

/** The object that a row names, as an address. */
function named({ references }: AsmRow): Value | undefined {
  const one = references.find(({ kind }) => kind === 'data' || kind === 'external' || kind === 'function');
  return one && makeValue({ kind: 'symbol', name: one.name }, one.addend);
}

const isGot = ({ references }: AsmRow): boolean => references.some(({ relocation }) => /GOT/.test(relocation ?? ''));

const number = (text: string): number => {
  const value = /^-/.test(text) ? -Number(text.slice(1)) : Number(text);
  if (value > Number.MAX_SAFE_INTEGER) return Number(BigInt.asIntN(64, BigInt(text)));
  return value > 0x7fffffff && value <= 0xffffffff ? value - 0x1_0000_0000 : value;
};

// x86

/** The 64-bit register that a name is part of. */
function wide(name: string): string | undefined {
  if (/^r([89]|1[0-5])[dwb]?$/.test(name)) return name.replace(/[dwb]$/, '');
  const match =
    /^(?:r|e)?([abcd]x|[sd]i|[sb]p)$/.exec(name) ?? /^([abcd])[lh]$/.exec(name) ?? /^([sd]i|[sb]p)l$/.exec(name);
  if (!match) return undefined;
  return match[1]!.length === 1 ? `r${match[1]}x` : `r${match[1]}`;
}

const silentX86 =
  /^(cmp|test|nop|bt|j[a-z]+|ret|prefetch\w*|ucomis[sd]|comis[sd]|endbr64|[lms]fence|ud[012]|int3|v?p?test\w*)$/;
const implicitX86: readonly [RegExp, readonly string[]][] = [
  [/^(i?mul|i?div|cqo|cdq|cqto|rdtscp?|cpuid|cmpxchg\w*|cdqe|cwde|xgetbv|rdmsr|rdpmc)$/, ['rax', 'rdx']],
  [/^(cpuid|xgetbv)$/, ['rbx', 'rcx']],
  [/(movs|stos|lods|scas|cmps)[bwdq]$/, ['rdi', 'rsi', 'rcx', 'rax']],
  [/^(syscall|sysenter)$/, ['rax', 'rcx', 'r11']],
];

function stepX86(row: AsmRow, state: Changing): void {
  const mnemonic = row.mnemonic.replace(/^(lock|rep|repe|repne|notrack|bnd) /, '');
  const [first = '', second = ''] = row.operands.split(/, (?![^[]*\])/);
  const to = wide(first);
  const sp = state.get('rsp');
  if (mnemonic === 'push' || mnemonic === 'pop') {
    const at = sp && plus(sp, mnemonic === 'push' ? -8 : 0);
    const slot = at?.root.kind === 'stack' ? `[${at.offset}]` : undefined;
    if (mnemonic === 'pop' && to) set(state, to, slot === undefined ? undefined : state.get(slot));
    else if (mnemonic === 'push' && slot !== undefined) set(state, slot, to ? state.get(to) : undefined);
    set(state, 'rsp', sp && plus(sp, mnemonic === 'push' ? -8 : 8));
    return;
  }
  if (mnemonic === 'leave') {
    const frame = state.get('rbp');
    set(state, 'rbp', frame?.root.kind === 'stack' ? state.get(`[${frame.offset}]`) : undefined);
    set(state, 'rsp', frame && plus(frame, 8));
    return;
  }
  if (silentX86.test(mnemonic)) return;
  if (mnemonic === 'mov' && first.includes('[')) {
    store(state, addressX86(first, row, state), /^qword/.test(first) ? state.get(wide(second) ?? '') : undefined);
    return;
  }
  if (mnemonic === 'mov' && to) {
    set(state, to, movedX86(first, second, row, state));
    return;
  }
  if (mnemonic === 'lea' && to) {
    set(state, to, first === to ? addressX86(second, row, state) : undefined);
    return;
  }
  const old = to === undefined ? undefined : state.get(to);
  const immediate = /^-?(0x)?[\da-f]+$/.test(second) && row.references.length === 0 ? number(second) : undefined;
  if ((mnemonic === 'add' || mnemonic === 'sub') && to && first === to && immediate !== undefined) {
    set(state, to, old && plus(old, mnemonic === 'add' ? immediate : -immediate));
    return;
  }
  if (mnemonic === 'xor' && to && first === second) {
    state.set(to, makeValue({ kind: 'constant' }));
    return;
  }
  if (mnemonic === 'or' && to && immediate === -1) {
    state.set(to, makeValue({ kind: 'constant' }, -1));
    return;
  }
  for (const [pattern, names] of implicitX86) if (pattern.test(mnemonic)) for (const name of names) state.delete(name);
  if (to) state.delete(to);
  else if (first.includes('[')) store(state, addressX86(first, row, state), undefined);
  if (/^(xchg|xadd|cmpxchg)/.test(mnemonic)) state.delete(wide(second) ?? '');
}

/** What `mov` puts into a register. */
function movedX86(first: string, second: string, row: AsmRow, state: State): Value | undefined {
  if (second.includes('[')) {
    if (isGot(row)) return named(row);
    const address = /^qword/.test(second) ? addressX86(second, row, state) : undefined;
    if (!address) return undefined;
    return address.root.kind === 'stack' ? state.get(`[${address.offset}]`) : loadOf(address);
  }
  if (row.references.length > 0) return named(row);
  const from = wide(second);
  if (from) return first === wide(first) ? state.get(from) : undefined;
  const value = number(second);
  return Number.isSafeInteger(value) ? makeValue({ kind: 'constant' }, value) : undefined;
}

/** The address that a memory operand means: one register and a distance, or a named place. */
function addressX86(operand: string, row: AsmRow, state: State): Value | undefined {
  const inside = /\[(.*)\]/.exec(operand)?.[1];
  if (inside === undefined) return undefined;
  const segment = /\b([fg]s):/.exec(operand)?.[1];
  if (row.references.length > 0) {
    // Together with a register other than the instruction's own address it is an element of a table.
    const symbol = /^(?!rip\b)(r\w\w?|e\w\w)(\*\d)? [+-]/.test(inside) ? undefined : named(row);
    if (!symbol || segment === undefined || symbol.root.kind !== 'symbol')
      return segment === undefined ? symbol : undefined;
    return makeValue({ kind: 'symbol', name: `${segment}:${symbol.root.name}` }, symbol.offset);
  }
  if (segment !== undefined)
    return /^0x[\da-f]+$/.test(inside) ? makeValue({ kind: 'symbol', name: `${segment}:` }, Number(inside)) : undefined;
  const match = /^(\w+)(?: ([+-]) ((?:0x)?[\da-f]+))?$/.exec(inside);
  const base = match && state.get(match[1]!);
  if (!match || !base) return undefined;
  const distance = match[3] === undefined ? 0 : Number(match[3]);
  return plus(base, match[2] === '-' ? -distance : distance);
}

/** Notes what is stored in a stack slot. */
function store(state: Changing, address: Value | undefined, value: Value | undefined): void {
  if (address?.root.kind !== 'stack') return;
  for (let at = address.offset - 7; at < address.offset + 8; at++) state.delete(`[${at}]`);
  set(state, `[${address.offset}]`, value);
}

// AArch64

const silentArm =
  /^(cmp|cmn|tst|ccmp|ccmn|fcmpe?|nop|b|b\..*|br|ret|cbn?z|tbn?z|dmb|dsb|isb|hint|bti|paciasp|autiasp|prfm|brk)$/;

function stepArm(row: AsmRow, state: Changing): void {
  const { mnemonic, operands } = row;
  if (silentArm.test(mnemonic)) return;
  const registers = [...operands.replace(/\[.*/, '').matchAll(/\b([wx]\d+|sp)\b/g)].map(([name]) =>
    name!.replace(/^w/, 'x'),
  );
  const to = registers[0];
  const full = /^(x\d|sp\b)/.test(operands);
  const memory = /\[(\w+)(?:, #(-?(?:0x)?[\da-f]+))?\](!)?(?:, #(-?(?:0x)?[\da-f]+))?$/.exec(operands);
  if (memory && /^(ldr|ldur|str|stur|ldp|stp)$/.test(mnemonic)) {
    const base = state.get(memory[1]!);
    const address = base && plus(base, memory[2] === undefined ? 0 : number(memory[2]));
    for (const [i, name] of registers.entries()) {
      const at = address && plus(address, i * 8);
      if (/^st/.test(mnemonic)) store(state, at, full ? state.get(name) : undefined);
      else if (!full || !at) state.delete(name);
      else set(state, name, at.root.kind === 'stack' ? state.get(`[${at.offset}]`) : loadOf(at));
    }
    if (memory[3]) set(state, memory[1]!, address);
    if (memory[4] !== undefined) set(state, memory[1]!, base && plus(base, number(memory[4])));
    return;
  }
  if (row.references.length > 0 && to && full) {
    // The page is taken for the whole address: the rest is put in by the next instruction, before anybody uses it.
    const page = named(row);
    if (mnemonic === 'adrp' || mnemonic === 'adr' || (mnemonic === 'add' && page)) set(state, to, page);
    else if (mnemonic === 'ldr' && page) set(state, to, isGot(row) ? page : loadOf(page));
    else state.delete(to);
    return;
  }
  const moved = /^(?:x\d+|sp), (x\d+|sp)$/.exec(operands)?.[1];
  if (mnemonic === 'mov' && to) {
    const constant = /^\w+, #(-?(?:0x)?[\da-f]+)$/.exec(operands)?.[1];
    if (constant !== undefined) state.set(to, makeValue({ kind: 'constant' }, number(constant)));
    else set(state, to, moved === undefined ? undefined : state.get(moved));
    return;
  }
  const sum = /^(?:x\d+|sp), (x\d+|sp), #(-?(?:0x)?[\da-f]+)$/.exec(operands);
  if ((mnemonic === 'add' || mnemonic === 'sub') && to && sum) {
    const base = state.get(sum[1]!);
    const distance = number(sum[2]!);
    set(state, to, base && plus(base, mnemonic === 'add' ? distance : -distance));
    return;
  }
  if (/^st[^l]/.test(mnemonic) && !/^stx|^stlx/.test(mnemonic)) return;
  // Atomic instructions write to one or the other of the registers that they name.
  for (const name of /^(ld|st|swp|cas)/.test(mnemonic) ? registers : registers.slice(0, 1)) state.delete(name);
}
