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
import { commandHelp, overview } from './help.ts';
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
    return report(error, argv[0], context);
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

function report(error: unknown, command: string | undefined, context: CliContext): ExitStatus {
  const paint = painter(context.colour);
  if (error instanceof CannotError) {
    context.err(`${paint.red('livepatch:')} ${printable(error.message)}\n`);
    if (error.details) context.err(`${printable(error.details.trimEnd())}\n`);
    if (error instanceof UsageError)
      context.err(`See: livepatch ${command && commands.some((c) => c.name === command) ? `${command} ` : ''}--help\n`);
    return exitStatus.couldNot;
  }
  const known = error as NodeJS.ErrnoException;
  const plain = known?.code !== undefined && known.path !== undefined;
  context.err(
    `${paint.red('livepatch:')} ${plain ? printable(known.message) : `unexpected: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`}\n`,
  );
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
