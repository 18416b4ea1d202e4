// npm run demo: the main job in the terminal. Builds the example, starts it, fixes a function in it while it runs, and takes the
// fix out again. Ends with status 0 only if the running program's answers really changed, and really changed back.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { boardIsFixed, edit, prepareWorkspace, startTicker, theFix } from './lib/example.mjs';
import { buildBundles, buildNative, ensureNodeModules, repository } from './lib/install.mjs';
import { ensurePackages, packageSets } from './lib/packages.mjs';
import { blue, bold, dim, elapsed, green, note, red } from './lib/progress.mjs';
import { run, stop } from './lib/run.mjs';

const began = Date.now();
const cli = join(repository, 'dist', 'cli.cjs');
const folder = mkdtempSync(join(tmpdir(), 'livepatch-demo-'));
let ticker;

function say(text) {
  console.log(`\n${blue('──')} ${bold(text)}`);
}

/** Runs `livepatch ...` in the workspace, shows the command line and the answer. Throws on another exit status than expected. */
async function livepatch(args, expected = 0) {
  console.log(`${green('$')} livepatch ${args.map((arg) => arg.replace(`${folder}/`, '')).join(' ')}`);
  const result = await run(process.execPath, [cli, ...args], { cwd: folder, seconds: 60, inherit: true });
  if (result.code !== expected)
    throw new Error(`livepatch ${args[0]} ended with status ${result.code}, expected ${expected}`);
}

async function showBoard() {
  const board = await ticker.board();
  for (const line of board.trimEnd().split('\n')) console.log(`   ${line}`);
  return board;
}

/** The tick counter that the page shows: it starts at 0 with the program, so a restart would show. */
const ticksOf = (board) => Number(/after (\d+) ticks/.exec(board)?.[1]);

const settle = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function expect(condition, text) {
  if (!condition) throw new Error(`expected: ${text}`);
  console.log(`   ${green('✓')} ${text}`);
}

async function demo() {
  say('A program that must not stop: three threads move prices, a server shows them');
  await prepareWorkspace(folder);
  ticker = await startTicker(folder);
  await settle(1500);
  note(`process ${ticker.pid}, ${ticker.url}`);
  const before = await showBoard();
  expect(!boardIsFixed(before), 'the change column is always 0.00 %: a bug');

  say('The fix, in src/quote.c: multiply before dividing');
  edit(folder, theFix.file, theFix.from, theFix.to);
  console.log(dim(`   - return ${theFix.from};`));
  console.log(`   + return ${theFix.to};`);
  await livepatch(['check']);

  say('What it does to the machine code');
  await livepatch(['asm', 'quote_alarm']);

  say('An edit that a running program cannot take: a field in the middle of a struct');
  const field = { file: 'src/quote.h', from: '\tlong price; ', to: '\tlong volume;\n\tlong price; ' };
  edit(folder, field.file, field.from, field.to);
  await livepatch(['check'], 1);
  edit(folder, field.file, field.to, field.from);
  note('taken back');

  say('Build the patch, apply it to the running process');
  const patch = join(folder, 'build', 'fix.lpp');
  await livepatch(['build', '-o', patch]);
  await livepatch(['apply', patch, '--pid', String(ticker.pid)]);
  await settle(200);
  const patched = await showBoard();
  expect(boardIsFixed(patched), 'the same process now shows the real change');
  expect(
    ticksOf(patched) > ticksOf(before),
    `it was not restarted: ${ticksOf(before)} ticks before, ${ticksOf(patched)} now`,
  );
  await livepatch(['status', '--pid', String(ticker.pid)]);

  say('And take it out again');
  await livepatch(['revert', '--pid', String(ticker.pid)]);
  await settle(200);
  const reverted = await showBoard();
  expect(!boardIsFixed(reverted), 'the old behaviour is back');
  expect(ticksOf(reverted) > ticksOf(patched), 'still the same process');
}

try {
  const packages = await ensurePackages(packageSets.build, note);
  if (!packages.ok) throw new Error(packages.message);
  await ensureNodeModules(note);
  await buildNative();
  await buildBundles();
  await demo();
  console.log(`\n${green('Done')} in ${elapsed(began)}. Now in the editor: npm start`);
} catch (error) {
  console.log(`\n${red('The demo failed:')} ${error.message}`);
  process.exitCode = 1;
} finally {
  if (ticker) await stop(ticker.child);
  rmSync(folder, { recursive: true, force: true });
}
