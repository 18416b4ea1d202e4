import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as d from '../../../server/src/core/dwarf/constants.ts';
import { readDwarf } from '../../../server/src/core/dwarf/index.ts';
import type { DwarfInfo } from '../../../server/src/core/dwarf/types.ts';
import { readElf } from '../../../server/src/core/elf/index.ts';
import { compile } from '../../support/cc.ts';
import { runIn } from '../elf/readelf.ts';

/** Where the code lies that crafted functions claim as theirs. */
const CODE = 0x400000;

/** Debug information that no compiler writes: one DWARF 4 unit of these entries. */
class Crafted {
  readonly info: number[] = [];
  readonly #abbrev: number[] = [];
  #codes = 0;

  constructor() {
    // Length (filled in), version 4, abbreviations at 0, addresses of 8 bytes.
    this.info.push(0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 8);
  }
  /** Declares an abbreviation; attributes and forms alternate. */
  declare(tag: number, children: boolean, ...pairs: number[]): number {
    this.#abbrev.push(++this.#codes, tag, children ? 1 : 0, ...pairs, 0, 0);
    return this.#codes;
  }
  get here(): number {
    return this.info.length;
  }
  u32(value: number): void {
    for (let shift = 0; shift < 32; shift += 8) this.info.push((value >>> shift) & 0xff);
  }
  u64(value: number): void {
    this.u32(value);
    this.u32(0);
  }
  read(): DwarfInfo {
    const info = Uint8Array.from(this.info);
    new DataView(info.buffer).setUint32(0, info.length - 4, true);
    // An executable, so that addresses need no relocations.
    const object = compile('int main(void) { return 0; }', { args: ['-O1'] });
    const link = ['-no-pie', '-nostdlib', '-Wl,-e,main', `-Wl,-Ttext=0x${CODE.toString(16)}`, 'in.o', '-o', 'out'];
    const executable = runIn({ 'in.o': object }, 'gcc', link, 'out').bytes;
    const files = { 'in.o': executable, info, abbrev: Uint8Array.from([...this.#abbrev, 0]) };
    const args = ['--add-section', '.debug_info=info', '--add-section', '.debug_abbrev=abbrev', 'in.o', 'out.o'];
    return readDwarf(readElf(runIn(files, 'objcopy', args, 'out.o').bytes).elf!);
  }
}

/** Processor time, since tests share the machine. */
function within(milliseconds: number, work: () => void): void {
  const started = process.cpuUsage();
  work();
  const { user } = process.cpuUsage(started);
  assert.ok(user < milliseconds * 1000, `${user / 1000} ms`);
}

test('a chain of 300,000 typedefs, and one that closes a circle', () => {
  for (const circle of [false, true]) {
    const crafted = new Crafted();
    const unit = crafted.declare(d.DW_TAG_compile_unit, true);
    const typedef = crafted.declare(d.DW_TAG_typedef, false, d.DW_AT_type, d.DW_FORM_ref4);
    const base = crafted.declare(d.DW_TAG_base_type, false, d.DW_AT_byte_size, d.DW_FORM_data1);
    crafted.info.push(unit);
    const first = crafted.here;
    const count = 300_000;
    for (let i = 1; i <= count; i++) {
      crafted.info.push(typedef);
      crafted.u32(i === count && circle ? first : first + i * 5);
    }
    crafted.info.push(base, 8, 0);
    within(3000, () => {
      const dwarf = crafted.read();
      assert.equal(dwarf.types.length, count + 1);
      assert.equal(dwarf.types[0]!.size, circle ? undefined : 8);
      assert.equal(dwarf.types[count - 1]!.size, circle ? undefined : 8);
    });
  }
});

test('a struct that is its own first member, and arrays of arrays too large for any number', () => {
  const crafted = new Crafted();
  const unit = crafted.declare(d.DW_TAG_compile_unit, true);
  const struct = crafted.declare(d.DW_TAG_structure_type, true);
  const member = crafted.declare(d.DW_TAG_member, false, d.DW_AT_type, d.DW_FORM_ref4);
  const array = crafted.declare(d.DW_TAG_array_type, true, d.DW_AT_type, d.DW_FORM_ref4);
  const range = crafted.declare(d.DW_TAG_subrange_type, false, d.DW_AT_count, d.DW_FORM_data8);
  const base = crafted.declare(d.DW_TAG_base_type, false, d.DW_AT_byte_size, d.DW_FORM_data1);
  crafted.info.push(unit);
  const own = crafted.here;
  crafted.info.push(struct, member);
  crafted.u32(own);
  crafted.info.push(0);
  const element = crafted.here + 5 + 5 * 9 + 1;
  crafted.info.push(array);
  crafted.u32(element);
  for (let i = 0; i < 5; i++) {
    crafted.info.push(range);
    crafted.u64(0x7fffffff);
  }
  crafted.info.push(0, base, 8, 0);
  const { types } = crafted.read();
  assert.equal(types[0]!.members[0]!.type, 0);
  assert.equal(types[1]!.dimensions.length, 5);
  assert.equal(types[1]!.target, 2);
  assert.equal(types[1]!.size, undefined);
});

test('thousands of functions that share one huge abstract body, or sit inside of each other', () => {
  const crafted = new Crafted();
  const unit = crafted.declare(d.DW_TAG_compile_unit, true);
  const abstract = crafted.declare(d.DW_TAG_subprogram, true, d.DW_AT_name, d.DW_FORM_string);
  const variable = crafted.declare(d.DW_TAG_variable, false, d.DW_AT_type, d.DW_FORM_ref4);
  const parameter = crafted.declare(d.DW_TAG_formal_parameter, false, d.DW_AT_type, d.DW_FORM_ref4);
  const concrete = crafted.declare(
    d.DW_TAG_subprogram,
    true,
    ...[d.DW_AT_abstract_origin, d.DW_FORM_ref4, d.DW_AT_low_pc, d.DW_FORM_addr, d.DW_AT_high_pc, d.DW_FORM_data1],
  );
  const open = () => {
    crafted.info.push(concrete);
    crafted.u32(shared);
    crafted.u64(CODE);
    crafted.info.push(1);
  };
  crafted.info.push(unit);
  const shared = crafted.here;
  crafted.info.push(abstract, 0x61, 0);
  for (let i = 0; i < 30_000; i++) {
    crafted.info.push(i % 2 ? variable : parameter);
    crafted.u32(shared);
  }
  crafted.info.push(0);
  for (let i = 0; i < 30_000; i++) {
    open();
    crafted.info.push(0);
  }
  const depth = 3000;
  for (let i = 0; i < depth; i++) open();
  for (let i = 0; i <= depth; i++) crafted.info.push(0);
  within(4000, () => {
    const dwarf = crafted.read();
    let parameters = 0;
    for (const prototype of dwarf.prototypes) parameters += prototype.parameters.length;
    assert.equal(parameters, 15_000);
    assert.equal(dwarf.functions.length, 30_000 + depth);
    for (const fn of dwarf.functions) void [fn.inlined, fn.localTypes, fn.parameters];
    assert.match(dwarf.problems.map((p) => p.message).join(), /nested in each other too often/);
  });
});

test('entries nested without end are told', () => {
  const crafted = new Crafted();
  const unit = crafted.declare(d.DW_TAG_compile_unit, true);
  const block = crafted.declare(d.DW_TAG_lexical_block, true);
  crafted.info.push(unit);
  for (let i = 0; i < 100_000; i++) crafted.info.push(block);
  const dwarf = crafted.read();
  assert.equal(dwarf.types.length, 0);
  assert.match(dwarf.problems.map((p) => p.message).join(), /nested too deeply/);
});
