import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listFunction } from '../../../server/src/core/asm/listing.ts';
import { rowKinds } from '../../../server/src/core/diff/noise.ts';
import { alignRows } from '../../../server/src/core/diff/rows.ts';
import { matchRows } from '../../../server/src/core/diff/tables.ts';
import { CASE_COMPILERS, hasTool } from '../../support/cc.ts';
import { diffLoaded, diffSources, objectOf, summary } from './support.ts';

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

for (const compiler of CASE_COMPILERS.filter(hasTool)) {
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

/** Linux's pr_debug(): a description in a section of its own, numbered by __COUNTER__, with the line and a bit that is changed while the system runs. */
const debugged = (before: string, second = 'ext(a) + 2', text = 'two'): string => `
#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
struct ddebug { const char *modname, *function, *filename, *format; unsigned lineno : 18; unsigned flags : 8; } __attribute__((aligned(8)));
#define DEBUG(id, text) do { static struct ddebug id __attribute__((section("__dyndbg"), used)) = { "unit", __func__, __FILE__, text, __LINE__, 0 }; if (id.flags & 1) dynamic(&id, text); } while (0)
#define pr_debug(text) DEBUG(CAT(__UNIQUE_ID_ddebug, __COUNTER__), text)
void dynamic(struct ddebug *, const char *); int ext(int);
${before}
int first(int a) { pr_debug("in"); pr_debug("one"); return ext(a) + 1; }
int second(int a) { pr_debug("in"); pr_debug("${text}"); return ${second}; }
int third(int a) { pr_debug("in"); pr_debug("in"); return ext(a) + 3; }
`;
const COUNTED = 'enum { spent = __COUNTER__ + __COUNTER__ + __COUNTER__ };\n\n';

for (const compiler of CASE_COMPILERS.filter(hasTool)) {
  test(`${compiler}: debug sites that a counter numbers, on other lines`, async () => {
    const args = ['-O2', '-g', '-ffunction-sections', '-fdata-sections'];
    const changes = async (next: string) =>
      summary(await diffSources(debugged(''), next, { compiler, args })).filter((line) => !/^type|: type/.test(line));
    assert.deepEqual(await changes(debugged(COUNTED)), []);
    const early = 'int early(int a) { pr_debug("in"); return ext(a); }\n';
    const added = await changes(debugged(early));
    assert.deepEqual(
      added.filter((line) => !line.includes('ddebug')),
      ['early new'],
    );
    assert.equal(added.length, 2, added.join('\n'));
    // Near misses: another callee beside them, another text.
    assert.deepEqual(await changes(debugged(COUNTED, 'ext(a + 1) + 2')), ['second changed']);
    assert.ok((await changes(debugged(COUNTED, 'ext(a) + 2', 'three'))).includes('second changed'));
  });

  test(`${compiler}: rows of a listing that only name the same variable by another number stand back`, async () => {
    const args = ['-O2', '-g', '-ffunction-sections', '-fdata-sections'];
    const rowsOf = async (next: string) => {
      const [from, to] = [
        await objectOf(debugged(''), { compiler, args }),
        await objectOf(debugged(next, 'ext(a + 1) + 2'), { compiler, args }),
      ];
      const diff = diffLoaded(from, to);
      const change = diff.functions.find((each) => each.name === 'second');
      assert.ok(change?.base && change.next, summary(diff).join('\n'));
      const plain = alignRows(listFunction(from, change.base), listFunction(to, change.next));
      const rows = matchRows(diff, change, plain);
      assert.equal(rows.length, plain.length);
      return { rows, kinds: rowKinds(rows, undefined) };
    };
    const { rows, kinds } = await rowsOf(COUNTED);
    const named = rows.filter(({ base, next }) => /ddebug/.test(`${base?.operands} ${next?.operands}`));
    assert.ok(named.length >= 2, 'the debug sites are used by name');
    assert.deepEqual([...new Set(named.map((row) => kinds[rows.indexOf(row)]))], ['renumbered']);
    assert.ok(named.every(({ base, next }) => base?.operands !== next?.operands));
    const changed = rows.filter((_row, index) => kinds[index] !== 'same' && kinds[index] !== 'renumbered');
    assert.ok(changed.length > 0, 'what was edited still differs');
    assert.ok(!changed.some((row) => named.includes(row)));
    const { kinds: quiet } = await rowsOf('');
    assert.ok(!quiet.includes('renumbered'), 'nothing was renumbered here');
  });
}
