import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { after, test } from 'node:test';
import { createSession, type Session } from '../../server/src/session.ts';
import { loadConfig } from '../../server/src/shell/config.ts';
import { changedFunctions, Project, sh } from './project.ts';

const projects: Project[] = [];
const sessions: Session[] = [];
after(async () => {
  for (const session of sessions) await session.dispose();
  for (const project of projects) project.remove();
});

/** `a.c` is part of `twin.c` as well, as compat code is; `b.c` uses the header. Built, so that the dependencies are on the disk. */
function made(): Project {
  const project = new Project({
    'shared.h': '#define STEP 3\n',
    'a.c': '#ifndef NAME\n#define NAME plain\n#endif\nint NAME(int x)\n{\n  return x * 5;\n}\n',
    'twin.c': '#define NAME twin\n#include "a.c"\n',
    'b.c': '#include "shared.h"\nint step(int x)\n{\n  return x + STEP;\n}\n',
    '.gitignore': 'build/\n',
  });
  projects.push(project);
  mkdirSync(project.path('build'));
  const entries = ['a', 'twin', 'b'].map((name) => ({
    file: `${name}.c`,
    arguments: ['gcc', '-O2', '-MD', '-c', `${name}.c`, '-o', `build/${name}.o`],
  }));
  for (const { arguments: args } of entries) sh(project.root, ...args);
  project.commands(entries);
  project.commit();
  return project;
}

async function begin(project: Project) {
  const { config } = await loadConfig(project.root);
  const session = await createSession(config, { cacheDir: project.cache, watch: false });
  sessions.push(session);
  const changed = () => changedFunctions(session);
  return { session, changed };
}

test('a source that was edited before it was opened is compared in every unit that includes it', async () => {
  const project = made();
  project.edit('a.c', 'x * 5', 'x * 7');
  const { session, changed } = await begin(project);
  session.open(project.path('a.c'));
  await session.idle();
  assert.deepEqual(changed(), ['plain', 'twin']);
});

test('what was edited before the session is part of the patch, opened or not; a cancelled comparison is made up for', async () => {
  const project = made();
  project.edit('shared.h', 'STEP 3', 'STEP 4');
  const { session, changed } = await begin(project);
  project.edit('a.c', 'x * 5', 'x * 7');
  session.saved(project.path('a.c'));
  await session.idle();
  assert.deepEqual(changed(), ['plain', 'twin']);
  await session.cover();
  assert.deepEqual(changed(), ['plain', 'step', 'twin']);
  const generations = () => session.units().map(({ generation }) => generation);
  const before = generations();
  await session.cover();
  assert.deepEqual(generations(), before, 'nothing is built twice');

  project.edit('b.c', 'x + STEP', 'x - STEP');
  session.saved(project.path('b.c'));
  session.cancel();
  await session.idle();
  await session.cover();
  const states = session.units().map(({ unit, stale }) => [unit.command.file, stale]);
  assert.deepEqual(
    states.filter(([, stale]) => stale),
    [],
  );
});
