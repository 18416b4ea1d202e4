import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { listFunction } from '../../../server/src/core/asm/listing.ts';
import { AARCH64, X86_64 } from '../../../server/src/core/asm/machine.ts';
import { hoverInstruction, instructionWords } from '../../../server/src/core/render/instruction.ts';
import { type CompileOptions, hasTool } from '../../support/cc.ts';
import { objectOf } from '../diff/support.ts';

test('what frequent instructions do', () => {
  assert.match(instructionWords('mov') ?? '', /copies/);
  assert.match(instructionWords('lea') ?? '', /address/);
  assert.match(instructionWords('jne') ?? '', /not equal/);
  assert.match(instructionWords('jb') ?? '', /without sign/);
  assert.match(instructionWords('jl') ?? '', /with sign/);
  assert.match(instructionWords('cmovle') ?? '', /condition/);
  assert.match(instructionWords('lock cmpxchg') ?? '', /expected/);
  assert.match(instructionWords('bl', AARCH64) ?? '', /calls/);
  assert.match(instructionWords('b.ne', AARCH64) ?? '', /not equal/);
  assert.match(instructionWords('blr', AARCH64) ?? '', /calls/);
  assert.equal(instructionWords('vfmaddsubwhatever'), undefined);
});

test('what an instruction does to more than its operands', () => {
  const words = (mnemonic: string): string => instructionWords(mnemonic, X86_64) ?? '';
  assert.match(words('bt'), /^copies one bit into the carry flag$/);
  assert.match(words('bts'), /sets it/);
  assert.match(words('lock btr'), /clears it, in one indivisible step/);
  assert.match(words('btc'), /inverts it/);
  assert.match(words('lock xadd'), /adds.*indivisible/);
  assert.match(words('wrmsr'), /writes a model-specific register/);
  assert.match(words('vmlaunch'), /enters a virtual machine/);
  assert.match(words('rep movsq'), /copies a block/);
  assert.match(words('repne scasb'), /searches a block/);
  assert.match(words('notrack jmp'), /elsewhere/);
  assert.match(words('setssbsy'), /shadow stack/);
});

test('the same mnemonic on two machines', () => {
  assert.match(instructionWords('str', X86_64) ?? '', /task register/);
  assert.match(instructionWords('str', AARCH64) ?? '', /stores to memory/);
  assert.equal(instructionWords('ldr', X86_64), undefined);
  assert.equal(instructionWords('lea', AARCH64), undefined);
  assert.match(instructionWords('hlt', X86_64) ?? '', /interrupt/);
  assert.match(instructionWords('hlt', AARCH64) ?? '', /traps/);
  const row = { offset: 0, bytes: new Uint8Array(4), mnemonic: 'str', operands: '', references: [], inlinedFrom: [] };
  assert.match(hoverInstruction(row, { machine: AARCH64 }), /\*\*str\*\*: stores to memory/);
});

