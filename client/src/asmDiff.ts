import {
  EventEmitter,
  commands as editorCommands,
  Hover,
  Location,
  languages,
  MarkdownString,
  Range,
  type TextDocument,
  type TextDocumentContentProvider,
  Uri,
  window,
  workspace,
} from 'vscode';
import { type AsmDocument, asmText, type FunctionItem, functionAt, type Place } from '../../server/src/protocol.ts';
import { asm, commands } from './names.ts';
import type { Room } from './room.ts';

type Side = 'base' | 'next';
interface Subject {
  readonly unit: string;
  readonly name: string;
}

/** `livepatch-asm:/NAME.base?{"unit":…,"name":…,"side":…}`: the query says all, the path is what the tab shows. */
function uriOf({ unit, name }: Subject, side: Side): Uri {
  return Uri.from({
    scheme: asm.scheme,
    path: `/${name}.${side}.livepatch-asm`,
    query: JSON.stringify({ unit, name, side }),
  });
}

function subjectOf(uri: Uri): (Subject & { readonly side: Side }) | undefined {
  if (uri.scheme !== asm.scheme) return undefined;
  return JSON.parse(uri.query);
}

const rangeOf = (place: Place): Range =>
  new Range(place.line, place.character, place.endLine ?? place.line, place.endCharacter ?? place.character);

/** Serves both sides of a function's listing as read-only documents, and reads them again when the code changes. */
class Listings implements TextDocumentContentProvider {
  readonly #room: Room;
  readonly #changed = new EventEmitter<Uri>();
  readonly #known = new Map<string, AsmDocument>();
  readonly onDidChange = this.#changed.event;

  constructor(room: Room) {
    this.#room = room;
  }

  async provideTextDocumentContent(uri: Uri): Promise<string> {
    const subject = subjectOf(uri);
    if (!subject) return '';
    const found = await this.#room.server.request(asmText, subject);
    this.#known.set(uri.toString(), found);
    return found.text;
  }

  lineOf(document: TextDocument, line: number): AsmDocument['lines'][number] | undefined {
    return this.#known.get(document.uri.toString())?.lines[line];
  }

  /** First line of the listing that belongs to a source line. */
  find(uri: Uri, place: { readonly uri: string; readonly line: number }): number | undefined {
    const lines = this.#known.get(uri.toString())?.lines ?? [];
    const index = lines.findIndex(
      (each) => each.place?.line === place.line && Uri.parse(each.place.uri).toString() === place.uri,
    );
    return index < 0 ? undefined : index;
  }

  refresh(): void {
    for (const document of workspace.textDocuments)
      if (document.uri.scheme === asm.scheme) this.#changed.fire(document.uri);
  }
}

/** The function that a command is about: its argument, or what is at the cursor of a source. */
async function subjectOfCommand(room: Room, argument: unknown): Promise<Subject | undefined> {
  const given = argument as Partial<Subject> & { readonly function?: FunctionItem };
  if (given?.function) return given.function;
  if (typeof given?.unit === 'string' && typeof given.name === 'string') return { unit: given.unit, name: given.name };
  const editor = window.activeTextEditor;
  if (!editor) return undefined;
  const { line, character } = editor.selection.active;
  return (await room.server.request(functionAt, { uri: editor.document.uri.toString(), line, character })) ?? undefined;
}

/** Opens the native diff editor on both listings of a function. From a source, the row of the cursor's line is shown. */
async function review(room: Room, listings: Listings, argument: unknown): Promise<void> {
  const subject = await subjectOfCommand(room, argument);
  if (!subject) {
    void window.showInformationMessage(
      'The machine code at the cursor is the same as in the baseline: nothing to review.',
    );
    return;
  }
  const source = window.activeTextEditor;
  const from =
    source?.document.uri.scheme === 'file'
      ? { uri: source.document.uri.toString(), line: source.selection.active.line }
      : undefined;
  const [base, next] = [uriOf(subject, 'base'), uriOf(subject, 'next')];
  const { title } = await room.server.request(asmText, { ...subject, side: 'next' });
  await workspace.openTextDocument(next);
  const row = from && listings.find(next, from);
  await editorCommands.executeCommand('vscode.diff', base, next, title, {
    preview: true,
    ...(row === undefined ? {} : { selection: new Range(row, 0, row, 0) }),
  });
}

/** Listings, their diff, and the way between source and listing. */
export function activate(room: Room): void {
  const { context, server, decisions } = room;
  const listings = new Listings(room);
  const atCursor = (): AsmDocument['lines'][number] | undefined => {
    const editor = window.activeTextEditor;
    return editor && listings.lineOf(editor.document, editor.selection.active.line);
  };
  let drawn = '';
  context.subscriptions.push(
    workspace.registerTextDocumentContentProvider(asm.scheme, listings),
    server.onState((state) => {
      const now = `${state.fingerprint}`;
      if (now === drawn) return;
      drawn = now;
      listings.refresh();
    }),
    languages.registerHoverProvider(
      { scheme: asm.scheme },
      {
        provideHover(document, position) {
          const hover = listings.lineOf(document, position.line)?.hover;
          return hover ? new Hover(new MarkdownString(hover)) : undefined;
        },
      },
    ),
    languages.registerDefinitionProvider(
      { scheme: asm.scheme },
      {
        provideDefinition(document, position) {
          const place = listings.lineOf(document, position.line)?.place;
          return place ? new Location(Uri.parse(place.uri), rangeOf(place)) : undefined;
        },
      },
    ),
    editorCommands.registerCommand(commands.reviewFunction, (argument) => review(room, listings, argument)),
    editorCommands.registerCommand(commands.goToSource, async () => {
      const place = atCursor()?.place;
      if (place) await window.showTextDocument(Uri.parse(place.uri), { selection: rangeOf(place) });
      else void window.showInformationMessage('No source line is known for this row.');
    }),
    editorCommands.registerCommand(commands.markReviewed, async (argument) => {
      const open = window.activeTextEditor && subjectOf(window.activeTextEditor.document.uri);
      const subject = (argument as { readonly function?: FunctionItem })?.function ?? open;
      const item = server.state.units
        .flatMap((unit) => unit.functions)
        .find((each) => each.unit === subject?.unit && each.name === subject?.name);
      if (item) await decisions.review([item], true);
    }),
    editorCommands.registerCommand(commands.revealFunction, async (argument: FunctionItem) => {
      if (argument?.place)
        await window.showTextDocument(Uri.parse(argument.place.uri), {
          selection: rangeOf(argument.place),
          preserveFocus: false,
        });
    }),
  );
}
