import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CASE_COMPILERS, hasTool } from '../../support/cc.ts';
import { diffSources, summary } from './support.ts';

const PIE = ['-O2', '-g', '-ffunction-sections', '-fdata-sections', '-fPIE'];
const FIXED = ['-O2', '-g', '-ffunction-sections', '-fdata-sections', '-fno-pie', '-fno-pic'];

/** Registers a test for each compiler, with and without position-independent code. */
function pair(title: string, base: string, next: string, changes: readonly string[]): void {
  for (const compiler of CASE_COMPILERS) {
    for (const [how, args] of [
      ['PIE', PIE],
      ['fixed', FIXED],
    ] as const) {
      test(`${title} [${compiler} ${how}]`, {
        skip: !hasTool(compiler) && `${compiler} is not installed`,
      }, async () => {
        assert.deepEqual(summary(await diffSources(base, next, { compiler, args })), changes);
      });
    }
  }
}

/** The same for assembly. */
function assembly(title: string, base: string, next: string, changes: readonly string[]): void {
  test(title, async () => {
    assert.deepEqual(summary(await diffSources(base, next, { name: 'unit.s' })), changes);
  });
}

const OPS = (wr: string, before = '') => `struct ops { int (*rd)(int); int (*wr)(int); };
static int rd_a(int x) { return x + 1; }
static int wr_a(int x) { return x * 3; }
static int wr_b(int x) { return x * 5; }
${before}int (*pick(int n))(int) { return n ? wr_a : wr_b; }
void init(struct ops *o) { o->rd = rd_a; o->wr = ${wr}; }
`;
const NEW = 'void early(struct ops *o) { o->rd = wr_b; o->wr = rd_a; }\n';

pair('two function pointers stored at once', OPS('wr_a'), OPS('wr_b'), ['init changed']);
pair('the same, with a new user of such a constant in front', OPS('wr_a'), OPS('wr_a', NEW), ['early new']);

const STORES = (section: string, wr: string, front = '') => `
  .text
  .globl wr_a, wr_b
  .type wr_a, @function
wr_a: lea (%rdi,%rdi,2),%eax
  ret
  .size wr_a, .-wr_a
  .type wr_b, @function
wr_b: lea (%rdi,%rdi,4),%eax
  ret
  .size wr_b, .-wr_b
  .section .text.init,"ax"
  .globl init
  .type init, @function
init: movq .LC0(%rip),%xmm0
  movq %xmm0,(%rdi)
  ret
  .size init, .-init
  .section ${section}
${front}.LC0: .quad ${wr}
`;
const NAMED = `  .type ops, @object
  .size ops, 8
ops: .quad wr_a
`;

for (const section of [
  '.data.rel.ro.local,"aw"',
  '.data.rel.ro,"aw"',
  '.rodata.cst8,"aM",@progbits,8',
  '.rodata,"a"',
]) {
  assembly(`a pointer in a nameless constant of ${section}`, STORES(section, 'wr_a'), STORES(section, 'wr_b'), [
    'init changed',
  ]);
  assembly(
    `the same behind a named one of ${section}`,
    STORES(section, 'wr_a', NAMED),
    STORES(section, 'wr_b', NAMED),
    ['init changed'],
  );
}

// The second half is of no use to anybody: what the constant leads to is the same.
const LOOP = (mark: number) => `
  .section .text.f,"ax"
  .globl f
  .type f, @function
f: movq .LC0(%rip),%rax
  ret
  .size f, .-f
  .section .rodata.cst8,"aM",@progbits,8
.LC0: .quad .LC1
.LC1: .quad .LC0
  .quad ${mark}
`;
assembly('constants that point to each other', LOOP(1), LOOP(2), []);

const ARMS = (last: string) => `int ext(int); int ext2(int);
int f(int x, int y) {
  switch (x) {
  case 0: return ext(y) + 1;
  case 1: return ext2(y + 2);
  case 2: return ext(y * 3) - 4;
  case 3: return ext2(y) * 5;
  case 4: return ext(y ^ 6);
  case 5: return ext2(y << 2) + ext(y);
  case 6: ${last}return ext(7) - y;
  default: __builtin_unreachable();
  }
}
`;
pair('one more entry at the end of a jump table', ARMS(''), ARMS('case 7: '), ['f changed']);

const NAMES = (more: string) => `const char *f(unsigned i) {
  const char *const t[] = { "alpha", "beta", "gamma", "delta"${more} };
  return t[i];
}
`;
test('one more entry at the end of a table of texts without a name', async () => {
  for (const compiler of CASE_COMPILERS.filter(hasTool)) {
    const options = { compiler, args: FIXED };
    assert.deepEqual(
      (await diffSources(NAMES(''), NAMES(', "epsilon"'), options)).functions.map(({ name }) => name),
      ['f'],
      compiler,
    );
  }
});

const BEHIND = (front: string) =>
  `${ARMS('')}${front}${ARMS('').replace('int ext(int); int ext2(int);', '').replace('int f(', 'int g(')}${NAMES('').replace('f(', 'h(')}`;
pair('tables behind a new one', BEHIND(''), BEHIND(NAMES(', "zeta"').replace('f(', 'n(')), ['n new']);

const ENDS = (front: string, section: string) => `
  .section .text.f,"ax"
  .globl f
  .type f, @function
f: lea .Lend(%rip),%rax
  lea .Lstart-8(%rip),%rdx
  ret
  .size f, .-f
  .section ${section}
  .balign 8
.Lstart:
  .type first, @object
  .size first, 8
first: .quad f
${front}
  .type last, @object
  .size last, 8
last: .quad f
.Lend:
`;
const MIDDLE = '  .type middle, @object\n  .size middle, 8\nmiddle: .quad f\n';
assembly(
  'pointers before and behind arrays of relocated constants are still theirs',
  ENDS('', '.data.rel.ro.local,"aw"'),
  ENDS(MIDDLE, '.data.rel.ro.local,"aw"'),
  ['middle new'],
);
assembly(
  'and are others where such an array grew',
  ENDS(MIDDLE, '.data.rel.ro.local,"aw"'),
  ENDS(MIDDLE, '.data.rel.ro.local,"aw"').replace('last, 8', 'last, 16').replace('last: .quad f', 'last: .quad f, f'),
  ['f changed', 'last changed size'],
);
