import type { AsmReference, AsmRow } from '../asm/types.ts';
import type { AlignedRow, Reason } from './types.ts';

/** How many details of one kind are named: a function that changed all over is not explained by a list. */
const MOST = 8;

/** What differs in the code of a function: constants, strings, callees and data, as `old → new`. */
export function differences(aligned: readonly AlignedRow[]): Reason[] {
  const reasons: Reason[] = [];
  const counts = new Map<string, number>();
  const add = (kind: Reason['kind'], detail: string) => {
    const count = counts.get(kind) ?? 0;
    counts.set(kind, count + 1);
    if (count < MOST) reasons.push({ kind, detail });
  };
  for (const row of aligned) {
    if (row.same || !row.base || !row.next || row.base.mnemonic !== row.next.mnemonic) continue;
    const number = differingNumber(row.base, row.next);
    if (number) {
      if (isOwnLine(row)) continue;
      add('constant', `${constantText(number.base)} → ${constantText(number.next)}`);
      continue;
    }
    const pair = differingReference(row.base, row.next);
    if (!pair) continue;
    const kind = kindOf(row.next, pair.base, pair.next);
    add(kind, `${text(pair.base, kind)} → ${text(pair.next, kind)}`);
  }
  return reasons;
}

/** The rows differ in a number that is, on both sides, the line of their statement or of the inlined call that they belong to: it moved with an edit above. */
export function isOwnLine({ base, next }: AlignedRow): boolean {
  const number = base && next && differingNumber(base, next);
  return number !== undefined && saysLine(base!, number.base) && saysLine(next!, number.next);
}

const saysLine = ({ source, inlinedAt }: AsmRow, value: bigint): boolean =>
  [source, ...(inlinedAt ?? [])].some((at) => at !== undefined && BigInt(at.line) === value);

/** The one number that two rows differ in; undefined where they differ in anything else. */
function differingNumber(base: AsmRow, next: AsmRow): { base: bigint; next: bigint } | undefined {
  if (base.mnemonic !== next.mnemonic || base.operands === next.operands) return undefined;
  const left = splitImmediate(base.operands);
  const right = splitImmediate(next.operands);
  if (!left || !right || left.rest !== right.rest) return undefined;
  return { base: left.value, next: right.value };
}

/** The immediate of an instruction: its last operand, outside of any memory operand. */
function splitImmediate(operands: string): { rest: string; value: bigint } | undefined {
  const match = /^(.*(?:, |^))#?(-?)(0x[0-9a-f]+|\d+)$/.exec(operands);
  if (!match) return undefined;
  const value = BigInt(match[3]!);
  return { rest: match[1]!, value: match[2] === '-' ? -value : value };
}

/** A number, or the text that it stands for: compilers copy short strings by immediates and vector constants, lowest byte first. */
function constantText(value: bigint): string {
  const digits = (value < 0n ? -value : value).toString(16);
  const hex = `${value < 0n ? '-' : ''}0x${digits}`;
  const bytes =
    value < 0n ? [] : (digits.padStart(digits.length + (digits.length % 2), '0').match(/../g) ?? []).reverse();
  const codes = bytes.map((byte) => Number.parseInt(byte, 16));
  if (codes.length < 4 || !codes.every((code) => (code >= 0x20 && code < 0x7f) || code === 9 || code === 10))
    return hex;
  const quoted = JSON.stringify(String.fromCharCode(...codes));
  // Four bytes may well be a number that only looks like text.
  return codes.length >= 7 ? quoted : `${hex} (${quoted})`;
}

function differingReference(base: AsmRow, next: AsmRow): { base: AsmReference; next: AsmReference } | undefined {
  for (const [i, from] of base.references.entries()) {
    const to = next.references[i];
    if (!to || from.kind === 'label' || to.kind === 'label') continue;
    if (from.name !== to.name || from.addend !== to.addend) return { base: from, next: to };
  }
  return undefined;
}

function kindOf(row: AsmRow, base: AsmReference, next: AsmReference): Reason['kind'] {
  const both = (kind: AsmReference['kind']) => base.kind === kind && next.kind === kind;
  if (both('string')) return 'string';
  if (both('constant')) return 'constant';
  const isCode = (one: AsmReference) => one.kind === 'function' || (one.kind === 'external' && CALL.test(row.mnemonic));
  return isCode(base) || isCode(next) ? 'callee' : 'data';
}

const CALL = /^(call|jmp|bl|b|j[a-z]+)$/;

function text(reference: AsmReference, kind: Reason['kind']): string {
  if (kind === 'constant' && reference.addend === 0 && /^0x[0-9a-f]+$/.test(reference.name))
    return constantText(BigInt(reference.name));
  if (reference.addend === 0) return reference.name;
  return `${reference.name}${reference.addend > 0 ? '+' : '-'}${Math.abs(reference.addend)}`;
}
