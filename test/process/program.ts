import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { createAnalyser } from '../../server/src/analyse.ts';
import { readElf } from '../../server/src/core/elf/index.ts';
import { buildProcessPayload } from '../../server/src/core/payload/process.ts';
import type { BuildPayloadOutcome, LinkedModule, PatchUnit, PlanOptions } from '../../server/src/core/payload/types.ts';
import { findHelper } from '../../server/src/targets/helper.ts';
import { createProcessTarget, type ProcessTargetOptions } from '../../server/src/targets/process.ts';

/** The real tools: the helper is built by `npm run native` before the tests. */
export function ensureHelper(): string {
  const root = join(import.meta.dirname, '..', '..');
  const made = spawnSync('make', ['-s', '-C', join(root, 'server', 'native')], { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`the native helper does not build:\n${made.stderr}`);
  const path = findHelper();
  if (!path) throw new Error('the native helper was built and is not found');
  return path;
}

/** How a test program is built. */
export interface ProgramOptions {
  /** Options of the compiler for the program and for the objects. */
  readonly compile?: readonly string[];
  readonly link?: readonly string[];
  readonly compiler?: string;
  /** Sources that make a shared object `libpart.so`, which the program is linked with. */
  readonly shared?: readonly string[];
  /** Files that are compared; all by default. */
  readonly objects?: Readonly<Record<string, readonly string[]>>;
}

function run(program: string, args: readonly string[], cwd: string): void {
  const done = spawnSync(program, args, { cwd, encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`${program} ${args.join(' ')}:\n${done.stderr}`);
}

/**
 * A program built from sources, as real builds do it: without -ffunction-sections. Objects to compare are compiled apart from
 * it with sections, as the build room does.
 */
export class Program {
  readonly folder = mkdtempSync(join(tmpdir(), 'lpa-program-'));
  readonly executable = join(this.folder, 'build', 'program');
  readonly #sources: Readonly<Record<string, string>>;
  readonly #options: ProgramOptions;
  readonly #running = new Set<ChildProcess>();

  constructor(sources: Readonly<Record<string, string>>, options: ProgramOptions = {}) {
    this.#sources = sources;
    this.#options = options;
    mkdirSync(join(this.folder, 'build'));
    for (const [name, text] of Object.entries(sources)) {
      mkdirSync(dirname(join(this.folder, name)), { recursive: true });
      writeFileSync(join(this.folder, name), text);
    }
    const gcc = options.compiler ?? 'gcc';
    const flags = ['-O2', '-g', ...(options.compile ?? [])];
    const shared = options.shared ?? [];
    const objects: string[] = [];
    const parts: string[] = [];
    for (const name of Object.keys(sources)) {
      if (!name.endsWith('.c')) continue;
      const object = `build/${name.replace(/\W/g, '_')}.o`;
      run(gcc, [...flags, ...(shared.includes(name) ? ['-fPIC'] : []), '-c', name, '-o', object], this.folder);
      (shared.includes(name) ? parts : objects).push(object);
    }
    if (parts.length > 0)
      run(gcc, ['-shared', '-o', 'build/libpart.so', '-Wl,-soname,libpart.so', ...parts], this.folder);
    run(
      gcc,
      [
        ...flags,
        ...objects,
        '-o',
        'build/program',
        ...(parts.length > 0 ? ['-Lbuild', '-lpart', '-Wl,-rpath,$ORIGIN'] : []),
        ...(options.link ?? []),
        '-lpthread',
      ],
      this.folder,
    );
  }

  /** Compiles one source as the build room does. */
  object(name: string, text: string): Uint8Array {
    const scratch = join(this.folder, 'scratch');
    mkdirSync(scratch, { recursive: true });
    for (const [other, source] of Object.entries(this.#sources)) {
      mkdirSync(dirname(join(scratch, other)), { recursive: true });
      writeFileSync(join(scratch, other), source);
    }
    writeFileSync(join(scratch, name), text);
    const pic = this.#options.shared?.includes(name) ? ['-fPIC'] : [];
    run(
      this.#options.compiler ?? 'gcc',
      [
        '-O2',
        '-g',
        ...(this.#options.compile ?? []),
        ...pic,
        '-ffunction-sections',
        '-fdata-sections',
        '-c',
        name,
        '-o',
        'out.o',
      ],
      scratch,
    );
    return new Uint8Array(readFileSync(join(scratch, 'out.o')));
  }

  module(file = this.executable): LinkedModule {
    const { elf } = readElf(new Uint8Array(readFileSync(file)));
    if (!elf) throw new Error(`${file} is not an ELF file`);
    return { path: file, elf };
  }

  /** Compares the edited sources with the program's own and builds a payload. */
  async build(
    next: Readonly<Record<string, string>>,
    options: Partial<PlanOptions> & {
      readonly base?: Readonly<Record<string, string>>;
      readonly modules_?: LinkedModule[];
    } = {},
  ): Promise<BuildPayloadOutcome> {
    const analyser = await createAnalyser();
    const units: PatchUnit[] = [];
    for (const [name, text] of Object.entries(next)) {
      const base = analyser.load(this.object(name, options.base?.[name] ?? this.#sources[name]!)).object!;
      const edited = analyser.load(this.object(name, text)).object!;
      const provenance = { unit: name, baseCommand: [], nextCommand: [], compiler: 'gcc', baseline: 'test' };
      units.push(analyser.compare(base, edited, provenance));
    }
    const modules = options.modules_ ?? [
      this.module(),
      ...(this.#options.shared ? [this.module(join(this.folder, 'build', 'libpart.so'))] : []),
    ];
    return buildProcessPayload(units, modules, {
      leaveOut: [],
      keepLineOnly: false,
      overrides: {},
      id: 'test-patch',
      description: '',
      created: '2026-01-01T00:00:00Z',
      ...options,
    });
  }

  /** As `build`, for edits that are to be accepted. */
  async payload(
    next: Readonly<Record<string, string>>,
    options: Parameters<Program['build']>[1] = {},
  ): Promise<Uint8Array> {
    const outcome = await this.build(next, options);
    if (outcome.kind !== 'payload')
      throw new Error(
        `refused: ${outcome.refusals.map((one) => `${one.code} ${one.symbol}: ${one.message}`).join('\n')}`,
      );
    return outcome.payload.bytes;
  }

  start(...args: string[]): RunningProgram {
    const child = spawn(this.executable, args, { stdio: ['pipe', 'pipe', 'inherit'], cwd: this.folder });
    this.#running.add(child);
    child.on('exit', () => this.#running.delete(child));
    return new RunningProgram(child);
  }

  dispose(): void {
    for (const child of this.#running) child.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A running test program that is asked by lines on its standard input and answers by lines. */
export class RunningProgram {
  readonly child: ChildProcess;
  readonly #lines: string[] = [];
  readonly #waiting: ((line: string | undefined) => void)[] = [];
  #ended = false;

  constructor(child: ChildProcess) {
    this.child = child;
    const lines = createInterface({ input: child.stdout! });
    lines.on('line', (line) => {
      const next = this.#waiting.shift();
      if (next) next(line);
      else this.#lines.push(line);
    });
    lines.on('close', () => {
      this.#ended = true;
      for (const next of this.#waiting.splice(0)) next(undefined);
    });
    child.stdin?.on('error', () => {});
  }

  get pid(): number {
    return this.child.pid!;
  }

  line(): Promise<string | undefined> {
    const line = this.#lines.shift();
    if (line !== undefined || this.#ended) return Promise.resolve(line);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  ask(text: string): Promise<string | undefined> {
    this.child.stdin!.write(`${text}\n`);
    return this.line();
  }

  target(options: Partial<ProcessTargetOptions> = {}): ReturnType<typeof createProcessTarget> {
    return createProcessTarget({ name: 'test', pid: this.pid, ...options });
  }

  /** Ends the program by closing its input, and tells how it ended. */
  async end(): Promise<number | string | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      this.child.stdin!.end();
      await once(this.child, 'exit');
    }
    return this.child.exitCode ?? this.child.signalCode;
  }
}

/** A main that answers each line with the result of `answer()`, from a loop that is not patched. */
export const ASKING_MAIN = `
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
const char *answer(const char *question);
int main(void) {
  static char line[256];
  setvbuf(stdout, 0, _IOLBF, 0);
  puts("ready");
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\\n")] = 0;
    puts(answer(line));
  }
  return 0;
}
`;
