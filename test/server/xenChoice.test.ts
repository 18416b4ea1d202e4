import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TargetItem } from '../../client/src/targets.ts';
import { patchesFor } from '../../client/src/xenChoice.ts';

const patch = (id: string, ...actions: string[]): TargetItem['patches'][number] => ({
  id,
  state: 'applied',
  functions: [],
  actions,
});
const target = (name: string, kind: 'xen' | 'process', ...patches: TargetItem['patches'][number][]): TargetItem => ({
  name,
  kind,
  root: '/r',
  alive: true,
  patches,
});

describe('payloads for a step in a hypervisor', () => {
  const list = [
    target('ticker', 'process', patch('p', 'revert')),
    target('one', 'xen', patch('top', 'revert'), patch('below')),
    target('two', 'xen', patch('checked', 'apply', 'unload')),
  ];
  const ids = (action: 'apply' | 'revert' | 'unload' | 'replace') =>
    patchesFor(list, action).map((each) => `${each.target.name}/${each.patch.id}`);

  it('are those whose state allows it, of every hypervisor and of nothing else', () => {
    assert.deepEqual(ids('revert'), ['one/top']);
    assert.deepEqual(ids('apply'), ['two/checked']);
    assert.deepEqual(ids('unload'), ['two/checked']);
    assert.deepEqual(ids('replace'), []);
  });
});
