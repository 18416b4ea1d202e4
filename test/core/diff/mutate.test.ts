import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { FunctionChange } from '../../../server/src/core/diff/types.ts';
import type { ObjectModel } from '../../../server/src/core/object.ts';
import { hasTool } from '../../support/cc.ts';
import { neutralEdit, ORIGINAL, randomFrom, semanticEdit, type Version } from './mutate.ts';
import { differingFunctions, plain } from './oracle.ts';
import { diffLoaded, load } from './support.ts';

// Random edits of a source, and an oracle that reads the compiler's assembly text: the functions that are reported are exactly those whose
// code differs. LIVEPATCH_MUTATIONS and LIVEPATCH_SEED run more of them, or others.
const COUNT = Number(process.env.LIVEPATCH_MUTATIONS ?? 16);
const SEED = Number(process.env.LIVEPATCH_SEED ?? 20);

const SECTIONS = ['-ffunction-sections', '-fdata-sections'];
const CONFIGURATIONS = [
  { compiler: 'gcc', args: ['-O2', '-fno-ipa-icf', ...SECTIONS] },
  { compiler: 'gcc', args: ['-O2', '-fno-ipa-icf', '-fno-pic', '-mcmodel=kernel', '-mno-red-zone'] },
  { compiler: 'gcc', args: ['-O1', '-fcf-protection', '-fstack-protector-strong', ...SECTIONS] },
  { compiler: 'gcc', args: ['-O0', '-fPIC'] },
  { compiler: 'gcc-11', args: ['-O3', '-fno-ipa-icf', ...SECTIONS] },
  { compiler: 'clang', args: ['-O2', ...SECTIONS] },
  { compiler: 'clang', args: ['-Os'] },
  { compiler: 'clang-16', args: ['-O2', ...SECTIONS] },
];

interface Built {
  readonly assembly: string;
  readonly object: ObjectModel;
}

async function build(version: Version, compiler: string, args: readonly string[]): Promise<Built> {
  const folder = mkdtempSync(join(tmpdir(), 'lpa-mutate-'));
  try {
    writeFileSync(join(folder, 'unit.c'), version.text);
    const run = (more: string[]) => {
      const done = spawnSync(compiler, more, { cwd: folder, encoding: 'utf8', timeout: 120_000 });
      if (done.status !== 0)
        throw new Error(
          `${compiler} ${more.join(' ')}: ${done.signal ?? done.error?.message ?? done.stderr}\nafter ${version.what}`,
        );
    };
    run([...args, '-g', '-w', '-S', 'unit.c', '-o', 'unit.s']);
    run(['-c', 'unit.s', '-o', 'unit.o']);
    const object = await load(new Uint8Array(readFileSync(join(folder, 'unit.o'))));
    return { assembly: readFileSync(join(folder, 'unit.s'), 'utf8'), object };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Functions that come along with another member of their family have no change of their own. */
const isOwn = (change: FunctionChange): boolean => !change.reasons.some(({ kind }) => kind === 'clone');

for (const { compiler, args } of CONFIGURATIONS) {
  const name = `${compiler} ${args.filter((arg) => !SECTIONS.includes(arg)).join(' ')}`;
  test(`mutations under ${name}`, { skip: !hasTool(compiler) && `${compiler} is not installed` }, async (context) => {
    const random = randomFrom(SEED);
    const base = await build(ORIGINAL, compiler, args);
    let changed = 0;
    for (let i = 0; i < COUNT; i++) {
      const kind = i % 4;
      const version = kind < 2 ? semanticEdit(random) : neutralEdit(random, kind === 3);
      const next = await build(version, compiler, args);
      const expected = differingFunctions(base.assembly, next.assembly);
      const diff = diffLoaded(base.object, next.object);
      const found = [...new Set(diff.functions.filter(isOwn).map((change) => plain(change.name)))].sort();
      assert.deepEqual(found, expected, `seed ${SEED}, mutation ${i}: ${version.what}`);
      if (kind === 2) {
        assert.deepEqual(expected, [], `the oracle sees a difference after: ${version.what}`);
        assert.deepEqual(diff.data, []);
      }
      if (expected.length > 0) changed++;
    }
    context.diagnostic(`${COUNT} mutations, ${changed} that changed code`);
    // An oracle that sees nothing would agree with a comparison that sees nothing.
    assert.ok(COUNT < 8 || changed >= COUNT / 4, `only ${changed} of ${COUNT} mutations changed code`);
  });
}
