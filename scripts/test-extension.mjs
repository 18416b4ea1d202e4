// The mocha suite inside a real VS Code: `node scripts/test-extension.mjs [--vsix] [--grep TEXT] [--run main|roots|untrusted] [--vscode oldest]`.
// From source by default, from the packaged and installed .vsix with --vsix. Where VSCODE_EXECUTABLE is unset, a VS Code for the
// browser stands in (test/host). LPA_UPDATE_MEDIA=1 writes the screenshots under media/. Last line: `N passed, N failed, N skipped`.
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runTests } from '@vscode/test-electron';
import { build } from 'esbuild';
import { buildInto, common } from '../esbuild.mjs';
import { ensureHost, installVsix } from './editor-host.mjs';
import { prepareWorkspace, startTicker } from './lib/example.mjs';
import { must, stop } from './lib/run.mjs';

const repository = join(import.meta.dirname, '..');
const { values } = parseArgs({
  options: {
    vsix: { type: 'boolean' },
    grep: { type: 'string' },
    run: { type: 'string' },
    vscode: { type: 'string', default: 'newest' },
  },
});
const LIMIT = Number(process.env.LPA_TEST_LIMIT_MS || 600_000);
const shim = join(repository, 'test', 'host', 'code-shim.cjs');
const executable = process.env.VSCODE_EXECUTABLE || shim;

/** Bundles the suites into a folder that finds mocha, and makes it an extension: their home when the tested one is installed. */
async function bundleSuites(home) {
  const files = readdirSync(join(repository, 'test', 'extension')).filter((name) =>
    /^(index|.*\.suite)\.ts$/.test(name),
  );
  await build({
    ...common,
    minify: false,
    sourcemap: 'inline',
    entryPoints: files.map((name) => join('test', 'extension', name)),
    outdir: home,
    outExtension: { '.js': '.cjs' },
    external: ['vscode', 'mocha'],
  });
  symlinkSync(join(repository, 'node_modules'), join(home, 'node_modules'));
  const manifest = { name: 'home-of-tests', publisher: 'tests', version: '0.0.0', engines: { vscode: '^1.91.0' } };
  writeFileSync(join(home, 'package.json'), JSON.stringify(manifest));
}

/** The extension built from source, in a folder of its own: other builds in the working copy do not disturb it. */
async function buildExtension(folder) {
  await buildInto(folder);
  for (const name of ['package.json', 'package.nls.json', 'media', 'syntaxes', 'docs'])
    cpSync(join(repository, name), join(folder, name), { recursive: true });
}

