import { parseArgs } from 'node:util';
import {
  CannotError,
  type CliContext,
  type Command,
  type ExitStatus,
  exitStatus,
  parseConfig,
  UsageError,
} from './command.ts';
import { commands } from './commands.ts';
import { whyNot } from './files.ts';
import { commandHelp, overview } from './help.ts';
import { jsonSchema, jsonText } from './report.ts';
import { painter, printable } from './text.ts';
import { version } from './version.ts';

/** Runs one command line (without node and script names). Never throws: what goes wrong is printed, and told by the exit status. */
export async function runCli(argv: readonly string[], context: CliContext): Promise<ExitStatus> {
  const paint = painter(context.colour);
  try {
    const [name, ...rest] = argv;
    if (name === '--version' || name === '-V') {
      context.out(`livepatch ${version}\n`);
      return exitStatus.fine;
    }
    const askedFor = name === 'help' ? rest[0] : name;
    if (askedFor === undefined || name === '--help' || name === '-h') {
      const text = overview(commands, paint);
      if (name === undefined) context.err(text);
      else context.out(text);
      return name === undefined ? exitStatus.couldNot : exitStatus.fine;
    }
    const entry = commands.find((candidate) => candidate.name === askedFor);
    if (!entry) throw new UsageError(`There is no command '${askedFor}'.${suggestion(askedFor)}`);
    const command = await entry.load();
    if (name === 'help' || asksForHelp(command, rest)) {
      context.out(commandHelp(command, paint, context.width));
      return exitStatus.fine;
    }
    const { values, positionals } = parse(command, rest);
    return await command.run(values, positionals, context);
  } catch (error) {
    return report(error, argv, context);
  }
}

function asksForHelp(command: Command, rest: readonly string[]): boolean {
  const own = command.passThrough && rest.includes('--') ? rest.slice(0, rest.indexOf('--')) : rest;
  const end = own.indexOf('--');
  return (end < 0 ? own : own.slice(0, end)).some((word) => word === '--help' || word === '-h');
}

function parse(command: Command, args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: parseConfig(command), allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** A failure as `--json` has it (docs/json.md). */
interface JsonError {
  /** `usage`: the command line is wrong. `cannot`: the work could not be done. `unexpected`: a fault of ours. */
  readonly kind: 'usage' | 'cannot' | 'unexpected';
  readonly message: string;
  /** Further lines, such as a compiler's output; may be empty. */
  readonly details: string;
}

function failure(error: unknown): JsonError {
  if (error instanceof CannotError) {
    const kind = error instanceof UsageError ? 'usage' : 'cannot';
    return { kind, message: error.message, details: error.details.trimEnd() };
  }
  const known = error as NodeJS.ErrnoException;
  if (typeof known?.code === 'string' && known.syscall !== undefined) {
    const what = known.path === undefined ? `${known.syscall} did not work` : `${known.path} cannot be used`;
    return { kind: 'cannot', message: `${what}: ${whyNot(known)}.`, details: '' };
  }
  const text = error instanceof Error ? error.message : String(error);
  return {
    kind: 'unexpected',
    message: `unexpected: ${text} This is a fault of livepatch itself; please report it with the lines below.`,
    details: error instanceof Error ? (error.stack ?? '') : '',
  };
}

function report(error: unknown, argv: readonly string[], context: CliContext): ExitStatus {
  const paint = painter(context.colour);
  const [command] = argv;
  const failed = failure(error);
  context.err(`${paint.red('livepatch:')} ${printable(failed.message)}\n`);
  if (failed.details) context.err(`${printable(failed.details)}\n`);
  if (failed.kind === 'usage')
    context.err(`See: livepatch ${command && commands.some((c) => c.name === command) ? `${command} ` : ''}--help\n`);
  const end = argv.indexOf('--');
  if ((end < 0 ? argv : argv.slice(0, end)).includes('--json'))
    context.out(jsonText({ schema: jsonSchema, error: failed }));
  return exitStatus.couldNot;
}

/** The command that a mistyped word may have meant: one edit away, or a prefix. */
function suggestion(word: string): string {
  const near = commands.find((entry) => entry.name.startsWith(word) || distance(entry.name, word) <= 2);
  return near ? ` Did you mean '${near.name}'?` : '';
}

/** Levenshtein distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length]!;
}
