import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAnalyser } from '../../../server/src/analyse.ts';
import { CASE_COMPILERS, compile, hasTool } from '../../support/cc.ts';
import { editsBetween, summary } from '../diff/support.ts';

// Statics, code out of line, names and sections that macros of kernels make: one more use of a macro is that use and nothing else, whatever it renumbers and moves.
// kpatch and klp-build have lists and exceptions for each of these.
const ARGS = [
  '-O2',
  '-g',
  '-fno-pic',
  '-mcmodel=kernel',
  '-fcf-protection=branch',
  '-ffunction-sections',
  '-fdata-sections',
  '-w',
];

const HEAD = `
#define N __attribute__((noinline))
struct s { int a, b; }; int ext(int); int ext2(int); int printk(const char *, ...); void use(const void *); void warn(const char *, ...);
struct class_key { char k[16]; }; struct mutex { long x[4]; }; void mutex_setup(struct mutex *, const char *, struct class_key *);
#define mutex_init(m) do { static struct class_key __key; mutex_setup((m), #m, &__key); } while (0)
#define BUG_ENTRY() asm volatile("1: ud2\\n.pushsection __bug_table,\\"aw\\"\\n2: .long 1b-.\\n.long %c0-.\\n.word %c1\\n.word 9\\n.org 2b+12\\n.popsection" : : "i"(__FILE__), "i"(__LINE__))
#define WARN_ONCE(c, text) do { static _Bool __attribute__((section(".data.once"))) __already_done; if (__builtin_expect((c) && !__already_done, 0)) { __already_done = 1; warn(text); BUG_ENTRY(); } } while (0)
struct limit { int lock, interval, burst; const char *name; }; int allowed(struct limit *, const char *);
#define limited(text, a) do { static struct limit _rs = { 0, 5000, 10, "_rs.lock" }; if (allowed(&_rs, __func__)) printk(text, a); } while (0)
struct branch { const char *func, *file; unsigned line; long hits; }; struct likely { struct branch data; long constant; }; void count_branch(struct likely *, int);
#define likely(x) ({ static struct likely __attribute__((aligned(4), section("_ftrace_annotated_branch"))) ______f = { { __func__, __FILE__, __LINE__ } }; int r_ = !!(x); count_branch(&______f, r_); r_; })
struct tag { unsigned flags, lineno; const char *modname, *function, *filename; }; struct alloc_tag { struct tag ct; long count; } __attribute__((aligned(8))); void *alloc(struct alloc_tag *, int);
#define kmalloc(n) ({ static struct alloc_tag _alloc_tag __attribute__((used, section("alloc_tags"))) = { { 0, __LINE__, "unit", __func__, __FILE__ } }; alloc(&_alloc_tag, (n)); })
extern char caps[32];
#define HAS(bit) ({ __label__ no, yes; int h_ = 1; asm goto("661: jmp 6f\\n662:\\n.pushsection .altinstructions,\\"a\\"\\n.long 661b-.\\n.long 663f-.\\n.4byte 0x75\\n.byte 662b-661b\\n.byte 664f-663f\\n.popsection\\n.pushsection .altinstr_replacement,\\"ax\\"\\n663: jmp %l[no]\\n664:\\n.popsection\\n.pushsection .altinstr_aux,\\"ax\\"\\n6: testb %[m],%[w]\\njnz %l[yes]\\njmp %l[no]\\n.popsection" : : [m] "i"(1 << ((bit) & 7)), [w] "m"(caps[(bit) >> 3]) : : yes, no); no: h_ = 0; yes: h_; })
#define PREFIXED(n, body) asm(".section .text." #n ",\\"ax\\"\\n.globl __pfx_" #n "\\n.type __pfx_" #n ",@function\\n__pfx_" #n ": .nops 16\\n.size __pfx_" #n ",16\\n.globl " #n "\\n.type " #n ",@function\\n" #n ": " body "\\nret\\n.size " #n ",.-" #n "\\n.previous")
`;

