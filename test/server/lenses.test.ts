import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Editor } from './editor.ts';
import { Project } from './project.ts';

// Functions that stand on one line of a source: each lens names its function, or its unit.

const KERNEL = `#ifndef NAME
#define NAME(name) do_##name
#endif
int NAME(version)(int x)
{
	return x * 3 + 1;
}
`;
const project = new Project({
  'common/kernel.c': KERNEL,
  'compat/kernel.c': '#define NAME(name) compat_##name\n#include "../common/kernel.c"\n',
  'twice.c': 'int twice(int x)\n{\n\treturn x * 3 + LEVEL;\n}\n',
  'pair.c':
    '#define PAIR(name) int get_##name(int x) { return x * 3 + 1; } int set_##name(int x) { return x * 5 + 1; }\nPAIR(one)\nint alone(int x)\n{\n\treturn x + 1;\n}\n',
});
const command = (file: string, output: string, ...more: string[]) => ({
  directory: project.root,
  file,
  output,
  arguments: ['gcc', '-O2', ...more, '-c', file, '-o', output],
});
project.write(
  'compile_commands.json',
  JSON.stringify([
    command('common/kernel.c', 'common/kernel.o'),
    command('compat/kernel.c', 'compat/kernel.o'),
    command('twice.c', 'one.o', '-DLEVEL=1'),
    command('twice.c', 'two.o', '-DLEVEL=2'),
    command('pair.c', 'pair.o'),
  ]),
);
project.commit();
let editor: Editor | undefined;
after(async () => {
  await editor?.kill();
  project.remove();
});

test('lenses that share a line say which function or unit they are about; one that is alone needs no name', async () => {
  project.edit('common/kernel.c', 'x * 3', 'x * 7 + (x >> 2)');
  project.edit('twice.c', 'x * 3', 'x * 7 + (x >> 2)');
  project.edit('pair.c', 'x * 3 + 1; } int', 'x * 7 + (x >> 2); } int');
  project.edit('pair.c', 'x * 5', 'x * 11 + (x >> 2)');
  project.edit('pair.c', 'x + 1', 'x * 9 + (x >> 3)');
  editor = await Editor.start(project);
  const files = ['common/kernel.c', 'compat/kernel.c', 'twice.c', 'pair.c'];
  for (const file of files) await editor.show(file);
  await editor.settled('seven functions changed', ({ units }) => units.flatMap((each) => each.functions).length === 7);
  const lenses = async (file: string): Promise<Record<number, string[]>> => {
    const list = await editor!.lsp<
      readonly {
        readonly range: { readonly start: { readonly line: number } };
        readonly command: { readonly title: string };
      }[]
    >('textDocument/codeLens', { textDocument: { uri: editor!.uri(file) } });
    const byLine: Record<number, string[]> = {};
    for (const { range, command } of list) {
      byLine[range.start.line] ??= [];
      byLine[range.start.line]!.push(command.title.replace(/machine code changed: \d+ → \d+ instructions/, 'changed'));
    }
    return byLine;
  };
  assert.deepEqual(await lenses('common/kernel.c'), {
    3: ['do_version: changed', 'Review do_version', 'compat_version: changed', 'Review compat_version', 'Build patch'],
  });
  assert.deepEqual(await lenses('twice.c'), {
    0: [
      'twice (one.o): changed',
      'Review twice (one.o)',
      'twice (two.o): changed',
      'Review twice (two.o)',
      'Build patch',
    ],
  });
  assert.deepEqual(await lenses('pair.c'), {
    1: ['get_one: changed', 'Review get_one', 'set_one: changed', 'Review set_one', 'Build patch'],
    2: ['changed', 'Review', 'Build patch'],
  });
});
