import type { CancellationToken, Disposable, Event, ExtensionContext, LogOutputChannel, WorkspaceFolder } from 'vscode';
import { EventEmitter, commands as editorCommands, l10n, Uri, window, workspace } from 'vscode';
import {
  acceptFinding,
  applyPatch,
  buildPatch,
  type Choices,
  checkNow,
  clearCache,
  dataAt,
  exportReport,
  functionAt,
  hookEdit,
  inspectPatch,
  type Method,
  type PatchState,
  revertPatch,
  type ServerSettings,
  setChoices,
  setSettings,
  typeAt,
  xenAction,
} from '../../server/src/protocol.ts';
import type { FolderOptions, FolderServer } from './folderServer.ts';
import { contexts, section, settings } from './names.ts';
import { CompileErrors } from './problems.ts';
import { EMPTY } from './state.ts';
import { configuredFolders, isSource } from './workspace.ts';

/** What is asked only where the user invoked a command: it may start a server that nobody started any more because it kept ending. */
const BY_USER: ReadonlySet<string> = new Set(
  [
    acceptFinding,
    applyPatch,
    buildPatch,
    checkNow,
    clearCache,
    dataAt,
    exportReport,
    functionAt,
    hookEdit,
    inspectPatch,
    revertPatch,
    typeAt,
    xenAction,
  ].map(({ method }) => method),
);

export function readSettings(): ServerSettings {
  const values = workspace.getConfiguration(section);
  const pause = values.get<number>(settings.checkUnsavedDelay, 300);
  return {
    ...(values.get<boolean>(settings.checkUnsaved, true) ? { idlePause: Math.max(100, pause) } : {}),
    inlayHints: values.get<boolean>(settings.inlayHints, false),
    codeLens: values.get<boolean>(settings.codeLens, true),
  };
}

/** The language client takes most of the time that it takes to load the extension: it is loaded with the first server. */
async function createServer(options: FolderOptions): Promise<FolderServer> {
  const { FolderServer: Class } = await import('./folderServer.ts');
  return new Class(options);
}

/**
 * The language servers as the rest of the client sees them: one for each configured folder of the window, started when its first C
 * source is opened (or when a command needs it), with the newest state that each told. What is asked goes to the folder that it is
 * about.
 */
export class Server {
  readonly #context: ExtensionContext;
  readonly #log: LogOutputChannel;
  readonly #choices: () => Choices;
  readonly #states = new EventEmitter<PatchState>();
  readonly #errors = new CompileErrors();
  readonly #folders = new Map<string, FolderServer>();
  readonly #creating = new Map<string, Promise<FolderServer>>();
  #last: FolderServer | undefined;
  #watching = false;

  /** Some folder's state is another one; the event carries that of the current folder. */
  readonly onState: Event<PatchState> = this.#states.event;

  constructor(context: ExtensionContext, log: LogOutputChannel, choices: () => Choices) {
    this.#context = context;
    this.#log = log;
    this.#choices = choices;
    context.subscriptions.push(this.#states, this.#errors, {
      dispose: () => {
        for (const each of this.#folders.values()) void each.dispose();
      },
    });
  }

  /** The state of the folder that the user works in. */
  get state(): PatchState {
    return this.#current()?.state ?? EMPTY;
  }

