import type { AsmReference, AsmRow } from '../asm/types.ts';

/** What a function does with the address of an object, other than reading through it. */
export interface AddressUse {
  /**
   * `kept`: stored in memory that outlives the call; `stacked`: put into something on the stack of which the address is taken; `passed`: argument of a call; the
   * others as they say. A register that is saved on the stack and taken from there again is none of these.
   */
  readonly what: 'kept' | 'stacked' | 'compared' | 'passed' | 'returned';
  /** Callee of `passed`, where it is known; else empty. */
  readonly to: string;
}

const GENERAL = 'ax cx dx bx sp bp si di'.split(' ');
const numbers = new Map<string, number>();
for (const [i, name] of GENERAL.entries()) {
  numbers.set(`r${name}`, i).set(`e${name}`, i).set(name, i);
  numbers.set(i < 4 ? `${name[0]}l` : `${name}l`, i);
}
for (let i = 8; i < 16; i++) for (const end of ['', 'd', 'w', 'b']) numbers.set(`r${i}${end}`, i);
for (let i = 0; i < 16; i++) for (const kind of ['x', 'y', 'z']) numbers.set(`${kind}mm${i}`, 16 + i);

const bit = (register: number | undefined): number => (register === undefined ? 0 : 1 << register);
const bits = (names: string): number => names.split(' ').reduce((mask, name) => mask | bit(numbers.get(name)), 0);
const ARGUMENTS = bits('rdi rsi rdx rcx r8 r9');
const LOST_BY_CALLS = bits('rax rcx rdx rsi rdi r8 r9 r10 r11') | ~0xffff;
const RESULT = bits('rax');

/** Registers by bit: 16 general ones, then 16 vector ones. */
type Mask = number;

/**
 * Follows the address of one object through the registers of an x86-64 function (System V calling convention): where it is stored, compared, passed on or returned.
 * Reading through it, with an index or without, and comparing two addresses inside of the object, is no use of its own. May name more than happens
 * (a register that still holds the address at a call that takes fewer arguments); copies that lie in memory are not followed, but for registers saved on the stack.
 * @param rows the function's listing
 * @param is whether a row refers to the object
 * @param returns false where the function returns nothing
 */
export function addressUses(rows: readonly AsmRow[], is: (row: AsmRow) => boolean, returns: boolean): AddressUse[] {
  const labels = new Map(rows.flatMap((row, index) => (row.label ? [[row.label, index] as const] : [])));
  const tables = new Set(rows.flatMap((row) => row.references.flatMap((reference) => reference.labels ?? [])));
  const before = new Array<Mask>(rows.length).fill(0);
  const reached = new Uint8Array(rows.length);
  const uses = new Map<string, AddressUse>();
  const add = (what: AddressUse['what'], to = ''): void => void uses.set(`${what} ${to}`, { what, to });
  const stack: Stack = {
    bits: new Map(),
    taken: takenOnStack(rows),
    frame: rows.some(({ mnemonic, operands }) => mnemonic === 'mov' && operands === 'rbp, rsp'),
  };
  const slotsBefore = new Array<Mask>(rows.length).fill(0);
  const queue = [0];
  reached[0] = 1;
  // Each bit of a row's two masks is set once: the walk ends after 63 visits of each row at the latest.
  for (let index = queue.pop(); index !== undefined; index = queue.pop()) {
    const row = rows[index];
    if (!row) continue;
    // With jump tables about, an indirect jump stays inside of the function.
    const inside = /jmp$/.test(row.mnemonic) && tables.size > 0 && !row.references.some(isCodeName);
    const state: State = { held: before[index]!, slots: slotsBefore[index]! };
    const after = inside ? state : step(row, state, is, add, returns, stack);
    for (const next of successors(row, index, labels, tables)) {
      if (next >= rows.length) continue;
      const held = before[next]! | after.held;
      const slots = slotsBefore[next]! | after.slots;
      if (reached[next] === 1 && held === before[next] && slots === slotsBefore[next]) continue;
      reached[next] = 1;
      before[next] = held;
      slotsBefore[next] = slots;
      queue.push(next);
    }
  }
  return [...uses.values()];
}

