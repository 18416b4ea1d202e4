import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createSession } from '../../server/src/session.ts';
import { loadConfig } from '../../server/src/shell/config.ts';
import { Project } from './project.ts';

const projects: Project[] = [];
after(() => {
  for (const project of projects) project.remove();
});

/** Twenty units that include a header. */
function many(): Project {
  const units = Array.from({ length: 20 }, (_, n) => `unit${n}.c`);
  const project = new Project({
    'shared.h': '#define STEP 3\n',
    ...Object.fromEntries(
      units.map((name, n) => [name, `#include "shared.h"\nint f${n}(int x)\n{\n  return x + STEP;\n}\n`]),
    ),
  });
  projects.push(project);
  mkdirSync(project.path('build'));
  project.commands(units.map((file) => ({ file, arguments: ['gcc', '-O2', '-c', file, '-o', `build/${file}.o`] })));
  project.commit();
  return project;
}

test('the edit of a header that is taken back rebuilds what had been compared, and nothing else', async () => {
  const project = many();
  const { config } = await loadConfig(project.root);
  const session = await createSession(config, { cacheDir: project.cache, watch: false });
  const header = project.path('shared.h');
  const ready = () => session.units().filter(({ phase }) => phase === 'ready');
  try {
    project.edit('shared.h', 'STEP 3', 'STEP 4');
    session.saved(header);
    while (ready().length < 3) await sleep(5);
    session.cancel();
    await session.idle();
    const compared = ready().map(({ unit }) => unit.id);
    assert.ok(compared.length >= 3 && compared.length < 20, `${compared.length} compared`);

    project.edit('shared.h', 'STEP 4', 'STEP 3');
    session.saved(header);
    await session.idle();
    assert.deepEqual(
      ready().map(({ unit, result }) => [unit.id, result?.diff.functions.length]),
      compared.map((id) => [id, 0]),
    );

    // An edit is an edit again, whatever was taken back before.
    project.edit('shared.h', 'STEP 3', 'STEP 5');
    session.saved(header);
    await session.idle();
    assert.equal(ready().filter(({ result }) => result?.diff.functions.length === 1).length, 20);
    // The same in the editor only.
    session.cancel();
    project.edit('shared.h', 'STEP 5', 'STEP 3');
    session.edited(header, '#define STEP 6\n');
    await session.idle();
    assert.equal(ready().filter(({ result }) => result?.diff.functions.length === 1).length, 20);
  } finally {
    await session.dispose();
  }
});
