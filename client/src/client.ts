import type { Event, ExtensionContext, LogOutputChannel, WorkspaceFolder } from 'vscode';
import { EventEmitter, commands as editorCommands, Uri, workspace } from 'vscode';
import { LanguageClient, State, TransportKind } from 'vscode-languageclient/node';
import {
  type Choices,
  getState,
  log as logMessage,
  type Method,
  type PatchState,
  type ServerOptions,
  type ServerSettings,
  setChoices,
  setSettings,
  stateChanged,
} from '../../server/src/protocol.ts';
import { contexts, section, settings } from './names.ts';
import { CompileErrors } from './problems.ts';
import { configuredFolder, isSource } from './workspace.ts';

const EMPTY: PatchState = {
  root: '',
  verdict: 'none',
  busy: false,
  units: [],
  problems: [],
  fingerprint: '',
};

function readSettings(): ServerSettings {
  const values = workspace.getConfiguration(section);
  const pause = values.get<number>(settings.checkUnsavedDelay, 600);
  return {
    ...(values.get<boolean>(settings.checkUnsaved, true) ? { idlePause: Math.max(100, pause) } : {}),
    inlayHints: values.get<boolean>(settings.inlayHints, false),
    codeLens: values.get<boolean>(settings.codeLens, true),
  };
}

/**
 * The language server as the rest of the client sees it: started when the first C source of a configured folder is opened (or
 * when a command needs it), restarted by the language client after a crash, with the newest state that it told.
 */
export class Server {
  readonly #context: ExtensionContext;
  readonly #log: LogOutputChannel;
  readonly #choices: () => Choices;
  readonly #states = new EventEmitter<PatchState>();
  readonly #errors = new CompileErrors();
  #client: LanguageClient | undefined;
  #starting: Promise<LanguageClient | undefined> | undefined;
  #state = EMPTY;

  readonly onState: Event<PatchState> = this.#states.event;

  constructor(context: ExtensionContext, log: LogOutputChannel, choices: () => Choices) {
    this.#context = context;
    this.#log = log;
    this.#choices = choices;
    context.subscriptions.push(this.#states, this.#errors, { dispose: () => void this.#client?.dispose() });
  }

  get state(): PatchState {
    return this.#state;
  }

  get running(): boolean {
    return this.#client?.state === State.Running;
  }

  /** Process id of the language server: for tests that kill it. */
  get pid(): number | undefined {
    return this.#client?.serverProcess?.pid;
  }

  /** Starts as soon as a C source of a configured folder is open; looks again when that may have become true. */
  watch(): void {
    const look = async (): Promise<void> => {
      const folder = await configuredFolder();
      void editorCommands.executeCommand('setContext', contexts.configured, folder !== undefined);
      if (folder && workspace.textDocuments.some(isSource)) await this.ready();
    };
    const signs = workspace.createFileSystemWatcher('**/{livepatch,compile_commands}.json', false, true, true);
    this.#context.subscriptions.push(
      signs,
      signs.onDidCreate(look),
      workspace.onDidChangeWorkspaceFolders(look),
      workspace.onDidOpenTextDocument((document) => {
        if (!this.#client && isSource(document)) void look();
      }),
      workspace.onDidChangeConfiguration((change) => {
        if (change.affectsConfiguration(section)) this.send(setSettings, readSettings());
      }),
    );
    void look();
  }

  /** The running client, started where it is not; undefined where no folder of the window is configured. */
  ready(): Promise<LanguageClient | undefined> {
    this.#starting ??= this.#start().catch((error: unknown) => {
      this.#starting = undefined;
      this.#log.error(`The language server did not start: ${String(error)}`);
      throw error;
    });
    return this.#starting;
  }

  async #start(): Promise<LanguageClient | undefined> {
    const folder = await configuredFolder();
    if (!folder || !workspace.isTrusted) {
      this.#starting = undefined;
      return undefined;
    }
    const client = this.#create(folder);
    this.#client = client;
    client.onNotification(stateChanged.method, (state: PatchState) => this.#take(state));
    client.onNotification(
      logMessage.method,
      ({ level, text }: { level: 'trace' | 'info' | 'warn' | 'error'; text: string }) => this.#log[level](text),
    );
    client.onDidChangeState(async ({ newState }) => {
      void editorCommands.executeCommand('setContext', contexts.active, newState === State.Running);
      if (newState === State.Running) this.#take(await client.sendRequest<PatchState>(getState.method, {}));
      if (newState === State.Stopped) this.#take({ ...this.#state, busy: false });
    });
    await client.start();
    return client;
  }

  #create(folder: WorkspaceFolder): LanguageClient {
    const module = this.#context.asAbsolutePath('dist/server.cjs');
    const cache = workspace.getConfiguration(section).get<string>(settings.cacheFolder, '');
    const initial = (): ServerOptions => ({
      trusted: workspace.isTrusted,
      settings: readSettings(),
      choices: this.#choices(),
      docs: Uri.joinPath(this.#context.extensionUri, 'docs', 'hazards').toString(),
      ...(cache ? { cache } : {}),
    });
    return new LanguageClient(
      section,
      'Live Patch',
      {
        run: { module, transport: TransportKind.ipc },
        debug: { module, transport: TransportKind.ipc, options: { execArgv: ['--nolazy', '--inspect=0'] } },
      },
      {
        documentSelector: [
          { scheme: 'file', language: 'c' },
          { scheme: 'file', pattern: '**/*.{h,inc,def}' },
        ],
        workspaceFolder: folder,
        initializationOptions: initial,
        outputChannel: this.#log,
        diagnosticCollectionName: section,
        synchronize: {
          fileEvents: [
            workspace.createFileSystemWatcher('**/*.{c,h,inc,def}'),
            workspace.createFileSystemWatcher('**/{livepatch,compile_commands}.json'),
          ],
        },
        markdown: { isTrusted: false, supportHtml: false },
        middleware: { handleDiagnostics: (uri, list, next) => this.#errors.publish(uri, list, next) },
      },
    );
  }

  #take(state: PatchState): void {
    this.#state = state;
    void editorCommands.executeCommand('setContext', contexts.building, state.busy);
    const changed = state.units.some((unit) => unit.functions.length > 0);
    void editorCommands.executeCommand('setContext', contexts.hasChanges, changed);
    this.#states.fire(state);
  }

  /** Asks the server, starting it where needed. Rejects where no folder is configured: the message says what to do. */
  async request<Params, Result>(
    method: Method<Params, Result>,
    params: Params,
    token?: import('vscode').CancellationToken,
  ): Promise<Result> {
    const client = await this.ready();
    if (!client)
      throw new Error(
        workspace.isTrusted
          ? 'No folder of this window has a livepatch.json or a compile_commands.json.'
          : 'The folder is not trusted: no compiler is run in it.',
      );
    return client.sendRequest<Result>(method.method, params, token);
  }

  /** Tells the server where it runs; else it learns by its start options. */
  send<Params>(method: Method<Params, void>, params: Params): void {
    if (this.running) void this.#client?.sendNotification(method.method, params);
  }

  sendChoices(): void {
    this.send(setChoices, this.#choices());
  }

  async restart(): Promise<void> {
    if (this.#client) await this.#client.restart();
    else await this.ready();
  }
}
