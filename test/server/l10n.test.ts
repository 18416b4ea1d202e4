import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { createMessageConnection, StreamMessageReader, StreamMessageWriter } from 'vscode-languageserver/node';
import { reportBody, reportHtml } from '../../server/src/core/render/report/html.ts';
import { PAGE_WORDS, said } from '../../server/src/core/render/report/html-parts.ts';
import type { ReportModel } from '../../server/src/core/render/report/types.ts';
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

const EMPTY_REPORT: ReportModel = {
  title: 'Live patch',
  description: '',
  verdict: 'unchanged',
  target: 'process',
  baseline: 'start',
  sameFunctions: 0,
  functions: [],
  findings: [],
  data: [],
  types: [],
  calls: { nodes: [], edges: [] },
  callersKnown: '',
  payload: { kind: 'refused', reasons: [] },
  notCovered: [],
  provenance: [],
  listingsLeft: 0,
};

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

  it('are all behind l10n.t in what the language server shows at a place of the source', () => {
    for (const name of ['diagnostics', 'codeLens', 'inlay', 'hover', 'layoutContent']) {
      const text = readFileSync(join(root, 'server', 'src', 'lsp', `${name}.ts`), 'utf8')
        .replace(/\/\*[\s\S]*?\*\//g, '')
        .replace(/^\s*\/\/.*$/gm, '')
        .replace(/l10n\.t\(\s*(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")/g, 'l10n.t(');
      const shown = [...text.matchAll(/(['`])((?:(?!\1)[^\n])*[a-z]{2} [a-z]{2}(?:(?!\1)[^\n])*)\1/g)].map(
        ([all]) => all,
      );
      assert.deepEqual(shown, [], `${name}.ts`);
    }
  });

  it('say in which language the words of a page are', async () => {
    const { speak, editorView } = await import('../../server/src/lsp/pageWords.ts');
    const l10n = await import('@vscode/l10n');
    assert.equal(said(editorView(), 'Functions'), 'Functions');
    assert.equal(said({ links: false }, 'Functions'), 'Functions');
    l10n.config({ contents: json('l10n/bundle.l10n.de.json') });
    speak('de');
    try {
      assert.equal(said(editorView(), 'Functions'), '<span lang="de">Funktionen</span>');
      for (const word of PAGE_WORDS) {
        const text = editorView().words?.of(word) ?? '';
        assert.equal(text.includes('{0}'), word.includes('{0}'), word);
      }
      const page = reportBody(EMPTY_REPORT, editorView());
      assert.match(page, /<nav lang="de" aria-label="Inhalt">/);
      assert.match(page, /<strong><span lang="de">Nichts zu patchen/);
      // What goes into a pull request stays in the language of its readers.
      assert.doesNotMatch(reportHtml(EMPTY_REPORT), /lang="de"/);
    } finally {
      l10n.config({ contents: {} });
      speak('en');
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
          language: 'de',
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
      const reviewed = { functions: {}, findings: [] };
      const { body } = (await connection.sendRequest('livepatch/overview', { reviewed })) as { readonly body: string };
      assert.match(body, /<h2 id="functions-h"><span lang="de">Funktionen<\/span><\/h2>/);
      assert.match(body, /<a href="#functions"><span lang="de">Funktionen<\/span><\/a>/);
      assert.match(body, / lang="de" aria-label="Angesehen: one"> <span lang="de">angesehen<\/span>/);
    } finally {
      connection.dispose();
      child.kill();
      project.remove();
    }
  });
});
