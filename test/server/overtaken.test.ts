import assert from 'node:assert/strict';
import { mkdirSync, rmSync } from 'node:fs';
import { after, test } from 'node:test';
import { uriOf } from '../../server/src/lsp/documents.ts';
import { Keeper } from '../../server/src/lsp/keeper.ts';
import { createSession, type Session } from '../../server/src/session.ts';
import type { SessionEvent } from '../../server/src/session-types.ts';
import { writeAcceptance } from '../../server/src/shell/accept.ts';
import { loadConfig } from '../../server/src/shell/config.ts';
import { changedFunctions, Project, sh } from './project.ts';

/** What other programs, a cancel or the build itself do while a session is open: nothing of an edit gets lost, nothing old counts as new. */
const projects: Project[] = [];
const sessions: Session[] = [];
const keepers: Keeper[] = [];
after(async () => {
  for (const keeper of keepers) await keeper.stop();
  for (const session of sessions) await session.dispose();
  for (const project of projects) project.remove();
});

const entry = (name: string, ...flags: string[]) => ({
  file: `${name}.c`,
  arguments: ['gcc', '-O2', ...flags, '-MD', '-c', `${name}.c`, '-o', `build/${name}.o`],
});

function made(build = true): Project {
  const project = new Project({
    'shared.h': '#define STEP 3\n',
    'a.c': 'int first(int x)\n{\n  return x * 5;\n}\n',
    'b.c': '#include "shared.h"\nint step(int x)\n{\n  return x + STEP;\n}\n',
    '.gitignore': 'build/\ncompile_commands.json\n',
  });
  projects.push(project);
  mkdirSync(project.path('build'));
  const entries = [entry('a'), entry('b')];
  if (build) for (const { arguments: args } of entries) sh(project.root, ...args);
  project.commands(entries);
  project.commit();
  return project;
}

async function begin(project: Project) {
  const { config } = await loadConfig(project.root);
  const session = await createSession(config, { cacheDir: project.cache, watch: false });
  sessions.push(session);
  const events: SessionEvent[] = [];
  session.on((event) => events.push(event));
  const changed = () => changedFunctions(session);
  return { session, events, changed };
}

/** A keeper as the language server has it, without an editor at the other end. */
async function keep(project: Project, idlePause: number, stopped = false) {
  const silent = {
    sendNotification: async () => {},
    sendRequest: async () => {},
    sendDiagnostics: async () => {},
    languages: { inlayHint: { refresh: async () => {} } },
  };
  const keeper = new Keeper(silent as unknown as ConstructorParameters<typeof Keeper>[0]);
  keepers.push(keeper);
  keeper.configure(project.root, {
    trusted: true,
    settings: { idlePause, inlayHints: false, codeLens: false },
    choices: { leaveOut: [], overrides: {} },
    docs: '',
    cache: project.cache,
  });
  const session = () => keeper.session().then((each) => each!);
  const uri = uriOf(project.path('a.c'));
  keeper.opened(uri, project.read('a.c'));
  await session();
  if (stopped) keeper.cancel();
  await (await session()).idle();
  const rest = async () => {
    await new Promise((done) => setTimeout(done, idlePause + 100));
    await (await session()).idle();
    return keeper.state().units.flatMap((unit) => unit.functions.map((each) => each.name));
  };
  return { keeper, uri, session, rest };
}

test('a file that another program writes is compared, whichever of the editor and the watcher tells first', async () => {
  for (const watcherFirst of [true, false]) {
    const project = made();
    const { keeper, uri, rest } = await keep(project, 20);
    project.edit('a.c', 'x * 5', 'x * 7');
    // The editor reads a clean buffer again.
    if (watcherFirst) keeper.filesChanged([uri]);
    keeper.changed(uri, project.read('a.c'));
    assert.deepEqual(await rest(), ['first'], String(watcherFirst));
    keeper.filesChanged([uri]);
    assert.deepEqual(await rest(), ['first']);
    project.edit('a.c', 'x * 7', 'x * 5');
    keeper.changed(uri, project.read('a.c'));
    assert.deepEqual(await rest(), []);
  }
});

test('what somebody stopped before earlier edits were compared is not started again by itself', async () => {
  for (const stopped of [false, true]) {
    const project = made();
    project.edit('b.c', 'x + STEP', 'x - STEP');
    const { keeper, session, rest } = await keep(project, 20, stopped);
    assert.deepEqual(await rest(), stopped ? [] : ['step']);
    // A patch is built of all of it.
    await (await session()).cover();
    assert.deepEqual(await rest(), ['step']);
    assert.equal(keeper.state().busy, false);
  }
});

