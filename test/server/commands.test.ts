import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { CommandIndex } from '../../server/src/shell/commandIndex.ts';
import { parseCompileCommands } from '../../server/src/shell/compileCommands.ts';
import { loadConfig } from '../../server/src/shell/config.ts';
import { knownDependencies, parseDepfile } from '../../server/src/shell/depfiles.ts';
import { parseCmdFile } from '../../server/src/shell/kbuild.ts';
import { diffLines } from '../../server/src/shell/lineDiff.ts';

test('compile_commands.json: arguments, command, relative paths, output', () => {
  const { commands, problems } = parseCompileCommands(
    JSON.stringify([
      { directory: '/p/build', file: '../src/a.c', arguments: ['gcc', '-c', '../src/a.c', '-o', 'obj/a.o'] },
      { directory: '/p', file: 'b.c', command: 'gcc -DN=\\"x\\ y\\" -c b.c' },
      { directory: 'sub', file: '/q/c.c', command: 'clang -c /q/c.c -o c.o', output: 'real/c.o' },
      { directory: '/p', file: 'd.c', command: 'gcc -o d d.c' },
    ]),
    '/p/build/compile_commands.json',
  );
  assert.deepEqual(problems, []);
  assert.deepEqual(
    commands.map(({ file }) => file),
    ['/p/src/a.c', '/p/b.c', '/q/c.c', '/p/d.c'],
  );
  assert.deepEqual(
    commands.map(({ output }) => output),
    ['/p/build/obj/a.o', '/p/b.o', '/p/build/sub/real/c.o', undefined],
  );
  assert.deepEqual(commands[1]!.arguments, ['gcc', '-DN="x y"', '-c', 'b.c']);
});

test('compile_commands.json: a `cd` in front of the command is where it runs', () => {
  const { commands, problems } = parseCompileCommands(
    JSON.stringify([
      { directory: '/p', file: 'sub/a.c', command: 'cd sub && cd ../other; gcc -I. -c ../sub/a.c -o a.o' },
      { directory: '/p', file: 'b.c', command: 'gcc -c b.c' },
    ]),
    '/p/compile_commands.json',
  );
  assert.deepEqual(problems, []);
  const [first, second] = commands;
  assert.deepEqual([first!.file, first!.directory, first!.output], ['/p/sub/a.c', '/p/other', '/p/other/a.o']);
  assert.deepEqual(first!.arguments, ['gcc', '-I.', '-c', '../sub/a.c', '-o', 'a.o']);
  assert.equal(second!.directory, '/p');
});

test('compile_commands.json: bad entries are named, good ones kept', () => {
  const { commands, problems } = parseCompileCommands(
    '[{"directory":"/p","file":"a.c","command":"gcc -c a.c"},{"file":1},{"file":"b.c","directory":"/p"},{"file":"c.c","directory":"/p","command":"gcc -c c.c | tee log"},null]',
    '/p/compile_commands.json',
  );
  assert.equal(commands.length, 1);
  assert.equal(problems.length, 4);
  assert.match(problems[2]!, /c\.c.*operator `\|`/);
  assert.match(parseCompileCommands('{"a":1}', '/x').problems[0]!, /array/);
  assert.match(parseCompileCommands('[', '/x').problems[0]!, /not JSON/);
});

