import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { messageOf } from '../../client/src/pageMessages.ts';

describe('messages of a page', () => {
  it('are taken as what they are', () => {
    for (const message of [
      { type: 'open', to: { kind: 'function', unit: 'a.o', name: 'f' } },
      { type: 'open', to: { kind: 'data', unit: 'a.o', name: 'table' } },
      { type: 'open', to: { kind: 'type', unit: 'a.o', type: 'struct s' } },
      { type: 'open', to: { kind: 'finding', index: 3 } },
      { type: 'open', to: { kind: 'docs', code: 'struct-layout' } },
      { type: 'command', command: 'livepatch.exportHtml' },
      { type: 'review', kind: 'finding', index: 0, checked: true },
    ])
      assert.deepEqual(messageOf(message), message);
  });

  it('carry nothing that was not asked for', () => {
    const told = messageOf({ type: 'open', to: { kind: 'docs', code: 'x', unit: '../..' }, more: 1 });
    assert.deepEqual(told, { type: 'open', to: { kind: 'docs', code: 'x' } });
  });

  it('are dropped where they are something else', () => {
    for (const message of [
      undefined,
      null,
      'open',
      7,
      [],
      {},
      { type: 'open' },
      { type: 'open', to: 'f' },
      { type: 'open', to: { kind: 'function', unit: 'a.o' } },
      { type: 'open', to: { kind: 'docs', code: '../../etc/passwd' } },
      { type: 'open', to: { kind: 'finding', index: -1 } },
      { type: 'open', to: { kind: 'finding', index: 1.5 } },
      { type: 'open', to: { kind: 'finding', index: '1' } },
      { type: 'open', to: { kind: 'function', unit: 'a.o', name: 'x'.repeat(10_001) } },
      { type: 'command', command: 7 },
      { type: 'review', kind: 'unit', index: 0, checked: true },
      { type: 'review', kind: 'function', index: 0, checked: 'yes' },
    ])
      assert.equal(messageOf(message), undefined, JSON.stringify(message));
  });
});
