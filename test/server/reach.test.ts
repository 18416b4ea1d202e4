import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Finding } from '../../server/src/core/findings/types.ts';
import { createSession } from '../../server/src/session.ts';
import { loadConfig } from '../../server/src/shell/config.ts';
import { Project, sh } from './project.ts';

const units = ['store', 'report', 'clean', 'main'] as const;
const project = new Project({
  'item.h':
    'struct item { int id; int price; };\nint total(const struct item *items, int count);\nvoid report(void);\n',
  // A unit that spells the type out again, as code that was copied does: no header tells that it depends on it.
  'store.c':
    '#include "item.h"\nstruct item items[8];\nint total(const struct item *list, int count) { int sum = 0; for (int i = 0; i < count; i++) sum += list[i].price; return sum; }\n',
  'report.c':
    'extern int printf(const char *, ...);\n#include "item.h"\nextern struct item items[8];\nvoid report(void) { printf("%d %d\\n", total(items, 8), items[1].price); }\n',
  'clean.c':
    'struct item { int id; int price; };\nextern struct item items[8];\nvoid clean(void) { for (int i = 0; i < 8; i++) items[i].price = 0; }\n',
  'main.c':
    'extern void report(void);\nextern void clean(void);\nstruct item;\nextern int total(const struct item *, int);\nint main(void) { report(); clean(); return total(0, 0); }\n',
});
const build = (flags: string): void => {
  const commands = units.map((unit) => ({
    directory: project.root,
    file: `${unit}.c`,
    output: `${unit}.o`,
    arguments: ['gcc', ...flags.split(' '), '-c', `${unit}.c`, '-o', `${unit}.o`],
  }));
  for (const { arguments: args } of commands) sh(project.root, ...args);
  project.write('compile_commands.json', JSON.stringify(commands));
};
project.write('.gitignore', '*.o\ncompile_commands.json\n');
build('-O2 -g');
project.git('init', '-q');
project.git('add', '.');
project.git('commit', '-q', '-m', 'base');
after(() => project.remove());

