import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, describe, it } from 'node:test';
import { Project } from '../server/project.ts';
import { cli, tickerWorkspace } from './support.ts';

const workspace = tickerWorkspace();
after(() => workspace.remove());
afterEach(() => workspace.restore());

const check = (...args: string[]) => cli(['check', ...args], { cwd: workspace.folder });
const fix = () =>
  workspace.edit(
    'src/quote.c',
    '(quote->price - quote->open) / quote->open * 10000',
    '(quote->price - quote->open) * 10000 / quote->open',
  );

interface JsonUnit {
  file: string;
  status: string;
  errors: { at: { file: string; line: number }; message: string }[];
  diff?: { functions: { name: string; reasons: { kind: string; detail: string }[] }[] };
}

describe('check', () => {
  it('a clean tree: nothing differs, status 0', async () => {
    const { status, out } = await check();
    assert.equal(status, 0);
    assert.match(out, /No file differs from the baseline \(HEAD\)/);
  });

  it('an edit in an inlined helper: the callers are what a patch carries', async () => {
    fix();
    const { status, out } = await check('--json');
    assert.equal(status, 0);
    const report = JSON.parse(out);
    assert.deepEqual([report.schema, report.verdict, report.root], [1, 'patchable', workspace.folder]);
    assert.equal(report.units.length, 1);
    const unit: JsonUnit = report.units[0];
    assert.equal(unit.file, join(workspace.folder, 'src/quote.c'));
    assert.deepEqual(unit.diff?.functions.map((change) => change.name).sort(), ['quote_alarm', 'quote_line']);
    for (const change of unit.diff?.functions ?? []) {
      assert.ok(change.reasons.some((reason) => reason.kind === 'inlined-callee' && reason.detail === 'change'));
    }
  });

  it('a field in a header: every unit that includes it, blocked once, status 1; from a subfolder too', async () => {
    workspace.edit('src/quote.h', '\tlong price;', '\tlong volume;\n\tlong price;');
    const { status, out } = await cli(['check'], { cwd: join(workspace.folder, 'src') });
    assert.equal(status, 1);
    assert.match(out, /^Blocked/);
    assert.equal([...out.matchAll(/^blocker struct-layout struct quote {2}quote\.h:\d+$/gm)].length >= 1, true, out);
    const report = JSON.parse((await check('--json')).out);
    const names = report.units.map((unit: JsonUnit) => unit.file.split('/').pop()).sort();
    assert.deepEqual(names, ['main.c', 'market.c', 'quote.c', 'server.c']);
  });

  it('a comment in a header: everything is rebuilt, nothing reported', async () => {
    workspace.edit('src/quote.h', '/* One line of the board.', '/* One line of the board, said\n * otherwise.');
    const { status, out } = await check('--json');
    const report = JSON.parse(out);
    assert.deepEqual([status, report.verdict], [0, 'unchanged']);
    assert.equal(report.units.length, 4);
    for (const unit of report.units) assert.deepEqual([unit.status, unit.diff.findings], ['unchanged', []]);
  });

  it('a file that does not compile: its errors at their places, status 2', async () => {
    workspace.edit('src/quote.c', 'long moved = change(quote);', 'long moved = chnge(quote;');
    const { status, out } = await check('--json');
    assert.equal(status, 2);
    const report = JSON.parse(out);
    assert.equal(report.verdict, 'failed');
    const unit: JsonUnit = report.units[0];
    assert.equal(unit.status, 'compileError');
    assert.equal(unit.diff, undefined);
    assert.ok(
      unit.errors.some((error) => error.at.file === join(workspace.folder, 'src/quote.c') && error.at.line === 22),
    );
    const text = await check();
    assert.equal(text.status, 2);
    assert.match(text.out, /does not compile src\/quote\.c/);
  });

  it('named files only, and a file that is not there', async () => {
    fix();
    workspace.edit('src/server.c', 'The board, page', 'The big board, page');
    const one = JSON.parse((await check('src/server.c', '--json')).out);
    assert.deepEqual(
      one.units.map((unit: JsonUnit) => unit.file.split('/').pop()),
      ['server.c'],
    );
    const none = await check('src/nothing.c');
    assert.equal(none.status, 2);
    assert.match(none.err, /nothing\.c does not exist/);
  });

  it('a revision that there is not: status 2 and a word about it', async () => {
    fix();
    const { status, err } = await check('--base', 'no-such-tag');
    assert.equal(status, 2);
    assert.match(err, /no-such-tag/);
  });

  it('never says unchanged of an edit that nothing was compared of', async () => {
    workspace.edit('src/quote.h', '\tlong price;', '\tlong volume;\n\tlong price;');
    const wrong = await check('src/quote.h', '--base', 'no-such-tag', '--json');
    assert.equal(wrong.status, 2);
    assert.equal(JSON.parse(wrong.out).verdict, 'failed');
    const commands = join(workspace.folder, 'build/compile_commands.json');
    const list = readFileSync(commands, 'utf8');
    rmSync(commands);
    try {
      const { status, out } = await check('--json');
      assert.equal(status, 2);
      assert.equal(JSON.parse(out).verdict, 'failed');
      const text = await check();
      assert.equal(text.status, 2);
      assert.match(text.out + text.err, /Nothing is compared for quote\.h/);
      assert.doesNotMatch(text.out, /Unchanged/);
    } finally {
      writeFileSync(commands, list);
    }
    rmSync(join(workspace.folder, 'src/quote.h'));
    const deleted = await check();
    assert.equal(deleted.status, 2);
    assert.match(deleted.out, /does not compile/);
  });

  it('leaves the tree and the build folder as they are', async () => {
    fix();
    const object = join(workspace.folder, 'build/quote.o');
    const before = readFileSync(object);
    await check();
    assert.deepEqual(readFileSync(object), before);
  });

  it('writes SARIF: one result for each finding, at its place, relative to the root', async () => {
    workspace.edit('src/quote.h', '\tlong price;', '\tlong volume;\n\tlong price;');
    const file = join(workspace.folder, '..', 'findings.sarif');
    try {
      assert.equal((await check('--sarif', file)).status, 1);
      const log = JSON.parse(readFileSync(file, 'utf8'));
      assert.equal(log.version, '2.1.0');
      const [run] = log.runs;
      const layout = run.results.filter((result: { ruleId: string }) => result.ruleId === 'struct-layout');
      assert.ok(layout.length > 0);
      for (const result of run.results) {
        assert.equal(run.tool.driver.rules[result.ruleIndex].id, result.ruleId);
        assert.ok(['error', 'warning', 'note'].includes(result.level));
      }
      assert.equal(layout[0].level, 'error');
      const place = layout[0].locations[0].physicalLocation;
      assert.deepEqual(place.artifactLocation, { uri: 'src/quote.h', uriBaseId: 'SRCROOT' });
      assert.equal(place.region.startLine, 11);
    } finally {
      rmSync(file, { force: true });
    }
  });
});

