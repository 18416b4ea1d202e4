import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readList, readSteps } from '../../../server/src/targets/xen.ts';
import { explainRefusal, type XenAction } from '../../../server/src/targets/xen-reasons.ts';

/** One refusal as it was seen: what xen-livepatch printed, what the hypervisor's console said, and what the user has to be told. */
const seen: readonly (readonly [XenAction, string, string, string, RegExp])[] = [
  ['upload', 'Uploading x... failed\nError 17: File exists', '', 'already-uploaded', /Unload that first/],
  [
    'upload',
    'Uploading x... failed\nError 22: Invalid argument',
    '(XEN) livepatch: fix: check against hypervisor build-id failed',
    'other-hypervisor',
    /xen-syms of the hypervisor that runs/,
  ],
  [
    'apply',
    'Applying fix... failed\nError 22: Invalid argument',
    '(XEN) livepatch: fix: check against first build-id failed',
    'not-on-top',
    /on top of first, or replace/,
  ],
  [
    'unload',
    'fix is in the wrong state.\nCurrent state: APPLIED\nExpected state: CHECKED',
    '',
    'wrong-state',
    /Revert it first/,
  ],
  [
    'revert',
    'Reverting fix... failed\nError 16: Device or resource busy',
    "(XEN) livepatch: fix: can't unload. Top is second",
    'not-top',
    /second is applied on top of fix: revert that first/,
  ],
  ['revert', 'Reverting fix... failed\nError 16: Device or resource busy', '', 'busy', /nothing was changed/],
  [
    'upload',
    'failed\nError 95: Operation not supported',
    '(XEN) livepatch: fix: Wrong version (1). Expected 2',
    'wrong-version',
    /version 1, and this hypervisor takes 2/,
  ],
  [
    'upload',
    'failed\nError 2: No such file or directory',
    '(XEN) livepatch: fix: Unknown symbol: foo_bar',
    'unknown-symbol',
    /foo_bar/,
  ],
  [
    'upload',
    'failed\nError 2: No such file or directory',
    '(XEN) livepatch: fix: Could not resolve old address of common/a.c#b',
    'unknown-function',
    /common\/a\.c#b/,
  ],
  [
    'upload',
    'failed\nError 22: Invalid argument',
    '(XEN) livepatch: fix: .livepatch.xen_depends is missing',
    'incomplete',
    /\.livepatch\.xen_depends is missing/,
  ],
  ['upload', 'failed\nError 22: Invalid argument', '(XEN) livepatch: fix: Bogus e_shoff', 'damaged-file', /cut off/],
  [
    'upload',
    'failed\nError 17: File exists',
    '(XEN) livepatch: fix: duplicate new symbol: told',
    'duplicate-symbol',
    /told/,
  ],
  [
    'apply',
    'failed\nError 16: Device or resource busy',
    '(XEN) livepatch: fix: Timed out on semaphore in CPU quiesce phase 0/1',
    'quiesce-timeout',
    /nothing was changed/,
  ],
  [
    'apply',
    'failed\nError 22: Invalid argument',
    "(XEN) livepatch: fix: can't revert as payload has .data. Please unload",
    'not-reappliable',
    /upload it anew/,
  ],
  [
    'apply',
    'failed\nError 22: Invalid argument',
    '(XEN) livepatch: f: expectation failed: expected:00, actual:01\n(XEN) livepatch: fix: expectations of f failed (rc=-22), aborting!',
    'expectation',
    /not what it expects/,
  ],
  [
    'apply',
    'failed\nError 1: Operation not permitted',
    '(XEN) livepatch: fix: pre-apply hook failed (rc=-1), aborting!',
    'hook-refused',
    /-1/,
  ],
  [
    'replace',
    'failed\nError 95: Operation not supported',
    '(XEN) livepatch: fix: REPLACE action is not supported on livepatches with vetoing hooks!',
    'not-replaceable',
    /one by one/,
  ],
  [
    'upload',
    'failed\nError 95: x',
    '(XEN) [2026-01-01 00:00:00] livepatch: fix: Unhandled relocation 10',
    'unloadable',
    /Unhandled relocation 10/,
  ],
  ['list', 'failed to get the handler', '', 'no-permission', /domain 0/],
  ['list', 'Failed to list.\nError 38: Function not implemented', '', 'no-livepatching', /CONFIG_LIVEPATCH/],
  ['apply', "Applying fix... failed\nOperation didn't complete.", '', 'quiesce-timeout', /Look at the list/],
  ['apply', 'Failed to get status of fix.\nError 2: No such file or directory', '', 'not-uploaded', /Upload it first/],
  ['apply', 'something nobody foresaw', '', 'refused', /something nobody foresaw/],
];

describe('what Xen refuses, explained', () => {
  for (const [action, output, console, reason, words] of seen) {
    it(`${action}: ${(console || output).split('\n').at(-1)}`, () => {
      const told = explainRefusal(action, 'fix', output, console);
      assert.equal(told.reason, reason);
      assert.match(told.message, words);
    });
  }

  it('lines about other patches on the console are not taken for the reason', () => {
    const told = explainRefusal(
      'upload',
      'fix',
      'failed\nError 17: File exists',
      '(XEN) livepatch: other: Unknown symbol: nothing_of_ours\n(XEN) fix: wrong version',
    );
    assert.equal(told.reason, 'already-uploaded');
  });
});

describe('what xen-livepatch prints', () => {
  it('the list, with errors and metadata', () => {
    const list = readList(
      [
        ' ID                                     | status     | metadata',
        '----------------------------------------+------------+---------------',
        'first                                   | APPLIED    | patch=first;functions=a,b.c#d;description=x=y',
        'second                                  | CHECKED (22, Invalid argument)    | ',
      ].join('\n'),
    );
    assert.deepEqual(
      list.map(({ id, state, error }) => [id, state, error]),
      [
        ['first', 'applied', 0],
        ['second', 'checked', 22],
      ],
    );
    assert.equal(list[0]!.metadata.get('description'), 'x=y');
    assert.equal(list[0]!.metadata.get('functions'), 'a,b.c#d');
  });

  it('steps; one that did not come to its end has no status', () => {
    const steps = readSteps('@@begin upload\nUploading... completed\n\n@@end 0\n@@begin apply\nApplying');
    assert.deepEqual(
      steps.map(({ name, status }) => [name, status]),
      [
        ['upload', 0],
        ['apply', -1],
      ],
    );
    assert.equal(steps[0]!.output, 'Uploading... completed');
  });
});
