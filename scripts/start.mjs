// npm start: everything from a fresh clone to an editor on a running program. Installs what is missing (or says the one line to
// run), builds, starts the example and opens VS Code on it with the extension. Ctrl-C ends the program and the editor's server.
// `npm start -- --fresh` begins with a new copy of the example; `-- --browser` uses the browser even where `code` is installed.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { prepareWorkspace, startTicker, theFix } from './lib/example.mjs';
import { buildBundles, buildNative, ensureNodeModules, repository } from './lib/install.mjs';
import { ensurePackages, packageSets } from './lib/packages.mjs';
import { bold, dim, green, note, red, step } from './lib/progress.mjs';
import { onPath, stop, whenInterrupted } from './lib/run.mjs';

const { values } = parseArgs({
  options: {
    fresh: { type: 'boolean' },
    browser: { type: 'boolean' },
    port: { type: 'string' },
    folder: { type: 'string' },
  },
});
const folder = values.folder ?? join(repository, '.cache', 'ticker');
let ticker;
let editor;

let ending = false;

async function cleanUp() {
  ending = true;
  await Promise.allSettled([editor?.stop(), ticker && stop(ticker.child)]);
}

/** Shows the address in the user's own browser, where there is a screen. */
function showInBrowser(address) {
  if (!(process.env.DISPLAY || process.env.WAYLAND_DISPLAY) || !onPath('xdg-open')) return;
  spawn('xdg-open', [address], { stdio: 'ignore', detached: true }).unref();
}

whenInterrupted(async () => {
  console.log('\nEnding the example and the editor.');
  await cleanUp();
});
try {
  step('What this machine needs');
  const packages = await ensurePackages(packageSets.build, note);
  if (!packages.ok) throw new Error(packages.message);
  note(packages.message);
  await ensureNodeModules(note);

  step('Building the extension, the command line and the native helper');
  await buildNative();
  await buildBundles();

  step('The example: a program that must not stop');
  const { kept } = await prepareWorkspace(folder, { fresh: values.fresh === true });
  note(kept ? `${folder}, with your edits (npm start -- --fresh begins anew)` : folder);
  ticker = await startTicker(folder);
  note(`running as process ${ticker.pid}, its board: ${ticker.url}`);

  step('The editor');
  const { openEditor } = await import('./editor.mjs');
  editor = await openEditor({
    folder,
    file: theFix.file,
    browser: values.browser === true,
    log: note,
    ...(values.port ? { port: Number(values.port) } : {}),
  });
  console.log('');
  if (editor.address) {
    console.log(`  Editor   ${green(editor.address)}`);
    showInBrowser(editor.address);
  } else console.log('  Editor   VS Code has opened');
  console.log(`  Program  ${green(ticker.url)}`);
  console.log(`\n${bold('Try it')}: in ${theFix.file}, replace ${theFix.from}`);
  console.log(`        by ${theFix.to}`);
  console.log('        and save. Then Review, Build patch, Apply: watch the board change without a restart.');
  console.log(dim('\nCtrl-C ends it.'));
  ticker.child.on('exit', () => {
    if (!ending) console.log(red('The example program ended; npm start begins it again.'));
  });
  // A desktop editor says nothing of its end: the program runs until Ctrl-C. A browser's server that dies ends us.
  if (editor.kind === 'browser') await editor.closed;
  else await new Promise(() => setInterval(() => {}, 1 << 30));
  await cleanUp();
} catch (error) {
  console.error(`\n${red('npm start could not go on:')} ${error.message}`);
  await cleanUp();
  process.exit(1);
}
