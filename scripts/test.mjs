// npm test: everything, in stages. Each has its own time limit; what a machine cannot do is skipped with the reason printed
// and counted. `npm test -- --only core,cli` runs some of it; `--list` names the stages. Last line: `N passed, N failed, N skipped`.
// The whole run ends within LIVEPATCH_TEST_MINUTES (84): what does not fit any more is told as failed, instead of being killed
// from outside without a word. LIVEPATCH_TEST_PATIENCE=3 gives every stage three times as long, on a machine that is busy.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildBundles, buildNative, ensureNodeModules, repository } from './lib/install.mjs';
import { runNodeTests, testFiles } from './lib/node-tests.mjs';
import { ensureEach, ensurePackages, missingPackages, packageSets } from './lib/packages.mjs';
import { bold, dim, elapsed, green, note, red, step, yellow } from './lib/progress.mjs';
import { run } from './lib/run.mjs';

/** @typedef {{passed: number, failed: number, skipped: number, skips?: string[], failures?: string[], again?: string[], message?: string}} Result */

const passed = () => ({ passed: 1, failed: 0, skipped: 0 });
const skipped = (why) => ({ passed: 0, failed: 0, skipped: 1, skips: [why] });
const failed = (message) => ({ passed: 0, failed: 1, skipped: 0, message });

/** A stage of `*.test.ts` files. A folder without tests is a failure: a stage must not pass by being empty. */
const tests =
  (folders, { but = [], ...options } = {}) =>
  async (seconds) => {
    const files = testFiles(folders).filter((file) => !but.includes(file));
    if (files.length === 0) return failed(`no test files in ${folders.join(', ')}`);
    return runNodeTests({ files, seconds, ...options });
  };

/** A stage that is a script of ours; its last line may be `N passed, N failed, N skipped`, else it counts as one. */
const script =
  (path, args = [], env = {}) =>
  async (seconds) => {
    if (!existsSync(join(repository, path))) return failed(`${path} is missing`);
    const result = await run(process.execPath, [path, ...args], {
      cwd: repository,
      seconds,
      show: true,
      env: { ...process.env, ...env },
    });
    if (result.timedOut) return failed(`no end within ${seconds} s`);
    const counts = [
      ...`${result.stdout}\n${result.stderr}`.matchAll(/^(\d+) passed, (\d+) failed, (\d+) skipped$/gm),
    ].pop();
    if (counts) {
      const [, ok, bad, left] = counts.map(Number);
      const told = (kind) => [...result.stdout.matchAll(new RegExp(`^${kind}: (.+)$`, 'gm'))].map((match) => match[1]);
      const details = { skips: told('skipped'), failures: told('failed'), again: told('second try') };
      if (result.code !== 0 && bad === 0)
        return { passed: ok, failed: 1, skipped: left, ...details, message: `status ${result.code}` };
      return { passed: ok, failed: bad, skipped: left, ...details };
    }
    return result.code === 0 ? passed() : failed(`status ${result.code}`);
  };

/** Capabilities that a stage needs beyond a compiler; a reason where the machine lacks it. */
async function lacksPackages(names) {
  if (missingPackages(names).length === 0) return undefined;
  const result = await ensurePackages(names, note);
  return result.ok ? undefined : result.message;
}
const lacksBrowser = () => lacksPackages(packageSets.browser);
const lacksSources = () => lacksPackages(packageSets.sources);
const lacksVm = async () =>
  process.env.LIVEPATCH_VM === '0' ? 'left out: LIVEPATCH_VM=0' : lacksPackages(packageSets.vm);
/** The edit of a header that most of Xen includes: a stage of its own, since it compiles most of Xen several times. */
const HEADER = 'test/vm/header.test.ts';

