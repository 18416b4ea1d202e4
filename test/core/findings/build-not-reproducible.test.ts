import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildNotReproducible } from '../../../server/src/core/findings/build-not-reproducible.ts';
import { CASE_COMPILERS, hasTool } from '../../support/cc.ts';
import { diffSources } from '../diff/support.ts';

/** The macro stands for what the moment of the build gets into a source: as -D gives it, or __COUNTER__ and the like. */
const source =
  'int ext(const char *);\nint stamp(void) { return ext(BUILT); }\nint other(int a) { return ext("x") + a; }\n';

for (const compiler of CASE_COMPILERS) {
  const skip = !hasTool(compiler) && `${compiler} is not installed`;
  const findings = async (first: string, second: string) =>
    buildNotReproducible(await diffSources(first, second, { compiler }), 'stamp.c');
  const built = (when: string, text = source) => text.replace('BUILT', `"${when}"`);

  test(`build-not-reproducible: two builds at two moments [${compiler}]`, { skip }, async () => {
    const [found, ...more] = await findings(built('12:00:01'), built('12:00:02'));
    assert.deepEqual(more, []);
    assert.deepEqual([found!.code, found!.severity, found!.symbol], ['build-not-reproducible', 'review', 'stamp.c']);
    assert.deepEqual(found!.evidence, { functions: ['stamp'], data: [], types: [] });
    assert.match(found!.message, /the code of stamp\. .*__TIMESTAMP__/);
    const data = (n: number) => `int seed = ${n};\nstruct s { int a[${n}]; } *s;\n`;
    const [other] = await findings(data(1), data(2));
    assert.deepEqual(other!.evidence, { functions: [], data: ['seed'], types: ['struct s'] });
  });

  test(`build-not-reproducible: not for two builds that are the same [${compiler}]`, { skip }, async () => {
    assert.deepEqual(await findings(built('12:00:01'), built('12:00:01')), []);
  });

  test(`build-not-reproducible: near miss, functions and strings in another order, renumbered statics [${compiler}]`, {
    skip,
  }, async () => {
    const one =
      'int ext(const char *, ...);\nint a(void) { static int n; return ext("one") + n++; }\nint b(void) { static int n; return ext("two") + n++; }\n';
    const [head, a, b] = one.split('\n');
    assert.deepEqual(await findings(one, `${head}\n${b}\n${a}\n`), []);
  });
}
