// What is found to be the same without reading it (`typesLike`) must make no difference to what a comparison says: each pair is compared
// with it and without.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createAnalyser } from '../../../server/src/analyse.ts';
import { diffObjects } from '../../../server/src/core/diff/index.ts';
import type { DwarfInfo, TypeLikeness } from '../../../server/src/core/dwarf/types.ts';
import type { ObjectModel } from '../../../server/src/core/object.ts';
import { Random } from '../../fuzz/random.ts';
import { CASE_COMPILERS, compile, hasTool } from '../../support/cc.ts';
import { edited, randomUnit, textOf } from './random-unit.ts';

const analyser = createAnalyser();
const provenance = { unit: 'unit.c', baseCommand: [], nextCommand: [], compiler: '', baseline: 'test' };

/** An object that cannot say what it has in common with another one: everything is read and compared. */
function plain(object: ObjectModel): ObjectModel {
  const from = object.dwarf;
  const dwarf: DwarfInfo = {
    present: from.present,
    units: from.units,
    types: from.types,
    functions: from.functions,
    prototypes: from.prototypes,
    variables: from.variables,
    problems: from.problems,
    linesOf: (section) => from.linesOf(section),
    structSize: (tag) =>
      from.types.find((one) => one.kind === 'struct' && one.name === tag && one.size !== undefined)?.size,
    typesLike: () => undefined,
  };
  return { ...object, dwarf };
}

const TYPE = ['index', 'kind', 'name', 'size', 'declaration', 'target', 'members', 'enumerators', 'dimensions'];

/** The whole result as text. Types are read value by value. */
function textOfDiff(base: ObjectModel, next: ObjectModel): string {
  const diff = diffObjects({ base, next, provenance });
  return JSON.stringify(
    diff,
    (_key, value) => {
      if (typeof value === 'bigint') return `${value}n`;
      if (value instanceof Map) return [...value];
      if (value && typeof value === 'object' && 'enumerators' in value && 'dimensions' in value)
        return Object.fromEntries(TYPE.map((key) => [key, value[key]]));
      return value;
    },
    1,
  );
}

async function load(bytes: Uint8Array): Promise<ObjectModel> {
  return (await analyser).load(bytes).object!;
}

/** Compares both ways; gives what was found to be the same without reading. */
async function both(base: Uint8Array, next: Uint8Array, what: string): Promise<TypeLikeness | undefined> {
  const [b, n, plainBase, plainNext] = await Promise.all([base, next, base, next].map(load));
  const quick = textOfDiff(b!, n!);
  assert.equal(quick, textOfDiff(plain(plainBase!), plain(plainNext!)), what);
  return n!.dwarf.typesLike(b!.dwarf);
}

for (const compiler of CASE_COMPILERS) {
  for (const version of ['-gdwarf-4', '-gdwarf-5']) {
    test(`edits made by chance [${compiler} ${version}]`, {
      skip: !hasTool(compiler) && `there is no ${compiler}`,
    }, async () => {
      const args = ['-O1', '-g', version, '-ffunction-sections', '-fdata-sections', '-w'];
      let all = 0;
      let some = 0;
      for (let seed = 1; seed <= 4; seed++) {
        const random = new Random(seed, 7);
        const unit = randomUnit(random);
        const base = compile(textOf(unit), { compiler, args });
        for (let i = 0; i < 6; i++) {
          const edit = edited(random, unit);
          let next: Uint8Array;
          try {
            next = compile(textOf(edit.unit), { compiler, args });
          } catch {
            // A type that holds itself, or one that is used before it is declared.
            continue;
          }
          const likeness = await both(base, next, `seed ${seed}: ${edit.what}`);
          if (likeness?.all) all++;
          else some++;
        }
      }
      // Else one of the ways was never gone.
      assert.ok(all > 0 && some > 0, `${all} pairs with the same types, ${some} without`);
    });
  }
}

test('a type that changes behind pointers, typedefs and arrays is not taken for the same', async () => {
  const source = (member: string) => `
struct leaf { ${member} };
typedef struct leaf leaf_t;
struct holder { leaf_t list[3]; };
struct pointing { struct leaf *to; };
struct deep { struct holder in; };
typedef struct { struct deep d; } nameless_t;
enum side { LEFT, RIGHT };
nameless_t n; struct pointing p; enum side e; const leaf_t *c;
`;
  const base = await load(compile(source('int a;')));
  const next = await load(compile(source('int a, b;')));
  const likeness = next.dwarf.typesLike(base.dwarf);
  assert.ok(likeness);
  assert.equal(likeness.all, false);
  const find = ({ dwarf }: ObjectModel, kind: string, name: string) =>
    dwarf.types.find((type) => type.kind === kind && type.name === name)!.index;
  const same = (kind: string, name: string) => likeness.isSame(find(base, kind, name), find(next, kind, name));
  for (const [kind, name] of [
    ['struct', 'leaf'],
    ['typedef', 'leaf_t'],
    ['struct', 'holder'],
    ['struct', 'deep'],
    ['typedef', 'nameless_t'],
  ] as const)
    assert.equal(same(kind, name), false, name);
  // A pointer is of the same size, and what it points to is reported by its own name.
  assert.equal(same('struct', 'pointing'), true);
  assert.equal(same('enum', 'side'), true);
  assert.equal(same('base', 'int'), true);
});

test('the same function with another parameter, and a declaration more', async () => {
  const source = (parameter: string, more: string) =>
    `${more}\nlong used(long);\nstatic __attribute__((noinline)) long inner(${parameter} a) { return used(a); }\nlong outer(long a) { return inner(a)${more && ' + fresh(1)'}; }\n`;
  const object = (parameter: string, more: string) => load(compile(source(parameter, more)));
  const base = await object('long', '');
  const like = async (parameter: string, more: string) => (await object(parameter, more)).dwarf.typesLike(base.dwarf);
  assert.equal((await like('long', ''))?.signatures, true);
  assert.equal((await like('long', 'long fresh(long);'))?.signatures, true);
  assert.notEqual((await like('int', ''))?.signatures, true);
});

const pairs = join(homedir(), '.cache', 'livepatch-author-tests');
const folder = existsSync(pairs) ? readdirSync(pairs).find((name) => name.startsWith('linux-pairs-')) : undefined;
test('pairs of kernel objects', {
  skip: folder === undefined && 'no kernel was compiled here (npm run bench -- kernel)',
}, async () => {
  const root = join(pairs, folder!);
  const records = readdirSync(join(root, 'units'))
    .sort()
    .map((name) => JSON.parse(readFileSync(join(root, 'units', name), 'utf8')))
    .filter((record) => record && record.size < 700_000);
  const read = (path: string) => new Uint8Array(readFileSync(join(root, path)));
  let previous: { base: string } | undefined;
  for (const [i, record] of records.entries()) {
    if (i % 8 !== 0) continue;
    const likeness = await both(read(record.base), read(record.next), record.unit);
    assert.ok(likeness, record.unit);
    // Two units have headers in common, and little else.
    if (previous) await both(read(previous.base), read(record.base), `${record.unit} and another one`);
    previous = record;
  }
});
