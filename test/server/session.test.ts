import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import { type Analyser, createAnalyser } from '../../server/src/analyse.ts';
import { createSession, type Session, type SessionOptions } from '../../server/src/session.ts';
import type { SessionEvent } from '../../server/src/session-types.ts';
import { loadConfig } from '../../server/src/shell/config.ts';
import type { UnitState } from '../../server/src/shell/types.ts';
import { hasTool } from '../support/cc.ts';
import { Project, sh } from './project.ts';

const FLAGS = ['-O2', '-Wall', '-Iinclude'];
const analyser: Promise<Analyser> = createAnalyser();
const open: { project: Project; sessions: Session[] }[] = [];

/** A project of a few units: `a.c` and `b.c` use the header, `c.c` does not. Built for real, under version control. */
function makeProject(extra: Readonly<Record<string, string>> = {}, compiler = 'gcc'): Project {
  const project = new Project({
    'include/shared.h': '#ifndef SHARED_H\n#define SHARED_H\n#define STEP 3\nint helper(int);\n#endif\n',
    'a.c':
      '#include "shared.h"\nint total;\nint step(int x)\n{\n  total += x;\n  return helper(x) + STEP;\n}\nint other(int x)\n{\n  return helper(x) * 7;\n}\n',
    'b.c': '#include "shared.h"\nint twice(int x)\n{\n  return helper(x) * STEP;\n}\n',
    'c.c': '#include "shared.h"\nint helper(int x)\n{\n  return x ^ 21;\n}\n',
    '.gitignore': 'build/\ncompile_commands.json\n',
    ...extra,
  });
  const sources = readdirSync(project.root).filter((name) => name.endsWith('.c'));
  mkdirSync(project.path('build'));
  const commands = sources.map((file) => ({
    file,
    arguments: [compiler, ...FLAGS, '-c', file, '-o', `build/${file.slice(0, -2)}.o`],
  }));
  for (const { arguments: args } of commands)
    sh(project.root, ...(compiler === 'gcc' ? args : ['gcc', ...args.slice(1)]));
  project.commands(commands);
  project.commit();
  open.push({ project, sessions: [] });
  return project;
}

interface Watched {
  readonly session: Session;
  readonly events: SessionEvent[];
  readonly logs: string[];
  /** Settles the session and gives the state of one file's unit. */
  settled(file: string): Promise<UnitState>;
}

async function start(
  project: Project,
  options: SessionOptions = {},
  overrides: Parameters<typeof loadConfig>[1] = {},
): Promise<Watched> {
  const { config, problems } = await loadConfig(project.root, overrides);
  assert.deepEqual(problems, []);
  const session = await createSession(config, { analyser: await analyser, cacheDir: project.cache, ...options });
  open.find((entry) => entry.project === project)!.sessions.push(session);
  const events: SessionEvent[] = [];
  const logs: string[] = [];
  session.on((event) => {
    events.push(event);
    if (event.kind === 'log') logs.push(event.text);
  });
  return {
    session,
    events,
    logs,
    async settled(file) {
      await session.idle();
      const state = session.units().find(({ unit }) => unit.command.file === project.path(file));
      assert.ok(state, `${file} has a unit\n${logs.join('\n')}`);
      return state;
    },
  };
}

afterEach(async () => {
  for (const { project, sessions } of open.splice(0)) {
    for (const session of sessions) await session.dispose();
    const left = readdirSync(join(project.cache, 'sessions'), { withFileTypes: true });
    assert.deepEqual(
      left.map(({ name }) => name),
      [],
      'a disposed session leaves nothing in scratch space',
    );
    project.remove();
  }
});

const names = (state: UnitState) => (state.result?.diff.functions ?? []).map(({ name }) => name).sort();

/** Processes whose command line holds the text, after those that were killed had time to go. */
async function survivors(text: string): Promise<string[]> {
  for (let attempt = 0; attempt < 100 && processes(text).length > 0; attempt++)
    await new Promise((resolve) => setTimeout(resolve, 30));
  return processes(text);
}

