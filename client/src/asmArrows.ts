import { Range, type TextEditor, type TextEditorDecorationType, Uri, window, workspace } from 'vscode';
import type { AsmJumps } from '../../server/src/protocol.ts';
import type { Listings } from './listings.ts';
import { asm } from './names.ts';
import type { Room } from './room.ts';

/** What is drawn of a column in the gutter of one line; a line's cell has four bits and one for light for each column. */
const [UP, DOWN, BRANCH, ARROW, LIT] = [1, 2, 4, 8, 16] as const;
const BITS = 5;
/** Side of the square that a gutter icon is drawn in, in its own units, and the middle of the columns, from the text outwards. */
const SIZE = 20;
const COLUMNS = [15.4, 11.8, 8.2, 4.6, 1] as const;
/** Different cells that are drawn at once; a listing of some hundred branches has some dozen. */
const MOST_CELLS = 400;

/** Colours of lines that are there and of the one that the cursor is at: both stand out three to one in the themes that come with VS Code. */
const COLORS = {
  dark: { quiet: '#8f8f8f', lit: '#4daafc' },
  light: { quiet: '#767676', lit: '#005fb8' },
} as const;

/** The gutter icon of a cell: verticals, and where a branch leaves or arrives, a line to the text across the other columns. */
function icon(cell: number, { quiet, lit }: (typeof COLORS)['dark' | 'light']): Uri {
  const middle = SIZE / 2;
  const strokes: string[] = [];
  const paths = { quiet: '', lit: '' };
  for (const [lane, x] of COLUMNS.entries()) {
    const bits = (cell >> (lane * BITS)) & 31;
    if (bits === 0) continue;
    const color = bits & LIT ? 'lit' : 'quiet';
    if (bits & UP) paths[color] += `M${x} 0V${middle}`;
    if (bits & DOWN) paths[color] += `M${x} ${middle}V${SIZE}`;
    if (bits & BRANCH) paths[color] += `M${x} ${middle}H${SIZE}`;
    if (bits & ARROW) paths[color] += `M${x} ${middle}H${SIZE - 1}M${SIZE - 4} ${middle - 3}l3 3l-3 3`;
  }
  // What is lit lies on top.
  for (const color of ['quiet', 'lit'] as const)
    if (paths[color] !== '')
      strokes.push(
        `<path d="${paths[color]}" fill="none" stroke="${color === 'lit' ? lit : quiet}" stroke-width="${color === 'lit' ? 2 : 1.1}"/>`,
      );
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${SIZE}" height="${SIZE}" viewBox="0 0 ${SIZE} ${SIZE}">${strokes.join('')}</svg>`;
  return Uri.parse(`data:image/svg+xml;base64,${Buffer.from(svg).toString('base64')}`, true);
}

/** Cell of each line. `current`: a line whose jumps are lit; those have a column even where the others leave no room. */
function cellsOf(jumps: readonly AsmJumps[], lineCount: number, current: number | undefined): Int32Array {
  const cells = new Int32Array(lineCount);
  const put = ({ to, from }: AsmJumps, lane: number, more: number): void => {
    const [first, last] = [Math.min(to, from[0]!), Math.max(to, from.at(-1)!)];
    if (last >= lineCount) return;
    const shift = lane * BITS;
    for (let line = first; line <= last; line++) {
      // What is lit stands in for what was in its column.
      if (more) cells[line]! &= ~(31 << shift);
      cells[line]! |= (more | (line > first ? UP : 0) | (line < last ? DOWN : 0)) << shift;
    }
    for (const line of from) cells[line]! |= BRANCH << shift;
    cells[to]! |= ARROW << shift;
  };
  const isCurrent = ({ to, from }: AsmJumps): boolean =>
    current === to || (current !== undefined && from.includes(current));
  for (const each of jumps) if (each.lane >= 0) put(each, each.lane, 0);
  for (const each of jumps) if (isCurrent(each)) put(each, each.lane >= 0 ? each.lane : COLUMNS.length - 1, LIT);
  return cells;
}

/** Draws the jumps of the listings that are open as arrows in the gutter; those of the line with the cursor are lit. */
export function activate({ context }: Room, listings: Listings): void {
  const types = new Map<number, TextEditorDecorationType>();
  /** What each editor shows: cell → its lines, in short. Decorations that stay are not sent again. */
  const shown = new WeakMap<TextEditor, Map<number, string>>();

  const typeOf = (cell: number): TextEditorDecorationType | undefined => {
    const known = types.get(cell);
    if (known || types.size >= MOST_CELLS) return known;
    const made = window.createTextEditorDecorationType({
      gutterIconSize: 'cover',
      dark: { gutterIconPath: icon(cell, COLORS.dark) },
      light: { gutterIconPath: icon(cell, COLORS.light) },
    });
    types.set(cell, made);
    return made;
  };

  /** `anew`: the text was replaced, and with it went the places of all that was drawn. */
  const draw = (editor: TextEditor, anew = false): void => {
    const { document, selection } = editor;
    if (document.uri.scheme !== asm.scheme) return;
    const jumps = listings.jumpsOf(document);
    const current = editor === window.activeTextEditor ? selection.active.line : undefined;
    const cells = cellsOf(jumps, document.lineCount, current);
    const ranges = new Map<number, [first: number, last: number][]>();
    // Lines that follow one another and look the same are one range.
    for (let line = 0; line < cells.length; line++) {
      const cell = cells[line]!;
      if (cell === 0) continue;
      const first = line;
      while (cells[line + 1] === cell) line++;
      const list = ranges.get(cell);
      if (list) list.push([first, line]);
      else ranges.set(cell, [[first, line]]);
    }
    const before = shown.get(editor) ?? new Map<number, string>();
    const now = new Map([...ranges].map(([cell, list]) => [cell, list.join(' ')]));
    shown.set(editor, now);
    for (const cell of before.keys()) {
      const type = now.has(cell) ? undefined : types.get(cell);
      if (type) editor.setDecorations(type, []);
    }
    for (const [cell, text] of now) {
      const type = !anew && before.get(cell) === text ? undefined : typeOf(cell);
      if (type)
        editor.setDecorations(
          type,
          ranges.get(cell)!.map(([first, last]) => new Range(first, 0, last, 0)),
        );
    }
  };
  const drawAll = (): void => {
    for (const editor of window.visibleTextEditors) draw(editor);
  };

  context.subscriptions.push(
    {
      dispose: () => {
        for (const type of types.values()) type.dispose();
      },
    },
    workspace.onDidChangeTextDocument(({ document }) => {
      for (const editor of window.visibleTextEditors) if (editor.document === document) draw(editor, true);
    }),
    window.onDidChangeVisibleTextEditors(drawAll),
    window.onDidChangeActiveTextEditor(drawAll),
    window.onDidChangeTextEditorSelection(({ textEditor }) => draw(textEditor)),
  );
}
