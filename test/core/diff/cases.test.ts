import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasTool } from '../../support/cc.ts';
import { CASES } from './cases.ts';
import { diffSources, summary } from './support.ts';

// Every case under every compiler and option set: what is said of a change must not depend on them.
const SECTIONS = ['-ffunction-sections', '-fdata-sections'];
const CONFIGURATIONS = [
  { name: 'gcc -O2', compiler: 'gcc', args: ['-O2', '-g', ...SECTIONS] },
  { name: 'gcc -O2 plain', compiler: 'gcc', args: ['-O2', '-g'] },
  { name: 'gcc -O0', compiler: 'gcc', args: ['-O0', '-gdwarf-5'] },
  { name: 'gcc-11 -O3', compiler: 'gcc-11', args: ['-O3', '-gdwarf-4', ...SECTIONS] },
  { name: 'gcc -Os stripped', compiler: 'gcc', args: ['-Os', '-g0', ...SECTIONS] },
  {
    name: 'gcc kernel',
    compiler: 'gcc',
    args: [
      '-O2',
      '-g',
      ...SECTIONS,
      '-fno-pic',
      '-mcmodel=kernel',
      '-mno-red-zone',
      '-pg',
      '-mfentry',
      '-fcf-protection=branch',
    ],
  },
  {
    name: 'gcc hardened',
    compiler: 'gcc',
    args: ['-O1', '-g', ...SECTIONS, '-fstack-protector-strong', '-fcf-protection', '-fpatchable-function-entry=16,16'],
  },
  {
    name: 'gcc ubsan',
    compiler: 'gcc',
    args: ['-O1', '-g', ...SECTIONS, '-fsanitize=undefined', '-fsanitize-undefined-trap-on-error'],
  },
  { name: 'clang-16 -O2', compiler: 'clang-16', args: ['-O2', '-g', ...SECTIONS] },
  { name: 'clang -O2', compiler: 'clang', args: ['-O2', '-g', ...SECTIONS] },
  { name: 'clang -Os plain', compiler: 'clang', args: ['-Os', '-gdwarf-4'] },
] as const;

/**
 * Names as the source has them: without the numbers of the compiler and without clang's function in front of a static local. Cold
 * parts go with their function.
 */
function plainNames(lines: readonly string[]): string[] {
  return lines
    .filter((line) => !/^\w+\.cold /.test(line))
    .map((line) => line.replace(/^(\w+\.)?([A-Za-z_]\w*)(\.\d+)* /, '$2 '))
    .sort();
}

for (const configuration of CONFIGURATIONS) {
  const missing = !hasTool(configuration.compiler);
  for (const one of CASES) {
    if (one.not?.includes(configuration.name)) continue;
    test(`${configuration.name}: ${one.name}`, {
      skip: missing && `${configuration.compiler} is not installed`,
    }, async () => {
      const options = {
        compiler: configuration.compiler,
        args: configuration.args,
        extra: [...(one.extra ?? []), '-w'],
      };
      const diff = await diffSources(one.base, one.next, options);
      assert.deepEqual(plainNames(summary(diff)), [...one.changes].sort());
      if (configuration.name === 'gcc -Os stripped') return;
      for (const [name, kinds] of Object.entries(one.reasons ?? {})) {
        const found = diff.functions.find((change) => change.name === name)?.reasons.map((reason) => reason.kind) ?? [];
        for (const kind of kinds)
          assert.ok(found.includes(kind as never), `${name} has no reason ${kind}: ${found.join(', ')}`);
      }
      assert.deepEqual(diff.problems, []);
    });
  }
}
