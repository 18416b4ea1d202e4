import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listFunction } from '../../../server/src/core/asm/listing.ts';
import type { AsmRow } from '../../../server/src/core/asm/types.ts';
import { rowKinds, withoutRegisters } from '../../../server/src/core/diff/noise.ts';
import { alignRows } from '../../../server/src/core/diff/rows.ts';
import type { AlignedRow, SourceEdits } from '../../../server/src/core/diff/types.ts';
import { diffLoaded, editsBetween, objectOf } from './support.ts';

const row = (mnemonic: string, operands: string, line: number, more: Partial<AsmRow> = {}): AsmRow => ({
  offset: 0,
  bytes: new Uint8Array(1),
  mnemonic,
  operands,
  references: [],
  inlinedFrom: [],
  source: { file: '/s.c', line },
  ...more,
});
const pair = (base: AsmRow | undefined, next: AsmRow | undefined): AlignedRow => ({
  ...(base ? { base } : {}),
  ...(next ? { next } : {}),
  same: base !== undefined && base === next,
});
/** Line 5 was replaced by lines 5 and 6. */
const EDITS: SourceEdits = new Map([['/s.c', [{ baseStart: 5, baseCount: 1, nextStart: 5, nextCount: 2 }]]]);

test('registers are told from all else in operands', () => {
  assert.equal(withoutRegisters('eax, dword ptr [rdi + r8*4 + 16]'), '%r32, dword ptr [%r64 + %r64*4 + 16]');
  assert.equal(withoutRegisters('r10d, r9w'), '%r32, %r16');
  assert.equal(withoutRegisters('al, sil'), '%r8, %r8');
  assert.equal(withoutRegisters('xmm12, xmmword ptr [rip + table]'), '%xmm, xmmword ptr [rip + table]');
  assert.equal(withoutRegisters('w3, x19, #8'), '%w, %x, #8');
  assert.equal(withoutRegisters('rdi, "eax is rbx"'), '%r64, "eax is rbx"');
  assert.notEqual(withoutRegisters('eax, [rdi]'), withoutRegisters('rax, [rdi]'));
  assert.equal(withoutRegisters('rsp, 8'), 'rsp, 8');
});

test('other registers, same line: the compiler; the same difference on an edited line: a change', () => {
  const kinds = rowKinds(
    [
      pair(row('mov', 'eax, ecx', 3), row('mov', 'eax, edx', 3)),
      pair(row('mov', 'eax, ecx', 5), row('mov', 'eax, edx', 5)),
      pair(row('mov', 'eax, ecx', 8), row('mov', 'eax, edx', 9)),
      pair(row('mov', 'eax, ecx', 8), row('mov', 'eax, edx', 8)),
      pair(row('mov', 'eax, 1', 3), row('mov', 'ecx, 2', 3)),
      pair(row('mov', 'eax, ecx', 3, { source: undefined } as never), row('mov', 'eax, edx', 3)),
    ],
    EDITS,
  );
  assert.deepEqual(kinds, ['registers', 'changed', 'registers', 'changed', 'changed', 'changed']);
});

test('without knowledge of the edits nothing is called noise', () => {
  assert.deepEqual(rowKinds([pair(row('mov', 'eax, ecx', 3), row('mov', 'eax, edx', 3))], undefined), ['changed']);
});

test('an instruction that changed places in its block has moved; across a jump or a label it has not', () => {
  const load = row('mov', 'eax, dword ptr [rdi]', 3);
  const same = row('add', 'ecx, 1', 4);
  assert.deepEqual(rowKinds([pair(load, undefined), pair(same, same), pair(undefined, load)], EDITS), [
    'moved',
    'same',
    'moved',
  ]);
  const label = row('add', 'ecx, 1', 4, { label: '.L1' });
  assert.deepEqual(rowKinds([pair(load, undefined), pair(label, label), pair(undefined, load)], EDITS), [
    'only',
    'same',
    'only',
  ]);
  const call = row('call', 'puts', 4);
  assert.deepEqual(rowKinds([pair(load, undefined), pair(call, call), pair(undefined, load)], EDITS), [
    'only',
    'same',
    'only',
  ]);
  const elsewhere = row('mov', 'eax, dword ptr [rdi]', 7);
  assert.deepEqual(rowKinds([pair(load, undefined), pair(same, same), pair(undefined, elsewhere)], EDITS), [
    'only',
    'same',
    'only',
  ]);
});

test('real code: an edit that shifts registers leaves rows of other lines as noise, and its own as changes', async () => {
  const body = (edit: string) => `
int helper(int, int, int);
int work(int *p, int a, int b, int c)
{
  int s = 0;
  ${edit}
  for (int i = 0; i < a; i++)
    s += p[i] * b + (p[i + 1] ^ c);
  s += helper(a, b, c);
  for (int i = 0; i < b; i++)
    s ^= p[i] + c;
  return s + helper(s, a, b);
}
`;
  const [before, after] = [body('s = a;'), body('s = a + p[c] * helper(c, c, s);')];
  const [base, next] = [await objectOf(before), await objectOf(after)];
  const edits = editsBetween(before, after, base.dwarf.functions[0]?.decl?.file ?? '/src/unit.c');
  const change = diffLoaded(base, next, edits).functions.find((each) => each.name === 'work');
  assert.ok(change?.base && change.next);
  const rows = alignRows(listFunction(base, change.base), listFunction(next, change.next));
  const kinds = rowKinds(rows, edits);
  assert.equal(kinds.length, rows.length);
  assert.ok(
    kinds.some((kind) => kind === 'registers' || kind === 'moved'),
    kinds.join(' '),
  );
  const line = after.split('\n').findIndex((text) => text.includes('p[c]')) + 1;
  for (const [index, each] of rows.entries())
    if (each.next?.source?.line === line)
      assert.ok(['same', 'changed', 'only'].includes(kinds[index]!), `${each.next.mnemonic} ${each.next.operands}`);
});