/** Processes of this machine whose command line holds the text. */
function processes(text: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ').includes(text);
      } catch {
        return false;
      }
    });
}

test('an edit reports the function; editing back clears everything; the tree is never written', async () => {
  const project = makeProject();
  const { session, settled } = await start(project);
  session.open(project.path('a.c'));
  await session.idle();
  const untouched = project.hash();

  project.edit('a.c', 'total += x;', 'total += 2 * x;');
  const edited = project.hash();
  session.saved(project.path('a.c'));
  const state = await settled('a.c');
  assert.equal(state.phase, 'ready', state.message);
  assert.deepEqual(names(state), ['step']);
  assert.deepEqual(
    [...state.result!.edits],
    [[project.path('a.c'), [{ baseStart: 5, baseCount: 1, nextStart: 5, nextCount: 1, defines: [] }]]],
  );
  assert.equal(state.result!.pair.provenance.unit, 'a.c');
  assert.match(state.result!.pair.provenance.baseline, /^git:[0-9a-f]{40}$/);
  assert.match(state.result!.pair.provenance.compiler, /gcc|GCC/);
  assert.deepEqual(state.result!.pair.provenance.nextCommand, [
    'gcc',
    ...FLAGS,
    '-c',
    'a.c',
    '-g',
    '-ffunction-sections',
    '-fdata-sections',
  ]);
  assert.ok(state.dependencies.includes(project.path('include/shared.h')));
  assert.equal(project.hash(), edited);

  project.edit('a.c', 'total += 2 * x;', 'total += x;');
  session.saved(project.path('a.c'));
  const back = await settled('a.c');
  assert.equal(back.phase, 'ready');
  assert.deepEqual([names(back), back.result!.findings, back.stale], [[], [], false]);
  assert.notEqual(project.hash(), untouched, 'only because the file was written again');
  assert.equal(project.git('status', '--porcelain'), '');
});

test('comments and whitespace change nothing', async () => {
  const project = makeProject();
  const { session, settled } = await start(project);
  project.edit('a.c', 'int total;', '/* one\n * two */\nint   total;  // three');
  session.saved(project.path('a.c'));
  const state = await settled('a.c');
  assert.deepEqual([state.phase, names(state), state.result!.diff.data, state.result!.findings], ['ready', [], [], []]);
});

test('a header edit rebuilds each unit that includes it, open ones first, and tells those whose code is the same', async () => {
  const more = Object.fromEntries(
    ['d', 'e', 'f', 'g'].map((name) => [
      `${name}.c`,
      `#include "shared.h"\nint ${name}_value(void) { return STEP + ${name.charCodeAt(0)}; }\n`,
    ]),
  );
  const project = makeProject({ ...more, 'alone.c': 'int alone(void) { return 4; }\n' });
  const { session, events } = await start(project);
  session.open(project.path('e.c'));
  await session.idle();
  project.edit('include/shared.h', 'STEP 3', 'STEP 4');
  events.length = 0;
  session.saved(project.path('include/shared.h'));
  await session.idle();
  const states = new Map(
    session.units().map((state) => [state.unit.command.file.slice(project.root.length + 1), state]),
  );
  assert.deepEqual([...states.keys()].sort(), ['a.c', 'b.c', 'c.c', 'd.c', 'e.c', 'f.c', 'g.c']);
  assert.deepEqual(names(states.get('a.c')!), ['step']);
  assert.deepEqual(names(states.get('b.c')!), ['twice']);
  assert.deepEqual(names(states.get('e.c')!), ['e_value']);
  const same = states.get('c.c')!;
  assert.deepEqual([same.phase, names(same), same.result?.findings], ['ready', [], []]);
  assert.equal(same.result!.pair.base.elf.kind, 'rel', 'the pair of an unchanged unit can still be looked at');
  const finished = events.flatMap((event) =>
    event.kind === 'unit' && event.state.phase === 'building' ? [event.state.unit.command.file] : [],
  );
  assert.equal(finished[0], project.path('e.c'));
  const progress = events.flatMap((event) => (event.kind === 'progress' ? [event] : []));
  assert.ok(
    progress.some(({ done, total }) => done === total && total === 7),
    JSON.stringify(progress),
  );
  assert.ok(events.some(({ kind }) => kind === 'progressEnd'));
});