  /** One state for each folder whose server has been started. */
  get states(): readonly PatchState[] {
    return [...this.#folders.values()].map((each) => each.state).filter((state) => state.root !== '');
  }

  /** Calls `tell` where some folder's code, data or types are others: most states tell of less. */
  onOtherCode(tell: () => void): Disposable {
    let last = '';
    return this.onState(() => {
      const now = this.states.map(({ fingerprint }) => fingerprint).join(' ');
      if (now === last) return;
      last = now;
      tell();
    });
  }

  get running(): boolean {
    return [...this.#folders.values()].some((each) => each.running);
  }

  /** The server of this folder runs: what only a view wants to know is asked of no other, since a question starts one. */
  isRunning(root: string): boolean {
    return [...this.#folders.values()].some((each) => each.running && each.state.root === root);
  }

  /** Process id of the current folder's language server: for tests that kill it. */
  get pid(): number | undefined {
    return this.#current()?.pid;
  }

  /** The folder of the active editor where it has a server, else the one that was used last. */
  #current(): FolderServer | undefined {
    const uri = window.activeTextEditor?.document.uri;
    const folder = uri && workspace.getWorkspaceFolder(uri);
    const known = folder && this.#folders.get(folder.uri.toString());
    if (known) this.#last = known;
    return this.#last ?? this.#folders.values().next().value;
  }

  /** Starts as soon as a C source of a configured folder is open; looks again when that may have become true. */
  watch(): void {
    const look = async (): Promise<void> => {
      const folders = await configuredFolders();
      void editorCommands.executeCommand('setContext', contexts.configured, folders.length > 0);
      const open = workspace.textDocuments.filter(isSource);
      const wanted = folders.filter(({ uri }) =>
        open.some((document) => workspace.getWorkspaceFolder(document.uri)?.uri.toString() === uri.toString()),
      );
      // One that does not start keeps no other from it; why is in the log.
      await Promise.allSettled(wanted.map((folder) => this.#ready(folder)));
    };
    void look();
    if (this.#watching) return;
    this.#watching = true;
    const signs = workspace.createFileSystemWatcher('**/{livepatch,compile_commands}.json', false, true, true);
    this.#context.subscriptions.push(
      signs,
      signs.onDidCreate(look),
      workspace.onDidChangeWorkspaceFolders(({ removed }) => {
        for (const folder of removed) this.#drop(folder);
        void look();
      }),
      workspace.onDidOpenTextDocument((document) => {
        const folder = isSource(document) ? workspace.getWorkspaceFolder(document.uri) : undefined;
        if (folder && !this.#folders.has(folder.uri.toString())) void look();
      }),
      workspace.onDidChangeConfiguration((change) => {
        if (change.affectsConfiguration(section)) this.send(setSettings, readSettings());
      }),
      window.onDidChangeActiveTextEditor(() => {
        const before = this.#last;
        if (this.#current() !== before && this.#folders.size > 1) this.#changed();
      }),
    );
  }

  #drop(folder: WorkspaceFolder): void {
    const key = folder.uri.toString();
    const server = this.#folders.get(key);
    this.#folders.delete(key);
    this.#creating.delete(key);
    if (this.#last === server) this.#last = undefined;
    void server?.dispose();
    this.#changed();
  }

  /** The running server of a folder, started where it is not; undefined in a window that is not trusted. */
  async #ready(folder: WorkspaceFolder, asked = false): Promise<FolderServer | undefined> {
    if (!workspace.isTrusted) return undefined;
    const key = folder.uri.toString();
    // Noted before anything is awaited: two questions at once must not make two servers for one folder.
    const creating =
      this.#creating.get(key) ??
      createServer({
        folder,
        extension: this.#context.extensionUri,
        log: this.#log,
        errors: this.#errors,
        choices: this.#choices,
        settings: readSettings,
        changed: () => this.#changed(),
      });
    this.#creating.set(key, creating);
    const server = await creating;
    // The folder may have left the window meanwhile.
    if (this.#creating.get(key) !== creating) return undefined;
    this.#folders.set(key, server);
    await server.ready(asked);
    return server;
  }

  #changed(): void {
    const states = this.states;
    const set = (name: string, value: boolean) => void editorCommands.executeCommand('setContext', name, value);
    set(contexts.active, this.running);
    set(
      contexts.building,
      states.some((state) => state.busy),
    );
    set(
      contexts.hasChanges,
      states.some((state) => state.units.some((unit) => unit.functions.length > 0)),
    );
    this.#states.fire(this.state);
  }

  /**
   * The server that a question is about: by its root, its document or its unit; else the current one, or the first folder's. A root that
   * no configured folder has gets none: the answer of another folder would be taken for its own.
   */
  async #route(about: { readonly root?: string; readonly uri?: string; readonly unit?: string }) {
    const known = [...this.#folders.values()];
    const { root, uri, unit } = about;
    if (root !== undefined && root !== '') {
      const found = known.find((each) => each.state.root === root);
      if (found) return found;
      const named = (await configuredFolders()).find((each) => each.uri.fsPath === root);
      return named && this.#ready(named);
    }
    const folder = uri === undefined ? undefined : workspace.getWorkspaceFolder(Uri.parse(uri));
    const ofFolder = folder && this.#folders.get(folder.uri.toString());
    if (ofFolder) return ofFolder;
    if (unit !== undefined) {
      const found = known.find((each) => each.state.units.some((one) => one.id === unit));
      if (found) return found;
    }
    const current = this.#current();
    if (current) return current;
    const [first] = await configuredFolders();
    return first && this.#ready(first);
  }

  /**
   * Asks the server of the folder that `params` is about (`uri`, `unit`), or of `root`; starts one where needed. Rejects where no
   * folder is configured: the message says what to do.
   */
  async request<Params extends object, Result>(
    method: Method<Params, Result>,
    params: Params,
    token?: CancellationToken,
    root?: string,
  ): Promise<Result> {
    const server = await this.#route({ ...params, ...(root === undefined ? {} : { root }) });
    if (!server)
      throw new Error(
        workspace.isTrusted
          ? l10n.t('No folder of this window has a livepatch.json or a compile_commands.json.')
          : l10n.t('The folder is not trusted: no compiler is run in it.'),
      );
    return (await server.ready(BY_USER.has(method.method))).sendRequest<Result>(method.method, params, token);
  }

  /** Tells every server that runs; the others learn by their start options. */
  send<Params>(method: Method<Params, void>, params: Params): void {
    for (const each of this.#folders.values()) each.send(method, params);
  }

  sendChoices(): void {
    this.send(setChoices, this.#choices());
  }

  async restart(): Promise<void> {
    const server = this.#current();
    if (server) await server.restart();
    else for (const folder of await configuredFolders()) await this.#ready(folder, true);
  }
}
