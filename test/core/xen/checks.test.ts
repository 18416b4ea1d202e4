import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { readElf } from '../../../server/src/core/elf/index.ts';
import type { Finding } from '../../../server/src/core/findings/types.ts';
import { checkXenPayload } from '../../../server/src/core/payload/xen-check.ts';
import { type Parts, remake } from './remake.ts';
import { SmallXen } from './small.ts';

const KERNEL = `
static unsigned long count;
int limit = 7;
static noinline int twice(int n) { count++; return n * 2; }
int answer(int n) { return twice(n) + limit; }
int tiny(void);
asm(".section .text.tiny,\\"ax\\"; .globl tiny; .hidden tiny; .type tiny,@function; tiny: xor %eax,%eax; ret; .size tiny,.-tiny");
int guarded(void);
asm(".section .text.guarded,\\"ax\\"; .globl guarded; .hidden guarded; .type guarded,@function; guarded: endbr64; xor %eax,%eax; ret; .size guarded,.-guarded");
`;
/** A change that brings everything along: data, a hook, a table about code, an alternative. */
const EDITED =
  KERNEL.replace('n * 2', 'n * 3 + fresh++').replace(
    'static unsigned long count;',
    'static unsigned long count; static int fresh = 1;',
  ) +
  `
int checked(int *p);
asm(".section .text.checked,\\"ax\\"; .globl checked; .hidden checked; .type checked,@function\\n"
    "checked: 1: mov (%rdi),%eax; 2: ret; nop; .size checked,.-checked\\n"
    ".section .fixup,\\"ax\\"; 3: jmp 2b\\n"
    ".section .ex_table,\\"a\\"; .long 1b-., 3b-.\\n"
    ".section .altinstr_replacement,\\"ax\\"; 4: xor %eax,%eax; 5:\\n"
    ".section .altinstructions,\\"a\\"; .long 2b-., 4b-.; .word 3; .byte 2, 5b-4b, 0, 0\\n"
    ".previous");
static void loaded(void) { checked(&limit); }
HOOK(load, loaded);
static void unloaded(void) { count = 0; }
HOOK(unload, unloaded);
static int before(void *payload) { return 0; }
HOOK(preapply, before);
`;

