import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createAnalyser } from '../../../server/src/analyse.ts';
import type { SourceEdits } from '../../../server/src/core/diff/types.ts';
import { findHazards, hazards } from '../../../server/src/core/findings/catalogue.ts';
import { CASE_COMPILERS, compile, compilePair, hasTool } from '../../support/cc.ts';

const analyser = createAnalyser();
const provenance = { unit: 'unit.c', baseCommand: [], nextCommand: [], compiler: '', baseline: 'test' };

async function compareBytes(base: Uint8Array, next: Uint8Array, unit = 'unit.c', edits?: SourceEdits) {
  const { load, compare } = await analyser;
  const b = load(base).object;
  const n = load(next).object;
  assert.ok(b && n);
  return compare(b, n, { ...provenance, unit }, edits);
}

const source = (value: number): string => `extern int rnd(int);\nint run(int x) { return rnd(x) * ${value}; }\n`;

test('compiler-mismatch: two versions, two options; not for paths and debug information', async () => {
  const base = compile(source(3), { compiler: 'gcc-11' });
  const codes = async (next: Uint8Array, from = base) =>
    (await compareBytes(from, next)).findings.map(({ code }) => code);
  assert.deepEqual(await codes(compile(source(5), { compiler: 'gcc-12' })), ['compiler-mismatch']);
  assert.deepEqual(await codes(compile(source(5), { compiler: 'gcc-11', extra: ['-fno-omit-frame-pointer'] })), [
    'compiler-mismatch',
  ]);
  assert.deepEqual(
    await codes(compile(source(5), { compiler: 'gcc-11', extra: ['-ggdb3', '-fmacro-prefix-map=/a=/b', '-Wall'] })),
    [],
  );
  assert.deepEqual(await codes(compile(source(3), { compiler: 'gcc-11', extra: ['-frandom-seed=1'] })), []);
});

test('compiler-mismatch names both sides', async () => {
  const { findings } = await compareBytes(
    compile(source(3), { compiler: 'gcc-11' }),
    compile(source(5), { compiler: 'gcc-12' }),
  );
  assert.match(findings[0]!.message, /compiled by GNU C17 12\.\S+.*, the running one by GNU C17 11\./);
  assert.equal(findings[0]!.severity, 'blocker');
});

const assembly = (value: number): string =>
  `.section .text.step,"ax"\n.globl step\n.type step,@function\nstep:\n mov $${value}, %eax\n add %edi, %eax\n add %esi, %eax\n ret\n.size step, .-step\n`;

test('hand-written-asm', async () => {
  const args = { name: 'entry.S', args: ['-g'] };
  const { findings, verdict } = await compareBytes(compile(assembly(1), args), compile(assembly(2), args), 'entry.S');
  assert.deepEqual(
    findings.filter(({ severity }) => severity === 'blocker').map(({ code, symbol }) => [code, symbol]),
    [['hand-written-asm', 'step']],
  );
  // At the instruction, in a path that does not depend on the folder of the build.
  const { at } = findings.find(({ code }) => code === 'hand-written-asm')!;
  assert.ok(at?.file.startsWith('/') && at.file.endsWith('/entry.S') && at.line > 1, JSON.stringify(at));
  assert.equal(verdict, 'blocked');
  const same = await compareBytes(compile(assembly(1), args), compile(`# a comment\n${assembly(1)}`, args), 'entry.S');
  assert.deepEqual([same.verdict, same.findings], ['unchanged', []]);
});

test('identical objects have no findings, whatever is in them', async () => {
  const text = `
struct list { struct list *next; union { int a; float b; }; unsigned f : 3; } *head;
__thread int tls = 4; static const char *const names[] = { "a", "b" };
static inline int twice(int x) { return x * 2; }
__attribute__((constructor)) void first(void) { tls = twice(tls); }
const char *name(int i) { static int calls; calls++; return names[i]; }
_Noreturn void spin(void) { for (;;) head = head->next; }
int main(void) { return twice(head->a); }
`;
  for (const compiler of CASE_COMPILERS.filter(hasTool)) {
    const pair = compilePair(text, `\n\n/* moved */${text}`, { compiler });
    for (const [base, next] of [
      [pair.base, pair.base],
      [pair.base, pair.next],
    ] as const) {
      const { findings, verdict, diff } = await compareBytes(base, next);
      assert.deepEqual(
        [findings, verdict, diff.functions, diff.data, diff.types],
        [[], 'unchanged', [], [], []],
        compiler,
      );
    }
  }
});

test('the order of findings does not depend on the order of rules', async () => {
  const pair = compilePair(
    'int a = 1; int b[4] = {1}; int get(int i) { return a + b[i]; }\n',
    'int a = 2; int b[5] = {1};\nint get(int i) { return a + b[i] * 2; }\n',
  );
  const { pair: objects, diff, findings } = await compareBytes(pair.base, pair.next);
  const input = { pair: objects, diff, target: 'process' as const };
  assert.deepEqual(findHazards(input), findings);
  assert.deepEqual(
    findings.map(({ symbol }) => symbol),
    ['a', 'b'],
  );
});

test('what is gone is placed in the edited source', async () => {
  const base =
    '\n\nextern int rnd(int);\nint old_way(int x) { return rnd(x) + 1; }\nint run(int x) { return rnd(x); }\n';
  const next = '/* one */\n/* two */\n\n\nextern int rnd(int);\nint run(int x) { return rnd(x); }\n';
  const objects = compilePair(base, next);
  const edits: SourceEdits = new Map([
    [
      '/src/unit.c',
      [
        { baseStart: 1, baseCount: 0, nextStart: 1, nextCount: 2 },
        { baseStart: 4, baseCount: 1, nextStart: 6, nextCount: 0 },
      ],
    ],
  ]);
  const { findings } = await compareBytes(objects.base, objects.next, 'unit.c', edits);
  assert.deepEqual(
    findings.map(({ code, at }) => [code, at?.line]),
    [['function-removed', 6]],
  );
});

test('every code has a page, and the index lists it', () => {
  const folder = join(dirname(fileURLToPath(import.meta.url)), '../../../docs/hazards');
  const index = readFileSync(join(folder, 'README.md'), 'utf8');
  const codes = hazards.flatMap((hazard) => hazard.codes);
  assert.equal(new Set(codes).size, codes.length, 'a code is registered twice');
  for (const code of codes) {
    const page = readFileSync(join(folder, `${code}.md`), 'utf8');
    for (const part of [`# ${code}\n`, '## What happens', '## Example', '## What to do']) {
      assert.ok(page.includes(part), `${code}.md lacks “${part.trim()}”`);
    }
    assert.ok(index.includes(`[${code}](${code}.md)`), `${code} is not in the index`);
  }
});
