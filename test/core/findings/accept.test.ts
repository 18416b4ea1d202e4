import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { acceptedOverrides, evidenceHash, markAccepted } from '../../../server/src/core/findings/accept.ts';
import { verdictOf } from '../../../server/src/core/findings/catalogue.ts';
import type { Finding } from '../../../server/src/core/findings/types.ts';
import { acceptedEntry, withAccepted } from '../../../server/src/shell/accept.ts';
import { loadConfig } from '../../../server/src/shell/config.ts';
import { parseJson } from '../../../server/src/shell/jsonPlaces.ts';
import { compareFixture } from '../../support/markers.ts';

const program = (size: number, above = ''): string => `${above}
static int ring[${size}];
int at(int i) { static int calls; calls++; return ring[i & 15] + calls; }
void put(int i, int v) { ring[i & 15] = v + ${size}; }
`;

const compare = (size: number, above?: string) =>
  compareFixture({ base: program(16), next: program(size, above) }, 'gcc-12');
const sizeFinding = (findings: readonly Finding[]): Finding =>
  findings.find(({ code }) => code === 'data-size-changed')!;

test('an accepted blocker stays visible and no longer blocks; other evidence asks again; moved lines do not', async () => {
  const first = await compare(32);
  assert.equal(first.verdict, 'blocked');
  const entry = acceptedEntry([sizeFinding(first.findings)], ' nobody uses the rest ');
  assert.deepEqual([entry.code, entry.symbol, entry.reason], ['data-size-changed', 'ring', 'nobody uses the rest']);

  const moved = await compare(32, '/* one\nmore */\n');
  const marked = markAccepted(moved.findings, [entry]);
  assert.equal(marked.length, moved.findings.length);
  assert.equal(sizeFinding(marked).accepted, 'nobody uses the rest');
  assert.equal(verdictOf(moved.diff, marked), 'patchable');
  assert.deepEqual(acceptedOverrides(marked), { 'data-size-changed:ring': 'nobody uses the rest' });

  const other = await compare(64);
  const again = markAccepted(other.findings, [entry]);
  assert.equal(sizeFinding(again).accepted, undefined);
  assert.equal(sizeFinding(again).outdated, 'nobody uses the rest');
  assert.equal(verdictOf(other.diff, again), 'blocked');
  assert.deepEqual(acceptedOverrides(again), {});
  // Withdrawn: no mark is left over.
  assert.deepEqual(markAccepted(marked, []), [...moved.findings]);
});

test("a finding that stands in another unit is not overridden by the accepted unit's", async () => {
  const finding = sizeFinding((await compare(32)).findings);
  const other: Finding = { ...finding, evidence: { ...finding.evidence, nextSize: 256 } };
  const marked = markAccepted([finding, other], [acceptedEntry([finding], 'looked at it')]);
  assert.deepEqual([marked[0]!.accepted, marked[1]!.accepted], ['looked at it', undefined]);
  assert.deepEqual(acceptedOverrides(marked), {});
  assert.notEqual(evidenceHash(finding), evidenceHash(other));
});

test("the compiler's numbers do not count", async () => {
  const finding = sizeFinding((await compare(32)).findings);
  const numbered = (n: number): Finding => ({ ...finding, symbol: `ring.${n}`, evidence: { users: [`at.isra.${n}`] } });
  assert.equal(evidenceHash(numbered(1)), evidenceHash(numbered(27)));
  assert.equal(
    markAccepted([numbered(3)], [acceptedEntry([numbered(1)], 'looked at it')])[0]!.accepted,
    'looked at it',
  );
});

const entries = [{ code: 'a', symbol: 's', reason: 'because "so"', evidence: ['0123'] }];
for (const [title, text] of [
  ['no file', ''],
  ['an empty object', '{}'],
  ['members and comments', '{\n\t// where\n\t"buildDir": "b" /* here */,\n\t"targets": [] // none\n\t// end\n}\n'],
  ['an older list', '{\n  "accepted": [ {"code": "x"} ],\n  "buildDir": "b"\n}\n'],
  ['one line', '{"buildDir": "b"}'],
] as const) {
  test(`livepatch.json keeps the rest: ${title}`, () => {
    const next = withAccepted(text, entries);
    const before = text === '' ? {} : (parseJson(text).value as Record<string, unknown>);
    assert.deepEqual(parseJson(next).value, { ...before, accepted: entries });
    for (const comment of text.match(/\/\/[^\n]*|\/\*.*?\*\//g) ?? []) assert.ok(next.includes(comment), next);
    assert.deepEqual(parseJson(withAccepted(next, [])).value, { ...before, accepted: [] });
  });
}

test('livepatch.json that is no object is left alone', () => {
  assert.throws(() => withAccepted('[1]', entries), /not a JSON object/);
  assert.throws(() => withAccepted('{"a": ', entries), /line 1/);
});

test('entries that are not whole are named with their place, and do not count', async () => {
  const root = mkdtempSync(join(tmpdir(), 'lpa-accept-'));
  try {
    writeFileSync(join(root, 'livepatch.json'), withAccepted('', [...entries, { ...entries[0]!, reason: '' }]));
    const { config, problems } = await loadConfig(root);
    assert.deepEqual(config.accepted, entries);
    assert.equal(problems.length, 1);
    assert.match(problems[0]!, /livepatch\.json:\d+:\d+: `reason` must be a text that is not empty/);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
