import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { hazards } from '../../../server/src/core/findings/catalogue.ts';
import { NOTES, TABLE } from './table.ts';

const root = join(import.meta.dirname, '../../..');
const read = (path: string) => readFileSync(join(root, path), 'utf8');

/** Title → text of the tests of a file; rows of tables of cases count, too. */
function testsOf(path: string): Map<string, string> {
  const text = read(path);
  const found = new Map<string, string>();
  const blocks = [...text.matchAll(/^\s*(?:hazard|test|it|each)\(\s*(?:'((?:[^'\\]|\\.)*)'|"([^"]*)"|`([^`]*)`)/gm)];
  blocks.forEach((match, index) => {
    const title = (match[1] ?? match[2] ?? match[3])!.replaceAll("\\'", "'").replace(/ \[\$\{\w+\}\]$/, '');
    found.set(title, text.slice(match.index, blocks[index + 1]?.index ?? text.length));
  });
  for (const match of text.matchAll(/^\s*\[\s*'((?:[^'\\]|\\.)*)',.*$/gm)) found.set(match[1]!, match[0]);
  return found;
}
const cache = new Map<string, Map<string, string>>();
function bodyOf(reference: string): string | undefined {
  const [file, ...title] = reference.split(': ');
  const path = `test/${file}`;
  assert.ok(existsSync(join(root, path)), `${path} is not there`);
  let tests = cache.get(path);
  if (!tests) {
    tests = testsOf(path);
    cache.set(path, tests);
  }
  return tests.get(title.join(': '));
}

test('the table has every code of the catalogue, once', () => {
  const codes = TABLE.map(({ code }) => code);
  assert.equal(new Set(codes).size, codes.length);
  for (const code of hazards.flatMap((hazard) => hazard.codes)) assert.ok(codes.includes(code), `${code} has no row`);
  // Refusals of payloads about the request itself are no hazards of an edit.
  const requests = new Set(['README', 'TABLE', 'nothing-to-patch', 'patch-id']);
  for (const page of readdirSync(join(root, 'docs/hazards'))) {
    const code = page.replace(/\.md$/, '');
    if (!requests.has(code)) assert.ok(codes.includes(code), `docs/hazards/${page} is of no code of the table`);
  }
  for (const code of codes) assert.ok(existsSync(join(root, 'docs/hazards', `${code}.md`)), `${code} has no page`);
});

test('each code is implemented where the table says', () => {
  for (const { code, by } of TABLE)
    for (const file of by)
      assert.ok(read(`server/src/${file}`).includes(`'${code}'`), `${file} does not report ${code}`);
});

test('each code has a test in which it must be reported, one in which it must not, and a near miss', () => {
  for (const { code, reports, silent, near } of TABLE) {
    const body = bodyOf(reports);
    assert.ok(body, `${code}: there is no test “${reports}”`);
    const inFile = read(`test/${reports.split(': ')[0]}`);
    assert.ok(inFile.includes(code), `${code}: ${reports} never names it`);
    for (const other of [silent, near]) assert.ok(bodyOf(other), `${code}: there is no test “${other}”`);
  }
});

test('peers are named with what was read of them', () => {
  const used = new Set<number>();
  for (const { code, peers } of TABLE) {
    for (const peer of peers) {
      const [, name, note] = /^(\S+) (\d+)$/.exec(peer) ?? [];
      assert.ok(
        ['kpatch', 'livepatch-build-tools', 'klp-build', 'libpulp', 'abidiff', 'none'].includes(name!),
        `${code}: ${peer}`,
      );
      assert.ok(NOTES[Number(note)], `${code}: note ${note}`);
      used.add(Number(note));
    }
  }
  assert.deepEqual(
    Object.keys(NOTES).map(Number),
    [...used].sort((a, b) => a - b),
  );
});

/** The document, as it must stand in docs/hazards/TABLE.md. UPDATE_GOLDEN=1 writes it. */
function document(): string {
  const link = (reference: string) => {
    const [file, ...title] = reference.split(': ');
    return `[${file!.split('/').pop()}](../../test/${file}): ${title.join(': ').replaceAll('|', '\\|')}`;
  };
  const lines = [
    '# Every code of the catalogue',
    '',
    'Where each is implemented, the tests that prove it (a pair that must report, one that must not, a near miss), and which other tools report the same fact.',
    'Written by `UPDATE_GOLDEN=1 node --import tsx --test test/core/findings/table.test.ts` from `test/core/findings/table.ts`; the same test checks that all of it is there. Each fixture',
    'is compiled with gcc 11 and 12 and clang 14 and 16.',
    '',
    'Peers: kpatch (`create-diff-object`), livepatch-build-tools (Xen), klp-build (`objtool klp diff` of Linux), libpulp, abidiff. Numbers are notes below: what was read in their sources and',
    'documents, nothing was run. A dash: nothing of that kind was found there. None of them looks at types in objects that are compared but for abidiff, which looks at what linked files export.',
    '',
    '| code | severity | implemented in | must report | must not | near miss | peers |',
    '|---|---|---|---|---|---|---|',
  ];
  for (const { code, severity, by, reports, silent, near, peers } of TABLE) {
    const files = by.map((file) => `[${file.split('/').pop()}](../../server/src/${file})`).join(', ');
    const others =
      peers.map((peer) => peer.replace(/^(\S+) (\d+)$/, '$1 ($2)').replace('none ', '– ')).join(', ') || '–';
    lines.push(
      `| [${code}](${code}.md) | ${severity} | ${files} | ${link(reports)} | ${link(silent)} | ${link(near)} | ${others} |`,
    );
  }
  lines.push('', '## Notes', '');
  for (const [number, text] of Object.entries(NOTES)) lines.push(`${number}. ${text}`);
  return `${lines.join('\n')}\n`;
}

test('docs/hazards/TABLE.md is the table', () => {
  const path = 'docs/hazards/TABLE.md';
  if (process.env.UPDATE_GOLDEN) writeFileSync(join(root, path), document());
  assert.equal(read(path), document());
});
