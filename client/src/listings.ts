import { EventEmitter, Range, type TextDocument, type TextDocumentContentProvider, Uri, workspace } from 'vscode';
import {
  type AsmDocument,
  type AsmRowKind,
  type AsmSide,
  type AsmSubject,
  asmHover,
  asmText,
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

/** Serves the sides of functions' listings as read-only documents, and reads them again when the code changes. */
export class Listings implements TextDocumentContentProvider {
  readonly #server: Server;
  readonly #changed = new EventEmitter<Uri>();
  readonly #read = new EventEmitter<Uri>();
  readonly #known = new Map<string, AsmDocument>();
  readonly onDidChange = this.#changed.event;
  /** A listing was read: what stands behind its lines is known now. */
  readonly onDidRead = this.#read.event;

  constructor(server: Server) {
    this.#server = server;
  }

  async provideTextDocumentContent(uri: Uri): Promise<string> {
    const subject = subjectOf(uri);
    if (!subject) return '';
    const found = await this.#server.request(asmText, subject);
    this.#known.set(uri.toString(), found);
    this.#read.fire(uri);
    return found.text;
  }

  async hover(document: TextDocument, line: number): Promise<string | undefined> {
    const subject = subjectOf(document.uri);
    return subject && ((await this.#server.request(asmHover, { ...subject, line })) ?? undefined);
  }

  titleOf(uri: Uri): string | undefined {
    return this.#known.get(uri.toString())?.title;
  }

  placeOf(document: TextDocument, line: number): Place | undefined {
    const known = this.#known.get(document.uri.toString());
    const index = known?.lines[line]?.place;
    return index === undefined ? undefined : known?.places[index];
  }

  /** What each line's instruction is beside the other side; undefined for lines without one. */
  kindsOf(document: TextDocument): readonly (AsmRowKind | undefined)[] {
    return this.#known.get(document.uri.toString())?.lines.map((line) => line.kind) ?? [];
  }

  /** Lines of a listing that belong to source lines `from` to `to` of a document. */
  linesOf(uri: Uri, source: string, from: number, to: number): number[] {
    const known = this.#known.get(uri.toString());
    if (!known) return [];
    const wanted = new Set<number>();
    for (const [index, place] of known.places.entries())
      if (place.line >= from && place.line <= to && keyOf(place.uri) === source) wanted.add(index);
    if (wanted.size === 0) return [];
    return known.lines.flatMap(({ place }, line) => (place !== undefined && wanted.has(place) ? [line] : []));
  }

  refresh(): void {
    for (const document of workspace.textDocuments)
      if (document.uri.scheme === asm.scheme) this.#changed.fire(document.uri);
  }

  forget(document: TextDocument): void {
    this.#known.delete(document.uri.toString());
  }
}