test('the unsaved text counts, though the file below it is written, looked at for a report, or covered', async () => {
  const project = made();
  const { keeper, uri, session, rest } = await keep(project, 20);
  const typed = project.read('a.c').replace('x * 5', 'x * 7');
  keeper.changed(uri, typed);
  assert.deepEqual(await rest(), ['first']);
  project.edit('a.c', 'int first', '\nint first');
  keeper.filesChanged([uri]);
  assert.deepEqual(await rest(), ['first'], 'written below');
  (await session()).cancel();
  await (await session()).cover();
  assert.deepEqual(await rest(), ['first'], 'covered');
  keeper.saved(uri, typed);
  project.write('a.c', typed);
  keeper.filesChanged([uri]);
  assert.deepEqual(await rest(), ['first']);
});

test('what was typed within the pause is handed over when a patch is built', async () => {
  const project = made();
  const { keeper, uri, session } = await keep(project, 60_000);
  keeper.changed(uri, project.read('a.c').replace('x * 5', 'x * 7'));
  keeper.flush();
  // What is handed over arrives behind the promise of the session.
  await new Promise(setImmediate);
  assert.equal(await (await session()).cover(), true);
  assert.deepEqual(
    keeper.state().units.flatMap((unit) => unit.functions.map((each) => each.name)),
    ['first'],
  );
});

test('a list of commands that is being written loses nothing; another build folder is compared anew', async () => {
  const project = made();
  const { session, changed } = await begin(project);
  project.edit('a.c', 'x * 5', 'x * 7');
  session.saved(project.path('a.c'));
  await session.idle();
  assert.deepEqual(changed(), ['first']);
  const list = project.read('compile_commands.json');
  for (const broken of ['', list.slice(0, 40)]) {
    project.write('compile_commands.json', broken);
    project.edit('b.c', 'x + STEP', 'x - STEP');
    session.saved(project.path('b.c'));
    await session.idle();
    assert.deepEqual(changed(), ['first', 'step'], 'the commands that are known hold');
    project.edit('b.c', 'x - STEP', 'x + STEP');
    session.saved(project.path('b.c'));
    await session.idle();
  }
  mkdirSync(project.path('out'));
  project.write('compile_commands.json', list.replaceAll('build/', 'out/'));
  session.looked(project.path('b.c'));
  await session.idle();
  assert.deepEqual(changed(), ['first'], 'what was compared before has other names now');
  assert.ok(session.units().every(({ unit }) => unit.command.output?.includes('/out/')));
});

test('options from a file that changes make another original', async () => {
  const project = made();
  project.write('flags.rsp', '-DSTEP=1');
  project.write('c.c', 'int third(int x)\n{\n  return x + STEP;\n}\n');
  project.commands([entry('a'), entry('b'), entry('c', '@flags.rsp')]);
  project.commit();
  const { session, changed } = await begin(project);
  project.edit('c.c', 'x + STEP', 'x - STEP');
  session.saved(project.path('c.c'));
  await session.idle();
  assert.deepEqual(changed(), ['third']);
  project.edit('c.c', 'x - STEP', 'x + STEP');
  project.write('flags.rsp', '-DSTEP=2');
  session.saved(project.path('c.c'));
  await session.idle();
  assert.deepEqual(changed(), [], 'both sides are built with the options as they are now');
});

test('commands that change while the original is built', async () => {
  const project = made();
  project.write('slow.sh', '#!/bin/sh\nsleep 0.5\nexec gcc "$@"\n');
  sh(project.root, 'chmod', '+x', 'slow.sh');
  const slow = (...flags: string[]) => {
    const { file, arguments: args } = entry('a', ...flags);
    return { file, arguments: [project.path('slow.sh'), ...args.slice(1)] };
  };
  project.commands([slow(), entry('b')]);
  const { session, changed } = await begin(project);
  session.saved(project.path('a.c'));
  await new Promise((done) => setTimeout(done, 250));
  project.commands([slow('-O0', '-DOTHER'), entry('b')]);
  session.saved(project.path('a.c'));
  await session.idle();
  assert.deepEqual(changed(), [], 'the old original was not taken for one of the new command');
  const [state] = session.units();
  assert.equal(state?.phase, 'ready');
});