test('every mnemonic of Xen, Linux and the C library is known', () => {
  const text = readFileSync(join(import.meta.dirname, 'mnemonics.txt'), 'utf8').replace(/^#.*\n/, '');
  const [, x86 = '', a64 = ''] = text.split(/^\[\w+\]\n/m);
  for (const [list, machine] of [
    [x86, X86_64],
    [a64, AARCH64],
  ] as const) {
    const names = list.trim().split(/,\s+/);
    assert.ok(names.length > 200);
    assert.deepEqual(
      names.filter((name) => instructionWords(name, machine) === undefined),
      [],
    );
  }
});

/** Mnemonics of all code of an object that have no words. */
async function unknownOf(source: string, machine: number, options: CompileOptions): Promise<string[]> {
  const object = await objectOf(source, options);
  assert.equal(object.elf.machine, machine);
  const functions = object.elf.symbols.filter((each) => each.type === 'func' && each.size > 0);
  const rows = functions.flatMap((each) => listFunction(object, each));
  assert.ok(rows.length > 60);
  return [...new Set(rows.map((row) => row.mnemonic))].filter((name) => instructionWords(name, machine) === undefined);
}

const ORDINARY = `
  typedef unsigned long u64;
  struct s { int a; double d; float f; char text[40]; };
  extern double sqrt(double), floor(double); extern int use(void *);
  int work(struct s *list, u64 n, const char *key) {
    double sum = 0; int found = 0;
    for (u64 i = 0; i < n; i++) {
      if (__builtin_strncmp(list[i].text, key, sizeof list[i].text) == 0 && list[i].a % 7 > 2) found++;
      sum += sqrt(list[i].d) / (list[i].a + 1) - (list[i].f < 0 ? -list[i].f : list[i].f * 2);
      list[i].a = (list[i].a << 3) ^ (int)(i >> 2);
      __atomic_fetch_add(&list[i].a, 1, __ATOMIC_SEQ_CST);
    }
    switch (found & 7) { case 0: use(0); break; case 1: use(list); break; case 2: __builtin_trap(); case 3: return 1; case 5: use(&n); }
    return found + (int)floor(sum);
  }
  u64 atomics(u64 *p, u64 x) {
    u64 old = 1;
    __atomic_compare_exchange_n(p, &old, x, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    old += __atomic_exchange_n(p, x, __ATOMIC_SEQ_CST) + __atomic_load_n(p + 1, __ATOMIC_ACQUIRE);
    __atomic_store_n(p + 2, x, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return old + __atomic_fetch_or(p + 3, x, __ATOMIC_RELAXED) + __atomic_fetch_xor(p + 4, x, __ATOMIC_RELAXED);
  }
  u64 bits(u64 x, unsigned y) {
    return __builtin_clzll(x) + __builtin_ctzll(x) + __builtin_bswap64(x) + (x >> (y & 63)) + (x << 7 | x >> 57)
      + (u64)(((unsigned __int128)x * y) >> 64) + ((x >> 5) & 31) + ((x & ~(1ull << y)) | (u64)y << 40);
  }
  void vectors(float *restrict a, const int *restrict b, unsigned char *restrict c, const short *restrict d) {
    for (int i = 0; i < 256; i++) a[i] = a[i] * (float)b[i] + 3.0f;
    for (int i = 0; i < 256; i++) c[i] = (unsigned char)(d[i] > c[i] ? d[i] : c[i]) >> 1;
  }
  long double wide(long double x, int y) { return x < y ? -x * y : x / (y + 1) + 0.5L; }`;

/** Some of what kernels and hypervisors write by hand. */
const PRIVILEGED = [
  ...['rdmsr', 'wrmsr', 'vmread %rax,%rbx', 'vmwrite %rax,%rbx', 'vmlaunch', 'vmresume', 'in %dx,%al', 'out %eax,%dx'],
  ...['cli', 'sti', 'pushfq', 'popfq', 'cpuid', 'rdtsc', 'rdtscp', 'swapgs', 'iretq', 'sysretq', 'invlpg (%rax)'],
  ...['invpcid (%rax),%rbx', 'lgdt (%rax)', 'lidt (%rax)', 'ltr %ax', 'str %ax', 'verw (%rax)', 'wbinvd', 'hlt', 'ud2'],
  ...['clflush (%rax)', 'xsave (%rax)', 'xsaves (%rax)', 'xrstor (%rax)', 'clac', 'stac', 'monitor', 'mwait', 'lfence'],
  ...['mfence', 'sfence', 'prefetchw (%rax)', 'rep movsb', 'rep stosq', 'repe cmpsb', 'lock btsl %eax,(%rbx)', 'pause'],
  ...['clts', 'fxsave (%rax)', 'xsetbv', 'rdpmc', 'vmcall', 'vmmcall', 'vmrun', 'stgi', 'rdrand %rax', 'incsspq %rax'],
];

test('every mnemonic that gcc makes for x86-64, and of what is privileged, is known', async () => {
  const asm = `void privileged(void) { ${PRIVILEGED.map((one) => `__asm__ volatile ("${one.replaceAll('%', '%%')}" ::);`).join(' ')} }`;
  const args = (...more: string[]) => ({ args: ['-O2', '-ftree-vectorize', '-g', '-ffunction-sections', ...more] });
  assert.deepEqual(await unknownOf(`${ORDINARY}\n${asm}`, X86_64, args()), []);
  assert.deepEqual(await unknownOf(ORDINARY, X86_64, args('-march=haswell')), []);
  assert.deepEqual(await unknownOf(ORDINARY, X86_64, args('-march=skylake-avx512')), []);
});

const CROSS = 'aarch64-linux-gnu-gcc';
test('every mnemonic that gcc makes for AArch64 is known', {
  skip: !hasTool(CROSS) && `${CROSS} is missing`,
}, async () => {
  for (const march of ['armv8-a', 'armv8.2-a', 'armv8.5-a+sve'])
    assert.deepEqual(
      await unknownOf(ORDINARY, AARCH64, {
        compiler: CROSS,
        args: ['-O2', '-ftree-vectorize', '-g', '-mbranch-protection=standard', `-march=${march}`],
      }),
      [],
      march,
    );
});

test('hover on a call: relocation, callee, whether it is in the patch; on inlined code: from where', async () => {
  const object = await objectOf(`
    extern int puts(const char *);
    extern int table[16];
    __attribute__((noinline)) static int callee(int x) { return puts("x") + x; }
    static inline __attribute__((always_inline)) int inner(int x) { return table[3] * x; }
    int work(int x) { return callee(x) + inner(x) + puts("y"); }`);
  const symbol = object.elf.symbols.find((each) => each.name === 'work');
  assert.ok(symbol);
  const rows = listFunction(object, symbol);
  const statusOf = (name: string) => (name.startsWith('callee') ? ('changed' as const) : undefined);
  const texts = rows.map((row) => hoverInstruction(row, { statusOf, sourceText: 'return callee(x);' }));
  const call = texts.find((text) => /calls `callee/.test(text));
  assert.match(call ?? '', /which is in the patch \(changed\)/);
  const outside = texts.find((text) => /calls `puts`/.test(text));
  assert.match(outside ?? '', /R_X86_64_PLT32/);
  assert.match(outside ?? '', /which is not in the patch/);
  const table = texts.find((text) => /`table \+ 12`/.test(text));
  assert.match(table ?? '', /defined elsewhere/);
  assert.match(table ?? '', /inlined from `inner` at `\w+\.c:6`/);
  assert.match(table ?? '', /\*\*\w+\*\*: /);
  assert.match(table ?? '', /`return callee\(x\);`/);
});
