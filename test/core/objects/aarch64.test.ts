import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAnalyser } from '../../../server/src/analyse.ts';
import { listFunction } from '../../../server/src/core/asm/listing.ts';
import { AARCH64 } from '../../../server/src/core/asm/machine.ts';
import { CASE_COMPILERS, compile, hasTool } from '../../support/cc.ts';
import { editsBetween, summary } from '../diff/support.ts';

// Pairs of AArch64 objects: read, compared, disassembled, with the same answers as for x86-64.
const SECTIONS = ['-ffunction-sections', '-fdata-sections'];
const COMPILERS: readonly { name: string; args: readonly string[] }[] = [
  { name: 'aarch64-linux-gnu-gcc', args: [] },
  ...CASE_COMPILERS.filter((name) => name.startsWith('clang')).map((name) => ({
    name,
    args: ['--target=aarch64-linux-gnu'],
  })),
];
const WAYS: readonly (readonly string[])[] = [
  ['-O2', '-g', ...SECTIONS],
  ['-O2', '-g'],
  ['-O2', '-g', '-fno-pic', '-mcmodel=large', ...SECTIONS],
  ['-O2', '-g', '-fPIC', '-mbranch-protection=standard', '-fpatchable-function-entry=4,2', ...SECTIONS],
];

const D =
  'int ext(int); int ext2(int); int puts(const char *); void use(void *);\nvoid fail(const char *, const char *, int) __attribute__((noreturn));\n#define CHECK(e) ((e) ? (void)0 : fail(#e, __FILE__, __LINE__))\n';
const N = '__attribute__((noinline))';
const table = (value: number) =>
  `${D}int f(int x) { switch (x) { case 0: return ext(1); case 1: return 7; case 2: return ext(${value}); case 3: return 9; case 4: return ext2(2); case 5: return ext2(9); } return 0; }\nint g(int x) { switch (x) { case 0: return 3; case 1: return 17; case 2: return 5; case 3: return 94; case 4: return 22; } return 1; }\n`;

interface Case {
  readonly name: string;
  readonly base: string;
  readonly next: string;
  readonly changes: readonly string[];
  readonly types?: readonly string[];
  readonly edits?: boolean;
}
/** A load from the literal pool that the assembler puts behind the function, out of its size. */
const LITERAL = '#define LOAD(what) ({ long r_; asm("ldr %0, =" what : "=r"(r_)); r_; })\n';

