import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readDwarf } from '../../../server/src/core/dwarf/index.ts';
import { relocationName, relocationWidth } from '../../../server/src/core/elf/constants.ts';
import { readElf } from '../../../server/src/core/elf/index.ts';
import type { ElfFile, ElfSymbol } from '../../../server/src/core/elf/types.ts';
import { hasTool } from '../../support/cc.ts';
import { COMPILERS } from '../dwarf/matrix.ts';
import { readelf, runIn } from './readelf.ts';
import { GROUPS, REST, UNIT } from './sources.ts';

/** Objects, executables and shared objects to read, each with the arguments that make it. */
function build(compiler: string, ...args: string[]): Uint8Array {
  return runIn({ 'unit.c': UNIT, 'rest.c': REST, 'g.s': GROUPS }, compiler, [...args, '-o', 'out'], 'out').bytes;
}

const KINDS: readonly { readonly name: string; readonly args: readonly string[] }[] = [
  { name: 'object', args: ['-c', '-g', '-O2', 'unit.c'] },
  { name: 'object, sections', args: ['-c', '-g', '-O2', '-ffunction-sections', '-fdata-sections', 'unit.c'] },
  { name: 'object, common', args: ['-c', '-O1', '-fcommon', '-fno-pic', '-mcmodel=large', 'unit.c'] },
  { name: 'object, -fPIC', args: ['-c', '-g', '-O2', '-fPIC', 'unit.c'] },
  { name: 'groups', args: ['-c', 'g.s'] },
  { name: 'PIE', args: ['-g', '-O2', '-pie', '-fPIE', '-Wl,--build-id=sha1', 'unit.c', 'rest.c'] },
  { name: 'executable', args: ['-g', '-O2', '-no-pie', '-fno-pie', '-Wl,--build-id=md5', 'unit.c', 'rest.c'] },
  { name: 'static executable', args: ['-static', '-O1', 'unit.c', 'rest.c'] },
  { name: 'executable with relocations', args: ['-O2', '-no-pie', '-Wl,--emit-relocs', 'unit.c', 'rest.c'] },
  {
    name: 'shared object',
    args: ['-g', '-O2', '-shared', '-fPIC', '-Wl,-soname,libunit.so.1', 'unit.c', 'rest.c', '-lm'],
  },
];

for (const compiler of COMPILERS) {
  for (const { name, args } of KINDS) {
    test(`${name} of ${compiler} reads as in readelf`, () => {
      const bytes = build(compiler, ...args);
      const { elf, problems } = readElf(bytes);
      assert.ok(elf);
      compareSections(elf, bytes);
      compareSymbols(elf, bytes);
      compareRelocations(elf, bytes);
      compareRest(elf, bytes);
      assert.deepEqual(problems, []);
    });
  }
}

test('an object with more sections than e_shnum can count', () => {
  const count = 66_000;
  const source = Array.from(
    { length: count },
    (_, i) => `.section .t${i},"ax"\nf${i}: ret\n.quad f${(i * 7) % count}\n`,
  );
  const bytes = runIn({ 'many.s': source.join('') }, 'gcc', ['-c', 'many.s', '-o', 'out'], 'out').bytes;
  const started = process.cpuUsage();
  const { elf, problems } = readElf(bytes);
  assert.ok(elf && elf.sections.length > 65_536);
  assert.deepEqual(problems, []);
  const last = elf.symbols.find((s) => s.name === `f${count - 1}`)!;
  assert.equal(elf.sections[last.place as number]!.name, `.t${count - 1}`);
  const [relocation] = elf.relocationsOf(last.place as number);
  // gas refers to local symbols through their section.
  assert.equal(elf.symbols[relocation!.symbol]!.name, `.t${((count - 1) * 7) % count}`);
  assert.ok(process.cpuUsage(started).user < 5_000_000);
  compareSections(elf, bytes);
  compareSymbols(elf, bytes);
});