/** One start of VS Code with some of the suites. Returns the counts that mocha wrote. */
async function runOnce({ name, folder, opened = folder, files, suites, development, extensions, env }) {
  const results = join(folder, '..', `${name}.json`);
  const settings = {
    'window.dialogStyle': 'custom',
    'workbench.colorTheme': 'Default Dark Modern',
    'files.autoSave': 'off',
    'editor.minimap.enabled': false,
    'editor.fontFamily': 'DejaVu Sans Mono',
    'github.gitAuthentication': false,
  };
  let code = 0;
  try {
    code = await runTests({
      vscodeExecutablePath: executable,
      extensionDevelopmentPath: development,
      extensionTestsPath: join(suites, 'index.cjs'),
      launchArgs: [opened, `--extensions-dir=${extensions}`, `--user-data-dir=${join(folder, '..', `${name}-user`)}`],
      extensionTestsEnv: {
        LPA_SUITES: files.join(','),
        LPA_RESULTS: results,
        ...(values.vsix ? { LPA_INSTALLED: '1' } : {}),
        LPA_GREP: values.grep ?? '',
        LPA_MEDIA: process.env.LPA_MEDIA ?? join(repository, 'media'),
        LPA_SHIM_EDITION: values.vscode,
        LPA_SHIM_TIMEOUT_MS: String(LIMIT),
        LPA_SHIM_SETTINGS: JSON.stringify(settings),
        ...env,
      },
    });
  } catch (error) {
    code = 1;
    console.log(`${name}: ${error instanceof Error ? error.message : error}`);
  }
  try {
    const counts = JSON.parse(readFileSync(results, 'utf8'));
    return code !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts;
  } catch {
    console.log(`${name}: VS Code ended without a result`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
}

/** The suites on a running example. */
async function runMain(scratch, where) {
  const folder = join(scratch, 'ticker');
  await prepareWorkspace(folder);
  const ticker = await startTicker(folder);
  try {
    const files = ['edit', 'assembly', 'hazards', 'manners', 'server', 'process'];
    const env = { LPA_TICKER_URL: ticker.url, LPA_TICKER_PID: String(ticker.pid) };
    return await runOnce({ name: 'main', folder, files, env, ...where });
  } finally {
    await stop(ticker.child);
  }
}

/** A source with one function of some twenty thousand instructions, as part of what was committed. */
async function addBigFunction(folder) {
  const lines = Array.from(
    { length: 5000 },
    (_, index) => `  x ^= p[${index}] * ${index}; p[${index}] = x + q[${index}];`,
  );
  const text = `unsigned big(unsigned *p, unsigned *q, unsigned x)\n{\n${lines.join('\n')}\n  return x;\n}\n`;
  writeFileSync(join(folder, 'src', 'big.c'), text);
  const commands = join(folder, 'build', 'compile_commands.json');
  const list = JSON.parse(readFileSync(commands, 'utf8'));
  const args = ['cc', '-std=c11', '-O1', '-g', '-c', 'src/big.c', '-o', 'build/big.o'];
  list.push({ directory: folder, file: join(folder, 'src', 'big.c'), output: 'build/big.o', arguments: args });
  writeFileSync(commands, JSON.stringify(list));
  const git = ['-C', folder, '-c', 'user.name=t', '-c', 'user.email=t@localhost', '-c', 'commit.gpgsign=false'];
  await must('git', [...git, 'add', '.'], { seconds: 60 });
  await must('git', [...git, 'commit', '-q', '-m', 'A big function'], { seconds: 60 });
}

/** Two folders in one window; the compiler of the second one takes its time. */
async function runRoots(scratch, where) {
  const roots = join(scratch, 'roots');
  const folders = ['one', 'two'].map((name) => join(roots, name));
  for (const folder of folders) await prepareWorkspace(folder);
  const slow = join(roots, 'slow.sh');
  writeFileSync(slow, '#!/bin/sh\ncase " $* " in *" -c "*) sleep 1.5;; esac\nexec cc "$@"\n', { mode: 0o755 });
  const commands = join(folders[1], 'build', 'compile_commands.json');
  const list = JSON.parse(readFileSync(commands, 'utf8'));
  for (const entry of list) entry.arguments[0] = slow;
  writeFileSync(commands, JSON.stringify(list));
  await addBigFunction(folders[0]);
  const opened = join(roots, 'both.code-workspace');
  writeFileSync(opened, JSON.stringify({ folders: folders.map((path) => ({ path })) }));
  return runOnce({ name: 'roots', folder: folders[0], opened, files: ['roots', 'big'], env: {}, ...where });
}

/** A folder that nobody trusts, whose compiler tells when it is run. */
async function runUntrusted(scratch, where) {
  const folder = join(scratch, 'untrusted');
  await prepareWorkspace(folder);
  const told = join(scratch, 'compiler-was-run');
  const spy = join(folder, 'spy.sh');
  writeFileSync(spy, `#!/bin/sh\necho "$@" >> '${told}'\nexec cc "$@"\n`, { mode: 0o755 });
  const commands = join(folder, 'build', 'compile_commands.json');
  const list = JSON.parse(readFileSync(commands, 'utf8'));
  for (const entry of list) entry.arguments[0] = spy;
  writeFileSync(commands, JSON.stringify(list));
  return runOnce({
    name: 'untrusted',
    folder,
    files: ['trust'],
    env: { LPA_SHIM_TRUST: 'ask', LPA_SPY: told },
    ...where,
  });
}

const scratch = mkdtempSync(join(tmpdir(), 'lpa-extension-'));
const total = { passed: 0, failed: 0, skipped: 0 };
try {
  const suites = join(scratch, 'suites');
  await bundleSuites(suites);
  const extensions = join(scratch, 'extensions');
  mkdirSync(extensions);
  let development = suites;
  if (values.vsix) {
    const { packageExtension } = await import('./package.mjs');
    installVsix(
      ensureHost(console.error, values.vscode),
      await packageExtension({ quiet: true }),
      extensions,
      join(scratch, 'installer'),
    );
  } else {
    development = join(scratch, 'extension');
    await buildExtension(development);
  }
  const where = { suites, development, extensions };
  for (const [name, perform] of [
    ['main', runMain],
    ['roots', runRoots],
    ['untrusted', runUntrusted],
  ]) {
    // Several folders and the timings: only when asked for, until they hold on a busy machine.
    if (values.run ? values.run !== name : name === 'roots') continue;
    const counts = await perform(scratch, where);
    for (const key of Object.keys(total)) total[key] += counts[key];
  }
} catch (error) {
  console.log(error instanceof Error ? (error.stack ?? error.message) : error);
  total.failed++;
} finally {
  rmSync(scratch, { recursive: true, force: true, maxRetries: 5 });
}
if (total.passed === 0 && total.failed === 0) total.failed = 1;
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(total.failed > 0 ? 1 : 0);
