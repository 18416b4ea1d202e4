import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as vscode from 'vscode';
import {
  api,
  find,
  functionsOf,
  hoverText,
  needsPage,
  open,
  page,
  replace,
  reset,
  settled,
  until,
  uriOf,
} from './support.ts';

const QUOTE = 'src/quote.c';
const FROM = '(quote->price - quote->open) / quote->open * 10000';
const TO = '(quote->price - quote->open) * 10000 / quote->open';

interface Sides {
  readonly base: vscode.TextDocument;
  readonly next: vscode.TextDocument;
  readonly label: string;
}

async function sides(): Promise<Sides> {
  const tab = await until('the diff', () => {
    const active = vscode.window.tabGroups.activeTabGroup.activeTab;
    return active?.input instanceof vscode.TabInputTextDiff && active;
  });
  const { original, modified } = tab.input as vscode.TabInputTextDiff;
  return {
    base: await vscode.workspace.openTextDocument(original),
    next: await vscode.workspace.openTextDocument(modified),
    label: tab.label,
  };
}

/** Opens the listings of a function the way a user does: the cursor in the function, the command. */
async function review(name = 'int quote_line'): Promise<Sides> {
  const editor = await open(QUOTE);
  const at = find(editor.document, name, 5);
  editor.selection = new vscode.Selection(at, at);
  await vscode.commands.executeCommand('livepatch.reviewFunction');
  const shown = await sides();
  // A listing that was open before is read anew.
  await until('both listings are of the code as it is now', () =>
    [shown.base, shown.next].every((document) => /^; .*\d+\.\d+/.test(document.lineAt(0).text)),
  );
  return shown;
}

/** The review of the function with a branch that only the new code has, and that branch's row. */
async function withBranch(): Promise<Sides & { readonly branch: RegExpExecArray }> {
  const editor = await open(QUOTE);
  const [line, more] = ['long moved = change(quote);', '\n\tif (size < 8)\n\t\treturn -1;'];
  if (!editor.document.getText().includes(more)) await replace(editor, line, `${line}${more}`);
  await editor.document.save();
  return until(
    'the new code is known',
    async () => {
      const shown = await review();
      const branch = /^ +j\w+ +(\.L\d+)$/m.exec(shown.next.getText());
      return branch && { ...shown, branch };
    },
    40_000,
  );
}

/** How an element is drawn that lights up: the bar at its left, in the dark theme's colour. */
const IS_LIT =
  "(getComputedStyle(e).borderLeftWidth === '3px' && getComputedStyle(e).borderLeftColor === 'rgb(77, 170, 252)')";

/** Lines of an editor by number (from 1) that are in view, and those of them that light up. */
interface InView {
  readonly all: readonly number[];
  readonly lit: readonly number[];
}

/** What is in view of one side of the listings, or of the source beside them. */
const inView = (side: 'original' | 'modified' | 'source'): Promise<InView> =>
  page.evaluate<InView>(`(() => {
    const found = { all: [], lit: [] };
    const editor = ${
      side === 'source'
        ? "[...document.querySelectorAll('.editor-instance .monaco-editor')].find((e) => !e.closest('.monaco-diff-editor'))"
        : `document.querySelector('.monaco-diff-editor .editor.${side} .monaco-editor, .monaco-diff-editor .editor.${side}')`
    };
    const top = (e) => Math.round(e.getBoundingClientRect().top);
    const lit = new Set([...(editor?.querySelectorAll('.view-overlays .cdr') ?? [])].filter((e) => ${IS_LIT}).map((e) => top(e.parentElement)));
    for (const e of editor?.querySelectorAll('.margin .line-numbers') ?? []) {
      const line = Number(e.textContent);
      if (!line) continue;
      found.all.push(line);
      if (lit.has(top(e))) found.lit.push(line);
    }
    return found;
  })()`);