test('an AArch64 object reads as in readelf', { skip: !hasTool('clang') && 'clang is not installed' }, (t) => {
  let bytes: Uint8Array;
  const source = `extern int out(int); int data = 3; static int *where = &data;
    struct pair { char c; long l; } p; int work(int a) { return out(a + data) + *where + (int)p.l; }`;
  const args = ['--target=aarch64-linux-gnu', '-O2', '-g', '-c', 'unit.c', '-o', 'out'];
  try {
    bytes = runIn({ 'unit.c': source }, 'clang', args, 'out').bytes;
  } catch {
    t.skip('this clang has no AArch64');
    return;
  }
  const { elf, problems } = readElf(bytes);
  compareSections(elf!, bytes);
  compareSymbols(elf!, bytes);
  compareRelocations(elf!, bytes);
  const dwarf = readDwarf(elf!);
  const pair = dwarf.types.find((type) => type.name === 'pair');
  assert.deepEqual([pair?.size, pair?.members.map((m) => m.bitOffset)], [16, [0, 64]]);
  assert.equal(dwarf.functions[0]?.name, 'work');
  assert.deepEqual([...problems, ...dwarf.problems], []);
});

test('relocations without addends take them from the place', () => {
  const source = '.data\n.quad other + 40\n.long other - 3\n.quad last - 0x100000000\n.text\ncall other\n';
  const bytes = runIn({ 'a.s': source }, 'gcc', ['-c', 'a.s', '-o', 'out'], 'out').bytes;
  const before = readElf(bytes).elf!;
  const view = new DataView(bytes.buffer);
  const table = Number(view.getBigUint64(40, true));
  for (const section of before.sections) {
    const [rela] = before.relocationTablesOf(section.index);
    if (!rela) continue;
    const entries = before.relocationsOf(section.index);
    for (const [i, r] of entries.entries()) {
      const width = relocationWidth(before.machine, r.type);
      if (width === 8) view.setBigInt64(section.offset + r.offset, BigInt(r.addend), true);
      else view.setInt32(section.offset + r.offset, r.addend, true);
      // SHT_REL entries are SHT_RELA's without the third word.
      bytes.copyWithin(rela.offset + i * 16, rela.offset + i * 24, rela.offset + i * 24 + 16);
    }
    view.setUint32(table + rela.index * 64 + 4, 9, true);
    view.setBigUint64(table + rela.index * 64 + 32, BigInt(entries.length * 16), true);
    view.setBigUint64(table + rela.index * 64 + 56, 16n, true);
  }
  const after = readElf(bytes).elf!;
  for (const section of before.sections) {
    assert.deepEqual(after.relocationsOf(section.index), before.relocationsOf(section.index));
  }
  assert.deepEqual(
    after.relocationsOf(after.sectionsNamed('.data')[0]!.index).map((r) => r.addend),
    [40, -3, -0x100000000],
  );
});

function compareSections(elf: ElfFile, bytes: Uint8Array): void {
  const expected: string[] = [];
  for (const line of readelf(bytes, '-S')) {
    const match = /^ {2}\[\s*(\d+)\] (.*)$/.exec(line.replace('SYMTAB SECTION INDICES', 'SYMTAB_SHNDX'));
    if (!match) continue;
    // Columns from the right: flags may be empty, names may be empty.
    const fields =
      / ?(\S*)\s+(\S+)\s+([0-9a-f]{16,}) ([0-9a-f]{6,}) ([0-9a-f]{6,}) ([0-9a-f]{2,})\s+(\w*)\s+(\d+)\s+(\d+)\s+(\d+)$/.exec(
        match[2]!,
      );
    assert.ok(fields, line);
    const [, name, , address, offset, size, entry, flags, link, info, align] = fields;
    const numbers = [address, offset, size, entry].map((text) => Number.parseInt(text!, 16));
    expected.push([match[1], name, ...numbers, flags, link, info, align].join(' '));
  }
  const letters: readonly (readonly [number, string])[] = [
    [0x1, 'W'],
    [0x2, 'A'],
    [0x4, 'X'],
    [0x10, 'M'],
    [0x20, 'S'],
    [0x40, 'I'],
    [0x80, 'L'],
    [0x200, 'G'],
    [0x400, 'T'],
    [0x800, 'C'],
    [0x10000000, 'l'],
  ];
  const actual = elf.sections.map((s) => {
    const flags = letters
      .filter(([bit]) => s.flags & bit)
      .map(([, letter]) => letter)
      .join('');
    const numbers = [Number(s.address), s.offset, s.size, s.entrySize];
    return [s.index, s.name, ...numbers, flags, s.link, s.info, s.align].join(' ');
  });
  // readelf adds letters of the operating system and the processor that are of no concern here.
  const known = expected.map((text) =>
    text.replace(/ ([WAXMSILGTClopEDR]*) (?=\d+ \d+ \d+$)/, (_, f) => ` ${f.replace(/[oEDR]/g, '')} `),
  );
  assert.deepEqual(actual, known);
  for (const section of elf.sections) {
    if (section.type === 8) assert.equal(section.data.length, 0);
    else if (section.type !== 0) {
      assert.deepEqual(section.data, bytes.subarray(section.offset, section.offset + section.size));
    }
  }
}

