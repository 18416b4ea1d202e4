import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { runCli } from '../../server/src/cli/run.ts';

/** What a command printed, and its exit status. */
export interface CliResult {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

/** Runs one command line in this process. */
export async function cli(
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; colour?: boolean; signal?: AbortSignal } = {},
): Promise<CliResult> {
  let out = '';
  let err = '';
  const status = await runCli(args, {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    cwd: options.cwd ?? process.cwd(),
    env: options.env ?? process.env,
    colour: options.colour ?? false,
    width: 100,
    signal: options.signal ?? new AbortController().signal,
  });
  return { status, out, err };
}

/** The example program in a scratch folder: under git, built. */
export interface Workspace {
  readonly folder: string;
  readonly edit: (file: string, from: string, to: string) => void;
  readonly restore: () => void;
  readonly remove: () => void;
}

function must(program: string, args: readonly string[], cwd: string): void {
  const run = spawnSync(program, args, { cwd, encoding: 'utf8', timeout: 60_000 });
  if (run.status !== 0) throw new Error(`${program} ${args.join(' ')}: ${run.error?.message ?? run.stderr}`);
}

/** Copies examples/ticker, commits it and builds it. */
export function tickerWorkspace(): Workspace {
  const source = join(import.meta.dirname, '../../examples/ticker');
  const folder = join(realpathSync(mkdtempSync(join(tmpdir(), 'lpa-cli-'))), 'ticker');
  cpSync(source, folder, { recursive: true, filter: (path) => !relative(source, path).startsWith('build') });
  writeFileSync(join(folder, '.gitignore'), 'build/\n');
  const git = (...args: string[]) =>
    must('git', ['-c', 'user.name=test', '-c', 'user.email=test@localhost', ...args], folder);
  git('init', '-q');
  git('add', '.');
  git('commit', '-q', '-m', 'base');
  must('make', ['-s'], folder);
  return {
    folder,
    edit(file, from, to) {
      const path = join(folder, file);
      const text = readFileSync(path, 'utf8');
      if (!text.includes(from)) throw new Error(`${file} lacks: ${from}`);
      writeFileSync(
        path,
        text.replace(from, () => to),
      );
    },
    restore: () => git('checkout', '-q', '--', '.'),
    remove: () => rmSync(join(folder, '..'), { recursive: true, force: true }),
  };
}
