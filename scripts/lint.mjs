// npm run lint: format and lint (Biome), types (tsc), the import fence, and words that no file of the project may hold.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkFence } from './lib/fence.mjs';
import { repository } from './lib/install.mjs';
import { green, red } from './lib/progress.mjs';
import { must, run } from './lib/run.mjs';

/** Put together here, so that this file does not hold them itself. */
const forbiddenWords = [
  ...['reference', 'tools', 'hooks'].map((name) => [['shared', name, ''].join('/'), 'a folder outside the repository']),
  ...['main', 'shared'].map((name) => [['', 'work', name].join('/'), 'a path of one machine']),
  [['registry', 'npmjs', 'org'].join('.'), 'the host of a package registry'],
];

/** Files that git knows or would take, relative to the repository. */
async function files() {
  const listed = await must('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: repository,
  });
  return [...new Set(listed.stdout.split('\0'))].filter((name) => name !== '' && existsSync(join(repository, name)));
}

function checkWords(names) {
  const problems = [];
  for (const name of names) {
    const bytes = readFileSync(join(repository, name));
    if (bytes.subarray(0, 8000).includes(0)) continue;
    const text = bytes.toString('utf8');
    for (const [word, why] of forbiddenWords) {
      const at = text.indexOf(word);
      if (at >= 0) problems.push(`${name}:${text.slice(0, at).split('\n').length}: names ${why}: ${word}`);
    }
  }
  return problems;
}

async function tool(program, args) {
  const result = await run(join(repository, 'node_modules', '.bin', program), args, { cwd: repository, seconds: 180 });
  return result.code === 0
    ? []
    : [`${result.stdout}${result.stderr}`.trim() || `${program} ended with status ${result.code}`];
}

const names = await files();
const checks = [
  ['format and lint', () => tool('biome', ['check', '.'])],
  ['types', () => tool('tsc', ['-p', '.'])],
  ['import fence', async () => checkFence(repository, names)],
  ['forbidden words', async () => checkWords(names)],
];
let failed = 0;
for (const [name, check] of checks) {
  const problems = await check();
  console.log(`${problems.length === 0 ? green('ok    ') : red('failed')} ${name}`);
  for (const problem of problems) console.log(problem);
  if (problems.length > 0) failed++;
}
console.log(`${checks.length - failed} passed, ${failed} failed, 0 skipped`);
process.exitCode = failed === 0 ? 0 : 1;
