import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import * as vscode from 'vscode';
import type { Api } from '../../client/src/extension.ts';
import type { FunctionItem, PatchState } from '../../server/src/protocol.ts';

export const EXTENSION = 'livepatch-author.livepatch-author';

/** Folder that the window has open. */
export const root = (): string => {
  const folder = vscode.workspace.workspaceFolders?.[0];
  assert.ok(folder, 'a folder is open');
  return folder.uri.fsPath;
};

export const pathOf = (name: string): string => join(root(), name);
export const uriOf = (name: string): vscode.Uri => vscode.Uri.file(pathOf(name));

/** Asks until the answer is neither undefined nor false; throws with `what` when the time is over. */
export async function until<T>(
  what: string,
  ask: () => T | Promise<T>,
  milliseconds = 20_000,
): Promise<Exclude<T, undefined | null | false>> {
  const end = Date.now() + milliseconds;
  let last: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== null && answer !== false)
        return answer as Exclude<T, undefined | null | false>;
      last = answer;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end)
      throw new Error(
        `Not within ${milliseconds / 1000} s: ${what} (last: ${last instanceof Error ? last.message : JSON.stringify(last)})`,
      );
    await new Promise((resolve) => setTimeout(resolve, 60));
  }
}

export async function api(): Promise<Api> {
  const extension = vscode.extensions.getExtension<Api>(EXTENSION);
  assert.ok(extension, 'the extension is installed');
  return extension.activate();
}

export async function open(name: string): Promise<vscode.TextEditor> {
  return vscode.window.showTextDocument(uriOf(name), { preview: false });
}

/** Replaces a text that is there once, as one edit of the buffer. */
export async function replace(editor: vscode.TextEditor, from: string, to: string): Promise<void> {
  const text = editor.document.getText();
  assert.equal(text.split(from).length, 2, `once in ${editor.document.fileName}: ${from}`);
  const start = text.indexOf(from);
  const range = new vscode.Range(editor.document.positionAt(start), editor.document.positionAt(start + from.length));
  const edit = new vscode.WorkspaceEdit();
  edit.replace(editor.document.uri, range, to);
  assert.ok(await vscode.workspace.applyEdit(edit));
}

/** Position of a text in a document, plus an offset. */
export function find(document: vscode.TextDocument, text: string, offset = 0): vscode.Position {
  const index = document.getText().indexOf(text);
  assert.notEqual(index, -1, `${text} is in ${document.fileName}`);
  return document.positionAt(index + offset);
}

/** Text of a file as it was committed. */
const committed = (name: string): string =>
  execFileSync('git', ['-C', root(), 'show', `HEAD:${name}`], { encoding: 'utf8' });

/**
 * Puts every file back to what was committed, by way of the editor, so that it knows of no other text; then closes all editors
 * and waits until the extension is at rest.
 */
export async function reset(): Promise<void> {
  const git = (...args: string[]): string => execFileSync('git', ['-C', root(), ...args], { encoding: 'utf8' });
  const touched = new Set(git('diff', '--name-only').split('\n').filter(Boolean));
  for (const document of vscode.workspace.textDocuments)
    if (document.isDirty && vscode.workspace.getWorkspaceFolder(document.uri))
      touched.add(vscode.workspace.asRelativePath(document.uri));
  for (const name of touched) {
    const document = await vscode.workspace.openTextDocument(uriOf(name));
    const whole = new vscode.Range(0, 0, document.lineCount, 0);
    const edit = new vscode.WorkspaceEdit();
    edit.replace(document.uri, whole, committed(name));
    await vscode.workspace.applyEdit(edit);
    await document.save();
  }
  await vscode.commands.executeCommand('workbench.action.closeAllEditors');
  assert.equal(git('diff', '--name-only'), '');
  if (vscode.extensions.getExtension(EXTENSION)?.isActive && touched.size > 0)
    await settled(
      'nothing is left of the edits',
      (state) => functionsOf(state).length === 0 && !state.units.some((unit) => unit.findings.length > 0),
      40_000,
    );
}

export const functionsOf = (state: PatchState): FunctionItem[] => state.units.flatMap((unit) => unit.functions);

/** The state once it is at rest and `accept`s it. */
export async function settled(
  what: string,
  accept: (state: PatchState) => boolean,
  milliseconds = 20_000,
): Promise<PatchState> {
  const { state } = await api();
  const outline = (): string => {
    const { verdict, busy, units, problems } = state();
    const list = units.map(
      (unit) =>
        `${unit.file.split('/').pop()} ${unit.phase}${unit.stale ? ' stale' : ''} [${unit.functions.map((each) => each.name)}] [${unit.findings.map((each) => each.code)}] ${unit.message ?? ''}`,
    );
    return `${verdict}${busy ? ' busy' : ''}: ${list.join('; ')} ${problems.join('; ')}`;
  };
  return until(what, () => (!state().busy && accept(state()) ? state() : undefined), milliseconds).catch(
    (error: Error) => {
      throw new Error(`${error.message}\n${outline()}`);
    },
  );
}

export const findings = (uri: vscode.Uri): vscode.Diagnostic[] =>
  vscode.languages.getDiagnostics(uri).filter((each) => each.source === 'livepatch');

export const codeOf = (diagnostic: vscode.Diagnostic): string =>
  String(typeof diagnostic.code === 'object' ? diagnostic.code.value : diagnostic.code);

