import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { quoteCommand, splitSteps, stepArguments } from '../../server/src/shell/tokenize.ts';

/** What a real POSIX shell makes of the text, without expansion. */
function shellWords(text: string): string[] {
  const run = spawnSync('/bin/sh', ['-c', `set -f; printf '%s\\0' ${text}`], { encoding: 'utf8' });
  assert.equal(run.status, 0, run.stderr);
  return run.stdout.split('\0').slice(0, -1);
}

const words = (text: string) => splitSteps(text).flatMap(stepArguments);

test('words come out as a POSIX shell makes them', () => {
  const texts = [
    'gcc -c a.c -o a.o',
    'gcc -DX=\\"a\\ b\\" -c a.c',
    `gcc '-DX="a b"' -c a.c`,
    'gcc "-DX=\\"a b\\"" -c a.c',
    'gcc -DX="a b"c\'d e\'f g',
    "gcc '' \"\" -D'X'=",
    'gcc "a\\nb" "c\\\\d" "e\\"f" \'g\\h\' i\\\\j',
    "gcc -I/a\\ b/c \"-I/d e\" -DNAME='it'\"'\"'s'",
    'gcc   a.c\t-c  ',
    'gcc -DCOLOUR=#fff a#b.c',
    'gcc -D\'F(x)=x;x&&x|x\' "a;b"',
    'gcc a\\\n.c',
    'gcc "a\\\nb.c"',
  ];
  for (const text of texts) assert.deepEqual(words(text), shellWords(text), text);
});

test('nothing is expanded', () => {
  assert.deepEqual(words('gcc -DA=$HOME -DB=`id` *.c ~/x "$(x)"'), [
    'gcc',
    '-DA=$HOME',
    '-DB=`id`',
    '*.c',
    '~/x',
    '$(x)',
  ]);
});

test('steps, operators and assignments', () => {
  const steps = splitSteps("gcc -c a.c -o a.o && objcopy --redefine-sym 'a;b=c' a.o; rm x\nls | wc");
  assert.deepEqual(
    steps.map((step) => step.operator),
    ['&&', ';', '\n', '|', undefined],
  );
  assert.deepEqual(steps[1]!.words, ['objcopy', '--redefine-sym', 'a;b=c', 'a.o']);
  const [step] = splitSteps('LANG=C X="1 2" gcc A=b');
  assert.deepEqual(stepArguments(step!), ['env', 'LANG=C', 'X=1 2', 'gcc', 'A=b']);
  assert.deepEqual(words("'A=b' x"), ['A=b', 'x'], 'a quoted name is a program, not an assignment');
});

test('unterminated quotes and empty texts do not throw', () => {
  assert.deepEqual(words('gcc "abc'), ['gcc', 'abc']);
  assert.deepEqual(words("gcc 'abc"), ['gcc', 'abc']);
  assert.deepEqual(words('gcc a\\'), ['gcc', 'a\\']);
  assert.deepEqual(splitSteps('  \n '), []);
});

test('a quoted command is read back the same, by a shell and by us', () => {
  const vector = ['gcc', '-DX="a b"', "it's", '', 'a\nb', '$HOME', '-I/päth', '\\'];
  assert.deepEqual(shellWords(quoteCommand(vector)), vector);
  assert.deepEqual(words(quoteCommand(vector)), vector);
});
