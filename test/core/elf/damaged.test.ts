import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deflateSync, inflateSync } from 'node:zlib';
import { readDwarf } from '../../../server/src/core/dwarf/index.ts';
import { openContainer } from '../../../server/src/core/elf/container.ts';
import { readElf } from '../../../server/src/core/elf/index.ts';
import { compile } from '../../support/cc.ts';
import { readLayouts } from '../dwarf/pahole.ts';
import { NASTY } from '../dwarf/sources.ts';
import { runIn } from './readelf.ts';

const SOURCE = 'struct pair { int a; long b; } p; int f(int x) { return x + p.a; }\n';
const copy = (bytes: Uint8Array, change: (view: DataView, bytes: Uint8Array) => void): Uint8Array => {
  const out = new Uint8Array(bytes);
  change(new DataView(out.buffer), out);
  return out;
};
/** Reads everything, so that lazily found problems are there too. */
const readAll = (bytes: Uint8Array) => {
  const { elf, problems } = readElf(bytes);
  if (elf) {
    for (const section of elf.sections) elf.relocationsOf(section.index);
    void [elf.symbols, elf.dynamicSymbols, elf.notes, elf.needed, elf.dynamicRelocations];
  }
  return { elf, problems, text: problems.map((p) => p.message).join('\n') };
};

test('files that are not ELF64 little-endian are told in words', () => {
  assert.match(readAll(new Uint8Array(0)).text, /not an ELF file/);
  assert.match(readAll(new TextEncoder().encode('#!/bin/sh\necho no object here\n')).text, /not an ELF file/);
  const object = compile(SOURCE);
  assert.equal(readAll(object).text, '');
  for (const [at, value, words] of [
    [4, 1, /32-bit/],
    [5, 2, /big-endian/],
    [4, 9, /class 9/],
    [5, 0, /byte order 0/],
  ] as const) {
    const { elf, text } = readAll(copy(object, (view) => view.setUint8(at, value)));
    assert.equal(elf, undefined);
    assert.match(text, words);
  }
  const arm = readAll(copy(object, (view) => view.setUint16(18, 40, true)));
  assert.ok(arm.elf);
  assert.match(arm.text, /machine 40/);
  assert.match(readAll(object.subarray(0, 40)).text, /header is cut off/);
});

test('a 32-bit object of the compiler itself is refused in words', (t) => {
  let object: Uint8Array;
  try {
    object = compile(SOURCE, { extra: ['-m32'] });
  } catch {
    t.skip('the compiler cannot write 32-bit objects');
    return;
  }
  assert.match(readAll(object).text, /32-bit/);
});

test('every truncation gives a problem and never throws', () => {
  const object = compile(SOURCE, { extra: ['-gdwarf-5'] });
  for (let length = 0; length < object.length; length += 1 + Math.floor(length / 300)) {
    const { elf, problems } = readAll(object.subarray(0, length));
    assert.ok(problems.length > 0, `cut at ${length}`);
    if (elf) void readDwarf(elf).types;
  }
});

test('damaged tables leave the rest readable', () => {
  const object = compile(SOURCE);
  const sections = readElf(object).elf!.sections;
  const view = new DataView(object.buffer);
  const table = Number(view.getBigUint64(40, true));
  const header = (name: string) => table + sections.find((s) => s.name === name)!.index * 64;

  const outside = readAll(copy(object, (v) => v.setBigUint64(40, 1n << 60n, true)));
  assert.match(outside.text, /section header table lies outside/);
  assert.deepEqual(outside.elf?.sections, []);

  const size = readAll(copy(object, (v) => v.setBigUint64(header('.text.f') + 32, 1n << 40n, true)));
  assert.match(size.text, /\.text\.f is cut off/);
  assert.ok(size.elf!.symbols.some((s) => s.name === 'f'));

  const count = readAll(copy(object, (v) => v.setUint16(60, 60000, true)));
  assert.match(count.text, /cut off: \d+ of 60000/);
  assert.equal(count.elf!.sectionsNamed('.text.f').length, 1);

  const place = readAll(
    copy(object, (v) => {
      const symtab = sections.find((s) => s.name === '.symtab')!;
      for (let at = symtab.offset; at < symtab.offset + symtab.size; at += 24) v.setUint16(at + 6, 0x7777, true);
    }),
  );
  assert.match(place.text, /point to sections that the file does not have/);

  const rela = readAll(copy(object, (v) => v.setUint32(header('.rela.text.f') + 44, 9999, true)));
  assert.match(rela.text, /relocates section 9999/);

  const names = readAll(copy(object, (v) => v.setUint16(62, 1, true)));
  assert.match(names.text, /not the string table/);
  assert.equal(names.elf!.sections.length, sections.length);
});

