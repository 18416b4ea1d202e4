import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

const root = join(import.meta.dirname, '..', '..');
const { packageSets } = (await import(String(new URL('../../scripts/lib/packages.mjs', import.meta.url)))) as {
  readonly packageSets: Readonly<Record<string, readonly string[]>>;
};
const wordsOf = (text: string): Set<string> => new Set(text.match(/[a-z0-9][a-z0-9.+-]*[a-z0-9]/g));

describe('packages that a user has to install', () => {
  it('are named where a machine with Xen is described, each of them', () => {
    const readme = readFileSync(join(root, 'README.md'), 'utf8');
    const needed = wordsOf(/^Needed:[\s\S]*?\n\n/m.exec(readme)?.[0] ?? '');
    const xen = wordsOf(/^Needs:.*\n.*/m.exec(readFileSync(join(root, 'docs', 'xen.md'), 'utf8'))?.[0] ?? '');
    const set = packageSets.vm ?? [];
    assert.ok(set.length > 5);
    assert.deepEqual(
      set.filter((name) => !needed.has(name)),
      [],
      'README.md, Needed',
    );
    assert.deepEqual(
      set.filter((name) => !xen.has(name)),
      [],
      'docs/xen.md, Needs',
    );
  });
});