const CASES: readonly Case[] = [
  {
    name: 'lines, order of functions, a function and a string more',
    base: `${D}int f(int a) { puts("text"); return ext(a) * 3; }\nint g(int a) { return ext2(a) - 1; }\n`,
    next: `\n\n${D}int g(int a) { return ext2(a) - 1; }\nint e(int a) { puts("early"); return a; }\nint f(int a) { puts("text"); return ext(a) * 3; }\n`,
    changes: ['e new'],
  },
  {
    name: 'a constant that takes movz and movk',
    base: `${D}int f(int a) { return ext(0x12345678); }\n`,
    next: `${D}int f(int a) { return ext(0x12345679); }\n`,
    changes: ['f changed'],
  },
  {
    name: 'another callee',
    base: `${D}int f(int a) { return ext(a) + 1; }\n`,
    next: `${D}int f(int a) { return ext2(a) + 1; }\n`,
    changes: ['f changed'],
  },
  {
    name: 'another static callee',
    base: `${D}static int ${N} a(int x) { return ext(x) * 7; }\nstatic int ${N} b(int x) { return ext(x) * 9; }\nint m(int x) { return a(x) + 1; }\nint n(int x) { return a(x) + b(x); }\n`,
    next: `${D}static int ${N} b(int x) { return ext(x) * 9; }\nstatic int ${N} a(int x) { return ext(x) * 7; }\nint m(int x) { return b(x) + 1; }\nint n(int x) { return a(x) + b(x); }\n`,
    changes: ['m changed'],
  },
  {
    name: 'a string literal, by its page and offset',
    base: `${D}void f(void) { puts("hello"); }\nvoid g(void) { puts("world"); }\n`,
    next: `${D}void f(void) { puts("hellO"); }\nvoid g(void) { puts("world"); }\n`,
    changes: ['f changed'],
  },
  {
    name: 'a variable that moves within its section, and another variable',
    base: `${D}static int first = 1, second = 2;\nvoid s(void) { use(&first); use(&second); }\nint f(void) { return second; }\nint g(void) { return second; }\n`,
    next: `${D}static int more = 5, second = 2, first = 1;\nvoid s(void) { use(&first); use(&second); }\nint e(void) { return more++; }\nint f(void) { return first; }\nint g(void) { return second; }\n`,
    changes: ['e new', 'f changed', 'more new'],
  },
  {
    name: 'a jump table: one arm',
    base: table(4),
    next: table(5),
    changes: ['f changed'],
  },
  {
    name: 'the value of a variable and a static local',
    base: `${D}int limit = 10;\nint f(int i) { static int n = 3; n += i; return i < limit ? n : 0; }\n`,
    next: `${D}int limit = 20;\nint f(int i) { static int n = 3; n += i; return i < limit ? n : 0; }\n`,
    changes: ['limit changed contents'],
  },
  {
    name: 'a field that moves: the type and the code',
    base: `struct s { int a; long b; }; long f(struct s *p) { return p->b; }\nlong g(struct s *p) { return p->a; }\n`,
    next: `struct s { int a; long c; long b; }; long f(struct s *p) { return p->b; }\nlong g(struct s *p) { return p->a; }\n`,
    changes: ['f changed'],
    types: ['struct s: added c, moved b'],
  },
  {
    name: 'assertions whose lines move',
    base: `${D}int f(int a)\n{\n  CHECK(a > 3);\n  CHECK(a < 100);\n  return ext(a);\n}\n`,
    next: `${D}/* more */\nint f(int a)\n{\n  CHECK(a > 3);\n  CHECK(a < 100);\n  return ext(a);\n}\n`,
    changes: ['f changed line-only'],
    edits: true,
  },
  {
    name: 'near miss: an assertion whose line moves beside another constant',
    base: `${D}int f(int a)\n{\n  CHECK(a > 3);\n  return ext(a + 70);\n}\n`,
    next: `${D}/* more */\nint f(int a)\n{\n  CHECK(a > 3);\n  return ext(a + 71);\n}\n`,
    changes: ['f changed'],
    edits: true,
  },
  {
    name: 'constants among the code that inline assembly loads: one more in front, another address, another number',
    base: `${D}${LITERAL}long f(long a) { return LOAD("0x123456789abcdef0") + ext(a); }\nlong g(long a) { return LOAD("ext2") + ext(a); }\nlong h(long a) { return LOAD("0x0fedcba987654321") + ext(a); }\nlong i(long a) { return LOAD("ext2") - LOAD("0x1111222233334444") + ext(a); }\n`,
    next: `${D}${LITERAL}long e(long a) { return LOAD("0x5555666677778888") + ext(a); }\nlong f(long a) { return LOAD("0x123456789abcdef0") + ext(a); }\nlong g(long a) { return LOAD("ext") + ext(a); }\nlong h(long a) { return LOAD("0x0fedcba987654322") + ext(a); }\nlong i(long a) { return LOAD("ext2") - LOAD("0x1111222233334444") + ext(a); }\n`,
    changes: ['e new', 'g changed', 'h changed'],
  },
  {
    name: 'thread-local variables and floating-point constants',
    base: `__thread int t; double d(double x) { return x * 3.1415926; }\nint f(void) { return t++; }\n`,
    next: `__thread int u; __thread int t; double d(double x) { return x * 2.7182818; }\nint f(void) { return t++; }\nint g(void) { return u; }\n`,
    changes: ['d changed', 'g new', 'u new'],
  },
];

