import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';

/** A program to run. No shell: an argument vector, the program first. */
export interface RunRequest {
  readonly arguments: readonly string[];
  readonly directory: string;
  readonly environment?: NodeJS.ProcessEnv;
  /** Milliseconds; the whole process group is killed then. */
  readonly timeout: number;
  readonly signal?: AbortSignal | undefined;
  /** Asked right before the spawn: no program of an untrusted workspace runs. */
  readonly isTrusted: () => boolean;
  /** Bytes kept of each output; the rest is read and dropped. 1 MiB by default. */
  readonly outputLimit?: number;
  /** Written to standard input, which is empty otherwise. */
  readonly input?: Uint8Array;
}

/** How a run ended. */
export type RunResult =
  | {
      readonly kind: 'exited';
      /** Exit status; 128 + number where a signal ended it. */
      readonly status: number;
      readonly signal: NodeJS.Signals | null;
      readonly stdout: Buffer;
      readonly stderr: Buffer;
      /** Output was longer than the limit. */
      readonly cut: boolean;
      readonly milliseconds: number;
    }
  | { readonly kind: 'missing'; readonly message: string }
  | { readonly kind: 'timeout'; readonly milliseconds: number; readonly stderr: Buffer }
  | { readonly kind: 'cancelled' }
  | { readonly kind: 'untrusted' }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string };

/** Process groups that run now: killed when this process ends, so that no compiler is left behind. */
const groups = new Set<number>();
let guarded = false;

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    child.kill('SIGKILL');
  }
}

function guard(): void {
  if (guarded) return;
  guarded = true;
  process.once('exit', () => {
    for (const group of groups) {
      try {
        process.kill(-group, 'SIGKILL');
      } catch {
        // It ended by itself.
      }
    }
  });
}

/** Keeps the first `limit` bytes of a stream. */
class Collector {
  readonly chunks: Buffer[] = [];
  size = 0;
  cut = false;
  private readonly limit: number;

  constructor(limit: number) {
    this.limit = limit;
  }

  add(chunk: Buffer): void {
    const room = this.limit - this.size;
    if (chunk.length > room) this.cut = true;
    if (room <= 0) return;
    this.chunks.push(chunk.length > room ? chunk.subarray(0, room) : chunk);
    this.size += Math.min(room, chunk.length);
  }

  bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }
}

/** Milliseconds to wait for output after the program has exited: a grandchild outside the group may still hold the pipe. */
const DRAIN = 250;

/**
 * Runs a program in a process group of its own. On time-out and cancel the whole group (gcc with its cc1 and as) is killed,
 * and the promise resolves when the program is gone. Never rejects.
 */
export function run(request: RunRequest): Promise<RunResult> {
  const [program, ...args] = request.arguments;
  if (program === undefined) return Promise.resolve({ kind: 'failed', code: 'EINVAL', message: 'empty command' });
  if (request.signal?.aborted) return Promise.resolve({ kind: 'cancelled' });
  if (!request.isTrusted()) return Promise.resolve({ kind: 'untrusted' });
  guard();
  const started = performance.now();
  return new Promise((resolve) => {
    let child: ChildProcess;
    try {
      child = spawn(program, args, {
        cwd: request.directory,
        env: request.environment ?? process.env,
        stdio: [request.input ? 'pipe' : 'ignore', 'pipe', 'pipe'],
        detached: true,
        windowsHide: true,
      });
    } catch (error) {
      resolve(spawnFailure(error as NodeJS.ErrnoException, program, request.directory));
      return;
    }
    const stdout = new Collector(request.outputLimit ?? 1 << 20);
    const stderr = new Collector(request.outputLimit ?? 1 << 20);
    let ended: 'timeout' | 'cancelled' | undefined;
    let exit: { status: number; signal: NodeJS.Signals | null } | undefined;
    let drain: NodeJS.Timeout | undefined;
    if (child.pid !== undefined) groups.add(child.pid);

    const stop = (why: 'timeout' | 'cancelled') => {
      ended ??= why;
      killGroup(child);
    };
    const timer = setTimeout(() => stop('timeout'), request.timeout);
    const abort = () => stop('cancelled');
    request.signal?.addEventListener('abort', abort, { once: true });

    const finish = (result: RunResult) => {
      clearTimeout(timer);
      clearTimeout(drain);
      request.signal?.removeEventListener('abort', abort);
      if (child.pid !== undefined) groups.delete(child.pid);
      child.stdout?.destroy();
      child.stderr?.destroy();
      resolve(result);
    };
    const exited = () => {
      const milliseconds = performance.now() - started;
      if (ended === 'cancelled') finish({ kind: 'cancelled' });
      else if (ended === 'timeout') finish({ kind: 'timeout', milliseconds, stderr: stderr.bytes() });
      else {
        finish({
          kind: 'exited',
          ...exit!,
          stdout: stdout.bytes(),
          stderr: stderr.bytes(),
          cut: stdout.cut || stderr.cut,
          milliseconds,
        });
      }
    };
    child.stdout?.on('data', (chunk: Buffer) => stdout.add(chunk));
    child.stderr?.on('data', (chunk: Buffer) => stderr.add(chunk));
    child.on('error', (error: NodeJS.ErrnoException) => {
      if (child.pid === undefined) finish(spawnFailure(error, program, request.directory));
    });
    child.on('exit', (code, signal) => {
      exit = { status: code ?? 128 + (signal ? signalNumber(signal) : 0), signal };
      // What the program left running in its group (a killed driver's cc1) must not survive it.
      killGroupQuietly(child);
      drain = setTimeout(exited, DRAIN);
    });
    child.on('close', () => {
      if (exit) exited();
    });
    if (request.input && child.stdin) {
      child.stdin.on('error', () => {});
      child.stdin.end(request.input);
    }
  });
}

function killGroupQuietly(child: ChildProcess): void {
  try {
    process.kill(-child.pid!, 'SIGKILL');
  } catch {
    // Nothing is left in it.
  }
}

const SIGNALS: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGTERM: 15,
  SIGXCPU: 24,
  SIGXFSZ: 25,
};

function signalNumber(signal: NodeJS.Signals): number {
  return SIGNALS[signal] ?? 0;
}

function spawnFailure(error: NodeJS.ErrnoException, program: string, directory: string): RunResult {
  const code = error.code ?? '';
  if (!existsSync(directory)) {
    return {
      kind: 'failed',
      code: 'ENOENT',
      message: `The folder ${directory}, in which the command has to run, does not exist.`,
    };
  }
  if (code === 'ENOENT') return { kind: 'missing', message: `\`${program}\` was not found.` };
  if (code === 'EACCES') return { kind: 'missing', message: `\`${program}\` may not be executed (permission denied).` };
  return { kind: 'failed', code, message: `\`${program}\` could not be started: ${error.message}` };
}
