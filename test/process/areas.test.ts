import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import type { Helper } from '../../server/src/targets/helper.ts';
import { encodeHeader, findPatches, headerSize, STATE } from '../../server/src/targets/record.ts';
import { ASKING_MAIN, ensureHelper, Program } from './program.ts';
import { outcome } from './whole.ts';

/** "hold" keeps the thread in the function until the next line. */
const part = (word: string): string => `
#include <stdio.h>
#include <string.h>
const char *answer(const char *q) {
  static char text[64];
  if (!strcmp(q, "hold")) { puts("held"); fgets(text, sizeof text, stdin); }
  snprintf(text, sizeof text, "${word} %s", q);
  return text;
}
`;

describe('process target: areas of patches', () => {
  let program: Program;
  before(() => {
    ensureHelper();
    program = new Program({ 'main.c': ASKING_MAIN, 'part.c': part('old') });
  });
  after(() => program.dispose());

  it('a refused apply leaves no memory behind, and a reverted patch stays one', async () => {
    const payload = await program.payload({ 'part.c': part('new') });
    const running = program.start();
    await running.line();
    assert.equal(await running.ask('x'), 'old x');
    const target = running.target({ switching: { tries: 3, lastWaitMicroseconds: 2000 } });
    const maps = () => readFileSync(`/proc/${running.pid}/maps`, 'utf8');
    const states = async () => (await target.status()).patches.map(({ state }) => state);
    const before = maps();
    assert.equal(await running.ask('hold'), 'held');
    assert.match(outcome(await target.apply(payload)), /^refused busy/);
    assert.equal(maps(), before);
    assert.equal(await running.ask(''), 'old hold');
    assert.equal(outcome(await running.target().apply(payload)), 'applied');
    assert.equal(outcome(await running.target().revert(undefined)), 'reverted');
    const reverted = maps();
    assert.notEqual(reverted, before);
    assert.equal(await running.ask('hold'), 'held');
    assert.match(outcome(await target.apply(payload)), /^refused busy/);
    assert.deepEqual(await states(), ['reverted']);
    assert.equal(await running.ask(''), 'old hold');
    assert.equal(outcome(await running.target().apply(payload)), 'applied');
    assert.deepEqual(await states(), ['applied']);
    assert.equal(maps(), reverted);
    assert.equal(await running.ask('x'), 'new x');
    assert.equal(await running.end(), 0);
  });

  it('a patch of very many functions, whose header has more than a MiB, is found', async () => {
    const functions = Array.from({ length: 1100 }, (_, i) => ({
      name: `function${i}`,
      entry: '0x1000',
      jumpAddress: '0x1000',
      size: 16,
      original: '00',
      previous: '00',
      jump: '00',
      newAddress: '0x2000',
      code: [],
    }));
    const room = Math.ceil(headerSize(functions.length) / 4096) * 4096;
    assert.ok(room > 1 << 20);
    const record = {
      id: 'many',
      description: '',
      appliedAt: '',
      order: 0,
      module: '',
      functions,
      code: ['0x0', 0] as const,
    };
    const memory = encodeHeader(room, room, '00'.repeat(32), STATE.applied, record)!;
    const start = 0x10000000;
    const reads: number[] = [];
    const helper = {
      tryRead: async (address: number, size: number) => {
        reads.push(address);
        return memory.slice(address - start, address - start + size);
      },
    } as unknown as Helper;
    const mapping = { start, end: start + room, permissions: 'r--p', offset: 0, file: '', name: '' };
    const [found, ...more] = await findPatches(helper, [mapping as never]);
    assert.equal(found?.record.functions.length, functions.length);
    assert.equal(more.length, 0);
    // A large mapping is not read to its end.
    assert.ok(reads.every((address) => address < start + (1 << 20)));
  });
});