const TYPES: Record<ElfSymbol['type'], string> = {
  notype: 'NOTYPE',
  object: 'OBJECT',
  func: 'FUNC',
  section: 'SECTION',
  file: 'FILE',
  common: 'COMMON',
  tls: 'TLS',
  ifunc: 'IFUNC',
  other: '?',
};
const BINDS: Record<ElfSymbol['bind'], string> = {
  local: 'LOCAL',
  global: 'GLOBAL',
  weak: 'WEAK',
  unique: 'UNIQUE',
  other: '?',
};

function compareSymbols(elf: ElfFile, bytes: Uint8Array): void {
  const tables = new Map<string, string[]>();
  let current: string[] = [];
  for (const printed of readelf(bytes, '-s')) {
    // Type 10 has that name where the header says GNU; clang's objects do not.
    const line = printed.replace('<OS specific>: 10', 'IFUNC');
    const head = /^Symbol table '([^']+)'/.exec(line);
    if (head) {
      current = [];
      tables.set(head[1]!, current);
    }
    const match = /^\s*(\d+): ([0-9a-f]{16})\s+(\S+) (\S+)\s+(\S+)\s+(\S+)\s+(?:\[.*\]\s+)?(\S+) ?(.*)$/.exec(line);
    if (!match) continue;
    const [, index, value, size, type, bind, visibility, place, rest] = match;
    const name = rest!.replace(/@.*$/, '').replace(/ \(\d+\)$/, '');
    current.push([index, BigInt(`0x${value}`), Number(size), type, bind, visibility, place, name].join(' '));
  }
  const shown = (symbols: readonly ElfSymbol[]) =>
    symbols.map((s) => {
      const place = typeof s.place === 'number' ? s.place : { undef: 'UND', abs: 'ABS', common: 'COM' }[s.place];
      const name = s.name.replace(/@.*$/, '');
      return [s.index, s.value, s.size, TYPES[s.type], BINDS[s.bind], s.visibility.toUpperCase(), place, name].join(
        ' ',
      );
    });
  assert.deepEqual(shown(elf.symbols), tables.get('.symtab') ?? []);
  assert.deepEqual(shown(elf.dynamicSymbols), tables.get('.dynsym') ?? []);
  let file: string | undefined;
  for (const symbol of elf.symbols) {
    if (symbol.type === 'file') file = symbol.name || undefined;
    else if (symbol.bind === 'local' && symbol.index > 0) assert.equal(symbol.file, file, symbol.name);
    else assert.equal(symbol.file, undefined);
    if (typeof symbol.place !== 'number') continue;
    const section = elf.sections[symbol.place]!;
    if (elf.kind === 'rel') assert.equal(BigInt(symbol.offset), symbol.value);
    else if (symbol.type !== 'tls' && symbol.value >= section.address) {
      assert.equal(section.address + BigInt(symbol.offset), symbol.value, symbol.name);
    }
    if (symbol.type === 'tls') assert.ok(symbol.offset + symbol.size <= section.size, symbol.name);
  }
}