test('a name of four megabytes is cut and costs nothing', () => {
  // The section name table becomes a region at the end of the file without any NUL; all names start in it.
  const object = compile(SOURCE);
  const long = new Uint8Array(object.length + 4_000_000).fill(0x41);
  long.set(object);
  const view = new DataView(long.buffer);
  const names = Number(view.getBigUint64(40, true)) + view.getUint16(62, true) * 64;
  view.setBigUint64(names + 24, BigInt(object.length), true);
  view.setBigUint64(names + 32, 4_000_000n, true);
  const before = process.memoryUsage();
  const started = process.cpuUsage();
  const { elf } = readAll(long);
  assert.ok(process.cpuUsage(started).user < 1_000_000);
  assert.ok(process.memoryUsage().heapUsed - before.heapUsed < 50_000_000);
  assert.ok(elf!.sections.every((s) => s.name.length <= 4096));
});

test('elfy and our own reading agree, and elfy is given sound files only', () => {
  const object = compile(SOURCE);
  const opened = openContainer(object).container!;
  assert.equal(opened.viaElfy, true);
  // A program header size of 1 makes elfy unusable for the file, and changes nothing else for an object.
  const ours = openContainer(
    copy(object, (v) => {
      v.setUint16(54, 1, true);
      v.setUint16(56, 1, true);
      v.setBigUint64(32, 64n, true);
    }),
  ).container!;
  assert.equal(ours.viaElfy, false);
  assert.deepEqual(
    ours.sections.map(({ data, ...rest }) => ({ ...rest, bytes: data.length })),
    opened.sections.map(({ data, ...rest }) => ({ ...rest, bytes: data.length })),
  );
});

test('compressed debug sections', () => {
  const plain = compile(NASTY, { extra: ['-gdwarf-5'] });
  const expected = readLayouts(readDwarf(readElf(plain).elf!));
  const packed = runIn(
    { 'in.o': plain },
    'objcopy',
    ['--compress-debug-sections=zlib-gabi', 'in.o', 'out.o'],
    'out.o',
  ).bytes;
  const gnu = runIn(
    { 'in.o': plain },
    'objcopy',
    ['--compress-debug-sections=zlib-gnu', 'in.o', 'out.o'],
    'out.o',
  ).bytes;
  for (const object of [packed, gnu]) {
    assert.ok(object.length < plain.length);
    const inflate = (data: Uint8Array) => new Uint8Array(inflateSync(data));
    const { elf, problems } = readElf(object, { inflate });
    assert.deepEqual(readLayouts(readDwarf(elf!)), expected);
    assert.deepEqual(problems, []);
    const without = readElf(object);
    assert.equal(readDwarf(without.elf!).types.length, 0);
    assert.match(without.problems.map((p) => p.message).join('\n'), /\.z?debug_info is compressed and no decompressor/);
    const lying = readElf(object, { inflate: (_data, _kind, size) => new Uint8Array(size >> 1) });
    assert.equal(readDwarf(lying.elf!).types.length, 0);
    assert.match(lying.problems.map((p) => p.message).join('\n'), /decompresses to/);
    const throwing = readElf(object, { inflate: () => inflateSync(deflateSync('x').subarray(0, 3)) });
    assert.equal(readDwarf(throwing.elf!).types.length, 0);
    assert.match(throwing.problems.map((p) => p.message).join('\n'), /could not be decompressed/);
  }
});

test('objects without usable debug information say so', () => {
  const bare = readDwarf(readElf(compile(SOURCE, { args: ['-O2'] })).elf!);
  assert.deepEqual([bare.present, bare.types.length, bare.functions.length, bare.problems], [false, 0, 0, []]);
  const split = readDwarf(readElf(compile(SOURCE, { extra: ['-gdwarf-5', '-gsplit-dwarf'] })).elf!);
  assert.match(split.problems.map((p) => p.message).join(), /-gsplit-dwarf/);
  const split4 = readDwarf(readElf(compile(SOURCE, { extra: ['-gdwarf-4', '-gsplit-dwarf'] })).elf!);
  assert.match(split4.problems.map((p) => p.message).join(), /-gsplit-dwarf/);
  const lto = readDwarf(readElf(compile(SOURCE, { extra: ['-flto', '-fno-fat-lto-objects'] })).elf!);
  assert.equal(lto.present, false);
  assert.match(lto.problems.map((p) => p.message).join(), /-fno-lto/);
});
