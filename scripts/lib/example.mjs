// The example program in a folder of its own: copied, under git, built and running.
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { repository } from './install.mjs';
import { must, start } from './run.mjs';

const source = join(repository, 'examples', 'ticker');

/**
 * Copies examples/ticker to `folder`, commits it there (the baseline of the first patch) and builds it.
 * An existing copy is kept as it is, the user's edits included, unless `fresh`.
 * @returns {Promise<{kept: boolean}>}
 */
export async function prepareWorkspace(folder, { fresh = true } = {}) {
  const kept = !fresh && existsSync(join(folder, '.git'));
  if (!kept) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    cpSync(source, folder, { recursive: true, filter: (path) => relative(source, path).split('/')[0] !== 'build' });
    writeFileSync(join(folder, '.gitignore'), 'build/\n');
    const git = (...args) => must('git', ['-C', folder, ...args], { seconds: 60 });
    await git('init', '-q');
    await git('add', '.');
    // An identity for this one commit: the user's own may not be set, and must not be needed.
    await git(
      '-c',
      'user.name=livepatch',
      '-c',
      'user.email=livepatch@localhost',
      '-c',
      'commit.gpgsign=false',
      'commit',
      '-q',
      '-m',
      'What runs',
    );
    await must('make', ['-s'], { cwd: folder, seconds: 120 });
  } else if (!existsSync(join(folder, 'build', 'ticker'))) await must('make', ['-s'], { cwd: folder, seconds: 120 });
  return { kept };
}

/**
 * Starts build/ticker on a free port.
 * @returns {Promise<{child: import('node:child_process').ChildProcess, pid: number, url: string, board: () => Promise<string>}>}
 */
export async function startTicker(folder, port = 0) {
  const child = start(join(folder, 'build', 'ticker'), [String(port)], { cwd: folder });
  const url = await new Promise((resolve, reject) => {
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (part) => {
      text = `${text}${part}`.slice(0, 4096);
      const found = /http:\/\/127\.0\.0\.1:\d+\//.exec(text);
      if (found) resolve(found[0]);
    });
    child.on('error', reject);
    child.on('exit', (code) => reject(new Error(`ticker ended with status ${code} instead of serving`)));
    setTimeout(() => reject(new Error('ticker did not say where it serves within 10 s')), 10_000).unref();
  });
  const board = async () => (await fetch(url, { signal: AbortSignal.timeout(5000) })).text();
  return { child, pid: child.pid, url, board };
}

/** Replaces text in a file of the workspace; the text must be there exactly once. */
export function edit(folder, file, from, to) {
  const path = join(folder, file);
  const text = readFileSync(path, 'utf8');
  if (text.split(from).length !== 2) throw new Error(`${file} does not hold this once: ${from}`);
  writeFileSync(
    path,
    text.replace(from, () => to),
  );
}

/** The edit that the example's README asks for: the board's change column comes out right. */
export const theFix = {
  file: 'src/quote.c',
  from: '(quote->price - quote->open) / quote->open * 10000',
  to: '(quote->price - quote->open) * 10000 / quote->open',
};

/** True where a board shows a change other than zero, which the unpatched program never does. */
export const boardIsFixed = (board) =>
  [...board.matchAll(/[+-]\d+\.\d\d %/g)].some(([text]) => !/^[+-]0\.00 %$/.test(text));
