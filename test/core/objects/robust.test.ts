import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deflateSync } from 'node:zlib';
import { createAnalyser } from '../../../server/src/analyse.ts';
import { readElf } from '../../../server/src/core/elf/index.ts';
import { CASE_COMPILERS, compile, hasTool } from '../../support/cc.ts';
import { packDebugSections } from '../../support/pack-sections.ts';
import { summary } from '../diff/support.ts';
import { tool } from './merged.ts';

// Objects as builds leave them: read where they can be, else told in words with the way out.
const ARGS = ['-O2', '-g', '-ffunction-sections', '-fdata-sections'];
const source = (factor: number, field = '') =>
  `struct item { int a; ${field}long b; }; struct other { struct item first, second[4]; struct other *previous_one, *following_one; } others; extern int ext(int);\nstatic __attribute__((noinline)) int scale(int x) { return ext(x) * ${factor}; }\nint f(struct item *p) { return scale(p->a) + (int)p->b; }\nint g(int x) { return ext(x) - 3; }\n`;
const analyser = createAnalyser();
const provenance = { unit: 'unit.c', baseCommand: [], nextCommand: [], compiler: '', baseline: 'test' };

async function compared(base: Uint8Array, next: Uint8Array) {
  const { load, compare } = await analyser;
  const [from, to] = [load(base), load(next)];
  assert.ok(from.object && to.object, JSON.stringify([from.problems, to.problems]));
  return compare(from.object, to.object, provenance);
}
const codes = (comparison: Awaited<ReturnType<typeof compared>>) =>
  comparison.findings.map(({ code, severity, evidence }) => [code, severity, evidence.reason ?? ''].join(' ').trim());

/** Runs a test with each compiler that there is. */
function each(title: string, run: (compiler: string) => Promise<void>, only = /./): void {
  for (const compiler of CASE_COMPILERS.filter((name) => only.test(name)))
    test(`${title} [${compiler}]`, { skip: !hasTool(compiler) && `${compiler} is not installed` }, () => run(compiler));
}

each('compressed debug sections (-gz) are read like plain ones', async (compiler) => {
  const plain = await compared(
    compile(source(3), { compiler, args: ARGS }),
    compile(source(5, 'short s; '), { compiler, args: ARGS }),
  );
  const zlib = (text: string) => {
    const object = compile(text, { compiler, args: ARGS, extra: ['-gz=zlib'] });
    // Small sections stay as they are: make sure that there is something to read.
    return packed(object)
      ? object
      : packDebugSections(compile(text, { compiler, args: ARGS }), 1, (d) => deflateSync(d));
  };
  const other = await compared(zlib(source(3)), zlib(source(5, 'short s; ')));
  assert.deepEqual(codes(other), codes(plain));
  assert.ok(codes(other).includes('struct-padding-used review'), codes(other).join());
  assert.deepEqual(summary(other.diff), summary(plain.diff));
});

each(
  'compressed debug sections as the compiler writes them with -gz=zstd',
  async (compiler) => {
    const zstd = (text: string) => compile(text, { compiler, args: ARGS, extra: ['-gz=zstd'] });
    const [base, next] = [zstd(source(3)), zstd(source(5, 'short s; '))];
    assert.ok(packed(base), 'nothing was compressed');
    const other = await compared(base, next);
    assert.deepEqual(summary(other.diff), ['scale changed']);
    assert.ok(codes(other).includes('struct-padding-used review'), codes(other).join());
  },
  /clang-1[6-9]/,
);

/** Does the object have compressed sections? */
function packed(object: Uint8Array): boolean {
  return readElf(object).elf!.sections.some(({ name, flags }) => name === '.debug_info' && (flags & 0x800) !== 0);
}

each('split debug information is named, with the way out', async (compiler) => {
  const split = (text: string) => compile(text, { compiler, args: ARGS, extra: ['-gsplit-dwarf'] });
  const comparison = await compared(split(source(3)), split(source(5)));
  assert.deepEqual(codes(comparison), ['config-unsupported blocker split-debug']);
  assert.match(comparison.findings[0]!.message, /-gsplit-dwarf/);
  // The code is compared all the same.
  assert.deepEqual(summary(comparison.diff), ['scale changed']);
});

each('near miss: debug information that names an include file like one of those is read', async (compiler) => {
  const args = { compiler, args: ARGS, files: { 'gsplit-dwarf.dwo.h': 'extern int ext(int);\n' } };
  const text = (n: number) => `#include "gsplit-dwarf.dwo.h"\nint f(int a) { return ext(a) + ${n}; }\n`;
  assert.deepEqual(codes(await compared(compile(text(1), args), compile(text(200), args))), []);
});