describe('asm', () => {
  it('shows what the edit does to a function, and refuses one that it does not change', async () => {
    fix();
    const { status, out } = await cli(['asm', 'quote_alarm'], { cwd: workspace.folder });
    assert.equal(status, 0);
    assert.match(out, /^quote_alarm: \d+ → \d+ instructions$/m);
    assert.match(out, /^\+ .*imul.*0x2710$/m);
    assert.match(out, /^- .*imul.*0x2710$/m);
    assert.match(out, /alarm_threshold/, 'relocations are shown as symbols');
    const other = await cli(['asm', 'market_step'], { cwd: workspace.folder });
    assert.equal(other.status, 2);
    assert.match(other.err, /market_step.*Changed: .*quote_line/);
  });

  it('side by side keeps to the width', async () => {
    fix();
    const { out } = await cli(['asm', '-y', 'quote_alarm'], { cwd: workspace.folder });
    assert.match(out, /^ +.* [<>|] .*/m);
    for (const line of out.split('\n')) assert.ok([...line].length <= 100, line);
  });
});

describe('without git and without a baseline', () => {
  it('check, build and asm refuse, name --base, and work with it; a named file is no way around', async () => {
    const project = new Project({ 'x.c': 'int f(void) { return 1; }\n', 'other/x.c': 'int f(void) { return 2; }\n' });
    try {
      project.commands([{ file: 'x.c', arguments: ['gcc', '-O2', '-c', 'x.c', '-o', 'x.o'] }]);
      const ask = (...args: string[]) => cli(args, { cwd: project.root });
      for (const args of [
        ['check'],
        ['check', 'x.c'],
        ['check', 'x.c', '--json'],
        ['build', 'x.c', '-o', 'p.lpatch'],
        ['asm', 'f'],
      ]) {
        const { status, out, err } = await ask(...args);
        assert.equal(status, 2, args.join(' '));
        assert.match(err, /nothing to compare with.*--base DIR/);
        if (args.includes('--json')) assert.equal(JSON.parse(out).error.kind, 'cannot');
        else assert.equal(out, '');
      }
      const { status, out } = await ask('check', 'x.c', '--base', 'other');
      assert.equal(status, 0);
      assert.match(out, /\bf\b/);
    } finally {
      project.remove();
    }
  });
});

describe('a build with link-time optimisation', () => {
  it('is refused once, with the way out, by check and by build', async () => {
    const project = new Project({ 'x.c': 'int f(void) { return 1; }\n', '.gitignore': '*.json\n' });
    try {
      project.commands([{ file: 'x.c', arguments: ['gcc', '-O2', '-flto', '-c', 'x.c', '-o', 'x.o'] }]);
      project.commit();
      project.edit('x.c', '1', '2');
      for (const args of [['check'], ['build', '-o', join(project.top, 'p.lpp')]]) {
        const { status, out, err } = await cli(args, { cwd: project.root });
        assert.equal(status, 2, args[0]);
        const said = `${out}${err}`.replace(/\s+/g, ' ');
        assert.equal([...said.matchAll(/link-time optimisation/g)].length, 1, said);
        assert.match(said, /without -flto/);
        assert.doesNotMatch(said, /\.\./);
      }
    } finally {
      project.remove();
    }
  });
});

describe('one source that is compiled for two programs', () => {
  it('is told apart by its objects', async () => {
    const project = new Project({ 'x.c': 'int f(int x) { return x * MANY; }\n', '.gitignore': '*.json\n' });
    try {
      project.commands(
        ['3', '5'].map((many) => ({
          file: 'x.c',
          arguments: ['gcc', '-O2', `-DMANY=${many}`, '-c', 'x.c', '-o', `x${many}.o`],
        })),
      );
      project.commit();
      project.edit('x.c', 'x *', '1 + x *');
      const { out } = await cli(['check'], { cwd: project.root });
      assert.deepEqual(out.match(/^x\.c.*$/gm)?.sort(), ['x.c → x3.o', 'x.c → x5.o']);
    } finally {
      project.remove();
    }
  });
});
