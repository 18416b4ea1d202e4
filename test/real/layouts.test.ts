import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { sqlitePair } from '../../bench/lib/sqlite.mjs';
import { isNoDownload } from '../../scripts/lib/debian-source.mjs';
import { typeTable } from '../../server/src/core/diff/type-table.ts';
import { readDwarf } from '../../server/src/core/dwarf/index.ts';
import type { DwarfInfo } from '../../server/src/core/dwarf/types.ts';
import { readElf } from '../../server/src/core/elf/index.ts';
import { layoutRows } from '../../server/src/core/render/layout.ts';
import { cacheRoot } from '../../server/src/vm/cache.ts';
import { type Gaps, type Layout, paholeLayouts, readLayouts } from '../core/dwarf/pahole.ts';
import { hasTool } from '../support/cc.ts';
import { redisTree } from './redis-tree.ts';

// Every struct and union of real programs as pahole has it: size, place of every member to the bit, holes and padding.
const say = (text: string) => console.log(`    ${text}`);

/** What was compared. */
interface Tally {
  objects: number;
  types: number;
  members: number;
  holes: number;
  /** Types as they were seen in earlier objects: tag, size, members with their places. */
  forms: Set<string>;
  /** Types that pahole itself says it cannot add up, or does not know: those with _Atomic members, for the versions that do not read it. */
  left: Set<string>;
}

/** The holes that the product shows of the struct with a tag, in bits. */
function gapsOf(dwarf: DwarfInfo, name: string): Gaps | undefined {
  const type = dwarf.types.find((one) => one.kind === 'struct' && `struct ${one.name}` === name && !one.declaration);
  if (!type) return undefined;
  const own = layoutRows(typeTable(dwarf), type.index).filter(({ depth }) => depth === 1);
  const sum = (what: string) => own.filter((row) => row.what === what).reduce((bits, { size }) => bits + size, 0);
  return { holes: sum('hole'), padding: sum('padding') };
}

function compareObject(path: string, tally: Tally, known: Map<string, string>): void {
  const bytes = new Uint8Array(readFileSync(path));
  const { elf } = readElf(bytes);
  // Xen's boot code is for 32 bits.
  const dwarf = elf && elf.machine === 62 ? readDwarf(elf) : undefined;
  if (!dwarf?.present) return;
  // Most units only repeat the types of common headers: those bring nothing that was not compared before.
  const forms = dwarf.types
    .filter(({ kind, name, declaration }) => (kind === 'struct' || kind === 'union') && name && !declaration)
    .map(
      (type) =>
        `${type.kind} ${type.name} ${type.size} ${type.members.map(({ name, bitOffset, bitSize }) => `${name}@${bitOffset}+${bitSize}`)}`,
    );
  if (forms.every((form) => tally.forms.has(form))) return;
  for (const form of forms) tally.forms.add(form);
  const expected = paholeLayouts(bytes);
  const actual = readLayouts(dwarf);
  tally.objects++;
  for (const [name, layout] of expected) {
    if (layout.doubtful) {
      tally.left.add(name);
      continue;
    }
    // The same type in many units: looked at once for each form that it has.
    const text = JSON.stringify(layout);
    if (known.get(name) === text && same(actual.get(name), layout)) continue;
    known.set(name, text);
    const mine = actual.get(name);
    assert.ok(mine, `${path}: ${name} is missing`);
    if (hasAtomic(dwarf, name)) {
      tally.left.add(name);
      continue;
    }
    assert.deepEqual(mine.leaves, layout.leaves, `${path}: ${name}`);
    if (layout.size !== undefined) assert.equal(mine.size, layout.size, `${path}: size of ${name}`);
    if (layout.gaps) {
      assert.deepEqual(gapsOf(dwarf, name), layout.gaps, `${path}: holes and padding of ${name}`);
      if (layout.gaps.holes > 0) tally.holes++;
    }
    tally.types++;
    tally.members += layout.leaves.length;
  }
  // And the other way round: nothing that pahole does not know.
  for (const name of actual.keys()) assert.ok(expected.has(name), `${path}: pahole has no ${name}`);
}

const same = (mine: Layout | undefined, theirs: Layout) =>
  mine !== undefined && mine.size === theirs.size && mine.leaves.join() === theirs.leaves.join();

/** Has the type a member whose type is _Atomic? pahole up to 1.25 does not know its tag. */
function hasAtomic(dwarf: DwarfInfo, name: string): boolean {
  const [kind, tag] = name.split(' ');
  const start = dwarf.types.find((type) => type.kind === kind && type.name === tag && !type.declaration);
  const seen = new Set<number>();
  const visit = (index: number): boolean => {
    const type = dwarf.types[index];
    if (!type || seen.has(index)) return false;
    seen.add(index);
    if (type.kind === 'atomic') return true;
    if (type.kind === 'pointer' || type.kind === 'function') return false;
    return (type.target >= 0 && visit(type.target)) || type.members.some((member) => visit(member.type));
  };
  return start !== undefined && visit(start.index);
}

const tallyOf = (paths: readonly string[]): Tally => {
  const tally: Tally = { objects: 0, types: 0, members: 0, holes: 0, forms: new Set(), left: new Set() };
  const known = new Map<string, string>();
  for (const path of paths) compareObject(path, tally, known);
  return tally;
};
const told = ({ objects, types, members, holes, left }: Tally) =>
  `${objects} objects: ${types} types, ${members} members, ${holes} types with holes; ${left.size} that pahole does not read`;

/** Objects below a folder, sorted. */
function objectsBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true })
    .map(String)
    .filter((name) => name.endsWith('.o') && !/built_in|prelink|\.xen-syms/.test(name))
    .map((name) => join(folder, name))
    .sort();
}

describe('layouts of real programs, against pahole', { skip: !hasTool('pahole') && 'pahole is not installed' }, () => {
  it('SQLite', async (t) => {
    let paths: Awaited<ReturnType<typeof sqlitePair>>;
    try {
      paths = await sqlitePair(say);
    } catch (error) {
      if (!isNoDownload(error)) throw error;
      t.skip((error as Error).message);
      return;
    }
    const tally = tallyOf([paths.base]);
    t.diagnostic(told(tally));
    assert.ok(tally.types > 150 && tally.members > 1500 && tally.holes > 20, told(tally));
  });

  it('Redis', async (t) => {
    let root: string;
    try {
      ({ root } = await redisTree([process.execPath, join(import.meta.dirname, '../../dist/cli.cjs')], say));
    } catch (error) {
      if (!isNoDownload(error)) throw error;
      t.skip((error as Error).message);
      return;
    }
    const tally = tallyOf(objectsBelow(join(root, 'src')));
    t.diagnostic(told(tally));
    assert.ok(tally.objects > 25 && tally.types > 250 && tally.holes > 50, told(tally));
  });

  const xen = join(cacheRoot(), 'xen');
  const trees = existsSync(xen) ? readdirSync(xen).filter((name) => existsSync(join(xen, name, 'xen/xen-syms'))) : [];
  it('Xen', { skip: trees.length === 0 && 'Xen is not built here: npm test -- --only vm builds it' }, (t) => {
    const tally = tallyOf(objectsBelow(join(xen, trees[0]!, 'xen')).filter((path) => !/\/(tools|test)\//.test(path)));
    t.diagnostic(told(tally));
    assert.ok(tally.objects > 100 && tally.types > 500 && tally.holes > 50, told(tally));
  });
});
