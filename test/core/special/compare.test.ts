import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CASE_COMPILERS, hasTool } from '../../support/cc.ts';
import { diffSources } from '../diff/support.ts';
import { MACROS } from './macros.ts';

/** Two versions of a source and what the special sections say otherwise: `function: section what field`. */
interface Case {
  readonly name: string;
  readonly base: string;
  readonly next: string;
  readonly special?: readonly string[];
  /** Functions that differ, in all. Default: those of `special`. */
  readonly functions?: readonly string[];
}

const alt = (feature: string, instruction = 'stac', old = 'nop;nop;nop') =>
  `int f(int a) { asm volatile(ALT14("${old}", "${instruction}", ${feature})); return ext(a) + 1; }\n`;
const load = (to: string, type: number) =>
  `int f(int *a) { int r = 1; asm volatile("1: mov (%1),%0\\n2: incl %0\\n3:\\n" EX12("1b","${to}",${type}) : "+r"(r) : "r"(a)); return r + ext(2); }\n`;
const fixup = (code: string) =>
  `int f(int *a) { int r = 1; asm volatile("1: mov (%1),%0\\n2:\\n.pushsection .fixup,\\"ax\\"\\n3: ${code}; jmp 2b\\n.popsection\\n" EX12("1b","3b",1) : "+r"(r) : "r"(a)); return r + ext(2); }\n`;
const other = 'int g(int a) { asm volatile(ALT14("nop;nop;nop", "clac", 0x134)); if (a) WARN(); return ext(a) * 3; }\n';
const xbug = (line: number) => `\n#line ${line}\nint f(int a) { if (a > 3) XBUG(); return ext(a); }\n`;
const branch = (key: string, flag: number) =>
  `extern struct key k1, k2; static struct key mine; struct key *volatile keep = &mine;\nint f(int a) { if (BRANCH(&${key}, ${flag})) return ext(a); return a; }\n`;
const call = (name: string) =>
  `int f(int a) { asm volatile("call __SCT__thing\\n1:.pushsection .static_call_sites,\\"aw\\"\\n.long 1b-5-.\\n.long __SCK__${name}-.\\n.popsection" : : : "memory", "rax"); return ext(a); }\n`;

