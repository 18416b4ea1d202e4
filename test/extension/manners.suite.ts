import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import * as vscode from 'vscode';
import {
  api,
  codeOf,
  EXTENSION,
  find,
  findings,
  needsPage,
  open,
  page,
  replace,
  reset,
  settled,
  until,
  uriOf,
} from './support.ts';

const HEADER = 'src/quote.h';
const QUOTE = 'src/quote.c';

const configuration = (): vscode.WorkspaceConfiguration => vscode.workspace.getConfiguration('livepatch');

/** Labels of the inlay hints of a whole document. */
async function hints(document: vscode.TextDocument): Promise<{ line: number; label: string }[]> {
  const list = await vscode.commands.executeCommand<vscode.InlayHint[]>(
    'vscode.executeInlayHintProvider',
    document.uri,
    new vscode.Range(0, 0, document.lineCount, 0),
  );
  return list.map(({ position, label }) => ({
    line: position.line,
    label: typeof label === 'string' ? label : label.map((part) => part.value).join(''),
  }));
}

/** What a user of VS Code expects of any extension. */
describe('manners', () => {
  beforeEach(reset);
  after(async () => {
    await configuration().update('inlayHints', undefined, vscode.ConfigurationTarget.Workspace);
    await reset();
  });

  it('shows offsets and sizes as inlay hints, once the setting says so', async function () {
    this.timeout(90_000);
    const { document: source } = await open(QUOTE);
    const editor = await open(HEADER);
    await replace(editor, '\tlong open;', '\tlong volume;\n\tlong open;');
    await editor.document.save();
    await settled('blocked', (state) => state.verdict === 'blocked', 60_000);
    assert.deepEqual(await hints(editor.document), [], 'off at first');
    await configuration().update('inlayHints', true, vscode.ConfigurationTarget.Workspace);
    const list = await until('hints', async () => {
      const found = await hints(editor.document);
      return found.length > 0 && found;
    });
    const at = (text: string): string[] =>
      list.filter((each) => each.line === find(editor.document, text).line).map((each) => each.label);
    assert.deepEqual(at('long price;'), ['offset 16 → 24']);
    assert.deepEqual(at('long volume;'), ['new at 8']);
    const sizes = await hints(source);
    assert.ok(
      sizes.some(
        ({ line, label }) => line === find(source, 'int quote_line').line && /^\d+ → \d+ instructions$/.test(label),
      ),
      JSON.stringify(sizes),
    );
    await configuration().update('inlayHints', undefined, vscode.ConfigurationTarget.Workspace);
    await until('no hints', async () => (await hints(editor.document)).length === 0);
  });

  it('keeps its compile errors back where another extension marks the line', async function () {
    this.timeout(90_000);
    const editor = await open(QUOTE);
    const line = find(editor.document, 'long moved = change(quote);').line;
    const ours = () =>
      findings(editor.document.uri).filter(
        (each) => codeOf(each) === 'compile-error' && each.range.start.line === line,
      );
    await replace(editor, 'long moved = change(quote);', 'long moved = change(quote;');
    await editor.document.save();
    const [error] = await until('our mark', () => ours().length > 0 && ours(), 30_000);
    assert.ok(error);
    const others = vscode.languages.createDiagnosticCollection('another-extension');
    try {
      others.set(editor.document.uri, [new vscode.Diagnostic(error.range, 'expected )')]);
      await until('ours is gone', () => ours().length === 0);
      others.clear();
      await until('ours is back', () => ours().length > 0);
      others.set(editor.document.uri, [new vscode.Diagnostic(new vscode.Range(0, 0, 0, 1), 'elsewhere')]);
      await new Promise((resolve) => setTimeout(resolve, 300));
      assert.ok(ours().length > 0, 'an error on another line takes nothing away');
    } finally {
      others.dispose();
    }
  });

  it('fades findings that are stale', async function () {
    this.timeout(90_000);
    const editor = await open(QUOTE);
    const finding = () => findings(editor.document.uri).find((each) => codeOf(each) === 'data-init-changed');
    await replace(editor, 'alarm_threshold = 200', 'alarm_threshold = 100');
    await editor.document.save();
    const fresh = await until('the finding', finding, 30_000);
    assert.ok(!fresh.tags?.includes(vscode.DiagnosticTag.Unnecessary));
    await replace(editor, 'long moved = change(quote);', 'long moved = change(quote;');
    await editor.document.save();
    await until('it is faded', () => finding()?.tags?.includes(vscode.DiagnosticTag.Unnecessary), 30_000);
    if (!page.available) return;
    await vscode.window.showTextDocument(editor.document);
    await until('it is drawn so', () =>
      page.evaluate<boolean>("document.querySelector('.squiggly-inline-unnecessary') !== null"),
    );
  });

  it('lists a finding of a header once, however many units tell of it', async function () {
    needsPage(this);
    this.timeout(90_000);
    await open(QUOTE);
    const editor = await open(HEADER);
    await replace(editor, '\tlong open;', '\tlong volume;\n\tlong open;');
    await editor.document.save();
    const state = await settled(
      'several units tell of it',
      (each) =>
        each.units.filter((unit) => unit.findings.some((finding) => finding.code === 'struct-layout')).length > 1,
      60_000,
    );
    assert.ok(state.units.length > 1);
    await vscode.commands.executeCommand('livepatch.patch.focus');
    await page.text('.monaco-list-row', /struct-layout: .*quote/);
    const rows = await page.texts('.monaco-list-row');
    assert.equal(rows.filter((text) => /struct-layout: .*quote/.test(text)).length, 1, rows.join('\n'));
    assert.ok(
      rows.some((text) => /quote\.h/.test(text)),
      rows.join('\n'),
    );
  });

  it('binds keys that VS Code leaves free, each under a condition', async () => {
    const manifest = vscode.extensions.getExtension(EXTENSION)?.packageJSON;
    const ours: { key: string; command: string; when?: string }[] = manifest.contributes.keybindings;
    assert.ok(ours.length >= 8);
    assert.equal(new Set(ours.map((each) => each.key)).size, ours.length);
    const text = await vscode.workspace.openTextDocument(vscode.Uri.parse('vscode://defaultsettings/keybindings.json'));
    const lines = text.getText().replace(/^\s*\/\/.*$/gm, '');
    const theirs = [...lines.matchAll(/"key":\s*"([^"]+)"[^}]*?"command":\s*"([^"]+)"/g)].filter(
      ([, , command]) => !command!.startsWith('livepatch.'),
    );
    assert.ok(theirs.length > 300, 'VS Code tells its own keys');
    for (const { key, command, when } of ours) {
      assert.match(when ?? '', /livepatch/, command);
      // In our own view a key may mean what it means there.
      if (/^focusedView == livepatch\.patch && listFocus\b/.test(when ?? '')) continue;
      const chord = key.split(' ')[0]!;
      const taken = theirs.filter(([, one]) => one === key || one === chord || one!.startsWith(`${chord} `));
      assert.deepEqual(
        taken.map(([all]) => all),
        [],
        key,
      );
    }
  });

  it('repeats what the buttons of a row do in the menu of that row, which the keyboard reaches', () => {
    const manifest = vscode.extensions.getExtension(EXTENSION)?.packageJSON;
    const rows: { command: string; when: string; group: string }[] = manifest.contributes.menus['view/item/context'];
    const isInline = ({ group }: { group: string }): boolean => group.startsWith('inline');
    assert.ok(rows.filter(isInline).length > 10);
    assert.deepEqual(
      rows
        .filter(isInline)
        .filter((row) => !rows.some((one) => !isInline(one) && one.command === row.command && one.when === row.when)),
      [],
    );
    // A step on a payload in a hypervisor asks for the payload: it needs no row.
    const palette: { command: string; when: string }[] = manifest.contributes.menus.commandPalette;
    for (const step of ['xenApply', 'xenRevert', 'xenUnload', 'xenReplace'])
      assert.match(palette.find(({ command }) => command === `livepatch.${step}`)?.when ?? '', /livepatch\.xen\b/);
  });

  it('says in an empty view what to do next, and nothing in a notification', async function () {
    needsPage(this);
    this.timeout(400_000);
    const scratch = mkdtempSync(join(tmpdir(), 'lpa-bare-'));
    /** A folder with some files; what is in it counts. */
    const folderOf = (name: string, files: Readonly<Record<string, string>>): string => {
      for (const [file, text] of Object.entries(files)) {
        mkdirSync(dirname(join(scratch, name, file)), { recursive: true });
        writeFileSync(join(scratch, name, file), text);
      }
      return join(scratch, name);
    };
    const bare = folderOf('bare', { 'a.c': 'int x;\n' });
    const tree = folderOf('xen-tree', { 'xen/common/livepatch.c': '', 'xen/include/xen/livepatch.h': '' });
    const command = { directory: join(scratch, 'plain'), file: 'a.c', output: 'a.o' };
    const plain = folderOf('plain', {
      'a.c': 'int twice(int x)\n{\n\treturn x * 2;\n}\n',
      'compile_commands.json': JSON.stringify([{ ...command, arguments: ['cc', '-c', 'a.c', '-o', 'a.o'] }]),
    });
    const git = (...args: string[]) =>
      execFileSync('git', ['-C', plain, '-c', 'user.name=t', '-c', 'user.email=t@t', ...args]);
    git('init', '-q');
    git('add', '.');
    git('-c', 'commit.gpgsign=false', 'commit', '-q', '-m', 'first');
    const states = [
      ['', undefined, /Open the folder of a C project/],
      [bare, join(bare, 'a.c'), /neither a livepatch\.json nor a compile_commands\.json/],
      [undefined, undefined, /Open a C file/],
      [tree, undefined, /This is a Xen tree/],
      // No target, so nothing is ever beside it.
      [plain, join(plain, 'a.c'), /No edit has changed any machine code yet[\s\S]*the targets will be listed here/],
      // Beside the targets, which are known a moment later, it is a row: a text would go then.
      [undefined, uriOf(QUOTE).fsPath, /No edit has changed any machine code yet/],
    ] as const;
    try {
      for (const [folder, file, words] of states) {
        const window = await page.open(file, folder);
        try {
          await window.text('.activitybar .action-item a', /Live Patch/, 60_000);
          if (file) await window.text('.tab', /\.c/, 60_000);
          const isShown = async (): Promise<boolean> =>
            (await window.texts('.composite.title')).some((text) => /Live Patch/i.test(text));
          await until('a window at rest', isShown, 3000).catch(() => false);
          // A click hides a view that came up by itself in that moment: then it takes another one.
          await until(
            'the view',
            async () => {
              if (await isShown()) return true;
              await window.click('.activitybar .action-item a[aria-label*="Live Patch"]');
              return until('the view', isShown, 10_000).catch(() => false);
            },
            60_000,
          );
          const where = file === uriOf(QUOTE).fsPath ? '.pane-body .monaco-list-row' : '.welcome-view-content';
          await window.text(where, words, 60_000);
          if (folder === tree)
            for (const button of [/^Make a Test Machine/m, /^Start the Test Machine/m])
              await window.text('.welcome-view-content .monaco-button', button);
          assert.deepEqual(await window.texts('.codicon-bell-dot'), [], String(words));
        } finally {
          await window.close();
        }
      }
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  });

  it('has walkthroughs whose every button does something', async function () {
    this.timeout(60_000);
    await api();
    const manifest = vscode.extensions.getExtension(EXTENSION)?.packageJSON;
    const known = new Set(await vscode.commands.getCommands());
    const walkthroughs: { title: string; steps: { description: string }[] }[] = manifest.contributes.walkthroughs;
    assert.equal(walkthroughs.length, 2);
    for (const { title, steps } of walkthroughs) {
      const named = steps.flatMap((step) =>
        [...step.description.matchAll(/\(command:([\w.]+)/g)].map((match) => match[1]!),
      );
      assert.ok(named.length >= 4, `${title}: ${named.join(' ')}`);
      for (const name of named) assert.ok(known.has(name), `${title}: ${name} is a command`);
    }
    const welcome: { contents: string }[] = manifest.contributes.viewsWelcome;
    for (const { contents } of welcome)
      for (const [, name] of contents.matchAll(/\(command:([\w.]+)/g))
        assert.ok(known.has(name!), `${name} is a command`);
    if (!page.available) return;
    await vscode.commands.executeCommand('livepatch.openWalkthrough');
    await page.text(
      '.getting-started-step, .step-title, .getting-started-category, .gettingStartedContainer',
      /Say how the project is built/,
    );
    await page.click('.gettingStartedContainer .monaco-button', 'Open livepatch.json');
    await until('livepatch.json', () =>
      /livepatch\.json$/.test(vscode.window.activeTextEditor?.document.fileName ?? ''),
    );
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
  });
});
