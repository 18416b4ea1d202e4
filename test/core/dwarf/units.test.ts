import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readDwarf } from '../../../server/src/core/dwarf/index.ts';
import { readElf } from '../../../server/src/core/elf/index.ts';
import { compile } from '../../support/cc.ts';
import { runIn } from '../elf/readelf.ts';
import { COMPILERS, FLAVOURS } from './matrix.ts';
import { readLayouts } from './pahole.ts';
import { PROGRAM, SHARED_HEADER } from './programs.ts';
import { NASTY } from './sources.ts';

test('an object merged from units of all compilers and flavours reads like its parts', () => {
  const files: Record<string, Uint8Array> = {};
  const layouts = new Map<string, string>();
  const functions: string[] = [];
  for (const compiler of COMPILERS) {
    for (const [i, { name, args }] of FLAVOURS.entries()) {
      // Type units of several objects fall together in the linker; that is tested on its own below.
      if (name.includes('type units')) continue;
      const tag = `${compiler.replace('-', '_')}_${i}`;
      const source = `struct own_${tag} { char c; int b:5; struct own_${tag} *next; long tail[${i + 2}]; } v_${tag};
        static inline int step(int x) { return x * ${i + 3}; }
        int f_${tag}(int a, struct own_${tag} *p) { static int calls; calls += step(a); return calls + p->b; }`;
      const unit = compile(source, { compiler, name: `${tag}.c`, args: ['-O2', '-ffunction-sections', ...args] });
      files[`${tag}.o`] = unit;
      const part = readDwarf(readElf(unit).elf!);
      layouts.set(`struct own_${tag}`, JSON.stringify(readLayouts(part).get(`struct own_${tag}`)));
      functions.push(`f_${tag}`);
    }
  }
  const merged = runIn(files, 'ld', ['-r', '-o', 'all.o', ...Object.keys(files)], 'all.o').bytes;
  const { elf } = readElf(merged);
  const dwarf = readDwarf(elf!);
  assert.equal(dwarf.units.length, functions.length);
  const actual = readLayouts(dwarf);
  for (const [name, layout] of layouts) assert.equal(JSON.stringify(actual.get(name)), layout, name);
  for (const name of functions) {
    const fn = dwarf.functions.find((f) => f.name === name)!;
    const symbol = elf!.symbols.find((s) => s.name === name)!;
    assert.deepEqual(fn.ranges, [{ section: symbol.place, start: symbol.offset, end: symbol.offset + symbol.size }]);
    assert.equal(fn.inlined[0]?.name, 'step', name);
    const row = dwarf.linesOf(symbol.place as number).find((r) => r.offset === symbol.offset);
    assert.equal(row?.file, `/src/${name.slice(2)}.c`);
    const calls = dwarf.variables.find((v) => v.name === 'calls' && v.scope === name);
    assert.match(
      elf!.symbols.find(
        (s) => s.place === calls?.place?.section && s.offset === calls?.place?.offset && s.type === 'object',
      )!.name,
      /calls/,
    );
  }
  assert.deepEqual(dwarf.problems, []);
});

test('type units of several objects, merged', () => {
  const files: Record<string, Uint8Array> = {};
  for (const [i, args] of [['-gdwarf-4'], ['-gdwarf-5']].entries()) {
    files[`${i}.o`] = compile(NASTY.replace(/\bv(\d+)\b/g, `v$1_${i}`), {
      args: ['-O0', '-w', ...args, '-fdebug-types-section', '-fno-eliminate-unused-debug-types'],
    });
  }
  const merged = readDwarf(readElf(runIn(files, 'ld', ['-r', '-o', 'all.o', '0.o', '1.o'], 'all.o').bytes).elf!);
  const alone = readLayouts(readDwarf(readElf(files['0.o']!).elf!));
  assert.ok(alone.size > 20);
  assert.deepEqual(readLayouts(merged), alone);
  assert.deepEqual(merged.problems, []);
});

test('executables: units and producers of all parts', () => {
  const text = compile(PROGRAM, { files: { 'shared.h': SHARED_HEADER }, name: 'program.c', extra: ['-gdwarf-5'] });
  const rest = compile(
    'int outside_int; const char outside_text[3]; int declared_only(int a, long b, void *c) { return a; }',
    {
      name: 'rest.c',
      extra: ['-gdwarf-4'],
    },
  );
  for (const kind of ['-no-pie', '-pie']) {
    const exe = runIn({ 'a.o': text, 'b.o': rest }, 'gcc', [kind, 'a.o', 'b.o', '-o', 'exe'], 'exe').bytes;
    const { elf } = readElf(exe);
    const dwarf = readDwarf(elf!);
    assert.deepEqual(
      dwarf.units.filter((u) => u.compDir === '/src').map((u) => [u.name, u.version]),
      [
        ['program.c', 5],
        ['rest.c', 4],
      ],
    );
    assert.ok(dwarf.units.every((u) => u.producer !== ''));
    const counts = dwarf.functions.find((f) => f.name === 'counts')!;
    const symbol = elf!.symbols.find((s) => s.name === 'counts')!;
    assert.deepEqual(counts.ranges, [
      { section: symbol.place, start: symbol.offset, end: symbol.offset + symbol.size },
    ]);
    const tls = dwarf.variables.find((v) => v.name === 'thread_counter');
    const place = elf!.symbols.find((s) => s.name === 'thread_counter')!;
    assert.deepEqual(tls?.place, { section: place.place, offset: place.offset });
    const stripped = readDwarf(readElf(runIn({ exe }, 'strip', ['-o', 'out', 'exe'], 'out').bytes).elf!);
    assert.deepEqual([stripped.present, stripped.units.length], [false, 0]);
  }
});

test('a table of 150,000 symbols is read in no time', () => {
  const count = 150_000;
  const source = Array.from(
    { length: count },
    (_, i) => `.globl function_with_a_long_name_${i}\nfunction_with_a_long_name_${i}: ret\n`,
  );
  const bytes = runIn({ 'many.s': source.join('') }, 'gcc', ['-c', 'many.s', '-o', 'out'], 'out').bytes;
  const started = process.cpuUsage();
  const { symbols } = readElf(bytes).elf!;
  const took = process.cpuUsage(started).user / 1000;
  assert.ok(symbols.length > count);
  assert.equal(symbols.find((s) => s.name === `function_with_a_long_name_${count - 1}`)?.offset, count - 1);
  assert.ok(took < 1500, `${took} ms`);
});