interface Case {
  readonly name: string;
  readonly base: string;
  readonly next: string;
  /** As `summary` says it, without the compiler's numbers and clang's function in front of a static. */
  readonly changes: readonly string[];
  /** Findings besides those about the flags that these sources were compiled with. */
  readonly codes?: readonly string[];
  readonly only?: RegExp;
}

const once = (text: string) => `\n  WARN_ONCE(a > ${text.length + 70}, "${text}");`;
const warned = (...texts: string[]) => `int f(int a)\n{${texts.map(once).join('')}\n  return ext(a);\n}\n`;
const likelies = (above: string, bound = 5) =>
  `${above}int f(int a)\n{\n  if (likely(a > 3))\n    a += ext(a);\n\n  if (likely(a < ${bound}))\n    a -= ext2(a);\n\n  if (likely(a != 9))\n    a ^= ext(3);\n  return a;\n}\n`;
const allocated = (above: string, size = 'n + 8') =>
  `${above}void *f(int n)\n{\n  use(kmalloc(n));\n  return kmalloc(${size});\n}\nvoid *g(int n) { return kmalloc(n * 8); }\n`;
const has = (bit: number, constant = 1) =>
  `int f(int a) { if (HAS(${bit})) return ext(a); return ext2(a) + ${constant}; }\n`;
const pair = (body: string, more = '') =>
  `PREFIXED(f, "mov $1,%eax; call ${body}");\nPREFIXED(g, "mov $2,%eax; call ext");\n${more}`;
const promoted = (hash: number, add: number) =>
  `int helper(int) asm("helper.llvm.${hash}"); N int helper(int a) { return ext(a) + ${add}; }\nint cell asm("cell.llvm.${hash}") = 3;\nint f(int a) { return helper(a) + cell++; }\n`;
const placed = (section: string) =>
  `static ${section && `__attribute__((section("${section}"))) `}int v = 3;\nint f(int a) { return v += ext(a); }\n`;
const tables = (more: string) =>
  `__attribute__((section(".init.text"))) int f(int a) { if (a > 3) BUG_ENTRY(); return ext(a); }\nconst char *const names[] = { "one", "two", "three" };\nconst char *const *g(int i) { return names + i; }\n${more}`;

