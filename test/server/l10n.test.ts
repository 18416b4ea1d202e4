import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { createMessageConnection, StreamMessageReader, StreamMessageWriter } from 'vscode-languageserver/node';
import type { PatchState } from '../../server/src/protocol.ts';
import { Project } from './project.ts';

const root = join(import.meta.dirname, '..', '..');
const { allTexts, sources, textsOf } = (await import(
  String(new URL('../../scripts/lib/l10n.mjs', import.meta.url))
)) as {
  readonly allTexts: () => string[];
  readonly sources: (folder: string) => string[];
  readonly textsOf: (text: string, file: string) => string[];
};
const json = (path: string) => JSON.parse(readFileSync(join(root, path), 'utf8')) as Record<string, string>;
const languages = readdirSync(join(root, 'l10n')).flatMap(
  (name) => /^bundle\.l10n\.([\w-]+)\.json$/.exec(name)?.[1] ?? [],
);
const placeholders = (text: string): string[] =>
  [...text.matchAll(/\{\d\}|\(command:[^)]+\)|`#[^`]+`/g)].map(([all]) => all).sort();

/** What a person would read: the calls of VS Code that show text, with the text written into them. */
const SHOWN = [
  /show(?:Information|Warning|Error)Message\(\s*['"`]/g,
  /setStatusBarMessage\(\s*['"`]/g,
  /\b(?:title|prompt|placeHolder|detail|tooltip|ariaLabel):\s*['"](?=[^'"]*[a-z]{3})/g,
  /\.(?:description|tooltip|title)\s*=\s*['"](?=[^'"]*[a-z]{3})/g,
  /new (?:TreeItem|Hover|Diagnostic)\(\s*['"]/g,
];

describe('texts of the extension', () => {
  it('finds texts, and refuses those that no bundle could hold', () => {
    assert.deepEqual(textsOf(`l10n.t('one'); l10n.t(\n  "it's {0}", x); y.t('no')`, 'a.ts'), ['one', "it's {0}"]);
    assert.throws(() => textsOf(`l10n.t(${'`a`'})`, 'a.ts'), /plain string/);
    assert.throws(() => textsOf("l10n.t('a' + b)", 'a.ts'), /plain string/);
  });

  it('are all behind l10n.t on the editor’s side', () => {
    const found = sources('client/src').flatMap((file) => {
      const text = readFileSync(file, 'utf8');
      return SHOWN.flatMap((pattern) =>
        [...text.matchAll(pattern)]
          // The extension's own name is the same in every language.
          .filter((match) => !/^[^'"`]*['"`]Live Patch['"`]/.test(text.slice(match.index, match.index + 80)))
          .map((match) => `${basename(file)}: ${text.slice(match.index, match.index + 60)}`),
      );
    });
    assert.deepEqual(found, []);
  });

  it('are complete in every language, with the same placeholders and commands', () => {
    assert.ok(languages.length > 0);
    const [texts, manifest] = [allTexts(), json('package.nls.json')];
    assert.ok(texts.length > 100);
    for (const language of languages) {
      const bundle = json(`l10n/bundle.l10n.${language}.json`);
      assert.deepEqual(
        texts.filter((text) => !bundle[text]),
        [],
        `${language}: run node scripts/lib/l10n.mjs and translate what it lists`,
      );
      assert.deepEqual(
        Object.keys(bundle).filter((text) => !texts.includes(text)),
        [],
        `${language}: nobody says this any more`,
      );
      const translated = json(`package.nls.${language}.json`);
      assert.deepEqual(Object.keys(translated).sort(), Object.keys(manifest).sort());
      for (const [from, to] of [
        ...Object.entries(bundle),
        ...Object.entries(manifest).map(([key, text]) => [text, translated[key]!] as const),
      ])
        assert.deepEqual(placeholders(to), placeholders(from), `${language}: ${to}`);
    }
  });

  it('come from the language server in the editor’s language', async () => {
    const project = new Project({
      'a.c': 'int one(int x)\n{\n\treturn x + 1;\n}\n',
      'compile_commands.json': '[]',
    });
    const command = {
      directory: project.root,
      file: 'a.c',
      output: 'a.o',
      arguments: ['cc', '-O2', '-c', 'a.c', '-o', 'a.o'],
    };
    project.write('compile_commands.json', JSON.stringify([command]));
    project.commit();
    project.edit('a.c', 'x + 1', 'x * 7 + 3');
    const child = spawn(process.execPath, ['--import', 'tsx', join(root, 'server', 'src', 'main.ts'), '--stdio'], {
      cwd: root,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const connection = createMessageConnection(
      new StreamMessageReader(child.stdout),
      new StreamMessageWriter(child.stdin),
    );
    try {
      connection.onRequest('workspace/codeLens/refresh', () => null);
      const changed = new Promise<PatchState>((done) =>
        connection.onNotification('livepatch/stateChanged', (state: PatchState) => {
          if (state.units.some((unit) => unit.functions.length > 0)) done(state);
        }),
      );
      connection.listen();
      await connection.sendRequest('initialize', {
        processId: process.pid,
        rootUri: String(pathToFileURL(project.root)),
        capabilities: {},
        initializationOptions: {
          trusted: true,
          settings: { inlayHints: false, codeLens: true },
          choices: { leaveOut: [], overrides: {} },
          docs: '',
          cache: project.cache,
          texts: json('l10n/bundle.l10n.de.json'),
        },
      });
      await connection.sendNotification('initialized', {});
      const uri = String(pathToFileURL(project.path('a.c')));
      const textDocument = { uri, languageId: 'c', version: 1, text: project.read('a.c') };
      await connection.sendNotification('textDocument/didOpen', { textDocument });
      await changed;
      const lenses = (await connection.sendRequest('textDocument/codeLens', { textDocument: { uri } })) as {
        readonly command: { readonly title: string };
      }[];
      const titles = lenses.map((each) => each.command.title);
      assert.match(titles[0] ?? '', /^Maschinencode geändert: \d+ → \d+ Befehle$/);
      assert.deepEqual(titles.slice(1), ['Durchsehen', 'Patch bauen']);
    } finally {
      connection.dispose();
      child.kill();
      project.remove();
    }
  });
});