test('a newer save replaces an older build, and the newest is never dropped', async () => {
  const project = makeProject({
    'big.c': `${Array.from({ length: 1500 }, (_, i) => `int f${i}(int x) { for (int i = 0; i < x; i++) x ^= i * ${i}; return x; }`).join('\n')}\nint last(void) { return 0; }\n`,
  });
  const { session, events, settled } = await start(project);
  session.open(project.path('big.c'));
  await session.idle();
  const values: number[] = [];
  for (let value = 1; value <= 6; value++) {
    project.write('big.c', project.read('big.c').replace(/last\(void\) \{ return \d+/, `last(void) { return ${value}`));
    values.push(value);
    session.saved(project.path('big.c'));
    await new Promise((resolve) => setTimeout(resolve, value * 40));
  }
  const state = await settled('big.c');
  assert.deepEqual([state.phase, names(state)], ['ready', ['last']]);
  const next = state.result!.pair.next;
  const symbol = next.elf.symbols.find(({ name }) => name === 'last')!;
  const code = next.elf.sections[symbol.place as number]!.data.subarray(symbol.offset, symbol.offset + symbol.size);
  assert.equal(code[code.indexOf(0xb8) + 1], values.at(-1), 'mov $6,%eax');
  const generations = events.flatMap((event) =>
    event.kind === 'unit' && event.state.phase === 'ready' ? [event.state.generation] : [],
  );
  assert.deepEqual(
    generations,
    [...generations].sort((a, b) => a - b),
  );
  assert.ok(generations.length < 6, `builds were cancelled: ${generations}`);
});

test('unsaved buffers are compared without touching the file, headers too', async () => {
  const project = makeProject();
  const { session, settled } = await start(project);
  session.open(project.path('a.c'));
  await session.idle();
  const before = project.hash();
  session.edited(project.path('a.c'), project.read('a.c').replace('* 7', '* 9'));
  assert.deepEqual(names(await settled('a.c')), ['other']);
  session.edited(project.path('include/shared.h'), project.read('include/shared.h').replace('3', '5'));
  const both = await settled('a.c');
  assert.deepEqual(names(both), ['other', 'step']);
  assert.deepEqual([...both.result!.edits.keys()].sort(), [project.path('a.c'), project.path('include/shared.h')]);
  assert.equal(both.result!.diff.functions.find(({ name }) => name === 'step')!.at?.file, project.path('a.c'));
  session.edited(project.path('a.c'), undefined);
  assert.deepEqual(names(await settled('a.c')), ['step']);
  session.closed(project.path('include/shared.h'));
  assert.deepEqual(names(await settled('a.c')), []);
  assert.equal(project.hash(), before);
});

test('a compile error is shown at its place, and the last good findings stay, marked stale', async () => {
  const project = makeProject();
  const { session, settled } = await start(project);
  project.edit('a.c', '* 7', '* 8');
  session.saved(project.path('a.c'));
  assert.deepEqual(names(await settled('a.c')), ['other']);
  project.edit('a.c', 'helper(x) + STEP', 'helper(x) + NO_SUCH');
  session.saved(project.path('a.c'));
  const state = await settled('a.c');
  assert.equal(state.phase, 'compileError');
  assert.deepEqual([names(state), state.stale], [['other'], true]);
  assert.deepEqual(
    session
      .errors()
      .filter(({ severity }) => severity === 'error')
      .map(({ at, message }) => [at.file, at.line, at.column, /NO_SUCH/.test(message)]),
    [[project.path('a.c'), 6, 22, true]],
  );
  // The same in an unsaved header: the place is in the user's tree, not in scratch space.
  project.edit('a.c', 'NO_SUCH', 'STEP');
  session.saved(project.path('a.c'));
  await session.idle();
  session.edited(project.path('include/shared.h'), '#define STEP (\nint helper(int)\nbroken;\n');
  const header = await settled('a.c');
  assert.equal(header.phase, 'compileError');
  assert.ok(
    session.errors().every(({ at }) => at.file.startsWith(`${project.root}/`)),
    JSON.stringify(session.errors()),
  );
  assert.ok(session.errors().some(({ at }) => at.file === project.path('include/shared.h')));
  session.edited(project.path('include/shared.h'), undefined);
  const good = await settled('a.c');
  assert.deepEqual([good.phase, good.stale, good.errors, names(good)], ['ready', false, [], ['other']]);
});

test('base objects are cached across sessions; damaged ones are dropped; the cache can be cleared', async () => {
  const project = makeProject();
  const compiles = (logs: string[]) => logs.filter((text) => text.includes(' -w ')).length;
  const round = async () => {
    const watched = await start(project);
    watched.session.open(project.path('a.c'));
    const state = await watched.settled('a.c');
    await watched.session.dispose();
    return { state, base: compiles(watched.logs) };
  };
  project.edit('a.c', '* 7', '* 9');
  const first = await round();
  assert.deepEqual([names(first.state), first.base], [['other'], 1]);
  assert.deepEqual(await round().then(({ state, base }) => [names(state), base]), [['other'], 0]);
  const objects = join(project.cache, 'objects');
  const damaged = readdirSync(objects).filter((name) => name.endsWith('.o'));
  assert.equal(damaged.length, 1);
  writeFileSync(join(objects, damaged[0]!), readFileSync(join(objects, damaged[0]!)).subarray(0, 500));
  assert.deepEqual(await round().then(({ state, base }) => [names(state), base]), [['other'], 1]);
  for (const name of readdirSync(objects).filter((file) => file.endsWith('.list')))
    writeFileSync(join(objects, name), '{"check":"x","entries":[]}');
  assert.deepEqual(await round().then(({ state, base }) => [names(state), base]), [['other'], 1]);
  project.edit('include/shared.h', 'STEP 3', 'STEP 30');
  project.commit('another baseline');
  project.edit('a.c', '* 9', '* 11');
  assert.deepEqual(
    await round().then(({ state, base }) => [names(state), base]),
    [['other'], 1],
    'another header, another object',
  );
  const { session } = await start(project);
  assert.ok((await session.clearCache()) > 1000);
  assert.equal((await round()).base, 1);
});

test('a hung compiler is stopped in time, children included; so is a cancelled one', async () => {
  const project = makeProject({}, './slow-cc');
  const mark = `lpa-hang-${process.pid}`;
  project.write(
    'slow-cc',
    `#!/bin/sh\nif [ "$1" = --version ]; then echo slow 1; exit; fi\nsh -c 'sleep 61; : ${mark}' &\nsh -c 'sleep 62; : ${mark}'\n`,
  );
  chmodSync(project.path('slow-cc'), 0o755);
  project.write('livepatch.json', '{ "compileTimeout": 1 }');
  const { session, settled } = await start(project);
  const started = performance.now();
  session.saved(project.path('a.c'));
  const state = await settled('a.c');
  assert.ok(performance.now() - started < 20_000);
  assert.equal(state.phase, 'failed');
  assert.match(state.message!, /slow-cc did not finish a\.c within 1 s.*compileTimeout/s);
  assert.deepEqual(await survivors(mark), []);

  // It would read the new setting, and build again.
  await session.dispose();
  project.write('livepatch.json', '{ "compileTimeout": 60 }');
  const other = await start(project);
  other.session.saved(project.path('b.c'));
  while (processes(mark).length < 2) await new Promise((resolve) => setTimeout(resolve, 20));
  other.session.cancel();
  const cancelled = await other.settled('b.c');
  assert.deepEqual([cancelled.phase, await survivors(mark)], ['idle', []]);
});

test('a missing compiler, a file without a command, link-time optimisation: a clear message and a way out', async () => {
  const project = makeProject({ 'lto.c': 'int lto;\n', 'none.c': 'int none;\n' });
  project.commands([
    { file: 'a.c', arguments: ['gcc-77', '-c', 'a.c', '-o', 'build/a.o'] },
    { file: 'b.c', arguments: ['/nowhere/cc', '-c', 'b.c', '-o', 'build/b.o'] },
    { file: 'lto.c', arguments: ['gcc', '-flto=auto', '-c', 'lto.c', '-o', 'build/lto.o'] },
  ]);
  const { session, events, settled } = await start(project);
  for (const file of ['a.c', 'b.c', 'lto.c', 'none.c']) session.saved(project.path(file));
  const missing = await settled('a.c');
  assert.equal(missing.phase, 'failed');
  assert.match(missing.message!, /`gcc-77` was not found\. a\.c is built with it\. Install/);
  assert.match((await settled('b.c')).message!, /`\/nowhere\/cc` was not found/);
  assert.match((await settled('lto.c')).message!, /link-time optimisation.*-fno-lto/);
  const none = events.filter((event) => event.kind === 'noCommand');
  assert.equal(none.length, 1);
  assert.ok(
    none[0]!.kind === 'noCommand' &&
      none[0]!.file === project.path('none.c') &&
      /livepatch record -- make/.test(none[0]!.message),
  );
});

test('no program runs in an untrusted workspace, from the moment that trust ends', async () => {
  const project = makeProject();
  let trusted = false;
  const { session, logs, settled } = await start(project, { isTrusted: () => trusted });
  session.saved(project.path('a.c'));
  const state = await settled('a.c');
  assert.equal(state.phase, 'failed');
  assert.match(state.message!, /not trusted/);
  assert.ok(!logs.some((text) => text.includes('--version')));
  trusted = true;
  project.edit('a.c', '* 7', '* 8');
  const again = await start(project, { isTrusted: () => trusted });
  again.session.saved(project.path('a.c'));
  assert.deepEqual(names(await again.settled('a.c')), ['other']);
  trusted = false;
  project.edit('a.c', '* 8', '* 10');
  again.session.saved(project.path('a.c'));
  const stopped = await again.settled('a.c');
  assert.deepEqual([stopped.phase, stopped.stale, names(stopped)], ['failed', true, ['other']]);
});

test('the object of the real build was made by another compiler, or with other options', async () => {
  const project = makeProject();
  const finding = (state: UnitState) => state.result!.findings.find(({ code }) => code === 'compiler-mismatch');
  project.edit('a.c', '* 7', '* 8');
  const before = project.read('a.c');
  const build = (...vector: string[]) => {
    project.write('a.c', before.replace('* 8', '* 7'));
    sh(project.root, ...vector);
    project.write('a.c', before);
  };
  const check = async () => {
    const { session, settled } = await start(project);
    session.saved(project.path('a.c'));
    return finding(await settled('a.c'));
  };
  assert.equal(await check(), undefined);
  build('clang', ...FLAGS, '-c', 'a.c', '-o', 'build/a.o');
  const other = await check();
  assert.equal(other?.severity, 'blocker');
  assert.match(other!.message, /clang version 14.*GCC: .*Install the compiler that built/s);
  build('gcc', '-g', '-O1', '-fno-strict-aliasing', '-Iinclude', '-c', 'a.c', '-o', 'build/a.o');
  const options = await check();
  assert.match(options?.message ?? '', /built with -O1, built with -fno-strict-aliasing, recorded with -O2/);
  build('gcc', '-g', ...FLAGS, '-c', 'a.c', '-o', 'build/a.o');
  assert.equal(await check(), undefined);
});

test('the commit is fixed when the session starts; a folder, a subfolder and a submodule work as baselines', async () => {
  const project = makeProject();
  const { session, settled } = await start(project);
  await session.baseline();
  project.edit('a.c', '* 7', '* 8');
  project.commit('moves HEAD');
  session.saved(project.path('a.c'));
  assert.deepEqual(names(await settled('a.c')), ['other']);
  assert.equal(await session.baseText(project.path('a.c')).then((text) => text?.includes('* 7')), true);
  assert.equal(await session.baseText(project.path('nothing.c')), undefined);
  assert.deepEqual(await session.changedFiles(), [project.path('a.c')]);

  sh(project.top, 'cp', '-r', project.root, join(project.top, 'orig'));
  project.edit('b.c', 'STEP', 'STEP + 1');
  const folder = await start(project, {}, { base: join(project.top, 'orig') });
  folder.session.saved(project.path('b.c'));
  const state = await folder.settled('b.c');
  assert.deepEqual(names(state), ['twice']);
  assert.equal(state.result!.pair.provenance.baseline, `folder:${join(project.top, 'orig')}`);

  const outer = new Project({ 'main.c': 'int main(void) { return 0; }\n' });
  open.push({ project: outer, sessions: [] });
  project.git('checkout', '-q', '.');
  sh(outer.root, 'git', 'init', '-q');
  outer.git('-c', 'protocol.file.allow=always', 'submodule', '--quiet', 'add', project.root, 'sub');
  outer.commit();
  outer.write(
    'sub/compile_commands.json',
    project.read('compile_commands.json').replaceAll(project.root, outer.path('sub')),
  );
  outer.edit('sub/include/shared.h', 'STEP 3', 'STEP 4');
  for (const root of ['', 'sub']) {
    const { config } = await loadConfig(outer.path(root), { buildDir: outer.path('sub') });
    const inside = await createSession(config, { analyser: await analyser, cacheDir: outer.cache });
    open.at(-1)!.sessions.push(inside);
    inside.saved(outer.path('sub/b.c'));
    await inside.idle();
    assert.deepEqual(names(inside.units()[0]!), ['twice'], `root ${root}: ${inside.units()[0]!.message}`);
  }
});

test('a workspace below the top of its repository sees edits outside of it', async () => {
  const project = new Project({
    'lib/k.h': '#define K 1\n',
    'app/m.c': '#include "../lib/k.h"\nint m(void) { return K; }\n',
  });
  open.push({ project, sessions: [] });
  writeFileSync(
    project.path('app/compile_commands.json'),
    JSON.stringify([{ directory: project.path('app'), file: 'm.c', arguments: ['gcc', '-O2', '-c', 'm.c'] }]),
  );
  project.commit();
  project.edit('lib/k.h', 'K 1', 'K 2');
  const { config } = await loadConfig(project.path('app'));
  const session = await createSession(config, { analyser: await analyser, cacheDir: project.cache });
  open.at(-1)!.sessions.push(session);
  session.saved(project.path('app/m.c'));
  await session.idle();
  assert.deepEqual(names(session.units()[0]!), ['m']);
});

test('without git and without a folder, the files as the session found them are the baseline, and that is said', async () => {
  const project = makeProject();
  rmSync(project.path('.git'), { recursive: true });
  const { session, events, settled } = await start(project);
  assert.match(await session.baseline(), /^start:/);
  project.edit('a.c', '* 7', '* 8');
  session.saved(project.path('a.c'));
  assert.deepEqual(names(await settled('a.c')), ['other']);
  assert.ok(events.some((event) => event.kind === 'config' && /no baseline/.test(event.problems.join())));
});

test('a wrong revision, a header that is included past the mirror: refused in words', async () => {
  const project = makeProject();
  const wrong = await start(project, {}, { base: 'no-such-tag' });
  wrong.session.saved(project.path('a.c'));
  assert.match((await wrong.settled('a.c')).message!, /no-such-tag.*livepatch\.json/s);

  project.write('a.c', `#include "${project.path('include/shared.h')}"\nint absolute(void) { return STEP; }\n`);
  project.git('add', 'a.c');
  project.git('-c', 'user.name=t', 'commit', '-q', '-m', 'absolute');
  project.commands([{ file: 'a.c', arguments: ['gcc', '-c', 'a.c', '-o', 'build/a.o'] }]);
  project.edit('include/shared.h', 'STEP 3', 'STEP 4');
  const { session, settled } = await start(project);
  session.saved(project.path('a.c'));
  assert.match((await settled('a.c')).message!, /shared\.h is included by its absolute path/);
});

test('generated headers are seen, and a base object follows them', async () => {
  const project = makeProject();
  project.write('gen.c', '#include "build/config.h"\nint gen(void) { return VALUE; }\nint rest(void) { return 1; }\n');
  project.write('build/config.h', '#define VALUE 1\n');
  project.commands([{ file: 'gen.c', arguments: ['gcc', '-O2', '-c', 'gen.c', '-o', 'build/gen.o'] }]);
  project.commit();
  const { session, settled } = await start(project);
  project.edit('gen.c', 'return 1', 'return 2');
  session.saved(project.path('gen.c'));
  assert.deepEqual(names(await settled('gen.c')), ['rest']);
  project.write('build/config.h', '#define VALUE 2\n');
  session.saved(project.path('gen.c'));
  assert.deepEqual(names(await settled('gen.c')), ['rest'], 'a generated header is the same on both sides');
});

test('a source that git ignores is compared with what it was when it was opened', async () => {
  const project = makeProject();
  project.write('.gitignore', 'fresh.c\n');
  project.write('fresh.c', 'int fresh(int x)\n{\n  return x + 1;\n}\nint rest(void) { return 1; }\n');
  project.commands([{ file: 'fresh.c', arguments: ['gcc', '-O2', '-c', 'fresh.c', '-o', 'build/fresh.o'] }]);
  const { session, settled } = await start(project);
  session.open(project.path('fresh.c'));
  await session.idle();
  project.edit('fresh.c', 'x + 1', 'x + 2');
  session.saved(project.path('fresh.c'));
  assert.deepEqual(names(await settled('fresh.c')), ['fresh']);
});

test('a header that the edit includes for the first time is part of the edits', async () => {
  const project = makeProject({ 'include/late.h': '#define LATE 1\n' });
  const { session, settled } = await start(project);
  session.open(project.path('a.c'));
  await session.idle();
  project.edit('include/late.h', 'LATE 1', 'LATE 2');
  project.edit('a.c', '#include "shared.h"', '#include "shared.h"\n#include "late.h"');
  project.edit('a.c', '* 7', '* LATE');
  session.saved(project.path('a.c'));
  const state = await settled('a.c');
  assert.deepEqual([...state.result!.edits.keys()].sort(), [project.path('a.c'), project.path('include/late.h')]);
});

test("Kbuild's commands are replayed with their second step: the file symbol is the renamed one, on both sides", async () => {
  const project = new Project({
    'common/k.c': 'static int secret;\nint k(int x) { secret += x; return secret; }\n',
    'common/.k.o.cmd':
      'cmd_common/k.o := gcc -Wp,-MMD,common/.k.o.d -O2 -c common/k.c -o common/.k.o.tmp -MQ common/k.o; objcopy --redefine-sym k.c=common/k.c common/.k.o.tmp common/k.o && rm -f common/.k.o.tmp\n',
  });
  open.push({ project, sessions: [] });
  project.commit();
  const { session, settled } = await start(project);
  project.edit('common/k.c', '+= x', '-= x');
  const before = project.hash();
  session.saved(project.path('common/k.c'));
  const state = await settled('common/k.c');
  assert.deepEqual(names(state), ['k'], state.message);
  for (const object of [state.result!.pair.base, state.result!.pair.next]) {
    assert.deepEqual(
      object.elf.symbols.filter(({ type }) => type === 'file').map(({ name }) => name),
      ['common/k.c'],
    );
  }
  assert.equal(project.hash(), before);
});

test('counters of an instrumented build are the same on both sides', async () => {
  const project = makeProject();
  project.commands([{ file: 'a.c', arguments: ['gcc', ...FLAGS, '--coverage', '-c', 'a.c', '-o', 'build/a.o'] }]);
  const { session, settled } = await start(project);
  project.edit('a.c', 'int total;', 'int total; // a comment');
  session.saved(project.path('a.c'));
  const state = await settled('a.c');
  assert.deepEqual(
    [state.phase, names(state), state.result?.findings, state.result?.diff.data.map(({ name }) => name)],
    ['ready', [], [], []],
  );
});

test('new commands and a new livepatch.json are taken over', async () => {
  const project = makeProject();
  const { session, settled } = await start(project);
  project.edit('a.c', '* 7', '* 8');
  session.saved(project.path('a.c'));
  assert.equal((await settled('a.c')).phase, 'ready');
  project.commands([{ file: 'a.c', arguments: ['gcc', '-DMORE', ...FLAGS, '-c', 'a.c', '-o', 'build/a.o'] }]);
  session.saved(project.path('a.c'));
  assert.ok((await settled('a.c')).result!.pair.provenance.nextCommand.includes('-DMORE'));
  project.commit('eight');
  project.write('livepatch.json', '{ "baseline": { "git": "HEAD" }, "compileTimeout": 50 }');
  const deadline = Date.now() + 10_000;
  while (session.config.compileTimeout !== 50 && Date.now() < deadline)
    await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(session.config.compileTimeout, 50);
});

after(() => assert.equal(open.length, 0));

for (const compiler of ['gcc', 'clang'].filter(hasTool)) {
  test(`${compiler}: the layout of what is only reached through an extern variable is watched`, async () => {
    const header = 'struct config { int level; int depth; };\nextern struct config settings;\n';
    const project = makeProject(
      { 'include/conf.h': header, 'd.c': '#include "conf.h"\nint deep(void)\n{\n  return settings.depth;\n}\n' },
      compiler,
    );
    const { session, settled } = await start(project);
    project.edit('include/conf.h', 'int depth', 'int width; int depth');
    session.saved(project.path('include/conf.h'));
    await session.idle();
    session.saved(project.path('d.c'));
    const { result } = await settled('d.c');
    const blockers = (result?.findings ?? []).filter(({ severity }) => severity === 'blocker');
    assert.ok(
      blockers.some(({ code, symbol }) => code === 'struct-layout' && symbol === 'struct config'),
      JSON.stringify(blockers),
    );
    assert.equal(
      result?.pair.provenance.nextCommand.at(-1) === '-fno-eliminate-unused-debug-types',
      compiler === 'clang',
    );
    assert.deepEqual(result?.pair.provenance.baseCommand, result?.pair.provenance.nextCommand);
  });
}

test('a header that the baseline does not have, written after the build: told, not passed over in silence', async () => {
  const project = makeProject({
    'include/made.h': '#define MADE 1\n',
    'd.c': '#include "made.h"\nint made(void)\n{\n  return MADE;\n}\n',
    '.gitignore': 'build/\ncompile_commands.json\nmade.h\n',
  });
  const { session, settled } = await start(project, { watch: false });
  const told = async () => {
    session.saved(project.path('d.c'));
    const { result, phase } = await settled('d.c');
    assert.equal(phase, 'ready');
    return (result?.findings ?? []).map(
      ({ code, severity, symbol, at }) => `${code} ${severity} ${symbol} ${at?.file}`,
    );
  };
  assert.deepEqual(await told(), [], 'generated before the object: nothing to say');
  await new Promise((resolve) => setTimeout(resolve, 20));
  project.write('include/made.h', '#define MADE 2\n');
  assert.deepEqual(await told(), [`edit-not-covered review made.h ${project.path('include/made.h')}`]);
  sh(project.root, 'gcc', ...FLAGS, '-c', 'd.c', '-o', 'build/d.o');
  assert.deepEqual(await told(), [], 'built again with it');
});

test('an edit that reaches many units warns of nothing', async () => {
  const many = Object.fromEntries(
    Array.from({ length: 24 }, (_, n) => [
      `m${n}.c`,
      `#include "shared.h"\nint many${n}(int x)\n{\n  return x + STEP;\n}\n`,
    ]),
  );
  const project = makeProject(many);
  const warnings: string[] = [];
  const listen = (warning: Error) => warnings.push(warning.message);
  process.on('warning', listen);
  try {
    const { session, settled } = await start(project);
    project.edit('include/shared.h', 'STEP 3', 'STEP 4');
    session.saved(project.path('include/shared.h'));
    assert.deepEqual(names(await settled('m23.c')), ['many23']);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(warnings, []);
  } finally {
    process.off('warning', listen);
  }
});
