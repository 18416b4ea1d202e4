import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, describe, it } from 'node:test';
import { checkHtml, elements, textOf } from '../support/html.ts';
import { cli, tickerWorkspace } from './support.ts';

const workspace = tickerWorkspace();
after(() => workspace.remove());
afterEach(() => workspace.restore());

const report = (...args: string[]) => cli(['report', ...args], { cwd: workspace.folder });
const fix = () =>
  workspace.edit(
    'src/quote.c',
    '(quote->price - quote->open) / quote->open * 10000',
    '(quote->price - quote->open) * 10000 / quote->open',
  );

describe('report', () => {
  it('Markdown with what the payload would be, the same each time', async () => {
    fix();
    const { status, out, err } = await report('-m', 'Two *digits*');
    assert.equal(status, 0, err);
    assert.match(out, /^# Live patch of quote\\_alarm and 1 other function\n\nTwo \\\*digits\\\*\n/);
    assert.match(out, /^\*\*Can be patched\.\*\*$/m);
    assert.match(out, /^\| Payload \| \d+(\.\d)? KiB of 64 MiB \(less than 0\.1\u00a0%\) \|$/m);
    assert.match(out, /^\| `ticker` \| `[0-9a-f]{40}` \| patched \|$/m);
    assert.match(out, /^\| `snprintf` \| function or data \| by name, when it is applied \|$/m);
    assert.match(
      out,
      /^\| `quote_line` `src\/quote\.c:\d+` \| changed \| \d+( → \d+)? \| \d+( → \d+)? \| an edited function is inlined into it: change \|$/m,
    );
    assert.match(out, /^\+ {7}imul /m);
    assert.match(out, /^cc -std=c11 -O2 -g .*src\/quote\.c/m);
    assert.ok(!out.includes(workspace.folder), 'no path of this machine');
    assert.equal((await report('-m', 'Two *digits*')).out, out);
  });

  it('one HTML file by the name of the output', async () => {
    fix();
    workspace.edit('src/quote.c', 'alarm_threshold = 200', 'alarm_threshold = 300');
    const { status, out } = await report('-o', 'out/patch.html');
    assert.equal(status, 1, 'a blocker stands');
    assert.equal(out, 'Written out/patch.html: Live patch of quote_alarm and 1 other function\n');
    const page = checkHtml(readFileSync(join(workspace.folder, 'out/patch.html'), 'utf8'));
    const text = textOf(elements(page).find(({ tagName }) => tagName === 'main')!);
    assert.match(text, /alarm_threshold200300/);
    assert.match(text, /There is none while these stand/);
    assert.match(text, /data-init-changed/);
  });

  it('says what was overridden and left out, and counts it as not covered', async () => {
    fix();
    workspace.edit('src/quote.c', 'alarm_threshold = 200', 'alarm_threshold = 300');
    const { status, out } = await report(
      '--override',
      'data-init-changed:alarm_threshold=set in the console',
      '--leave-out',
      'quote_alarm',
    );
    assert.equal(status, 0, 'no blocker stands');
    assert.match(out, /\*\*Overridden for this patch:\*\* set in the console/);
    assert.match(out, /^\| `quote_alarm` .* \| left out: by choice /m);
    assert.match(out, /^- `quote_alarm\(\)`: left out: by choice$/m);
    assert.match(out, /^- `alarm_threshold`: data of the running program keeps its value/m);
    assert.match(out, /^\| Payload \| \d+(\.\d)? KiB of 64 MiB/m);
  });

  it('JSON of the same model', async () => {
    workspace.edit('src/quote.h', '\tlong price;', '\tlong volume;\n\tlong price;');
    const { status, out } = await report('--format', 'json');
    assert.equal(status, 1);
    const model = JSON.parse(out);
    assert.equal(model.schema, 1);
    const quote = model.types.find((each: { label: string }) => each.label === 'struct quote');
    assert.deepEqual([quote.baseSize, quote.nextSize], [32, 40]);
    assert.deepEqual(quote.units, ['src/market.c', 'src/quote.c']);
    const { base, next, links } = quote.picture;
    for (const link of links) assert.equal(base[link.base].path, next[link.next].path);
    assert.ok(next.some((row: { path: string; fate: string }) => row.path === 'volume' && row.fate === 'added'));
  });

  it('refuses what it cannot do in words', async () => {
    const nothing = await report();
    assert.equal(nothing.status, 2);
    assert.match(nothing.err, /Nothing to report: no file differs from the baseline/);
    const format = await report('--format', 'pdf');
    assert.equal(format.status, 2);
    assert.match(format.err, /--format takes markdown, html, json, not 'pdf'/);
    fix();
    const folder = await report('-o', 'src');
    assert.equal(folder.status, 2);
    assert.match(folder.err, /src cannot be written: it is a folder/);
  });

  it('tells of a unit that does not compile', async () => {
    fix();
    workspace.edit('src/market.c', '{', '{ not C;');
    const { status, out } = await report();
    assert.equal(status, 2);
    assert.match(out, /^- `src\/market\.c`: does not compile$/m);
  });
});
