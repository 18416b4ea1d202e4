import { spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, delimiter, dirname, extname, isAbsolute, join, resolve } from 'node:path';
import { outputOf } from './commandLine.ts';
import { findProgram } from './compiler.ts';
import { expandResponseFiles } from './responseFiles.ts';

/** What to record. */
export interface RecordRequest {
  /** The build command, e.g. `make -j8`: an argument vector. */
  readonly command: readonly string[];
  readonly cwd: string;
  /** compile_commands.json to write, or to add to. */
  readonly output: string;
  /** `auto` uses Bear where it is installed. */
  readonly recorder?: 'auto' | 'bear' | 'own';
  readonly signal?: AbortSignal;
  /** Where the build's own output goes; the caller's by default. */
  readonly stdio?: 'inherit' | 'ignore';
}

/** What was recorded. */
export interface RecordOutcome {
  /** Exit status of the build command; 127 where it could not be started. */
  readonly status: number;
  readonly recorder: 'bear' | 'own';
  /** Commands that this build ran. */
  readonly recorded: number;
  /** Commands in the file now. */
  readonly total: number;
  /** What the user should know: nothing was compiled, ... */
  readonly messages: readonly string[];
}

/** One entry of a JSON Compilation Database. */
export interface RecordedCommand {
  readonly directory: string;
  readonly file: string;
  readonly arguments: readonly string[];
  readonly output?: string;
}

/** Names under which C compilers are called, cross compilers and versions included. */
const COMPILER = /^(?:[a-z0-9_]+-)*(?:gcc|cc|clang|c99|c89|tcc|icx)(?:-\d+(?:\.\d+)*)?$/;

/** Compilers on PATH: name → absolute path of the first of that name. */
async function compilersOnPath(path: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const folder of path.split(delimiter)) {
    if (!isAbsolute(folder)) continue;
    for (const name of await readdir(folder).catch(() => [])) {
      if (COMPILER.test(name) && !found.has(name) && (await findProgram(join(folder, name), '/'))) {
        found.set(name, join(folder, name));
      }
    }
  }
  return found;
}

const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

/**
 * A stand-in for a compiler: notes the number of arguments, the working directory, the compiler and the arguments, each
 * ended by NUL, in a file of its own process, and becomes the compiler. Calls of one process id never overlap.
 */
function wrapperScript(real: string, log: string): string {
  return `#!/bin/sh\nprintf '%s\\0' "$#" "$(pwd)" ${quote(real)} "$@" >> ${quote(log)}/$$ 2>/dev/null\nexec ${quote(real)} "$@"\n`;
}

/** Reads what the stand-ins noted: argument vectors with their working directories. */
export function parseCalls(bytes: Buffer): { directory: string; arguments: string[] }[] {
  const fields = bytes.toString().split('\0');
  const calls: { directory: string; arguments: string[] }[] = [];
  for (let at = 0; at + 2 < fields.length; ) {
    const count = Number(fields[at]);
    if (!Number.isInteger(count) || at + 3 + count > fields.length) break;
    calls.push({ directory: fields[at + 1]!, arguments: fields.slice(at + 2, at + 3 + count) });
    at += 3 + count;
  }
  return calls;
}

/** A call with its response files read: a build may delete them later, and the source may stand in one. */
async function withResponseFiles(call: { directory: string; arguments: readonly string[] }) {
  return { ...call, arguments: await expandResponseFiles(call.arguments, call.directory) };
}

/** The compilations among the calls: one entry for each source. Links, preprocessing and probes (`-E`, `-M`, `-v`) are none. */
export function compilationsOf(
  calls: readonly { readonly directory: string; readonly arguments: readonly string[] }[],
): RecordedCommand[] {
  const found: RecordedCommand[] = [];
  for (const { directory, arguments: args } of calls) {
    if (args.some((arg) => ['-E', '-M', '-MM', '-S', '-fsyntax-only', '-###', '-cc1'].includes(arg))) continue;
    const sources = args.filter(
      (arg, index) =>
        index > 0 &&
        /\.(c|S|s)$/.test(arg) &&
        !arg.startsWith('-') &&
        args[index - 1] !== '-o' &&
        args[index - 1] !== '-include',
    );
    for (const source of sources) {
      const output = args.includes('-c') ? outputOf(args, directory, source) : undefined;
      found.push({
        directory,
        file: resolve(directory, source),
        arguments: args,
        ...(output === undefined ? {} : { output }),
      });
    }
  }
  return found;
}

