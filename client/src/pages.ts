import { randomBytes } from 'node:crypto';
import { env, l10n, Uri, type WebviewPanel } from 'vscode';
import type { PageDocument } from '../../server/src/protocol.ts';
import { panelIcons } from './names.ts';

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
const html = (text: string): string => text.replace(/[&<>"']/g, (character) => ENTITIES[character]!);

/** A button above a page: `command` is what its message carries. */
export interface PageButton {
  readonly command: string;
  readonly label: string;
}

/**
 * What runs in the page: tells the extension of links, boxes and buttons, takes a new body in place of the old one without losing focus,
 * scroll position or opened parts, and keeps those for when the panel is shown again. It has no access to anything but messages.
 */
const SCRIPT = `(() => {
  const vscode = acquireVsCodeApi();
  const before = vscode.getState() || {};
  const openParts = () => [...document.querySelectorAll('details')].flatMap((part, index) => (part.open ? [index] : []));
  const keep = () => vscode.setState({ subject: window.livepatchSubject, scroll: window.scrollY, open: openParts() });
  const restore = (scroll, open) => {
    [...document.querySelectorAll('details')].forEach((part, index) => { part.open = open.includes(index); });
    window.scrollTo(0, scroll);
  };
  const subject = document.querySelector('meta[name="livepatch-subject"]');
  window.livepatchSubject = subject ? JSON.parse(subject.content) : undefined;
  if (JSON.stringify(before.subject) === JSON.stringify(window.livepatchSubject)) restore(before.scroll || 0, before.open || []);
  keep();
  document.addEventListener('click', (event) => {
    const target = event.target instanceof Element ? event.target : undefined;
    const link = target && target.closest('[data-open]');
    if (link) {
      event.preventDefault();
      vscode.postMessage({ type: 'open', to: JSON.parse(link.getAttribute('data-open')) });
    }
    const button = target && target.closest('[data-command]');
    if (button) vscode.postMessage({ type: 'command', command: button.getAttribute('data-command') });
  });
  document.addEventListener('change', (event) => {
    const box = event.target instanceof HTMLInputElement ? event.target : undefined;
    const what = box && box.getAttribute('data-review');
    if (what) vscode.postMessage({ type: 'review', ...JSON.parse(what), checked: box.checked });
  });
  document.addEventListener('toggle', keep, true);
  window.addEventListener('scroll', keep, { passive: true });
  window.addEventListener('message', ({ data }) => {
    if (!data || data.type !== 'body' || typeof data.body !== 'string') return;
    const active = document.activeElement;
    const name = ['data-review', 'data-open', 'id'].map((key) => [key, active && active.getAttribute(key)]).find(([, value]) => value);
    const [scroll, open] = [window.scrollY, openParts()];
    document.getElementById('page').innerHTML = data.body;
    restore(scroll, open);
    if (name) {
      const again = [...document.querySelectorAll('[' + name[0] + ']')].find((each) => each.getAttribute(name[0]) === name[1]);
      if (again) again.focus({ preventScroll: true });
    }
    keep();
  });
})();`;

/**
 * A whole page for a webview around what the server made. Nothing is loaded from anywhere: one script and one style, both allowed by a
 * number that only this page knows. `subject` is what the page is about, kept with it when the window is closed.
 */
function pageOf(page: PageDocument, subject: unknown, buttons: readonly PageButton[]): string {
  const nonce = randomBytes(16).toString('base64');
  const bar = buttons
    .map(({ command, label }) => `<button type="button" data-command="${html(command)}">${html(label)}</button>`)
    .join('');
  // What the server found out is English, as it is in reports; the buttons are in the editor's language, where there is a bundle of it.
  const lang = l10n.bundle ? env.language : 'en';
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'nonce-${nonce}'; script-src 'nonce-${nonce}'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="livepatch-subject" content="${html(JSON.stringify(subject))}">
<title>${html(page.title)}</title>
<style nonce="${nonce}">${page.style}</style>
</head>
<body>
${bar === '' ? '' : `<header class="toolbar" lang="${html(lang)}"><div role="toolbar" aria-label="${html(l10n.t('Actions'))}">${bar}</div></header>`}
<div id="page">${page.body}</div>
<script nonce="${nonce}">${SCRIPT}</script>
</body>
</html>`;
}

/** A panel with a page: drawn in place while it is shown, whole where it is hidden, so that it is never older than what was shown last. */
export class PagePanel {
  readonly panel: WebviewPanel;
  readonly #subject: unknown;
  readonly #buttons: readonly PageButton[];
  #page: PageDocument | undefined;
  /** What the panel would show if it were loaded anew. */
  #whole: PageDocument | undefined;

  constructor(panel: WebviewPanel, extension: Uri, subject: unknown, buttons: readonly PageButton[]) {
    this.panel = panel;
    this.#subject = subject;
    this.#buttons = buttons;
    panel.webview.options = {
      enableScripts: true,
      enableCommandUris: false,
      enableForms: false,
      localResourceRoots: [],
    };
    const icon = (name: string): Uri => Uri.joinPath(extension, 'media', name);
    panel.iconPath = { light: icon(panelIcons.light), dark: icon(panelIcons.dark) };
    // A hidden panel is unloaded, and made again of its whole text.
    panel.onDidChangeViewState(() => {
      if (!panel.visible) this.#load();
    });
  }

  async show(page: PageDocument): Promise<void> {
    if (this.#page?.body === page.body) return;
    this.#page = page;
    if (this.#whole && this.panel.visible) await this.panel.webview.postMessage({ type: 'body', body: page.body });
    else this.#load();
  }

  #load(): void {
    if (!this.#page || this.#whole === this.#page) return;
    this.#whole = this.#page;
    this.panel.webview.html = pageOf(this.#page, this.#subject, this.#buttons);
  }
}