test('Kbuild .cmd: both names, second steps, escapes', () => {
  const command = parseCmdFile(
    "savedcmd_kernel/fork.o := gcc -Wp,-MMD,kernel/.fork.o.d -DKBUILD_BASENAME='\"fork\"' -DHASH='$(pound)' -DD='a$$b' -c -o kernel/fork.o kernel/fork.c ; ./tools/objtool --orc kernel/fork.o && rm -f kernel/x\n\nsource_kernel/fork.o := kernel/fork.c\n\ndeps_kernel/fork.o := \\\n  include/a.h \\\n",
    '/b/kernel/.fork.o.cmd',
    '/b',
  );
  assert.ok(command && typeof command === 'object');
  assert.equal(command.file, '/b/kernel/fork.c');
  assert.equal(command.output, '/b/kernel/fork.o');
  assert.equal(command.directory, '/b');
  assert.ok(command.arguments.includes('-DKBUILD_BASENAME="fork"'));
  assert.ok(command.arguments.includes('-DHASH=#'));
  assert.ok(command.arguments.includes('-DD=a$b'));
  assert.deepEqual(command.after, [['./tools/objtool', '--orc', '{object}']]);

  const renamed = parseCmdFile(
    'cmd_common/kernel.o := gcc -c common/kernel.c -o common/.kernel.o.tmp -MQ common/kernel.o; objcopy --redefine-sym kernel.c=common/kernel.c common/.kernel.o.tmp common/kernel.o && rm -f common/.kernel.o.tmp\n',
    '/x/common/.kernel.o.cmd',
    '/x',
  );
  assert.ok(renamed && typeof renamed === 'object');
  assert.equal(renamed.output, '/x/common/kernel.o');
  assert.deepEqual(renamed.after, [['objcopy', '--redefine-sym', 'kernel.c=common/kernel.c', '{object}', '{object}']]);
  assert.equal(parseCmdFile('cmd_lib.a := ar rcs lib.a x.o\n', '/x/.lib.a.cmd', '/x'), undefined);
});

