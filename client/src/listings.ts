import { EventEmitter, Range, type TextDocument, type TextDocumentContentProvider, Uri, workspace } from 'vscode';
import {
  type AsmDocument,
  type AsmJumps,
  type AsmRowKind,
  type AsmSide,
  type AsmSubject,
  asmHover,
  asmText,
  lineKinds,
  type Place,
} from '../../server/src/protocol.ts';
import type { Server } from './client.ts';
import { asm } from './names.ts';

/** A function of a unit. */
export interface Subject {
  readonly unit: string;
  readonly name: string;
}

/** `livepatch-asm:/NAME.base.livepatch-asm?{"unit":…,"name":…,"side":…,"against":…}`: the query says all, the path is what a tab shows. */
export function uriOf({ unit, name }: Subject, side: AsmSide, against: AsmSide): Uri {
  return Uri.from({
    scheme: asm.scheme,
    path: `/${name}.${side}.livepatch-asm`,
    query: JSON.stringify({ unit, name, side, against }),
  });
}

export function subjectOf(uri: Uri): AsmSubject | undefined {
  return uri.scheme === asm.scheme ? JSON.parse(uri.query) : undefined;
}

export const rangeOf = (place: Place): Range =>
  new Range(place.line, place.character, place.endLine ?? place.line, place.endCharacter ?? place.character);

/** The same place in the editor's spelling of URIs. */
export const keyOf = (uri: string): string => Uri.parse(uri).toString();

/** A listing as it is shown: without the lines that are hidden. */
interface Shown {
  readonly document: AsmDocument;
  /** Number of times that the code had changed when it was asked for. */
  readonly epoch: number;
  readonly text: string;
  /** Lines of the whole listing that are shown; undefined where all are. */
  readonly lines: readonly number[] | undefined;
  /** Index of a place → shown lines that belong to it. */
  readonly byPlace: ReadonlyMap<number, readonly number[]>;
}

/** Leaves the source lines out of a listing, or shows all of it. */
function show(document: AsmDocument, withSource: boolean, epoch: number): Shown {
  const { kinds, placeOf } = document;
  const lines = withSource ? undefined : [...placeOf.keys()].filter((at) => kinds[at] !== ';');
  const byPlace = new Map<number, number[]>();
  for (let line = 0; line < (lines ?? placeOf).length; line++) {
    const place = placeOf[lines ? lines[line]! : line] ?? -1;
    if (place < 0) continue;
    const list = byPlace.get(place);
    if (list) list.push(line);
    else byPlace.set(place, [line]);
  }
  const all = lines && document.text.split('\n');
  const text = lines && all ? lines.map((at) => `${all[at]}\n`).join('') : document.text;
  return { document, epoch, text, lines, byPlace };
}

/** Serves the sides of functions' listings as read-only documents, and reads them again when the code changes. */
export class Listings implements TextDocumentContentProvider {
  readonly #server: Server;
  readonly #changed = new EventEmitter<Uri>();
  readonly #read = new EventEmitter<Uri>();
  readonly #known = new Map<string, Shown>();
  #withSource: boolean;
  #epoch = 0;
  readonly onDidChange = this.#changed.event;
  /** A listing was read: what stands behind its lines is known now. */
  readonly onDidRead = this.#read.event;

  constructor(server: Server, withSource: boolean) {
    this.#server = server;
    this.#withSource = withSource;
  }

  /** Source lines stand between the instructions. */
  get withSource(): boolean {
    return this.#withSource;
  }

  set withSource(wanted: boolean) {
    this.#withSource = wanted;
    this.refresh();
  }

  async provideTextDocumentContent(uri: Uri): Promise<string> {
    const subject = subjectOf(uri);
    if (!subject) return '';
    const epoch = this.#epoch;
    const found = show(await this.#server.request(asmText, subject), this.#withSource, epoch);
    this.#known.set(uri.toString(), found);
    this.#read.fire(uri);
    return found.text;
  }

  async hover(document: TextDocument, line: number): Promise<string | undefined> {
    const subject = subjectOf(document.uri);
    const { whole } = this.#at(document, line);
    return subject && ((await this.#server.request(asmHover, { ...subject, line: whole })) ?? undefined);
  }

  titleOf(uri: Uri): string | undefined {
    return this.#known.get(uri.toString())?.document.title;
  }

  /** The shown listing of a document, and the line of the whole listing that a shown line is. */
  #at(document: TextDocument, line: number): { readonly known: Shown | undefined; readonly whole: number } {
    const known = this.#known.get(document.uri.toString());
    return { known, whole: known?.lines ? (known.lines[line] ?? -1) : line };
  }

  placeOf(document: TextDocument, line: number): Place | undefined {
    const { known, whole } = this.#at(document, line);
    return known?.document.places[known.document.placeOf[whole] ?? -1];
  }

  /** What the lines of a listing are: an instruction beside the other side, the text of a source line, or neither. */
  kindsOf(document: TextDocument): (line: number) => AsmRowKind | 'source' | undefined {
    const known = this.#known.get(document.uri.toString());
    const kinds = known?.document.kinds ?? '';
    return (line) =>
      lineKinds[(kinds[known?.lines ? (known.lines[line] ?? -1) : line] ?? ' ') as keyof typeof lineKinds];
  }

  /** Jumps within a listing, by shown lines. */
  jumpsOf(document: TextDocument): readonly AsmJumps[] {
    const known = this.#known.get(document.uri.toString());
    const jumps = known?.document.jumps ?? [];
    if (!known?.lines) return jumps;
    const shown = new Map(known.lines.map((whole, line) => [whole, line]));
    // Branches and labels are never hidden.
    return jumps.map(({ to, from, lane }) => ({
      to: shown.get(to)!,
      from: from.map((line) => shown.get(line)!),
      lane,
    }));
  }

  /** What can be folded: the instructions below each source line. Lines from 0, the last one included. */
  foldsOf(document: TextDocument): { readonly start: number; readonly end: number }[] {
    const folds: { start: number; end: number }[] = [];
    let start: number | undefined;
    const close = (end: number): void => {
      if (start !== undefined && end > start) folds.push({ start, end });
    };
    const count = document.lineCount - 1;
    const kindOf = this.kindsOf(document);
    for (let line = 0; line < count; line++) {
      if (kindOf(line) !== 'source') continue;
      close(line - 1);
      start = line;
    }
    close(count - 1);
    return folds;
  }

  /** Lines of a listing that belong to source lines `from` to `to` of a document. */
  linesOf(uri: Uri, source: string, from: number, to: number): number[] {
    const known = this.#known.get(uri.toString());
    if (!known) return [];
    const wanted: number[] = [];
    for (const [index, place] of known.document.places.entries())
      if (place.line >= from && place.line <= to && keyOf(place.uri) === source) wanted.push(index);
    return wanted.flatMap((index) => known.byPlace.get(index) ?? []).sort((a, b) => a - b);
  }

  /** The code changed: what is open is read again, and what is on its way to be open as soon as it is. */
  refresh(): void {
    this.#epoch++;
    for (const document of workspace.textDocuments)
      if (document.uri.scheme === asm.scheme) this.#changed.fire(document.uri);
  }

  opened({ uri }: TextDocument): void {
    const known = uri.scheme === asm.scheme ? this.#known.get(uri.toString()) : undefined;
    if (known && known.epoch !== this.#epoch) this.#changed.fire(uri);
  }

  forget(document: TextDocument): void {
    this.#known.delete(document.uri.toString());
  }
}
