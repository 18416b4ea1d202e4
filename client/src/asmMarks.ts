import { OverviewRulerLane, Range, type TextEditor, TextEditorRevealType, ThemeColor, window, workspace } from 'vscode';
import { keyOf, type Listings } from './listings.ts';
import { asm, colors } from './names.ts';
import type { Room } from './room.ts';

/** Source lines of a selection beyond which it is no pointing at something, but the whole file. */
const MAX_LINES = 500;

/** Opacity of rows that stand back: still three times as bright or dark as what is behind them, in the themes that come with VS Code. */
const DIMMED = 0.78;

const lineRange = (line: number): Range => new Range(line, 0, line, 0);

/**
 * Marks on listings and sources: rows that differ only by the compiler's own doing are dimmed (they say so in words, too), and what is
 * selected in a source lights up in the listings that are open, and the other way.
 */
export function activate({ context }: Room, listings: Listings): void {
  const dimmed = window.createTextEditorDecorationType({ opacity: String(DIMMED) });
  const lit = window.createTextEditorDecorationType({
    isWholeLine: true,
    backgroundColor: new ThemeColor(colors.linkedLine),
    borderStyle: 'solid',
    borderWidth: '0 0 0 3px',
    borderColor: new ThemeColor(colors.linkedLineBorder),
    overviewRulerColor: new ThemeColor(colors.linkedLineBorder),
    overviewRulerLane: OverviewRulerLane.Center,
  });

  const dim = (editor: TextEditor): void => {
    const { document } = editor;
    const kindOf = listings.kindsOf(document);
    const isNoise = (line: number): boolean => {
      const kind = kindOf(line);
      return kind === 'registers' || kind === 'moved' || kind === 'renumbered';
    };
    const ranges: Range[] = [];
    // Rows that follow one another are one range: a long function has thousands of them.
    for (let line = 0; line < document.lineCount; line++) {
      if (!isNoise(line)) continue;
      const start = line;
      while (isNoise(line + 1)) line++;
      ranges.push(new Range(start, 0, line, Number.MAX_SAFE_INTEGER));
    }
    editor.setDecorations(dimmed, ranges);
  };
  const isListing = (editor: TextEditor): boolean => editor.document.uri.scheme === asm.scheme;
  const dimAll = (): void => window.visibleTextEditors.filter(isListing).forEach(dim);

  /** Source lines that a selection means: of a source itself, or those that the selected rows of a listing come from. */
  const pointedAt = (editor: TextEditor): Map<string, Set<number>> => {
    const lines = new Map<string, Set<number>>();
    const add = (uri: string, line: number): void => {
      const list = lines.get(uri) ?? new Set();
      lines.set(uri, list.add(line));
    };
    for (const { start, end } of editor.selections) {
      // Whole lines are selected up to the start of the line below them: nobody points at that one.
      const last = end.character === 0 && end.line > start.line ? end.line - 1 : end.line;
      if (last - start.line > MAX_LINES) continue;
      for (let line = start.line; line <= last; line++) {
        if (!isListing(editor)) add(editor.document.uri.toString(), line);
        else {
          const place = listings.placeOf(editor.document, line);
          if (place) add(keyOf(place.uri), place.line);
        }
      }
    }
    return lines;
  };

  const light = (from: TextEditor): void => {
    const shown = window.visibleTextEditors;
    if (!shown.some(isListing)) {
      for (const editor of shown) editor.setDecorations(lit, []);
      return;
    }
    const lines = pointedAt(from);
    for (const editor of shown) {
      if (!isListing(editor)) {
        const own = editor === from ? [] : [...(lines.get(editor.document.uri.toString()) ?? [])];
        editor.setDecorations(lit, own.map(lineRange));
        continue;
      }
      const rows = [...lines].flatMap(([uri, set]) =>
        [...set].flatMap((line) => listings.linesOf(editor.document.uri, uri, line, line)),
      );
      editor.setDecorations(lit, rows.map(lineRange));
      const first = rows.length > 0 ? Math.min(...rows) : undefined;
      if (first !== undefined && !isListing(from) && editor.viewColumn !== from.viewColumn)
        editor.revealRange(lineRange(first), TextEditorRevealType.InCenterIfOutsideViewport);
    }
  };

  context.subscriptions.push(
    dimmed,
    lit,
    listings.onDidRead((uri) => {
      // The text arrives a moment after what stands behind it.
      const again = workspace.onDidChangeTextDocument(({ document }) => {
        if (document.uri.toString() === uri.toString()) dimAll();
        again.dispose();
      });
      setTimeout(() => again.dispose(), 2000);
    }),
    window.onDidChangeVisibleTextEditors(() => {
      dimAll();
      if (window.activeTextEditor) light(window.activeTextEditor);
    }),
    window.onDidChangeActiveTextEditor((editor) => {
      if (editor && (isListing(editor) || editor.document.uri.scheme === 'file')) light(editor);
    }),
    window.onDidChangeTextEditorSelection(({ textEditor }) => {
      if (isListing(textEditor) || textEditor.document.uri.scheme === 'file') light(textEditor);
    }),
  );
}
