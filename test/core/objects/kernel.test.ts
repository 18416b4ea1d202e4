import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAnalyser } from '../../../server/src/analyse.ts';
import { CASE_COMPILERS, compile, hasTool } from '../../support/cc.ts';
import { summary } from '../diff/support.ts';

// What kernel builds add to every function (hooks for tracing, marks for branch tracking, unwind data, paravirt calls, descriptions of messages):
// by itself it is no change; a change beside it is seen.
const KERNEL = [
  '-O2',
  '-g',
  '-fno-pic',
  '-mcmodel=kernel',
  '-mno-red-zone',
  '-ffunction-sections',
  '-fdata-sections',
  '-w',
];

const analyser = createAnalyser();

interface Flavour {
  readonly name: string;
  readonly args: readonly string[];
  readonly only?: RegExp;
  /** A section that must be there, or the flavour says nothing. */
  readonly section?: string;
}

const FLAVOURS: readonly Flavour[] = [
  {
    name: 'fentry, recorded in __mcount_loc',
    args: ['-pg', '-mfentry', '-mrecord-mcount'],
    only: /^gcc/,
    section: '__mcount_loc',
  },
  { name: 'mcount', args: ['-pg'] },
  {
    name: 'patchable entries',
    args: ['-fpatchable-function-entry=5,0'],
    section: '__patchable_function_entries',
  },
  { name: 'patchable entries in front of the function', args: ['-fpatchable-function-entry=16,11'] },
  { name: 'endbr64 at entries', args: ['-fcf-protection=branch'] },
  {
    name: 'kCFI: a type in front of each function',
    args: ['-fsanitize=kcfi'],
    only: /^clang-1[6-9]/,
    section: '.kcfi_traps',
  },
  { name: 'retpolines', args: ['-mindirect-branch=thunk-extern', '-mindirect-branch-register'], only: /^gcc/ },
  { name: 'return thunks', args: ['-mfunction-return=thunk-extern'], only: /^(gcc|clang-1[5-9])/ },
  { name: 'straight-line speculation', args: ['-mharden-sls=all'], only: /^(gcc-1[2-9]|clang-1[5-9])/ },
  {
    name: 'stack protector',
    args: [
      '-fstack-protector-strong',
      '-mstack-protector-guard-reg=gs',
      '-mstack-protector-guard-symbol=__stack_chk_guard',
    ],
    only: /^gcc|clang-1[6-9]/,
  },
];

const source = (constant: number, callee: string, before = '') => `
void use(void *); int ext(int); int ext2(int); int (*hook)(int); struct s { int a, b; };
${before}
static int table_get(int i) { static int calls; return ext(i) + calls++; }
int f(struct s *p, int a) { if (hook) a += hook(p->a); return ${callee}(a) + ${constant}; }
int g(int a) { char text[40]; use(text); return ext2(a) * 3 + table_get(a); }
int (*exported)(int) = g;
`;

async function compareSources(base: string, next: string, compiler: string, args: readonly string[]) {
  const { load, compare } = await analyser;
  const side = (text: string) => {
    const { object, problems } = load(compile(text, { compiler, args }));
    assert.ok(object, JSON.stringify(problems));
    return object;
  };
  const provenance = { unit: 'unit.c', baseCommand: [], nextCommand: [], compiler, baseline: 'test' };
  return compare(side(base), side(next), provenance, undefined, ['linux']);
}

for (const flavour of FLAVOURS) {
  for (const compiler of CASE_COMPILERS) {
    if (flavour.only && !flavour.only.test(compiler)) continue;
    test(`${flavour.name} [${compiler}]`, { skip: !hasTool(compiler) && `${compiler} is not installed` }, async () => {
      const args = [...KERNEL, ...flavour.args];
      const changes = async (base: string, next: string) => {
        const { diff, pair } = await compareSources(base, next, compiler, args);
        if (flavour.section)
          assert.ok(pair.base.elf.sectionsNamed(flavour.section).length > 0, `no ${flavour.section} was made`);
        assert.deepEqual(diff.problems, []);
        return summary(diff);
      };
      const base = source(1, 'ext');
      // As it was, with lines more; a function more in front.
      assert.deepEqual(await changes(base, `\n\n\n${base}`), []);
      assert.deepEqual(await changes(base, source(1, 'ext', 'int early(int a) { return ext(a) ^ 9; }')), ['early new']);
      // A constant, a callee, a field: beside all of that.
      assert.deepEqual(await changes(base, source(300, 'ext')), ['f changed']);
      assert.deepEqual(await changes(base, source(1, 'ext2')), ['f changed']);
      assert.deepEqual(await changes(base, base.replace('p->a', 'p->b')), ['f changed']);
      if (flavour.name.startsWith('kCFI'))
        assert.deepEqual(
          await changes(base, base.replace('int f(struct s *p, int a)', 'int f(struct s *p, unsigned a)')),
          ['f changed'],
        );
    });
  }
}

