import { readFile } from 'node:fs/promises';
import { basename, isAbsolute, resolve } from 'node:path';
import { outputOf } from './commandLine.ts';
import { expandResponseFiles } from './responseFiles.ts';
import { splitSteps, stepArguments } from './tokenize.ts';
import type { CompileCommand } from './types.ts';

/** Commands read from one file, with what could not be used. */
export interface CommandList {
  readonly commands: readonly CompileCommand[];
  readonly problems: readonly string[];
}

/** Programs of second steps that only tidy up: nothing of the object depends on them. */
const TIDY = new Set(['rm', 'true', ':', 'echo', 'touch']);

/**
 * Turns a shell text into the compile step and the steps that run on its object afterwards. Only `;` and `&&` lists are
 * understood, and a `cd` in front; anything else would need a shell, which is never used.
 * @returns a sentence instead, where the text cannot be run by argument vectors.
 */
export function commandsOf(
  text: string,
  directory: string,
  target?: string,
): { arguments: string[]; after: string[][]; directory: string } | string {
  const steps = splitSteps(text);
  const bad = steps.find((step) => step.operator !== undefined && !['&&', ';', '\n'].includes(step.operator));
  if (bad) return `uses the shell operator \`${bad.operator}\`, which cannot be run without a shell`;
  const all = steps.map(stepArguments).filter((words) => words.length > 0);
  // As `make -n` prints it for folders below.
  while (all.length > 1 && all[0]![0] === 'cd' && all[0]!.length === 2)
    directory = resolve(directory, all.shift()![1]!);
  const [first, ...rest] = all;
  if (!first) return 'is empty';
  const output = outputOf(first, directory);
  const objects = new Set([output, target].filter((path) => path !== undefined));
  const after: string[][] = [];
  for (const words of rest) {
    if (TIDY.has(basename(words[0]!))) continue;
    const mapped = words.map((word, index) => (index > 0 && objects.has(resolve(directory, word)) ? '{object}' : word));
    if (!mapped.includes('{object}')) continue;
    if (basename(words[0]!) === 'mv') continue;
    after.push(mapped);
  }
  return { arguments: first, after, directory };
}

/**
 * Reads a JSON Compilation Database (clang.llvm.org/docs/JSONCompilationDatabase.html): entries with `directory`, `file`,
 * `arguments` or `command`, and `output`. Entries that cannot be used are reported and left out.
 */
export function parseCompileCommands(text: string, origin: string): CommandList {
  let entries: unknown;
  try {
    entries = JSON.parse(text);
  } catch (error) {
    return { commands: [], problems: [`${origin} is not JSON: ${(error as Error).message}`] };
  }
  if (!Array.isArray(entries)) return { commands: [], problems: [`${origin} must hold an array of commands`] };
  const commands: CompileCommand[] = [];
  const problems: string[] = [];
  entries.forEach((entry: Record<string, unknown>, index) => {
    const where = `${origin}, entry ${index}`;
    if (typeof entry !== 'object' || entry === null || typeof entry.file !== 'string') {
      problems.push(`${where}: no \`file\``);
      return;
    }
    const folder = resolve(origin, '..');
    let directory = typeof entry.directory === 'string' ? resolve(folder, entry.directory) : folder;
    const file = isAbsolute(entry.file) ? entry.file : resolve(directory, entry.file);
    let args: string[];
    let after: string[][] = [];
    if (Array.isArray(entry.arguments) && entry.arguments.every((arg) => typeof arg === 'string')) {
      args = entry.arguments as string[];
    } else if (typeof entry.command === 'string') {
      const split = commandsOf(entry.command, directory);
      if (typeof split === 'string') {
        problems.push(`${where} (${entry.file}): the command ${split}`);
        return;
      }
      args = split.arguments;
      after = split.after;
      directory = split.directory;
    } else {
      problems.push(`${where} (${entry.file}): neither \`arguments\` nor \`command\``);
      return;
    }
    if (args.length < 2) {
      problems.push(`${where} (${entry.file}): the command is empty`);
      return;
    }
    const output =
      typeof entry.output === 'string' ? resolve(directory, entry.output) : outputOf(args, directory, file);
    commands.push({
      file: resolve(file),
      directory,
      arguments: args,
      ...(output === undefined ? {} : { output }),
      origin,
      ...(after.length > 0 ? { after } : {}),
    });
  });
  return { commands, problems };
}

/** Reads compile_commands.json from disk; a missing file gives an empty list. */
export async function readCompileCommands(path: string): Promise<CommandList> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    return { commands: [], problems: missing ? [] : [`${path} cannot be read: ${(error as Error).message}`] };
  }
  const list = parseCompileCommands(text, path);
  // The object may be named in a response file.
  const commands = await Promise.all(
    list.commands.map(async (command) => {
      if (command.output !== undefined || !command.arguments.some((arg) => arg.startsWith('@'))) return command;
      const args = await expandResponseFiles(command.arguments, command.directory);
      const output = outputOf(args, command.directory, command.file);
      return output === undefined ? command : { ...command, output };
    }),
  );
  return { ...list, commands };
}