test('a header that the build has still to generate hides no unit; where nothing can be found out, that is said', async () => {
  const project = made(false);
  project.edit('b.c', '#include "shared.h"', '#include "shared.h"\n#ifdef GENERATED\n#include "generated.h"\n#endif');
  project.commands([entry('a'), entry('b', '-DGENERATED')]);
  project.commit();
  project.edit('shared.h', 'STEP 3', 'STEP 4');
  const { session, events } = await begin(project);
  session.saved(project.path('shared.h'));
  await session.idle();
  assert.deepEqual(
    session.units().map(({ unit, phase }) => `${unit.command.file.split('/').pop()} ${phase}`),
    ['b.c compileError'],
    'the unit includes it, and cannot be built yet',
  );
  project.commands([
    entry('a'),
    { file: 'b.c', arguments: ['gcc', '--no-such-option', '-c', 'b.c', '-o', 'build/b.o'] },
  ]);
  const other = await begin(project);
  other.session.saved(project.path('shared.h'));
  await other.session.idle();
  const told = other.events.flatMap((event) => (event.kind === 'noCommand' ? [event.message] : []));
  assert.match(told.join('\n'), /What b\.c include could not be found out/);
  assert.ok(!events.some((event) => event.kind === 'noCommand'));
  project.write('compile_commands.json', '[]');
  const none = await begin(project);
  none.session.saved(project.path('shared.h'));
  await none.session.idle();
  assert.match(
    none.events.flatMap((event) => (event.kind === 'noCommand' ? [event.message] : [])).join('\n'),
    /Nothing is compared for shared\.h/,
  );
});

test('a cancel leaves no half of an edit out: the next patch makes up for it, and the one that was cancelled is none', async () => {
  const project = made();
  const { session, changed } = await begin(project);
  // Only in a buffer: the disk tells nothing of it.
  session.edited(project.path('a.c'), project.read('a.c').replace('x * 5', 'x * 7'));
  session.cancel();
  await session.idle();
  assert.equal(await session.cover(), true);
  assert.deepEqual(changed(), ['first']);
  session.edited(project.path('a.c'), undefined);
  session.cancel();
  await session.idle();
  assert.equal(await session.cover(), true);
  assert.deepEqual(changed(), []);
  assert.ok(session.units().every(({ stale }) => !stale));
  project.edit('b.c', 'x + STEP', 'x - STEP');
  const covered = session.cover();
  setTimeout(() => session.cancel(), 5);
  assert.equal(await covered, false);
});

test('a deleted header is an edit: what includes it is compared, and does not compile', async () => {
  const project = made();
  rmSync(project.path('shared.h'));
  const { session } = await begin(project);
  await session.cover();
  assert.deepEqual(
    session.units().map(({ unit, phase }) => `${unit.command.file.split('/').pop()} ${phase}`),
    ['b.c compileError'],
  );
});

test('two acceptances one after the other are both kept, whatever the session has read', async () => {
  const project = made();
  const { config } = await loadConfig(project.root);
  const about = (symbol: string) => ({ code: 'data-init-changed', symbol });
  const finding = (symbol: string) => ({ ...about(symbol), severity: 'blocker', message: 'x', evidence: [] }) as never;
  await writeAcceptance(config.root, about('one'), [finding('one')], 'for the first reason');
  await writeAcceptance(config.root, about('two'), [finding('two')], 'for the second reason');
  const { config: now } = await loadConfig(project.root);
  assert.deepEqual(
    now.accepted?.map(({ symbol }) => symbol),
    ['one', 'two'],
  );
});

test('a tree of Kbuild that is configured or built while the session is open: its new commands are taken over', async () => {
  const command = (flags: string) =>
    `cmd_common/k.o := gcc -Wp,-MMD,common/.k.o.d -O2 ${flags} -c common/k.c -o common/k.o\n`;
  const project = new Project({
    'common/k.c': '#include "k.h"\nint k(int x) { return x + STEP; }\n',
    'common/k.h': '',
    '.gitignore': '*.cmd\nxen-syms\n',
  });
  projects.push(project);
  project.commit();
  const { session, changed } = await begin(project);
  project.edit('common/k.c', 'x + STEP', 'x - STEP');
  session.saved(project.path('common/k.h'));
  await session.idle();
  assert.deepEqual(session.units(), [], 'nothing has been built');
  project.write('common/.k.o.cmd', command('-DSTEP=1'));
  project.write('xen-syms', '');
  project.write('common/k.h', '#define MORE 1\n');
  session.saved(project.path('common/k.h'));
  await session.idle();
  assert.deepEqual(changed(), ['k'], 'the header finds the unit that was built since');
  project.edit('common/k.c', 'x - STEP', 'x + STEP');
  project.write('common/.k.o.cmd', command('-DSTEP=2'));
  session.saved(project.path('common/k.c'));
  await session.idle();
  assert.deepEqual(changed(), [], 'both sides have the new options');
  assert.match(session.units()[0]!.unit.command.arguments.join(' '), /STEP=2/);
});
