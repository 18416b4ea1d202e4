import { basename, extname } from 'node:path';
import type { Connection, Diagnostic } from 'vscode-languageserver/node';
import {
  type Choices,
  log as logMessage,
  type PatchState,
  type ServerOptions,
  type ServerSettings,
  stateChanged,
} from '../protocol.ts';
import type { Session } from '../session.ts';
import type { SessionEvent } from '../session-types.ts';
import { BuiltStore, type LastBuilt } from '../shell/builtStore.ts';
import { cacheFolder } from '../shell/store.ts';
import { diagnosticsOf } from './diagnostics.ts';
import { Documents, fileText, pathOf, uriOf } from './documents.ts';
import { keepBuilt, recallBuilt } from './lastBuilt.ts';
import { Model } from './model.ts';
import { openSession } from './open.ts';
import { patchState } from './state.ts';
import { prepareListing } from './textContent.ts';

/** Milliseconds in which events are gathered before the views are told: a build sends several at once. */
const GATHER = 25;
/** Milliseconds of rest before listings are worked out ahead. */
const PREPARE = 250;
/** Instructions of a function whose listing takes a moment, and of one that nobody reads anyway. */
const [LONG, LONGEST] = [3000, 200_000] as const;
/** Listings that are worked out ahead, at most. */
const PREPARED = 4;
const C_SOURCE = new Set(['.c']);

/**
 * Keeps the session of the workspace folder alive and in step with the editor: tells it of opened, changed and saved files, and
 * tells the editor what came of it. A session is opened with the first C source, never in an untrusted folder, and anew when
 * its configuration changes.
 */
