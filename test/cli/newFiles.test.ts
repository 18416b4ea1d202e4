import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { createSession } from '../../server/src/session.ts';
import { loadConfig } from '../../server/src/shell/config.ts';
import { Project, sh } from '../server/project.ts';
import { cli } from './support.ts';

const SOURCES = {
  'src/main.c': `#include <stdio.h>
#include <unistd.h>
#include "util.h"
int counter = 3;
int twice(int x) { return 2 * x; }
__attribute__((noinline)) int step(int x) { return twice(x) + counter; }
int main(void)
{
  for (;;) { printf("%d\\n", step(1)); fflush(stdout); usleep(20000); helper(); }
}
`,
  'src/util.c': '#include "util.h"\nint total = 10;\nint helper(void) { return ++total; }\n',
  'src/util.h': 'int helper(void);\nint twice(int x);\nint step(int x);\nextern int total, counter;\n',
  '.gitignore': '*.o\nprog\ncompile_commands.json\nignored.c\n',
};
const FRESH = `static int seen = 7;
int fresh_total(int x) { seen += x; return seen; }
int unused_fresh(void) { return 1; }
`;

let project: Project;
beforeEach(() => {
  project = new Project(SOURCES);
  build('main.c', 'util.c');
  project.commit();
});
afterEach(() => project.remove());

/** Compiles sources, links them, and writes down their commands, those of `also` without running them. */
function build(...files: string[]): void {
  for (const file of files) sh(project.root, ...commandOf(file));
  sh(project.root, 'gcc', '-Wl,--build-id', '-o', 'prog', ...files.map((file) => objectOf(file)));
  record(...files);
}
const objectOf = (file: string) => file.replace(/\.c$/, '.o');
const commandOf = (file: string) => ['gcc', '-O2', '-g', '-c', `src/${file}`, '-o', objectOf(file)];
function record(...files: string[]): void {
  project.commands(files.map((file) => ({ file: `src/${file}`, arguments: commandOf(file) })));
}
/** An edit of step() that uses the new source. */
function callFresh(): void {
  project.edit('src/main.c', 'return twice(x) + counter;', 'return fresh_total(x) + twice(x) + counter;');
  project.edit('src/util.h', 'int helper(void);', 'int helper(void);\nint fresh_total(int x);');
}
const env = () => ({ ...process.env, XDG_CACHE_HOME: project.cache });
async function livepatch(...args: string[]) {
  const before = process.env.XDG_CACHE_HOME;
  process.env.XDG_CACHE_HOME = project.cache;
  try {
    return await cli(args, { cwd: project.root, env: env() });
  } finally {
    if (before === undefined) delete process.env.XDG_CACHE_HOME;
    else process.env.XDG_CACHE_HOME = before;
  }
}
interface Checked {
  readonly verdict: string;
  readonly units: readonly {
    readonly file: string;
    readonly status: string;
    readonly diff?: {
      readonly functions: readonly { readonly name: string; readonly status: string }[];
      readonly findings: readonly {
        readonly code: string;
        readonly severity: string;
        readonly symbol: string;
        readonly message: string;
        readonly evidence: Readonly<Record<string, unknown>>;
      }[];
    };
  }[];
  readonly newWithoutCommand: readonly { readonly file: string; readonly message: string }[];
}
async function check(...args: string[]): Promise<Checked & { readonly exit: number }> {
  const { status, out } = await livepatch('check', '--json', ...args);
  return { ...JSON.parse(out), exit: status };
}
const unitOf = (checked: Checked, file: string) => checked.units.find((unit) => unit.file === project.path(file));
const findingsOf = (checked: Checked, file: string) => unitOf(checked, file)?.diff?.findings ?? [];
async function payload(...args: string[]) {
  const built = await livepatch('build', '-o', project.path('x.lpp'), '--json', ...args);
  const { manifest, refusals } = JSON.parse(built.out);
  return { manifest, refusals, status: built.status };
}
const namesOf = (list: readonly { readonly name: string }[]) => list.map(({ name }) => name).sort();