/** What holds the address at one moment: registers, and places on the stack by the bits that `Stack` gives them. */
interface State {
  readonly held: Mask;
  readonly slots: Mask;
}

/** Places on the stack by their text (`rsp + 0x18`), and the lowest ones of which the code takes the address, by register. */
interface Stack {
  readonly bits: Map<string, Mask>;
  readonly taken: ReadonlyMap<string, number>;
  /** rbp is the frame pointer: else it is a register like others, and may lead anywhere. */
  readonly frame: boolean;
}

/** As many places of the stack are told apart; the address in others counts as `stacked`. */
const maxSlots = 31;

/** `[rsp + 0x18]` → its register and offset; undefined for anything else, such as an index. */
function slotOf(text: string): { base: string; offset: number } | undefined {
  const match = /^(rsp|rbp)(?: ([+-]) (0x[\da-f]+|\d+))?$/.exec(text);
  return match ? { base: match[1]!, offset: (match[2] === '-' ? -1 : 1) * Number(match[3] ?? 0) } : undefined;
}

function takenOnStack(rows: readonly AsmRow[]): ReadonlyMap<string, number> {
  const taken = new Map<string, number>();
  for (const { mnemonic, operands } of rows) {
    const copied = mnemonic === 'mov' ? /^\w+, (rsp|rbp)$/.exec(operands)?.[1] : undefined;
    const slot = slotOf(copied ?? (mnemonic === 'lea' ? (/\[([^\]]*)\]/.exec(operands)?.[1] ?? '') : ''));
    // The end of the frame is taken to leave the function.
    if (!slot || /^[re][sb]p,/.test(operands)) continue;
    taken.set(slot.base, Math.min(slot.offset, taken.get(slot.base) ?? slot.offset));
  }
  return taken;
}

function successors(
  row: AsmRow,
  index: number,
  labels: ReadonlyMap<string, number>,
  tables: ReadonlySet<string>,
): number[] {
  const { mnemonic } = row;
  if (/^(ret|ud2|hlt|int3)/.test(mnemonic)) return [];
  if (!/^(bnd |notrack )?(j|loop)/.test(mnemonic)) return [index + 1];
  const direct = /\.L\d+/.exec(row.operands)?.[0];
  const to = direct !== undefined ? [direct] : row.references.some(isCodeName) ? [] : [...tables];
  const targets = to.flatMap((label) => labels.get(label) ?? []);
  return /jmp$/.test(mnemonic) ? targets : [...targets, index + 1];
}

const isCodeName = (reference: AsmReference): boolean => reference.kind === 'function' || reference.kind === 'external';

/** One operand as far as this needs it. */
interface Operand {
  readonly memory: boolean;
  /** Register of the operand itself, none for memory. */
  readonly register: Mask;
  /** Registers that make a memory operand's address. */
  readonly address: Mask;
  /** The object's address is in it: as an immediate, or as the displacement of a memory operand. */
  readonly named: boolean;
  /** Address of a memory operand, as it is written. */
  readonly place: string;
  readonly number: boolean;
}

function operandsOf(row: AsmRow, names: readonly string[]): Operand[] {
  if (row.operands === '') return [];
  return row.operands.split(/, (?![^[]*\])/).map((text): Operand => {
    const inside = /\[([^\]]*)\]/.exec(text)?.[1];
    const words = (inside ?? text).split(/[^\w.]+/);
    const registers = words.reduce((mask, word) => mask | bit(numbers.get(word)), 0);
    return {
      memory: inside !== undefined,
      register: inside === undefined ? registers : 0,
      address: inside === undefined ? 0 : registers,
      named: names.some((name) => stands(name, text)),
      place: inside ?? '',
      number: /^-?(0x[\da-f]+|\d+)$/.test(text),
    };
  });
}

