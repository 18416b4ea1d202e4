import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { fileRows, hasRows } from '../../client/src/fileRows.ts';
import type { FindingItem, FunctionItem, UnitItem } from '../../server/src/protocol.ts';

const ROOT = '/tree';
const finding = (symbol: string, file?: string, line = 3): FindingItem => ({
  code: 'inline-widened',
  severity: 'note',
  symbol,
  message: '',
  fingerprint: '',
  ...(file === undefined ? {} : { place: { uri: String(pathToFileURL(`${ROOT}/${file}`)), line, character: 0 } }),
});
const unit = (file: string, findings: readonly FindingItem[], more: Partial<UnitItem> = {}): UnitItem => ({
  id: `${ROOT}/${file.replace(/c$/, 'o')}`,
  file: `${ROOT}/${file}`,
  phase: 'ready',
  stale: false,
  functions: [],
  findings,
  data: [],
  unchanged: false,
  ...more,
});
const changed = { functions: [{ name: 'f' } as FunctionItem] };

/** `name [where] unit: findings`, row by row. */
const shown = (units: readonly UnitItem[]): string[] =>
  fileRows(units, ROOT).map(({ file, unit: of, findings, where }) => {
    const name = `${file.slice(file.lastIndexOf('/') + 1)}${where === '' ? '' : ` [${where}]`}`;
    return `${name}${of ? ' unit' : ''}: ${findings.map((each) => each.symbol).join(' ')}`.trim();
  });

describe('rows of files in the view', () => {
  it('hold what other units tell of a source, which has one row: with its folder where another has its name', () => {
    const own = finding('one', 'common/kernel.c');
    const units = [
      unit('common/kernel.c', [own], changed),
      // Includes the source, and tells of places in it.
      unit('common/compat/kernel.c', [own, finding('two', 'common/kernel.c')], changed),
    ];
    assert.deepEqual(shown(units), ['kernel.c [common] unit: one two', 'kernel.c [common/compat] unit:']);
  });

  it('are there for a source of which only other units tell, and not a second time', () => {
    const units = [unit('a.c', []), unit('b.c', [finding('x', 'a.c')])];
    assert.deepEqual(shown(units), ['a.c unit: x']);
    assert.ok(hasRows(units));
    assert.ok(!hasRows([unit('a.c', [])]));
  });

  it('of headers stand first, each finding once, with the folder where two have one name', () => {
    const told = finding('s', 'include/quote.h');
    const units = [
      unit('a.c', [told], changed),
      unit('b.c', [told, finding('t', 'lib/quote.h'), finding('u', 'lib/other.h')], changed),
    ];
    assert.deepEqual(shown(units), [
      'quote.h [include]: s',
      'quote.h [lib]: t',
      'other.h: u',
      'a.c unit:',
      'b.c unit:',
    ]);
  });

  it('of a source that is compiled twice are two, told apart by the objects; findings at no place are the unit’s', () => {
    const units = [
      unit('a.c', [finding('x')], { id: `${ROOT}/out/one.o` }),
      unit('a.c', [finding('y')], { id: `${ROOT}/out/two.o` }),
    ];
    assert.deepEqual(shown(units), ['a.c [out/one.o] unit: x', 'a.c [out/two.o] unit: y']);
  });
});