const CASES: readonly Case[] = [
  { name: 'the same', base: alt('0x134') + other, next: alt('0x134') + other },
  { name: 'functions in another order', base: alt('0x134') + other, next: other + alt('0x134') },
  { name: 'lines moved: WARN is another line in the table', base: other, next: `\n\n\n${other}` },
  { name: 'lines moved over 127: both halves of a Xen frame', base: xbug(120), next: xbug(140) },
  {
    name: 'another feature of an alternative',
    base: alt('0x134') + other,
    next: alt('0x135') + other,
    special: ['f: .altinstructions changed feature'],
  },
  {
    name: 'other bytes of a replacement',
    base: alt('0x134') + other,
    next: alt('0x134', 'clac') + other,
    special: ['f: .altinstructions changed replacement'],
  },
  {
    name: 'another callee in a replacement',
    base: alt('0x75', 'call one', '.nops 5'),
    next: alt('0x75', 'call two', '.nops 5'),
    special: ['f: .altinstructions changed replacement'],
  },
  {
    name: 'a longer replacement',
    base: alt('0x134'),
    next: alt('0x134', 'stac; stac', 'nop;nop;nop'),
    special: ['f: .altinstructions changed replacement'],
  },
  {
    name: 'an alternative more at the same place',
    base: `int f(int a) { asm volatile(ALT14(".nops 3", "stac", 0x134)); return ext(a); }`,
    next: `int f(int a) { asm volatile(ALT14(ALT14(".nops 3", "stac", 0x134), "clac", 0x135)); return ext(a); }`,
    special: ['f: .altinstructions added'],
  },
  {
    name: 'exception continues elsewhere',
    base: load('2b', 1),
    next: load('3b', 1),
    special: ['f: __ex_table changed fixup'],
  },
  {
    name: 'another type of exception',
    base: load('3b', 1),
    next: load('3b', 2),
    special: ['f: __ex_table changed type'],
  },
  {
    name: 'another fixup out of line',
    base: fixup('xor %0,%0'),
    next: fixup('or %0,%0'),
    special: ['f: __ex_table changed fixup'],
  },
  {
    name: 'an exception entry more',
    base: 'int f(int *a) { int r = 1; asm volatile("1: mov (%1),%0\\n2: mov 4(%1),%0\\n3:\\n" EX12("1b","3b",1) : "+r"(r) : "r"(a)); return r; }\n',
    next: 'int f(int *a) { int r = 1; asm volatile("1: mov (%1),%0\\n2: mov 4(%1),%0\\n3:\\n" EX12("1b","3b",1) EX12("2b", "3b", 1) : "+r"(r) : "r"(a)); return r; }\n',
    special: ['f: __ex_table added'],
  },
  {
    name: 'another flag of WARN',
    base: 'void f(int a) { if (a) WARN_FLAGS(1); ext(a); }',
    next: 'void f(int a) { if (a) WARN_FLAGS(3); ext(a); }',
    special: ['f: __bug_table changed flags'],
  },
  {
    name: 'another key of a static branch',
    base: branch('k1', 1),
    next: branch('k2', 1),
    special: ['f: __jump_table changed key'],
  },
  {
    name: 'a static branch turned round',
    base: branch('k1', 1),
    next: branch('k1', 0),
    special: ['f: __jump_table changed key'],
  },
  { name: 'a local key', base: branch('mine', 1), next: branch('k1', 1), special: ['f: __jump_table changed key'] },
  {
    name: 'another static call behind the same trampoline',
    base: call('thing'),
    next: call('other'),
    special: ['f: .static_call_sites changed key'],
  },
  {
    name: 'a lock prefix that is not listed any more',
    base: 'int f(int *a) { asm volatile(LOCK "incl %0" : "+m"(*a)); return *a; }',
    next: 'int f(int *a) { asm volatile("lock; incl %0" : "+m"(*a)); return *a; }',
    special: ['f: .smp_locks removed'],
  },
  {
    name: 'code and entry changed: the function is in the patch anyway',
    base: alt('0x134'),
    next: alt('0x135').replace('+ 1', '+ 2'),
    functions: ['f'],
  },
  {
    name: 'lists that tools derive make no difference by themselves',
    base: 'void f(void); asm(".pushsection .text.f,\\"ax\\"\\n.globl f\\n.type f,@function\\nf: " RETSITE "ret\\n.size f,.-f\\n.popsection");',
    next: 'void f(void); asm(".pushsection .text.f,\\"ax\\"\\n.globl f\\n.type f,@function\\nf: ret\\n.size f,.-f\\n.popsection");',
  },
];

for (const one of CASES) {
  for (const compiler of CASE_COMPILERS) {
    for (const args of [
      ['-O2', '-g', '-fno-pic', '-ffunction-sections', '-fdata-sections'],
      ['-O2', '-fno-pic'],
    ]) {
      const title = `${one.name} [${compiler} ${args.join(' ')}]`;
      test(title, { skip: !hasTool(compiler) && `${compiler} is not installed` }, async () => {
        const diff = await diffSources(MACROS + one.base, MACROS + one.next, { compiler, args });
        const texts = diff.special.flatMap(({ function: name, differences }) =>
          differences.map(({ section, what, field }) => `${name}: ${section} ${what}${field ? ` ${field}` : ''}`),
        );
        assert.deepEqual(texts.sort(), [...(one.special ?? [])].sort());
        const functions = one.functions ?? [...new Set((one.special ?? []).map((text) => text.split(':')[0]!))];
        assert.deepEqual(
          diff.functions.map(({ name, lineOnly }) => (lineOnly ? `${name} line-only` : name)),
          functions,
        );
        assert.deepEqual(
          diff.data.map(({ name }) => name),
          [],
        );
        for (const { name, changedLines } of diff.functions)
          if (args.includes('-g')) assert.ok(changedLines.length > 0, `${name} has no place`);
      });
    }
  }
}
