import {
  DocumentHighlight,
  DocumentHighlightKind,
  commands as editorCommands,
  FoldingRange,
  FoldingRangeKind,
  Hover,
  Location,
  l10n,
  languages,
  MarkdownString,
  Position,
  Range,
  Selection,
  type TextDocument,
  type TextEditor,
  TextEditorRevealType,
  Uri,
  window,
  workspace,
} from 'vscode';
import { type AsmSide, type FunctionItem, functionAt, functionPlaces, lastBuilt } from '../../server/src/protocol.ts';
import { onDidBuild } from './apply.ts';
import * as arrows from './asmArrows.ts';
import * as marks from './asmMarks.ts';
import { Listings, rangeOf, type Subject, subjectOf, uriOf } from './listings.ts';
import { asm, commands } from './names.ts';
import type { Room } from './room.ts';
import { tell } from './status.ts';

/** Key of the workspace's memory: whether source lines are shown between the instructions. */
const SOURCE_LINES = 'listings with source lines';
const LABEL = /\.L\d+\b/g;

/** The function that a command is about: its argument, the listing that is open, or what is at the cursor of a source. */
async function subjectOfCommand(room: Room, argument: unknown): Promise<Subject | undefined> {
  const given = argument as Partial<Subject> & { readonly function?: FunctionItem };
  if (given?.function) return given.function;
  if (typeof given?.unit === 'string' && typeof given.name === 'string') return { unit: given.unit, name: given.name };
  const editor = window.activeTextEditor;
  if (!editor) return undefined;
  const open = subjectOf(editor.document.uri);
  if (open) return open;
  const { line, character } = editor.selection.active;
  return (await room.server.request(functionAt, { uri: editor.document.uri.toString(), line, character })) ?? undefined;
}

/** Opens the native diff editor on two sides of a function's listing. From a source, the row of the cursor's line is shown. */
async function review(
  room: Room,
  listings: Listings,
  argument: unknown,
  [left, right]: readonly [AsmSide, AsmSide] = ['base', 'next'],
): Promise<void> {
  const times = [performance.now()];
  const subject = await subjectOfCommand(room, argument);
  times.push(performance.now());
  if (!subject) {
    tell(l10n.t('The machine code at the cursor is the same as in the baseline: nothing to review.'));
    return;
  }
  const source = window.activeTextEditor;
  const from =
    source?.document.uri.scheme === 'file'
      ? { uri: source.document.uri.toString(), line: source.selection.active.line }
      : undefined;
  const [base, next] = [uriOf(subject, left, right), uriOf(subject, right, left)];
  // Both at once: the server works on the one while the other is on its way.
  await Promise.all([workspace.openTextDocument(next), workspace.openTextDocument(base)]);
  times.push(performance.now());
  const title = listings.titleOf(next) ?? subject.name;
  const row = from && listings.linesOf(next, from.uri, from.line, from.line)[0];
  await editorCommands.executeCommand('vscode.diff', base, next, title, {
    preview: true,
    ...(row === undefined ? {} : { selection: new Range(row, 0, row, 0) }),
  });
  times.push(performance.now());
  const [found, texts, drawn] = times.slice(1).map((time, index) => Math.round(time - times[index]!));
  room.log.debug(`listings of ${subject.name}: found in ${found} ms, texts in ${texts} ms, diff in ${drawn} ms`);
  if (process.env.LPA_TIMES) console.log(`listings: found ${found} ms, texts ${texts} ms, diff ${drawn} ms`);
}

/** Asks which two of the three codes are to be compared: of the baseline, of the last patch where there is one, of the text as it is now. */
async function compareSides(room: Room, listings: Listings, argument: unknown): Promise<void> {
  const subject = await subjectOfCommand(room, argument);
  if (!subject) return review(room, listings, argument);
  const last = await room.server.request(lastBuilt, { unit: subject.unit });
  const pairs: { label: string; description: string; sides: [AsmSide, AsmSide] }[] = [
    {
      label: l10n.t('Baseline ↔ now'),
      description: l10n.t('everything that a new patch would change'),
      sides: ['base', 'next'],
    },
  ];
  if (last)
    pairs.push(
      {
        label: l10n.t('Baseline ↔ last built patch'),
        description: l10n.t('what {0} changes', last.id),
        sides: ['base', 'built'],
      },
      {
        label: l10n.t('Last built patch ↔ now'),
        description: l10n.t('what was edited since {0}', last.id),
        sides: ['built', 'next'],
      },
    );
  const placeHolder = last
    ? l10n.t('Sides of the comparison')
    : l10n.t('Sides of the comparison (no patch has been built yet)');
  const chosen = await window.showQuickPick(pairs, { placeHolder });
  if (chosen) await review(room, listings, subject, chosen.sides);
}

