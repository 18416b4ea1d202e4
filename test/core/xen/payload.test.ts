import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { x86Scanner } from '../../../server/src/core/asm/x86.ts';
import { readElf } from '../../../server/src/core/elf/index.ts';
import type { ElfFile } from '../../../server/src/core/elf/types.ts';
import type { Finding } from '../../../server/src/core/findings/types.ts';
import { buildXenPayload } from '../../../server/src/core/payload/xen.ts';
import { checkXenPayload } from '../../../server/src/core/payload/xen-check.ts';
import { readFuncs } from '../../../server/src/core/payload/xen-symbols.ts';
import { describePayload } from '../../../server/src/core/render/inspect.ts';
import { readList } from '../../../server/src/targets/xen-script.ts';
import { knownPayloads } from '../../../server/src/targets/xen-stack.ts';
import { hasTool } from '../../support/cc.ts';
import { remake } from './remake.ts';
import { payloadOptions, SmallXen, type Sources, sourceText } from './small.ts';

const KERNEL = `
int limit = 7;
static int __initdata early = 5;
static unsigned long count;
static int table[4] = { 1, 2, 3, 4 };
void print(const char *text);
static noinline int twice(int n) { count++; return n * 2; }
int answer(int n) { return twice(n) + limit + table[n & 3]; }
int __init start(int n) { return n + 1; }
int __init begin(void) { return early++; }
int minor(void) { return 17; }
`;
/** Code that runs refers to what is freed, and knows when not to. */
const RARE = `
int begin(void);
static int __initdata first = 5;
static noinline int __init asked(int n) { return first + n; }
int once(int n) { return n < 0 ? asked(n) + begin() + first : n * 2; }
`;
const VERSION = `
extern int limit;
int answer(int n);
static unsigned long count;
const char *name(void) { return "xen"; }
int number(void) { count++; return answer(3) + limit; }
`;
const PRINT = 'int printed; void print(const char *text) { printed += text[0]; }\n';
const WEIGHTS = `
static const unsigned char kinds[8] = { 9, 9, 9, 9, 9, 9, 9, 9 };
static const int weights[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
int weight(int n) { return weights[n & 7] + kinds[n & 7]; }
int kind(int n) { return kinds[n & 7]; }
`;
const SOURCES: Sources = {
  'common/kernel.c': KERNEL,
  'common/version.c': VERSION,
  'common/rare.c': RARE,
  'common/weights.c': WEIGHTS,
  'drivers/print.c': PRINT,
};

const elfOf = (bytes: Uint8Array): ElfFile => readElf(bytes).elf!;
/** What a section of the payload refers to: names of symbols, sections for local ones. */
const uses = (elf: ElfFile, section: string): string[] =>
  elf.relocationsOf(elf.sectionsNamed(section)[0]!.index).map(({ symbol }) => elf.symbols[symbol]!.name);

