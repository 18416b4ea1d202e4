import {
  type DecorationOptions,
  type ExtensionContext,
  OverviewRulerLane,
  Range,
  type TextEditor,
  ThemeColor,
  Uri,
  window,
  workspace,
} from 'vscode';
import type { ChangedLine } from '../../server/src/protocol.ts';
import { colors, section, settings } from './names.ts';
import type { Room } from './room.ts';

function decoration(context: ExtensionContext, icon: string, color: string) {
  return window.createTextEditorDecorationType({
    gutterIconPath: context.asAbsolutePath(`media/${icon}.svg`),
    gutterIconSize: 'contain',
    overviewRulerColor: new ThemeColor(color),
    overviewRulerLane: OverviewRulerLane.Left,
  });
}

/**
 * Marks in the gutter on lines whose machine code changed: filled where the line was edited, hollow where nobody edited it and
 * the change arrived through a header, a macro or an inlined function.
 */
export function activate({ context, server }: Room): void {
  const edited = decoration(context, 'gutter-edited', colors.changedLine);
  const reached = decoration(context, 'gutter-reached', colors.reachedLine);
  let marks = new Map<string, ChangedLine[]>();

  const draw = (editor: TextEditor): void => {
    const shown = workspace.getConfiguration(section).get<boolean>(settings.gutter, true);
    const lines = (shown && marks.get(editor.document.uri.toString())) || [];
    const options = (wanted: boolean): DecorationOptions[] =>
      lines
        .filter((each) => each.edited === wanted && each.line < editor.document.lineCount)
        .map((each) => ({ range: new Range(each.line, 0, each.line, 0) }));
    editor.setDecorations(edited, options(true));
    editor.setDecorations(reached, options(false));
  };
  const drawAll = (): void => window.visibleTextEditors.forEach(draw);

  context.subscriptions.push(
    edited,
    reached,
    server.onState(() => {
      marks = new Map();
      const functions = server.states.flatMap((state) => state.units).flatMap((unit) => unit.functions);
      for (const line of functions.flatMap((each) => each.changedLines)) {
        // Servers and editors escape URIs differently.
        const uri = Uri.parse(line.uri).toString();
        const list = marks.get(uri);
        if (!list) marks.set(uri, [line]);
        else if (!list.some((each) => each.line === line.line)) list.push(line);
      }
      drawAll();
    }),
    window.onDidChangeVisibleTextEditors(drawAll),
    workspace.onDidChangeConfiguration((change) => {
      if (change.affectsConfiguration(`${section}.${settings.gutter}`)) drawAll();
    }),
  );
}
