import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readElf } from '../../../server/src/core/elf/index.ts';
import { checkXenPayload } from '../../../server/src/core/payload/xen-check.ts';
import { replacedNames, xenSymbols } from '../../../server/src/core/payload/xen-symbols.ts';
import { describePayload } from '../../../server/src/core/render/inspect.ts';
import { SmallXen } from './small.ts';

const KERNEL = `
static unsigned long count;
static noinline int twice(int n) { count++; return n * 2; }
int answer(int n) { return twice(n) + 7; }
int minor(void) { return 17; }
`;
const HOOKS = `static int asked(void *payload) { count++; return 0; }
HOOK(preapply, asked);
`;

/** Numbers that are the same in every run (Numerical Recipes' generator). */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe('payloads that somebody damaged', () => {
  it('are read to the end: no exception, no long wait', { timeout: 120_000 }, async () => {
    const xen = await SmallXen.make({ 'common/kernel.c': KERNEL });
    const edits = {
      'common/kernel.c':
        KERNEL.replace('n * 2', 'n * 3 + fresh++').replace('static unsigned', 'static int fresh = 3; static unsigned') +
        HOOKS,
    };
    const good = xen.payload(edits, { nops: [{ name: 'minor', size: 5 }], expectations: true }).bytes;
    const hypervisor = xen.hypervisor();
    const random = generator(20260101);
    // Section headers and the tables at the end are where a byte does most.
    const headers = readElf(good).elf!.sections.length * 64;
    let noticed = 0;
    for (let round = 0; round < 600; round++) {
      let bytes = good.slice();
      for (let n = 1 + random(4); n > 0; n--) {
        const at = round % 2 === 0 ? bytes.length - 1 - random(headers) : random(bytes.length);
        bytes[at] = [0, 0xff, 0x7f, random(256)][random(4)]!;
      }
      if (round % 10 === 0) bytes = bytes.slice(0, random(bytes.length));
      const told = describePayload(bytes);
      assert.ok(typeof told === 'string' || told.text.length < 1 << 20);
      const { elf } = readElf(bytes);
      if (elf) {
        if (checkXenPayload(elf, hypervisor, 2).length > 0) noticed++;
        replacedNames(elf);
        xenSymbols({ ...hypervisor, below: [{ id: 'below', elf }] }).inBelow('x');
      } else noticed++;
    }
    assert.ok(noticed > 150, `${noticed} of 600 were found to be damaged`);
  });
});
