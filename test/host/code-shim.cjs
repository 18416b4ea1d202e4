#!/usr/bin/env node
// Stands in for a VS Code desktop executable: takes the flags that @vscode/test-electron passes and runs the suite in the
// VS Code server of code-server's npm package, with Chromium as the window. Unset VSCODE_EXECUTABLE and the same suite runs
// in a desktop VS Code.
//
// Environment: LPA_SHIM_TIMEOUT_MS (default 300000), LPA_SHIM_TRUST=ask (folders are not trusted beforehand),
// LPA_SHIM_VERBOSE, LPA_SHIM_LOG (file for the server's log). The suite finds CODE_SHIM_URL, a door to the page:
// POST /eval {expr, within?}, /shot {path, keepPointer?}, /hover {sel}, /click {sel, text?}, /press {key}, /type {text}, /size {width, height},
// /frames; /open {file?, folder?} opens a second window as a user has it, in which dialogs are shown: its number goes into `page`.
'use strict';
const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');
const util = require('node:util');

const LIMIT = Number(process.env.LPA_SHIM_TIMEOUT_MS || 300_000);
const VERBOSE = process.env.LPA_SHIM_VERBOSE;
/** Lines of the workbench's own that say nothing about the suite. */
const NOISE =
  /^(Resolv(ing|ed) connection token|Creating a socket|Updating additional builtin|ChatSessionStore|\[(AgentHost|ChatModel|AccountPolicy|Service Worker|reconnection|perf)|Started|Completed|Loading)/;

/** What is understood of VS Code's command line; anything else means nothing here. */
function parse(argv) {
  const options = { extensions: [], tests: undefined, extensionsDir: undefined, folder: undefined };
  for (let index = 0; index < argv.length; index++) {
    const found = /^--([^=]+)(?:=(.*))?$/s.exec(argv[index]);
    if (!found) {
      options.folder ??= path.resolve(argv[index]);
      continue;
    }
    const value = () => found[2] ?? argv[++index];
    if (found[1] === 'extensionDevelopmentPath') options.extensions.push(value());
    else if (found[1] === 'extensionTestsPath') options.tests = value();
    else if (found[1] === 'extensions-dir') options.extensionsDir = value();
  }
  return options;
}

/** The door: what the suite, inside the extension host, may ask of a page. */
function door(page, open) {
  const locate = (request) => {
    const all = page.locator(request.sel);
    return (request.text === undefined ? all : all.filter({ hasText: request.text })).first();
  };
  const frameWith = async (selector) => {
    if (selector === undefined) return page.mainFrame();
    // The one that was opened last, of several.
    for (const frame of page.frames().reverse()) {
      const found = await frame
        .evaluate((sel) => document.querySelector(sel)?.getClientRects().length > 0, selector)
        .catch(() => false);
      if (found) return frame;
    }
    throw new Error(`no frame shows ${selector}`);
  };
  return {
    '/shot': async (request) => {
      if (!request.keepPointer) await page.mouse.move(1100, 6);
      await page.waitForTimeout(400);
      await page.screenshot({ path: request.path, ...(request.clip ? { clip: request.clip } : {}) });
    },
    // `within`: in the frame that has such an element, a webview's.
    '/eval': async (request) => (await frameWith(request.within)).evaluate(request.expr),
    '/hover': (request) => locate(request).hover({ timeout: 5000 }),
    '/click': async (request) => {
      // A tooltip of what the pointer rested on would be in the way.
      await page.mouse.move(1100, 6);
      const frame = await frameWith(request.within);
      const all = frame.locator(request.sel);
      await (request.text === undefined ? all : all.filter({ hasText: request.text })).first().click({ timeout: 8000 });
    },
    '/press': (request) => page.keyboard.press(request.key),
    '/type': (request) => page.keyboard.type(request.text),
    '/size': (request) => page.setViewportSize({ width: request.width, height: request.height }),
    '/open': open,
    '/close': () => page.close(),
    '/frames': async () => {
      const read = (frame) => frame.evaluate('document.body ? document.body.innerText : ""').catch(() => '');
      return (await Promise.all(page.frames().map(read))).filter(Boolean);
    },
  };
}

/** Errors of the host itself: native parts that were not built for it, and a gallery that is not asked. */
const HOST_TROUBLE =
  /spdlog|native-watchdog|bindings file|queryRawGallery|ENOTFOUND|Service Worker|workbench contribution|already registered|authentication provider/;

async function main() {
  const { ensureHost, findBrowser, startServer } = await import('../../scripts/editor-host.mjs');
  const { playwright } = ensureHost();
  const host = ensureHost(console.error, process.env.LPA_SHIM_EDITION || 'newest');
  const options = parse(process.argv.slice(2));
  const browser = findBrowser();
  if (!browser)
    throw new Error('No Chromium on the PATH (Debian: apt-get install chromium); LPA_BROWSER names another.');
  const { chromium } = require(playwright);
  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'code-shim-'));
  const own = (name) => {
    const folder = path.join(scratch, name);
    fs.mkdirSync(folder, { recursive: true });
    return folder;
  };
  // Nothing is left in the home folder or in /tmp: every run starts from a clean profile.
  const clean = {
    TMPDIR: own('tmp'),
    XDG_CACHE_HOME: own('cache'),
    XDG_CONFIG_HOME: own('config'),
    XDG_DATA_HOME: own('share'),
  };

  let server;
  let context;
  const pages = [];
  let addressOf;
  let closing = false;
  const errors = [];
  const control = http.createServer(async (request, answer) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    try {
      const asked = JSON.parse(body || '{}');
      const act = door(pages[asked.page ?? 0], openWindow)[request.url];
      if (!act) throw new Error(`no such request: ${request.url}`);
      answer.end(JSON.stringify({ ok: true, out: (await act(asked)) ?? null }));
    } catch (error) {
      answer.statusCode = 500;
      answer.end(JSON.stringify({ ok: false, err: String(error) }));
    }
  });
  const openWindow = async ({ file, folder }) => {
    const page = await context.newPage();
    pages.push(page);
    await page.goto(addressOf(file, folder), { waitUntil: 'commit', timeout: 120_000 });
    return pages.length - 1;
  };
  const end = async (code) => {
    if (closing) return;
    closing = true;
    setTimeout(() => process.exit(code), 15_000).unref();
    await context?.close().catch(() => {});
    control.close();
    await server?.stop();
    fs.rmSync(scratch, { recursive: true, force: true, maxRetries: 5 });
    process.exit(code);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => end(130));
  setTimeout(() => {
    console.error(`code-shim: no result in ${LIMIT} ms`);
    end(124);
  }, LIMIT).unref();
  try {
    await new Promise((done) => control.listen(0, '127.0.0.1', done));
    // What the tested extension takes for the user's cache; the host itself lies in the real one.
    const home = process.env.LPA_SHIM_CACHE_HOME ? { XDG_CACHE_HOME: process.env.LPA_SHIM_CACHE_HOME } : {};
    const log = process.env.LPA_SHIM_LOG ? fs.createWriteStream(process.env.LPA_SHIM_LOG) : undefined;
    server = await startServer(host, {
      data: own('server'),
      extensions: options.extensionsDir ?? own('extensions'),
      trust: process.env.LPA_SHIM_TRUST !== 'ask',
      // Newer versions load an extension for development only with the driver; older ones show no dialog with it, in any window.
      driver: process.env.LPA_SHIM_EDITION !== 'oldest',
      env: { ...process.env, ...clean, ...home, CODE_SHIM_URL: `http://127.0.0.1:${control.address().port}` },
      settings: JSON.parse(process.env.LPA_SHIM_SETTINGS || '{}'),
      onLog: (chunk) => log?.write(chunk),
    });
    server.child.once('exit', (code) => {
      if (!closing) console.error(`code-shim: the server ended (${code})`);
      end(1);
    });
    context = await chromium.launchPersistentContext(path.join(scratch, 'chrome'), {
      executablePath: browser,
      headless: true,
      env: { ...process.env, ...clean },
      viewport: { width: 1400, height: 900 },
      deviceScaleFactor: Number(process.env.LPA_SHIM_SCALE || 1),
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    });
    const page = context.pages()[0] ?? (await context.newPage());
    pages.push(page);
    await page.exposeFunction('codeAutomationLog', (type, args) => {
      const line = util.format(...args);
      if (VERBOSE) console.error('[vscode]', type, line.slice(0, 600));
      else if (type === 'error' || type === 'warn') {
        if (HOST_TROUBLE.test(line)) return;
        errors.push(line.slice(0, 600));
        errors.splice(0, errors.length - 20);
      } else if (!NOISE.test(line)) console.log(line);
    });
    await page.exposeFunction('codeAutomationExit', (code) => {
      if (code) for (const error of errors) console.error('[vscode error]', error);
      return end(code);
    });
    if (VERBOSE)
      page.on('console', (message) => console.error('[console]', message.type(), message.text().slice(0, 600)));
    page.on('crash', () => {
      console.error('code-shim: the page crashed');
      end(1);
    });
    const remote = (file) => `vscode-remote://${server.authority}${encodeURI(path.resolve(file))}`;
    const quiet = [
      ['skipWelcome', 'true'],
      ['skipReleaseNotes', 'true'],
    ];
    const development = options.extensions.map((folder) => ['extensionDevelopmentPath', remote(folder)]);
    const address = (payload, folder = options.folder) => {
      const query = new URLSearchParams({ tkn: server.token, payload: JSON.stringify(payload) });
      if (!folder) query.set('ew', 'true');
      else query.set(folder.endsWith('.code-workspace') ? 'workspace' : 'folder', folder);
      return `http://${server.authority}/?${query}`;
    };
    addressOf = (file, folder) =>
      address([...development, ...(file ? [['openFile', remote(file)]] : []), ...quiet], folder);
    const tests = options.tests ? [['extensionTestsPath', remote(require.resolve(path.resolve(options.tests)))]] : [];
    await page.goto(address([...development, ...tests, ...quiet]), { waitUntil: 'commit', timeout: 120_000 });
  } catch (error) {
    console.error('code-shim:', error);
    await end(1);
  }
}

main().catch((error) => {
  console.error('code-shim:', error);
  process.exit(1);
});
