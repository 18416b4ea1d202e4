import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type AsmSide, asmHover, asmText, buildPatch, lastBuilt } from '../../server/src/protocol.ts';
import { type BuiltFile, BuiltStore, type LastBuilt } from '../../server/src/shell/builtStore.ts';
import { Editor } from './editor.ts';
import { Project, sh } from './project.ts';

// The three codes of a function: of the baseline, of the patch that was built last, of the text as it is now.

/** More values than registers are free: one more makes the compiler choose others on lines that nobody edits. */
const WORK = `int puts(const char *);
int ext(int, int);
int other(int x)
{
	return ext(x, 5);
}
int work(int a, int b, int c)
{
	int d = ext(a, b);
	int e = ext(b, c);
	int f = ext(d, e);
	puts("working");
	return d + e * 3 + f * 5 + a;
}
int main(void)
{
	return work(1, 2, 3) + other(4);
}
int ext(int x, int y)
{
	return x - y;
}
`;

const projects: Project[] = [];
const editors: Editor[] = [];
after(async () => {
  for (const editor of editors) await editor.kill().catch(() => {});
  for (const project of projects) project.remove();
});

/** A program that is built, and its commands. */
function program(): Project {
  const project = new Project({ 'work.c': WORK, 'livepatch.json': '{ "targets": [] }' });
  projects.push(project);
  commands(project, '-O2');
  sh(project.root, 'gcc', '-O2', '-g', '-fno-inline', '-c', 'work.c', '-o', 'work.o');
  sh(project.root, 'gcc', 'work.o', '-o', 'work');
  project.write('.gitignore', '*.o\nwork\ncompile_commands.json\n.livepatch\n');
  project.commit();
  return project;
}

function commands(project: Project, level: string): void {
  const args = ['gcc', level, '-g', '-fno-inline', '-c', 'work.c', '-o', 'work.o'];
  project.write(
    'compile_commands.json',
    JSON.stringify([{ directory: project.root, file: 'work.c', output: 'work.o', arguments: args }]),
  );
}

async function started(project: Project): Promise<Editor> {
  const editor = await Editor.start(project);
  editors.push(editor);
  await editor.show('work.c');
  return editor;
}

const unitOf = (editor: Editor): string => editor.state?.units[0]?.id ?? '';

async function build(editor: Editor, project: Project, leaveOut: readonly string[] = []): Promise<string> {
  const folder = project.path('.livepatch');
  const result = await editor.ask(buildPatch, { leaveOut, overrides: {}, folder });
  assert.ok(result.ok, result.message + (result.details ?? ''));
  return result.id ?? '';
}

async function pair(editor: Editor, name: string, left: AsmSide, right: AsmSide) {
  const unit = unitOf(editor);
  const [base, next] = await Promise.all([
    editor.ask(asmText, { unit, name, side: left, against: right }),
    editor.ask(asmText, { unit, name, side: right, against: left }),
  ]);
  const hover = (side: AsmSide, against: AsmSide) => editor.ask(asmHover, { unit, name, side, against, line: 0 });
  return { base, next, hovers: [await hover(left, right), await hover(right, left)] };
}