/** Lines (from 1) of a listing that belong to the source lines with these texts. */
function linesOf(document: vscode.TextDocument, texts: readonly string[]): number[] {
  let source = '';
  return document
    .getText()
    .split('\n')
    .flatMap((line, index) => {
      if (line === '' || /^; (inlined: |\S+: \.L)/.test(line)) return [];
      if (line.startsWith('; ')) source = line.slice(2).trim();
      return texts.includes(source) ? [index + 1] : [];
    });
}

/** Waits until of the lines in view exactly the wanted ones light up, at least `least` of them; of some nothing is known. */
const lights = (
  what: string,
  side: Parameters<typeof inView>[0],
  wanted: readonly number[],
  least: number,
  unknown: readonly number[] = [],
) =>
  until(
    what,
    async () => {
      const { all, lit } = await inView(side);
      const told = lit.filter((line) => !unknown.includes(line)).sort((x, y) => x - y);
      assert.deepEqual(
        told,
        wanted.filter((line) => all.includes(line)),
      );
      assert.ok(told.length >= least, `${told.length} of ${wanted.length} lines are lit and in view`);
      return true;
    },
    40_000,
  );

describe('the review of machine code', () => {
  before(async function () {
    this.timeout(120_000);
    await reset();
    const editor = await open(QUOTE);
    await replace(editor, FROM, TO);
    await editor.document.save();
    await settled('functions changed', (state) => functionsOf(state).length === 2, 60_000);
  });
  after(reset);

  it('names compiler and optimisation in the title, and the command of each side in a hover', async () => {
    const { base, next, label } = await review();
    assert.match(label, /^quote_line: \d+ → \d+ instructions, \d+ → \d+ bytes · \w+ \d+\.\d+\S* -O2$/);
    for (const [document, words] of [
      [base, /Baseline/],
      [next, /Now/],
    ] as const) {
      assert.match(document.lineAt(0).text, /^; .*\d+\.\d+/);
      const text = await hoverText(document.uri, new vscode.Position(0, 3));
      assert.match(text, words);
      assert.match(text, /-O2[^\n]*quote\.c/);
    }
  });

  it('says in words which rows differ by the compiler’s own doing only, never on an edited line', async () => {
    const { base, next } = await review();
    for (const document of [base, next]) {
      let source = '';
      for (const line of document.getText().split('\n')) {
        if (line.startsWith('; ') && !line.startsWith('; inlined')) source = line;
        if (/ {2}; (registers only|moved)$/.test(line)) assert.doesNotMatch(source, /\* 10000/, line);
      }
    }
  });

  it('tells all about an instruction: what it does, bytes, relocation, callee, whether that is in the patch', async () => {
    const { next } = await review();
    const text = next.getText();
    const call = next.positionAt((/^ +call .*snprintf/m.exec(text)?.index ?? 0) + 6);
    const hover = await hoverText(next.uri, call);
    assert.match(hover, /calls a function/);
    assert.match(hover, /R_X86_64_(PLT32|PC32|GOTPCRELX?)/);
    assert.match(hover, /defined elsewhere, addend −4/);
    assert.match(hover, /snprintf`, which is not in the patch/);
    assert.match(hover, /`\+0x[0-9a-f]+` {2}`(ff|e8) /);
    assert.match(hover, /quote\.c:\d+`/);
    const inlined = next.positionAt(/^ +i?div /m.exec(text)?.index ?? 0).translate(0, 5);
    assert.match(await hoverText(next.uri, inlined), /inlined from `change`/);
  });

  it('shows a branch and its label as one, and goes from the one to the other', async () => {
    const { next, branch } = await withBranch();
    const position = next.positionAt(branch.index + 6);
    const marked = await vscode.commands.executeCommand<vscode.DocumentHighlight[]>(
      'vscode.executeDocumentHighlights',
      next.uri,
      position,
    );
    const texts = marked.map((each) => next.getText(each.range));
    assert.ok(texts.length >= 2 && texts.every((text) => text === branch[1]), texts.join(' '));
    const [to] = await vscode.commands.executeCommand<vscode.Location[]>(
      'vscode.executeDefinitionProvider',
      next.uri,
      next.positionAt(branch.index + branch[0].length - 1),
    );
    assert.equal(next.lineAt(to?.range.start.line ?? 0).text, `${branch[1]}:`);
  });

  it('draws branches as arrows in the gutter of both sides, and lights up those of the cursor’s row', async function () {
    needsPage(this);
    this.timeout(120_000);
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    const { next, branch } = await withBranch();
    const text = next.getText();
    const from = next.positionAt(branch.index).line;
    const to = next.positionAt(text.indexOf(`\n${branch[1]}:`) + 1).line;
    /** What is drawn in the gutter of the new side, from top to bottom: the icons' texts. */
    const icons = (): Promise<string[]> =>
      page.evaluate<string[]>(
        `[...document.querySelectorAll('.monaco-diff-editor .modified .glyph-margin-widgets .cgmr')].map((e) => [e.getBoundingClientRect().top, getComputedStyle(e).backgroundImage]).sort((a, b) => a[0] - b[0]).flatMap(([, image]) => { const data = /base64,([^")]+)/.exec(image); return data ? [atob(data[1])] : []; })`,
      );
    const drawn = await until('arrows', async () => {
      const list = await icons();
      return list.length > 0 && list;
    });
    assert.ok(drawn.every((icon) => icon.startsWith('<svg')));
    const editor = await until('the listing has the focus', () => {
      const active = vscode.window.activeTextEditor;
      return active?.document === next && active;
    });
    for (const line of [from, to]) {
      editor.selection = new vscode.Selection(line, 0, line, 0);
      editor.revealRange(new vscode.Range(line, 0, line, 0), vscode.TextEditorRevealType.InCenter);
      await until(`the jump of line ${line} is lit`, async () =>
        (await icons()).some((icon) => icon.includes('#4daafc')),
      );
    }
    editor.selection = new vscode.Selection(0, 0, 0, 0);
    await until('it is quiet again', async () => !(await icons()).some((icon) => icon.includes('#4daafc')));
    // In words, for who cannot see them.
    const words = await hoverText(next.uri, new vscode.Position(from, 6));
    assert.match(words, new RegExp(`→ \`\\${branch[1]}\`: \`.+\` in line ${to + 2}`));
    assert.match(
      await hoverText(next.uri, new vscode.Position(to, 1)),
      new RegExp(`Branches that lead to \`\\${branch[1]}\`:[\\s\\S]*in line ${from + 1}`),
    );
  });

  it('pairs a loop that got one more branch, so that nothing else differs', async function () {
    this.timeout(120_000);
    const [from, to] = ['\t\tlength += (size_t)quote_line(', '\t\tif (quotes[i].ticks == 0)\n\t\t\tcontinue;\n'];
    const editor = await open('src/market.c');
    await replace(editor, from, `${to}${from}`);
    await editor.document.save();
    const isThere = (wanted: boolean) =>
      settled(
        `market_board is ${wanted ? '' : 'not '}changed`,
        (state) => functionsOf(state).some((each) => each.name === 'market_board') === wanted,
        60_000,
      );
    try {
      await isThere(true);
      const at = find(editor.document, 'ticks == 0');
      editor.selection = new vscode.Selection(at, at);
      await vscode.commands.executeCommand('livepatch.reviewFunction');
      const { base, next } = await sides();
      const code = (document: vscode.TextDocument): string[] =>
        document
          .getText()
          .split('\n')
          .filter((line) => line.startsWith('    '));
      const known = new Set(code(base).map((line) => line.replace(/ {2}; .*/, '')));
      const added = code(next).filter((line) => !known.has(line.replace(/ {2}; .*/, '')));
      assert.ok(added.length >= 1 && added.length <= code(next).length / 3, added.join('\n'));
      if (!page.available) return;
      await page.text('.monaco-diff-editor .view-line', /; /);
      const active = await until('the listing has the focus', () => {
        const shown = vscode.window.activeTextEditor;
        return shown?.document.uri.scheme === 'livepatch-asm' && shown;
      });
      const branch = active.document.positionAt(/^ +j\w+ +\.L/m.exec(active.document.getText())?.index ?? 0);
      active.selection = new vscode.Selection(branch, branch);
      active.revealRange(new vscode.Range(branch, branch), vscode.TextEditorRevealType.InCenter);
      await page.shot('assembly');
      await vscode.commands.executeCommand('workbench.action.closeSidebar');
      await page.smallShot('walkthrough/review', { width: 960, height: 540 });
    } finally {
      await replace(await open('src/market.c'), to, '');
      await vscode.commands.executeCommand('workbench.action.files.save');
      await isThere(false);
    }
  });

  it('marks what differs inside a row, and tells it in words to who cannot see marks', async function () {
    needsPage(this);
    this.timeout(120_000);
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    await review();
    const marked = await until('marks inside rows', async () => {
      const found = await page.evaluate<number[]>(
        "[...document.querySelectorAll('.monaco-diff-editor .char-insert, .monaco-diff-editor .char-delete')].map((e) => e.getBoundingClientRect().width)",
      );
      return found.length > 0 && found;
    });
    const whole = await page.evaluate<number>(
      "document.querySelector('.monaco-diff-editor').getBoundingClientRect().width / 2",
    );
    assert.ok(
      marked.some((width) => width > 0 && width < whole / 2),
      marked.join(' '),
    );
    // VS Code's own diff for screen readers: each row with its side, as text.
    await vscode.commands.executeCommand('editor.action.accessibleDiffViewer.next');
    const rows = await until('the diff in words', async () => {
      const texts = await page.evaluate<string[]>(
        "[...document.querySelectorAll('.diff-review [aria-label]')].map((e) => e.getAttribute('aria-label'))",
      );
      return texts.some((text) => /^[-+]/.test(text)) && texts;
    });
    assert.ok(
      rows.some((text) => /^- .*(mov|mul|div|lea|sar|shr|sub|add|call)/.test(text)),
      rows.join('\n'),
    );
    assert.ok(
      rows.some((text) => /^\+ .*(mov|mul|div|lea|sar|shr|sub|add|call)/.test(text)),
      rows.join('\n'),
    );
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
  });

  it('hides and folds the source lines between the instructions, and still knows what is what', async () => {
    const { next } = await review();
    const folds = await vscode.commands.executeCommand<vscode.FoldingRange[]>(
      'vscode.executeFoldingRangeProvider',
      next.uri,
    );
    assert.ok(folds.length > 3, JSON.stringify(folds));
    for (const { start, end } of folds) {
      assert.match(next.lineAt(start).text, /^; /);
      assert.match(next.lineAt(end).text, /^ {4}\S|^\.L|^; (inlined|\S+: \.L)/);
    }
    const code = (text: string): string[] => text.split('\n').filter((line) => line.startsWith('    '));
    const whole = next.getText();
    const isSource = (line: string): boolean => /^; .*snprintf\(/.test(line);
    assert.ok(whole.split('\n').some(isSource));
    await vscode.commands.executeCommand('livepatch.toggleSource');
    try {
      await until('the source lines are gone', () => !next.getText().split('\n').some(isSource));
      if (page.available)
        await until('each label has its arrow', () =>
          page.evaluate<boolean>(`(() => {
            const side = document.querySelector('.monaco-diff-editor .modified');
            const tops = (selector, fits) => [...side.querySelectorAll(selector)].filter(fits).map((e) => Math.round(e.getBoundingClientRect().top));
            const labels = tops('.view-line', (e) => /^\\.L\\d+:$/.test(e.textContent));
            const ends = new Set(tops('.glyph-margin-widgets .cgmr', (e) => { const data = /base64,([^")]+)/.exec(getComputedStyle(e).backgroundImage); return data && /l3 3l-3 3/.test(atob(data[1])); }));
            return labels.length === 0 || labels.every((top) => [top - 1, top, top + 1].some((at) => ends.has(at)));
          })()`),
        );
      assert.deepEqual(code(next.getText()), code(whole));
      const call = next.positionAt((/^ +call .*snprintf/m.exec(next.getText())?.index ?? 0) + 6);
      assert.match(await hoverText(next.uri, call), /calls a function[\s\S]*snprintf/);
    } finally {
      await vscode.commands.executeCommand('livepatch.toggleSource');
    }
    await until('they are back', () => next.getText() === whole);
  });

  it('goes from change to change by the keyboard', async () => {
    const { base, next } = await review();
    const editor = await until('the listing has the focus', () =>
      vscode.window.activeTextEditor?.document.uri.scheme === 'livepatch-asm'
        ? vscode.window.activeTextEditor
        : undefined,
    );
    editor.selection = new vscode.Selection(0, 0, 0, 0);
    const other = new Set((editor.document === next ? base : next).getText().split('\n'));
    const seen: number[] = [];
    for (let step = 0; step < 3; step++) {
      await vscode.commands.executeCommand('livepatch.nextChange');
      seen.push(editor.selection.active.line);
    }
    assert.ok(seen[0]! > 0 && seen[1]! >= seen[0]!, seen.join(' '));
    assert.ok(!other.has(editor.document.lineAt(seen[0]!).text) || seen[1]! > seen[0]!);
    assert.match(editor.document.lineAt(seen[0]!).text, /^ {4}\S/);
    if (seen[1] === seen[0]) return;
    await vscode.commands.executeCommand('livepatch.previousChange');
    assert.ok(editor.selection.active.line < seen[2]! || seen[2] === seen[1]);
  });

  it('lights up the instructions of the selected source lines on both sides, and the source lines of selected instructions', async function () {
    needsPage(this);
    this.timeout(180_000);
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    await vscode.commands.executeCommand('workbench.action.closeSidebar');
    const { base, next } = await review();
    const source = await vscode.window.showTextDocument(uriOf(QUOTE), { viewColumn: vscode.ViewColumn.Beside });
    source.selection = new vscode.Selection(0, 0, 0, 0);
    for (const side of ['original', 'modified'] as const) await lights('nothing is lit', side, [], 0);
    // Three whole lines, as Shift+Down selects them: up to the start of the fourth. The first three are unedited, of the others one is.
    for (const text of ['return snprintf(', 'return (quote->price']) {
      const from = find(source.document, text).line - (text.endsWith('(') ? 0 : 1);
      const texts = [0, 1, 2].map((line) => source.document.lineAt(from + line).text.trim());
      const [braces, named] = [texts.filter((line) => /^[{}]$/.test(line)), texts.filter((line) => line.length > 1)];
      source.selection = new vscode.Selection(from, 0, from + 3, 0);
      const then = named.map((line) => line.replace(TO, FROM));
      // Every function has lines of a brace.
      await lights(`old rows of ${text}`, 'original', linesOf(base, then), 2, linesOf(base, braces));
      await lights(`new rows of ${text}`, 'modified', linesOf(next, named), 2, linesOf(next, braces));
    }
    // The other way, from either side: selected rows light up their lines in the source, and the rows of these lines on the other side.
    const call = (document: vscode.TextDocument): number =>
      document.positionAt(/^ +call .*snprintf/m.exec(document.getText())?.index ?? 0).line;
    for (const [own, document, other, opposite] of [
      ['original', base, 'modified', next],
      ['modified', next, 'original', base],
    ] as const) {
      const editor = await until(`${own} is shown`, () =>
        vscode.window.visibleTextEditors.find((each) => each.document === document),
      );
      editor.selection = new vscode.Selection(0, 0, 0, 0);
      await lights(`${own} points at nothing`, 'source', [], 0);
      // The call alone: the row below it is of another line.
      editor.selection = new vscode.Selection(call(document), 0, call(document) + 1, 0);
      editor.revealRange(editor.selection, vscode.TextEditorRevealType.InCenter);
      const at = find(source.document, 'snprintf(text').line;
      await lights(`${own} points at its source line`, 'source', [at + 1], 1);
      const text = source.document.lineAt(at).text.trim();
      await lights(`${own} points at the other side`, other, linesOf(opposite, [text]), 2);
    }
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
  });

  it('goes from function to function that nobody has looked at, and says how many are left', async function () {
    this.timeout(120_000);
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    const editor = await open(QUOTE);
    // Code that no test before has seen.
    await replace(editor, TO, TO.replace('10000', '12321'));
    await editor.document.save();
    try {
      await until('the newest code is known', async () => /0x3021/.test((await review()).next.getText()), 60_000);
      const told = (words: RegExp) => (page.available ? page.text('.statusbar-item', words) : undefined);
      const isOpen = (name: string): boolean =>
        vscode.window.tabGroups.activeTabGroup.activeTab?.label.startsWith(`${name}: `) === true;
      await until('the listing has the focus', () => isOpen('quote_line'));
      await vscode.commands.executeCommand('livepatch.markReviewed');
      await told(/1 of 2 functions reviewed; next is quote_alarm\./);
      await vscode.commands.executeCommand('livepatch.reviewNext');
      await until('the other function', () => isOpen('quote_alarm'));
      await vscode.commands.executeCommand('livepatch.markReviewed');
      await told(/Every function of the patch has been reviewed \(2\)\./);
      await vscode.commands.executeCommand('livepatch.reviewNext');
      assert.ok(isOpen('quote_alarm'), 'there is none left');
    } finally {
      const back = await open(QUOTE);
      await replace(back, '12321', '10000');
      await back.document.save();
    }
  });

  it('compares with the patch that was built last, also after the server ended; where there is none, it is not offered', async function () {
    needsPage(this);
    this.timeout(240_000);
    const cache = mkdtempSync(join(tmpdir(), 'lpa-cache-'));
    const settings = vscode.workspace.getConfiguration('livepatch');
    const restart = async (): Promise<void> => {
      await vscode.commands.executeCommand('livepatch.restartServer');
      await vscode.commands.executeCommand('livepatch.checkNow');
    };
    const ask = async (): Promise<{ readonly done: Thenable<unknown>; readonly rows: readonly string[] }> => {
      const source = await open(QUOTE);
      const at = find(source.document, 'int quote_line', 5);
      source.selection = new vscode.Selection(at, at);
      const done = vscode.commands.executeCommand('livepatch.compareSides');
      // Rows of a picker that was shown before may still be there: what is typed too early goes into the source.
      await until('the picker has the focus', () =>
        page.evaluate<boolean>(
          "document.activeElement?.closest('.quick-input-widget') != null && document.querySelector('.quick-input-list .monaco-list-row') !== null",
        ),
      );
      await page.text('.quick-input-list .monaco-list-row', /now/);
      return { done, rows: await page.texts('.quick-input-list .monaco-list-row') };
    };
    const pick = async (words: string): Promise<Sides> => {
      const { done } = await ask();
      await page.type(words);
      await page.text('.quick-input-list .monaco-list-row.focused', new RegExp(words));
      await page.press('Enter');
      await done;
      return sides();
    };
    try {
      await settings.update('cacheFolder', cache, vscode.ConfigurationTarget.Global);
      await restart();
      const { done, rows } = await ask();
      assert.equal(rows.length, 1, rows.join('; '));
      assert.match(
        await page.evaluate<string>("document.querySelector('.quick-input-box input').placeholder"),
        /no patch has been built yet/,
      );
      await page.press('Escape');
      await done;

      assert.ok(await vscode.commands.executeCommand<string>('livepatch.buildPatch'));
      const editor = await open(QUOTE);
      await replace(editor, TO, TO.replace('10000', '20000'));
      await editor.document.save();
      await until('the newest code is known', async () => /0x4e20/.test((await review()).next.getText()), 60_000);
      const check = async (): Promise<void> => {
        await settled('at rest', (state) => functionsOf(state).every(({ status }) => status === 'changed'), 60_000);
        const since = await pick('Last built patch ↔ now');
        assert.match(since.label, /^quote_line: last built ↔ now · \w+ \S+ -O2$/);
        await until('the code of the patch', () => /0x2710/.test(since.base.getText()));
        assert.doesNotMatch(since.base.getText(), /0x4e20/);
        assert.match(since.next.getText(), /0x4e20/);
        // Source lines stand on both sides: only those of the edit differ.
        const lines = (document: vscode.TextDocument) =>
          new Set(
            document
              .getText()
              .split('\n')
              .filter((line) => /^; .*[;{}]$/.test(line)),
          );
        const added = [...lines(since.next)].filter((line) => !lines(since.base).has(line));
        assert.ok(added.length <= 1 && added.every((line) => /20000/.test(line)), added.join('\n'));
        assert.match(await hoverText(since.base.uri, new vscode.Position(0, 3)), /Last built patch/);
      };
      await check();
      const { serverPid } = await api();
      const pid = serverPid();
      assert.ok(pid);
      await vscode.commands.executeCommand('workbench.action.closeAllEditors');
      process.kill(pid, 'SIGKILL');
      await open(QUOTE);
      await until('another server', () => serverPid() !== pid && serverPid(), 30_000);
      await vscode.commands.executeCommand('livepatch.checkNow');
      await check();
      assert.equal((await api()).state().verdict, 'patchable');
    } finally {
      await settings.update('cacheFolder', undefined, vscode.ConfigurationTarget.Global);
      await restart();
      rmSync(cache, { recursive: true, force: true });
    }
  });
});

describe('the review of layouts', () => {
  after(reset);

  it('shows old and new layout of a struct side by side, from the name, a field, or the lens', async function () {
    this.timeout(120_000);
    await reset();
    await open(QUOTE);
    const editor = await open('src/quote.h');
    await replace(editor, '\tlong open;', '\tlong volume;\n\tlong open;');
    await editor.document.save();
    await settled('blocked', (state) => state.verdict === 'blocked', 60_000);
    const lens = await until('the lens', async () => {
      const list = await vscode.commands.executeCommand<vscode.CodeLens[]>(
        'vscode.executeCodeLensProvider',
        editor.document.uri,
        20,
      );
      return list.find((each) => /layout changed: 32 → 40 bytes/.test(each.command?.title ?? ''));
    });
    assert.equal(lens.range.start.line, find(editor.document, 'struct quote {').line);
    for (const text of ['struct quote {', 'long price;']) {
      const shown = await open('src/quote.h');
      const at = find(shown.document, text, text.startsWith('struct') ? 8 : 6);
      shown.selection = new vscode.Selection(at, at);
      await vscode.commands.executeCommand('livepatch.compareLayout');
      const { base, next, label } = await sides();
      assert.match(label, /struct quote: 32 → 40 bytes/);
      assert.match(base.getText(), /long (?:int )?price;\s+\/\*\s+16\s+8 \*\//);
      assert.match(next.getText(), /long (?:int )?price;\s+\/\*\s+24\s+8 \*\//);
      assert.doesNotMatch(base.getText(), /volume/);
      assert.match(next.getText(), /long (?:int )?volume;\s+\/\*\s+8\s+8 \*\//);
      assert.match(next.getText(), /size: 40/);
      assert.match(next.getText(), /in .*market\.c[\s\S]*may outlive/);
    }
    if (page.available) {
      // A member that moved stands beside itself: its row has the same height on both sides.
      const tops = (side: string): Promise<Record<string, number>> =>
        page.evaluate(
          `Object.fromEntries([...document.querySelectorAll('.monaco-diff-editor .${side} .view-line')].flatMap((e) => { const name = /(open|price|ticks);/.exec(e.textContent)?.[1]; return name ? [[name, Math.round(e.getBoundingClientRect().top)]] : []; }))`,
        );
      await until('moved members stand beside themselves', async () => {
        const [left, right] = [await tops('original'), await tops('modified')];
        assert.ok(Object.keys(left).length === 3);
        assert.deepEqual(left, right);
        return true;
      });
    }
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
  });
});
