import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { readElf } from '../../../server/src/core/elf/index.ts';
import { SmallXen } from './small.ts';

// What inline and top-level assembly adds to C: code in a subsection, a table without type and size.
const source = (number: number, entry: number): string => `
asm(".section .rodata\\n.globl tab\\ntab: .long 1, ${entry}, 3, 4\\n.previous");
extern const int tab[4];
int far(int n) { return n + 1; }
int work(int a) { asm volatile("test %0,%0\\njz 771f\\n772:\\n.subsection 1\\n771: add $${number},%0\\ncall far\\njmp 772b\\n.previous" : "+D"(a) : : "memory", "rax"); return a * 7 + 1; }
int look(int i) { return tab[i & 3] + i * 3; }
`;

describe('assembly in payloads for Xen', () => {
  let xen: SmallXen;
  before(async () => {
    // As with CONFIG_CC_SPLIT_SECTIONS, which CONFIG_LIVEPATCH asks for.
    const flags = ['-ffunction-sections', '-fdata-sections'];
    xen = await SmallXen.make({ 'common/kernel.c': source(3, 2) }, { flags });
  });

  it('an edit of a subsection carries the function with it', () => {
    const { bytes, manifest } = xen.payload({ 'common/kernel.c': source(4, 2) });
    assert.deepEqual(manifest.imports, ['far']);
    assert.match(manifest.baseline.text, /^3 of 3 functions reproduce$/);
    const text = readElf(bytes).elf!.sectionsNamed('.text')[0]!;
    assert.ok(Buffer.from(text.data).includes(Buffer.from([0x83, 0xc7, 4])), 'add $4,%edi of the subsection');
  });

  it('an edited table without a type is refused: the old one would go on being used', () => {
    const made = xen.build({ 'common/kernel.c': source(3, 9) });
    assert.equal(made.kind, 'refused');
    if (made.kind !== 'refused') return;
    assert.deepEqual(
      made.refusals.map(({ code, symbol }) => `${code} ${symbol}`),
      ['rodata-changed tab'],
    );
  });
});
