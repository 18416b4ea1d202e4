import assert from 'node:assert/strict';
import { test } from 'node:test';
import { xenTargetItem } from '../../server/src/lsp/xenActions.ts';
import type { XenTarget } from '../../server/src/targets/xen.ts';
import { readList } from '../../server/src/targets/xen-script.ts';
import { stackOf } from '../../server/src/targets/xen-stack.ts';

const HYPERVISOR = 'aa'.repeat(20);
const known = new Map([
  ['first', { buildId: '01'.repeat(20), depends: HYPERVISOR }],
  ['second', { buildId: '02'.repeat(20), depends: '01'.repeat(20) }],
  ['third', { buildId: '03'.repeat(20), depends: '02'.repeat(20) }],
  ['other', { buildId: '0a'.repeat(20), depends: HYPERVISOR }],
]);
/** As xen-livepatch prints it. */
const listed = (...lines: readonly string[]): string =>
  [' ID                                     | status     | metadata', '-'.repeat(60), ...lines].join('\n');
const applied = (id: string) => `${id.padEnd(40)}| APPLIED   | functions=a,b`;
const checked = (id: string, error = '') => `${id.padEnd(40)}| CHECKED${error}   | `;
const stack = (...lines: readonly string[]) =>
  stackOf(readList(listed(...lines)), known, HYPERVISOR).map(({ id, depth, actions }) => [id, depth, ...actions]);

test('the stack comes top first, however it is listed; only its top can be reverted', () => {
  assert.deepEqual(stack(applied('third'), applied('first'), applied('second')), [
    ['third', 3, 'revert'],
    ['second', 2],
    ['first', 1],
  ]);
});

test('what is uploaded can be applied where it goes on top, replace where it goes on the hypervisor, and always be unloaded', () => {
  assert.deepEqual(stack(applied('first'), checked('second'), checked('third'), checked('other')), [
    ['first', 1, 'revert'],
    ['second', undefined, 'apply', 'unload'],
    ['third', undefined, 'unload'],
    ['other', undefined, 'replace', 'unload'],
  ]);
  assert.deepEqual(stack(checked('second'), checked('other')), [
    ['second', undefined, 'unload'],
    ['other', undefined, 'apply', 'unload'],
  ]);
});

test('of a payload that another tool sent nothing is assumed: the hypervisor decides', () => {
  assert.deepEqual(stack(applied('first'), checked('foreign')), [
    ['first', 1, 'revert'],
    ['foreign', undefined, 'apply', 'replace', 'unload'],
  ]);
  assert.deepEqual(stack(applied('foreign'), applied('first')), [
    ['first', 2, 'revert'],
    ['foreign', 1],
  ]);
});

test('each function of an applied patch says whether it runs, or the code of a patch on top', async () => {
  const listed_ = [applied('first'), `${'second'.padEnd(40)}| APPLIED   | functions=b`, checked('third')];
  const patches = readList(listed(...listed_));
  const target = {
    name: 'lab',
    kind: 'xen',
    list: async () => ({ patches, buildId: HYPERVISOR }),
  } as unknown as XenTarget;
  const item = await xenTargetItem(target, undefined);
  assert.deepEqual(
    item.patches.map(({ id, running }) => [
      id,
      running?.map((one) => [one.name, one.redirected, one.covered ?? false]),
    ]),
    [
      ['second', [['b', true, false]]],
      [
        'first',
        [
          ['a', true, false],
          ['b', false, true],
        ],
      ],
      ['third', undefined],
    ],
  );
});

test('error numbers of the last action are kept', () => {
  const [one] = stackOf(readList(listed(checked('second', ' (16, busy)'))), known, HYPERVISOR);
  assert.equal(one?.error, 16);
});
