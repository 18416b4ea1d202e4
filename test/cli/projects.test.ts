import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, symlinkSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, it } from 'node:test';
import { Project, sh } from '../server/project.ts';
import { cli } from './support.ts';

/** Projects as people have them: names, places and commands of many kinds. */
const MAIN = `#include "size.h"
#include <stdio.h>
int size(int v) { printf("%s:%d\\n", __FILE__, v); return v * K * 3 + (v >> 3); }
int main(int c, char **v) { (void)v; while (c) size(c); return 0; }
`;
const IGNORED = '*.o\nprog\ncompile_commands.json\n';

let project: Project;
afterEach(() => project.remove());

/** A project of `src/main.c` and `src/size.h`, under git, and built. */
function make(name = 'work', files: Readonly<Record<string, string>> = {}): void {
  project = new Project({ 'src/main.c': MAIN, 'src/size.h': '#define K 3\n', '.gitignore': IGNORED, ...files }, name);
  project.commit();
  compile(project.path('src/main.c'), 'main.o');
  sh(project.root, 'gcc', '-Wl,--build-id', 'main.o', '-o', 'prog');
  command(['gcc', '-O2', '-g', '-c', project.path('src/main.c'), '-o', 'main.o']);
}
function compile(file: string, object: string): void {
  sh(project.root, 'gcc', '-O2', '-g', '-c', file, '-o', object);
}
function command(args: readonly string[], file = project.path('src/main.c')): void {
  project.commands([{ file, arguments: args }]);
}
function text(line: string): void {
  project.write(
    'compile_commands.json',
    JSON.stringify([{ directory: project.root, file: 'src/main.c', command: line }]),
  );
}
async function livepatch(args: readonly string[], cwd = project.root) {
  const before = process.env.XDG_CACHE_HOME;
  process.env.XDG_CACHE_HOME = project.cache;
  try {
    return await cli(args, { cwd });
  } finally {
    if (before === undefined) delete process.env.XDG_CACHE_HOME;
    else process.env.XDG_CACHE_HOME = before;
  }
}
async function check(args: readonly string[] = [], cwd?: string) {
  const { status, out } = await livepatch(['check', '--json', ...args], cwd);
  return { status, text: out, ...JSON.parse(out) };
}
const changed = (checked: { units: { diff?: { functions: { name: string }[] } }[] }) =>
  checked.units.flatMap(({ diff }) => diff?.functions.map(({ name }) => name) ?? []);
const findings = (checked: { units: { diff?: { findings: { code: string; symbol: string }[] } }[] }) =>
  checked.units.flatMap(({ diff }) => diff?.findings.map(({ code, symbol }) => `${code} ${symbol}`) ?? []);

describe('places', () => {
  for (const name of ['a=b', 'with ü and blank', 'a#b$c%d', "it's,here"])
    it(`a folder called ${name}: only what was edited differs, and it can be built`, async () => {
      make(name);
      project.edit('src/size.h', 'K 3', 'K 5');
      const checked = await check();
      assert.deepEqual(changed(checked), ['size']);
      assert.ok(!checked.text.includes(project.cache), 'no scratch path shows');
      const built = await livepatch(['build', '-o', 'fix ü.lpp']);
      assert.equal(built.status, 0, built.err);
    });

  it('a submodule: the build around it counts, where it has none of its own', async () => {
    make();
    const lib = new Project({ 'lib.c': 'int lib(int x) { return x * 3 + (x >> 2); }\n' });
    try {
      lib.commit();
      project.git('-c', 'protocol.file.allow=always', 'submodule', 'add', '-q', lib.root, 'third/lib');
      project.git('commit', '-q', '-m', 'lib');
    } finally {
      lib.remove();
    }
    const file = project.path('third/lib/lib.c');
    compile(file, 'lib.o');
    command(['gcc', '-O2', '-g', '-c', file, '-o', 'lib.o'], file);
    project.edit('third/lib/lib.c', 'x * 3', 'x * 5');
    const checked = await check([], project.path('third/lib'));
    assert.equal(checked.root, project.root);
    assert.deepEqual(changed(checked), ['lib']);
    project.write('third/lib/compile_commands.json', project.read('compile_commands.json'));
    assert.equal((await check([], project.path('third/lib'))).root, project.path('third/lib'));
  });

  it('a source behind a symbolic link, of which git knows nothing: an edit of it is told not to be seen', async () => {
    make();
    mkdirSync(join(project.top, 'elsewhere'));
    symlinkSync('../elsewhere', project.path('ext'));
    project.write('ext/lib.c', 'int lib(int x) { return x * 3 + (x >> 2); }\n');
    compile('ext/lib.c', 'lib.o');
    command(['gcc', '-O2', '-g', '-c', 'ext/lib.c', '-o', 'lib.o'], project.path('ext/lib.c'));
    assert.deepEqual((await check()).files, []);
    project.edit('ext/lib.c', 'x * 3', 'x * 5');
    const later = new Date(Date.now() + 2000);
    utimesSync(project.path('ext/lib.c'), later, later);
    for (const args of [[], ['ext/lib.c']]) assert.deepEqual(findings(await check(args)), ['edit-not-covered lib.c']);
  });
});

describe('files that are named', () => {
  it('a folder stands for what differs in it', async () => {
    make('work', { 'docs/text.md': 'text\n' });
    project.edit('src/size.h', 'K 3', 'K 5');
    project.edit('docs/text.md', 'text', 'other text');
    assert.deepEqual((await check(['src'])).files, [project.path('src/size.h')]);
    assert.deepEqual(changed(await check(['.'], project.path('src'))), ['size']);
    assert.deepEqual((await check(['docs'])).files, [project.path('docs/text.md')]);
    assert.match((await livepatch(['build', '-o', 'fix.lpp', 'src'])).out, /Built size-/);
  });

  it('one that nothing is compiled from: said so, and not that its code is the same', async () => {
    make('work', { 'docs/text.md': 'text\n' });
    const { status, out } = await livepatch(['check', 'docs/text.md']);
    assert.equal(status, 0);
    assert.match(out, /^Unchanged: no unit of the build reads docs\/text\.md\.$/m);
  });
});

