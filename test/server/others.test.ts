import assert from 'node:assert/strict';
import { after, afterEach, test } from 'node:test';
import type { Finding } from '../../server/src/core/findings/types.ts';
import { createSession } from '../../server/src/session.ts';
import { loadConfig } from '../../server/src/shell/config.ts';
import { Project, sh } from './project.ts';

// What the rest of the build has to do with an edited macro, and with an edited constant that other units can see.

const project = new Project({
  'limits.h':
    '#define LIMIT \\\n  10\n#define SPARE 3\nenum mode { NONE, SLOW, FAST };\nstatic inline int part(int x) { return x % 7; }\nextern const char version[], motto[];\nextern const int rates[4], steps[4], fees[4];\nint fee(int i); int over(int x); int rate(int i); int step(int i); void show(void);\n',
  'over.c':
    '#include "limits.h"\nint over(int x) { return x > LIMIT + fee(x); }\nint over_part(int x) { return part(x) + 1; }\n',
  'check.c':
    '#include "limits.h"\n#if LIMIT < 5\n#error "too small"\n#endif\nint checked(int x) { return x + SPARE + part(x); }\nint mode(enum mode m) { return m == FAST; }\n',
  'talk.c':
    '#include "limits.h"\n/* LIMIT is not asked here. */\nconst char *limit_text(void) { return "LIMIT"; }\nenum mode talk_mode;\n',
  'data.c':
    '#include "limits.h"\nint puts(const char *);\nconst char version[] = "one", motto[] = "first";\nconst int rates[4] = { 1, 2, 3, 4 }, steps[4] = { 10, 20, 30, 40 }, fees[4] = { 7, 8, 9, 9 };\nint fee(int i) { return fees[i & 3]; }\nint rate(int i) { return rates[i & 3]; }\nint step(int i) { return steps[i & 3]; }\nvoid show(void) { puts(version); puts(motto); }\n',
  'main.c':
    '#include "limits.h"\nint puts(const char *);\nstatic int twice(int i) { return rate(i) * 2; }\nint main(int argc, char **argv) { (void)argv; int s = step(argc); show(); puts(version); return twice(argc) + s + over(s) + fee(s); }\n',
});
const units = ['over', 'check', 'talk', 'data', 'main'];
const commands = units.map((unit) => ({
  directory: project.root,
  file: `${unit}.c`,
  output: `${unit}.o`,
  arguments: ['gcc', '-O2', '-g', '-c', `${unit}.c`, '-o', `${unit}.o`],
}));
for (const { arguments: args } of commands) sh(project.root, ...args);
project.write('compile_commands.json', JSON.stringify(commands));
project.write('.gitignore', '*.o\ncompile_commands.json\n');
project.git('init', '-q');
project.git('add', '.');
project.git('commit', '-q', '-m', 'base');
after(() => project.remove());
afterEach(() => project.git('checkout', '-q', '--', '.'));

async function check(file: string): Promise<readonly Finding[]> {
  const { config } = await loadConfig(project.root);
  const session = await createSession(config, { watch: false, cacheDir: project.cache });
  try {
    session.saved(project.path(file));
    await session.idle();
    return session.units().flatMap(({ result }) => result?.findings ?? []);
  } finally {
    await session.dispose();
  }
}

test('a macro: units that name it and came out the same are told, with the line; a comment or a text is no use', async () => {
  project.edit('limits.h', '\n  10', '\n  20');
  const [spread, ...more] = (await check('limits.h')).filter(({ code }) => code === 'header-spread');
  assert.deepEqual(more, []);
  assert.deepEqual(spread!.evidence.changed, ['over.c']);
  assert.deepEqual(spread!.evidence.macros, ['LIMIT: check.c']);
  assert.match(spread!.message, /check\.c names LIMIT and came out the same/);
  assert.deepEqual(
    spread!.related.map(({ at }) => [at?.file, at?.line]),
    [[project.path('check.c'), 2]],
  );
});

test('a macro is the reason by its name', async () => {
  project.edit('limits.h', '\n  10', '\n  20');
  const { config } = await loadConfig(project.root);
  const session = await createSession(config, { watch: false, cacheDir: project.cache });
  session.saved(project.path('limits.h'));
  await session.idle();
  const changed = session.units().flatMap(({ result }) => result?.diff.functions ?? []);
  await session.dispose();
  assert.deepEqual(
    changed.map(({ name, reasons }) => [name, reasons[0]]),
    [['over', { kind: 'macro', detail: 'LIMIT' }]],
  );
});

test('near miss: another macro of the header was edited', async () => {
  project.edit('limits.h', 'SPARE 3', 'SPARE 4');
  const [spread] = (await check('limits.h')).filter(({ code }) => code === 'header-spread');
  assert.deepEqual(spread!.evidence.changed, ['check.c']);
  assert.equal(spread!.evidence.macros, undefined);
});