describe('what the hypervisor would refuse at load is found before the upload', () => {
  let xen: SmallXen;
  let good: Uint8Array;

  before(async () => {
    xen = await SmallXen.make({ 'common/kernel.c': KERNEL });
    good = xen.payload({ 'common/kernel.c': EDITED }).bytes;
  });

  const check = (bytes: Uint8Array, version: 1 | 2 = 2): readonly Finding[] => {
    const { elf, problems } = readElf(bytes);
    assert.ok(elf, problems.map((one) => one.message).join());
    return checkXenPayload(elf, xen.hypervisor(), version);
  };
  /** The change is found as this code, at this place, and the message says what. */
  const finds = (change: (parts: Parts) => void, code: string, symbol: string | RegExp, words: RegExp): void => {
    const found = check(remake(good, change));
    const hit = found.filter(
      (one) => one.code === code && (typeof symbol === 'string' ? one.symbol === symbol : symbol.test(one.symbol)),
    );
    assert.ok(hit.length > 0, found.map((one) => `${one.code} ${one.symbol}: ${one.message}`).join('\n') || 'nothing');
    assert.match(hit[0]!.message, words);
    assert.equal(hit[0]!.severity, 'blocker');
  };
  const rebuilt = (part: Parts, name: string, data: Uint8Array): void => {
    part.section(name).data = data;
  };

  it('the payload that the others are made from is fine, taken apart and put together too', () => {
    assert.deepEqual(check(good), []);
    assert.deepEqual(check(remake(good, () => {})), []);
  });

  it('sections: alignment, writable code, number, missing notes', () => {
    finds((parts) => (parts.section('.data').align = 3), 'payload-malformed', '.data', /no power of two/);
    finds((parts) => (parts.section('.text').flags |= 1), 'payload-malformed', '.text', /writable and executable/);
    for (const name of ['.note.gnu.build-id', '.livepatch.depends', '.livepatch.xen_depends']) {
      finds((parts) => (parts.section(name).name = '.other'), 'payload-malformed', name, /is missing/);
      finds((parts) => rebuilt(parts, name, new Uint8Array(20)), 'payload-malformed', name, /no GNU build id/);
      finds((parts) => (parts.section(name).flags = 0), 'payload-malformed', name, /is missing/);
      finds((parts) => parts.sections.push({ ...parts.section(name) }), 'payload-malformed', name, /2 times/);
    }
    finds(
      (parts) => {
        for (let n = 0; n < 1100; n++)
          parts.sections.push({ ...parts.section('.modinfo'), name: `.more${n}`, flags: 0 });
      },
      'payload-malformed',
      'payload',
      /sections, and Xen takes at most 1023/,
    );
    finds((parts) => rebuilt(parts, '.modinfo', Uint8Array.of(97, 61)), 'payload-malformed', '.modinfo', /NUL/);
  });

  it('size: of the file and of its .bss', () => {
    const large = new Uint8Array((2 << 20) + 1);
    finds((parts) => rebuilt(parts, '.livepatch.manifest', large), 'payload-too-large', 'payload', /2097152/);
    finds(
      (parts) => {
        parts.sections.push({ name: '.bss', type: 8, flags: 3, align: 8, data: new Uint8Array(), size: 3 << 20 });
      },
      'payload-too-large',
      '.bss',
      /3145728/,
    );
  });

  it('symbols: unknown, twice, common, too long', () => {
    const used = (parts: Parts) => parts.symbols.find((one) => one.section === 'undef')!;
    finds((parts) => (used(parts).name = 'common/kernel.c#gone'), 'symbol-unresolved', /#gone$/, /Neither/);
    const own = (parts: Parts) => parts.symbols.find((one) => one.name === 'common/kernel.c#fresh')!;
    finds((parts) => (own(parts).name = 'limit'), 'symbol-ambiguous', 'limit', /duplicate new symbol/);
    finds((parts) => (own(parts).name = 'x'.repeat(128)), 'payload-malformed', /^x+$/, /longer than 127/);
    // SHN_COMMON, which the writer cannot even write.
    const common = good.slice();
    const { elf } = readElf(common);
    const table = elf!.sections.find((section) => section.type === 2)!;
    const fresh = elf!.symbols.find((one) => one.name === 'common/kernel.c#fresh')!;
    new DataView(common.buffer).setUint16(table.offset + fresh.index * 24 + 6, 0xfff2, true);
    assert.ok(check(common).some((one) => one.code === 'forbidden-relocation' && /common symbol/.test(one.message)));
  });

  it('relocations: kinds, places, what they refer to', () => {
    const first = (parts: Parts) => parts.relocations.find((one) => one.section === parts.at('.text'))!;
    for (const [type, name] of [
      [9, 'GOTPCREL'],
      [10, '32'],
      [11, '32S'],
      [24, 'PC64'],
      [41, 'GOTPCRELX'],
    ] as const)
      finds((parts) => (first(parts).type = type), 'forbidden-relocation', '.text', new RegExp(`${name} at byte`));
    finds((parts) => (first(parts).offset = 1 << 20), 'payload-malformed', '.text', /past its end/);
    finds(
      (parts) => {
        const section = parts.at('.livepatch.manifest');
        parts.symbols.push({ name: 'm', bind: 'global', type: 'object', section, value: 0, size: 0 });
        first(parts).symbol = parts.symbols.length - 1;
      },
      'payload-malformed',
      '.text',
      /not loaded/,
    );
    // STN_UNDEF, which the writer cannot write either.
    const nothing = good.slice();
    const { elf } = readElf(nothing);
    const table = elf!.sectionsNamed('.rela.text')[0]!;
    new DataView(nothing.buffer).setUint32(table.offset + 12, 0, true);
    assert.ok(check(nothing).some((one) => one.symbol === '.text' && /names no symbol/.test(one.message)));
  });

  it('the function table: version, sizes, names, NOPs, expectations', () => {
    const edit = (change: (view: DataView, bytes: Uint8Array) => void) => (parts: Parts) => {
      const { data } = parts.section('.livepatch.funcs');
      change(new DataView(data.buffer, data.byteOffset, data.length), data);
    };
    const name = 'common/kernel.c#twice';
    finds(
      edit((view) => view.setUint8(32, 1)),
      'payload-malformed',
      /./,
      /version/,
    );
    finds(
      edit((view) => view.setUint32(28, 0, true)),
      'payload-malformed',
      name,
      /no old size/,
    );
    finds(
      edit((view) => view.setUint32(28, 3, true)),
      'func-too-small',
      name,
      /takes 5/,
    );
    finds(
      edit((view) => view.setUint32(28, 999, true)),
      'baseline-differs',
      name,
      /expects 999/,
    );
    finds(
      edit((view) => view.setBigUint64(16, 0x1000n, true)),
      'payload-malformed',
      name,
      /outside of the hypervisor's code/,
    );
    finds(
      (parts) => rebuilt(parts, '.livepatch.funcs', parts.section('.livepatch.funcs').data.subarray(0, 100)),
      'payload-malformed',
      '.livepatch.funcs',
      /no multiple/,
    );
    const nop = (size: number) => (parts: Parts) => {
      const table = parts.at('.livepatch.funcs');
      const at = parts.relocations.findIndex((one) => one.section === table && one.offset === 8);
      parts.relocations.splice(at, 1);
      edit((view) => view.setUint32(24, size, true))(parts);
    };
    finds(nop(32), 'payload-malformed', name, /at most 31/);
    finds(nop(31), 'payload-malformed', name, /of a function of/);
    const alone = remake(good, (parts) => {
      nop(5)(parts);
      // Nothing is replaced any more, so the name would be a new one.
      parts.symbols.find((one) => one.name === name)!.name = 'no-longer-of-twice';
    });
    assert.deepEqual(check(alone), []);
    const expects = (flags: number, ...data: number[]) =>
      edit((view, bytes) => {
        view.setUint8(72, flags);
        bytes.set(data, 73);
      });
    finds(expects(1 | (3 << 1), 0xcc, 0xcc, 0xcc), 'baseline-differs', name, /not what the payload expects/);
    finds(expects(1 | (1 << 6)), 'payload-malformed', name, /Reserved bits/);
    finds(expects(1 | (31 << 1)), 'payload-malformed', name, /longer than the function/);
    finds(
      (parts) => {
        const strings = parts.section('.livepatch.strings');
        strings.data = new TextEncoder().encode('common/kernel.c#never\0');
      },
      'symbol-unresolved',
      /never/,
      /Neither/,
    );
  });

  it('hooks: number, size, kinds that the version does not know', () => {
    finds(
      (parts) => rebuilt(parts, '.livepatch.hooks.preapply', new Uint8Array(16)),
      'hook-duplicate',
      '.livepatch.hooks.preapply',
      /exactly one/,
    );
    finds(
      (parts) => rebuilt(parts, '.livepatch.hooks.load', new Uint8Array(12)),
      'payload-malformed',
      '.livepatch.hooks.load',
      /no multiple of 8/,
    );
    finds(
      (parts) => {
        const section = parts.at('.livepatch.hooks.unload');
        parts.relocations.splice(
          parts.relocations.findIndex((one) => one.section === section),
          1,
        );
        rebuilt(parts, '.livepatch.hooks.unload', new Uint8Array(0));
      },
      'payload-malformed',
      '.livepatch.hooks.unload',
      /is empty/,
    );
    assert.ok(
      check(good, 1).some((one) => one.symbol === '.livepatch.hooks.preapply' && /not known/.test(one.message)),
    );
    finds(
      (parts) => {
        for (const section of parts.sections)
          if (/^\.livepatch\.(hooks|funcs)/.test(section.name)) section.name = `.x${section.name}`;
      },
      'nothing-to-patch',
      'payload',
      /no hook/,
    );
  });

  it('tables about code: sizes, what alternatives point to', () => {
    finds(
      (parts) => rebuilt(parts, '.ex_table', new Uint8Array(12)),
      'payload-malformed',
      '.ex_table',
      /no multiple of 8/,
    );
    finds(
      (parts) => rebuilt(parts, '.altinstructions', parts.section('.altinstructions').data.subarray(0, 13)),
      'payload-malformed',
      '.altinstructions',
      /no multiple of 14/,
    );
    finds(
      (parts) => (parts.section('.altinstr_replacement').name = '.gone'),
      'payload-malformed',
      '.altinstructions',
      /no \.altinstr_replacement/,
    );
    finds(
      (parts) => {
        parts.section('.altinstructions').data[11] = 200;
      },
      'payload-malformed',
      '.altinstructions',
      /replacement of the alternative at byte 0 .* outside/,
    );
    finds(
      (parts) => {
        const table = parts.at('.altinstructions');
        parts.relocations.find((one) => one.section === table && one.offset === 0)!.addend += 1 << 20;
      },
      'payload-malformed',
      '.altinstructions',
      /code of the alternative at byte 0 .* outside/,
    );
  });

  it('build ids: another hypervisor, another top of the stack', async () => {
    const other = await SmallXen.make({ 'common/kernel.c': KERNEL, 'common/more.c': 'int more = 1;' });
    const { elf } = readElf(good);
    const found = checkXenPayload(elf!, other.hypervisor(), 2);
    assert.ok(found.some((one) => one.code === 'build-id-mismatch' && /the hypervisor that runs/.test(one.message)));
    const below = xen.hypervisor([{ id: 'first', bytes: remake(good, () => {}) }]);
    const stacked = checkXenPayload(elf!, below, 2);
    assert.ok(stacked.some((one) => one.code === 'build-id-mismatch' && one.symbol === 'first'));
  });

  it('cut off anywhere, it is never taken for whole', () => {
    for (let size = 64; size < good.length; size += 211) {
      const { elf, problems } = readElf(good.subarray(0, size));
      const found = elf ? checkXenPayload(elf, xen.hypervisor(), 2) : problems;
      assert.ok(found.length > 0, `${size} of ${good.length} bytes`);
    }
  });
});