/** All hover texts at a position, ours and others'. */
export async function hoverText(uri: vscode.Uri, position: vscode.Position): Promise<string> {
  const hovers = await vscode.commands.executeCommand<vscode.Hover[]>('vscode.executeHoverProvider', uri, position);
  return hovers
    .flatMap((hover) => hover.contents)
    .map((content) => (typeof content === 'string' ? content : content.value))
    .join('\n');
}

/** Of a list with an odd number of elements the one in the middle. */
export const median = (list: readonly number[]): number => [...list].sort((a, b) => a - b)[list.length >> 1] ?? 0;

/**
 * How many times slower than alone this process gets on at the moment: wall time of a fixed piece of work, divided by its processor
 * time. 1 on a quiet machine; limits on time are multiplied by it, so that they speak of the program and not of its neighbours.
 */
export function patience(): number {
  const [cpu, began] = [process.cpuUsage(), performance.now()];
  let sum = 0;
  while (process.cpuUsage(cpu).user < 60_000) for (let step = 0; step < 10_000; step++) sum += Math.sqrt(step);
  assert.ok(sum > 0);
  const { user, system } = process.cpuUsage(cpu);
  return Math.max(1, (performance.now() - began) / ((user + system) / 1000));
}

/** A part of a page, in pixels. */
export interface Clip {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** A page that a window is drawn in, where the host has a door to it (test/host/code-shim.cjs). */
export class Page {
  readonly #index: number;

  constructor(index: number) {
    this.#index = index;
  }

  get available(): boolean {
    return process.env.CODE_SHIM_URL !== undefined;
  }

  async ask(request: string, body: Record<string, unknown>): Promise<unknown> {
    const answer = await fetch(`${process.env.CODE_SHIM_URL}/${request}`, {
      method: 'POST',
      body: JSON.stringify({ ...body, page: this.#index }),
    });
    const { ok, out, err } = (await answer.json()) as { ok: boolean; out: unknown; err?: string };
    if (!ok) throw new Error(err);
    return out;
  }

  /** A second window on the folder (or on another one, `''`: on none), as a user has it: without a suite in it, so that dialogs are shown. */
  async open(file?: string, folder?: string): Promise<Page> {
    return new Page((await this.ask('open', { file, folder })) as number);
  }

  async close(): Promise<void> {
    await this.ask('close', {});
  }

  /** Value of an expression in the page. */
  async evaluate<T>(expr: string): Promise<T> {
    return (await this.ask('eval', { expr })) as T;
  }

  /** Value of an expression in the webview that has an element like `within`. */
  async evaluateIn<T>(within: string, expr: string): Promise<T> {
    return (await this.ask('eval', { within, expr })) as T;
  }

  /** Clicks in the webview that has an element like `within`. */
  async clickIn(within: string, sel: string, text?: string): Promise<void> {
    await this.ask('click', { within, sel, ...(text === undefined ? {} : { text }) });
  }

  /** Labels and texts of all elements that match. */
  async texts(selector: string): Promise<string[]> {
    return this.evaluate(
      `[...document.querySelectorAll(${JSON.stringify(selector)})].map((e) => (e.getAttribute('aria-label') ?? '') + '\\n' + e.innerText.replace(/\\u00a0/g, ' '))`,
    );
  }

  /** Waits for an element whose label or text matches, and returns that. */
  async text(selector: string, pattern: RegExp, milliseconds = 20_000): Promise<string> {
    let last: string[] = [];
    return until(
      `${pattern} in ${selector}`,
      async () => {
        last = await this.texts(selector);
        return last.find((text) => pattern.test(text));
      },
      milliseconds,
    ).catch(async (error: Error) => {
      await this.shot('failed');
      throw new Error(`${error.message}\n${last.join('\n').slice(0, 2000)}`);
    });
  }

  async click(sel: string, text?: string): Promise<void> {
    await this.ask('click', { sel, ...(text === undefined ? {} : { text }) });
  }

  async hover(sel: string, text?: string): Promise<void> {
    await this.ask('hover', { sel, ...(text === undefined ? {} : { text }) });
  }

  async press(key: string): Promise<void> {
    await this.ask('press', { key });
  }

  async type(text: string): Promise<void> {
    await this.ask('type', { text });
  }

  /** A picture for media/, where LPA_UPDATE_MEDIA asks for it; `clip` of a part: a walkthrough shows pictures small. */
  async shot(name: string, clip?: Clip): Promise<void> {
    if (!process.env.LPA_UPDATE_MEDIA || !process.env.LPA_MEDIA) return;
    await new Promise((resolve) => setTimeout(resolve, 500));
    await this.ask('shot', { path: join(process.env.LPA_MEDIA, `${name}.png`), clip });
  }

  /** A picture of a smaller window, for where it is shown small. */
  async smallShot(name: string, size: Pick<Clip, 'width' | 'height'>): Promise<void> {
    if (!process.env.LPA_UPDATE_MEDIA || !process.env.LPA_MEDIA) return;
    const whole = await this.evaluate<Clip>('({ width: innerWidth, height: innerHeight })');
    await this.ask('size', size);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await this.shot(name);
    await this.ask('size', { width: whole.width, height: whole.height });
  }
}

/** The window that the suite runs in. */
export const page = new Page(0);

/** Skips a test of what is drawn, where the window cannot be looked into. */
export function needsPage(test: Mocha.Context): void {
  if (page.available) return;
  console.log(`skipped: ${test.test?.title ?? 'a test'}: the window of this editor cannot be looked into`);
  test.skip();
}
