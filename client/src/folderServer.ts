import type { FileSystemWatcher, LogOutputChannel, WorkspaceFolder } from 'vscode';
import { CancellationTokenSource, env, l10n, RelativePattern, Uri, window, workspace } from 'vscode';
import {
  CloseAction,
  CodeLensRequest,
  ErrorAction,
  LanguageClient,
  State,
  TransportKind,
} from 'vscode-languageclient/node';
import {
  type Choices,
  getState,
  log as logMessage,
  type Method,
  type PatchState,
  type ServerOptions,
  type ServerSettings,
  stateChanged,
} from '../../server/src/protocol.ts';
import { section, settings } from './names.ts';
import type { CompileErrors } from './problems.ts';
import { PromptLenses } from './promptLenses.ts';
import { EMPTY } from './state.ts';

/** What a folder's server is started with and tells to. */
export interface FolderOptions {
  readonly folder: WorkspaceFolder;
  /** Folder of the extension. */
  readonly extension: Uri;
  readonly log: LogOutputChannel;
  readonly errors: CompileErrors;
  readonly choices: () => Choices;
  readonly settings: () => ServerSettings;
  /** Called whenever the state is another one. */
  readonly changed: () => void;
}

/** A server that ends more often than this within the time is not started again by itself: it would do so for ever. */
const [MOST_CRASHES, CRASHES_WITHIN] = [5, 3 * 60_000] as const;

/** Milliseconds that a client which is to go gets to come up: one that is starting cannot be stopped. */
const LONGEST_LAUNCH = 5000;

/**
 * The language server of one workspace folder, with a new client after a crash. The client's own restart is not used: two messages
 * that were sent while the server died make it shut down for good, and one that dies while it starts is never tried again.
 */
export class FolderServer {
  readonly #options: FolderOptions;
  readonly #watchers: readonly FileSystemWatcher[];
  #client: LanguageClient | undefined;
  #starting: Promise<LanguageClient> | undefined;
  /** The start of the present client, which can only be stopped once that is over; undefined where its server ended. */
  #launch: Promise<void> | undefined;
  /** The client before the present one goes down. */
  #ending: Promise<void> = Promise.resolve();
  /** Starts so far: one that a later one has overtaken makes no server. */
  #starts = 0;
  /** The server ended again and again: only the user starts it once more. */
  #gaveUp = false;
  #state = EMPTY;
  /** When the server ended by itself, in milliseconds. */
  #crashes: number[] = [];
  #disposed = false;

