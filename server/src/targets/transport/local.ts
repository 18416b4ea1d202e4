import { spawn } from 'node:child_process';

/** Result of a program that ran to its end, was stopped, or could not be started. */
export interface RunResult {
  /** Exit status; 127 where the program does not exist, 128 + signal where a signal ended it. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Why it was ended before its time, where it was. */
  readonly ended?: 'timeout' | 'cancelled' | 'output';
}

/** How to run a program. */
export interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Seconds until the program and its children are killed; 600 where absent. */
  readonly seconds?: number;
  readonly signal?: AbortSignal | undefined;
  readonly input?: string | Uint8Array;
  /** Largest output kept, bytes a stream; what comes after ends the program. 16 MiB where absent. */
  readonly limit?: number;
  /** Called with each piece of output as it comes. */
  readonly onOutput?: (text: string) => void;
}

const SIGNALS: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGTERM: 15,
};

/**
 * Runs a program to its end: an argument vector, never a shell. The program gets a process group of its own, so that a
 * time-out or a cancel ends its children as well. Never throws and never rejects.
 */
export function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return new Promise((resolve) => {
    if (options.signal?.aborted) {
      resolve({ status: 130, stdout: '', stderr: '', ended: 'cancelled' });
      return;
    }
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      detached: true,
    });
    const limit = options.limit ?? 16 << 20;
    let stdout = '';
    let stderr = '';
    let ended: RunResult['ended'];
    const end = (why: NonNullable<RunResult['ended']>): void => {
      if (ended || child.pid === undefined) return;
      ended = why;
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // Already gone.
      }
    };
    const timer = setTimeout(() => end('timeout'), (options.seconds ?? 600) * 1000);
    const cancel = (): void => end('cancelled');
    options.signal?.addEventListener('abort', cancel, { once: true });
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      options.onOutput?.(text);
      if (stdout.length > limit) end('output');
    });
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
      options.onOutput?.(text);
      if (stderr.length > limit) end('output');
    });
    child.stdin?.on('error', () => {}); // The program may end without reading its input.
    if (options.input !== undefined) child.stdin!.end(options.input);
    let done = false;
    const finish = (status: number): void => {
      if (done) return;
      done = true;
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', cancel);
      resolve({ status, stdout, stderr, ...(ended ? { ended } : {}) });
    };
    child.on('error', (error) => {
      stderr += error.message;
      finish(127);
    });
    // A grandchild that keeps the pipes open must not hold us: two seconds after the exit they are let go.
    child.on('exit', () => setTimeout(() => child.stdout!.destroy(), 2000).unref());
    child.on('close', (code, signal) => finish(code ?? 128 + (SIGNALS[signal ?? ''] ?? 0)));
  });
}

/** A program failed that had to succeed. The message holds its last lines. */
export class RunError extends Error {
  readonly result: RunResult;
  constructor(message: string, result: RunResult) {
    super(message);
    this.result = result;
  }
}

/** Last `count` lines of a text that are not empty. */
export function lastLines(text: string, count: number): string {
  return text
    .trimEnd()
    .split('\n')
    .filter((line) => line.trim() !== '')
    .slice(-count)
    .join('\n');
}

/**
 * Like `run`, but for programs that have to succeed.
 * @throws RunError with the command line, the reason and the last lines of its output.
 */
export async function must(program: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const result = await run(program, args, options);
  if (result.status === 0 && !result.ended) return result;
  const why =
    result.ended === 'timeout'
      ? `gave no result in ${options.seconds ?? 600} s`
      : result.ended === 'cancelled'
        ? 'was cancelled'
        : result.ended === 'output'
          ? 'printed too much'
          : `ended with status ${result.status}`;
  throw new RunError(
    `${program} ${args.join(' ')}: ${why}\n${lastLines(`${result.stdout}\n${result.stderr}`, 25)}`,
    result,
  );
}