each(
  'link-time optimisation, slim and fat: the object is not what runs',
  async (compiler) => {
    for (const extra of [['-flto'], ['-flto', '-ffat-lto-objects']]) {
      const lto = (text: string) => compile(text, { compiler, args: ARGS, extra });
      const comparison = await compared(lto(source(3)), lto(source(5)));
      assert.deepEqual(codes(comparison), ['config-unsupported blocker lto']);
      assert.equal(comparison.verdict, 'blocked');
    }
    const off = (text: string) => compile(text, { compiler, args: ARGS, extra: ['-flto', '-fno-lto'] });
    assert.deepEqual(codes(await compared(off(source(3)), off(source(5)))), []);
  },
  /^gcc/,
);

each(
  'LLVM bitcode (-flto, -flto=thin) is no ELF file, and is named',
  async (compiler) => {
    const { load } = await analyser;
    for (const flag of ['-flto', '-flto=thin']) {
      const { object, problems } = load(compile(source(3), { compiler, args: ARGS, extra: [flag] }));
      assert.equal(object, undefined);
      assert.match(problems.map(({ message }) => message).join(), /LLVM bitcode.*-fno-lto/);
    }
  },
  /^clang/,
);

each(
  'without debug information, or with it stripped: code is compared, the rest asks for a review',
  async (compiler) => {
    const plain = (text: string) => compile(text, { compiler, args: ARGS });
    const bare = (text: string) => compile(text, { compiler, args: ARGS.filter((arg) => arg !== '-g') });
    const stripped = (text: string) => tool({ 'a.o': plain(text) }, ['strip', '-g', 'a.o'], 'a.o');
    const unneeded = (text: string) => tool({ 'a.o': plain(text) }, ['strip', '--strip-unneeded', 'a.o'], 'a.o');
    for (const make of [bare, stripped]) {
      const comparison = await compared(make(source(3)), make(source(5)));
      assert.deepEqual(codes(comparison), ['config-unsupported review no-debug-info']);
      assert.deepEqual(summary(comparison.diff), ['scale changed']);
      const same = await compared(make(source(3)), make(`\n\n${source(3)}`));
      assert.deepEqual([codes(same), summary(same.diff)], [[], []]);
    }
    // Local symbols are gone: what they stood for is seen as a change of the section, or of what uses it.
    const comparison = await compared(unneeded(source(3)), unneeded(source(5)));
    assert.equal(comparison.verdict, 'blocked', JSON.stringify([codes(comparison), summary(comparison.diff)]));
    assert.deepEqual(codes(comparison), ['edit-not-covered blocker']);
    const state = (n: number) => `static int n = ${n}; int f(void) { return n++; }\n`;
    assert.deepEqual(codes(await compared(unneeded(state(3)), unneeded(state(4)))), ['edit-not-covered blocker']);
    const same = await compared(unneeded(source(3)), unneeded(source(3)));
    assert.deepEqual([same.verdict, codes(same)], ['unchanged', []]);
  },
);

each('stripped of all symbols: named, not taken for unchanged', async (compiler) => {
  const strip = (text: string) =>
    tool({ 'a.o': compile(text, { compiler, args: ['-O2', '-g'] }) }, ['objcopy', '--strip-all', 'a.o'], 'a.o');
  const text = (n: number) => `int f(int a) { return a * ${n} + 1; }\n`;
  const comparison = await compared(strip(text(3)), strip(text(77)));
  assert.deepEqual(codes(comparison).sort(), ['config-unsupported blocker no-symbols', 'edit-not-covered blocker']);
  // An object without code needs none.
  const data = (n: number) => compile(`int v = ${n};\n`, { compiler, args: ['-O2', '-g'] });
  assert.deepEqual(codes(await compared(data(3), data(3))), []);
});

each('the same objects give the same answer, whatever was read before', async (compiler) => {
  const pairs = [
    [source(3), source(5, 'char pad[40]; ')],
    [source(5, 'char pad[40]; '), source(3)],
    [source(3), source(3).replace('- 3', '- 4')],
  ].map(([base, next]) => [compile(base!, { compiler, args: ARGS }), compile(next!, { compiler, args: ARGS })]) as [
    Uint8Array,
    Uint8Array,
  ][];
  const told = async (order: readonly number[]) => {
    const answers: string[] = [];
    for (const index of order) {
      const { findings, diff, verdict } = await compared(
        new Uint8Array(pairs[index]![0]),
        new Uint8Array(pairs[index]![1]),
      );
      const plain = { ...diff, pairing: [...diff.pairing] };
      answers[index] = JSON.stringify({ verdict, findings, plain }, (_, value) =>
        typeof value === 'bigint' ? `${value}n` : value instanceof Map ? [...value] : value,
      );
    }
    return answers;
  };
  const first = await told([0, 1, 2]);
  assert.deepEqual(await told([2, 0, 1]), first);
  assert.deepEqual(await told([1, 2, 0]), first);
  assert.ok(first.every((answer) => answer.length > 500));
});
