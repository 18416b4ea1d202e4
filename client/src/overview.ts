import { commands as editorCommands, l10n, Range, Uri, ViewColumn, type WebviewPanel, window, workspace } from 'vscode';
import { exportReport, type OverviewDocument, type OverviewLink, overview } from '../../server/src/protocol.ts';
import { detach, rootOf } from './apply.ts';
import { commands, panels } from './names.ts';
import { messageOf } from './pageMessages.ts';
import { PagePanel } from './pages.ts';
import type { Room } from './room.ts';

/** What an overview is about: a folder. */
interface Subject {
  readonly root: string;
}

/** Commands that buttons of the page may run. */
const BUTTONS: ReadonlySet<string> = new Set([commands.exportMarkdown, commands.exportHtml, commands.buildPatch]);

/** Milliseconds after which a page that was unfinished is drawn again. */
const AGAIN = 700;

/** One page for the whole patch, in a panel of its own. */
class Overview {
  readonly #room: Room;
  readonly #panel: PagePanel;
  readonly #subject: Subject;
  /** What the page was made of. */
  #from = '';
  #shown: OverviewDocument | undefined;
  #drawing: Promise<void> = Promise.resolve();
  #again: NodeJS.Timeout | undefined;

  constructor(room: Room, panel: WebviewPanel, subject: Subject) {
    this.#room = room;
    this.#subject = subject;
    this.#panel = new PagePanel(panel, room.context.extensionUri, subject, [
      { command: commands.exportMarkdown, label: l10n.t('Export as Markdown…') },
      { command: commands.exportHtml, label: l10n.t('Export as HTML…') },
      { command: commands.buildPatch, label: l10n.t('Build patch') },
    ]);
    panel.webview.onDidReceiveMessage((value: unknown) => detach(this.#heard(value)));
    panel.onDidDispose(() => clearTimeout(this.#again));
  }

  get root(): string {
    return this.#subject.root;
  }

  /** It is what the user looks at. */
  get active(): boolean {
    return this.#panel.panel.active;
  }

  reveal(): void {
    this.#panel.panel.reveal();
  }

  /** Draws what the session knows now; in place, where the page is there already. */
  draw(): Promise<void> {
    this.#drawing = this.#drawing
      .then(() => this.#draw())
      .catch((error: unknown) => this.#room.log.error(String(error)));
    return this.#drawing;
  }

  async #draw(): Promise<void> {
    const { decisions, server } = this.#room;
    const state = server.states.find((each) => each.root === this.#subject.root);
    const from = JSON.stringify([state?.units, state?.problems, state?.fingerprint, decisions.reviewed]);
    if (this.#shown && from === this.#from) return;
    this.#shown = await server.request(overview, { reviewed: decisions.reviewed }, undefined, this.#subject.root);
    this.#from = from;
    await this.#panel.show(this.#shown);
    if (!this.#shown.unfinished || this.#again) return;
    this.#again = setTimeout(() => {
      this.#again = undefined;
      this.#from = '';
      void this.draw();
    }, AGAIN);
  }

  async #heard(value: unknown): Promise<void> {
    const message = messageOf(value);
    if (!message || !this.#shown) return this.#room.log.warn('the overview sent what is no message');
    switch (message.type) {
      case 'open':
        return this.#open(message.to);
      case 'command':
        if (BUTTONS.has(message.command)) await editorCommands.executeCommand(message.command, this.#subject);
        return;
      case 'review': {
        const { decisions } = this.#room;
        const function_ = message.kind === 'function' ? this.#shown.functions[message.index] : undefined;
        const finding = message.kind === 'finding' ? this.#shown.findings[message.index] : undefined;
        if (function_) await decisions.review([function_], message.checked);
        if (finding) await decisions.reviewFindings([finding], message.checked);
        return;
      }
    }
  }

  async #open(to: OverviewLink): Promise<void> {
    switch (to.kind) {
      case 'function':
        return editorCommands.executeCommand(commands.reviewFunction, { unit: to.unit, name: to.name });
      case 'type':
        return editorCommands.executeCommand(commands.compareLayout, { unit: to.unit, type: to.type });
      case 'data':
        return editorCommands.executeCommand(commands.compareData, { unit: to.unit, name: to.name });
      case 'docs':
        return editorCommands.executeCommand(commands.openDocs, { code: to.code });
      case 'finding': {
        const place = this.#shown?.findings[to.index]?.place;
        if (!place) return;
        const selection = new Range(place.line, place.character, place.line, place.character);
        await window.showTextDocument(Uri.parse(place.uri), { selection });
      }
    }
  }
}

/** A path to write to: VS Code hands the menu of a page's title a URI of the panel. */
const isFile = (argument: unknown): argument is Uri => argument instanceof Uri && argument.scheme === 'file';

/** Where an exported page goes: the given file, else one that the user names. */
async function target(argument: unknown, name: string, root: string): Promise<Uri | undefined> {
  if (isFile(argument)) return argument;
  const [label, extension] = name.endsWith('.html') ? ['HTML', 'html'] : ['Markdown', 'md'];
  return window.showSaveDialog({
    defaultUri: Uri.joinPath(Uri.file(root), name),
    filters: { [label]: [extension] },
    title: l10n.t('Export the patch overview'),
  });
}

/** The overview of the patch in a webview, and its export as Markdown and as HTML. */
export function activate(room: Room): void {
  const { context, server, decisions } = room;
  const open = new Map<string, Overview>();
  const adopt = (panel: WebviewPanel, subject: Subject): Overview => {
    const shown = new Overview(room, panel, subject);
    open.set(subject.root, shown);
    panel.onDidDispose(() => open.get(subject.root) === shown && open.delete(subject.root));
    return shown;
  };
  /** The folder that a command is about, also where its server has told nothing yet. */
  const folderOf = (argument: unknown): string =>
    (argument instanceof Uri ? undefined : rootOf(argument)) ??
    [...open.values()].find((each) => each.active)?.root ??
    server.state.root;
  const show = async (argument: unknown): Promise<void> => {
    const root = folderOf(argument) || (workspace.workspaceFolders?.[0]?.uri.fsPath ?? '');
    const known = open.get(root);
    if (known) {
      known.reveal();
      return known.draw();
    }
    const panel = window.createWebviewPanel(panels.overview, l10n.t('Patch Overview'), ViewColumn.Active);
    await adopt(panel, { root }).draw();
  };
  const save = async (argument: unknown, format: 'markdown' | 'html'): Promise<Uri | undefined> => {
    const root = folderOf(argument);
    const { text, name } = await server.request(
      exportReport,
      { reviewed: decisions.reviewed, format },
      undefined,
      root,
    );
    const file = await target(argument, name, root);
    if (!file) return undefined;
    await workspace.fs.writeFile(file, new TextEncoder().encode(text));
    if (!isFile(argument)) await editorCommands.executeCommand('vscode.open', file);
    return file;
  };
  const redraw = (): void => {
    // A page starts no server: it is told of the end of one, too.
    for (const each of open.values())
      if (server.isRunning(each.root) && server.states.some((state) => state.root === each.root && !state.busy))
        void each.draw();
  };
  context.subscriptions.push(
    editorCommands.registerCommand(commands.showOverview, show),
    editorCommands.registerCommand(commands.exportMarkdown, (argument) => save(argument, 'markdown')),
    editorCommands.registerCommand(commands.exportHtml, (argument) => save(argument, 'html')),
    window.registerWebviewPanelSerializer(panels.overview, {
      deserializeWebviewPanel: async (panel, state: unknown) => {
        const root = (state as { readonly subject?: Subject } | undefined)?.subject?.root;
        const known =
          workspace.workspaceFolders?.find(({ uri }) => uri.fsPath === root) ?? workspace.workspaceFolders?.[0];
        if (!known) return panel.dispose();
        await adopt(panel, { root: known.uri.fsPath }).draw();
      },
    }),
    server.onState(redraw),
    decisions.onDidChange(redraw),
  );
}