test('dependency files as gcc and clang write them, odd names included', () => {
  const folder = mkdtempSync(join(tmpdir(), 'lpa-dep-'));
  try {
    writeFileSync(join(folder, 'a b.h'), '');
    writeFileSync(join(folder, 'c$d#e.h'), '');
    writeFileSync(join(folder, 'x.c'), '#include "a b.h"\n#include "c$d#e.h"\nint x;\n');
    for (const compiler of ['gcc', 'clang']) {
      const run = spawnSync(compiler, ['-c', 'x.c', '-o', 'x.o', '-MD', '-MP'], { cwd: folder });
      assert.equal(run.status, 0, String(run.stderr));
      const text = String(spawnSync('cat', [join(folder, 'x.d')]).stdout);
      assert.deepEqual(
        parseDepfile(text, folder).filter((path) => path.startsWith(folder)),
        ['x.c', 'a b.h', 'c$d#e.h'].map((name) => join(folder, name)),
        compiler,
      );
    }
    assert.deepEqual(parseDepfile('a.o: a.c \\\n b.h\n\nb.h:\n', '/p'), ['/p/a.c', '/p/b.h']);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('dependencies of the last real build are found beside the object', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lpa-dep-'));
  try {
    mkdirSync(join(folder, 'obj'));
    writeFileSync(join(folder, 'x.h'), '');
    writeFileSync(join(folder, 'x.c'), '#include "x.h"\n');
    const base = {
      file: join(folder, 'x.c'),
      directory: folder,
      origin: join(folder, 'compile_commands.json'),
      output: join(folder, 'obj/x.o'),
    };
    for (const flags of [['-MMD'], ['-MMD', '-MF', 'obj/odd.dep'], ['-Wp,-MMD,obj/.x.o.d']]) {
      const args = ['gcc', '-c', 'x.c', '-o', 'obj/x.o', ...flags];
      assert.equal(spawnSync(args[0]!, args.slice(1), { cwd: folder }).status, 0);
      assert.deepEqual(
        await knownDependencies({ ...base, arguments: args }),
        [join(folder, 'x.c'), join(folder, 'x.h')],
        flags.join(' '),
      );
      for (const file of ['x.d', 'odd.dep', '.x.o.d']) rmSync(join(folder, 'obj', file), { force: true });
    }
    assert.equal(await knownDependencies({ ...base, arguments: ['gcc', '-c', 'x.c'] }), undefined);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('the index follows the file, keeps a source that is built twice apart, and says what to do without a command', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lpa-index-'));
  try {
    const write = (entries: unknown) => writeFileSync(join(folder, 'compile_commands.json'), JSON.stringify(entries));
    const entry = (output: string, ...flags: string[]) => ({
      directory: folder,
      file: 'a.c',
      arguments: ['gcc', '-c', 'a.c', ...flags, '-o', output],
    });
    write([entry('a.o'), entry('a32.o', '-m32'), entry('a.o', '-O2')]);
    const { config } = await loadConfig(folder);
    const index = new CommandIndex(config);
    assert.equal(await index.refresh(), true);
    const units = index.unitsOf(join(folder, 'a.c'));
    assert.deepEqual(
      units.map(({ id }) => id),
      [join(folder, 'a.o'), join(folder, 'a32.o')],
    );
    assert.ok(units[0]!.command.arguments.includes('-O2'), 'the last entry of an object holds');
    assert.equal(await index.refresh(), false);
    write([entry('other.o')]);
    utimesSync(join(folder, 'compile_commands.json'), 1, 1);
    assert.equal(await index.refresh(), true);
    assert.deepEqual(
      index.unitsOf(join(folder, 'a.c')).map(({ id }) => id),
      [join(folder, 'other.o')],
    );
    assert.match(index.noCommand(join(folder, 'b.c')), /livepatch record -- make/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('commands of Kbuild are found without compile_commands.json, in the tree and in a build folder', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lpa-kbuild-'));
  try {
    for (const place of ['src/lib', 'out/lib']) mkdirSync(join(folder, place), { recursive: true });
    writeFileSync(join(folder, 'src/lib/a.c'), '');
    writeFileSync(join(folder, 'out/lib/.a.o.cmd'), `cmd_lib/a.o := gcc -c -o lib/a.o ${folder}/src/lib/a.c\n`);
    writeFileSync(join(folder, 'src/lib/.a.o.cmd'), 'cmd_lib/a.o := gcc -O1 -c -o lib/a.o lib/a.c\n');
    for (const [buildDir, directory] of [
      ['../out', 'out'],
      ['.', 'src'],
    ] as const) {
      const { config } = await loadConfig(join(folder, 'src'), { buildDir });
      const index = new CommandIndex(config);
      await index.refresh();
      const units = await index.find(join(folder, 'src/lib/a.c'));
      assert.ok(
        units.some(({ command }) => command.directory === join(folder, directory)),
        buildDir,
      );
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** Puts the hunks of a diff onto the base text. */
function apply(base: string, next: string): string {
  const from = base.split('\n');
  const to = next.split('\n');
  const out: string[] = [];
  let at = 0;
  for (const hunk of diffLines(base, next)) {
    assert.ok(hunk.baseStart - 1 >= at && (hunk.baseCount > 0 || hunk.nextCount > 0));
    out.push(...from.slice(at, hunk.baseStart - 1));
    out.push(...to.slice(hunk.nextStart - 1, hunk.nextStart - 1 + hunk.nextCount));
    at = hunk.baseStart - 1 + hunk.baseCount;
  }
  return [...out, ...from.slice(at)].join('\n');
}

test('line hunks turn the base text into the next one, and are the shortest', () => {
  assert.deepEqual(diffLines('a\nb\nc\n', 'a\nX\nc\n'), [{ baseStart: 2, baseCount: 1, nextStart: 2, nextCount: 1 }]);
  assert.deepEqual(diffLines('a\nb\n', 'a\nnew\nb\n'), [{ baseStart: 2, baseCount: 0, nextStart: 2, nextCount: 1 }]);
  assert.deepEqual(diffLines('a\nb\nc\nd', 'a\nc\nx\nd'), [
    { baseStart: 2, baseCount: 1, nextStart: 2, nextCount: 0 },
    { baseStart: 4, baseCount: 0, nextStart: 3, nextCount: 1 },
  ]);
  let seed = 7;
  const random = (n: number) => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return Math.floor((seed / 2147483648) * n);
  };
  for (let round = 0; round < 300; round++) {
    const make = () => Array.from({ length: random(12) }, () => 'abc'[random(3)]).join('\n');
    const [base, next] = [make(), make()];
    assert.equal(apply(base, next), next, JSON.stringify([base, next]));
  }
  const long = Array.from({ length: 20_000 }, (_, index) => `line ${index}`).join('\n');
  const other = Array.from({ length: 20_000 }, (_, index) => `other ${index}`).join('\n');
  const started = performance.now();
  assert.equal(apply(long, other), other);
  assert.ok(performance.now() - started < 5000, 'bounded for texts without a common line');
});
