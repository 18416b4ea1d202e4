import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAnalyser } from '../../../server/src/analyse.ts';
import { CASE_COMPILERS, compile, hasTool } from '../../support/cc.ts';
import { summary } from '../diff/support.ts';

// What assembly puts into an object without the symbols that a compiler gives: labels without type and size, code behind a function's end, data
// without a name. An edit of any of it has to be told, and where a patch cannot carry it, refused.
const SECTIONS = ['-O2', '-g', '-ffunction-sections', '-fdata-sections'];
const TOGETHER = ['-O2', '-g'];

interface Case {
  readonly name: string;
  /** The source with `@` for what the edit changes. */
  readonly source: string;
  readonly edit: readonly [string, string];
  readonly changes: readonly string[];
  /** Codes and symbols of the blockers. */
  readonly blocked: readonly string[];
  /** Sections for each function and variable, as the build room does; all in one; or both. */
  readonly ways?: readonly (readonly string[])[];
  /** An assembly source. */
  readonly assembly?: true;
}

/** A top-level asm statement of these lines. */
const top = (...lines: string[]): string => `asm("${lines.join('\\n')}");\n`;
const table = (section: string, ...lines: string[]): string => top(section, ...lines, '.previous');
/** Inline assembly whose unlikely half is in a subsection. */
const slow = (name: string, number: string): string =>
  `int ${name}(int a) { asm volatile("test %0,%0\\njz 771f\\n772:\\n.subsection 1\\n771: add $${number},%0\\njmp 772b\\n.previous" : "+r"(a)); return a; }\n`;
const middle = (label: string): string =>
  `${top('.text', '.globl whole', '.type whole,@function', 'whole: mov $1,%eax', 'add $3,%eax', `${label} add $@,%eax`, 'ret', '.size whole,.-whole')}int half(void); int use(void) { return half() + 1; }\n`;

