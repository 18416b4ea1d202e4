import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, isAbsolute, join } from 'node:path';

/** How a test compiles a source. */
export interface CompileOptions {
  /** `gcc` by default; `clang`, `gcc-11`, ... */
  readonly compiler?: string;
  /** Replaces the default `-O2 -g -ffunction-sections -fdata-sections`. */
  readonly args?: readonly string[];
  /** Added to the arguments. */
  readonly extra?: readonly string[];
  /** File name that the compiler sees; decides `__FILE__` and the file symbol. */
  readonly name?: string;
  /** Other files, such as headers, written beside the source. */
  readonly files?: Readonly<Record<string, string>>;
}

/** What the project's own builds add, and the optimisation that users ship with. */
export const DEFAULT_ARGS = ['-O2', '-g', '-ffunction-sections', '-fdata-sections'] as const;

/**
 * The compilers that cases about objects run with, each a test of its own: skipped with a reason where it is not installed. Debian's two of each
 * family; LIVEPATCH_COMPILERS (names with commas between them) adds others, such as `gcc-14,clang-19`.
 */
export const CASE_COMPILERS: readonly string[] = [
  ...new Set(['gcc-11', 'gcc-12', 'clang-14', 'clang-16', ...(process.env.LIVEPATCH_COMPILERS ?? '').split(',')]),
].filter((name) => name !== '');

/** True where the tool answers to `--version`. */
export function hasTool(tool: string): boolean {
  return spawnSync(tool, ['--version'], { stdio: 'ignore' }).status === 0;
}

/** Compiles C source text to a relocatable object in a scratch folder and returns its bytes. Throws with the compiler's words. */
export function compile(source: string, options: CompileOptions = {}): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), 'lpa-cc-'));
  try {
    const name = options.name ?? 'unit.c';
    writeFileSync(join(folder, name), source);
    for (const [file, text] of Object.entries(options.files ?? {})) {
      const path = join(folder, isAbsolute(file) ? basename(file) : file);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    }
    const args = [...(options.args ?? DEFAULT_ARGS), ...(options.extra ?? []), `-fdebug-prefix-map=${folder}=/src`];
    const run = spawnSync(options.compiler ?? 'gcc', [...args, '-c', name, '-o', 'out.o'], {
      cwd: folder,
      encoding: 'utf8',
    });
    if (run.error) throw run.error;
    if (run.status !== 0) throw new Error(`${options.compiler ?? 'gcc'} failed:\n${run.stderr}`);
    return new Uint8Array(readFileSync(join(folder, 'out.o')));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Compiles the base and the next version of one source with the same options. */
export function compilePair(
  base: string,
  next: string,
  options: CompileOptions = {},
): { base: Uint8Array; next: Uint8Array } {
  return { base: compile(base, options), next: compile(next, options) };
}