/** Moves the cursor to the next (`step` 1) or previous row that differs by more than the compiler's own doing. */
function toChange(listings: Listings, editor: TextEditor, step: 1 | -1): void {
  const { document } = editor;
  const kindOf = listings.kindsOf(document);
  const counts = (line: number): boolean => {
    const kind = kindOf(line);
    return kind === 'changed' || kind === 'only';
  };
  let line = editor.selection.active.line;
  // Rows that follow one another are one change.
  while (counts(line)) line += step;
  while (line >= 0 && line < document.lineCount && !counts(line)) line += step;
  if (line < 0 || line >= document.lineCount) {
    tell(step > 0 ? l10n.t('No change further down.') : l10n.t('No change further up.'));
    return;
  }
  while (step < 0 && counts(line - 1)) line--;
  const at = new Position(line, 4);
  editor.selections = [new Selection(at, at)];
  editor.revealRange(new Range(at, at), TextEditorRevealType.InCenterIfOutsideViewport);
}

/** The label at a position of a listing. */
function labelAt(document: TextDocument, position: Position): string | undefined {
  for (const match of document.lineAt(position.line).text.matchAll(LABEL))
    if (match.index <= position.character && position.character <= match.index + match[0].length) return match[0];
  return undefined;
}

/** Every place of a label in a listing; the first one is its own line. */
function placesOf(document: TextDocument, label: string): { readonly range: Range; readonly own: boolean }[] {
  const text = document.getText();
  const found: { range: Range; own: boolean }[] = [];
  for (const match of text.matchAll(LABEL)) {
    if (match[0] !== label) continue;
    const range = new Range(document.positionAt(match.index), document.positionAt(match.index + label.length));
    const own = range.start.character === 0 && text[match.index + label.length] === ':';
    if (own) found.unshift({ range, own });
    else found.push({ range, own });
  }
  return found;
}

/** Listings, their diff, and the way between source and listing. */
export function activate(room: Room): void {
  const { context, server } = room;
  const listings = new Listings(server, context.workspaceState.get(SOURCE_LINES, true));
  const selector = { scheme: asm.scheme };
  context.subscriptions.push(
    workspace.registerTextDocumentContentProvider(asm.scheme, listings),
    workspace.onDidOpenTextDocument((document) => listings.opened(document)),
    workspace.onDidCloseTextDocument((document) => listings.forget(document)),
    server.onOtherCode(() => listings.refresh()),
    // What `last built` means is another code now, though nothing was edited.
    onDidBuild(() => listings.refresh()),
    languages.registerHoverProvider(selector, {
      async provideHover(document, position) {
        const hover = await listings.hover(document, position.line);
        return hover ? new Hover(new MarkdownString(hover)) : undefined;
      },
    }),
    languages.registerDefinitionProvider(selector, {
      provideDefinition(document, position) {
        const label = labelAt(document, position);
        const own = label && placesOf(document, label).find((each) => each.own);
        if (own) return new Location(document.uri, own.range);
        const place = listings.placeOf(document, position.line);
        return place ? new Location(Uri.parse(place.uri), rangeOf(place)) : undefined;
      },
    }),
    languages.registerReferenceProvider(selector, {
      provideReferences(document, position) {
        const label = labelAt(document, position);
        return label ? placesOf(document, label).map((each) => new Location(document.uri, each.range)) : undefined;
      },
    }),
    languages.registerDocumentHighlightProvider(selector, {
      provideDocumentHighlights(document, position) {
        // On a branch the whole row speaks for its label, so that keyboard and mouse need not aim.
        const label = labelAt(document, position) ?? document.lineAt(position.line).text.match(LABEL)?.[0];
        return label
          ? placesOf(document, label).map(
              ({ range, own }) =>
                new DocumentHighlight(range, own ? DocumentHighlightKind.Write : DocumentHighlightKind.Read),
            )
          : undefined;
      },
    }),
    languages.registerFoldingRangeProvider(selector, {
      provideFoldingRanges: (document) =>
        listings.foldsOf(document).map(({ start, end }) => new FoldingRange(start, end, FoldingRangeKind.Region)),
    }),
    editorCommands.registerCommand(commands.toggleSource, async () => {
      listings.withSource = !listings.withSource;
      await context.workspaceState.update(SOURCE_LINES, listings.withSource);
    }),
    editorCommands.registerCommand(commands.reviewFunction, (argument) => review(room, listings, argument)),
    editorCommands.registerCommand(commands.compareSides, (argument) => compareSides(room, listings, argument)),
    editorCommands.registerTextEditorCommand(commands.nextChange, (editor) => toChange(listings, editor, 1)),
    editorCommands.registerTextEditorCommand(commands.previousChange, (editor) => toChange(listings, editor, -1)),
    editorCommands.registerCommand(commands.goToSource, async () => {
      const editor = window.activeTextEditor;
      const place = editor && listings.placeOf(editor.document, editor.selection.active.line);
      if (place) await window.showTextDocument(Uri.parse(place.uri), { selection: rangeOf(place) });
      else tell(l10n.t('No source line is known for this row.'));
    }),
    editorCommands.registerCommand(
      commands.revealFunction,
      async (argument: Partial<FunctionItem> & { readonly root?: string }) => {
        const { name, root } = argument ?? {};
        const place =
          argument?.place ??
          (name && (await server.request(functionPlaces, { names: [name] }, undefined, root))[name]) ??
          undefined;
        if (place)
          await window.showTextDocument(Uri.parse(place.uri), { selection: rangeOf(place), preserveFocus: false });
      },
    ),
  );
  marks.activate(room, listings);
  arrows.activate(room, listings);
}