const CASES: readonly Case[] = [
  {
    name: 'a table of constants without a type',
    source: `${table('.section .rodata', '.globl tab', 'tab: .long 1, @, 3')}extern const int tab[3]; int f(int i) { return tab[i]; }\n`,
    edit: ['2', '5'],
    changes: ['tab changed contents'],
    blocked: ['rodata-changed tab'],
  },
  {
    name: 'a table of constants that only this file sees',
    source: `${table('.section .rodata', 'tab: .long 1, @, 3')}extern const int tab[3]; int f(int i) { return tab[i]; }\n`,
    edit: ['2', '5'],
    changes: ['tab changed contents'],
    blocked: ['rodata-changed tab'],
  },
  {
    name: 'a table of functions without a type',
    source: `int g1(int a) { return a + 1; } int g2(int a) { return a + 2; }\n${table('.section .rodata', '.balign 8', '.globl tab', 'tab: .quad g1, @')}extern int (*const tab[2])(int); int f(int i) { return tab[i](3); }\n`,
    edit: ['g1', 'g2'],
    changes: ['tab changed references'],
    blocked: ['rodata-changed tab'],
  },
  {
    name: 'a table with a label at its end, one entry longer',
    source: `${table('.section .rodata', '.globl tab, tab_end', 'tab: .long 1, 3@', 'tab_end:')}extern const int tab[], tab_end[]; int f(void) { int s = 0; for (const int *p = tab; p < tab_end; p++) s += *p; return s; }\n`,
    edit: ['', ', 9'],
    changes: ['tab changed size'],
    blocked: ['data-size-changed tab'],
  },
  {
    name: 'a type without a size',
    source: `${table('.section .rodata', '.globl tab', '.type tab,@object', 'tab: .long 1, @, 3')}extern const int tab[3]; int f(int i) { return tab[i]; }\n`,
    edit: ['2', '5'],
    changes: ['tab changed contents'],
    blocked: ['rodata-changed tab'],
  },
  {
    name: 'a variable without a type beside one that has one',
    source: `int other = 4;\n${table('.data', '.globl tab', 'tab: .long 1, @')}extern int tab[2]; int f(int i) { return tab[i] + other++; }\n`,
    edit: ['2', '5'],
    changes: ['tab changed contents'],
    blocked: ['data-init-changed tab'],
  },
  {
    name: 'zeroed memory without a type',
    source: `${table('.bss', '.globl buffer', 'buffer: .skip @')}extern char buffer[]; char f(int i) { return buffer[i]; }\n`,
    edit: ['16', '64'],
    changes: ['buffer changed size'],
    blocked: ['data-size-changed buffer'],
  },
  {
    name: 'a label without a type in a section of its own kind, beside a variable',
    source: `const int q __attribute__((section("mytab"))) = 4;\n${table('.section mytab,\\"a\\"', '.globl tab', 'tab: .long 1, @')}extern const int tab[2]; int f(int i) { return tab[i] + q; }\n`,
    edit: ['2', '5'],
    changes: ['tab changed contents'],
    blocked: ['rodata-changed tab'],
  },
  {
    name: 'a label in the middle of a table moves',
    source: `${table('.section .rodata', '.globl tab, mid', '.type tab,@object', 'tab: .long 1, 2@', '.org tab+16', '.size tab,16')}extern const int mid[]; int f(int i) { return mid[i]; }\n`,
    edit: ['\\nmid: .long 3, 4', ', 3\\nmid: .long 4'],
    changes: ['mid changed size contents'],
    blocked: ['data-size-changed mid'],
  },
  {
    name: 'data without any name beside a variable',
    source: `int other = 5; int g(void) { return other++; }\n${top('.data', '771: .long 1, @', '.text', '.globl f', '.type f,@function', 'f: lea 771b(%rip),%rax', 'mov 4(%rax),%eax', 'ret', '.size f,.-f')}`,
    edit: ['2', '5'],
    changes: [],
    blocked: ['edit-not-covered .data'],
    ways: [TOGETHER],
  },
  {
    name: 'a table with a size and without a type',
    source: `${table('.section .rodata', '.globl tab', 'tab: .long 1, @', '.size tab,8')}extern const int tab[2]; int f(int i) { return tab[i]; }\n`,
    edit: ['2', '5'],
    changes: ['f changed', 'tab changed contents'],
    blocked: ['rodata-changed tab'],
  },
  {
    name: 'zeroed memory without any name',
    source: top(
      '.bss',
      '771: .skip @',
      '.text',
      '.globl f',
      '.type f,@function',
      'f: lea 771b(%rip),%rax',
      'ret',
      '.size f,.-f',
    ),
    edit: ['16', '64'],
    changes: [],
    blocked: ['edit-not-covered .bss'],
  },
  {
    name: 'a thread-local variable without a type',
    source:
      '.section .tdata,"awT",@progbits\n.globl t\nt: .long @\n.text\n.globl f\n.type f,@function\nf: mov %fs:t@tpoff,%eax\nret\n.size f,.-f\n',
    edit: ['2', '5'],
    changes: ['t changed contents'],
    blocked: ['tls-changed t'],
    assembly: true,
  },
  {
    name: 'the name of a number that code uses',
    source: `${top('.globl K', '.set K, @')}extern char K[]; long f(void) { return (long)K; }\n`,
    edit: ['5', '6'],
    changes: ['f changed'],
    blocked: ['edit-not-covered K'],
  },
  {
    name: 'the name of a number for other units',
    source: `${top('.globl K', '.set K, @')}int f(void) { return 1; }\n`,
    edit: ['5', '6'],
    changes: [],
    blocked: ['edit-not-covered K'],
  },
  {
    name: 'a subsection belongs to the function that jumps there',
    source: slow('f', '@'),
    edit: ['3', '4'],
    changes: ['f changed'],
    blocked: [],
    ways: [SECTIONS, TOGETHER],
  },
  {
    name: 'another function is called in a subsection',
    source:
      'int x(void), y(void); int f(int a) { asm volatile("test %0,%0\\njz 771f\\n772:\\n.subsection 1\\n771: call @\\njmp 772b\\n.previous" : "+b"(a) : : "memory", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11"); return a; }\n',
    edit: ['x', 'y'],
    changes: ['f changed'],
    blocked: [],
    ways: [SECTIONS, TOGETHER],
  },
  {
    name: 'a subsection for each of two functions',
    source: slow('f', '@') + slow('g', '9'),
    edit: ['3', '4'],
    changes: ['f changed'],
    blocked: [],
  },
  {
    name: 'a subsection that two functions of one section share',
    source: slow('f', '@') + slow('g', '9'),
    edit: ['3', '4'],
    changes: [],
    blocked: ['edit-not-covered .text'],
    ways: [TOGETHER],
  },
  {
    name: 'near miss: subsections stay as they are while a function in front of them grows',
    source: `int ext(int); int e(int a) { return ext(a)@; }\n${slow('f', '3')}${slow('g', '9')}`,
    edit: ['', ' * 7 + ext(a)'],
    changes: ['e changed'],
    blocked: [],
    ways: [SECTIONS, TOGETHER],
  },
  {
    name: 'far code of a function in the section of another one',
    source: `${slow('f', '@').replace('.subsection 1', '.pushsection .text.far,\\"ax\\"').replace('.previous', '.popsection')}__attribute__((section(".text.far"))) void far(void) { asm volatile("cpuid" : : : "eax", "ebx", "ecx", "edx"); }\n`,
    edit: ['3', '4'],
    changes: [],
    blocked: ['edit-not-covered .text.far'],
  },
  {
    name: 'code in front of all functions',
    source:
      '.text\n1: mov $@,%eax\nret\n.globl f\n.type f,@function\nf: test %edi,%edi\nje 1b\nret\n.size f,.-f\n.globl g\n.type g,@function\ng: ret\n.size g,.-g\n',
    edit: ['2', '5'],
    changes: [],
    blocked: ['edit-not-covered .text'],
    assembly: true,
  },
  {
    name: 'data behind the end of a function',
    source: '.text\n.globl f\n.type f,@function\nf: mov .Ltab(%rip),%eax\nret\n.size f,.-f\n.Ltab: .long 1,@\n',
    edit: ['2', '5'],
    changes: ['f changed'],
    blocked: ['hand-written-asm f'],
    assembly: true,
  },
  {
    name: 'a function that other units enter in its middle',
    source: middle('.globl half\\nhalf:'),
    edit: ['5', '7'],
    changes: ['whole changed'],
    blocked: ['edit-not-covered whole'],
    ways: [SECTIONS, TOGETHER],
  },
  {
    name: 'a function that another one of the file enters in its middle',
    source: middle('half:'),
    edit: ['5', '7'],
    changes: ['whole changed'],
    blocked: ['edit-not-covered whole'],
    ways: [SECTIONS, TOGETHER],
  },
  {
    name: 'an entry in the middle moves over equal instructions',
    source: `${top('.text', '.globl whole, half', '.type whole,@function', 'whole: add $1,%eax', '@', 'add $1,%eax', 'ret', '.size whole,.-whole')}int half(void); int use(void) { return half() + 1; }\n`,
    edit: ['half: add $1,%eax\\nadd $1,%eax', 'add $1,%eax\\nhalf: add $1,%eax'],
    changes: ['whole changed'],
    blocked: ['edit-not-covered whole'],
  },
];

