import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { compile } from '../support/cc.ts';
import { cli } from './support.ts';

const folder = mkdtempSync(join(tmpdir(), 'lpa-diff-'));
after(() => rmSync(folder, { recursive: true, force: true }));
let serial = 0;

/** Compiles both sources and returns the arguments for `diff`. */
function objects(base: string, next: string): [string, string] {
  const names = [`base${serial}.o`, `next${serial++}.o`] as const;
  writeFileSync(join(folder, names[0]), compile(base));
  writeFileSync(join(folder, names[1]), compile(next));
  return [...names];
}

const diff = (pair: readonly string[], ...more: string[]) => cli(['diff', ...pair, ...more], { cwd: folder });

const program = (body: string, head = '') => `
extern int printf(const char *, ...);
${head}
__attribute__((noinline)) static int scale(int x) { return x * 3; }
int total(const int *v, int n) { int s = 0; for (int i = 0; i < n; i++) s += scale(v[i]); ${body} return s; }
`;

describe('diff', () => {
  it('unchanged: nothing listed, status 0', async () => {
    const pair = objects(program(''), `/* a comment */\n${program('')}`);
    const json = await diff(pair, '--json');
    assert.equal(json.status, 0);
    const report = JSON.parse(json.out);
    assert.deepEqual([report.schema, report.verdict], [1, 'unchanged']);
    assert.deepEqual([report.functions, report.data, report.types, report.findings], [[], [], [], []]);
    assert.match((await diff(pair)).out, /^Unchanged/);
  });

  it('patchable: the changed function with sizes and reasons, and what is new', async () => {
    const pair = objects(
      program(''),
      program(
        'if (s < 0) s = floor_of(s);',
        '__attribute__((noinline)) static int floor_of(int x) { return x / 7 - 1; }',
      ),
    );
    const { status, out } = await diff(pair, '--json');
    const report = JSON.parse(out);
    assert.equal(status, 0);
    assert.equal(report.verdict, 'patchable');
    const total = report.functions.find((change: { name: string }) => change.name === 'total');
    assert.equal(total.status, 'changed');
    assert.ok(total.nextSize > total.baseSize && total.baseSize > 0);
    assert.ok(
      total.reasons.length > 0 && total.reasons.every((reason: object) => 'kind' in reason && 'detail' in reason),
    );
    assert.equal(total.lineOnly, false);
    const fresh = report.functions.find((change: { name: string }) => change.name === 'floor_of');
    assert.deepEqual([fresh.status, fresh.baseSize], ['new', 0]);
    assert.ok(
      !report.functions.some((change: { name: string }) => change.name === 'scale'),
      'what is the same is not listed',
    );
    const text = (await diff(pair)).out;
    assert.match(text, /^Patchable: 1 function changed, 1 function new/);
    assert.match(text, /~ +total .*→/);
  });

  it('blocked: a moved field that a global keeps, status 1', async () => {
    const unit = (fields: string) =>
      `struct item { ${fields} }; struct item items[8]; int get(int i) { return items[i].price; }`;
    const pair = objects(unit('int name; int price;'), unit('int name; long volume; int price;'));
    const { status, out } = await diff(pair, '--json');
    const report = JSON.parse(out);
    assert.equal(status, 1);
    assert.equal(report.verdict, 'blocked');
    const item = report.types.find((type: { name: string }) => type.name === 'item');
    assert.deepEqual([item.kind, item.status, item.baseSize, item.nextSize], ['struct', 'changed', 8, 24]);
    const items = report.data.find((change: { name: string }) => change.name === 'items');
    assert.deepEqual([items.baseSize, items.nextSize], [64, 192]);
    const finding = report.findings.find((candidate: { code: string }) => candidate.code === 'struct-layout');
    assert.equal(finding.severity, 'blocker');
    for (const key of ['code', 'severity', 'symbol', 'message', 'at', 'evidence', 'related'])
      assert.ok(key in finding, key);
    const text = await diff(pair);
    assert.equal(text.status, 1);
    assert.match(text.out, /^Blocked/);
    assert.match(text.out, /^blocker struct-layout/m);
  });

  it('could not: a missing file, a file that is no object, wrong arguments, an unknown target', async () => {
    const [base] = objects(program(''), program(''));
    const missing = await diff([base, 'nowhere.o']);
    assert.equal(missing.status, 2);
    assert.match(missing.err, /nowhere\.o cannot be read/);
    writeFileSync(
      join(folder, 'text.o'),
      'not an object file at all, but long enough to hold an ELF header\n'.repeat(4),
    );
    const text = await diff([base, 'text.o']);
    assert.equal(text.status, 2);
    assert.match(text.err, /text\.o is not an object file/);
    assert.equal((await diff([base])).status, 2);
    const target = await diff([base, base, '--target', 'windows']);
    assert.equal(target.status, 2);
    assert.match(target.err, /process, xen or linux/);
  });

  it('never sends the control characters of a hostile name to the terminal', async () => {
    const named = (value: number) => program(`s += ${value};`).replaceAll('total', 'ESC_name');
    const pair = objects(named(1), named(200));
    for (const name of pair) {
      const bytes = Buffer.from(compile(named(name === pair[0] ? 1 : 200)));
      for (let at = bytes.indexOf('ESC_name'); at >= 0; at = bytes.indexOf('ESC_name', at + 1)) bytes[at] = 0x1b;
      writeFileSync(join(folder, name), bytes);
    }
    const { out } = await diff(pair);
    assert.match(out, /\\x1bSC_name/);
    assert.ok(!out.includes('\u001b'));
  });
});
