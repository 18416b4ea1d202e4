import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import type { CodeAction, Diagnostic, TextEdit } from 'vscode-languageserver/node';
import { codeActions, resolveCodeAction } from '../../server/src/lsp/codeActions.ts';
import { diagnosticsOf } from '../../server/src/lsp/diagnostics.ts';
import { Documents, pathOf } from '../../server/src/lsp/documents.ts';
import { Model } from '../../server/src/lsp/model.ts';
import { createSession } from '../../server/src/session.ts';
import { loadConfig } from '../../server/src/shell/config.ts';
import { Project, sh } from './project.ts';

// What the light bulb offers about a finding, applied to the files, and what is said then.

const project = new Project({
  'node.h': 'struct node {\n\tint id;\n\tvoid *data;\n\tlong total;\n};\n',
  'node.c':
    '#include "node.h"\nstruct node nodes[4];\nvoid add(struct node *n, long by)\n{\n\tn->total += by;\n}\nlong sum(void) { return nodes[0].total + nodes[1].total; }\n',
});
const command = ['gcc', '-O2', '-g', '-c', 'node.c', '-o', 'node.o'];
sh(project.root, ...command);
project.write(
  'compile_commands.json',
  JSON.stringify([{ directory: project.root, file: 'node.c', output: 'node.o', arguments: command }]),
);
project.write('.gitignore', '*.o\ncompile_commands.json\n');
project.git('init', '-q');
project.git('add', '.');
project.git('commit', '-q', '-m', 'base');
after(() => project.remove());
afterEach(() => project.git('checkout', '-q', '--', '.'));

/** Runs `use` on the findings of the files as they are. */
async function withFindings(
  use: (found: readonly { path: string; diagnostic: Diagnostic }[], model: Model) => Promise<void> | void,
): Promise<void> {
  const { config } = await loadConfig(project.root);
  const session = await createSession(config, { watch: false, cacheDir: project.cache });
  try {
    const model = new Model(new Documents());
    model.session = session;
    model.docs = join(import.meta.dirname, '../../docs/hazards');
    session.on((event) => event.kind === 'unit' && model.note(event.state));
    session.saved(project.path('node.h'));
    session.saved(project.path('node.c'));
    await session.idle();
    const found = [...diagnosticsOf(model)].flatMap(([path, list]) => list.map((diagnostic) => ({ path, diagnostic })));
    await use(found, model);
  } finally {
    await session.dispose();
  }
}

function write(edits: Readonly<Record<string, TextEdit[]>>): void {
  for (const [uri, list] of Object.entries(edits)) {
    const file = pathOf(uri)!.slice(project.root.length + 1);
    let lines = project.read(file).split('\n');
    const sorted = list
      .map((edit, i) => ({ edit, i }))
      .sort(
        (a, b) =>
          b.edit.range.start.line - a.edit.range.start.line ||
          b.edit.range.start.character - a.edit.range.start.character ||
          b.i - a.i,
      );
    for (const {
      edit: { range, newText },
    } of sorted) {
      const head = lines.slice(0, range.start.line);
      const tail = lines.slice(range.end.line);
      const before = (lines[range.start.line] ?? '').slice(0, range.start.character);
      const behind = (tail[0] ?? '').slice(range.end.character);
      lines = [...head, ...`${before}${newText}${behind}`.split('\n'), ...tail.slice(1)];
    }
    project.write(file, lines.join('\n'));
  }
}

const grow = (field: string): void => {
  project.edit('node.h', '\tlong total;\n', `\tlong total;\n\t${field}\n`);
  project.edit('node.c', '\tn->total += by;\n', '\tn->total += by;\n\tn->hits++;\n');
};

async function choose(code: string, title: RegExp): Promise<void> {
  await withFindings(async (found, model) => {
    const one = found.find(({ diagnostic }) => diagnostic.code === code);
    assert.ok(one, found.map(({ diagnostic }) => diagnostic.code).join());
    assert.ok(existsSync(one.diagnostic.codeDescription!.href), 'the page that the diagnostic leads to');
    const actions = codeActions(model, `file://${one.path}`, [one.diagnostic]);
    const action: CodeAction | undefined = actions.find((each) => title.test(each.title));
    assert.ok(action, actions.map((each) => each.title).join('; '));
    const whole = action.edit ? action : await resolveCodeAction(model, action);
    write(whole.edit!.changes!);
  });
}

const codes = async (): Promise<string[]> => {
  let list: string[] = [];
  await withFindings((found) => {
    list = found.map(({ diagnostic }) => String(diagnostic.code)).sort();
  });
  return list;
};

test('use padding instead', async () => {
  grow('int hits;');
  await choose('struct-grown', /^Use padding of struct node instead: put hits behind id$/);
  assert.equal(project.read('node.h'), 'struct node {\n\tint id;\n\tint hits;\n\tvoid *data;\n\tlong total;\n};\n');
  assert.deepEqual(await codes(), ['struct-padding-used']);
});

test('side table', async () => {
  grow('unsigned long hits;');
  await choose('struct-grown', /^Keep hits of struct node in a side table/);
  assert.match(project.read('node.c'), /\(\*node_hits\(n\)\)\+\+;/);
  assert.deepEqual([...new Set(await codes())], ['new-global']);
});

test('take the hunk back', async () => {
  grow('int hits;');
  await choose('struct-grown', /^Take back the change of struct node$/);
  assert.doesNotMatch(project.read('node.h'), /hits/);
  assert.match(project.read('node.c'), /hits/);
});
