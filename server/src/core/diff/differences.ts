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
      add('constant', `${hex(number.base)} → ${hex(number.next)}`);
      continue;
    }
    const pair = differingReference(row.base, row.next);
    if (pair) add(kindOf(row.next, pair.base, pair.next), `${text(pair.base)} → ${text(pair.next)}`);
  }
  return reasons;
}

/** The one number that two rows differ in; undefined where they differ in anything else. */
function differingNumber(base: AsmRow, next: AsmRow): { base: number; next: number } | undefined {
  if (base.mnemonic !== next.mnemonic || base.operands === next.operands) return undefined;
  const left = splitImmediate(base.operands);
  const right = splitImmediate(next.operands);
  if (!left || !right || left.rest !== right.rest) return undefined;
  return { base: left.value, next: right.value };
}

/** The immediate of an instruction: its last operand, outside of any memory operand. */
function splitImmediate(operands: string): { rest: string; value: number } | undefined {
  const match = /^(.*(?:, |^))#?(-?)(0x[0-9a-f]+|\d+)$/.exec(operands);
  if (!match) return undefined;
  const value = Number(match[3]);
  return { rest: match[1]!, value: match[2] === '-' ? -value : value };
}

function hex(value: number): string {
  return value < 0 ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`;
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

function text(reference: AsmReference): string {
  if (reference.addend === 0) return reference.name;
  return `${reference.name}${reference.addend > 0 ? '+' : '-'}${Math.abs(reference.addend)}`;
}
