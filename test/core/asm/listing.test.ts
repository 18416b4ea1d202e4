import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { listFunction } from '../../../server/src/core/asm/listing.ts';
import { placesOf } from '../../../server/src/core/asm/places.ts';
import { alignRows } from '../../../server/src/core/diff/rows.ts';
import type { ObjectModel } from '../../../server/src/core/object.ts';
import { listingLines, renderListing, renderPair } from '../../../server/src/core/render/asm.ts';
import { hasTool } from '../../support/cc.ts';
import { objectOf } from '../diff/support.ts';

// Golden texts in golden/, written anew with UPDATE_GOLDEN=1. They hold for the compilers named here.
const SOURCE = readFileSync(new URL('listing.c', import.meta.url), 'utf8');
const LINES = SOURCE.split('\n');
const CONFIGURATIONS = [
  {
    name: 'gcc-12-O2',
    compiler: 'gcc',
    version: / 12\./,
    args: ['-O2', '-g', '-ffunction-sections', '-fdata-sections'],
  },
  { name: 'gcc-12-O2-one-section', compiler: 'gcc', version: / 12\./, args: ['-O2', '-g'] },
  { name: 'gcc-12-O0-pic', compiler: 'gcc', version: / 12\./, args: ['-O0', '-g', '-fPIC', '-ffunction-sections'] },
  {
    name: 'gcc-12-O2-no-pie',
    compiler: 'gcc',
    version: / 12\./,
    args: ['-O2', '-gdwarf-4', '-fno-pie', '-mcmodel=large'],
  },
  {
    name: 'clang-14-O2',
    compiler: 'clang',
    version: / 14\./,
    args: ['-O2', '-g', '-ffunction-sections', '-fdata-sections'],
  },
  {
    name: 'clang-14-aarch64',
    compiler: 'clang',
    version: / 14\./,
    args: ['-O2', '-g', '--target=aarch64-linux-gnu', '-ffunction-sections'],
  },
];

function wholeListing(object: ObjectModel, source?: (file: string, line: number) => string | undefined): string {
  return placesOf(object.elf)
    .bodies.map((body) => body.symbols[0]!)
    .map((symbol) => `${symbol.name}\n${renderListing(listFunction(object, symbol), source ? { source } : {})}`)
    .join('\n');
}

function isVersion(compiler: string, version: RegExp): boolean {
  return (
    hasTool(compiler) &&
    version.test(spawnSync(compiler, ['--version'], { encoding: 'utf8' }).stdout.split('\n')[0] ?? '')
  );
}

for (const { name, compiler, version, args } of CONFIGURATIONS) {
  test(`golden listing ${name}`, { skip: !isVersion(compiler, version) && 'another compiler version' }, async () => {
    const object = await objectOf(SOURCE, { compiler, args, extra: ['-w'] });
    const text = wholeListing(object, (_file, line) => LINES[line - 1]);
    const golden = new URL(`golden/${name}.txt`, import.meta.url);
    if (process.env.UPDATE_GOLDEN === '1') writeFileSync(golden, text);
    assert.ok(existsSync(golden), `${golden.pathname} is missing: run with UPDATE_GOLDEN=1 and look at what it writes`);
    assert.equal(text, readFileSync(golden, 'utf8'));
  });

  test(`every relocation of ${name} is in the listing, and no address`, { skip: !hasTool(compiler) }, async () => {
    const object = await objectOf(SOURCE, { compiler, args, extra: ['-w'] });
    for (const body of placesOf(object.elf).bodies) {
      const rows = listFunction(object, body.symbols[0]!);
      assert.equal(
        rows.reduce((sum, row) => sum + row.bytes.length, 0),
        body.size,
      );
      const relocations = object.elf
        .relocationsOf(body.section)
        .filter((one) => one.offset >= body.start && one.offset < body.start + body.size);
      assert.equal(rows.flatMap((row) => row.references.filter((one) => one.relocation)).length, relocations.length);
      for (const row of rows) {
        for (const reference of row.references) {
          assert.ok(row.operands.includes(reference.name), `${row.mnemonic} ${row.operands} lacks ${reference.name}`);
          assert.notEqual(reference.kind, 'section', `${row.mnemonic} ${row.operands}`);
        }
        if (/^(call|jmp|j[a-z]+|bl?)$/.test(row.mnemonic)) assert.doesNotMatch(row.operands, /^#?0x/);
      }
    }
  });
}

test('the grammar: every line is a comment, a label or an instruction', async () => {
  const object = await objectOf(SOURCE);
  for (const body of placesOf(object.elf).bodies) {
    for (const { text } of listingLines(listFunction(object, body.symbols[0]!), {
      source: (_f, line) => LINES[line - 1],
    })) {
      assert.match(text, /^(; .*|\.L\d+:| {4}[a-z][a-z0-9.]*( +\S.*)?)$/);
    }
  }
});

test('code that moves leaves the listing as it is', async () => {
  const options = { args: ['-O2', '-g'] };
  const before = await objectOf(SOURCE, options);
  const after = await objectOf(`int front(int a) { static int calls; return a * 31 + calls++; }\n${SOURCE}`, options);
  const text = (object: ObjectModel, name: string) =>
    renderListing(listFunction(object, object.elf.symbols.find((symbol) => symbol.name === name)!), {
      lineNumbers: false,
    });
  for (const name of ['first', 'name', 'scale', 'give', 'pick']) {
    const normal = (listing: string) => listing.replaceAll(/\b\w+::calls\b/g, 'calls');
    assert.equal(normal(text(after, name)), normal(text(before, name)));
  }
});

test('a pair of listings differs only where the code does', async () => {
  const edited = SOURCE.replace('if (a > 3)', 'if (a > 3 && puts("more"))');
  const base = await objectOf(SOURCE);
  const next = await objectOf(`/* moved */\n${edited}`);
  const rows = (object: ObjectModel, name: string) =>
    listFunction(object, object.elf.symbols.find((symbol) => symbol.name === name)!);
  const untouched = renderPair(alignRows(rows(base, 'name'), rows(next, 'name')));
  assert.deepEqual(
    untouched.base.map((line) => line.text),
    untouched.next.map((line) => line.text),
  );
  const changed = renderPair(alignRows(rows(base, 'first'), rows(next, 'first')));
  const texts = new Set(changed.base.map((line) => line.text));
  const added = changed.next.filter((line) => !texts.has(line.text)).map((line) => line.text.trim());
  assert.ok(
    added.some((line) => line.includes('"more"')),
    added.join('\n'),
  );
});
