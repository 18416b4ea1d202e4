import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readElf } from '../../../server/src/core/elf/index.ts';
import { alternativeLayout, specialTables, specialTablesOf } from '../../../server/src/core/special/index.ts';
import { CASE_COMPILERS, compile, hasTool } from '../../support/cc.ts';
import { objectOf } from '../diff/support.ts';
import { MACROS } from './macros.ts';

/** What a source emits: `section entry-size: owner, owner ...` in the order of the section. */
interface Expectation {
  readonly name: string;
  readonly source: string;
  readonly tables: readonly string[];
  readonly args?: readonly string[];
}

const CASES: readonly Expectation[] = [
  {
    name: 'alternatives of 14 bytes, two features at one place, one without a replacement',
    source: `
      int f(int a) { asm volatile(ALT14("nop", "stac", 0x134)); return a; }
      int g(int a) { asm volatile(ALT14(".nops 5", "call ext", 0x75) ALT14("lfence", "", 0x72)); return a; }`,
    tables: ['.altinstructions 14: f, g, g'],
  },
  {
    name: 'alternatives of 13 bytes',
    source: `int f(int a) { asm volatile(ALT13("nop", "stac", 0x134)); return a; }
      int g(int a) { asm volatile(ALT13("nop", "clac", 0x134)); return a; }`,
    tables: ['.altinstructions 13: f, g'],
  },
  {
    name: 'one alternative of 12 bytes',
    source: 'int f(int a) { asm volatile(ALT12("nop", "stac", 0x134)); return a; }',
    tables: ['.altinstructions 12: f'],
  },
  {
    name: 'exception entries: with a type, the fixup in the function',
    source:
      'int f(int *a) { int r; asm volatile("1: mov (%1),%0\\n2:\\n" EX12("1b","2b",3) : "=r"(r) : "r"(a)); return r; }\n'.repeat(
        1,
      ),
    tables: ['__ex_table 12: f'],
  },
  {
    name: 'exception entries: with handlers, where every field has a relocation',
    source: `extern int handler(void);
      int f(int *a) { int r; asm volatile("1: mov (%1),%0\\n2:\\n" EX12H("1b","2b","handler") : "=r"(r) : "r"(a)); return r; }
      int g(int *a) { int r; asm volatile("1: mov (%1),%0\\n2:\\n" EX12H("1b","2b","handler") : "=r"(r) : "r"(a)); return r; }`,
    tables: ['__ex_table 12: f, g'],
  },
  {
    name: 'exception entries of 8 bytes, three of them: 24 bytes in all',
    source: `int f(int *a) { int r; asm volatile("1: mov (%1),%0\\n2:\\n" EX8("1b","2b") : "=r"(r) : "r"(a)); return r; }
      int g(int *a) { int r; asm volatile("1: mov (%1),%0\\n2: mov (%1),%0\\n3:\\n" EX8("1b","3b") EX8("2b", "3b") : "=r"(r) : "r"(a)); return r; }`,
    tables: ['__ex_table 8: f, g, g'],
  },
  {
    name: 'a fixup out of line, and an exception in an alternative: both belong to the function that they serve',
    source: `int f(int *a) { int r; asm volatile("1: mov (%1),%0\\n2:\\n.pushsection .fixup,\\"ax\\"\\n3: xor %0,%0\\n jmp 2b\\n.popsection\\n" EX12("1b","3b",1) : "=r"(r) : "r"(a)); return r; }
      int g(int *a) { int r = 0; asm volatile(ALT14(".nops 6", "nop; 7: mov (%1),%0", 0x134) EX12("7b","662b",1) : "+r"(r) : "r"(a)); return r; }`,
    tables: ['.altinstructions 14: g', '__ex_table 12: f, g'],
  },
  {
    name: 'bug tables of 12 bytes',
    source:
      'void f(int a) { if (a > 3) WARN(); ext(a); if (a > 9) WARN_FLAGS(3); }\nvoid g(int a) { if (a) WARN(); ext(a); }',
    tables: ['__bug_table 12: f, f, g'],
  },
  {
    name: "Xen's bug frames with lines above 127, alternatives and exceptions",
    source: `\n#line 700\nvoid f(int a) { if (a > 3) XBUG(); ext(a); }
      int g(int *a) { int r = 0; asm volatile(XALT(".nops 3", "stac", 0x134)); asm volatile("1: mov (%1),%0\\n2:\\n" XEX("1b","2b") : "+r"(r) : "r"(a)); return r; }`,
    tables: ['.bug_frames.1 8: f', '.altinstructions 14: g', '.ex_table 8: g'],
  },
  {
    name: 'static branches, static calls, lock prefixes, return sites',
    source: `struct key k; extern struct key other;
      int f(int a) { if (BRANCH(&k, 1)) return ext(a); if (BRANCH(&other, 0)) return 7; return a; }
      int g(int *a) { asm volatile(LOCK "incl %0" : "+m"(*a)); CALL_STATIC(thing); return *a; }
      void naked(void); asm(".pushsection .text.naked,\\"ax\\"\\n.type naked,@function\\nnaked: " RETSITE "ret\\n.size naked,.-naked\\n.popsection");`,
    tables: ['.return_sites 4: naked', '.smp_locks 4: g', '.static_call_sites 8: g', '__jump_table 16: f, f'],
  },
  {
    name: 'a section that is no whole number of entries',
    source: `int f(int a) { asm volatile("1: nop\\n.pushsection .static_call_sites,\\"aw\\"\\n.long 1b-.\\n.byte 0\\n.popsection"); return a; }`,
    tables: ['.static_call_sites: no whole number'],
  },
];