/** @type {{name: string, what: string, seconds: number, lacks?: () => Promise<string | undefined>, run: (seconds: number) => Promise<Result>}[]} */
const stages = [
  { name: 'lint', what: 'format, lint, types, import fence', seconds: 150, run: script('scripts/lint.mjs') },
  { name: 'core', what: 'objects, debug information, comparison, findings', seconds: 1320, run: tests(['test/core']) },
  { name: 'server', what: 'build room, sessions, language server', seconds: 600, run: tests(['test/server']) },
  { name: 'scripts', what: 'the scripts themselves, and the package', seconds: 300, run: tests(['test/scripts']) },
  { name: 'fuzz', what: 'mutated objects: no hang, no crash, bounded memory', seconds: 540, run: tests(['test/fuzz']) },
  { name: 'process', what: 'patching running processes', seconds: 900, run: tests(['test/process'], { parallel: 1 }) },
  { name: 'cli', what: 'the command line', seconds: 300, run: tests(['test/cli']) },
  {
    name: 'extension',
    what: 'the extension in a real VS Code, from source',
    seconds: 1020,
    lacks: lacksBrowser,
    run: script('scripts/test-extension.mjs'),
  },
  {
    name: 'vsix',
    what: 'its main suites from the packaged .vsix',
    seconds: 600,
    lacks: lacksBrowser,
    run: script('scripts/test-extension.mjs', ['--vsix', '--run', 'main,untrusted']),
  },
  {
    name: 'oldest',
    what: 'the main gestures and the review in the oldest VS Code that is supported',
    seconds: 600,
    lacks: lacksBrowser,
    run: script('scripts/test-extension.mjs', ['--vscode', 'oldest', '--run', 'gestures,review']),
  },
  {
    name: 'real',
    what: "Redis and HAProxy: Debian's security fixes and everyday edits in running servers",
    seconds: 1500,
    lacks: lacksSources,
    run: tests(['test/real'], { parallel: 1 }),
  },
  {
    name: 'vm',
    what: 'patching a hypervisor in a virtual machine',
    // From nothing: Xen's source fetched and built (3 minutes of processor time), then some ten boots, emulated where KVM does not work.
    seconds: 2100,
    lacks: lacksVm,
    run: tests(['test/vm'], { parallel: 1, but: [HEADER] }),
  },
  {
    name: 'xen',
    what: 'the Xen tree in a real VS Code: machine, findings, apply and revert in the running hypervisor',
    seconds: 900,
    lacks: async () => (await lacksVm()) ?? (await lacksBrowser()),
    run: script('scripts/test-extension.mjs', ['--run', 'xen']),
  },
  {
    name: 'header',
    what: "an edit of Xen's sched.h: what is rebuilt, what changed, and that it can be cancelled",
    seconds: 1500,
    // Three minutes of two idle processors. A machine that needs most of its time for the rest is too slow for it.
    lacks: async () =>
      left() < 1800 ? `${Math.round(left())} s are left of the whole run, and a slow machine needs 1800` : lacksVm(),
    run: tests([HEADER], { parallel: 1, env: { LIVEPATCH_XEN_HEADER: '1' } }),
  },
  { name: 'demo', what: 'the demo in the terminal', seconds: 120, run: script('scripts/demo.mjs') },
];

const { values } = parseArgs({
  options: { only: { type: 'string' }, skip: { type: 'string' }, list: { type: 'boolean' } },
});
const named = (list) => (list ?? '').split(',').filter((name) => name !== '');
for (const name of [...named(values.only), ...named(values.skip)]) {
  if (!stages.some((stage) => stage.name === name)) {
    console.error(`There is no stage '${name}'. Stages: ${stages.map((stage) => stage.name).join(', ')}`);
    process.exit(2);
  }
}
if (values.list) {
  for (const stage of stages) console.log(`${stage.name.padEnd(10)} ${stage.what}`);
  process.exit(0);
}
const chosen = stages.filter((stage) =>
  values.only ? named(values.only).includes(stage.name) : !named(values.skip).includes(stage.name),
);

