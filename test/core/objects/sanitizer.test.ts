import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAnalyser } from '../../../server/src/analyse.ts';
import { CASE_COMPILERS, compile, hasTool } from '../../support/cc.ts';
import { summary } from '../diff/support.ts';

// The undefined behaviour sanitizer keeps a record of each place that it checks: file, line, column, types. gcc and clang number the records
// and give them no symbols. They go with the code, and where they are in the source is for people to read.
const ARGS = ['-O2', '-g', '-ffunction-sections', '-fdata-sections', '-fsanitize=bounds,shift', '-w'];

const analyser = createAnalyser();

const SOURCE = `
int ext(int); int ext2(int); extern int seven[7]; extern long nine[9];
int f(int i) { return seven[i] + ext(i); }
int g(int i, int k) { return (nine[i] << k) + ext(i); }
`;

interface Case {
  readonly name: string;
  readonly next: string;
  readonly changes: readonly string[];
}

const CASES: readonly Case[] = [
  { name: 'lines more', next: `\n\n\n${SOURCE}`, changes: [] },
  { name: 'another indentation', next: SOURCE.replaceAll('{ return', '{\n\t\treturn'), changes: [] },
  {
    name: 'a function in front, which renumbers the records',
    next: SOURCE.replace('int f(', 'extern char three[3]; int early(int i, int k) { return three[i] << k; }\nint f('),
    changes: ['early new'],
  },
  {
    name: 'near miss: another bound, other types',
    next: SOURCE.replace('seven[7]', 'seven[8]'),
    changes: ['f changed'],
  },
  {
    name: 'near miss: only the type in the record',
    next: SOURCE.replace('extern int seven[7]', 'extern unsigned seven[7]'),
    changes: ['f changed'],
  },
  {
    name: 'near miss: another callee, further down',
    next: `\n\n${SOURCE.replace('<< k) + ext(', '<< k) + ext2(')}`,
    changes: ['g changed'],
  },
];

for (const one of CASES) {
  for (const compiler of CASE_COMPILERS) {
    for (const pic of ['-fno-pic', '-fPIC']) {
      const skip = !hasTool(compiler) && `${compiler} is not installed`;
      test(`sanitizer: ${one.name} [${compiler} ${pic}]`, { skip }, async () => {
        const { load, compare } = await analyser;
        const side = (text: string) => load(compile(text, { compiler, args: [...ARGS, pic] })).object!;
        const provenance = { unit: 'unit.c', baseCommand: [], nextCommand: [], compiler, baseline: 'test' };
        const { diff, findings } = compare(side(SOURCE), side(one.next), provenance, undefined, ['linux']);
        assert.deepEqual(diff.problems, []);
        assert.deepEqual(
          summary(diff).filter((line) => !/^type |\.cold /.test(line)),
          one.changes,
        );
        assert.deepEqual(
          findings.filter(({ code }) => code === 'edit-not-covered'),
          [],
        );
      });
    }
  }
}