/** Whether a name, and not a part of another one, is in an operand's text. */
function stands(name: string, text: string): boolean {
  // What has no name stands nowhere, and would be found at the end again and again.
  if (name === '') return false;
  for (let at = text.indexOf(name); at >= 0; at = text.indexOf(name, at + 1)) {
    if (!/[\w.$]/.test(text[at - 1] ?? ' ') && !/[\w.$]/.test(text[at + name.length] ?? ' ')) return true;
  }
  return false;
}

/** What holds the address after a row. */
function step(
  row: AsmRow,
  { held, slots }: State,
  is: (row: AsmRow) => boolean,
  add: (what: AddressUse['what'], to?: string) => void,
  returns: boolean,
  stack: Stack,
): State {
  const registers = (mask: Mask): State => ({ held: mask, slots });
  const same = registers(held);
  const mine = is(row) ? row.references.filter(({ kind }) => kind !== 'label' && kind !== 'function') : [];
  const operands = operandsOf(
    row,
    mine.map(({ name }) => name),
  );
  const mnemonic = row.mnemonic.replace(/^(bnd|notrack|lock|rep\w*) /, '');
  const viaTable = mine.some(({ relocation }) => relocation?.includes('GOT'));
  const [to, from] = operands;
  /** The operand's value is the address. */
  const holds = (one: Operand | undefined): boolean =>
    one !== undefined &&
    (one.memory
      ? (one.named && viaTable) || (slots & (stack.bits.get(one.place) ?? 0)) !== 0
      : (one.register & held) !== 0 || one.named);
  if (mnemonic === 'call' || (mnemonic === 'jmp' && !/\.L\d+/.test(row.operands))) {
    if ((held & ARGUMENTS) !== 0) add('passed', row.references.find(isCodeName)?.name ?? '');
    return registers(held & ~LOST_BY_CALLS);
  }
  if (mnemonic.startsWith('ret')) {
    if (returns && (held & RESULT) !== 0) add('returned');
    return same;
  }
  if (mnemonic === 'push') {
    if (holds(to)) add('stacked');
    return same;
  }
  if (!to) return same;
  if (mnemonic === 'cmp') {
    if (holds(to) !== holds(from) && !(holds(to) ? from : to)?.number) add('compared');
    return same;
  }
  if (mnemonic === 'test') return same;
  const copies = /^v?(mov|lea|pop|set|p?xor)/.test(mnemonic);
  const sources = operands.slice(1);
  let value: boolean;
  if (mnemonic === 'lea') value = from !== undefined && (from.named || (from.address & held) !== 0);
  // The distance of two addresses is no address.
  else if (mnemonic === 'sub' && holds(from)) value = false;
  else if (mnemonic.endsWith('xor') && to.register === from?.register) value = false;
  else value = sources.some(holds) || (!copies && !to.memory && holds(to));
  if (to.memory) {
    const slot = /^v?mov/.test(mnemonic) ? slotOf(to.place) : undefined;
    if (!slot || (slot.base === 'rbp' && !stack.frame)) {
      if (value) add('kept');
      return same;
    }
    const known = stack.bits.get(to.place) ?? 0;
    if (!value) return { held, slots: slots & ~known };
    const lowest = stack.taken.get(slot.base);
    if ((known === 0 && stack.bits.size >= maxSlots) || (lowest !== undefined && lowest <= slot.offset)) add('stacked');
    const place = known !== 0 || stack.bits.size >= maxSlots ? known : 1 << stack.bits.size;
    if (place !== 0) stack.bits.set(to.place, place);
    return { held, slots: slots | place };
  }
  if (mnemonic.startsWith('xchg') && from)
    return registers(holds(to) || holds(from) ? held | to.register | from.register : held);
  return registers(value ? held | to.register : held & ~to.register);
}