  constructor(options: FolderOptions) {
    this.#options = options;
    this.#watchers = ['**/*.{c,h,inc,def}', '**/{livepatch,compile_commands}.json'].map((glob) =>
      workspace.createFileSystemWatcher(new RelativePattern(options.folder, glob)),
    );
  }

  get state(): PatchState {
    return this.#state;
  }

  get running(): boolean {
    // A client whose server has just died does not know it yet.
    return this.#starting !== undefined && this.#client?.state === State.Running;
  }

  get pid(): number | undefined {
    return this.#client?.serverProcess?.pid;
  }

  /**
   * The running client, started where it is not. A start that failed is tried again by the next one who asks; where the server ended
   * again and again, only by a user (`asked`): views ask whenever the state changes, which its end does.
   */
  ready(asked = false): Promise<LanguageClient> {
    if (this.#starting) return this.#starting;
    if (asked) this.#forgive();
    if (this.#gaveUp)
      return Promise.reject(
        new Error(l10n.t('The language server of Live Patch ended again and again. See its output for the reason.')),
      );
    const starting = this.#start().catch((error: unknown) => {
      if (this.#starting === starting) this.#starting = undefined;
      this.#options.log.error(`The language server did not start: ${String(error)}`);
      throw error;
    });
    this.#starting = starting;
    return starting;
  }

  async #start(): Promise<LanguageClient> {
    const { log } = this.#options;
    const start = ++this.#starts;
    const [before, launch] = [this.#client, this.#launch];
    if (before) {
      this.#client = undefined;
      this.#ending = this.#end(before, launch);
    }
    await this.#ending;
    if (this.#disposed) throw new Error('the folder has left the window');
    // A folder has one server: that of the last one who wanted it anew.
    if (start !== this.#starts) return this.ready();
    const client = this.#create();
    this.#client = client;
    const isCurrent = () => this.#client === client;
    client.onNotification(stateChanged.method, (state: PatchState) => {
      if (isCurrent()) this.#take(state);
    });
    client.onNotification(
      logMessage.method,
      ({ level, text }: { level: 'trace' | 'info' | 'warn' | 'error'; text: string }) => log[level](text),
    );
    client.onDidChangeState(({ newState }) => {
      if (!isCurrent()) return;
      if (newState !== State.Running) return;
      client.sendRequest<PatchState>(getState.method, {}).then(
        (state) => isCurrent() && this.#take(state),
        (error: unknown) => log.warn(`The language server did not tell its state: ${String(error)}`),
      );
    });
    const launching = client.start();
    this.#launch = launching;
    await launching.catch((error: unknown) => {
      if (start === this.#starts) throw error;
    });
    return start === this.#starts ? client : this.ready();
  }

  /** Takes down a client, whatever state it is in. */
  async #end(client: LanguageClient, launch: Promise<void> | undefined): Promise<void> {
    // One that has just lost its server is still cleaning up.
    await new Promise(setImmediate);
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise((resolve) => {
      timer = setTimeout(resolve, LONGEST_LAUNCH);
    });
    await Promise.race([launch?.catch(() => {}), timeout]);
    clearTimeout(timer);
    // One that has no connection any more rejects: there is nothing left to stop.
    await client.dispose().catch((error: unknown) => this.#options.log.debug(String(error)));
  }

  /** The server ended without being asked to: another one takes over, with the same open documents and choices. */
  #died(): void {
    if (this.#disposed) return;
    const { log } = this.#options;
    const now = Date.now();
    this.#crashes = [...this.#crashes, now].filter((time) => now - time < CRASHES_WITHIN);
    this.#starting = undefined;
    this.#launch = undefined;
    this.#gaveUp = this.#crashes.length > MOST_CRASHES;
    this.#take({ ...this.#state, busy: false });
    if (!this.#gaveUp) {
      log.warn('The language server ended unexpectedly and is started again.');
      void this.ready().catch(() => {});
      return;
    }
    log.error(`The language server ended ${this.#crashes.length} times within three minutes.`);
    const again = l10n.t('Start Again');
    void window
      .showErrorMessage(
        l10n.t('The language server of Live Patch ended again and again. See its output for the reason.'),
        again,
      )
      .then((choice) => (choice === again ? this.restart() : undefined))
      .then(undefined, (error: unknown) => log.error(String(error)));
  }

  #create(): LanguageClient {
    const { folder, extension, log, errors, choices } = this.#options;
    const module = Uri.joinPath(extension, 'dist', 'server.cjs').fsPath;
    const cache = workspace.getConfiguration(section).get<string>(settings.cacheFolder, '');
    const initial = (): ServerOptions => ({
      trusted: workspace.isTrusted,
      settings: this.#options.settings(),
      choices: choices(),
      docs: Uri.joinPath(extension, 'docs', 'hazards').toString(),
      ...(cache ? { cache } : {}),
      ...(l10n.bundle ? { texts: l10n.bundle, language: env.language } : {}),
    });
    const others = (workspace.workspaceFolders?.length ?? 0) > 1;
    const inside = `${folder.uri.fsPath.replace(/[*?{}[\]]/g, '[$&]')}/**`;
    const lenses = new PromptLenses((document) =>
      client.getFeature(CodeLensRequest.method).getProvider(document)?.onDidChangeCodeLensEmitter.fire(),
    );
    const client: LanguageClient = new LanguageClient(
      others ? `${section}.${folder.index}` : section,
      others ? `Live Patch (${folder.name})` : 'Live Patch',
      {
        run: { module, transport: TransportKind.ipc },
        debug: { module, transport: TransportKind.ipc, options: { execArgv: ['--nolazy', '--inspect=0'] } },
      },
      {
        // The only folder's server is also asked about files outside of it, such as headers of a neighbour.
        documentSelector: [
          { scheme: 'file', language: 'c', ...(others ? { pattern: `${inside}/*` } : {}) },
          { scheme: 'file', pattern: `${others ? inside : '**'}/*.{h,inc,def}` },
        ],
        workspaceFolder: folder,
        initializationOptions: initial,
        outputChannel: log,
        diagnosticCollectionName: section,
        synchronize: {
          fileEvents: [...this.#watchers],
        },
        markdown: { isTrusted: false, supportHtml: false },
        middleware: {
          handleDiagnostics: (uri, list, next) => errors.publish(uri, list, next),
          // Not with the editor's token: an answer that it does not wait for any more is the newest one all the same.
          provideCodeLenses: (document, _token, next) =>
            lenses.provide(document, async () => next(document, new CancellationTokenSource().token)),
        },
        errorHandler: {
          // A message that did not get through: either the process is gone, which `closed` tells, or the next one does.
          error: () => ({ action: ErrorAction.Continue, handled: true }),
          closed: () => {
            if (this.#client === client) this.#died();
            return { action: CloseAction.DoNotRestart, handled: true };
          },
        },
        initializationFailedHandler: () => false,
      },
    );
    return client;
  }

  #take(state: PatchState): void {
    this.#state = state;
    this.#options.changed();
  }

  send<Params>(method: Method<Params, void>, params: Params): void {
    if (this.running) void this.#client?.sendNotification(method.method, params);
  }

  #forgive(): void {
    if (this.#gaveUp) this.#crashes = [];
    this.#gaveUp = false;
  }

  async restart(): Promise<void> {
    this.#crashes = [];
    this.#gaveUp = false;
    this.#starting = undefined;
    await this.ready();
  }

  async dispose(): Promise<void> {
    this.#disposed = true;
    const [client, launch] = [this.#client, this.#launch];
    this.#client = undefined;
    this.#starting = undefined;
    for (const watcher of this.#watchers) watcher.dispose();
    if (client) await this.#end(client, launch);
  }
}
