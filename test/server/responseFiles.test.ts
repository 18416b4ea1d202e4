import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openBaseline } from '../../server/src/shell/baseline.ts';
import { Builder } from '../../server/src/shell/builder.ts';
import { CommandIndex } from '../../server/src/shell/commandIndex.ts';
import { Compilers } from '../../server/src/shell/compiler.ts';
import { loadConfig } from '../../server/src/shell/config.ts';
import { record } from '../../server/src/shell/record.ts';
import { expandResponseFiles } from '../../server/src/shell/responseFiles.ts';
import { ObjectStore } from '../../server/src/shell/store.ts';
import { hasTool } from '../support/cc.ts';
import { Project, sh } from './project.ts';

const yes = () => true;

/** What the compiler's preprocessor makes of `-D` options in a response file. */
const TEXTS = [
  '-DA=1 -DB="two words"',
  "-DA='a b'   -DB=c\\ d\n\n\t-DC=e\\\\f",
  `-DA="say \\"hi\\"" -DB='it\\'s' -DC=x"y z"w`,
  '-DA="unfinished and',
  '-DA=one\\\n-DB=\'\' -DC=""',
  '-DA=#no -DB=$HOME -DC=*.c',
];

for (const compiler of ['gcc', 'clang'].filter(hasTool)) {
  test(`${compiler} reads a response file as it is read here`, async () => {
    const project = new Project({ 'x.c': 'A B C\n' });
    try {
      for (const [index, text] of TEXTS.entries()) {
        project.write(`${index}.rsp`, text);
        const words = await expandResponseFiles([`@${index}.rsp`], project.root);
        const preprocessed = (...args: string[]) => sh(project.root, compiler, ...args, '-E', '-P', 'x.c');
        assert.equal(preprocessed(...words), preprocessed(`@${index}.rsp`), text);
        assert.ok(words.length > 0 && words.every((word) => !word.startsWith('@')));
      }
    } finally {
      project.remove();
    }
  });
}

test('files inside files; what is no file stays; files that name themselves end', async () => {
  const project = new Project({ 'sub/a.rsp': '-DA @sub/b.rsp -DC', 'sub/b.rsp': '-DB', 'loop.rsp': '-DX @loop.rsp' });
  try {
    const expand = (...args: string[]) => expandResponseFiles(args, project.root);
    assert.deepEqual(await expand('gcc', '@sub/a.rsp', '@none', '@', 'x@y'), [
      ...['gcc', '-DA', '-DB', '-DC', '@none', '@', 'x@y'],
    ]);
    const loop = await expand('@loop.rsp');
    assert.ok(loop.length < 1000 && loop[0] === '-DX');
  } finally {
    project.remove();
  }
});

for (const compiler of ['gcc', 'clang'].filter(hasTool)) {
  test(`${compiler}: nothing that a response file asks for is written into the tree; what it says is built, and kept apart in the cache`, async () => {
    const project = new Project({
      'x.c': 'int answer(void) { return ANSWER; }\n',
      'x.rsp': '-DANSWER=42 @more.rsp -c x.c',
      'more.rsp': '-MD -MF deps/x.d -save-temps -o "obj/x.o"',
      'deps/.keep': '',
      'obj/.keep': '',
    });
    try {
      project.commands([{ file: 'x.c', arguments: [compiler, '-O1', '@x.rsp'] }]);
      project.commit();
      const { config } = await loadConfig(project.root);
      const index = new CommandIndex(config);
      await index.refresh();
      const unit = index.unitsOf(project.path('x.c'))[0]!;
      assert.equal(unit.command.output, project.path('obj/x.o'), 'the object is named in the response file');
      const scratch = join(project.top, 'session');
      mkdirSync(scratch);
      const baseline = await openBaseline(config, scratch, yes);
      const store = new ObjectStore(project.cache, config.cacheLimitMiB);
      const compilers = new Compilers(yes);
      const builder = new Builder({ config, baseline, store, compilers, scratch, isTrusted: yes, log: () => {} });
      const value = async () => {
        const before = project.hash();
        const base = await builder.original(unit.command, await baseline.differing());
        const next = await builder.next(unit.command, new Map());
        assert.equal(project.hash(), before, 'the tree is untouched');
        return [base, next].map((built) => {
          assert.ok(built.kind === 'built', JSON.stringify(built));
          return /mov\s+\$0x([0-9a-f]+)/.exec(disassembly(project, built.object))?.[1];
        });
      };
      assert.deepEqual(await value(), ['2a', '2a']);
      project.edit('x.rsp', '42', '43');
      project.git('commit', '-qam', 'other options');
      assert.deepEqual(await value(), ['2b', '2b'], 'the cache does not give the object of the old options');
      assert.ok(!existsSync(project.path('deps/x.d')));
    } finally {
      project.remove();
    }
  });
}

function disassembly(project: Project, object: Uint8Array): string {
  const path = join(project.top, 'read.o');
  writeFileSync(path, object);
  return sh(project.top, 'objdump', '-d', path);
}

test('a build that names its sources in a response file, is recorded', async () => {
  const project = new Project({
    Makefile: 'x.o: x.c\n\tprintf "%s" "-DV=3 -c x.c -o x.o" > x.rsp\n\tgcc @x.rsp\n',
    'x.c': 'int v = V;\n',
  });
  try {
    const output = project.path('compile_commands.json');
    const outcome = await record({ command: ['make'], cwd: project.root, output, recorder: 'own', stdio: 'ignore' });
    assert.deepEqual([outcome.status, outcome.recorded], [0, 1], outcome.messages.join());
    const [entry] = JSON.parse(readFileSync(output, 'utf8')) as { file: string; arguments: string[] }[];
    assert.equal(entry!.file, project.path('x.c'));
    assert.ok(entry!.arguments.includes('-DV=3'));
  } finally {
    project.remove();
  }
});