export class Keeper {
  readonly documents = new Documents();
  readonly model = new Model(this.documents);
  readonly #connection: Connection;
  #root = '';
  #trusted = false;
  #cache: string | undefined;
  #built: BuiltStore | undefined;
  #opening: Promise<Session | undefined> | undefined;
  #stopListening: (() => void) | undefined;
  #progress: PatchState['progress'];
  #configProblems: readonly string[] = [];
  readonly #noCommand = new Map<string, string>();
  readonly #pauses = new Map<string, NodeJS.Timeout>();
  #published = new Map<string, string>();
  #gathering: NodeJS.Timeout | undefined;
  #preparing: NodeJS.Timeout | undefined;
  /** Times that somebody stopped what was under way. */
  #cancels = 0;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  configure(root: string | undefined, options: ServerOptions): void {
    this.#root = root ?? '';
    this.#trusted = options.trusted;
    this.#cache = options.cache;
    this.model.settings = options.settings;
    this.model.choices = options.choices;
    this.model.docs = options.docs;
  }

  start(): void {
    this.#refresh();
  }

  /** A line for the output channel. */
  say(level: 'trace' | 'info' | 'warn' | 'error', text: string): void {
    void this.#connection.sendNotification(logMessage.method, { level, text });
  }

  /** The session, opened where it is not. Undefined where there is no folder, no trust, or no way to open it. */
  session(): Promise<Session | undefined> {
    if (this.#root === '' || !this.#trusted) return Promise.resolve(undefined);
    this.#opening ??= this.#open();
    return this.#opening;
  }

  async #open(): Promise<Session | undefined> {
    try {
      this.#built ??= new BuiltStore(this.#cache ?? cacheFolder(), this.#root);
      const remembered = recallBuilt(this.model, this.#built);
      remembered.catch((error: Error) => this.say('warn', error.message));
      const { session, problems } = await openSession(this.#root, {
        cache: this.#cache,
        isTrusted: () => this.#trusted,
      });
      this.#configProblems = problems;
      // Before anything is compared: nothing may be said of the last patch while it is not known.
      await remembered.catch(() => {});
      this.model.session = session;
      this.#stopListening = session?.on((event) => this.#heard(event));
      for (const path of this.documents.paths()) this.#introduce(session, path);
      void this.#cover(session);
      this.#refresh();
      return session;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.say('error', message);
      this.#configProblems = [message];
      this.#refresh();
      return undefined;
    }
  }

  /** A patch was built: its code is what `last built` means from now on, also for servers after this one. */
  async keepBuilt(take: () => Promise<LastBuilt>): Promise<void> {
    await keepBuilt(this.model, this.#built, take).catch((error: Error) => this.say('warn', error.message));
  }

  /**
   * Compares what was edited before, once the open documents are done: after a reload or a crash of the server, "same code" would else be
   * said of a working tree whose edits are in files that nobody has opened yet.
   */
  async #cover(session: Session | undefined): Promise<void> {
    const cancels = this.#cancels;
    await session?.idle();
    if (!session || this.model.session !== session) return;
    // What somebody stopped is not started again by the back door: it is compared before a patch is built.
    if (cancels !== this.#cancels) return;
    await session
      .cover()
      .catch((error: Error) => this.say('warn', `Earlier edits were not compared: ${error.message}`));
  }

  /** Tells a session of a document that is open already, and of its unsaved text. */
  #introduce(session: Session | undefined, path: string): void {
    if (!session) return;
    session.open(path);
    const text = this.documents.text(path);
    if (text === undefined) return;
    this.documents.hand(path, text);
    if (text !== fileText(path) && this.model.settings.idlePause !== undefined) session.edited(path, text);
  }

  async stop(): Promise<void> {
    for (const pause of this.#pauses.values()) clearTimeout(pause);
    clearTimeout(this.#gathering);
    clearTimeout(this.#preparing);
    this.#stopListening?.();
    const opening = this.#opening;
    this.#opening = undefined;
    this.model.session = undefined;
    this.model.reset();
    await (await opening)?.dispose();
  }

  /** The configuration or the list of commands is another one. A session reads them by itself; one that did not open is tried again. */
  async #configChanged(): Promise<void> {
    this.#noCommand.clear();
    this.#configProblems = [];
    const session = await this.#opening;
    if (session) {
      // It watches by itself, where the system can.
      session.reload();
      return;
    }
    this.#opening = undefined;
    if (this.documents.paths().some(isCSource)) await this.session();
  }

  #heard(event: SessionEvent): void {
    switch (event.kind) {
      case 'unit':
        this.model.note(event.state);
        this.#noCommand.delete(event.state.unit.command.file);
        break;
      case 'progress':
        this.#progress = { title: event.title, done: event.done, total: event.total };
        break;
      case 'progressEnd':
        this.#progress = undefined;
        break;
      case 'noCommand':
        this.#noCommand.set(event.file, event.message);
        break;
      case 'log':
        this.say(event.level, event.text);
        return;
      case 'config':
        this.#configProblems = [...new Set([...this.#configProblems, ...event.problems])];
        break;
    }
    this.#refresh();
  }

  opened(uri: string, text: string): void {
    const path = pathOf(uri);
    if (!path) return;
    this.documents.take(path, text);
    void this.#withSession(path, (session) => this.#introduce(session, path));
  }

  /** Runs with the session; only a C source makes one come to be. */
  async #withSession(path: string, work: (session: Session) => void): Promise<void> {
    if (!this.#opening && !isCSource(path)) return;
    const fresh = !this.#opening;
    const session = await this.session();
    // A session that was opened just now has been told of every open document.
    if (session && !(fresh && this.documents.isOpen(path))) work(session);
  }

  changed(uri: string, text: string): void {
    const path = pathOf(uri);
    if (!path || !this.documents.take(path, text)) return;
    clearTimeout(this.#pauses.get(path));
    const pause = this.model.settings.idlePause;
    if (pause === undefined) return;
    this.#pauses.set(
      path,
      setTimeout(() => {
        this.#pauses.delete(path);
        this.#hand(path);
      }, pause),
    );
  }

  /** Hands over what was typed within the pause. */
  flush(): void {
    for (const [path, pause] of [...this.#pauses]) {
      clearTimeout(pause);
      this.#pauses.delete(path);
      this.#hand(path);
    }
  }

  /** Hands the buffer to the session, as text where it differs from the file. */
  #hand(path: string): void {
    const text = this.documents.text(path);
    if (text === undefined || !this.documents.hand(path, text)) return;
    const unsaved = text !== fileText(path);
    // The buffer may be the file's new text, that another program wrote: then nothing unsaved is taken back, and it is compared all the same.
    void this.#withSession(path, (session) => (unsaved ? session.edited(path, text) : session.saved(path)));
  }

  saved(uri: string, text: string): void {
    const path = pathOf(uri);
    if (!path) return;
    clearTimeout(this.#pauses.get(path));
    this.#pauses.delete(path);
    this.documents.take(path, text);
    this.documents.wrote(path, text);
    this.documents.hand(path, text);
    void this.#withSession(path, (session) => session.saved(path));
  }

  closed(uri: string): void {
    const path = pathOf(uri);
    if (!path) return;
    clearTimeout(this.#pauses.get(path));
    this.#pauses.delete(path);
    this.documents.close(path);
    void this.#withSession(path, (session) => session.closed(path));
  }

  /** Files that changed on disk: by a checkout, another editor, or our own save (which is known already). */
  filesChanged(uris: readonly string[]): void {
    for (const uri of uris) {
      const path = pathOf(uri);
      if (!path) continue;
      const name = basename(path);
      if (name === 'livepatch.json' || name === 'compile_commands.json') {
        void this.#configChanged();
        continue;
      }
      if (!this.#opening) continue;
      const text = fileText(path);
      if (!this.documents.isOpen(path) || text === undefined) {
        void this.#withSession(path, (session) => session.saved(path));
      } else if (this.model.settings.idlePause !== undefined && this.documents.text(path) !== text) {
        // What stands in the buffer counts, whatever comes to be in the file below it.
        if (this.documents.wrote(path, text)) void this.#withSession(path, (session) => session.looked(path));
      } else {
        this.documents.wrote(path, text);
        if (this.documents.hand(path, text)) void this.#withSession(path, (session) => session.saved(path));
      }
    }
  }

  async checkNow(): Promise<PatchState> {
    const session = await this.session();
    for (const path of this.documents.paths()) {
      const text = this.documents.text(path);
      if (session && text !== undefined) {
        this.documents.hand(path, text);
        if (text === fileText(path)) session.saved(path);
        else session.edited(path, text);
      }
    }
    await session?.idle();
    await session?.cover();
    return this.state();
  }

  cancel(): void {
    this.#cancels++;
    this.model.session?.cancel();
  }

  setChoices(choices: Choices): void {
    this.model.choices = choices;
    this.#refresh();
  }

  setSettings(settings: ServerSettings): void {
    const lensesToo = JSON.stringify(settings) !== JSON.stringify(this.model.settings);
    this.model.settings = settings;
    if (lensesToo) this.#redraw();
    this.#refresh();
  }

  setTrust(trusted: boolean): void {
    this.#trusted = trusted;
    if (!trusted) this.model.session?.cancel();
    else if (this.documents.paths().some(isCSource)) void this.session();
  }

  /** Files that the build has no command for, with the reason. */
  withoutCommand(): readonly (readonly [file: string, message: string])[] {
    return [...this.#noCommand];
  }

  state(): PatchState {
    const missing = [...this.#noCommand.values()];
    return patchState(this.model, this.#root, this.#progress, [...this.#configProblems, ...missing]);
  }

  /** Tells the editor, a moment from now, what there is to see. */
  #refresh(): void {
    this.#gathering ??= setTimeout(() => {
      this.#gathering = undefined;
      try {
        this.#publish();
        void this.#connection.sendNotification(stateChanged.method, this.state());
        this.#redraw();
        this.#prepare();
      } catch (error) {
        this.say('error', `The views could not be updated: ${error instanceof Error ? error.stack : String(error)}`);
      }
    }, GATHER);
  }

  #redraw(): void {
    void this.#connection.sendRequest('workspace/codeLens/refresh').catch(() => {});
    if (this.model.settings.inlayHints) void this.#connection.languages.inlayHint.refresh().catch(() => {});
  }

  /** Works out the listings of long functions once there is nothing else to do: the review is to open at once. */
  #prepare(): void {
    clearTimeout(this.#preparing);
    this.#preparing = setTimeout(async () => {
      const { units } = this.model;
      if (units.some(({ phase }) => phase === 'queued' || phase === 'building')) return;
      const long = units.flatMap(({ unit, result }) =>
        (result?.diff.functions ?? [])
          .filter((each) => each.nextInstructions >= LONG && each.nextInstructions <= LONGEST)
          .map((each) => ({ unit: unit.id, name: each.name })),
      );
      for (const { unit, name } of long.slice(0, PREPARED))
        await prepareListing(this.model, unit, name).catch(() => {});
    }, PREPARE);
  }

  /** Sends diagnostics of the files where they differ from those that were sent before. */
  #publish(): void {
    const now = diagnosticsOf(this.model);
    for (const [path, message] of this.#noCommand) {
      if (!this.documents.isOpen(path)) continue;
      const list: Diagnostic[] = now.get(path) ?? [];
      list.push({ range: this.model.rangeIn(path, 0), severity: 3, code: 'no-command', source: 'livepatch', message });
      now.set(path, list);
    }
    const next = new Map<string, string>();
    for (const [path, diagnostics] of now) {
      const text = JSON.stringify(diagnostics);
      next.set(path, text);
      if (this.#published.get(path) !== text) void this.#connection.sendDiagnostics({ uri: uriOf(path), diagnostics });
    }
    for (const path of this.#published.keys())
      if (!next.has(path)) void this.#connection.sendDiagnostics({ uri: uriOf(path), diagnostics: [] });
    this.#published = next;
  }
}

const isCSource = (path: string): boolean => C_SOURCE.has(extname(path));