function sameEntry(a: RecordedCommand): string {
  const file = resolve(a.directory, a.file);
  const output =
    a.output === undefined
      ? a.arguments
        ? outputOf(a.arguments, a.directory, file)
        : undefined
      : resolve(a.directory, a.output);
  return `${file}\0${output ?? ''}`;
}

/** Adds new commands to those of an existing file: a newer command of the same source and object takes the older one's place. */
export function mergeCommands(
  existing: readonly RecordedCommand[],
  recorded: readonly RecordedCommand[],
): RecordedCommand[] {
  const merged = new Map<string, RecordedCommand>();
  for (const entry of [...existing, ...recorded]) merged.set(sameEntry(entry), entry);
  return [...merged.values()];
}

function runBuild(request: RecordRequest, vector: readonly string[], environment: NodeJS.ProcessEnv): Promise<number> {
  return new Promise((done) => {
    const child = spawn(vector[0]!, vector.slice(1), {
      cwd: request.cwd,
      env: environment,
      stdio: request.stdio ?? 'inherit',
      ...(request.signal ? { signal: request.signal } : {}),
    });
    child.on('error', (error: NodeJS.ErrnoException) => done(error.name === 'AbortError' ? 130 : 127));
    child.on('exit', (code, signal) => done(code ?? (signal ? 130 : 1)));
  });
}

async function readEntries(path: string): Promise<RecordedCommand[] | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return [];
  try {
    const entries: unknown = JSON.parse(text);
    return Array.isArray(entries) ? (entries as RecordedCommand[]) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Runs a build and records its compile commands: through Bear where it is installed, else through stand-ins for the compilers
 * at the head of PATH. Only `output` is written; commands that were recorded before stay in it.
 */
export async function record(request: RecordRequest): Promise<RecordOutcome> {
  const scratch = await mkdtemp(join(tmpdir(), 'livepatch-record-'));
  const messages: string[] = [];
  try {
    const bear = request.recorder === 'own' ? undefined : await findProgram('bear', request.cwd);
    if (request.recorder === 'bear' && !bear) messages.push('Bear is not installed; the own recorder is used.');
    let status: number;
    let recorded: RecordedCommand[];
    if (bear) {
      const file = join(scratch, 'bear.json');
      status = await runBuild(request, [bear, '--output', file, '--', ...request.command], process.env);
      recorded = (await readEntries(file)) ?? [];
    } else {
      const tools = join(scratch, 'bin');
      const log = join(scratch, 'log');
      await Promise.all([mkdir(tools), mkdir(log)]);
      const path = process.env.PATH ?? '';
      for (const [name, real] of await compilersOnPath(path)) {
        await writeFile(join(tools, name), wrapperScript(real, log));
        await chmod(join(tools, name), 0o755);
      }
      status = await runBuild(request, request.command, {
        ...process.env,
        PATH: `${tools}${delimiter}${path}`,
        // A compiler cache that answers by itself would hide the command.
        CCACHE_DISABLE: '1',
      });
      const calls = [];
      for (const name of await readdir(log)) calls.push(...parseCalls(await readFile(join(log, name))));
      recorded = compilationsOf(await Promise.all(calls.map(withResponseFiles)));
    }
    if (status === 127)
      messages.push(`\`${request.command[0]}\` could not be started (or a program of the build was not found).`);
    if (recorded.length === 0) {
      messages.push(
        'No compilation was seen, so nothing was written. Where everything was up to date, clean the build folder first (`make clean`). ' +
          (bear
            ? ''
            : 'Where the build calls its compiler by an absolute path, install Bear (`apt install bear`) and record again.'),
      );
      return {
        status,
        recorder: bear ? 'bear' : 'own',
        recorded: 0,
        total: (await readEntries(request.output))?.length ?? 0,
        messages,
      };
    }
    const existing = await readEntries(request.output);
    if (existing === undefined) messages.push(`${request.output} was not a list of commands; it was replaced.`);
    const merged = mergeCommands(existing ?? [], recorded);
    await mkdir(dirname(request.output), { recursive: true });
    const fresh = join(
      dirname(request.output),
      `.${basename(request.output, extname(request.output))}.${process.pid}.new`,
    );
    await writeFile(fresh, `${JSON.stringify(merged, null, 2)}\n`);
    await rename(fresh, request.output);
    return { status, recorder: bear ? 'bear' : 'own', recorded: recorded.length, total: merged.length, messages };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