const sourceLines = (text: string): string[] => text.split('\n').filter((line) => /^; .*[;{]/.test(line));
const edited =
  (...names: string[]) =>
  (state: { readonly units: readonly { readonly functions: readonly { readonly name: string }[] }[] }): boolean =>
    state.units.flatMap((unit) => unit.functions.map((each) => each.name)).join(' ') === names.join(' ');

test('the last patch is known after the server ended, with its sources, its compiler and its command', async () => {
  const project = program();
  let editor = await started(project);
  project.edit('work.c', 'f * 5', 'f * 7');
  await editor.show('work.c');
  await editor.settled('work changed', edited('work'));
  const unit = unitOf(editor);
  assert.equal(await editor.ask(lastBuilt, { unit }), null, 'nothing was built');
  const before = await pair(editor, 'work', 'built', 'next');
  assert.match(before.base.text, /^; No patch has been built yet\.\n$/, 'the baseline is not called a patch');

  const id = await build(editor, project);
  assert.deepEqual(await editor.ask(lastBuilt, { unit }), { id });
  const built = editor.state?.fingerprint;
  project.edit('work.c', '\tputs("working");\n', '\tputs("at work");\n\tputs("indeed");\n');
  await editor.show('work.c');
  await editor.settled('compared again', ({ fingerprint }) => fingerprint !== built);
  const check = async (): Promise<void> => {
    const { base, next, hovers } = await pair(editor, 'work', 'built', 'next');
    assert.match(base.title, /^work: last built ↔ now · gcc \S+ -O2$/);
    assert.equal(next.title, base.title);
    assert.match(base.text, /"working/);
    assert.match(next.text, /"indeed/);
    // Both sides have the lines of their sources: what nobody edited stands on both.
    const [left, right] = [sourceLines(base.text), sourceLines(next.text)];
    assert.ok(left.includes('; puts("working");') && !left.some((line) => /indeed/.test(line)), left.join('\n'));
    assert.ok(left.some((line) => /f \* 7/.test(line)));
    for (const line of left.filter((each) => !/puts/.test(each))) assert.ok(right.includes(line), line);
    // Each row leads to where its line stands now.
    const line = base.text.split('\n').findIndex((each) => /f \* 7/.test(each));
    const place = base.places[base.placeOf[line] ?? -1];
    assert.match(project.read('work.c').split('\n')[place?.line ?? -1] ?? '', /f \* 7/);
    assert.match(hovers[0] ?? '', new RegExp(`Last built patch\\*\\* \\(${id}\\), compiled by .gcc[\\s\\S]* -O2 `));
  };
  await check();
  await editor.kill();
  editor = await started(project);
  await editor.settled('known again', edited('work'));
  assert.deepEqual(await editor.ask(lastBuilt, { unit }), { id });
  await check();

  // Compiled in another way since: both ways are named, each with its command.
  commands(project, '-O1');
  await editor.kill();
  editor = await started(project);
  await editor.settled('known again', edited('work'));
  const { base, hovers } = await pair(editor, 'work', 'built', 'next');
  assert.match(base.title, /^work: last built ↔ now · gcc (\S+) -O2 ↔ gcc \1 -O1$/);
  assert.match(hovers[0] ?? '', / -O2 /);
  assert.match(hovers[1] ?? '', / -O1 /);
  const usual = await pair(editor, 'work', 'base', 'next');
  assert.match(usual.base.title, / · gcc \S+ -O1$/);

  // The edit is taken back: the patch holds the function all the same, and the baseline's code is what is now.
  project.write('work.c', WORK);
  await editor.show('work.c');
  await editor.settled('nothing changed', edited());
  const back = await pair(editor, 'work', 'built', 'next');
  assert.match(back.base.text, /"working[\s\S]*f \* 7/);
  assert.match(back.next.text, /"working[\s\S]*f \* 5/);
});

test('what differs by the compiler’s own doing is told apart from what was edited since the last patch', async () => {
  const project = program();
  const editor = await started(project);
  project.edit('work.c', 'f * 5', 'f * 7');
  await editor.show('work.c');
  await editor.settled('work changed', edited('work'));
  await build(editor, project);
  const before = editor.state?.fingerprint;
  // Needs a and b longer than before: other registers on lines that nobody edited.
  project.edit('work.c', 'f * 7 + a', 'f * 7 + a + b * c');
  await editor.show('work.c');
  await editor.settled('compared again', ({ fingerprint }) => fingerprint !== before);
  const { base, next } = await pair(editor, 'work', 'built', 'next');
  assert.match(next.kinds, /[rm]/, `${base.text}\n${next.text}`);
  for (const { kinds, text } of [base, next])
    for (const [line, each] of text.split('\n').entries())
      assert.equal('rm'.includes(kinds[line] ?? '-'), / {2}; (registers only|moved)$/.test(each), each);
  // Of the edited line no row is noise.
  let source = '';
  for (const [line, each] of next.text.split('\n').entries()) {
    if (next.kinds[line] === ';') source = each;
    if (/b \* c/.test(source)) assert.doesNotMatch(next.kinds[line] ?? '', /[rm]/, each);
  }
});

test('a function that the last patch leaves out is in it as the baseline has it, and the hover says so', async () => {
  const project = program();
  const editor = await started(project);
  project.edit('work.c', 'f * 5', 'f * 7');
  project.edit('work.c', 'ext(x, 5)', 'ext(x, 6)');
  await editor.show('work.c');
  await editor.settled('both changed', edited('other', 'work'));
  await build(editor, project, ['other']);
  const { base, next, hovers } = await pair(editor, 'other', 'base', 'built');
  assert.equal(next.text, base.text);
  assert.match(hovers[1] ?? '', /not in the patch: its code is that of the baseline/);
  const since = await pair(editor, 'other', 'built', 'next');
  assert.notEqual(since.next.text, since.base.text);
});

const file: BuiltFile = { base: 'x', hunks: [], lines: new Map([[3, 'return 1;']]) };
const patch: LastBuilt = {
  id: 'one',
  time: '2024-01-01T00:00:00.000Z',
  units: new Map([
    [
      'a.o',
      {
        compiler: 'gcc 12',
        command: ['gcc', '-c', 'a.c'],
        functions: new Map([
          [
            '__proto__',
            [
              {
                offset: 0,
                bytes: new Uint8Array([0xc3]),
                mnemonic: 'ret',
                operands: '',
                references: [],
                source: { file: 'a.c', line: 3 },
                inlinedFrom: [],
              },
            ],
          ],
        ]),
        files: new Map([['a.c', file]]),
      },
    ],
  ]),
};

test('what is kept of a patch is read as it was; a damaged file is told and dropped; old folders go', async () => {
  const project = new Project({});
  projects.push(project);
  const store = new BuiltStore(project.cache, project.root);
  assert.equal(await store.read(), undefined);
  await Promise.all([store.keep({ ...patch, id: 'zero' }), store.keep(patch)]);
  const folder = join(project.cache, 'built');
  const [name, ...others] = readdirSync(folder);
  assert.deepEqual(others, [], 'nothing half written is left');
  const plain = (built: LastBuilt | undefined) =>
    JSON.stringify(built, (_key, value) => (value instanceof Map ? [...value] : value?.buffer ? [...value] : value));
  const again = await new BuiltStore(project.cache, project.root).read();
  assert.deepEqual([...(again?.units.get('a.o')?.functions.get('__proto__')?.[0]?.bytes ?? [])], [0xc3]);
  assert.equal(
    plain(again).replace(/\{"type":"Buffer","data":(\[[^\]]*\])\}/g, '$1'),
    plain(patch).replace(/\{"0":195\}/g, '[195]'),
  );

  const path = join(folder, name ?? '');
  const bytes = readFileSync(path);
  bytes[bytes.length >> 1]! ^= 0xff;
  writeFileSync(path, bytes);
  await assert.rejects(store.read());
  assert.equal(await store.read(), undefined, 'it is told once');

  mkdirSync(folder, { recursive: true });
  for (let at = 0; at < 40; at++) await new BuiltStore(project.cache, `/folder/${at}`).keep(patch);
  assert.ok(readdirSync(folder).length <= 24);
  assert.equal((await new BuiltStore(project.cache, '/folder/39').read())?.id, 'one');
});
