import type { ParseArgsConfig } from 'node:util';

/** Exit statuses of every command, as scripts and CI read them. */
export const exitStatus = { fine: 0, blocked: 1, couldNot: 2 } as const;
export type ExitStatus = (typeof exitStatus)[keyof typeof exitStatus];

/** What a command talks to. Passed in, so that tests can run a command without a process. */
export interface CliContext {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  /** Colours on standard output: on a terminal only, and not under NO_COLOR. */
  readonly colour: boolean;
  /** Columns of the terminal; 100 where there is none. */
  readonly width: number;
  /** Aborted on Ctrl-C. */
  readonly signal: AbortSignal;
}

/** An option as `node:util`'s parseArgs takes it, with what `--help` says of it. */
export interface OptionSpec {
  readonly type: 'string' | 'boolean';
  readonly short?: string;
  readonly multiple?: boolean;
  /** Name of the value in the help text. */
  readonly value?: string;
  readonly help: string;
}

/** Values of options by long name. */
export type OptionValues = Readonly<Record<string, string | boolean | readonly (string | boolean)[] | undefined>>;

/** One command of the command line; one file each. */
export interface Command {
  readonly name: string;
  /** Argument lines of the usage text, without the program and command names. */
  readonly usage: readonly string[];
  /** One paragraph or two, under the usage. */
  readonly about: string;
  readonly options: Readonly<Record<string, OptionSpec>>;
  readonly examples: readonly { readonly line: string; readonly what: string }[];
  /** Everything from the first positional argument on is passed through (for `record -- make`). */
  readonly passThrough?: boolean;
  run(values: OptionValues, positionals: readonly string[], context: CliContext): Promise<ExitStatus>;
}

/** The command could not do its work: printed without a stack trace, exit status 2. */
export class CannotError extends Error {
  /** Extra lines, such as a compiler's output. */
  readonly details: string;
  constructor(message: string, details = '') {
    super(message);
    this.details = details;
  }
}

/** The command line itself is wrong: printed with a pointer to `--help`, exit status 2. */
export class UsageError extends CannotError {}

/** `options` in parseArgs's own form, with `--help` added. */
export function parseConfig(command: Command): NonNullable<ParseArgsConfig['options']> {
  const options: NonNullable<ParseArgsConfig['options']> = { help: { type: 'boolean', short: 'h' } };
  for (const [name, spec] of Object.entries(command.options)) {
    options[name] = {
      type: spec.type,
      ...(spec.short ? { short: spec.short } : {}),
      ...(spec.multiple ? { multiple: true } : {}),
    };
  }
  return options;
}

/** A string option, or undefined. */
export function text(values: OptionValues, name: string): string | undefined {
  const value = values[name];
  return typeof value === 'string' ? value : undefined;
}

/** All values of an option that may be given more than once. */
export function list(values: OptionValues, name: string): readonly string[] {
  const value = values[name];
  const all = typeof value === 'object' ? value : [value];
  return all.filter((item) => typeof item === 'string');
}

/** Whether a switch was given. */
export function flag(values: OptionValues, name: string): boolean {
  return values[name] === true;
}