/** A constant that assembly loads from the pool behind the code, and a table there; another function in front. */
const pools = (front: string, literal: string, entry: string): string =>
  `${D}int e(int a) { return ext(a + 5)${front} + 3; }\nlong f(void) { long r; asm("ldr %0,=${literal}" : "=r"(r)); return r; }\nlong h(void) { long r; asm("ldr %0,=0x7766554433221100" : "=r"(r)); return r + 1; }\nasm(".text\\n.globl g\\n.type g,%function\\ng: adr x1, 1f\\nldr w0,[x1,w0,sxtw 2]\\nret\\n.size g,.-g\\n.balign 8\\n1: .word 1,2,3,4,5,6,7,8,9,${entry}");\n`;
const far = (number: number): string =>
  `int f(int a) { asm volatile("cbz %w0, 771f\\n772:\\n.subsection 1\\n771: add %w0,%w0,#${number}\\nb 772b\\n.previous" : "+r"(a)); return a; }\n`;

const ASSEMBLY: readonly Case[] = [
  {
    name: 'near miss: pools stay as they are while a function in front of them grows',
    base: pools('', '0x123456789abcdef0', '5'),
    next: pools(' * 7 + ext2(a)', '0x123456789abcdef0', '5'),
    changes: ['e changed'],
  },
  {
    name: 'a constant that assembly loads from its pool',
    base: pools('', '0x123456789abcdef0', '5'),
    next: pools('', '0x123456789abcdef1', '5'),
    changes: ['f changed'],
  },
  {
    name: 'the last entry of a table among the code',
    base: pools('', '0x123456789abcdef0', '5'),
    next: pools('', '0x123456789abcdef0', '6'),
    changes: ['g changed'],
  },
  { name: 'a subsection of the only function', base: far(3), next: far(4), changes: ['f changed'] },
];

const plain = (line: string) => line.replace(/^(\w+\.)?([A-Za-z_]\w*)(\.\d+)* /, '$2 ');

for (const { name: compiler, args } of COMPILERS) {
  for (const way of WAYS) {
    const options = way.filter((arg) => !SECTIONS.includes(arg)).join(' ');
    const sections = way.includes(SECTIONS[0]!) ? '' : ', one section';
    for (const one of [...CASES, ...ASSEMBLY]) {
      const title = `${one.name} [${compiler} ${options}${sections}]`;
      test(title, { skip: !hasTool(compiler) && `${compiler} is not installed` }, async () => {
        const { load, compare } = await createAnalyser();
        const object = (text: string) => {
          const read = load(compile(text, { compiler, args: [...args, ...way, '-w'] }));
          assert.ok(read.object, JSON.stringify(read.problems));
          assert.equal(read.object.elf.machine, AARCH64);
          return read.object;
        };
        const [base, next] = [object(one.base), object(one.next)];
        const provenance = { unit: 'unit.c', baseCommand: [], nextCommand: [], compiler, baseline: 'test' };
        const edits = one.edits ? editsBetween(one.base, one.next) : undefined;
        const { diff } = compare(base, next, provenance, edits, ['linux']);
        assert.deepEqual(summary(diff).map(plain).sort(), [...one.changes].sort());
        assert.deepEqual(diff.problems, []);
        if (one.types)
          assert.deepEqual(
            diff.types.map(
              ({ label, members }) => `${label}: ${members.map(({ what, path }) => `${what} ${path}`).join(', ')}`,
            ),
            one.types,
          );
        for (const { base: from, next: to } of diff.functions) {
          for (const [side, body] of [[base, from] as const, [next, to] as const]) {
            if (!body) continue;
            const rows = listFunction(side, body);
            assert.ok(rows.length >= 2);
            for (const { mnemonic, bytes } of rows) {
              assert.equal(bytes.length, 4);
              assert.match(mnemonic, /^[a-z][a-z0-9.]*$/);
            }
          }
        }
      });
    }
  }
}
