import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { createAnalyser } from '../../../server/src/analyse.ts';
import { verdictOf } from '../../../server/src/core/findings/catalogue.ts';
import type { Finding } from '../../../server/src/core/findings/types.ts';
import { buildReport } from '../../../server/src/core/render/report/build.ts';
import { reportBody, reportHtml } from '../../../server/src/core/render/report/html.ts';
import { reportMarkdown } from '../../../server/src/core/render/report/markdown.ts';
import type { ReportInput, ReportUnit } from '../../../server/src/core/render/report/types.ts';
import { compile, hasTool } from '../../support/cc.ts';
import { attribute, checkHtml, elements, textOf } from '../../support/html.ts';

const analyser = createAnalyser();
const COMPILER = 'gcc-12';
const skip = !hasTool(COMPILER) && `${COMPILER} is not installed`;
const golden = (name: string): string => join(import.meta.dirname, 'golden', name);

/** Compares with the golden text; UPDATE_GOLDEN=1 writes it. */
function isGolden(name: string, text: string): void {
  if (process.env.UPDATE_GOLDEN || !existsSync(golden(name))) {
    mkdirSync(golden(''), { recursive: true });
    writeFileSync(golden(name), text);
  }
  assert.equal(text, readFileSync(golden(name), 'utf8'));
}

async function unitOf(
  file: string,
  base: string,
  next: string,
  files: Readonly<Record<string, readonly [string, string]>> = {},
): Promise<ReportUnit> {
  const { load, compare } = await analyser;
  const object = (source: string, side: 0 | 1) =>
    load(
      compile(source, {
        compiler: COMPILER,
        name: file,
        files: Object.fromEntries(Object.entries(files).map(([name, texts]) => [name, texts[side]])),
      }),
    ).object!;
  const command = ['gcc-12', '-O2', '-g', '-c', file, "-DNAME='a b'"];
  const result = compare(object(base, 0), object(next, 1), {
    unit: file,
    baseCommand: command,
    nextCommand: [...command, '-DNEW'],
    compiler: 'gcc-12 (Debian 12.2.0) 12.2.0',
    baseline: 'git:1234',
  });
  return { id: `build/${file}.o`, file, result };
}

function inputOf(units: readonly ReportUnit[], more: Partial<ReportInput> = {}): ReportInput {
  const findings = units.flatMap((unit) => unit.result?.findings ?? []);
  const blockers = findings
    .filter((each) => each.severity === 'blocker')
    .sort((a, b) => (a.message < b.message ? -1 : 1));
  return {
    units,
    verdict: units.some((unit) => unit.result && verdictOf(unit.result.diff, unit.result.findings) === 'blocked')
      ? 'blocked'
      : 'patchable',
    baseline: 'git:1234',
    target: 'process',
    description: '',
    payload: { kind: 'refused', reasons: blockers.map(({ code, message }) => ({ code, message })) },
    leaveOut: [],
    overrides: {},
    notCompared: [],
    shorten: (path) => path.replace('/src/', ''),
    ...more,
  };
}

const HEADER =
  'struct conn { char kind; int port; char name[70]; struct { short lo, hi; } part; unsigned open : 1, mode : 4; };\n';
const NEW_HEADER = HEADER.replace('int port; ', 'int port; long id; ');
const NET = `#include "conn.h"
extern int log_it(const char *);
struct conn conns[4];
struct limit { const char *name; int most; };
static struct limit limits[] = { { "open", 4 }, { "busy", 16 }, { "idle", 2 } };
int find(int i) { return limits[i].most + conns[i].port; }
__attribute__((noipa)) static int check(struct conn *c) { return c->port > 10 ? log_it("high") : 0; }
__attribute__((noipa)) int serve(int i) { return check(&conns[i]) + find(i); }
int old(int x) { return log_it("old") + x; }
int hops(int x) { return serve(x) + 1; }
`;
const NEW_NET = NET.replace('{ "busy", 16 }', '{ "busy", 64 }')
  .replace('> 10 ? log_it("high")', '> 12 ? log_it("higher") + fresh(c->port)')
  .replace(
    '__attribute__((noipa)) static int check',
    '__attribute__((noipa)) static int fresh(int x) { return log_it("fresh") * x; }\n__attribute__((noipa)) static int check',
  )
  .replace('int old(int x) { return log_it("old") + x; }\n', '');