const analyser = createAnalyser();

for (const compiler of CASE_COMPILERS) {
  for (const one of CASES) {
    for (const way of one.ways ?? [SECTIONS]) {
      const title = `${one.name} [${compiler}${way === TOGETHER ? ', one section' : ''}]`;
      test(title, { skip: !hasTool(compiler) && `${compiler} is not installed` }, async () => {
        const { load, compare } = await analyser;
        const name = one.assembly ? 'unit.S' : 'unit.c';
        const object = (text: string) => {
          const options = { compiler, name, args: one.assembly ? ['-g'] : [...way, '-w'] };
          return load(
            compile(
              one.source.replace(/@(?!(object|function|progbits|tpoff))/, () => text),
              options,
            ),
          ).object!;
        };
        const provenance = { unit: name, baseCommand: [], nextCommand: [], compiler, baseline: 'test' };
        const { diff, findings } = compare(object(one.edit[0]), object(one.edit[1]), provenance);
        assert.deepEqual(summary(diff), one.changes);
        const blockers = findings.filter(({ severity }) => severity === 'blocker');
        assert.deepEqual(
          blockers.map(({ code, symbol }) => `${code} ${symbol}`),
          one.blocked,
        );
        const same = compare(object(one.edit[0]), object(one.edit[0]), provenance);
        assert.deepEqual([summary(same.diff), same.findings], [[], []]);
      });
    }
  }
}