describe('commands', () => {
  for (const [name, line] of [
    ['cd', 'cd src && gcc -O2 -g -c main.c -o ../main.o'],
    ['nice', 'nice -n 5 gcc -O2 -g -c src/main.c -o main.o'],
    [
      'a launcher that is not there',
      'CCACHE_DIR=/none ccache gcc -O2 -g -MMD -MP -MF d/main.d -c src/main.c -o main.o',
    ],
  ] as const)
    it(`with ${name}`, async () => {
      make();
      text(line);
      project.edit('src/size.h', 'K 3', 'K 5');
      const checked = await check();
      assert.deepEqual(changed(checked), ['size'], checked.text);
    });

  it('one that cannot be used: its reason, and not that there is no list', async () => {
    make();
    text('gcc -c src/main.c -o main.o | tee log');
    project.edit('src/main.c', 'v * K', 'v + K');
    const source = await check();
    assert.equal(source.status, 2);
    assert.match(source.withoutCommand[0].message, /main\.c cannot be used: .*entry 0 .*shell operator `\|`/);
    project.git('checkout', '-q', '.');
    project.edit('src/size.h', 'K 3', 'K 5');
    assert.match((await check()).withoutCommand[0].message, /no command of the build is known \(.*shell operator/);
  });

  it('an edit without a command beside a unit that came out the same: not known', async () => {
    make('work', { 'src/other.c': 'int other(void) { return 1; }\n' });
    project.edit('src/other.c', 'return 1', 'return 2');
    project.edit('src/main.c', '#include <stdio.h>', '#include <stdio.h> /* input and output */');
    const checked = await check();
    assert.deepEqual([checked.status, checked.verdict], [2, 'failed']);
    assert.match(checked.withoutCommand[0].message, /has 1 other command\)/);
    project.edit('src/main.c', 'v * K', 'v + K');
    assert.deepEqual([(await check()).status, (await check()).verdict], [0, 'patchable']);
  });

  it('a source that was renamed: what to do', async () => {
    make();
    renameSync(project.path('src/main.c'), project.path('src/first.c'));
    const checked = await check();
    assert.equal(checked.status, 2);
    assert.match(
      checked.units[0].message,
      /^main\.c is not there any more, and the build still has a command for it\./,
    );
  });
});

describe('headers', () => {
  it('a new one that the edit includes is seen whole: nothing is said not to be covered', async () => {
    make();
    project.write('src/extra.h', '#define EXTRA 7\n');
    const later = new Date(Date.now() + 2000);
    utimesSync(project.path('src/extra.h'), later, later);
    project.edit('src/main.c', '#include "size.h"', '#include "size.h"\n#include "extra.h"');
    project.edit('src/main.c', 'v * K', 'EXTRA + v * K');
    const checked = await check();
    assert.deepEqual([changed(checked), findings(checked)], [['size'], []]);
  });

  it('a generated one that was edited is told of', async () => {
    make('work', { '.gitignore': `${IGNORED}src/size.h\n` });
    project.edit('src/size.h', 'K 3', 'K 5');
    const later = new Date(Date.now() + 2000);
    utimesSync(project.path('src/size.h'), later, later);
    assert.deepEqual(findings(await check(['src/size.h'])), ['edit-not-covered size.h']);
  });

  it('two generated ones that were edited: each is told with its own unit', async () => {
    make('work', {
      '.gitignore': `${IGNORED}src/size.h\nsrc/more.h\n`,
      'src/more.c': '#include "more.h"\nint more(int v) { return v * M; }\n',
      'src/more.h': '#define M 3\n',
    });
    compile('src/more.c', 'more.o');
    project.commands(
      ['main', 'more'].map((name) => ({
        file: `src/${name}.c`,
        arguments: ['gcc', '-O2', '-g', '-c', `src/${name}.c`, '-o', `${name}.o`],
      })),
    );
    const later = new Date(Date.now() + 2000);
    for (const header of ['size.h', 'more.h']) utimesSync(project.path(`src/${header}`), later, later);
    const checked = await check(['src/main.c', 'src/more.c']);
    assert.deepEqual(findings(checked).sort(), ['edit-not-covered more.h', 'edit-not-covered size.h']);
  });
});

describe('programs', () => {
  it('one source in several of them: told once which to choose from', async () => {
    make();
    sh(project.root, 'gcc', '-Wl,--build-id', '-s', '-shared', '-nostdlib', '-x', 'c', '/dev/null', '-o', 'none.so');
    compile(project.path('src/main.c'), 'again.o');
    sh(project.root, 'gcc', '-Wl,--build-id', 'again.o', '-lm', '-static-libgcc', '-Wl,-z,now', '-o', 'prog2');
    project.commands(
      ['main.o', 'again.o'].map((object) => ({
        file: 'src/main.c',
        arguments: ['gcc', '-O2', '-g', '-c', project.path('src/main.c'), '-o', object],
      })),
    );
    project.edit('src/size.h', 'K 3', 'K 5');
    const built = await livepatch(['build', '-o', 'fix.lpp', '--json']);
    assert.deepEqual(
      JSON.parse(built.out).refusals.map(({ code }: { code: string }) => code),
      ['symbol-ambiguous'],
    );
    rmSync(project.path('prog2'));
    assert.equal((await livepatch(['build', '-o', 'fix.lpp'])).status, 0);
  });
});
