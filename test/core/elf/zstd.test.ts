import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { readDwarf } from '../../../server/src/core/dwarf/index.ts';
import { readElf } from '../../../server/src/core/elf/index.ts';
import { unzstd } from '../../../server/src/core/elf/zstd.ts';
import { Random } from '../../fuzz/random.ts';
import { compile, hasTool } from '../../support/cc.ts';
import { packDebugSections } from '../../support/pack-sections.ts';
import { readLayouts } from '../dwarf/pahole.ts';
import { NASTY } from '../dwarf/sources.ts';

const skip = !hasTool('zstd') && 'zstd is not installed';

/** Compressed by the real tool. */
function zstd(data: Uint8Array, ...options: string[]): Uint8Array {
  const run = spawnSync('zstd', ['-q', '-c', ...options], { input: data, maxBuffer: 1 << 28 });
  if (run.error) throw run.error;
  assert.equal(run.status, 0, String(run.stderr));
  return new Uint8Array(run.stdout);
}

/** Data of every kind: what debug sections look like, runs, noise, few symbols, nothing. */
function samples(): Map<string, Uint8Array> {
  const random = new Random(5, 0);
  const noise = Uint8Array.from({ length: 300_000 }, () => random.below(256));
  const few = Uint8Array.from({ length: 200_000 }, () => 65 + random.below(3) * random.below(2));
  const skewed = Uint8Array.from({ length: 200_000 }, () => random.below(1 + random.below(1 + random.below(256))));
  const text = readFileSync(new URL(import.meta.url));
  const object = compile(NASTY, { extra: ['-gdwarf-5'] });
  const words = new Uint8Array(400_000);
  for (let i = 0; i < words.length; i += 4) words[i] = random.below(9) === 0 ? random.below(256) : (i >> 6) & 0xff;
  const pieces: Uint8Array[] = [];
  for (let i = 0; i < 400; i++) pieces.push(text.subarray(random.below(2000), 2000 + random.below(1500)));
  return new Map([
    ['nothing', new Uint8Array(0)],
    ['one byte', Uint8Array.of(7)],
    ['a run', new Uint8Array(1_000_000).fill(9)],
    ['noise', noise],
    ['few symbols', few],
    ['skewed', skewed],
    ['text', new Uint8Array(text)],
    ['object', object],
    ['words', words],
    ['pieces', new Uint8Array(Buffer.concat(pieces))],
  ]);
}

test('what zstd compresses at every level is read back', { skip }, () => {
  for (const [name, data] of samples()) {
    for (const options of [
      ['-1'],
      ['-3'],
      ['-9'],
      ['-19'],
      ['--ultra', '-22'],
      ['--fast=5'],
      ['--no-check'],
      ['-B1KB'],
    ]) {
      const packed = zstd(data, ...options);
      assert.ok(Buffer.compare(unzstd(packed, data.length), data) === 0, `${name} ${options.join(' ')}`);
    }
  }
  const [one, two] = [zstd(Buffer.from('first ')), zstd(Buffer.from('second'))];
  const skippable = Buffer.from('502a4d1803000000616263', 'hex');
  const frames = new Uint8Array(Buffer.concat([one, skippable, two]));
  assert.equal(Buffer.from(unzstd(frames, 12)).toString(), 'first second');
});

test('damaged Zstandard data: an exception that says why, in time that its size bounds', { skip }, () => {
  const all = [...samples()].filter(([name]) => name !== 'nothing');
  const random = new Random(6, 1);
  let refused = 0;
  for (let i = 0; i < 3000; i++) {
    const [name, data] = random.pick(all);
    const small = data.subarray(0, 1 + random.below(5000));
    const packed = new Uint8Array(packs.get(`${name} ${small.length >> 9}`) ?? zstd(small));
    packs.set(`${name} ${small.length >> 9}`, new Uint8Array(packed));
    for (let n = 1 + random.below(4); n > 0; n--) packed[4 + random.below(packed.length - 4)] = random.below(256);
    const cut = random.below(8) === 0 ? packed.subarray(0, random.below(packed.length)) : packed;
    const started = process.cpuUsage();
    try {
      unzstd(cut, small.length);
    } catch (error) {
      refused++;
      assert.equal((error as Error).constructor.name, 'ZstdError', (error as Error).stack);
    }
    assert.ok(process.cpuUsage(started).user < 2_000_000);
  }
  assert.ok(refused > 2000, `${refused} refused`);
  // A table of one symbol takes no bits: a reader that waits for them to run out never ends.
  const endless = Buffer.from('28b52ffd200a650000a2000205f003000001000100', 'hex');
  assert.throws(() => unzstd(endless, 10), /too many symbols/);
  assert.throws(() => unzstd(zstd(Buffer.from('seven b')), 6), /more bytes/);
  assert.throws(() => unzstd(zstd(Buffer.from('seven b')), 8), /7 instead of 8/);
});
const packs = new Map<string, Uint8Array>();

test('debug sections compressed with zstd', { skip }, () => {
  const plain = compile(NASTY, { extra: ['-gdwarf-5'] });
  const expected = readLayouts(readDwarf(readElf(plain).elf!));
  const object = packDebugSections(plain, 2, (data) => zstd(data, '-9'));
  assert.ok(object.length < plain.length);
  const { elf, problems } = readElf(object);
  assert.deepEqual(readLayouts(readDwarf(elf!)), expected);
  assert.deepEqual(problems, []);
  const damaged = packDebugSections(plain, 2, (data) => zstd(data).subarray(0, -9));
  const read = readElf(damaged);
  assert.equal(readDwarf(read.elf!).types.length, 0);
  assert.match(
    read.problems.map((p) => p.message).join('\n'),
    /\.debug_info is compressed and could not be decompressed/,
  );
});