/** Findings after saving files, by file name. */
async function check(...files: readonly string[]): Promise<Map<string, readonly Finding[]>> {
  const { config } = await loadConfig(project.root);
  const session = await createSession(config, { watch: false, cacheDir: project.cache });
  try {
    for (const file of files) session.saved(project.path(file));
    await session.idle();
    return new Map(
      session
        .units()
        .filter(({ result }) => result)
        .map(({ unit, result }) => [unit.command.file.replace(/^.*\//, ''), result!.findings]),
    );
  } finally {
    await session.dispose();
  }
}
const all = (found: Map<string, readonly Finding[]>, code: string): Finding[] =>
  [...found.values()].flat().filter((finding) => finding.code === code);
const restore = () => project.git('checkout', '-q', '--', '.');

test('a type that grew is used by a unit that does not know of the edit; the header spreads to two', async () => {
  project.edit('item.h', 'int id; int price;', 'int id; int stock; int price;');
  const found = await check('item.h');
  assert.deepEqual([...found.keys()].sort(), ['report.c', 'store.c']);
  const [users, ...more] = all(found, 'struct-layout-unpatched-users');
  assert.deepEqual(more, []);
  assert.deepEqual(users!.evidence.units, [project.path('clean.c')]);
  assert.equal(users!.severity, 'blocker');
  assert.match(users!.message, /clean\.c uses struct item and is not in the patch/);
  const [spread] = all(found, 'header-spread');
  assert.deepEqual(spread!.evidence.changed, ['report.c', 'store.c']);
  assert.equal(spread!.at?.file, project.path('item.h'));
  assert.match(spread!.message, /^The edit of item\.h changes the code of report\.c and store\.c\./);
  assert.equal(spread!.evidence.otherEdits, undefined);
  restore();
});

test('an edited header is not said to be why a unit changed that was edited itself', async () => {
  project.edit('item.h', 'void report(void);', 'void report(void);\nvoid more(void);');
  project.edit('report.c', 'items[1].price', 'items[2].price');
  const [alone] = all(await check('item.h', 'report.c'), 'header-spread');
  assert.deepEqual(alone!.evidence.otherEdits, ['report.c']);
  assert.match(
    alone!.message,
    /^report\.c reads the edited item\.h and changed, and has other edits too: item\.h need not be why; 1 other unit/,
  );
  // With a field in between, what was not edited itself changed because of the header.
  project.edit('item.h', 'int id; int price;', 'int id; int stock; int price;');
  const [both] = all(await check('item.h', 'report.c'), 'header-spread');
  assert.deepEqual(both!.evidence.changed, ['report.c', 'store.c']);
  assert.deepEqual(both!.evidence.otherEdits, ['report.c']);
  assert.match(
    both!.message,
    /^The edit of item\.h changes the code of store\.c; report\.c reads it and changed, and has other edits too/,
  );
  restore();
});

test('near miss: another type of that name, and one that nobody else has', async () => {
  project.write('clean.c', project.read('clean.c').replace('int id; int price;', 'int price; int id; long more;'));
  build('-O2 -g');
  project.edit('item.h', 'int id; int price;', 'int id; int stock; int price;');
  const found = await check('item.h');
  assert.equal(all(found, 'struct-layout').length > 0, true);
  assert.deepEqual(all(found, 'struct-layout-unpatched-users'), []);
  restore();
  build('-O2 -g');
});

test('callers of a changed signature: those that come along, and the one that stays', async () => {
  project.edit('item.h', 'const struct item *items, int count', 'const struct item *items, long count');
  project.edit('store.c', 'const struct item *list, int count', 'const struct item *list, long count');
  project.edit('report.c', 'total(items, 8)', 'total(items, 7)');
  const found = await check('item.h', 'store.c', 'report.c');
  const [changed] = all(found, 'signature-changed');
  assert.equal(changed!.severity, 'blocker');
  assert.deepEqual(changed!.evidence.unpatchedUnits, ['main() in main.c']);
  assert.match(changed!.message, /main\(\) in main\.c stays old/);
  // main.c is edited too: everybody is in the patch.
  project.edit('main.c', 'int total(const struct item *, int)', 'int total(const struct item *, long)');
  project.edit('main.c', 'total(0, 0)', 'total(0, 1)');
  const [together] = all(await check('item.h', 'store.c', 'report.c', 'main.c'), 'signature-changed');
  assert.equal(together!.severity, 'review');
  assert.match(together!.message, /Every caller in the 4 units/);
  restore();
});

test('objects without debug information: callers by relocation, users said to be unknown', async () => {
  build('-O2');
  project.edit('item.h', 'int id; int price;', 'int id; int stock; int price;');
  project.edit(
    'store.c',
    'int total(const struct item *list, int count) {',
    'int total(const struct item *list, int count) { count++;',
  );
  const found = await check('item.h');
  const [users] = all(found, 'struct-layout-unpatched-users');
  assert.deepEqual([users!.severity, users!.evidence.withoutDebugInformation], ['note', 2]);
  restore();
  // Callers are told by relocations.
  project.edit('item.h', 'const struct item *items, int count', 'const struct item *items, long count');
  project.edit('store.c', 'const struct item *list, int count', 'const struct item *list, long count');
  const [changed] = all(await check('item.h', 'store.c'), 'signature-changed');
  assert.ok((changed!.evidence.unpatchedUnits as string[]).includes('main() in main.c'));
  restore();
  build('-O2 -g');
});

test('an object that is missing: nothing is said to be complete', async () => {
  sh(project.root, 'rm', 'main.o');
  project.edit('item.h', 'const struct item *items, int count', 'const struct item *items, long count');
  project.edit('store.c', 'const struct item *list, int count', 'const struct item *list, long count');
  project.edit('report.c', 'total(items, 8)', 'total(items, 7)');
  const [changed] = all(await check('item.h', 'store.c', 'report.c'), 'signature-changed');
  assert.equal(changed!.severity, 'blocker');
  restore();
  build('-O2 -g');
});

test('who calls a function is asked of the objects of the build', async () => {
  const { config } = await loadConfig(project.root);
  const session = await createSession(config, { watch: false, cacheDir: project.cache });
  try {
    const { list, units: asked, unread } = await session.callers(['total', 'report', 'items'], new Set());
    const found = list.map(({ name, file, by }) => `${name} by ${by} in ${file.replace(/^.*\//, '')}`).sort();
    assert.deepEqual(found, [
      'items by clean in clean.c',
      'items by report in report.c',
      'report by main in main.c',
      'total by main in main.c',
      'total by report in report.c',
    ]);
    assert.deepEqual([asked, unread], [4, 0]);
    const main = session.unitsOf(project.path('main.c')).map(({ id }) => id);
    const rest = await session.callers(['report'], new Set(main));
    assert.deepEqual([rest.list, rest.units], [[], 3]);
  } finally {
    await session.dispose();
  }
});
