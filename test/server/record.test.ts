import assert from 'node:assert/strict';
import { chmodSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  compilationsOf,
  mergeCommands,
  parseCalls,
  type RecordRequest,
  record,
} from '../../server/src/shell/record.ts';
import { hasTool } from '../support/cc.ts';
import { Project, sh } from './project.ts';

const MAKEFILE = [
  'CC = gcc',
  'prog: a.o sub/b.o',
  '\t$(CC) -o $@ $^',
  'a.o: a.c',
  '\t$(CC) -O1 \'-DNAME="a b"\' -c a.c -o a.o',
  'sub/b.o: sub/b.c',
  '\tcd sub && clang -c b.c',
  'clean:',
  '\trm -f prog a.o sub/b.o',
  '',
].join('\n');
const FILES = {
  Makefile: MAKEFILE,
  'a.c': 'int b(void); const char *n = NAME; int main(void) { return b(); }\n',
  'sub/b.c': 'int b(void) { return 0; }\n',
};

const read = (path: string) =>
  JSON.parse(readFileSync(path, 'utf8')) as { file: string; directory: string; arguments: string[]; output?: string }[];

for (const recorder of ['own', 'bear'] as const) {
  test(`a make build is recorded (${recorder}), only the named file is written, a second build adds to it`, {
    skip: !hasTool('make') || !hasTool('clang') || (recorder === 'bear' && !hasTool('bear')),
  }, async () => {
    const project = new Project(FILES);
    try {
      const output = project.path('out/compile_commands.json');
      const request: RecordRequest = { command: ['make', '-j2'], cwd: project.root, output, recorder, stdio: 'ignore' };
      const first = await record(request);
      assert.deepEqual(
        [first.status, first.recorder, first.recorded, first.total],
        [0, recorder, 2, 2],
        first.messages.join(),
      );
      const entries = read(output).sort((a, b) => (a.file < b.file ? -1 : 1));
      assert.deepEqual(
        entries.map(({ file, directory }) => [join(directory, file.slice(file.lastIndexOf('/') + 1)), directory]),
        [
          [project.path('a.c'), project.root],
          [project.path('sub/b.c'), project.path('sub')],
        ],
      );
      assert.ok(entries[0]!.arguments.includes('-DNAME="a b"') && entries[0]!.arguments.includes('-O1'));
      assert.match(entries[1]!.arguments[0]!, /clang/);
      assert.equal(
        sh(project.root, 'find', '.', '-newer', 'Makefile', '-name', '*.json').trim(),
        './out/compile_commands.json',
      );

      const again = await record(request);
      assert.deepEqual([again.recorded, again.total], [0, 2], 'up to date: nothing was compiled, nothing is lost');
      assert.match(again.messages.join(), /make clean/);
      project.edit('Makefile', '-O1', '-O2');
      sh(project.root, 'rm', 'a.o');
      assert.deepEqual(await record(request).then(({ recorded, total }) => [recorded, total]), [1, 2]);
      const changed = read(output).find(({ file }) => file.endsWith('a.c'))!;
      assert.ok(changed.arguments.includes('-O2') && !changed.arguments.includes('-O1'));
    } finally {
      project.remove();
    }
  });
}

test('the exit status of the build is passed on, and what was compiled before the failure is kept', async () => {
  const project = new Project({ ...FILES, 'sub/b.c': 'int b(void) { return broken; }\n' });
  try {
    const output = project.path('compile_commands.json');
    const outcome = await record({
      command: ['make', '-k'],
      cwd: project.root,
      output,
      recorder: 'own',
      stdio: 'ignore',
    });
    assert.notEqual(outcome.status, 0);
    assert.equal(outcome.recorded, 2);
    const missing = await record({
      command: ['no-such-builder'],
      cwd: project.root,
      output,
      recorder: 'own',
      stdio: 'ignore',
    });
    assert.equal(missing.status, 127);
    assert.match(missing.messages.join(), /no-such-builder/);
    assert.equal(read(output).length, 2);
  } finally {
    project.remove();
  }
});

test('calls with odd arguments come through: blanks, quotes, line ends, empty ones', async () => {
  const project = new Project({
    'x.c': 'int x;\n',
    'build.sh':
      '#!/bin/sh\ngcc -DA=\'a "b\' -DB="c\nd" "" -c x.c -o "o d d.o" 2>/dev/null\ngcc -c x.c -o "o d d.o" -DE=\'it\'"\'"\'s\'\n',
  });
  try {
    chmodSync(project.path('build.sh'), 0o755);
    const output = project.path('c.json');
    await record({ command: ['./build.sh'], cwd: project.root, output, recorder: 'own', stdio: 'ignore' });
    const [entry] = read(output);
    assert.ok(entry!.arguments.includes("-DE=it's") && entry!.arguments.includes('o d d.o'));
    const odd = ['gcc', '-DA=a "b', '-DB=c\nd', '', '-c', 'x.c'];
    const bytes = Buffer.from(['5', '/w d', ...odd, '1', '/w', 'cc', 'y.c', ''].join('\0'));
    assert.deepEqual(parseCalls(bytes), [
      { directory: '/w d', arguments: odd },
      { directory: '/w', arguments: ['cc', 'y.c'] },
    ]);
    assert.deepEqual(parseCalls(Buffer.from('9\0/w\0gcc\0')), [], 'a call that was cut off');
  } finally {
    project.remove();
  }
});

test('links, probes and preprocessing are no compilations; two sources of one call are two', () => {
  const call = (...args: string[]) => ({ directory: '/w', arguments: args });
  const found = compilationsOf([
    call('gcc', '-o', 'prog', 'a.o', 'b.o'),
    call('gcc', '-E', 'a.c'),
    call('gcc', '--version'),
    call('gcc', '-c', 'a.c', 'b.c'),
    call('gcc', 'm.c', '-o', 'prog'),
  ]);
  assert.deepEqual(
    found.map(({ file, output }) => [file, output]),
    [
      ['/w/a.c', '/w/a.o'],
      ['/w/b.c', '/w/b.o'],
      ['/w/m.c', undefined],
    ],
  );
  const old = { directory: '/w', file: 'a.c', arguments: ['gcc', '-O0', '-c', 'a.c'] };
  const merged = mergeCommands([old, { directory: '/w', file: 'z.c', arguments: ['gcc', '-c', 'z.c'] }], found);
  assert.deepEqual(
    merged.map(({ file, arguments: args }) => [file, args.includes('-O0')]),
    [
      ['/w/a.c', false],
      ['z.c', false],
      ['/w/b.c', false],
      ['/w/m.c', false],
    ],
  );
});
