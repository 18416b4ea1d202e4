import assert from 'node:assert/strict';
import { chmodSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createSession } from '../../server/src/session.ts';
import { loadConfig } from '../../server/src/shell/config.ts';
import { Project } from './project.ts';

let project: Project;
beforeEach(() => {
  project = new Project({
    'a.c': '#include "shape.h"\nint area(int x)\n{\n  return x * SIDE;\n}\n',
    'late/shape.h': '#define SIDE 2\n',
    'early/other.h': '#define OTHER 1\n',
  });
  command('-O2');
  project.commit();
  project.edit('a.c', 'x * SIDE', 'x * SIDE + 1');
});
afterEach(() => project.remove());

function command(...options: string[]): void {
  compiler('gcc', ...options);
}
function compiler(program: string, ...options: string[]): void {
  const args = [program, '-Iearly', '-Ilate', ...options, '-c', 'a.c', '-o', 'a.o'];
  project.commands([{ file: 'a.c', arguments: args }]);
}

/** Compares in a session of its own, as a command does. */
async function check(keepEdited = true) {
  const { config } = await loadConfig(project.root);
  const session = await createSession(config, { watch: false, cacheDir: project.cache, keepEdited });
  const said: string[] = [];
  session.on((event) => event.kind === 'log' && said.push(event.text));
  try {
    session.saved(project.path('a.c'));
    await session.idle();
    const unit = session.units()[0]!;
    assert.equal(unit.phase, 'ready', unit.message);
    const { diff, pair, edits } = unit.result!;
    const code = pair.next.elf.sections.find(({ name }) => name === '.text.area')!.data;
    return {
      cached: said.some((text) => /^edited object of .* from the cache/.test(text)),
      /** What a person sees of it. */
      shown: JSON.stringify([
        diff.functions.map(({ name, status, reasons, at }) => [name, status, reasons, at]),
        pair.provenance,
        [...edits],
        unit.dependencies,
      ]),
      code: Buffer.from(code).toString('hex'),
    };
  } finally {
    await session.dispose();
  }
}

/** What was written in the moment before the compiler starts is not kept: longer than that. */
const REST = 150;

test('the same edit is compiled once, and shown the same', async () => {
  await sleep(REST);
  const first = await check();
  const second = await check();
  assert.deepEqual([first.cached, second.cached], [false, true]);
  assert.deepEqual({ ...second, cached: false }, first);
  // In the editor the compiler has what was just typed: nothing is kept, nor looked for.
  assert.equal((await check(false)).cached, false);
});

/** A change of the surroundings after which the kept object must not be taken, and what the code has to be like then. */
const changes: readonly (readonly [name: string, prepare: () => void, change: () => void])[] = [
  ['another edit of the source', () => {}, () => project.edit('a.c', '+ 1', '+ 2')],
  ['another header', () => {}, () => project.write('late/shape.h', '#define SIDE 3\n')],
  ['only blanks, which move columns', () => {}, () => project.edit('a.c', 'x * SIDE', 'x  *  SIDE')],
  [
    'a new header in a folder that is searched earlier',
    () => {},
    () => project.write('early/shape.h', '#define SIDE 5\n'),
  ],
  [
    'a header that is asked for comes up',
    () =>
      project.write(
        'a.c',
        '#if __has_include("maybe.h")\n#define K 3\n#else\n#define K 4\n#endif\nint area(int x) { return x * K; }\n',
      ),
    () => project.write('late/maybe.h', ''),
  ],
  ['another option', () => {}, () => command('-O1')],
  [
    'another text of a response file',
    () => {
      project.write('options.rsp', '-O2 -DMORE=1');
      command('@options.rsp');
    },
    () => project.write('options.rsp', '-O0 -DMORE=1'),
  ],
  [
    'a file that the assembler reads',
    () => {
      project.write('blob.bin', 'one');
      project.edit(
        'a.c',
        'int area',
        '__asm__(".pushsection .rodata; .incbin \\"blob.bin\\"; .popsection");\nint area',
      );
    },
    () => project.write('blob.bin', 'two'),
  ],
  [
    'a compiler that a script starts',
    () => {
      script('-O2');
      compiler('./cc.sh');
    },
    () => script('-O0'),
  ],
];

function script(options: string): void {
  writeFileSync(project.path('cc.sh'), `#!/bin/sh\nexec gcc "$@" ${options}\n`);
  chmodSync(project.path('cc.sh'), 0o755);
}

for (const [name, prepare, change] of changes)
  test(`compiled again: ${name}`, async () => {
    prepare();
    await sleep(REST);
    assert.equal((await check()).cached, false);
    change();
    const now = await check();
    assert.equal(now.cached, false);
    const { cache } = project;
    rmSync(cache, { recursive: true });
    assert.deepEqual(now, await check(false));
  });

test('compiled again: another assembler below the same driver', async () => {
  const place = project.path('tools');
  project.write('tools/as', '#!/bin/sh\nexec /usr/bin/env as "$@"\n');
  chmodSync(join(place, 'as'), 0o755);
  project.write('cc.sh', `#!/bin/sh\nexec gcc -B${place}/ "$@"\n`);
  chmodSync(project.path('cc.sh'), 0o755);
  compiler('./cc.sh', '-O2');
  await sleep(REST);
  assert.deepEqual([(await check()).cached, (await check()).cached], [false, true]);
  project.write('tools/as', '#!/bin/sh\n# another version\nexec /usr/bin/env as "$@"\n');
  assert.equal((await check()).cached, false);
});

test('not kept: objects of profiles, and of files that are written while the compiler runs', async () => {
  command('-O2', '-fprofile-use=none.gcda', '-Wno-missing-profile');
  assert.deepEqual([(await check()).cached, (await check()).cached], [false, false]);
  project.write('late/shape.h', '#define SIDE 4\n');
  writeFileSync(
    project.path('cc.sh'),
    '#!/bin/sh\ngcc "$@" || exit\ncase " $* " in *" -E "*) ;; *) touch late/shape.h ;; esac\n',
  );
  chmodSync(project.path('cc.sh'), 0o755);
  compiler('./cc.sh', '-O2');
  assert.deepEqual([(await check()).cached, (await check()).cached], [false, false]);
});

test('a damaged object in the cache is compiled again', async () => {
  await sleep(REST);
  const first = await check();
  const folder = join(project.cache, 'objects');
  for (const name of readdirSync(folder)) if (name.endsWith('.o')) writeFileSync(join(folder, name), 'no object');
  assert.deepEqual(await check(), first);
});

test('without a cache nothing is kept', async () => {
  project.write('livepatch.json', '{ "cacheLimitMiB": 0 }');
  assert.deepEqual([(await check()).cached, (await check()).cached], [false, false]);
  assert.throws(() => readdirSync(join(project.cache, 'objects')));
});
