import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readDwarf } from '../../../server/src/core/dwarf/index.ts';
import type { DwarfInfo } from '../../../server/src/core/dwarf/types.ts';
import { readElf } from '../../../server/src/core/elf/index.ts';
import { compile, hasTool } from '../../support/cc.ts';
import { COMPILERS, FLAVOURS } from './matrix.ts';
import { paholeLayouts, readLayouts } from './pahole.ts';
import { measure, probesOf } from './probe.ts';
import { FULL_WIDTH, NASTIER, NASTY, SYSTEM_HEADERS } from './sources.ts';

/** Reads an object that must be free of problems. */
function info(object: Uint8Array): DwarfInfo {
  const { elf, problems } = readElf(object);
  assert.ok(elf, problems[0]?.message);
  const dwarf = readDwarf(elf);
  assert.ok(dwarf.types.length > 0);
  assert.deepEqual(dwarf.problems, []);
  assert.deepEqual(elf.problems, []);
  return dwarf;
}

const KEEP_TYPES = ['-O0', '-w', '-fno-eliminate-unused-debug-types'];

for (const compiler of COMPILERS) {
  for (const { name, args } of FLAVOURS) {
    test(`every layout is what the running program measures: ${compiler}, ${name}`, () => {
      const source = NASTY + NASTIER + (compiler.startsWith('clang') ? '' : FULL_WIDTH);
      const probes = probesOf(info(compile(source, { compiler, args: [...KEEP_TYPES, ...args] })));
      const measured = measure(source, probes, compiler);
      assert.equal(measured.length, probes.length);
      assert.ok(probes.length > 150, `only ${probes.length} probes`);
      const shown = (list: readonly { bit: number; bits: number }[]) =>
        probes.map((p, i) => `${p.type} ${p.path} ${list[i]!.bit}+${list[i]!.bits}`);
      assert.deepEqual(shown(probes), shown(measured));
    });
  }
}

/** Compares all layouts with pahole's; gives the number of members compared. */
function comparedWithPahole(object: Uint8Array): number {
  const expected = paholeLayouts(object);
  const actual = readLayouts(info(object));
  let leaves = 0;
  for (const [name, layout] of expected) {
    const mine = actual.get(name);
    assert.ok(mine, `${name} is missing`);
    assert.deepEqual(mine.leaves, layout.leaves, name);
    if (layout.size !== undefined) assert.equal(mine.size, layout.size, name);
    leaves += layout.leaves.length;
  }
  return leaves;
}

const pahole = { skip: hasTool('pahole') ? false : 'pahole is not installed' };

for (const compiler of COMPILERS) {
  for (const { name, args } of FLAVOURS.slice(0, 2)) {
    test(`the same layouts as pahole: ${compiler}, ${name}`, pahole, () => {
      const nasty = comparedWithPahole(compile(NASTY, { compiler, args: [...KEEP_TYPES, ...args] }));
      assert.ok(nasty > 120, `only ${nasty} members`);
      const system = comparedWithPahole(compile(SYSTEM_HEADERS, { compiler, args: [...KEEP_TYPES, ...args] }));
      assert.ok(system > 1000, `only ${system} members`);
    });
  }
}

for (const compiler of COMPILERS) {
  for (const { name, args } of FLAVOURS) {
    test(`types besides layouts: ${compiler}, ${name}`, () => {
      const dwarf = info(compile(NASTY + NASTIER, { compiler, args: [...KEEP_TYPES, ...args] }));
      const named = (kind: string, wanted: string) => {
        const found = dwarf.types.find((t) => t.kind === kind && t.name === wanted && !t.declaration);
        assert.ok(found, `${kind} ${wanted}`);
        return found;
      };
      const values = (tag: string) => Object.fromEntries(named('enum', tag).enumerators.map((e) => [e.name, e.value]));
      assert.deepEqual(values('small'), { A: 0n, B: 7n, C: -3n });
      assert.deepEqual(values('big'), { BIG0: 1n, BIG1: 0x123456789abcdefn, BIG2: -0x7fffffffffffffffn });
      assert.deepEqual(values('ubig'), { U0: 0n, U1: 0xffffffffffffffffn });
      assert.deepEqual(values('uint_sized'), { W0: 0x80000000n, W1: 0xffffffffn });
      assert.deepEqual(values('packed_enum'), { P0: 0n, P1: 200n });
      const nameless = dwarf.types.find((t) => t.enumerators.some((e) => e.name === 'NAMELESS'));
      assert.deepEqual(
        nameless?.enumerators.map((e) => [e.name, e.value]),
        [
          ['NAMELESS', 42n],
          ['NEGATIVE', -1n],
        ],
      );

      const member = (tag: string, field: string) => {
        const found = named('struct', tag).members.find((m) => m.name === field);
        assert.ok(found, `${tag}.${field}`);
        return dwarf.types[found.type]!;
      };
      assert.deepEqual(member('arrays', 'm').dimensions, [3, 5, 7]);
      assert.equal(member('arrays', 'm').size, 420);
      assert.deepEqual(member('flex', 'e').dimensions, [undefined]);
      assert.equal(member('flex', 'e').size, 0);
      assert.deepEqual(member('flex2', 'm').dimensions, [undefined, 4]);
      assert.equal(member('zero', 'y').size, 0);
      assert.equal(member('vecs', 'v').kind, 'typedef');
      assert.equal(dwarf.types[member('vecs', 'v').target]!.vector, true);

      const pointer = member('fptrs', 'f');
      const fn = dwarf.types[pointer.target]!;
      assert.deepEqual([pointer.kind, fn.kind, fn.variadic, fn.parameters.length], ['pointer', 'function', true, 2]);
      assert.equal(dwarf.types[fn.target]!.name, 'int');
      assert.equal(dwarf.types[dwarf.types[member('fptrs', 'g').target]!.target]!.target, -1);
      const self = member('self', 'next');
      assert.equal(dwarf.types[self.target], named('struct', 'self'));
      assert.deepEqual(
        ['volatile', 'const', 'restrict'],
        ['v', 'cp', 'rp'].map((field) => member('quals', field).kind),
      );
      // pahole does not read _Atomic; both compilers write DW_TAG_atomic_type, in DWARF 4 too.
      assert.equal(member('atom', 'a').size, 4);
      const forward = dwarf.types.find((t) => t.name === 'forward');
      assert.deepEqual([forward?.declaration, forward?.size, forward?.members.length], [true, undefined, 0]);
      assert.equal(member('holder', 'v').target, -1);

      const at = named('struct', 'plain').at;
      const line = NASTY.split('\n').findIndex((text) => text.startsWith('struct plain')) + 1;
      assert.deepEqual([at?.file, at?.line], ['/src/unit.c', line]);
      assert.equal(named('struct', 'anon').members[0]!.at?.line, named('struct', 'anon').at!.line + 1);
    });
  }
}
