import assert from 'node:assert/strict';
import { test } from 'node:test';
import { theDecoders } from '../diff/support.ts';

const hex = (text: string) => Uint8Array.from(text.split(' ').map((byte) => Number.parseInt(byte, 16)));

async function x86(bytes: Uint8Array, offset = 0) {
  return (await theDecoders()).forMachine(62)!(bytes, offset);
}

const words = (rows: readonly { mnemonic: string; operands: string }[]) =>
  rows.map((row) => `${row.mnemonic} ${row.operands}`.trim());

test('text, sizes, flow and fields', async () => {
  const rows = await x86(hex('55 48 8b 05 10 00 00 00 e8 00 00 00 00 74 02 c7 05 00 00 00 00 05 00 00 00 c3'), 0x100);
  assert.deepEqual(words(rows), [
    'push rbp',
    'mov rax, qword ptr [rip + 0x10]',
    'call 0x10d',
    'je 0x111',
    'mov dword ptr [rip], 5',
    'ret',
  ]);
  assert.deepEqual(
    rows.map((row) => row.flow),
    [undefined, undefined, 'call', 'branch', undefined, 'return'],
  );
  assert.deepEqual(
    rows.map((row) => row.targetOffset),
    [undefined, undefined, 0x10d, 0x111, undefined, undefined],
  );
  assert.deepEqual(rows[4]?.displacement, { at: 2, size: 4 });
  assert.deepEqual(rows[4]?.immediate, { at: 6, size: 4 });
});

test('ud1 keeps its operands and puts nothing out of step', async () => {
  const rows = await x86(hex('0f b9 00 90 67 0f b9 40 02 48 0f b9 c8 c3'));
  assert.deepEqual(words(rows), [
    'ud1 eax, dword ptr [rax]',
    'nop',
    'ud1 eax, dword ptr [eax + 2]',
    'ud1 rcx, rax',
    'ret',
  ]);
});

test('instructions that the decoder does not know are one row each, and the next one is right', async () => {
  // vaddph zmm2, zmm1, zmm0; serialize; tilerelease; then ret.
  const rows = await x86(hex('62 f5 74 48 58 d0 0f 01 e8 c4 e2 78 49 c0 c3'));
  assert.equal(words(rows).at(-1), 'ret');
  assert.equal(
    rows.reduce((sum, row) => sum + row.size, 0),
    15,
  );
  assert.equal(words(rows)[0], '.byte 0x62, 0xf5, 0x74, 0x48, 0x58, 0xd0');
});

test('code longer than what one call of the decoder can take', async () => {
  const bytes = new Uint8Array(200_000).map((_, i) => hex('48 8b 05 10 00 00 00 90')[i % 8]!);
  const rows = await x86(bytes);
  assert.equal(rows.length, 50_000);
  assert.ok(
    rows.every(
      (row, i) => row.mnemonic === (i % 2 ? 'nop' : 'mov') && row.offset === Math.floor(i / 2) * 8 + (i % 2) * 7,
    ),
  );
});

test('any bytes: no exception, sizes add up', async () => {
  let state = 5;
  const bytes = Uint8Array.from({ length: 60_000 }, () => {
    state = (state * 48271) % 2147483647;
    return state & 255;
  });
  const rows = await x86(bytes);
  assert.equal(
    rows.reduce((sum, row) => sum + row.size, 0),
    bytes.length,
  );
});

test('AArch64', async () => {
  const rows = (await theDecoders()).forMachine(183)!(
    hex('fd 7b bf a9 02 00 00 94 40 00 00 54 00 00 00 90 c0 03 5f d6'),
    0x40,
  );
  assert.deepEqual(words(rows), ['stp x29, x30, [sp, #-0x10]!', 'bl #0x4c', 'b.eq #0x50', 'adrp x0, #0', 'ret']);
  assert.deepEqual(
    rows.map((row) => row.flow),
    [undefined, 'call', 'branch', undefined, 'return'],
  );
});

test('other machines have no decoder', async () => {
  assert.equal((await theDecoders()).forMachine(40), undefined);
});
