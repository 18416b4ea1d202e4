import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createMessageConnection, StreamMessageReader, StreamMessageWriter } from 'vscode-languageserver/node';
import type { Method, PatchState } from '../../server/src/protocol.ts';
import type { Project } from './project.ts';

const root = join(import.meta.dirname, '..', '..');

/** A language server on a project, with a test in place of the editor. */
export class Editor {
  readonly #project: Project;
  readonly #child: ChildProcess;
  readonly #connection;
  readonly #versions = new Map<string, number>();
  readonly log: string[] = [];
  state: PatchState | undefined;

  private constructor(project: Project) {
    this.#project = project;
    const child = spawn(process.execPath, ['--import', 'tsx', join(root, 'server', 'src', 'main.ts'), '--stdio'], {
      cwd: root,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child = child;
    this.#connection = createMessageConnection(
      new StreamMessageReader(child.stdout),
      new StreamMessageWriter(child.stdin),
    );
  }

  static async start(project: Project): Promise<Editor> {
    const editor = new Editor(project);
    const connection = editor.#connection;
    connection.onRequest('workspace/codeLens/refresh', () => null);
    connection.onNotification('livepatch/stateChanged', (state: PatchState) => {
      editor.state = state;
    });
    connection.onNotification('livepatch/log', ({ level, text }: { readonly level: string; readonly text: string }) => {
      editor.log.push(`${level}: ${text}`);
    });
    connection.listen();
    await connection.sendRequest('initialize', {
      processId: process.pid,
      rootUri: String(pathToFileURL(project.root)),
      capabilities: {},
      initializationOptions: {
        trusted: true,
        settings: { inlayHints: false, codeLens: true },
        choices: { leaveOut: [], overrides: {} },
        docs: '',
        cache: project.cache,
      },
    });
    await connection.sendNotification('initialized', {});
    return editor;
  }

  uri(file: string): string {
    return String(pathToFileURL(this.#project.path(file)));
  }

  /** Opens a file, or tells of what is in it now. */
  async show(file: string): Promise<void> {
    const [uri, text] = [this.uri(file), this.#project.read(file)];
    const version = (this.#versions.get(uri) ?? 0) + 1;
    this.#versions.set(uri, version);
    if (version === 1) {
      const textDocument = { uri, languageId: 'c', version, text };
      return this.#connection.sendNotification('textDocument/didOpen', { textDocument });
    }
    const textDocument = { uri, version };
    await this.#connection.sendNotification('textDocument/didChange', { textDocument, contentChanges: [{ text }] });
    await this.#connection.sendNotification('textDocument/didSave', { textDocument });
  }

  ask<Params extends object, Result>({ method }: Method<Params, Result>, params: Params): Promise<Result> {
    return this.#connection.sendRequest(method, params) as Promise<Result>;
  }

  lsp<Result>(method: string, params: object): Promise<Result> {
    return this.#connection.sendRequest(method, params) as Promise<Result>;
  }

  /** The state at rest, once it is as it should be. */
  async settled(what: string, accept: (state: PatchState) => boolean): Promise<PatchState> {
    for (const end = Date.now() + 60_000; Date.now() < end; ) {
      if (this.state && !this.state.busy && accept(this.state)) return this.state;
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    throw new Error(`not within a minute: ${what}\n${JSON.stringify(this.state)}\n${this.log.join('\n')}`);
  }

  /** Ends the server without a word. */
  async kill(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const gone = new Promise((resolve) => this.#child.once('exit', resolve));
      this.#child.kill('SIGKILL');
      await gone;
    }
    this.#connection.dispose();
  }
}
