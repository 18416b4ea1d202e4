import type { AsmReference, AsmRow } from '../asm/types.ts';

/** What the instructions of x86-64 and AArch64 that compilers emit do, in a few words; the first that matches counts. */
const WORDS: readonly (readonly [pattern: RegExp, words: string])[] = [
  [/^mov$|^movabs$/, 'copies the second operand into the first'],
  [/^movz[xw]?$|^movzx$/, 'copies and fills up with zero bits'],
  [/^movs(?:x|xd)$|^sxt[bhw]$/, 'copies and fills up with the sign'],
  [/^movk$/, 'sets 16 bits of the register, keeps the others'],
  [/^mov[au]p[sd]$|^movdq[au]$|^v?movdq[au]\d*$|^vmov[au]p[sd]$/, 'copies a whole vector'],
  [/^v?movs[sd]$/, 'copies one floating-point number'],
  [/^v?mov[dq]$/, 'copies between a general and a vector register'],
  [/^lea$|^adrp?$/, 'computes an address, reads nothing'],
  [/^add$|^adds$/, 'adds'],
  [/^adc$/, 'adds with carry'],
  [/^subs?$/, 'subtracts'],
  [/^sbb$|^sbc$/, 'subtracts with borrow'],
  [/^imul$|^mul$|^smull|^umull|^smulh|^umulh/, 'multiplies'],
  [/^madd$|^msub$/, 'multiplies and adds'],
  [/^idiv$|^sdiv$/, 'divides, with sign'],
  [/^div$|^udiv$/, 'divides, without sign'],
  [/^inc$/, 'adds one'],
  [/^dec$/, 'subtracts one'],
  [/^neg$/, 'changes the sign'],
  [/^not$|^mvn$/, 'inverts every bit'],
  [/^and$|^ands$/, 'bitwise and'],
  [/^bic$|^andn$/, 'clears bits'],
  [/^or$|^orr$/, 'bitwise or'],
  [/^xor$|^eor$/, 'bitwise exclusive or'],
  [/^sh[lr]$|^sa[lr]$|^ls[lr]$|^asr$|^[ls]h[lr]x$|^sarx$|^shlx$|^shrx$/, 'shifts bits'],
  [/^sh[lr]d$/, 'shifts bits across two registers'],
  [/^ro[lr]x?$/, 'rotates bits'],
  [/^cmp$|^cmn$/, 'compares and sets the flags'],
  [/^test$|^tst$/, 'and-s for the flags only: is it zero, is it negative'],
  [/^v?u?comis[sd]$|^fcmp/, 'compares floating-point numbers'],
  [/^bts?[cr]?$/, 'tests one bit'],
  [/^bs[fr]$|^[lt]zcnt$|^clz$/, 'finds the first bit that is set'],
  [/^popcnt$/, 'counts the bits that are set'],
  [/^bswap$|^rev\d*$/, 'reverses the order of the bytes'],
  [/^cdqe$|^cwde$/, 'widens the accumulator with its sign'],
  [/^cdq$|^cqo$/, 'spreads the sign over the upper half, before a division'],
  [/^push$/, 'puts a value on the stack'],
  [/^pop$/, 'takes a value from the stack'],
  [/^leave$/, "takes the function's frame from the stack"],
  [/^call$|^blr?$/, 'calls a function'],
  [/^ret\w*$/, 'returns to the caller'],
  [/^jmp$|^br?$/, 'goes on elsewhere'],
  [/^j(?:e|z)$|^b\.eq$|^cbz$|^tbz$/, 'goes there when equal, or zero'],
  [/^j(?:ne|nz)$|^b\.ne$|^cbnz$|^tbnz$/, 'goes there when not equal, or not zero'],
  [/^j(?:g|nle)$|^b\.gt$/, 'goes there when greater (with sign)'],
  [/^j(?:ge|nl)$|^b\.ge$/, 'goes there when greater or equal (with sign)'],
  [/^j(?:l|nge)$|^b\.lt$/, 'goes there when less (with sign)'],
  [/^j(?:le|ng)$|^b\.le$/, 'goes there when less or equal (with sign)'],
  [/^j(?:a|nbe)$|^b\.hi$/, 'goes there when above (without sign)'],
  [/^j(?:ae|nb|nc)$|^b\.(?:hs|cs)$/, 'goes there when above or equal (without sign)'],
  [/^j(?:b|nae|c)$|^b\.(?:lo|cc)$/, 'goes there when below (without sign)'],
  [/^j(?:be|na)$|^b\.ls$/, 'goes there when below or equal (without sign)'],
  [/^js$|^b\.mi$/, 'goes there when negative'],
  [/^jns$|^b\.pl$/, 'goes there when not negative'],
  [/^j\w+$|^b\.\w+$/, 'goes there on a condition'],
  [/^set\w+$|^cset$/, 'writes 1 where the condition holds, else 0'],
  [/^cmov\w+$|^csel$|^csinc$|^csneg$|^csinv$/, 'copies only where the condition holds'],
  [/^endbr\d*$|^bti$/, 'marks a place that may be jumped to'],
  [/^nop\w*$/, 'does nothing'],
  [/^ud[012]$|^brk$|^int3$/, 'traps: this place must never be reached'],
  [/^syscall$|^svc$/, 'calls the kernel'],
  [/^hlt$/, 'waits for an interrupt'],
  [/^pause$|^yield$/, 'tells the processor that this loop waits'],
  [/^(?:lock )?x(?:chg|add)$/, 'exchanges with memory'],
  [/^(?:lock )?cmpxchg\w*$/, 'writes only where memory still holds the expected value'],
  [/^lock /, 'changes memory in one indivisible step'],
  [/^rep\w* (?:movs|stos)\w*$/, 'copies or fills a block of memory'],
  [/^rep\w* /, 'repeats over a block of memory'],
  [/^[lms]fence$|^d[ms]b$|^isb$/, 'orders memory accesses'],
  [/^prefetch\w*$|^prfm$/, 'asks for memory ahead of its use'],
  [/^ldp$|^ldr\w*$|^ldur\w*$/, 'loads from memory'],
  [/^stp$|^str\w*$|^stur\w*$/, 'stores to memory'],
  [/^cvt\w+$|^v?cvt\w+$|^scvtf$|^ucvtf$|^fcvt\w*$/, 'converts between number formats'],
  [/^v?(?:add|fadd)[sp]?[sd]?$|^fadd$/, 'adds floating-point numbers'],
  [/^v?sub[sp][sd]$|^fsub$/, 'subtracts floating-point numbers'],
  [/^v?mul[sp][sd]$|^fmul$/, 'multiplies floating-point numbers'],
  [/^v?div[sp][sd]$|^fdiv$/, 'divides floating-point numbers'],
  [/^v?sqrt[sp][sd]$|^fsqrt$/, 'square root'],
  [/^v?(?:min|max)[sp][sd]$/, 'the smaller or the greater number'],
  [/^v?pxor\w*$|^v?xorp[sd]$/, 'vector exclusive or; with itself: zero'],
  [/^v?p?(?:and|or|andn)(?:p[sd])?$|^v?p(?:and|or|andn)[dq]?$/, 'bitwise on a vector'],
  [/^v?padd\w+$|^v?psub\w+$/, 'adds or subtracts the lanes of vectors'],
  [/^v?pcmp\w+$/, 'compares the lanes of vectors'],
  [/^v?p?(?:shuf|unpck|broadcast|perm|align|insert?|extract?)\w*$/, 'rearranges the lanes of vectors'],
  [/^\.byte$/, 'bytes that the decoder does not know'],
];

/** What an instruction does, in a few words; undefined where that is not known. `mnemonic` is the decoder's. */
export function instructionWords(mnemonic: string): string | undefined {
  return WORDS.find(([pattern]) => pattern.test(mnemonic))?.[1];
}

/** What a hover on an instruction knows beside the row itself. */
export interface InstructionContext {
  /** What became of a function that is called or referred to: `changed`, `new`, `removed`, or undefined where it is the same. */
  readonly statusOf?: (name: string) => 'changed' | 'new' | 'removed' | undefined;
  /** Text of the row's source line. */
  readonly sourceText?: string;
  /** Where a branch leads, in words. */
  readonly target?: string;
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
  const words = instructionWords(row.mnemonic);
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
