import { AARCH64, X86_64 } from '../asm/machine.ts';
import type { AsmReference, AsmRow } from '../asm/types.ts';
import { A64_WORDS } from './words-a64.ts';
import { X86_WORDS } from './words-x86.ts';

/** Prefixes that say nothing about what an instruction does to its operands. */
const SILENT = /^(?:bnd|notrack|data16|xacquire|xrelease|[c-g]s|ss) (?=\w)/;

/**
 * What an instruction does, in a few words; undefined where that is not known. `mnemonic` is the decoder's, `machine` the object's `e_machine`:
 * `str` stores a task register on one machine and any register on the other.
 */
export function instructionWords(mnemonic: string, machine = X86_64): string | undefined {
  const plain = mnemonic.replace(SILENT, '');
  const known = (name: string): string | undefined =>
    (machine === AARCH64 ? A64_WORDS : X86_WORDS).find(([pattern]) => pattern.test(name))?.[1];
  if (machine === AARCH64 || !plain.startsWith('lock ')) return known(plain);
  return `${known(plain.slice('lock '.length)) ?? 'changes memory'}, in one indivisible step`;
}

/** What a hover on an instruction knows beside the row itself. */
export interface InstructionContext {
  /** What became of a function that is called or referred to: `changed`, `new`, `removed`, or undefined where it is the same. */
  readonly statusOf?: (name: string) => 'changed' | 'new' | 'removed' | undefined;
  /** Text of the row's source line. */
  readonly sourceText?: string;
  /** Where a branch leads, in words. */
  readonly target?: string;
  /** `e_machine` of the object; x86-64 where it is not told. */
  readonly machine?: number;
}

/** Text for between two backticks. */
const code = (text: string): string => text.replace(/[`\n\r]/g, ' ');

const amount = (value: number): string => (value === 0 ? '' : ` ${value < 0 ? '−' : '+'} ${Math.abs(value)}`);

function referenceText(reference: AsmReference, row: AsmRow, context: InstructionContext): string[] {
  const where = reference.section
    ? ` in \`${code(reference.section)}\``
    : reference.kind === 'external'
      ? ', defined elsewhere'
      : '';
  const by = reference.relocation ? `\`${reference.relocation}\` → ` : '→ ';
  const raw = reference.rawAddend;
  const addend = raw === undefined ? '' : `, addend ${raw < 0 ? '−' : ''}${Math.abs(raw)}`;
  const lines = [`${by}\`${code(reference.name)}${amount(reference.addend)}\`${where}${addend}`];
  const isCall = /^(?:call|bl)$/.test(row.mnemonic) || (/^(?:jmp|b)$/.test(row.mnemonic) && reference.kind !== 'label');
  if ((reference.kind === 'function' || reference.kind === 'external') && isCall) {
    const status = context.statusOf?.(reference.name);
    lines.push(
      status === 'removed'
        ? `calls \`${code(reference.name)}\`, which the edit removed`
        : status
          ? `calls \`${code(reference.name)}\`, which is in the patch (${status})`
          : `calls \`${code(reference.name)}\`, which is not in the patch`,
    );
  }
  return lines;
}

/**
 * Markdown about one instruction: what it does, its offset in the function and its bytes, each relocation with symbol, addend and
 * section, for a call the callee and whether it is in the patch, where it was inlined from, and its source line.
 */
export function hoverInstruction(row: AsmRow, context: InstructionContext = {}): string {
  const bytes = [...row.bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
  const words = instructionWords(row.mnemonic, context.machine);
  const lines = [...(words ? [`**${code(row.mnemonic)}**: ${words}`] : [])];
  lines.push(`\`+0x${row.offset.toString(16)}\`  \`${bytes}\``);
  if (context.target) lines.push(context.target);
  for (const reference of row.references)
    if (reference.kind !== 'label') lines.push(...referenceText(reference, row, context));
  if (row.inlinedFrom.length > 0) {
    const chain = row.inlinedFrom.map((name, index) => {
      const at = row.inlinedAt?.[index];
      return `\`${code(name)}\`${at ? ` at \`${code(at.file.split('/').pop() ?? '')}:${at.line}\`` : ''}`;
    });
    lines.push(`inlined from ${chain.join(' > ')}`);
  }
  if (row.source) {
    const place = `\`${code(row.source.file.split('/').pop() ?? '')}:${row.source.line}\``;
    const text = context.sourceText?.trim();
    lines.push(text ? `${place}  \`${code(text)}\`` : place);
  }
  return lines.join('\n\n');
}
