import { access, constants, realpath, stat } from 'node:fs/promises';
import { delimiter, isAbsolute, join, resolve } from 'node:path';
import { run } from './runner.ts';

/** Which program compiles: enough to tell two installations apart. */
export interface CompilerIdentity {
  /** Real path of the program. */
  readonly path: string;
  /** First line of `--version`. */
  readonly version: string;
  /** Path, size, time stamp and version in one text, for cache keys: of the driver, and of the compiler and the assembler that it starts. */
  readonly key: string;
  /** Options that let its debug information say as much as gcc's. */
  readonly debugOptions: readonly string[];
}

/**
 * clang describes no type that is only reached through an `extern` variable, so that an edit to it would go unseen. gcc describes what is
 * used; it is left as it is.
 */
const ALL_TYPES = '-fno-eliminate-unused-debug-types';

/** Programs that a driver starts. clang is its own compiler. */
const PARTS = ['cc1', 'as'] as const;

/** Which program a name stands for: path, size and time. The name alone where there is none. */
export async function stampOf(name: string, directory: string): Promise<string> {
  const found = name === '' ? undefined : await findProgram(name, directory);
  const info = found === undefined ? undefined : await stat(found, { bigint: true }).catch(() => undefined);
  return info ? `${found} ${info.size} ${info.mtimeNs}` : name;
}

/** Path of a program as `execvp` finds it; undefined where there is none. */
export async function findProgram(
  name: string,
  directory: string,
  path = process.env.PATH ?? '',
): Promise<string | undefined> {
  const places = name.includes('/')
    ? [isAbsolute(name) ? name : resolve(directory, name)]
    : path.split(delimiter).map((folder) => join(folder || '.', name));
  for (const place of places) {
    const usable = await access(place, constants.X_OK).then(
      async () => (await stat(place)).isFile(),
      () => false,
    );
    if (usable) return place;
  }
  return undefined;
}

/** Asks compilers who they are, once per program file. */
export class Compilers {
  private readonly known = new Map<string, Promise<CompilerIdentity>>();
  private readonly isTrusted: () => boolean;

  constructor(isTrusted: () => boolean) {
    this.isTrusted = isTrusted;
  }

  /** Identity of the compiler that a command names; undefined where the program is not there. */
  async identify(program: string, directory: string): Promise<CompilerIdentity | undefined> {
    const found = await findProgram(program, directory);
    if (found === undefined) return undefined;
    const path = await realpath(found);
    const info = await stat(path, { bigint: true });
    // A driver acts by the name it is called with (clang, x86_64-linux-gnu-gcc), so the name is part of the identity.
    const stamp = `${found} ${path} ${info.size} ${info.mtimeNs}`;
    let asked = this.known.get(stamp);
    if (!asked) {
      asked = this.ask(found, path, stamp, directory);
      this.known.set(stamp, asked);
      asked.then(
        (identity) => identity.version === '' && this.known.delete(stamp),
        () => this.known.delete(stamp),
      );
    }
    return asked;
  }

  private async ask(program: string, path: string, stamp: string, directory: string): Promise<CompilerIdentity> {
    const firstLine = async (...options: string[]) => {
      const result = await run({
        arguments: [program, ...options],
        directory,
        environment: { ...process.env, LC_ALL: 'C' },
        timeout: 10_000,
        isTrusted: this.isTrusted,
        outputLimit: 4096,
      });
      if (result.kind !== 'exited' || result.status !== 0) return '';
      return (result.stdout.toString().split('\n')[0] ?? '').trim();
    };
    // Another assembler below the same driver makes other objects; a script that starts the compiler does not change when that does.
    const part = async (name: string) => stampOf(await firstLine(`-print-prog-name=${name}`), directory);
    // One question for both: a compiler that does not know the option ends with an error.
    const [withTypes, ...parts] = await Promise.all([firstLine(ALL_TYPES, '--version'), ...PARTS.map(part)]);
    const known = /\bclang\b/.test(withTypes);
    const text = withTypes === '' ? await firstLine('--version') : withTypes;
    return { path, version: text, key: [stamp, text, ...parts].join(' '), debugOptions: known ? [ALL_TYPES] : [] };
  }
}