const CASES: readonly Case[] = [
  {
    name: 'WARN_ONCE: one more in front of one',
    base: warned('old'),
    next: warned('newer', 'old'),
    changes: ['__already_done new', 'f changed'],
  },
  {
    name: 'WARN_ONCE: one more in front of two',
    base: warned('old', 'older'),
    next: warned('new', 'old', 'older'),
    changes: ['__already_done new', 'f changed'],
  },
  {
    name: 'WARN_ONCE: one of two less',
    base: warned('old', 'older'),
    next: warned('older'),
    changes: ['__already_done removed', 'f changed'],
  },
  {
    name: 'mutex_init: one more class of locks in front',
    base: 'void f(struct mutex *m, struct mutex *n)\n{\n  mutex_init(m);\n  mutex_init(n);\n}\nvoid g(struct mutex *m) { mutex_init(m); }\n',
    next: 'void f(struct mutex *m, struct mutex *n)\n{\n  mutex_init(m + 1);\n  mutex_init(m);\n  mutex_init(n);\n}\nvoid g(struct mutex *m) { mutex_init(m); }\n',
    changes: ['__key new', 'f changed'],
  },
  {
    name: 'messages with a limited rate: one more in front',
    base: 'void f(int a) { limited("a %d", a); }\nvoid g(int a) { limited("a %d", a); }\n',
    next: 'void f(int a) { limited("b %d", a); limited("a %d", a); }\nvoid g(int a) { limited("a %d", a); }\n',
    changes: ['_rs new', 'f changed'],
  },
  {
    name: 'variables of a person, of one name, in two blocks: which is which cannot be told',
    base: 'int f(int a) { if (a) { static int descriptor; return descriptor += ext(a); } else { static int descriptor; return descriptor -= ext(a); } }\n',
    next: 'int f(int a) { if (a == 7) { static int descriptor; return descriptor ^= ext(a); } if (a) { static int descriptor; return descriptor += ext(a); } else { static int descriptor; return descriptor -= ext(a); } }\n',
    changes: ['descriptor new', 'f changed'],
    codes: ['static-local-ambiguous', 'static-local-new'],
  },
  {
    name: 'profiled branches: other lines, three of them as far apart as the lines moved',
    base: likelies(''),
    next: likelies('\n\n\n'),
    changes: [],
  },
  {
    name: 'profiled branches: a constant beside them',
    base: likelies(''),
    next: likelies('\n\n\n', 6),
    changes: ['f changed'],
  },
  { name: 'tags of allocations: other lines', base: allocated(''), next: allocated('\n\n\n'), changes: [] },
  {
    name: 'tags of allocations: a constant beside them',
    base: allocated(''),
    next: allocated('\n\n\n', 'n + 9'),
    changes: ['f changed'],
  },
  {
    name: 'tags of allocations: another member',
    base: allocated('').replace(
      'void *f',
      '#undef kmalloc\n#define kmalloc(n) ({ static struct alloc_tag _alloc_tag __attribute__((used, section("alloc_tags"))) = { { 0, __LINE__, "unit", __func__, __FILE__ } }; alloc(&_alloc_tag, (n)); })\nvoid *f',
    ),
    next: allocated('').replace(
      'void *f',
      '#undef kmalloc\n#define kmalloc(n) ({ static struct alloc_tag _alloc_tag __attribute__((used, section("alloc_tags"))) = { { 4, __LINE__, "unit", __func__, __FILE__ } }; alloc(&_alloc_tag, (n)); })\nvoid *f',
    ),
    changes: ['_alloc_tag changed contents'],
    codes: ['data-init-changed'],
  },
  {
    name: 'a number beside the name of the file that is not its line',
    base: 'struct at { const char *file; int line; }; int f(void) { static struct at at = { __FILE__, 1000 }; use(&at); return 0; }\n',
    next: 'struct at { const char *file; int line; }; int f(void) { static struct at at = { __FILE__, 1001 }; use(&at); return 0; }\n',
    changes: ['at changed contents'],
    codes: ['data-init-changed'],
  },
  {
    name: 'its line without the name of a file beside it may mean anything',
    base: 'struct at { const char *what; int line; }; int f(void) { static struct at at = { "x", __LINE__ }; use(&at); return 0; }\n',
    next: '\nstruct at { const char *what; int line; }; int f(void) { static struct at at = { "x", __LINE__ }; use(&at); return 0; }\n',
    changes: ['at changed contents'],
    codes: ['data-init-changed'],
  },
  {
    name: 'code out of line that the code jumps to: one more in front',
    base: has(9),
    next: `int e(int a) { if (HAS(4)) return ext(a) + 5; return ext2(a); }\n${has(9)}`,
    changes: ['e new'],
  },
  {
    name: 'code out of line that the code jumps to: it tests another bit',
    base: `int e(int a) { if (HAS(4)) return ext(a) + 5; return ext2(a); }\n${has(9)}`,
    next: `int e(int a) { if (HAS(4)) return ext(a) + 5; return ext2(a); }\n${has(10)}`,
    changes: ['f changed'],
  },
  {
    name: 'code out of line that the code jumps to: another byte',
    base: has(9),
    next: has(17),
    changes: ['f changed'],
  },
  {
    name: 'prefixes of patchable entries: parts of their functions',
    base: pair('ext'),
    next: pair('ext2', 'PREFIXED(h, "mov $3,%eax; call ext");\n'),
    changes: ['f changed', 'h new'],
    codes: ['config-unsupported'],
  },
  {
    name: 'statics that ThinLTO makes global: another hash',
    base: promoted(123456, 1),
    next: promoted(987654, 1),
    changes: [],
  },
  {
    name: 'statics that ThinLTO makes global: a change beside another hash',
    base: promoted(123456, 1),
    next: promoted(987654, 90),
    changes: ['helper.llvm changed'],
  },
  {
    name: 'a section given in the source: memory that is not written once the kernel runs',
    base: placed('.data..ro_after_init'),
    next: placed(''),
    changes: ['v changed section'],
    codes: ['data-section-moved'],
  },
  {
    name: 'a section given in the source: memory that is mostly read',
    base: placed(''),
    next: placed('.data..read_mostly'),
    changes: ['v changed section'],
    codes: ['data-section-moved'],
  },
  {
    name: 'strings of a table behind the label that a bug table keeps of the first string: one more among them',
    base: tables(''),
    next: tables('const char *early = "early";\n'),
    changes: ['early new'],
  },
  {
    name: 'a constant text with a name becomes a literal of the same bytes, as clang makes one of both',
    base: 'static const char name[] = "signal";\nconst char *table[] = { name, "other" };\n',
    next: 'const char *table[] = { "signal", "other" };\n',
    changes: ['name removed'],
  },
  {
    name: 'a constant text with a name becomes a literal: another byte, and one more',
    base: 'static const char name[] = "signal";\nconst char *table[] = { name, "other" };\nconst char **f(void) { return table; }\n',
    next: 'const char *table[] = { "signaL", "other" };\nconst char **f(void) { return table; }\n',
    changes: ['name removed', 'table changed references'],
    codes: ['data-init-changed'],
  },
  {
    name: 'a literal gets a name and a longer text',
    base: 'const char *table[] = { "signal", "other" };\n',
    next: 'static const char name[] = "signals";\nconst char *table[] = { name, "other" };\n',
    changes: ['name new', 'table changed references'],
    codes: ['data-init-changed'],
  },
];

