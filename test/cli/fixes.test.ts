import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, afterEach, describe, it } from 'node:test';
import { applyChanges } from '../../server/src/core/findings/fixes/text.ts';
import type { OfferedFix } from '../../server/src/core/findings/fixes/types.ts';
import { cli, tickerWorkspace } from './support.ts';

const workspace = tickerWorkspace();
after(() => workspace.remove());
afterEach(() => workspace.restore());

interface Found {
  readonly code: string;
  readonly severity: string;
  readonly fixes: readonly OfferedFix[];
}

async function check(): Promise<{ status: number; findings: Found[] }> {
  const { status, out, err } = await cli(['check', '--json'], { cwd: workspace.folder });
  assert.notEqual(out, '', err);
  const { units } = JSON.parse(out) as { units: { diff?: { findings: Found[] }; errors: unknown[] }[] };
  assert.deepEqual(
    units.flatMap((unit) => unit.errors),
    [],
  );
  return { status, findings: units.flatMap((unit) => unit.diff?.findings ?? []) };
}

/** Applies the edits as they stand in the JSON document. */
function apply(fix: OfferedFix): void {
  for (const file of new Set(fix.changes.map((change) => change.file))) {
    const changes = fix.changes.filter((change) => change.file === file);
    writeFileSync(file, applyChanges(readFileSync(file, 'utf8'), changes));
  }
}

describe('check --json: ways out as edits', () => {
  const grow = (field: string): void => {
    workspace.edit('src/quote.h', '\tunsigned long ticks;\n', `\tunsigned long ticks;\n\t${field}\n`);
    workspace.edit('src/quote.c', 'return labs(change(quote))', 'return quote->flag || labs(change(quote))');
  };

  for (const [title, field, code] of [
    ['Use padding of struct quote instead: put flag behind symbol', 'char flag;', 'struct-padding-used'],
    ['Keep flag of struct quote in a side table keyed by the instance', 'int flag;', 'new-global'],
    ['Take back the change of struct quote', 'long flag;', undefined],
  ] as const) {
    it(title, async () => {
      grow(field);
      const before = await check();
      assert.equal(before.status, 1);
      const found = before.findings.find((one) => one.code === 'struct-grown');
      const fix = found?.fixes.find((one) => one.title === title);
      assert.ok(fix, found?.fixes.map((one) => one.title).join('; '));
      apply(fix);
      if (code === undefined) {
        // The header is as it was; the use of the field is another hunk.
        assert.doesNotMatch(readFileSync(`${workspace.folder}/src/quote.h`, 'utf8'), /flag/);
        return;
      }
      const next = await check();
      assert.equal(next.status, 0, next.findings.map((one) => one.code).join(', '));
      assert.ok(next.findings.some((one) => one.code === code));
      assert.equal(
        next.findings.some((one) => one.severity === 'blocker'),
        false,
      );
    });
  }
});