const began = Date.now();
const results = [];
/** A number of at least 1 from the environment. */
const setting = (name, otherwise) => {
  const value = Number(process.env[name] ?? otherwise);
  if (value >= 1) return value;
  console.error(`${name} takes a number of at least 1, not '${process.env[name]}'`);
  process.exit(2);
};
const patience = setting('LIVEPATCH_TEST_PATIENCE', 1);
const minutes = setting('LIVEPATCH_TEST_MINUTES', 84 * patience);
/** Seconds that are left for stages: a little is kept for the summary. */
const left = () => minutes * 60 - (Date.now() - began) / 1000 - 20;

/** Runs one stage and keeps its result; whatever it throws is a failure of that stage only. */
async function perform(stage, index) {
  const since = Date.now();
  const seconds = Math.floor(Math.min(stage.seconds * patience, left()));
  console.log('');
  step(
    `${index + 1}/${chosen.length} ${stage.name}: ${stage.what} ${dim(`(at most ${Math.ceil(Math.max(0, seconds) / 60)} min)`)}`,
  );
  let result;
  try {
    const lack = await stage.lacks?.();
    if (lack) result = skipped(`${stage.name}: ${lack}`);
    // Less than a tenth of its time: it would only fail for want of it.
    else if (seconds < (stage.seconds * patience) / 10) {
      const why = `not run: ${Math.max(0, Math.round(left()))} s are left of the ${minutes} min of the whole run`;
      result = failed(`${why} (LIVEPATCH_TEST_MINUTES)`);
    } else result = await stage.run(Math.floor(Math.min(seconds, left())));
  } catch (error) {
    result = failed(error instanceof Error ? error.message : String(error));
  }
  if (result.message) console.log(`    ${red(result.message)}`);
  const mark = result.failed > 0 ? red('failed') : result.passed === 0 ? yellow('skipped') : green('ok');
  console.log(
    `    ${mark} ${result.passed} passed, ${result.failed} failed, ${result.skipped} skipped in ${elapsed(since)}`,
  );
  results.push({ stage, result, time: elapsed(since) });
}

// Preparation: without it nothing can run.
step('preparing');
const setup = [...packageSets.build, ...packageSets.test];
const packages = await ensurePackages(setup, note);
if (!packages.ok) note(`${packages.message} (tests that need them say so)`);
const absent = await ensureEach(packageSets.compare, note);
if (absent.length > 0) note(`without ${absent.join(', ')}: tests that compare with them are skipped`);
try {
  await ensureNodeModules(note);
  await buildNative();
  await buildBundles();
} catch (error) {
  console.log(red(`The project does not build: ${error.message}`));
  results.push({ stage: { name: 'preparing' }, result: failed('the project does not build'), time: elapsed(began) });
}
const broken = results.length > 0;
for (const [index, stage] of chosen.entries()) {
  // What does not build can still be linted, which may say why.
  if (broken && stage.name !== 'lint') results.push({ stage, result: failed('not run: nothing was built'), time: '' });
  else await perform(stage, index);
}

console.log(`\n${bold('Summary')} ${dim(`after ${elapsed(began)}`)}`);
const totals = { passed: 0, failed: 0, skipped: 0 };
for (const { stage, result, time } of results) {
  for (const key of Object.keys(totals)) totals[key] += result[key];
  const colour = result.failed > 0 ? red : result.passed === 0 ? yellow : green;
  console.log(
    `  ${colour(stage.name.padEnd(10))} ${result.passed} passed, ${result.failed} failed, ${result.skipped} skipped  ${dim(time)}`,
  );
  for (const failure of result.failures ?? []) console.log(`      ${red('failed')}: ${failure}`);
  for (const one of result.again ?? []) console.log(`      ${yellow('failed at the first try')}: ${one}`);
  if (result.message) console.log(`      ${red(result.message)}`);
  for (const skip of result.skips ?? []) console.log(`      ${yellow('skipped')}: ${skip}`);
}
console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
process.exit(totals.failed > 0 ? 1 : 0);