function compareRelocations(elf: ElfFile, bytes: Uint8Array): void {
  let section = '';
  const expected = new Map<string, string[]>();
  for (const line of readelf(bytes, '-r')) {
    const head = /^Relocation section '\.rela(\.[^']+)'/.exec(line);
    if (head) section = head[1]!;
    const match = /^([0-9a-f]{16}) {2}([0-9a-f]{16}) (R_\w+)\s+(.*)$/.exec(line);
    if (!match) continue;
    const tail = /([+-]? ?[0-9a-f]+)$/.exec(match[4]!)?.[1] ?? '0';
    const digits = tail.replace(/[+ ]/g, '');
    const addend = digits.startsWith('-') ? -BigInt(`0x${digits.slice(1)}`) : BigInt(`0x${digits}`);
    const symbol = Number(BigInt(`0x${match[2]}`) >> 32n);
    const list = expected.get(section) ?? [];
    expected.set(section, list);
    list.push(`${BigInt(`0x${match[1]}`)} ${match[3]} ${symbol} ${BigInt.asIntN(64, addend)}`);
  }
  if (elf.kind !== 'rel') {
    const dynamic = [...(expected.get('.dyn') ?? []), ...(expected.get('.plt') ?? [])];
    assert.deepEqual(
      elf.dynamicRelocations.map((r) =>
        [r.address, relocationName(elf.machine, r.type), r.symbol?.index ?? 0, r.addend].join(' '),
      ),
      dynamic,
    );
  }
  let compared = 0;
  for (const target of elf.sections) {
    const list = elf.relocationsOf(target.index);
    for (let i = 1; i < list.length; i++) assert.ok(list[i]!.offset >= list[i - 1]!.offset);
    const mine = list.map((r) => {
      const address = BigInt(r.offset) + (elf.kind === 'rel' ? 0n : target.address);
      return `${address} ${relocationName(elf.machine, r.type)} ${r.symbol} ${r.addend}`;
    });
    compared += mine.length;
    const theirs = elf.kind !== 'rel' && /^\.(plt|dyn)$/.test(target.name) ? [] : (expected.get(target.name) ?? []);
    // Sections of one name are told apart by index only; readelf prints names.
    if (elf.sectionsNamed(target.name).length === 1) assert.deepEqual(mine.toSorted(), theirs.toSorted(), target.name);
  }
  if (elf.kind === 'rel') assert.ok(compared > 0);
}

function compareRest(elf: ElfFile, bytes: Uint8Array): void {
  const header = readelf(bytes, '-h').join('\n');
  assert.equal(elf.entry, BigInt(/Entry point address:\s+(0x[0-9a-f]+)/.exec(header)![1]!));
  const kind = /Type:\s+(\w+)/.exec(header)![1]!;
  assert.equal(elf.kind, kind.toLowerCase());
  const notes = readelf(bytes, '-n').join('\n');
  assert.equal(elf.buildId, /Build ID: ([0-9a-f]+)/.exec(notes)?.[1]);
  assert.deepEqual(
    elf.notes.map((note) => `${note.name} ${note.desc.length}`),
    [...notes.matchAll(/^ {2}(\w+)\s+0x([0-9a-f]+)/gm)].map((m) => `${m[1]} ${Number.parseInt(m[2]!, 16)}`),
  );
  const dynamic = readelf(bytes, '-d').join('\n');
  assert.deepEqual(
    elf.needed,
    [...dynamic.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map((m) => m[1]),
  );
  assert.equal(elf.soname, /\(SONAME\).*\[(.*)\]/.exec(dynamic)?.[1]);
  const segments = [
    ...readelf(bytes, '-l')
      .join('\n')
      .matchAll(/^ {2}\w+\s+(0x\w+) (0x\w+) 0x\w+ (0x\w+) (0x\w+) (.{3}) (0x\w+)$/gm),
  ];
  assert.deepEqual(
    elf.segments.map((s) => [s.offset, s.address, s.fileSize, s.memorySize, s.flags, s.align].join(' ')),
    segments.map(([, offset, address, file, memory, flags, align]) =>
      [
        Number(offset),
        BigInt(address!),
        Number(file),
        Number(memory),
        (flags!.includes('R') ? 4 : 0) | (flags!.includes('W') ? 2 : 0) | (flags!.includes('E') ? 1 : 0),
        Number(align),
      ].join(' '),
    ),
  );
  const groups = [
    ...readelf(bytes, '-g')
      .join('\n')
      .matchAll(/^(COMDAT )?group section \[\s*(\d+)\] .* \[(.*)\] contains (\d+)/gm),
  ];
  assert.deepEqual(
    elf.groups.map((g) => [g.comdat, g.section, g.signature, g.members.length]),
    groups.map((m) => [m[1] !== undefined, Number(m[2]), m[3], Number(m[4])]),
  );
  for (const group of elf.groups) {
    for (const member of group.members) assert.equal(elf.sections[member]!.group, group.section);
  }
}
