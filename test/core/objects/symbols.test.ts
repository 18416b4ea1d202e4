import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CASE_COMPILERS, type CompileOptions, compile, hasTool } from '../../support/cc.ts';
import { diffLoaded, load, summary } from '../diff/support.ts';
import { merged } from './merged.ts';

// How objects name code and data: what the comparison says must not depend on the way that compiler and linker chose.
const SECTIONS = ['-ffunction-sections', '-fdata-sections'];
const WAYS: readonly (readonly string[])[] = [
  ['-O2', '-g', ...SECTIONS],
  ['-O2', '-g', '-fno-pic', '-mcmodel=kernel', ...SECTIONS],
  ['-O2', '-g', '-fPIC'],
];

type Sources = string | Readonly<Record<string, string>>;
interface Case {
  readonly name: string;
  readonly base: Sources;
  readonly next: Sources;
  /** As `summary` says it, with the numbers that compilers give left out. */
  readonly changes: readonly string[];
  readonly extra?: readonly string[];
  /** Options of the next side only: the same code, referred to in another way. */
  readonly nextArgs?: readonly string[];
  readonly only?: RegExp;
}

const N = '__attribute__((noinline))';
const DECLS = 'int ext(int); int ext2(int); void use(const void *); int puts(const char *);\n';

const CASES: readonly Case[] = [
  {
    name: 'COMDAT groups: the same function in a group of its own',
    base: `asm(".section .text.shared,\\"axG\\",@progbits,shared,comdat\\n.weak shared\\n.type shared,@function\\nshared: mov $1,%eax\\nret\\n.size shared,.-shared\\n.previous");\nint shared(void); int f(int a) { return shared() + a; }\n`,
    next: `asm(".section .text.shared,\\"axG\\",@progbits,shared,comdat\\n.weak shared\\n.type shared,@function\\nshared: mov $1,%eax\\nret\\n.size shared,.-shared\\n.previous");\nint shared(void); int f(int a) { return shared() + a + 7; }\n`,
    changes: ['f changed'],
  },
  {
    name: 'COMDAT groups: what is in the group changes',
    base: `asm(".section .text.shared,\\"axG\\",@progbits,shared,comdat\\n.weak shared\\n.type shared,@function\\nshared: mov $1,%eax\\nret\\n.size shared,.-shared\\n.previous");\nint shared(void); int f(int a) { return shared() + a; }\n`,
    next: `asm(".section .text.shared,\\"axG\\",@progbits,shared,comdat\\n.weak shared\\n.type shared,@function\\nshared: mov $2,%eax\\nret\\n.size shared,.-shared\\n.previous");\nint shared(void); int f(int a) { return shared() + a; }\n`,
    changes: ['shared changed'],
  },
  {
    name: 'two groups with sections of one name',
    base: `asm(".section .text.g,\\"axG\\",@progbits,one,comdat\\n.weak one\\n.type one,@function\\none: mov $1,%eax\\nret\\n.size one,.-one\\n.section .text.g,\\"axG\\",@progbits,two,comdat\\n.weak two\\n.type two,@function\\ntwo: mov $2,%eax\\nret\\n.size two,.-two\\n.previous");\n`,
    next: `asm(".section .text.g,\\"axG\\",@progbits,two,comdat\\n.weak two\\n.type two,@function\\ntwo: mov $3,%eax\\nret\\n.size two,.-two\\n.section .text.g,\\"axG\\",@progbits,one,comdat\\n.weak one\\n.type one,@function\\none: mov $1,%eax\\nret\\n.size one,.-one\\n.previous");\n`,
    changes: ['two changed'],
  },
  {
    name: 'ld -r: statics of one name in two files keep apart',
    base: {
      'one.c': `${DECLS}static int n = 1; static int ${N} h(int a) { return a + n++; }\nint one(int a) { return h(a) + ext(a); }\n`,
      'two.c': `${DECLS}static int n = 2; static int ${N} h(int a) { return a - n++; }\nint two(int a) { return h(a) + ext(a); }\n`,
    },
    next: {
      'one.c': `${DECLS}static int n = 1; static int ${N} h(int a) { return a + n++; }\nint one(int a) { return h(a) + ext(a); }\n`,
      'two.c': `${DECLS}static int n = 2; static int ${N} h(int a) { return a - n++ * 3; }\nint two(int a) { return h(a) + ext(a); }\n`,
    },
    changes: ['h changed'],
  },
  {
    name: 'ld -r: one more file in front of the others',
    base: {
      'b.c': `${DECLS}static int n = 1; int one(int a) { puts("one"); use(&n); return ext(a) + n; }\n`,
      'c.c': `${DECLS}static int n = 2; int two(int a) { puts("two"); use(&n); return ext(a) + n; }\n`,
    },
    next: {
      'a.c': `${DECLS}static int m = 7; int zero(int a) { puts("zero"); use(&m); return ext(a) + m; }\n`,
      'b.c': `${DECLS}static int n = 1; int one(int a) { puts("one"); use(&n); return ext(a) + n; }\n`,
      'c.c': `${DECLS}static int n = 2; int two(int a) { puts("two"); use(&n); return ext(a) + n; }\n`,
    },
    changes: ['m new', 'zero new'],
  },
  {
    name: 'a call and a jump to what is undefined, and then global here: PLT32 and PC32 mean the same',
    base: `asm(".text\\n.globl f\\n.type f,@function\\nf: call g@PLT\\nadd $1,%eax\\nret\\n.size f,.-f");\n`,
    next: `asm(".text\\n.globl f\\n.type f,@function\\nf: .byte 0xe8\\n.long g-.-4\\nadd $1,%eax\\nret\\n.size f,.-f");\n`,
    changes: [],
  },
  {
    name: 'PLT32 and PC32: another function all the same',
    base: `asm(".text\\n.globl f\\n.type f,@function\\nf: call g@PLT\\nadd $1,%eax\\nret\\n.size f,.-f");\n`,
    next: `asm(".text\\n.globl f\\n.type f,@function\\nf: .byte 0xe8\\n.long h-.-4\\nadd $1,%eax\\nret\\n.size f,.-f");\n`,
    changes: ['f changed'],
  },
  {
    name: 'a reference by the section and one by the symbol',
    base: `asm(".data\\n.long 5\\nv: .long 1\\n.type v,@object\\n.size v,4\\n.text\\n.globl f\\n.type f,@function\\nf: lea .data+4(%rip),%rax\\nret\\n.size f,.-f");\n`,
    next: `asm(".data\\n.long 5\\n.globl v\\nv: .long 1\\n.type v,@object\\n.size v,4\\n.text\\n.globl f\\n.type f,@function\\nf: lea v(%rip),%rax\\nret\\n.size f,.-f");\n`,
    changes: ['v changed scope'],
  },
  {
    name: 'zero addends: the first object of a section, and what lies in front of it',
    base: `${DECLS}static int first[4] = {1, 2, 3, 4}, second[4] = {5, 6, 7, 8};\nvoid f(void) { use(first); }\nint g(int i) { return first[i]++ + second[i]++; }\n`,
    next: `${DECLS}static int first[4] = {1, 2, 3, 4}, second[4] = {5, 6, 7, 8};\nvoid f(void) { use(second); }\nint g(int i) { return first[i]++ + second[i]++; }\n`,
    changes: ['f changed'],
  },
  {
    name: 'the end of a section: a loop up to the end of the last array',
    base: `${DECLS}static int t[4] = {1, 2, 3, 4};\nint f(void) { int s = 0; for (int *p = t; p != t + 4; p++) s += ext(*p); return s; }\nvoid g(int v) { t[1] = v; }\n`,
    next: `${DECLS}static int t[4] = {1, 2, 3, 4};\nint f(void) { int s = 0; for (int *p = t; p != t + 3; p++) s += ext(*p); return s; }\nvoid g(int v) { t[1] = v; }\n`,
    changes: ['f changed'],
  },
  {
    name: 'the end of a section: nothing changes when another array follows',
    base: `${DECLS}static int t[4] = {1, 2, 3, 4};\nint f(void) { int s = 0; for (int *p = t; p != t + 4; p++) s += ext(*p); return s; }\nvoid g(int v) { t[1] = v; }\n`,
    next: `${DECLS}static int t[4] = {1, 2, 3, 4}; static int more[2] = {9, 9};\nint f(void) { int s = 0; for (int *p = t; p != t + 4; p++) s += ext(*p); return s; }\nvoid g(int v) { t[1] = v; }\nint h(void) { return more[0]++; }\n`,
    changes: ['h new', 'more new'],
  },
  {
    name: 'weak references that nothing defines',
    base: `extern int hook(int) __attribute__((weak)); int f(int a) { return hook ? hook(a) : a; }\n`,
    next: `extern int hook(int) __attribute__((weak)); extern int hook2(int) __attribute__((weak)); int f(int a) { return hook2 ? hook2(a) : a; }\n`,
    changes: ['f changed'],
  },
  {
    name: 'common symbols: the same, and one that is used for another',
    base: 'int a1; int a2; int f(void) { return a1; } int g(void) { return a2; }\n',
    next: 'int a2; int a1; int f(void) { return a1; } int g(void) { return a1; }\n',
    changes: ['g changed'],
    extra: ['-fcommon'],
  },
  {
    name: 'an alias: called by either name it is one function',
    base: `${DECLS}int ${N} real(int a) { return ext(a) + 1; }\nextern int other(int) __attribute__((alias("real")));\nint f(int a) { return real(a) * 2; }\n`,
    next: `${DECLS}int ${N} real(int a) { return ext(a) + 1; }\nextern int other(int) __attribute__((alias("real")));\nint f(int a) { return other(a) * 2; }\n`,
    changes: [],
    // Interposed, the two names may come to mean two functions.
    only: /^(?!.*-fPIC)/,
  },
  {
    name: 'names without meaning: __func__, a switch table, a compound literal, long strings, renumbered',
    base: `${DECLS}struct p { int x, y; };\nvoid k(struct p *, const char *);\nint f(int a) { k(&(struct p){1, 2}, __func__); switch (a) { case 0: return 4; case 1: return 17; case 2: return 93; case 3: return 5; case 4: return 71; } return 0; }\n`,
    next: `${DECLS}struct p { int x, y; };\nvoid k(struct p *, const char *);\nint e(int a) { k(&(struct p){3, 4}, __func__); switch (a) { case 0: return 9; case 1: return 18; case 2: return 31; case 3: return 57; case 4: return 2; } return 0; }\nint f(int a) { k(&(struct p){1, 2}, __func__); switch (a) { case 0: return 4; case 1: return 17; case 2: return 93; case 3: return 5; case 4: return 71; } return 0; }\n`,
    changes: ['e new'],
  },
  {
    name: 'constant compound literals at file scope: one value',
    base: `struct p { int x, y; }; const struct p *const t[] = {&(const struct p){1, 2}, &(const struct p){3, 4}};\nint f(int i) { return t[i]->x; }\n`,
    next: `struct p { int x, y; }; const struct p *const t[] = {&(const struct p){1, 2}, &(const struct p){3, 5}};\nint f(int i) { return t[i]->x; }\n`,
    // The table is constant and used in this unit alone: its user brings the new one along.
    changes: ['f changed', 't changed references'],
  },
];

/** Names as in the source; nameless constants and cold parts go with what uses them. */
const plain = (line: string) => line.replace(/^(\w+\.)?([A-Za-z_]\w*)(\.\d+)* /, '$2 ');

function build(sources: Sources, options: CompileOptions): Uint8Array {
  return typeof sources === 'string' ? compile(sources, options) : merged(sources, options);
}

for (const compiler of CASE_COMPILERS) {
  for (const args of WAYS) {
    for (const one of CASES) {
      const title = `${one.name} [${compiler} ${args.filter((arg) => !SECTIONS.includes(arg)).join(' ')}]`;
      if (one.only && !one.only.test(title)) continue;
      test(title, { skip: !hasTool(compiler) && `${compiler} is not installed` }, async () => {
        const options = { compiler, args, extra: ['-w', ...(one.extra ?? [])] };
        const diff = diffLoaded(await load(build(one.base, options)), await load(build(one.next, options)));
        const found = summary(diff).filter((line) => !/^(\w+\.cold|__compound_literal|\.compoundliteral)/.test(line));
        assert.deepEqual(found.map(plain).sort(), [...one.changes].sort());
        assert.deepEqual(diff.problems, []);
      });
    }
  }
}
