import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAnalyser } from '../../../server/src/analyse.ts';
import { cloneLeftUnpatched } from '../../../server/src/core/findings/clone-left-unpatched.ts';
import { compile } from '../../support/cc.ts';

const analyser = createAnalyser();

/** gcc makes check.constprop.0 where every caller passes the same mode. */
const source = (mode: string, value: number): string => `
extern int rnd(int);
static __attribute__((noinline)) int check(int x, int mode) { return mode == 1 ? rnd(x) * ${value} : rnd(x + mode); }
int first(int x) { return check(x, 1) + 3; }
int second(int x) { return check(x + 1, ${mode}); }
`;

async function comparison(base: string, next: string) {
  const { load, compare } = await analyser;
  const object = (text: string) => load(compile(text, { compiler: 'gcc-12' })).object!;
  return compare(object(base), object(next), {
    unit: 'unit.c',
    baseCommand: [],
    nextCommand: [],
    compiler: '',
    baseline: 'test',
  });
}

test('a clone of an edited function that both sides have is replaced like it', async () => {
  const { pair, diff, findings } = await comparison(source('1', 3), source('1', 5));
  assert.ok(
    pair.base.elf.symbols.some(({ name }) => name === 'check.constprop.0'),
    'gcc made the clone',
  );
  assert.deepEqual(
    diff.functions.map(({ name }) => name),
    ['check.constprop.0'],
  );
  assert.deepEqual(findings, []);
});

test('a clone that goes away with all of its callers in the patch', async () => {
  const { pair, diff, findings } = await comparison(source('1', 3), source('x', 5));
  assert.ok(!pair.next.elf.symbols.some(({ name }) => name === 'check.constprop.0'), 'gcc makes no clone now');
  assert.ok(
    diff.functions.some(({ name }) => name === 'first'),
    'the caller passes one more argument',
  );
  assert.ok(!findings.some(({ code }) => code === 'clone-left-unpatched'), JSON.stringify(findings));
});

test('a clone that stays because a caller of it is left out', async () => {
  const { pair, diff } = await comparison(source('1', 3), source('x', 5));
  // As a person does who leaves the caller out: the old one goes on calling the old clone.
  const functions = diff.functions.filter(({ name }) => name !== 'first');
  const clone = pair.base.elf.symbols.find(({ name }) => name === 'check.constprop.0')!;
  const changed = {
    name: 'check',
    status: 'changed' as const,
    baseSize: 8,
    nextSize: 8,
    baseInstructions: 2,
    nextInstructions: 2,
    reasons: [],
    lineOnly: false,
    changedLines: [],
  };
  const pairing = new Map([...diff.pairing].filter(([from]) => from !== clone.index));
  const found = cloneLeftUnpatched.find({
    pair,
    diff: { ...diff, functions: [...functions.filter(({ name }) => name !== 'check.constprop.0'), changed], pairing },
    target: 'process',
  });
  assert.deepEqual(
    found.map(({ code, severity, symbol, evidence }) => [code, severity, symbol, evidence.callers]),
    [['clone-left-unpatched', 'blocker', 'check.constprop.0', ['first']]],
  );
});