test('a macro: a unit that names it and was not compared asks for a look', async () => {
  project.edit('limits.h', '\n  10', '\n  20');
  const [spread, ...more] = (await check('over.c')).filter(({ code }) => code === 'header-spread');
  assert.deepEqual(more, []);
  assert.equal(spread!.severity, 'review');
  assert.deepEqual(spread!.evidence.unpatchedUnits, ['LIMIT: check.c']);
  assert.match(spread!.message, /check\.c names LIMIT as well and is not in the patch/);
});

test('near miss: the edited macro is named in no other unit', async () => {
  project.edit('limits.h', 'SPARE 3', 'SPARE 4');
  assert.deepEqual(
    (await check('check.c')).filter(({ code }) => code === 'header-spread'),
    [],
  );
});

test('a function of a header: one finding with the callers of all units', async () => {
  project.edit('limits.h', 'x % 7', 'x % 9');
  const [widened, ...more] = (await check('limits.h')).filter(({ code }) => code === 'inline-widened');
  assert.deepEqual(more, []);
  assert.equal(widened!.severity, 'review');
  assert.deepEqual([...(widened!.evidence.callers as string[])].sort(), [
    'checked() in check.c',
    'over_part() in over.c',
  ]);
  assert.doesNotMatch(widened!.message, /only caller|not in the patch/);
});

test('a function of a header: a unit that has a copy and was not compared asks for a look', async () => {
  project.edit('limits.h', 'x % 7', 'x % 9');
  const [widened, ...more] = (await check('over.c')).filter(({ code }) => code === 'inline-widened');
  assert.deepEqual(more, []);
  assert.deepEqual([widened!.severity, widened!.evidence.unpatchedUnits], ['review', [project.path('check.c')]]);
  assert.match(widened!.message, /only caller in this unit.*check\.c has a copy of part\(\) and is not in the patch/);
});

test('a unit that has a finding and the same code is not said to have changed', async () => {
  project.edit('limits.h', 'NONE, SLOW', 'NONE, IDLE, SLOW');
  const found = await check('limits.h');
  assert.equal(found.filter(({ code }) => code === 'enum-value-changed').length >= 2, true);
  const [spread] = found.filter(({ code }) => code === 'header-spread');
  assert.deepEqual(spread!.evidence.changed, ['check.c']);
  assert.equal((spread!.evidence.same as string[]).includes('talk.c'), true);
});

test('a function that is gone and one that became static: who of the other units uses them', async () => {
  project.edit('data.c', 'int step(int i) { return steps[i & 3]; }', '');
  const [removed] = (await check('data.c')).filter(({ code }) => code === 'function-removed');
  assert.deepEqual(removed!.evidence.unpatchedUnits, ['main() in main.c']);
  assert.match(removed!.message, /running program and main\(\) in main\.c still uses it/);
  project.edit('over.c', 'int over_part', 'static __attribute__((used, noinline)) int over_part');
  const [scope] = (await check('over.c')).filter(({ code }) => code === 'symbol-scope-changed');
  assert.deepEqual(scope!.evidence.unpatchedUnits, []);
  assert.match(scope!.message, /As the build is, none of the other 4 units .* refers to it and stays as it is\.$/);
});

const only = (found: readonly Finding[]) => found.map(({ code, severity }) => `${code} ${severity}`);

test('a text that another unit prints as well blocks, and names who', async () => {
  project.edit('data.c', '"one"', '"two"');
  const found = await check('data.c');
  assert.deepEqual(only(found), ['rodata-changed blocker']);
  assert.deepEqual(found[0]!.evidence.unpatchedUnits, ['main() in main.c']);
  assert.match(found[0]!.message, /goes on being used: by main\(\) in main\.c/);
});

test('a text that nobody else refers to is carried along, though others could see it', async () => {
  project.edit('data.c', '"first"', '"other"');
  assert.deepEqual(only(await check('data.c')), []);
});

test('a table asks for a look where only main() calls its users; a note where others do, too', async () => {
  project.edit('data.c', '{ 1, 2, 3, 4 }', '{ 1, 2, 3, 5 }');
  const rates = await check('data.c');
  project.edit('data.c', '{ 1, 2, 3, 5 }', '{ 1, 2, 3, 4 }');
  project.edit('data.c', '{ 10, 20, 30, 40 }', '{ 10, 20, 30, 50 }');
  const steps = await check('data.c');
  project.edit('data.c', '{ 10, 20, 30, 50 }', '{ 10, 20, 30, 40 }');
  project.edit('data.c', '{ 7, 8, 9, 9 }', '{ 7, 8, 9, 10 }');
  const fees = await check('data.c');
  assert.deepEqual([rates, steps, fees].map(only), [
    ['rodata-changed review'],
    ['rodata-changed review'],
    ['rodata-changed note'],
  ]);
  assert.match(steps[0]!.message, /Only main\(\) calls step\(\)/);
});
