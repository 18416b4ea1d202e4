import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ASKING_MAIN, ensureHelper, Program, type ProgramOptions } from './program.ts';

// Functions that do not lie alone in their section: what the assembler resolved there has no relocation, and the new code lies elsewhere.
const SAY = (value: string): string => `#include <stdio.h>
static char line[64];
const char *answer(const char *question) { snprintf(line, sizeof line, "%d", ${value}); return line; }
`;
const N = '__attribute__((noinline))';

/** Three functions of one section of the source's own; `@` in the one that is edited. */
const shared = (text: string): string => `volatile int seed = 3;
__attribute__((section(".text.mine"))) static ${N} int twice(int a) { return a * 2 + seed; }
__attribute__((section(".text.mine"))) static ${N} int fresh(int a) { return a * 5 + seed; }
__attribute__((section(".text.mine"))) ${N} int work(int a) { return ${text}; }
${SAY('work(seed) + fresh(1)')}`;

/** The unlikely half in a subsection: behind the end of the function. */
const subsection = (number: number): string => `volatile int seed = 0;
${N} int work(int a) { asm volatile("test %0,%0\\njz 771f\\n772:\\n.subsection 1\\n771: add $${number},%0\\njmp 772b\\n.previous" : "+r"(a)); return a + 1; }
${SAY('work(seed)')}`;

/** Assembly with a table and room of its own, both new. */
const labels = (text: string): string => `volatile int seed = 1;
${text.includes('tab') ? 'asm(".section .rodata\\ntab: .long 5, 60, 700\\n.bss\\n.balign 4\\nroom: .skip 16\\n.previous"); extern const int tab[3]; extern int room[4];' : ''}
${N} int work(int a) { return ${text}; }
${SAY('work(seed) + work(seed)')}`;

interface Case {
  readonly name: string;
  readonly base: string;
  readonly next: string;
  readonly says: readonly [string, string];
  readonly options?: ProgramOptions;
}

const CASES: readonly Case[] = [
  {
    name: 'calls within the section: to what stays, and to what is in the patch too',
    base: shared('twice(a) + 1'),
    next: shared('twice(a) * 100 + fresh(a)'),
    says: ['18', '926'],
  },
  {
    name: 'code of a subsection goes along',
    base: subsection(3),
    next: subsection(40),
    says: ['4', '41'],
    options: { compile: ['-ffunction-sections'] },
  },
  {
    name: 'new labels of assembly without a size bring all of what they stand for',
    base: labels('a * 7 + seed'),
    next: labels('tab[a] + (room[3] += 1000)'),
    says: ['16', '3120'],
  },
];

/** A counter that assembly keeps without a name. */
const hidden = (number: number): string => `volatile int seed = 1;
${N} int work(int a) { int count; asm volatile(".pushsection .data.count,\\"aw\\"\\n771: .long 7\\n.popsection\\nincl 771b(%%rip)\\nmov 771b(%%rip),%0" : "=r"(count)); return a * ${number} + count; }
${SAY('work(seed)')}`;

describe('functions that share their section, and labels without a size', () => {
  const programs: Program[] = [];
  const make = (base: string, options?: ProgramOptions): Program => {
    const program = new Program({ 'main.c': ASKING_MAIN, 'part.c': base }, options);
    programs.push(program);
    return program;
  };
  before(() => {
    ensureHelper();
  });
  after(() => {
    for (const program of programs) program.dispose();
  });
  it('refused: data without a name would start anew in the patch', async () => {
    const program = make(hidden(3));
    const made = await program.build({ 'part.c': hidden(5) });
    assert.equal(made.kind, 'refused');
    if (made.kind !== 'refused') return;
    assert.deepEqual(
      [...new Set(made.refusals.map(({ code, symbol }) => `${code} ${symbol}`))],
      ['forbidden-relocation work'],
    );
    assert.match(made.refusals[0]!.message, /data without a name in \.data\.count/);
  });
  for (const { name, base, next, says, options } of CASES) {
    it(name, async () => {
      const program = make(base, options);
      const payload = await program.payload({ 'part.c': next });
      const running = program.start();
      await running.line();
      assert.equal(await running.ask('?'), says[0]);
      const target = running.target();
      const event = await target.apply(payload);
      assert.equal(event.kind, 'applied', JSON.stringify(event));
      assert.equal(await running.ask('?'), says[1]);
      await target.revert(undefined);
      assert.equal(await running.ask('?'), says[0]);
      await running.end();
    });
  }
});
