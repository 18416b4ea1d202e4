import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { undoHunk } from '../../server/src/lsp/codeActions.ts';
import { Documents } from '../../server/src/lsp/documents.ts';
import { nextLine } from '../../server/src/lsp/textContent.ts';
import { diffLines } from '../../server/src/shell/lineDiff.ts';

const path = '/nowhere/file.c';
const numbered = (count: number): string[] => Array.from({ length: count }, (_, index) => `line ${index}`);

describe('lines of an older build while somebody types', () => {
  it('moves with lines put in and taken out above', () => {
    const documents = new Documents();
    const lines = numbered(20);
    documents.take(path, lines.join('\n'));
    documents.hand(path, lines.join('\n'));
    const then = documents.moment();
    lines.splice(5, 0, 'new', 'new');
    documents.take(path, lines.join('\n'));
    lines.splice(0, 1);
    documents.take(path, lines.join('\n'));
    for (const line of [1, 4, 5, 10, 19]) {
      const now = documents.lineNow(path, line, then);
      assert.equal(lines[now], `line ${line}`);
      assert.equal(documents.lineThen(path, now, then), line);
    }
  });

  it('stays within a replaced part', () => {
    const documents = new Documents();
    documents.take(path, numbered(10).join('\n'));
    documents.hand(path, 'told');
    const then = documents.moment();
    documents.take(path, [...numbered(3), 'only', ...numbered(10).slice(7)].join('\n'));
    for (const line of [3, 4, 5, 6]) assert.equal(documents.lineNow(path, line, then), 3);
    assert.equal(documents.lineNow(path, 7, then), 4);
  });

  it('does not move lines for edits that the build held already', () => {
    const documents = new Documents();
    documents.take(path, 'a\nb');
    documents.take(path, 'x\na\nb');
    documents.hand(path, 'x\na\nb');
    assert.equal(documents.lineNow(path, 1, documents.moment()), 1);
    assert.equal(documents.lineNow(path, 0, new Map()), 1);
  });

  it('tells whether a text is news to the session', () => {
    const documents = new Documents();
    documents.take(path, 'a');
    assert.equal(documents.hand(path, 'a'), true);
    assert.equal(documents.hand(path, 'a'), false);
    assert.equal(documents.hand(path, 'b'), true);
  });
});

describe('taking one hunk back', () => {
  const apply = (text: string, edit: ReturnType<typeof undoHunk>): string => {
    const lines = text.split('\n');
    const offset = ({ line, character }: { line: number; character: number }): number =>
      lines.slice(0, line).reduce((sum, each) => sum + each.length + 1, 0) + character;
    return text.slice(0, offset(edit.range.start)) + edit.newText + text.slice(offset(edit.range.end));
  };

  it('gives the baseline again, whatever the hunk', () => {
    const base = ['int a;', 'int b;', 'int c;', ''].join('\n');
    const texts = [
      'int a;\nlong b;\nint c;\n',
      'int a;\nint c;\n',
      'int z;\nint a;\nint b;\nint c;\n',
      'int a;\nint b;\nint c;\nint d;\n',
      'int a;\nint b;\n',
      'int b;\nint c;\n',
      'int a;\nint b;\nint c;',
      '',
    ];
    for (const now of texts) {
      const hunks = diffLines(base, now);
      assert.ok(hunks.length > 0);
      // From the last to the first, so that the places of the others stay.
      const undone = [...hunks].reverse().reduce((text, hunk) => apply(text, undoHunk(base, text, hunk)), now);
      assert.equal(undone, base, JSON.stringify(now));
    }
  });
});

describe('lines of the baseline on the next side', () => {
  it('follows the hunks', () => {
    const base = numbered(12);
    const next = [...base.slice(0, 3), 'x', 'y', ...base.slice(4, 8), ...base.slice(10)];
    const hunks = diffLines(base.join('\n'), next.join('\n'));
    for (const [index, text] of base.entries()) {
      const line = nextLine(hunks, index + 1);
      if (next.includes(text)) assert.equal(next[line - 1], text);
    }
  });

  it('stays as far down in a hunk as it was, but within it', () => {
    const hunks = [{ baseStart: 4, baseCount: 4, nextStart: 4, nextCount: 3 }];
    assert.deepEqual(
      [3, 4, 5, 6, 7, 8].map((line) => nextLine(hunks, line)),
      [3, 4, 5, 6, 6, 7],
    );
    assert.equal(nextLine([{ baseStart: 4, baseCount: 2, nextStart: 4, nextCount: 0 }], 5), 4);
  });
});