/** Linux's macros that put tables beside the code, by the layouts of 5.15 to 6.x. */
const TABLES = `
int ext(int); int ext2(int); int printk(const char *, ...);
struct pv { int (*op)(int); int (*op2)(int); } extern pv_ops;
#define PV(type, op) ({ int r_; asm volatile("771: call *%c1\\n772:\\n.pushsection .parainstructions,\\"a\\"\\n.balign 8\\n.quad 771b\\n.byte " #type "\\n.byte 772b-771b\\n.balign 8\\n.popsection" : "=a"(r_) : "i"(&pv_ops.op) : "memory", "rdi", "rsi", "rdx", "rcx", "r8", "r9", "r10", "r11"); r_; })
struct pi_entry { const char *fmt, *func, *file; unsigned line; };
#define printk_indexed(text, ...) ({ static const struct pi_entry entry_ __attribute__((used)) = { text, __func__, __FILE__, __LINE__ }; static const struct pi_entry *ptr_ __attribute__((section(".printk_index"), used)) = &entry_; printk(text, ##__VA_ARGS__); })
struct _ddebug { const char *modname, *function, *filename, *format; unsigned lineno : 18; unsigned flags : 8; } __attribute__((aligned(8)));
#define pr_debug(text, ...) ({ static struct _ddebug d_ __attribute__((section("__dyndbg"), used)) = { "unit", __func__, __FILE__, text, __LINE__, 0 }; if (d_.flags & 1) dynamic_pr_debug(&d_, text, ##__VA_ARGS__); })
void dynamic_pr_debug(struct _ddebug *, const char *, ...);
#define ENDBR_SEAL(fn) asm(".pushsection .ibt_endbr_seal,\\"a\\"\\n.long " #fn "-.\\n.popsection")
#define ORC asm volatile("1:\\n.pushsection .orc_unwind_ip,\\"a\\"\\n.long 1b-.\\n.popsection\\n.pushsection .orc_unwind,\\"a\\"\\n.byte 8,0,0,0,5,0\\n.popsection")
`;

interface TableCase {
  readonly name: string;
  readonly base: string;
  readonly next: string;
  readonly changes: readonly string[];
  readonly special?: readonly string[];
}

const TABLE_CASES: readonly TableCase[] = [
  {
    name: 'paravirt calls: the same at other places',
    base: 'int f(int a) { return PV(4, op) + a; }\nint g(int a) { return PV(5, op2) * a; }\n',
    next: 'int g(int a) { return PV(5, op2) * a; }\nint f(int a) { return PV(4, op) + a; }\n',
    changes: [],
  },
  {
    name: 'paravirt calls: another type in the table alone',
    base: 'int f(int a) { return PV(4, op) + a; }\n',
    next: 'int f(int a) { return PV(9, op) + a; }\n',
    changes: ['f changed'],
    special: ['f .parainstructions'],
  },
  {
    name: 'paravirt calls: another operation',
    base: 'int f(int a) { return PV(4, op) + a; }\n',
    next: 'int f(int a) { return PV(4, op2) + a; }\n',
    changes: ['f changed'],
  },
  {
    name: 'printk index: lines moved',
    base: 'int f(int a) { printk_indexed("a is %d", a); return ext(a); }\n',
    next: '\n\n\nint f(int a) { printk_indexed("a is %d", a); return ext(a); }\n',
    changes: [],
  },
  {
    name: 'printk index: another text',
    base: 'int f(int a) { printk_indexed("a is %d", a); return ext(a); }\nint g(int a) { printk_indexed("g %d", a); return a; }\n',
    next: 'int f(int a) { printk_indexed("a was %d", a); return ext(a); }\nint g(int a) { printk_indexed("g %d", a); return a; }\n',
    changes: ['f changed'],
  },
  {
    name: 'dynamic debug: lines moved',
    base: 'int f(int a) { pr_debug("a is %d", a); return ext(a); }\n',
    next: '\n\n\nint f(int a) { pr_debug("a is %d", a); return ext(a); }\n',
    changes: [],
  },
  {
    name: 'dynamic debug: another callee beside it',
    base: 'int f(int a) { pr_debug("a is %d", a); return ext(a); }\n',
    next: '\n\n\nint f(int a) { pr_debug("a is %d", a); return ext2(a); }\n',
    changes: ['f changed'],
  },
  {
    name: 'IBT seals and ORC: lists that tools derive',
    base: 'int f(int a) { ORC; return ext(a); }\nint g(int a) { return ext2(a); }\nENDBR_SEAL(f);\n',
    next: 'int g(int a) { return ext2(a); }\nint f(int a) { ORC; return ext(a); }\nENDBR_SEAL(f);\nENDBR_SEAL(g);\n',
    changes: [],
  },
  {
    name: 'IBT seals and ORC: a constant in the function',
    base: 'int f(int a) { ORC; return ext(a); }\nENDBR_SEAL(f);\n',
    next: 'int f(int a) { ORC; return ext(a) + 300; }\nENDBR_SEAL(f);\n',
    changes: ['f changed'],
  },
];

for (const one of TABLE_CASES) {
  for (const compiler of CASE_COMPILERS) {
    test(`${one.name} [${compiler}]`, { skip: !hasTool(compiler) && `${compiler} is not installed` }, async () => {
      const { diff } = await compareSources(TABLES + one.base, TABLES + one.next, compiler, KERNEL);
      const found = summary(diff);
      assert.deepEqual(found, one.changes);
      assert.deepEqual(
        diff.special.flatMap(({ function: name, differences }) =>
          differences.map(({ section }) => `${name} ${section}`),
        ),
        one.special ?? [],
      );
    });
  }
}
