import type { LogOutputChannel, WorkspaceFolder } from 'vscode';
import { RelativePattern, Uri, workspace } from 'vscode';
import { LanguageClient, State, TransportKind } from 'vscode-languageclient/node';
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

/** The language server of one workspace folder, restarted by the language client after a crash. */
export class FolderServer {
  readonly #options: FolderOptions;
  #client: LanguageClient | undefined;
  #starting: Promise<LanguageClient> | undefined;
  #state = EMPTY;

  constructor(options: FolderOptions) {
    this.#options = options;
  }

  get state(): PatchState {
    return this.#state;
  }

  get running(): boolean {
    return this.#client?.state === State.Running;
  }

  get pid(): number | undefined {
    return this.#client?.serverProcess?.pid;
  }

  /** The running client, started where it is not. A start that failed is tried again by the next one who asks. */
  ready(): Promise<LanguageClient> {
    this.#starting ??= this.#start().catch((error: unknown) => {
      this.#starting = undefined;
      this.#options.log.error(`The language server did not start: ${String(error)}`);
      throw error;
    });
    return this.#starting;
  }

  async #start(): Promise<LanguageClient> {
    const { log } = this.#options;
    const client = this.#create();
    this.#client = client;
    client.onNotification(stateChanged.method, (state: PatchState) => this.#take(state));
    client.onNotification(
      logMessage.method,
      ({ level, text }: { level: 'trace' | 'info' | 'warn' | 'error'; text: string }) => log[level](text),
    );
    client.onDidChangeState(async ({ newState }) => {
      if (newState === State.Running) this.#take(await client.sendRequest<PatchState>(getState.method, {}));
      if (newState === State.Stopped) this.#take({ ...this.#state, busy: false });
    });
    await client.start();
    return client;
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
    });
    const others = (workspace.workspaceFolders?.length ?? 0) > 1;
    const inside = `${folder.uri.fsPath.replace(/[*?{}[\]]/g, '[$&]')}/**`;
    return new LanguageClient(
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
          fileEvents: ['**/*.{c,h,inc,def}', '**/{livepatch,compile_commands}.json'].map((glob) =>
            workspace.createFileSystemWatcher(new RelativePattern(folder, glob)),
          ),
        },
        markdown: { isTrusted: false, supportHtml: false },
        middleware: { handleDiagnostics: (uri, list, next) => errors.publish(uri, list, next) },
      },
    );
  }

  #take(state: PatchState): void {
    this.#state = state;
    this.#options.changed();
  }

  send<Params>(method: Method<Params, void>, params: Params): void {
    if (this.running) void this.#client?.sendNotification(method.method, params);
  }

  async restart(): Promise<void> {
    if (this.#client) await this.#client.restart();
    else await this.ready();
  }

  async dispose(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    this.#starting = undefined;
    await client?.dispose();
  }
}
