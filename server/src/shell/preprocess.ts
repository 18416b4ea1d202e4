import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { prepareCommand } from './commandLine.ts';
import { parseDepfile } from './depfiles.ts';
import { compilerEnvironment } from './environment.ts';
import { run } from './runner.ts';
import type { CompileCommand, Config } from './types.ts';

/** `-MM`: only what is included; or the whole text that the compiler gets to see. */
export type PreprocessHow = { readonly scanOnly: true } | { readonly textOnly: true };

/** What the preprocessor read, by absolute path, and what it made of it, where that was asked for. */
export interface PreprocessedFiles {
  readonly dependencies: readonly string[];
  readonly text?: Buffer;
}

/**
 * Runs the preprocessor of a unit's command alone; undefined where it fails.
 * @param folder scratch folder of this run, made and removed
 */
export async function preprocess(
  command: CompileCommand,
  how: PreprocessHow,
  folder: string,
  context: {
    readonly config: Config;
    readonly scratch: string;
    readonly isTrusted: () => boolean;
    readonly signal: AbortSignal | undefined;
  },
): Promise<PreprocessedFiles | undefined> {
  const { config, scratch, isTrusted, signal } = context;
  const depfile = join(folder, 'text.d');
  const object = join(folder, 'text.i');
  const prepared = prepareCommand(command, { object, depfile, ...how });
  if (typeof prepared === 'string') return undefined;
  try {
    await Promise.all([mkdir(folder, { recursive: true }), mkdir(join(scratch, 'tmp'), { recursive: true })]);
    const result = await run({
      arguments: prepared.arguments,
      directory: prepared.directory,
      environment: compilerEnvironment(prepared.directory, scratch),
      timeout: config.compileTimeout * 1000,
      signal,
      isTrusted,
    });
    if (result.kind !== 'exited' || result.status !== 0) return undefined;
    const dependencies = parseDepfile(await readFile(depfile, 'utf8'), prepared.directory);
    return 'textOnly' in how ? { dependencies, text: await readFile(object) } : { dependencies };
  } catch {
    return undefined;
  } finally {
    rm(folder, { recursive: true, force: true }).catch(() => {});
  }
}
