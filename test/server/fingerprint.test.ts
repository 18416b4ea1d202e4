import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Documents } from '../../server/src/lsp/documents.ts';
import { Model } from '../../server/src/lsp/model.ts';
import type { UnitState } from '../../server/src/shell/types.ts';
import { diffLoaded, objectOf } from '../core/diff/support.ts';
import { CASE_COMPILERS, hasTool } from '../support/cc.ts';

/** A function whose variable is numbered by a counter, which others may use in front of it. */
const counted = (before: string, body: string): string => `
#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
#define SITE(id) do { static struct site id __attribute__((section("sites"), used)) = { 1, __LINE__ }; ext(&id); } while (0)
struct site { int used, line; };
int ext(struct site *);
${before}
int f(int a) { SITE(CAT(__UNIQUE_ID_site, __COUNTER__)); return ${body}; }
`;
const USED = 'enum { spent = __COUNTER__ };';

for (const compiler of CASE_COMPILERS.filter(hasTool)) {
  test(`${compiler}: a review holds while only numbers that macros give are others, and no longer`, async () => {
    const options = { compiler, args: ['-O2', '-g', '-ffunction-sections', '-fdata-sections'] };
    const base = await objectOf(counted('', 'a + 1'), options);
    const print = async (before: string, body: string): Promise<string> => {
      const next = await objectOf(counted(before, body), options);
      const diff = diffLoaded(base, next);
      const change = diff.functions.find(({ name }) => name === 'f');
      assert.ok(change, 'f changed');
      const pair = {
        base,
        next,
        provenance: { unit: 'unit.c', baseCommand: [], nextCommand: [], compiler, baseline: '' },
      };
      const result: UnitState['result'] = { pair, diff, findings: [], generation: 1, edits: new Map() };
      return new Model(new Documents()).fingerprint(result, change);
    };
    const reviewed = await print('', 'a * 3');
    assert.equal(await print(USED, 'a * 3'), reviewed);
    assert.notEqual(await print(USED, 'a * 5'), reviewed);
  });
}