const analyser = createAnalyser();
const plain = (line: string) => line.replace(/\.\d+(?=[ .])/g, '').replace(/^[a-z]\w*\.(?!cold|part|llvm)(?=\w)/, '');
/** What the flags above bring along: no hooks at the entries, and where the compiler did not write unwind data. */
const OF_FLAGS = new Set(['not-traceable', 'unwind-missing', 'static-local-new', 'static-local-removed', 'new-global']);

for (const one of CASES) {
  for (const compiler of CASE_COMPILERS) {
    if (one.only && !one.only.test(compiler)) continue;
    test(`${one.name} [${compiler}]`, { skip: !hasTool(compiler) && `${compiler} is not installed` }, async () => {
      const { load, compare } = await analyser;
      const object = (text: string) => {
        const read = load(compile(HEAD + text, { compiler, args: ARGS }));
        assert.ok(read.object, JSON.stringify(read.problems));
        return read.object;
      };
      const provenance = { unit: 'unit.c', baseCommand: [], nextCommand: [], compiler, baseline: 'test' };
      const [base, next] = [object(one.base), object(one.next)];
      for (const edits of [undefined, editsBetween(HEAD + one.base, HEAD + one.next)]) {
        const { diff, findings } = compare(base, next, provenance, edits, ['linux']);
        assert.deepEqual([...new Set(summary(diff).map(plain))].sort(), [...one.changes].sort());
        const wanted = new Set(one.codes ?? []);
        const codes = new Set(findings.map(({ code }) => code));
        for (const code of codes) assert.ok(wanted.has(code) || OF_FLAGS.has(code), `${code} is not expected`);
        for (const code of wanted) if (code !== 'config-unsupported') assert.ok(codes.has(code), `${code} is missing`);
        if (!wanted.has('static-local-ambiguous')) assert.deepEqual(diff.problems, []);
      }
    });
  }
}
