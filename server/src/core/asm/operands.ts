import { AARCH64 } from './machine.ts';
import type { AsmReference, Instruction } from './types.ts';

/** Where in an instruction a reference stands: its memory displacement, its immediate, or a branch target. */
export type OperandRole = 'memory' | 'immediate' | 'branch';

/** Role of a field at byte position `at` of an instruction. */
export function roleOf(instruction: Instruction, at: number): OperandRole {
  if (instruction.displacement && instruction.displacement.at === at) return 'memory';
  if (instruction.immediate && instruction.immediate.at === at) return 'immediate';
  return instruction.flow === 'call' || instruction.flow === 'jump' || instruction.flow === 'branch'
    ? 'branch'
    : 'memory';
}

/** A reference as it stands in an operand: `counter+8`, `"text"`, `errno@gottpoff`. */
export function referenceText(reference: AsmReference, mark: string): string {
  const sum =
    reference.addend === 0 ? '' : reference.addend > 0 ? `+${reference.addend}` : `-${Math.abs(reference.addend)}`;
  return mark.startsWith(':') ? `${mark}${reference.name}${sum}` : `${reference.name}${mark}${sum}`;
}

/**
 * Puts a reference into the operand text that the decoder gave, in place of the number that stands for it.
 * Text that does not have the expected form gets the reference appended as a comment-like suffix, so that nothing is lost.
 */
export function putReference(machine: number, operands: string, role: OperandRole, text: string): string {
  return machine === AARCH64 ? putA64(operands, text) : putX86(operands, role, text);
}

function putX86(operands: string, role: OperandRole, text: string): string {
  if (role === 'branch') return text;
  if (role === 'memory') {
    const open = operands.indexOf('[');
    const close = operands.indexOf(']', open);
    if (open >= 0 && close > open) {
      const inside = operands
        .slice(open + 1, close)
        .replace(/(^| [+-] )(0x[0-9a-f]+|\d+)$/, '')
        .trim();
      const sum = inside === '' ? text : `${inside} + ${text}`;
      return `${operands.slice(0, open + 1)}${sum}${operands.slice(close)}`;
    }
  }
  // The moffs forms of mov have an address in the place of an immediate.
  if (/\[(0x[0-9a-f]+|\d+)\]/.test(operands)) return operands.replace(/\[(0x[0-9a-f]+|\d+)\]/, `[${text}]`);
  // The immediate is the last operand that is a number.
  const match = /^(.*(?:, |^))(-?(?:0x[0-9a-f]+|\d+))$/.exec(operands);
  if (match) return `${match[1]}offset ${text}`;
  return operands === '' ? text : `${operands}, ${text}`;
}

function putA64(operands: string, text: string): string {
  const match = /^(.*)#-?(?:0x[0-9a-f]+|\d+)([^#]*)$/.exec(operands);
  if (match) return `${match[1]}${text}${match[2]}`;
  if (operands.endsWith(']')) return `${operands.slice(0, -1)}, ${text}]`;
  return operands === '' ? text : `${operands}, ${text}`;
}

/** Replaces the target of a direct branch. */
export function putBranch(machine: number, operands: string, text: string): string {
  if (machine !== AARCH64) return text;
  return putA64(operands, text);
}