const net = (): Promise<ReportUnit> => unitOf('net.c', NET, NEW_NET, { 'conn.h': [HEADER, NEW_HEADER] });
const other = (): Promise<ReportUnit> =>
  unitOf(
    'show.c',
    '#include "conn.h"\nint show(const struct conn *c) { return c->name[0] + c->part.hi; }\n',
    '#include "conn.h"\nint show(const struct conn *c) { return c->name[0] + c->part.hi; }\n',
    { 'conn.h': [HEADER, NEW_HEADER] },
  );

describe('the report of a patch', { skip }, () => {
  test('callers in the rest of the build are drawn beside the functions that they call', async () => {
    const callers = {
      list: [
        { name: 'serve', file: '/src/main.c', by: 'loop' },
        { name: 'serve', file: '/src/table.c', by: '' },
        { name: 'other', file: '/src/main.c', by: 'loop' },
      ],
      units: 3,
      unread: 1,
    };
    const model = buildReport(inputOf([await net()], { callers }));
    const loop = model.calls.nodes.find(({ name }) => name === 'loop');
    assert.deepEqual(loop && [loop.kind, loop.file], ['elsewhere', 'main.c']);
    assert.deepEqual(
      model.calls.edges.filter(({ from }) => from === loop?.id),
      [{ from: loop?.id, to: 'serve', side: 'both' }],
    );
    assert.equal(model.calls.nodes.find(({ name }) => name === 'serve')?.addressTaken, true, 'by the table');
    assert.match(model.callersKnown, /2 other units .* are listed; 1 unit more could not be asked/);
    const page = reportHtml(model);
    assert.match(page, /<title>loop: in main\.c<\/title>/);
    assert.match(page, /<code>loop<\/code> \(main\.c\)/);
    assert.match(reportMarkdown(model), /`serve` \(changed\), its address is taken: .*called by .*`loop` \(main\.c\)/);
    const known = buildReport(inputOf([await net()], { callers: { list: [], units: 4, unread: 0 } }));
    assert.match(known.callersKnown, /rest of the build \(4 units\)/);
  });

  test('a column of the picture that would be empty takes no room', async () => {
    const file = 'int twice(int x) { return x * 2; }\n';
    const alone = await unitOf('alone.c', file, file.replace('* 2', '* 3'));
    const picture = /<svg class="cg"[\s\S]*?<\/svg>/.exec(reportHtml(buildReport(inputOf([alone]))))?.[0] ?? '';
    assert.match(picture, /in the patch/);
    assert.doesNotMatch(picture, /calls them|is called/);
    assert.match(picture, /viewBox="0 0 201 /);
  });

  test('both forms, as they were read and found good', async () => {
    const units = [await other(), await net()];
    const accept = (finding: Finding): Finding =>
      finding.code === 'data-size-changed' ? { ...finding, accepted: 'set again by the start script' } : finding;
    const accepted = units.map((unit) => ({
      ...unit,
      result: { ...unit.result!, findings: unit.result!.findings.map(accept) },
    }));
    const model = buildReport(
      inputOf(accepted, {
        description: 'Two limits and an identifier.',
        leaveOut: ['show'],
        overrides: { 'function-removed:old': 'nobody calls it' },
        notCompared: [{ what: 'gen.c', why: 'the build has no command for it' }],
        reviewed: { function: (_unit, name) => name === 'check', finding: (each) => each.severity === 'review' },
      }),
    );
    isGolden('report.md', reportMarkdown(model));
    isGolden('report.html', reportHtml(model));
    assert.deepEqual(
      buildReport(inputOf(accepted.toReversed())),
      buildReport(inputOf(accepted)),
      'the order of units does not matter',
    );
  });

  test('the page is valid, whole and without a script', async () => {
    const model = buildReport(inputOf([await net(), await other()]));
    const document = checkHtml(reportHtml(model));
    const sections = elements(document)
      .filter(({ tagName }) => tagName === 'h2')
      .map(textOf);
    assert.deepEqual(sections, [
      'Findings',
      'Functions',
      'Calls',
      'Data',
      'Types',
      'Payload and what it depends on',
      'Not covered',
      'How it was built',
    ]);
    assert.equal(elements(document).filter((each) => attribute(each, 'class') === 'lp-picture').length, 1);
  });

  test('calls on both sides: a new one, one that is gone, callers that are as they were', async () => {
    const { calls } = buildReport(inputOf([await net()]));
    const kinds = new Map(calls.nodes.map((node) => [node.name, node.kind]));
    assert.deepEqual(
      ['check', 'fresh', 'old', 'hops', 'log_it'].map((name) => kinds.get(name)),
      ['changed', 'new', 'removed', 'unchanged', 'elsewhere'],
    );
    const edges = calls.edges.map(
      ({ from, to, side }) => `${from.replace(/.*#/, '')} ${to.replace(/.*#/, '')} ${side}`,
    );
    for (const edge of [
      'check fresh next',
      'check log_it both',
      'fresh log_it next',
      'old log_it base',
      'serve check both',
    ])
      assert.ok(edges.includes(edge), `${edge} is in ${edges.join(', ')}`);
  });

  test('a type is told once, with the units and functions that use it', async () => {
    const { types } = buildReport(inputOf([await net(), await other()]));
    const conn = types.find(({ label }) => label === 'struct conn')!;
    assert.deepEqual(conn.units, ['net.c', 'show.c']);
    assert.deepEqual(
      conn.users.map(({ name, inPatch }) => `${name}${inPatch ? ' in' : ''}`),
      ['check in', 'find in', 'serve in', 'show in'],
    );
    assert.deepEqual([conn.baseSize, conn.nextSize], [84, 96]);
  });

  test('names that are hostile reach neither form as markup', async () => {
    const evil = '</title><script>alert(1)</script>"\'`|\n# x\u202e\u0007]](javascript:x)<!--';
    const unit = await net();
    const result = unit.result!;
    const rename = <T extends { name: string }>(list: readonly T[]): T[] =>
      list.map((each) => ({ ...each, name: `${evil}${each.name}` }));
    const types = result.diff.types.map((type) => ({
      ...type,
      label: evil,
      members: type.members.map((each) => ({ ...each, path: evil })),
    }));
    const findings = result.findings.map((each) => ({
      ...each,
      code: evil,
      symbol: evil,
      message: evil,
      accepted: evil,
    }));
    const hostile: ReportUnit = {
      id: evil,
      file: evil,
      result: {
        ...result,
        pair: {
          ...result.pair,
          provenance: { ...result.pair.provenance, compiler: evil, baseCommand: [evil], baseline: evil },
        },
        diff: { ...result.diff, functions: rename(result.diff.functions), data: rename(result.diff.data), types },
        findings,
      },
    };
    const model = buildReport(
      inputOf([hostile], {
        description: evil,
        baseline: evil,
        target: evil,
        notCompared: [{ what: evil, why: evil }],
        reviewed: { function: () => true, finding: () => false },
        payload: {
          kind: 'payload',
          id: evil,
          bytes: 10,
          limit: 100,
          limitText: evil,
          adds: [{ name: evil, size: 1, kind: 'data' }],
          modules: [{ name: evil, buildId: evil, role: evil }],
          imports: [{ name: evil, kind: evil, where: evil }],
          leftOut: [{ name: evil, why: evil }],
        },
      }),
    );
    const document = checkHtml(reportHtml(model));
    assert.equal(textOf(elements(document).find(({ tagName }) => tagName === 'title')!).includes('<script>'), true);
    const view = reportBody(model, { links: true });
    assert.doesNotMatch(view, /<script|<!--[^>]*x/);
    for (const value of elements(
      checkHtml(
        `<!DOCTYPE html><html lang="en"><head><title>x</title></head><body>${view.replaceAll('href="#" ', '')}</body></html>`,
      ),
    ).flatMap((each) => attribute(each, 'data-open') ?? []))
      assert.equal(typeof JSON.parse(value).kind, 'string');
    const markdown = reportMarkdown(model);
    for (const hidden of ['\u202e', '\u0007']) assert.ok(!markdown.includes(hidden) && !view.includes(hidden));
    // Outside of code no tag stands unescaped but those of the report itself.
    const words = markdown.replace(/^(`{3,})[\s\S]*?^\1$/gm, '').replace(/(`+)(?!`)[^\n]*?[^`\n]\1(?!`)/g, '');
    assert.deepEqual([...new Set([...words.matchAll(/(?<!\\)<\/?([a-z!][^>\s]*)/g)].map((match) => match[1]))].sort(), [
      'details',
      'summary',
    ]);
    for (const line of words.split('\n').filter((each) => each.startsWith('| ')))
      assert.ok([3, 4, 5, 6, 7].includes(line.split(/(?<!\\)\|/).length - 1), line);
  });
});
