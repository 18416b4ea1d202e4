import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, describe, it } from 'node:test';
import { cli, tickerWorkspace } from './support.ts';

const workspace = tickerWorkspace();
after(() => workspace.remove());
afterEach(() => workspace.restore());

/** The edits that the example's README offers, with what it says will be reported. */
const edits: readonly {
  readonly what: string;
  readonly edits: readonly (readonly [file: string, from: string, to: string])[];
  readonly codes: readonly string[];
  readonly status: 0 | 1;
}[] = [
  {
    what: 'a field in front of price',
    edits: [['src/quote.h', '\tlong price;', '\tlong volume;\n\tlong price;']],
    codes: ['struct-layout'],
    status: 1,
  },
  {
    what: 'a small field behind symbol, used by the board',
    edits: [
      ['src/quote.h', 'char symbol[6];', 'char symbol[6];\n\tchar flag;'],
      ['src/quote.c', 'return labs(change(quote))', 'return quote->flag || labs(change(quote))'],
    ],
    codes: ['struct-padding-used'],
    status: 0,
  },
  {
    what: 'another threshold',
    edits: [['src/quote.c', 'alarm_threshold = 200', 'alarm_threshold = 100']],
    codes: ['data-init-changed'],
    status: 1,
  },
  {
    what: 'another opening price',
    edits: [['src/market.c', '"ACME", 10000', '"ACME", 12000']],
    codes: ['rodata-changed'],
    status: 0,
  },
  {
    what: 'a second static counter',
    edits: [
      ['src/server.c', 'static unsigned long served;', 'static unsigned long served, shown;'],
      ['src/server.c', '"The board, page %lu,', '"The board, page %lu (%lu since the patch),'],
      ['src/server.c', '++served, market_ticks()', '++served, ++shown, market_ticks()'],
    ],
    codes: ['static-local-new'],
    status: 0,
  },
  {
    what: 'the endless loop of the printer',
    edits: [['src/main.c', 'rest(1000)', 'rest(500)']],
    codes: ['always-on-stack'],
    status: 0,
  },
];

describe('the edits that the example offers', () => {
  const readme = readFileSync(join(import.meta.dirname, '../../examples/ticker/README.md'), 'utf8');
  for (const { what, edits: changes, codes, status } of edits) {
    it(`${what}: ${codes.join(', ')}`, async () => {
      for (const [file, from, to] of changes) workspace.edit(file, from, to);
      const result = await cli(['check', '--json'], { cwd: workspace.folder });
      const report = JSON.parse(result.out);
      const found = report.units.flatMap(
        (unit: { diff?: { findings: { code: string }[] } }) => unit.diff?.findings.map((finding) => finding.code) ?? [],
      );
      for (const code of codes) {
        assert.ok(found.includes(code), `${code} is among: ${found.join(', ')}`);
        assert.ok(readme.includes(code), `${code} is in the README`);
      }
      assert.equal(result.status, status, `${report.verdict}: ${found.join(', ')}`);
    });
  }

  it('another parameter: the callers come along', async () => {
    workspace.edit('src/quote.h', 'char *text, size_t size);', 'char *text, size_t size, int width);');
    workspace.edit('src/quote.c', 'char *text, size_t size)', 'char *text, size_t size, int width)');
    workspace.edit('src/quote.c', '"%-5s %5ld', '"%-*s %5ld');
    workspace.edit('src/quote.c', ', quote->symbol,', ', width, quote->symbol,');
    workspace.edit('src/market.c', 'size - length);\n\t\tif', 'size - length, 6);\n\t\tif');
    const result = await cli(['check', '--json'], { cwd: workspace.folder });
    const report = JSON.parse(result.out);
    const names = report.units.flatMap((unit: { diff: { functions: { name: string }[] } }) =>
      unit.diff.functions.map((change) => change.name),
    );
    for (const name of ['quote_line', 'market_board']) assert.ok(names.includes(name), names.join(', '));
    const codes = report.units.flatMap((unit: { diff: { findings: { code: string }[] } }) =>
      unit.diff.findings.map((finding) => finding.code),
    );
    assert.ok(codes.includes('signature-changed'), codes.join(', '));
  });
});
