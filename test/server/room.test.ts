import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Slot } from '../../server/src/session/queue.ts';
import { BuildRoom, buildOriginal } from '../../server/src/session/room.ts';
import { Compilers } from '../../server/src/shell/compiler.ts';
import { loadConfig } from '../../server/src/shell/config.ts';
import { Project } from './project.ts';

const OLD = 'int limit(int x)\n{\n  return x * 7;\n}\n';
const NEW = OLD.replace('* 7', '* 8');
const project = new Project({ 'a.c': OLD });
after(() => project.remove());
project.commands([{ file: 'a.c', arguments: ['gcc', '-O1', '-c', 'a.c', '-o', 'build/a.o'] }]);
project.commit('first');

async function makeRoom(name: string): Promise<{ room: BuildRoom; slot: Slot }> {
  const scratch = join(project.top, `scratch-${name}`);
  mkdirSync(scratch, { recursive: true });
  const { config } = await loadConfig(project.root);
  const room = new BuildRoom(config, {
    cache: join(project.top, `cache-${name}`),
    scratch,
    compilers: new Compilers(() => true),
    isTrusted: () => true,
    log: () => {},
    jobs: 1,
  });
  await room.index.refresh();
  const [unit] = await room.index.find(project.path('a.c'));
  assert.ok(unit);
  return { room, slot: { unit } as Slot };
}

test('a file that is saved after the baseline was asked and before the compiler reads it does not get into the original', async () => {
  const { signal } = new AbortController();
  const quiet = await makeRoom('quiet');
  const expected = await quiet.room.original(quiet.slot, [], (builder, differing) =>
    buildOriginal(quiet.slot, builder, differing, signal, 0),
  );
  assert.equal(expected.base.kind, 'built');

  const { room, slot } = await makeRoom('busy');
  let built = 0;
  const { base, differing } = await room.original(slot, [], (builder, known) => {
    // The user's save, between the question what differs and the compiler.
    if (built++ === 0) project.write('a.c', NEW);
    return buildOriginal(slot, builder, known, signal, 0);
  });
  assert.ok(base.kind === 'built' && expected.base.kind === 'built');
  assert.deepEqual(Buffer.from(base.object), Buffer.from(expected.base.object), 'the original holds the edit');
  assert.ok(differing.has(project.path('a.c')), 'the edit is not known');
  assert.equal(built, 2);
  assert.equal(slot.base, base);

  const again = await room.original(slot, [], () => assert.fail('built although it is at hand'));
  assert.equal(again.base, base);
});