for (const { name, source, tables } of CASES) {
  for (const compiler of CASE_COMPILERS) {
    for (const args of [
      ['-O2', '-g', '-fno-pic', '-ffunction-sections', '-fdata-sections'],
      ['-O2', '-fno-pic', '-fno-reorder-functions'],
    ]) {
      const title = `${name} [${compiler} ${args.join(' ')}]`;
      test(title, { skip: !hasTool(compiler) && `${compiler} is not installed` }, async () => {
        const fitting = args.filter((arg) => !compiler.startsWith('clang') || arg !== '-fno-reorder-functions');
        const object = await objectOf(MACROS + source, { compiler, args: fitting });
        const found = specialTablesOf(object);
        const texts = [
          ...found.tables.map(
            ({ section, entrySize, entries }) =>
              `${section.name} ${entrySize}: ${entries.map((one) => one.owner?.symbols[0]?.name ?? '?').join(', ')}`,
          ),
          ...found.problems.map(({ section, why }) => `${section.name}: ${/no whole number/.exec(why)?.[0] ?? why}`),
        ];
        assert.deepEqual(texts.sort(), [...tables].sort());
      });
    }
  }
}

test('the two layouts of 14 bytes are told apart by the lengths', async () => {
  const layoutOf = async (source: string) => {
    const object = await objectOf(MACROS + source);
    const table = specialTablesOf(object).tables.find(({ section }) => section.name === '.altinstructions')!;
    return alternativeLayout(object.elf, table.section, table.entrySize);
  };
  const of = (macro: string) =>
    `int f(int a) { asm volatile(${macro}(".nops 5", "call ext", 0x75)); asm volatile(${macro}("nop;nop;nop", "stac", 0x134)); return a; }`;
  assert.equal((await layoutOf(of('ALT14'))).replacementLength, 13);
  assert.equal((await layoutOf(of('XALT'))).replacementLength, 11);
  // Nothing but `alternative("", "stac", ...)`: no original, three bytes of padding.
  const guard = (text: string) =>
    `"771: 772: .nops 3\\n .pushsection .altinstructions,\\"a\\"; .long 771b-., 773f-.; .word 0x134; .byte 0, 774f-773f, 3, 0; .popsection\\n .pushsection .altinstr_replacement,\\"ax\\"; 773: ${text}; 774: .popsection"`;
  const guarded = `int f(int a) { asm volatile(${guard('stac')}); asm volatile(${guard('clac')}); return a; }`;
  assert.equal((await layoutOf(guarded)).replacementLength, 11);
});

test('a table whose header claims more than the file has: what is there is read, in no time', async () => {
  const source =
    'int f(int *a) { int r; asm volatile("1: mov (%1),%0\\n2:\\n" EX12("1b","2b",3) : "=r"(r) : "r"(a)); return r; }\n';
  const bytes = compile(MACROS + source);
  const view = new DataView(bytes.buffer);
  const table = Number(view.getBigUint64(40, true));
  const at = readElf(bytes).elf!.sectionsNamed('__ex_table')[0]!.index;
  view.setBigUint64(table + at * 64 + 32, 12n << 40n, true);
  const started = process.cpuUsage();
  const { elf } = readElf(bytes);
  const found = specialTables(elf!);
  assert.ok(found.tables.concat().length + found.problems.length > 0);
  assert.ok(process.cpuUsage(started).user < 2_000_000);
});
