import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasTool } from '../../support/cc.ts';
import { diffSources, summary } from './support.ts';

/** Registration as many programs do it: names from `__LINE__` or `__COUNTER__`, a pointer in a section of its own, a constructor. */
const MACROS = `
#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
#define REGISTER(number, fn) \\
  static const struct entry CAT(entry_, number) = { #fn, fn }; \\
  static const struct entry *CAT(ptr_, number) __attribute__((section("registry"), used)) = &CAT(entry_, number)
#define AT_START(number) __attribute__((constructor)) static void CAT(start_, number)(void) { count++; }
#define STATE(number) static int CAT(state_, number); int *CAT(get, CAT_FN)(void) { return &CAT(state_, number); }
#define CAT_FN __COUNTER__
struct entry { const char *name; int (*fn)(int); };
extern int count;
int ext(int);
`;

const body = (number: string, edit: string, more = '') => `${MACROS}
static int first(int a)
{
${edit}
  return ext(a) + 1;
}
static int second(int a) { return ext(a) + 2; }
REGISTER(${number}, first);
${more}
REGISTER(${number}, second);
AT_START(${number})
`;

for (const compiler of ['gcc', 'clang'].filter(hasTool)) {
  for (const args of [
    ['-O2', '-g', '-ffunction-sections', '-fdata-sections'],
    ['-O2', '-g'],
  ]) {
    const title = `${compiler} ${args.join(' ')}`;

    test(`${title}: what is named after its line is not new when the line moves`, async () => {
      const diff = await diffSources(body('__LINE__', ''), body('__LINE__', '  count++;\n\n\n'), { compiler, args });
      assert.deepEqual(
        diff.functions.map((one) => `${one.name} ${one.status}`),
        ['first changed'],
        summary(diff).join('\n'),
      );
      assert.deepEqual(diff.data, []);
    });

    test(`${title}: a registration more, and the others renumbered`, async () => {
      const more = 'static int third(int a) { return ext(a) + 3; }\nREGISTER(__LINE__, third);\n';
      const diff = await diffSources(body('__LINE__', ''), body('__LINE__', '', more), { compiler, args });
      const data = diff.data.map((one) => `${one.name.replace(/\d+/g, '#')} ${one.status}`).sort();
      assert.deepEqual(data, ['entry_# new', 'ptr_# new'], summary(diff).join('\n'));
      assert.deepEqual(
        diff.functions.map((one) => `${one.name} ${one.status}`),
        ['third new'],
      );
    });
  }

  test(`${compiler}: the line tells which variable is which; without it, only what cannot change is taken for the same`, async () => {
    const source = (lines: string, name: (line: number) => string) =>
      `int ext(int *);\n${lines}static int ${name(2 + lines.length)};\nint f(void) { return ext(&${name(2 + lines.length)}); }\n`;
    const byLine = await diffSources(
      source('', (line) => `v${line}_x`),
      source('\n\n', (line) => `v${line}_x`),
      { compiler },
    );
    assert.deepEqual(
      [byLine.functions, byLine.data],
      [[], []],
      'the variable that is named after its line keeps its state',
    );
    const renamed = await diffSources(
      source('', () => 'v100_x'),
      source('', () => 'v200_x'),
      { compiler },
    );
    assert.deepEqual(
      renamed.data.map((one) => `${one.name} ${one.status}`).sort(),
      ['v100_x removed', 'v200_x new'],
      'another number that is no line is another variable',
    );
  });
}

test('functions whose names differ in a number are not mixed up', async () => {
  const source = (number: number, add: number) =>
    `int ext(int);\nstatic int parse_v${number}(int a) { return ext(a) + ${add}; }\nint (*parser)(int) = parse_v${number};\n`;
  const diff = await diffSources(source(101, 1), source(102, 2));
  assert.deepEqual(diff.functions.map((one) => `${one.name} ${one.status}`).sort(), [
    'parse_v101 removed',
    'parse_v102 new',
  ]);
});