describe('a new source that the build has a command for', () => {
  it('is all new code: what the edit uses of it is carried, and runs', async () => {
    const program = spawn(project.path('prog'), { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      const lines: string[] = [];
      createInterface({ input: program.stdout }).on('line', (line) => lines.push(line));
      project.write('src/fresh.c', FRESH);
      record('main.c', 'util.c', 'fresh.c');
      callFresh();
      const checked = await check();
      assert.deepEqual([checked.exit, checked.verdict], [0, 'patchable']);
      const unit = unitOf(checked, 'src/fresh.c')!;
      assert.deepEqual(
        unit.diff!.functions.map(({ name, status }) => `${name} ${status}`),
        ['fresh_total new', 'unused_fresh new'],
      );
      const [note, ...others] = unit.diff!.findings;
      assert.deepEqual([note!.code, note!.severity, note!.evidence.used], ['new-unit', 'note', ['fresh_total']]);
      assert.deepEqual(
        others.map(({ code, symbol }) => `${code} ${symbol}`),
        ['new-global seen'],
      );
      const { manifest } = await payload();
      assert.deepEqual(namesOf(manifest.adds), ['fresh_total', 'seen']);
      const applied = await livepatch('apply', 'x.lpp', '--pid', String(program.pid));
      assert.equal(applied.status, 0, applied.err);
      for (const deadline = Date.now() + 5000; !lines.includes('15') && Date.now() < deadline; )
        await new Promise((resolve) => setTimeout(resolve, 50));
      assert.ok(lines.includes('5') && lines.includes('13'), lines.join());
    } finally {
      program.kill('SIGKILL');
      await once(program, 'exit');
    }
  });

  it('that nothing in the patch uses: said, and nothing is built of it alone', async () => {
    project.write('src/fresh.c', FRESH);
    record('main.c', 'util.c', 'fresh.c');
    const checked = await check();
    assert.deepEqual(
      findingsOf(checked, 'src/fresh.c').map(({ code, severity }) => `${code} ${severity}`),
      ['new-unit review'],
    );
    const { refusals, status } = await payload();
    assert.equal(status, 2);
    assert.match(refusals[0].message, /what is new is used by no function that changed/);
  });

  it('also where it was handed to git, and where the baseline is a folder', async () => {
    sh(project.top, 'cp', '-r', project.root, `${project.top}/original`);
    project.write('src/fresh.c', FRESH);
    record('main.c', 'util.c', 'fresh.c');
    callFresh();
    for (const args of [['--base', `${project.top}/original`], []]) {
      if (args.length === 0) project.git('add', 'src/fresh.c');
      const checked = await check(...args);
      assert.equal(unitOf(checked, 'src/fresh.c')?.status, 'patchable', JSON.stringify(checked));
      assert.deepEqual(findingsOf(checked, 'src/fresh.c')[0]!.evidence.used, ['fresh_total']);
      assert.deepEqual(namesOf((await payload(...args)).manifest.adds), ['fresh_total', 'seen']);
    }
  });

  it("that Kbuild's command file is there for", async () => {
    project.write('src/fresh.c', FRESH);
    for (const file of ['main.c', 'util.c', 'fresh.c'])
      project.write(
        `src/.${objectOf(file)}.cmd`,
        `cmd_src/${objectOf(file)} := gcc -O2 -g -c src/${file} -o src/${objectOf(file)}\n`,
      );
    sh(project.root, 'rm', 'compile_commands.json');
    callFresh();
    const checked = await check();
    assert.deepEqual(findingsOf(checked, 'src/fresh.c')[0]?.evidence.used, ['fresh_total']);
  });

  it('that is a test with its own main: its versions of functions are not those of the program', async () => {
    project.write('src/try.c', 'int twice(int x) { return -x; }\nint step(int);\nint main(void) { return step(1); }\n');
    record('try.c', 'main.c', 'util.c');
    project.edit('src/main.c', 'twice(x) + counter', 'twice(x) + counter + 1');
    project.edit('src/util.c', 'return ++total;', 'return total += twice(1);');
    const checked = await check();
    assert.deepEqual(
      findingsOf(checked, 'src/try.c').map(({ code, severity, evidence }) => `${code} ${severity} ${evidence.main}`),
      ['new-unit note true'],
    );
    const { manifest } = await payload();
    assert.deepEqual(manifest.adds, []);
    assert.ok(manifest.imports.some((one: { name: string; address?: string }) => one.name === 'twice' && one.address));
    assert.match(JSON.stringify(manifest.leftOut), /try\.c.*part of another program/);
  });

  it('that the program was built from all the same is no edit', async () => {
    project.write('src/fresh.c', FRESH);
    callFresh();
    project.git('commit', '-q', '-a', '-m', 'uses it');
    build('main.c', 'util.c', 'fresh.c');
    assert.deepEqual((await check()).units, []);
    project.edit('src/main.c', '+ counter', '+ counter + 1');
    assert.deepEqual(
      (await check()).units.map(({ file }) => file),
      [project.path('src/main.c')],
    );
    const { manifest } = await payload();
    assert.deepEqual(manifest.adds, []);
    assert.ok(manifest.imports.some((one: { name: string; address?: string }) => one.name === 'fresh_total'));
  });

  it('in the editor: all new as well, whenever it was opened', async () => {
    project.write('src/fresh.c', FRESH);
    record('main.c', 'util.c', 'fresh.c');
    callFresh();
    const { config } = await loadConfig(project.root);
    const session = await createSession(config, { watch: false, cacheDir: project.cache });
    try {
      session.open(project.path('src/fresh.c'));
      await session.idle();
      session.edited(project.path('src/fresh.c'), FRESH.replace('seen += x', 'seen -= x'));
      await session.cover();
      const unit = session.units().find((one) => one.unit.command.file.endsWith('fresh.c'))!;
      assert.deepEqual(
        unit.result!.diff.functions.map(({ name, status }) => `${name} ${status}`),
        ['fresh_total new', 'unused_fresh new'],
      );
      assert.equal(await session.baseText(project.path('src/fresh.c')), undefined);
    } finally {
      await session.dispose();
    }
  });
});

describe('a new source without a command', () => {
  it('beside those of the program: a note, and no failure', async () => {
    project.write('src/fresh.c', FRESH);
    project.write('src/ignored.c', FRESH);
    project.write('docs/example.c', 'int main(void) { return 0; }\n');
    const clean = await check();
    assert.deepEqual([clean.exit, clean.verdict], [0, 'unchanged']);
    assert.deepEqual(
      clean.newWithoutCommand.map(({ file }) => file),
      [project.path('src/fresh.c')],
    );
    callFresh();
    const { status, err } = await livepatch('check');
    assert.equal(status, 0);
    assert.match(err, /^Not looked at: fresh\.c is new, and the build has no command for it\..*livepatch record/m);
    assert.match((await livepatch('build', '-o', 'x.lpp')).err, /fresh\.c is new, and the build has no command/);
  });

  it('is not told where files are named', async () => {
    project.write('src/fresh.c', FRESH);
    project.edit('src/main.c', '+ counter', '+ counter + 1');
    assert.deepEqual((await check('src/main.c')).newWithoutCommand, []);
  });
});

describe('what units define for each other', () => {
  it('a variable that moved to another source is the one that the program has', async () => {
    project.edit('src/main.c', 'int counter = 3;\n', '');
    project.edit('src/main.c', '+ counter', '+ counter + 1');
    project.write('src/fresh.c', `${FRESH}int counter = 3;\n`);
    project.edit('src/main.c', 'twice(x) +', 'fresh_total(x) + twice(x) +');
    project.edit('src/util.h', 'int helper(void);', 'int helper(void);\nint fresh_total(int x);');
    record('main.c', 'util.c', 'fresh.c');
    const note = findingsOf(await check(), 'src/fresh.c').find(({ symbol }) => symbol === 'counter')!;
    assert.match(note.message, /moved here from main\.c\. The program goes on with the one that it has/);
    const { manifest } = await payload();
    assert.deepEqual(namesOf(manifest.adds), ['fresh_total', 'seen']);
    assert.ok(
      manifest.imports.some((one: { name: string; address?: string }) => one.name === 'counter' && one.address),
    );
    project.edit('src/fresh.c', 'int counter = 3;', 'long counter = 3;');
    project.edit('src/util.h', 'extern int total, counter;', 'extern int total;\nextern long counter;');
    const grown = await payload();
    assert.ok(
      grown.refusals.some((one: { code: string; symbol: string }) => one.code === 'data-size-changed'),
      JSON.stringify(grown.refusals),
    );
  });

  it('new data of a unit without changed functions is carried', async () => {
    project.edit('src/util.c', 'int total = 10;', 'int total = 10;\nint extra = 5;');
    project.edit('src/main.c', '+ counter', '+ counter + extra');
    project.edit('src/util.h', 'total, counter', 'total, counter, extra');
    const { manifest } = await payload();
    assert.deepEqual(namesOf(manifest.adds), ['extra']);
    assert.ok(!manifest.imports.some(({ name }: { name: string }) => name === 'extra'));
  });
});