describe('payloads for Xen, built against a hypervisor in small', () => {
  let xen: SmallXen;
  before(async () => {
    xen = await SmallXen.make(SOURCES);
  });

  /** Refused with this code about this symbol, and the message says what to do. */
  const refuses = (made: ReturnType<SmallXen['build']>, code: string, symbol: RegExp, words: RegExp): Finding => {
    assert.equal(made.kind, 'refused');
    const list = made.kind === 'refused' ? made.refusals : [];
    const found = list.find((one) => one.code === code && symbol.test(one.symbol));
    assert.ok(found, list.map((one) => `${one.code} ${one.symbol}: ${one.message}`).join('\n'));
    assert.match(found.message, words);
    return found;
  };

  it('a changed static function: what it refers to is named as Xen names it', () => {
    const { bytes, manifest } = xen.payload({ 'common/kernel.c': KERNEL.replace('n * 2', 'n * 3') });
    const elf = elfOf(bytes);
    assert.deepEqual(
      readFuncs(elf).map((entry) => [entry.name, entry.oldAddress, entry.version]),
      [['common/kernel.c#twice', 0n, 2]],
    );
    assert.deepEqual(manifest.imports, ['common/kernel.c#count']);
    assert.deepEqual(uses(elf, '.text'), ['common/kernel.c#count']);
    assert.match(manifest.baseline.text, /^5 of 5 functions reproduce$/);
  });

  it('strings, constants, new data and bss, new functions; the same plan gives the same bytes', () => {
    const edits = {
      'common/kernel.c': KERNEL.replace(
        'n * 2; }',
        'n * 2 + calls++ + fresh; }\nstatic noinline void told(int n) { static const int odds[] = {1,3,5,7}; print("told"); fresh += odds[n & 3]; }',
      )
        .replace(
          'static noinline int twice',
          'static int calls, fresh = 9;\nstatic void told(int n);\nstatic noinline int twice',
        )
        .replace('count++; return n', 'count++; told(n); return n'),
    };
    const { bytes, manifest } = xen.payload(edits);
    const elf = elfOf(bytes);
    const added = manifest.adds.map(({ name }) => name).sort();
    assert.deepEqual(
      added.filter((name) => !name.includes('odds')),
      ['calls', 'fresh', 'told'].map((name) => `common/kernel.c#${name}`),
    );
    const texts = elf.sectionsNamed('.rodata.str')[0]!;
    assert.match(new TextDecoder().decode(texts.data), /told\0/);
    assert.equal(elf.sectionsNamed('.bss')[0]!.size, 4);
    assert.equal(elf.sectionsNamed('.data')[0]!.size, 4);
    assert.ok(manifest.imports.includes('print') && manifest.imports.includes('common/kernel.c#count'));
    assert.equal(
      elf.sections.find((section) => section.name.startsWith('.debug')),
      undefined,
    );
    assert.deepEqual(xen.payload(edits).bytes, bytes);
  });

  it('an edited constant comes along with the functions that use it, others stay where they are', () => {
    const made = xen.payload({ 'common/weights.c': WEIGHTS.replace('3, 4, 5', '3, 40, 5') });
    const elf = elfOf(made.bytes);
    assert.deepEqual(
      readFuncs(elf).map((entry) => entry.name),
      ['weight'],
    );
    assert.deepEqual(made.manifest.imports, ['common/weights.c#kinds']);
    const table = elf.sectionsNamed('.rodata')[0]!.data;
    assert.deepEqual([...new Int32Array(table.slice().buffer)], [1, 2, 3, 40, 5, 6, 7, 8]);
    assert.equal(
      elf.symbols.some(({ name }) => name.includes('weights.c#weights')),
      false,
    );
  });

  it('one fix in two units, with a new function and a new variable between them', () => {
    const { manifest } = xen.payload({
      'common/kernel.c': `${KERNEL}\nint shared = 3;\nint helper(int n) { return n + shared; }\n`,
      'common/version.c': VERSION.replace(
        'extern int limit;',
        'extern int limit; int helper(int n); extern int shared;',
      ).replace('return answer(3)', 'return helper(shared) + answer(3)'),
    });
    assert.deepEqual(
      manifest.replaces.map(({ name }) => name),
      ['number'],
    );
    assert.deepEqual(manifest.adds.map(({ name, kind }) => `${kind} ${name}`).sort(), [
      'data shared',
      'function helper',
    ]);
    // Static variables of the same name in two files stay apart.
    assert.ok(
      manifest.imports.includes('common/version.c#count') && !manifest.imports.includes('common/kernel.c#count'),
    );
  });

  it('tables about code: entries of the carried functions only, with their fixups and replacements', async () => {
    const guarded = (name: string, value: number) => `
int ${name}(int *p) {
  int r = ${value};
  asm volatile("1: mov (%1),%0; 2:\\n .section .fixup,\\"ax\\"; 3: mov $${value},%0; jmp 2b; .previous\\n"
    ".section .ex_table,\\"a\\"; .long 1b-., 3b-.; .previous\\n"
    ".section .bug_frames.1,\\"a\\"; 9: .long 1b-9b + (5 << 24), 4f-9b + (6 << 24); .previous\\n"
    ".section .rodata.str1.1,\\"aMS\\",@progbits,1; 4: .asciz \\"${name}.c\\"; .previous\\n"
    "5: nop; nop; 6: .section .altinstr_replacement,\\"ax\\"; 7: xor %0,%0; 8: .previous\\n"
    ".section .altinstructions,\\"a\\"; .long 5b-., 7b-.; .word 2; .byte 6b-5b, 8b-7b, 0, 0; .previous" : "+r"(r) : "r"(p));
  return r;
}`;
    const source = guarded('first', 1) + guarded('second', 2) + guarded('third', 3);
    const with_ = await SmallXen.make({ ...SOURCES, 'arch/x86/mm.c': source });
    const { bytes } = with_.payload({ 'arch/x86/mm.c': source.replace('int r = 2', 'int r = 22') });
    const elf = elfOf(bytes);
    const size = (name: string): number => elf.sectionsNamed(name)[0]!.size;
    assert.deepEqual(['.ex_table', '.bug_frames.1', '.altinstructions'].map(size), [8, 8, 14]);
    // mov $imm32 and a jump back; xor.
    assert.ok(size('.fixup') <= 10 && size('.fixup') > 5, String(size('.fixup')));
    assert.equal(size('.altinstr_replacement'), 2);
    assert.match(new TextDecoder().decode(elf.sectionsNamed('.rodata.str')[0]!.data), /^second\.c\0$/);
    // The line number is in the upper bits of the distances: they are kept, and the distances are right.
    const [place, text] = elf.relocationsOf(elf.sectionsNamed('.bug_frames.1')[0]!.index);
    assert.deepEqual([place!.addend >> 24, (text!.addend - 4) >> 24], [5, 6]);
    assert.deepEqual(checkXenPayload(elf, with_.hypervisor(), 2), []);
  });

  it('a fixup that runs on into the next one, and one that jumps over it: they stay whole', async () => {
    const copy = (name: string, value: number) => `
int ${name}(int *p) {
  int r = ${value};
  asm volatile("1: mov (%1),%0; 2: mov 4(%1),%0; 3: mov 8(%1),%0; 4:\\n"
    ".section .fixup,\\"ax\\"; 5: add $1,%0; jmp 7f; 6: add $2,%0; 7: mov $${value},%0; jmp 4b; .previous\\n"
    ".section .ex_table,\\"a\\"; .long 1b-., 5b-., 2b-., 6b-., 3b-., 7b-.; .previous" : "+r"(r) : "r"(p));
  return r;
}`;
    const source = copy('first', 17) + copy('second', 34);
    const with_ = await SmallXen.make({ ...SOURCES, 'arch/x86/mm.c': source });
    const { bytes } = with_.payload({
      'arch/x86/mm.c': source.replace('int r = 17', 'int r = 19').replace('int r = 34', 'int r = 35'),
    });
    const elf = elfOf(bytes);
    const fixup = elf.sectionsNamed('.fixup')[0]!;
    const table = elf.sectionsNamed('.ex_table')[0]!;
    const entries = elf.relocationsOf(table.index).filter(({ offset }) => offset % 8 === 4);
    assert.ok(entries.length > 0);
    /** The value that is loaded on the way from a place in .fixup to the jump back. */
    const valueFrom = (at: number): number | undefined => {
      const code = fixup.data.subarray(at);
      const scan = x86Scanner.scan(code);
      let value: number | undefined;
      for (let n = 0; n >= 0 && n < scan.count; ) {
        const start = scan.start[n]!;
        if (code[start] === 0xe9) return value;
        if (code[start]! >= 0xb8 && code[start]! <= 0xbf) value = code[start + 1];
        n = code[start] === 0xeb ? scan.start.indexOf(start + 2 + code[start + 1]!) : n + 1;
      }
      return undefined;
    };
    const values = entries.map(({ symbol, addend }) => valueFrom(elf.symbols[symbol]!.offset + addend));
    assert.deepEqual(values, [17, 17, 17, 34, 34, 34]);
    assert.deepEqual(checkXenPayload(elf, with_.hypervisor(), 2), []);
  });

  it('version 1: entries of 64 bytes, no expectations, and the hooks that it knows', async () => {
    const old = await SmallXen.make(SOURCES, { version: 1 });
    const edits = { 'common/kernel.c': KERNEL.replace('n * 2', 'n * 3') };
    const { bytes, manifest } = old.payload(edits, { expectations: true });
    const elf = elfOf(bytes);
    assert.equal(manifest.version, 1);
    assert.equal(elf.sectionsNamed('.livepatch.funcs')[0]!.size, 64);
    assert.deepEqual(
      readFuncs(elf).map(({ name, version }) => [name, version]),
      [['common/kernel.c#twice', 1]],
    );
    assert.deepEqual(checkXenPayload(elf, old.hypervisor(), 1), []);
    const hook = `${edits['common/kernel.c']}static int first(void *payload) { return 0; }\nHOOK(preapply, first);\n`;
    refuses(old.build({ 'common/kernel.c': hook }), 'payload-malformed', /preapply/, /not known to this hypervisor/);
  });

  it('expectations: the old bytes, up to what Xen changes at boot, none behind an endbr64', async () => {
    const edits = { 'common/kernel.c': KERNEL.replace('n * 2', 'n * 3').replace('return 17', 'return 18') };
    const { bytes } = xen.payload(edits, { expectations: true });
    const entries = readFuncs(elfOf(bytes));
    const old = (name: string): Uint8Array => {
      const symbol = xen.syms.symbols.find((one) => one.name === name)!;
      const section = xen.syms.sections[symbol.place as number]!;
      return section.data.subarray(symbol.offset, symbol.offset + symbol.size);
    };
    for (const [entry, name] of [
      [entries.find((one) => one.name === 'minor')!, 'minor'],
      [entries.find((one) => one.name === 'common/kernel.c#twice')!, 'twice'],
    ] as const) {
      const length = entry.expect[0]! >> 1;
      assert.equal(entry.expect[0]! & 1, 1);
      assert.equal(length, Math.min(31, old(name).length));
      assert.deepEqual([...entry.expect.subarray(1, 1 + length)], [...old(name).subarray(0, length)]);
    }
    assert.equal(readFuncs(elfOf(xen.payload(edits).bytes))[0]!.expect[0], 0);

    const altered = `int late(int n) { n += 3; asm volatile("1: nop; nop; nop; 2: .section .altinstr_replacement,\\"ax\\"; 3: nop; 4: .previous\\n.section .altinstructions,\\"a\\"; .long 1b-., 3b-.; .word 2; .byte 2b-1b, 4b-3b, 0, 0; .previous" : "+r"(n)); return n; }
int landing(int n);
asm(".section .text.landing,\\"ax\\"; .globl landing; .hidden landing; .type landing,@function; landing: endbr64; mov %edi,%eax; add $3,%eax; nop; nop; ret; .size landing,.-landing; .text");
`;
    const with_ = await SmallXen.make({ ...SOURCES, 'common/late.c': altered });
    const made = with_.payload(
      { 'common/late.c': altered.replace('n += 3', 'n += 4').replace('add $3', 'add $4') },
      { expectations: true },
    );
    const found = new Map(readFuncs(elfOf(made.bytes)).map((entry) => [entry.name, entry.expect[0]!]));
    const length = found.get('late')! >> 1;
    assert.ok(length > 0 && length < 8, `${length} bytes before the alternative`);
    assert.equal(found.get('landing'), 0);
  });

  it('NOP entries: given by name, at most 31 bytes and no more than the function', () => {
    const edits = { 'common/kernel.c': KERNEL.replace('n * 2', 'n * 3') };
    const { bytes, manifest } = xen.payload(edits, { nops: [{ name: 'minor', size: 5 }] });
    assert.deepEqual(manifest.nops, [{ name: 'minor', size: 5 }]);
    const entry = readFuncs(elfOf(bytes)).find((one) => one.name === 'minor')!;
    assert.equal(entry.code, undefined);
    assert.equal(entry.newSize, 5);
    refuses(xen.build(edits, { nops: [{ name: 'answer', size: 32 }] }), 'payload-malformed', /^answer$/, /at most 31/);
    refuses(
      xen.build(edits, { nops: [{ name: 'minor', size: 20 }] }),
      'payload-malformed',
      /^minor$/,
      /of a function of/,
    );
    refuses(xen.build(edits, { nops: [{ name: 'nobody', size: 5 }] }), 'symbol-unresolved', /^nobody$/, /no function/);
  });

  it('hooks: every kind; two of a kind that goes once', () => {
    const names = ['load', 'unload', 'preapply', 'apply', 'postapply', 'prerevert', 'revert', 'postrevert'];
    const hook = (kind: string, name = `on_${kind}`) =>
      `static int ${name}(void *payload) { count++; return 0; }\nHOOK(${kind}, ${name});\n`;
    const { bytes, manifest, notes } = xen.payload({
      'common/kernel.c': KERNEL + names.map((one) => hook(one)).join(''),
    });
    assert.deepEqual(
      manifest.hooks.map(({ kind }) => kind).sort(),
      names.map((one) => `.livepatch.hooks.${one}`).sort(),
    );
    assert.deepEqual(manifest.replaces, []);
    assert.ok(!notes.some(({ code }) => code === 'hook-without-undo'));
    const elf = elfOf(bytes);
    for (const name of names) assert.equal(elf.sectionsNamed(`.livepatch.hooks.${name}`)[0]!.size, 8, name);
    const two = KERNEL + hook('load') + hook('load', 'again');
    assert.equal(
      elfOf(xen.payload({ 'common/kernel.c': two }).bytes).sectionsNamed('.livepatch.hooks.load')[0]!.size,
      16,
    );
    refuses(
      xen.build({ 'common/kernel.c': KERNEL + hook('preapply') + hook('preapply', 'again') }),
      'hook-duplicate',
      /preapply/,
      /Call the others from it/,
    );
  });

  it('addresses through the global offset table get a slot of the payload', async () => {
    // Without hidden visibility, position independent code takes addresses from the table.
    const base = 'int far(void) { return 10; }\nint *where(void) { return (int *)16; }\n';
    const with_ = await SmallXen.make({ ...SOURCES, 'common/far.c': base });
    const seen = base.replace('return 10', 'return printed + 1').replace('(int *)16', '&printed + 1');
    const edits = { 'common/far.c': `#pragma GCC visibility pop\nextern int printed;\n${seen}` };
    const types = with_
      .units(edits)
      .flatMap(({ pair: { next } }) => next.elf.sections.flatMap(({ index }) => next.elf.relocationsOf(index)))
      .map(({ type }) => type);
    assert.ok(
      types.some((type) => type === 9 || type === 41 || type === 42),
      'the compiler used the table',
    );
    const { bytes, manifest } = with_.payload(edits);
    const elf = elfOf(bytes);
    assert.deepEqual(manifest.imports, ['printed']);
    // One slot for both, eight bytes that the loader fills.
    assert.equal(elf.sectionsNamed('.rodata')[0]!.size, 8);
    assert.deepEqual(uses(elf, '.rodata'), ['printed']);
    assert.deepEqual(
      elf.relocationsOf(elf.sectionsNamed('.rodata')[0]!.index).map(({ offset, type }) => [offset, type]),
      [[0, 1]],
    );
    assert.ok(elf.relocationsOf(elf.sectionsNamed('.text')[0]!.index).every(({ type }) => type === 2));
  });

  it('over the limit: what could be split off, and that two payloads are not one step', () => {
    const big = (name: string, size: number) => `static char ${name}[${size}];\n`;
    const kernel = big('room', 3 << 20) + KERNEL.replace('count++;', 'count++; room[n]++;');
    const version = big('more', 1000) + VERSION.replace('count++;', 'count++; more[answer(1)]++;');
    const both = refuses(
      xen.build({ 'common/kernel.c': kernel, 'common/version.c': version }),
      'payload-too-large',
      /./,
      /common\/kernel\.c \(\d+ bytes\), common\/version\.c \(\d+ bytes\).*Two payloads are not one step/,
    );
    assert.deepEqual(both.evidence.limit, 2 << 20);
    refuses(
      xen.build({ 'common/kernel.c': kernel }),
      'payload-too-large',
      /./,
      /one unit, which cannot be split.*load hook/,
    );
  });

  it('not what the code that runs refers to as well, under a condition of its own', () => {
    const outcome = xen.build({ 'common/rare.c': RARE.replace('n * 2', 'n * 3') });
    assert.equal(outcome.kind, 'payload', JSON.stringify(outcome.kind === 'refused' ? outcome.refusals : []));
    assert.ok(outcome.kind === 'payload');
    const used = uses(elfOf(outcome.bytes), '.text');
    for (const name of ['common/rare.c#asked', 'begin', 'common/rare.c#first'])
      assert.ok(used.includes(name), `${name} in ${used}`);
    refuses(
      xen.build({ 'common/kernel.c': KERNEL.replace('return 17;', 'return 17 + begin();') }),
      'init-code-changed',
      /begin/,
      /freed after the hypervisor booted/,
    );
  });

  it('code and data that are freed after boot', () => {
    refuses(
      xen.build({ 'common/kernel.c': KERNEL.replace('n + 1', 'n + 2') }),
      'init-code-changed',
      /^start$/,
      /when the hypervisor started/,
    );
    refuses(
      xen.build({ 'common/kernel.c': KERNEL.replace('return n * 2', 'return n * 2 + early') }),
      'init-code-changed',
      /early/,
      /freed after the hypervisor booted|init/,
    );
    refuses(
      xen.build({
        'common/version.c': VERSION.replace('return answer(3)', 'return begin() + answer(3)').replace(
          'extern int limit;',
          'extern int limit; int begin(void);',
        ),
      }),
      'init-code-changed',
      /begin/,
      /freed after the hypervisor booted/,
    );
  });

  it('functions that are shorter than the jump, which is longer behind an endbr64', async () => {
    const asm = (name: string, body: string) =>
      `int ${name}(int);\nasm(".section .text.${name},\\"ax\\"; .globl ${name}; .hidden ${name}; .type ${name},@function; ${name}: ${body}; ret; .size ${name},.-${name}; .text");\n`;
    const source = (add: number) =>
      asm('tiny', `add $${add},%edi`) +
      asm('landing', `endbr64; add $${add},%edi`) +
      asm('enough', `endbr64; add $${add},%edi; nop; nop`);
    const with_ = await SmallXen.make({ ...SOURCES, 'arch/tiny.c': source(1) });
    const made = with_.build({ 'arch/tiny.c': source(2) });
    refuses(made, 'func-too-small', /^tiny$/, /takes 5|needs 5/);
    refuses(made, 'func-too-small', /^landing$/, /takes 9|needs 9/);
    const list = made.kind === 'refused' ? made.refusals : [];
    assert.ok(!list.some(({ symbol }) => symbol === 'enough'));
  });

  it('names: unknown, of another object, twice in the hypervisor, taken', async () => {
    const edit = (text: string) => VERSION.replace('return answer(3)', `return ${text} + answer(3)`);
    refuses(
      xen.build({ 'common/version.c': `int nowhere(void);\n${edit('nowhere()')}` }),
      'symbol-unresolved',
      /^nowhere$/,
      /neither the hypervisor nor the patch/,
    );
    refuses(
      xen.build({
        'common/version.c': `${edit('minor()').replace('int number', 'noinline int minor(void) { return ++count; }\nint number')}`,
      }),
      'symbol-ambiguous',
      /^minor$/,
      /Rename it, or make it static/,
    );
    // Two files of one name without folder in their file symbols: which `count` is meant cannot be said.
    const twin = 'static unsigned long count; int twin(void) { return count++; }\n';
    const plain = await SmallXen.make(
      { 'common/a/same.c': twin, 'common/b/same.c': twin.replace('int twin', 'int other') },
      { fileNames: 'base' },
    );
    refuses(
      plain.build({ 'common/a/same.c': twin.replace('count++', 'count += 2') }),
      'symbol-ambiguous',
      /./,
      /CONFIG_ENFORCE_UNIQUE_SYMBOLS/,
    );
  });

  it('a base object that is not what the hypervisor was built from', () => {
    const other = KERNEL.replace('return 17', 'return 16');
    const made = xen.units({ 'common/kernel.c': other.replace('n * 2', 'n * 3') }, { 'common/kernel.c': other });
    const found = refuses(xen.buildUnits(made), 'baseline-differs', /^minor$/, /4 of 5 functions reproduce/);
    assert.equal(found.severity, 'blocker');
    // With a written reason it goes.
    const options = payloadOptions({ overrides: { 'baseline-differs:minor': 'not part of the fix' } });
    assert.equal(xen.buildUnits(made, options).kind, 'payload');
  });

  it('what an earlier attempt at a payload said does not stand in the way: it is found out anew', () => {
    const units = xen.units({ 'common/kernel.c': KERNEL.replace('n * 2', 'n * 3') });
    const old = { code: 'symbol-unresolved', severity: 'blocker', symbol: 'x', message: '', evidence: {} } as const;
    const with_ = (from: { from?: 'payload' }) =>
      units.map((unit) => ({ ...unit, findings: [...unit.findings, { ...old, ...from, related: [], fixes: [] }] }));
    assert.equal(xen.buildUnits(with_({})).kind, 'refused');
    assert.equal(xen.buildUnits(with_({ from: 'payload' })).kind, 'payload');
  });

  it('one source that is compiled twice', async () => {
    const shared =
      '#ifdef COMPAT\n#define NAME compat_version\n#else\n#define NAME version\n#endif\nstatic noinline int told(int n) { return (n + 1) * (n ^ 85); }\nint NAME(int n) { return told(n) * 3; }\n';
    const compat = (text: string) => `#define COMPAT\n${text}`;
    const with_ = await SmallXen.make({ 'common/shared.c': shared, 'common/compat/shared.c': compat(shared) });
    const next = shared.replace('n + 1', 'n + 2');
    const { manifest } = with_.payload({ 'common/shared.c': next, 'common/compat/shared.c': compat(next) });
    assert.deepEqual(manifest.replaces.map(({ name }) => name).sort(), [
      'common/compat/shared.c#told',
      'common/shared.c#told',
    ]);
  });

  it('on top of another patch: depends on it, uses what it brought, keeps names apart', () => {
    const first = KERNEL.replace(
      'static noinline int twice',
      'static noinline int told(int n) { static int asked; return ++asked + n; }\nstatic noinline int twice',
    ).replace('n * 2', 'told(n) * 2');
    const below = xen.payload({ 'common/kernel.c': first }, { id: 'first' });
    const second = first
      .replace('told(n) * 2', 'told(n) * 4')
      .replace('int limit = 7;', 'int limit = 7;\nstatic int again;')
      .replace('count++;', 'count += again++;');
    const units = xen.units({ 'common/kernel.c': second }, { 'common/kernel.c': first });
    const made = xen.buildUnits(units, payloadOptions({ id: 'second' }), [{ id: 'first', bytes: below.bytes }]);
    assert.equal(made.kind, 'payload', JSON.stringify(made));
    if (made.kind !== 'payload') return;
    assert.equal(made.manifest.depends, below.buildId);
    assert.ok(made.manifest.imports.includes('common/kernel.c#told'), made.manifest.imports.join());
    assert.ok(made.notes.some(({ code, message }) => code === 'stack-order' && /first already replaced/.test(message)));
    const { elf } = readElf(made.bytes);
    assert.deepEqual(checkXenPayload(elf!, xen.hypervisor([{ id: 'first', bytes: below.bytes }]), 2), []);
    // For the hypervisor alone, the same edit lacks what the first patch brought.
    const alone = xen.buildUnits(units, payloadOptions({ id: 'alone' }));
    refuses(alone, 'symbol-unresolved', /told|twice/, /./);
  });

  it('debug information goes along where it is asked for, and debuggers read it', (context) => {
    const edits = {
      'common/kernel.c': KERNEL.replace('n * 2', 'n * 3'),
      'common/version.c': VERSION.replace('"xen"', '"patched"').replace('return answer(3)', 'return answer(4)'),
    };
    const plain = xen.payload(edits);
    const { bytes } = xen.payload(edits, { keepDebug: true });
    const elf = elfOf(bytes);
    assert.deepEqual(checkXenPayload(elf, xen.hypervisor(), 2), []);
    assert.ok(bytes.length > plain.bytes.length * 1.5);
    assert.ok(elf.sections.filter(({ name }) => /^\.debug_/.test(name)).every(({ flags }) => (flags & 2) === 0));
    if (!hasTool('gdb')) return context.skip('gdb is not installed');
    const folder = mkdtempSync(join(tmpdir(), 'lpa-debug-'));
    try {
      const file = join(folder, 'test.livepatch');
      writeFileSync(file, bytes);
      const script = ['info scope *(char *)0', 'info line number', 'ptype answer', 'info functions -q twice'];
      const told = spawnSync('gdb', ['-q', '-batch', '-nx', ...script.flatMap((line) => ['-ex', line]), file], {
        encoding: 'utf8',
      });
      assert.match(told.stdout, /Line \d+ of "common\/version\.c" .*<number/);
      assert.match(told.stdout, /int \(int\)/);
      assert.match(told.stdout, /static int twice\(int\)/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('each refusal has its place in the edited source', () => {
    const at = (made: ReturnType<SmallXen['build']>, code: string): string | undefined => {
      assert.equal(made.kind, 'refused');
      const found = made.kind === 'refused' ? made.refusals.find((one) => one.code === code) : undefined;
      assert.ok(found, JSON.stringify(made));
      return found.at && `${found.at.file.replace('/src/', '')}:${found.at.line}`;
    };
    /** Where a text stands in a source, as the compiler counts. */
    const line = (name: string, text: string, words: string): string => {
      const lines = sourceText(text).split('\n');
      const found = lines.flatMap((one, index) => (one.includes(words) ? [index + 1] : []));
      assert.equal(found.length, 1, `${words}: ${found.join()}`);
      return `${name}:${found[0]}`;
    };
    const kernel = 'common/kernel.c';
    const unknown = VERSION.replace('return answer(3)', 'return nowhere() + answer(3)').replace(
      'extern',
      'int nowhere(void);\nextern',
    );
    assert.equal(
      at(xen.build({ 'common/version.c': unknown }), 'symbol-unresolved'),
      line('common/version.c', unknown, 'return nowhere()'),
    );
    const room = `static char room[3 << 20];\n${KERNEL.replace('count++;', 'count++; room[n]++;')}`;
    assert.equal(at(xen.build({ [kernel]: room }), 'payload-too-large'), line(kernel, room, 'room[n]++'));
    const twice = ['one', 'two'].map((name) => `static int ${name}(void *p) { return 0; }\nHOOK(preapply, ${name});\n`);
    const hooks = KERNEL + twice.join('');
    assert.equal(at(xen.build({ [kernel]: hooks }), 'hook-duplicate'), line(kernel, hooks, 'HOOK(preapply, one)'));
    const edited = KERNEL.replace('n * 2', 'n * 3');
    const nops = [{ name: 'answer', size: 32 }];
    assert.equal(
      at(xen.build({ [kernel]: edited }, { nops }), 'payload-malformed'),
      line(kernel, edited, 'int answer(int n)'),
    );
    const other = { [kernel]: KERNEL.replace('return 17', 'return 16') };
    const differs = xen.buildUnits(xen.units({ [kernel]: other[kernel]!.replace('n * 2', 'n * 3') }, other));
    assert.equal(at(differs, 'baseline-differs'), line(kernel, other[kernel]!, 'int minor(void)'));
  });

  it('a hypervisor that tells another build id than the file that the payload is made from', () => {
    const units = xen.units({ 'common/kernel.c': KERNEL.replace('n * 2', 'n * 3') });
    const running = (id: string) => buildXenPayload(units, { ...xen.hypervisor(), running: id }, payloadOptions());
    refuses(running('ab'.repeat(20)), 'build-id-mismatch', /xen-syms/, /the hypervisor that runs has abab/);
    assert.equal(running(xen.syms.buildId!).kind, 'payload');
  });

  it('inspect describes it, whatever its author wrote into it', () => {
    const edits = {
      'common/kernel.c': `${KERNEL.replace('n * 2', 'n * 3')}static void undo(void) { count = 0; }\nHOOK(unload, undo);\n`,
    };
    const { bytes, manifest, buildId } = xen.payload(edits, {
      id: 'XSA-1',
      description: 'three\u001b[2J times',
      nops: [{ name: 'minor', size: 5 }],
      expectations: true,
    });
    const told = describePayload(bytes);
    assert.ok(typeof told !== 'string');
    assert.equal(told.manifest.id, 'XSA-1');
    for (const words of [
      /^Live patch XSA-1 for Xen \(payload version 2\)$/m,
      new RegExp(`hypervisor with build id ${xen.syms.buildId}`),
      /common\/kernel\.c#twice .*at 0xffff82d0.*\d+ B → \d+ B .*first \d+ bytes compared by Xen/,
      /Turns into NOPs\n {2}minor {2}first 5 bytes/,
      /Hooks\n {2}\.livepatch\.hooks\.unload/,
      /Uses of the hypervisor\n {2}common\/kernel\.c#count/,
      /5 of 5 functions reproduce/,
    ])
      assert.match(told.text, words);
    assert.ok(!told.text.includes('\u001b'));
    assert.equal(manifest.depends, xen.syms.buildId);
    assert.match(buildId, /^[0-9a-f]{40}$/);
    // A manifest that is not as the format says is none.
    const bad = remake(bytes, (parts) => {
      const section = parts.section('.livepatch.manifest');
      section.data = new TextEncoder().encode(
        new TextDecoder().decode(section.data).replace('"replaces": [', '"replaces": ['.replace('[', '[7,')),
      );
    });
    assert.match(String(describePayload(bad)), /payload|manifest/i);
  });

  it('of two builds of one name the one that the hypervisor lists is known, whichever was sent last', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'lpa-xen-known-'));
    try {
      const builds = [3, 5].map((by, at) => {
        const edits = { 'common/kernel.c': KERNEL.replace('n * 2', `n * ${by}`) };
        return xen.payload(edits, { created: `2026-01-0${at + 1}T00:00:00Z` });
      });
      for (const [at, { bytes, buildId }] of builds.entries()) {
        const path = join(folder, `${buildId}.livepatch`);
        writeFileSync(path, bytes);
        utimesSync(path, at + 1, at + 1);
      }
      const known = async (metadata: string) => {
        const patches = readList(`test  | APPLIED    | ${metadata}`);
        return (await knownPayloads(folder, patches)).get('test')?.buildId;
      };
      for (const { bytes, buildId } of builds) {
        // As xen-livepatch prints it.
        const info = new TextDecoder().decode(elfOf(bytes).sectionsNamed('.modinfo')[0]!.data);
        assert.equal(await known(info.replaceAll('\0', ';')), buildId);
      }
      assert.equal(await known('patch=test;created=2026-01-03T00:00:00Z'), undefined);
      // Payloads of before, which do not say when they were built: the one that was sent last.
      assert.equal(await known('patch=test'), builds[1]!.buildId);
      utimesSync(join(folder, `${builds[0]!.buildId}.livepatch`), 9, 9);
      assert.equal(await known('patch=test'), builds[0]!.buildId);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
