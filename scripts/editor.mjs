// Opens the extension in a VS Code: the desktop's `code` where it is on the PATH, else VS Code in the browser, served on
// loopback with a token. `npm start` comes here; `node scripts/editor.mjs [FOLDER]` does the same by hand.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { cacheFolder, ensureHost, installVsix, startServer, which } from './editor-host.mjs';

const repository = join(import.meta.dirname, '..');

/** Starts the desktop's VS Code with the extension from this folder. Needs dist/ to be built. */
function openDesktop(code, folder, file) {
  const args = [
    '--new-window',
    `--extensionDevelopmentPath=${repository}`,
    folder,
    ...(file ? ['--goto', join(folder, file)] : []),
  ];
  const child = spawn(code, args, { stdio: 'ignore', detached: true });
  child.unref();
  return { kind: 'desktop', address: undefined, stop: async () => {}, closed: Promise.resolve() };
}

/** Installs the .vsix into the extensions folder of the browser's VS Code, unless that very file is there. */
function installOnce(host, vsix, extensions, data) {
  const stamp = join(extensions, '.livepatch-author');
  const wanted = createHash('sha256').update(readFileSync(vsix)).digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  rmSync(extensions, { recursive: true, force: true });
  mkdirSync(extensions, { recursive: true });
  installVsix(host, vsix, extensions, data);
  writeFileSync(stamp, wanted);
}

/** Serves VS Code in the browser with the extension installed from its .vsix, as a user's VS Code would have it. */
async function openBrowser(folder, file, port, log) {
  const host = ensureHost(log);
  const { packageExtension } = await import('./package.mjs');
  const vsix = await packageExtension({ log, quiet: true });
  const data = join(cacheFolder(), 'editor');
  const extensions = join(data, 'extensions');
  installOnce(host, vsix, extensions, data);
  const settings = { 'security.workspace.trust.enabled': false };
  const server = await startServer(host, { data, extensions, port, settings });
  const query = new URLSearchParams({ tkn: server.token, folder });
  if (file)
    query.set(
      'payload',
      JSON.stringify([['openFile', `vscode-remote://${server.authority}${encodeURI(join(folder, file))}`]]),
    );
  const closed = new Promise((done) => server.child.once('exit', done));
  return { kind: 'browser', address: `http://${server.authority}/?${query}`, stop: server.stop, closed };
}

/**
 * Opens an editor on `folder` with the extension loaded; `file`, relative to it, is shown first. Resolves once it is up, with
 * `address` (browser only: to be shown to the user), `stop()` and the promise `closed`.
 *
 * @param {{folder: string, file?: string, port?: number, browser?: boolean, log?: (line: string) => void}} options
 */
export async function openEditor({ folder, file, port = 0, browser = false, log = console.error }) {
  const code = browser ? undefined : which('code');
  const root = resolve(folder);
  return code ? openDesktop(code, root, file) : openBrowser(root, file, port, log);
}

if (process.argv[1] === import.meta.filename) {
  const editor = await openEditor({ folder: process.argv[2] ?? join(repository, 'examples', 'ticker') });
  if (editor.address) console.log(`Open ${editor.address}\nCtrl+C ends it.`);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
    process.on(signal, () => editor.stop().then(() => process.exit(0)));
  await editor.closed;
}
