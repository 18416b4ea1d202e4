import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { explainRefusal, type XenAction } from '../../../server/src/targets/xen-reasons.ts';
import { newWords, readBuildId, readList, readSteps } from '../../../server/src/targets/xen-script.ts';

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
  ['upload', 'sh: sudo: not found', '', 'no-permission', /root@host/],
  ['upload', 'sudo: a password is required', '', 'no-permission', /without one/],
  ['upload', 'eve is not in the sudoers file.  This incident will be reported.', '', 'no-permission', /not root/],
  [
    'upload',
    'sudo: unable to resolve host lab: Name or service not known\nUploading fix... failed\nError 17: File exists',
    '',
    'already-uploaded',
    /Unload that first/,
  ],
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

  it('a name that another tool gave may hold any characters', () => {
    const id = 'fix(1)+[a.b]';
    const told = explainRefusal(
      'upload',
      id,
      'failed\nError 2: No such file',
      `(XEN) livepatch: ${id}: Unknown symbol: gone`,
    );
    assert.equal(told.reason, 'unknown-symbol');
    assert.match(told.message, /gone/);
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

  it('the build id as od prints it', () => {
    const id = '502b6454e9f362f1b662af188d2d84c6ae82ab8b';
    assert.equal(readBuildId(' 50 2b 64 54 e9 f3 62 f1 b6 62 af 18 8d 2d 84 c6\n ae 82 ab 8b\n'), id);
    assert.equal(readBuildId(' 3c 64 65 6e 69 65 64 3e 0a'), undefined);
    assert.equal(readBuildId('od: /sys/hypervisor/properties/buildid: No such file or directory'), undefined);
  });
});

describe("what a console's buffer says that it did not say before", () => {
  for (const [name, before, now, wanted] of [
    ['nothing new', 'a\nb\n', 'a\nb\n', ''],
    ['nothing before', '', 'a\nb', 'a\nb'],
    ['lines at the end', 'a\nb', 'a\nb\nc\nd', 'c\nd'],
    ['the same words again', 'a\nrefused', 'a\nrefused\nrefused', 'refused'],
    ['the oldest lines have gone', 'a\nb\nc', 'b\nc\nd', 'd'],
    ['the oldest line has lost its beginning', 'a\nlong line\nc', 'line\nc\nd', 'd'],
    ['everything is new', 'a\nb', 'x\ny', 'x\ny'],
  ] as const)
    it(name, () => assert.equal(newWords(before, now), wanted));
});
