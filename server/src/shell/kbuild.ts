import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, extname, join, relative, resolve } from 'node:path';
import { outputOf } from './commandLine.ts';
import { type CommandList, commandsOf } from './compileCommands.ts';
import type { CompileCommand } from './types.ts';

/** Undoes what Kbuild's `make-cmd` does to a command before it writes it into a makefile. */
function unescapeMake(text: string): string {
  return text.replaceAll('$(pound)', '#').replaceAll('$$', '$');
}

/**
 * Reads a Kbuild `.foo.o.cmd` file: the line `cmd_PATH := COMMAND` (`savedcmd_PATH` since Linux 6.2), relative to the build
 * folder in which make ran.
 * @returns undefined where the file holds no compile command (archives, links, older formats), a sentence where it cannot be used.
 */
export function parseCmdFile(text: string, origin: string, buildDir: string): CompileCommand | string | undefined {
  const line = /^(?:saved)?cmd_(\S+)\s*:=\s*((?:[^\n]*\\\n)*[^\n]*)/m.exec(text);
  if (!line || !/\.o$/.test(line[1]!)) return undefined;
  const target = resolve(buildDir, line[1]!);
  const split = commandsOf(unescapeMake(line[2]!), buildDir, target);
  if (typeof split === 'string') return `${origin}: the command ${split}`;
  const { arguments: args, directory } = split;
  const listed = /^source_\S+\s*:=\s*(\S+)/m.exec(text)?.[1];
  const source = listed ?? args.findLast((arg) => /\.(c|S|s)$/.test(arg) && !arg.startsWith('-'));
  if (source === undefined || !args.includes('-c')) return undefined;
  return {
    file: resolve(directory, source),
    directory,
    arguments: args,
    output: args.some((arg) => arg.startsWith('-o')) ? target : (outputOf(args, directory, source) ?? target),
    origin,
    ...(split.after.length > 0 ? { after: split.after } : {}),
  };
}

/** Reads one .cmd file; a missing or unusable one gives an empty list. */
async function readCmdFile(path: string, buildDir: string): Promise<CommandList> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return { commands: [], problems: [] };
  const command = parseCmdFile(text, path, buildDir);
  if (command === undefined) return { commands: [], problems: [] };
  return typeof command === 'string' ? { commands: [], problems: [command] } : { commands: [command], problems: [] };
}

/**
 * The commands that Kbuild left for one source: `.foo.o.cmd` beside the object, in the build folder's mirror of the source
 * tree or beside the source. Objects of another name that are built from it are found by `findKbuild`.
 */
export async function kbuildCommandsOf(file: string, root: string, buildDir: string): Promise<CommandList> {
  const name = `.${basename(file, extname(file))}.o.cmd`;
  const inside = relative(root, dirname(file));
  const places = new Set([join(dirname(file), name)]);
  if (!inside.startsWith('..')) places.add(join(buildDir, inside, name));
  const commands: CompileCommand[] = [];
  const problems: string[] = [];
  for (const place of places) {
    // make may have run in a folder above: the target's own path in the file tells which.
    const text = await readFile(place, 'utf8').catch(() => undefined);
    const target = text === undefined ? undefined : /^(?:saved)?cmd_(\S+\.o)\s*:=/m.exec(text)?.[1];
    if (target === undefined) continue;
    const object = join(dirname(place), basename(place).slice(1, -4));
    const ran = target.startsWith('/')
      ? buildDir
      : object.endsWith(`/${target}`)
        ? object.slice(0, -target.length - 1)
        : buildDir;
    const read = await readCmdFile(place, ran);
    commands.push(...read.commands.filter((command) => command.file === file));
    problems.push(...read.problems);
  }
  return { commands, problems };
}

/** Every compile command that Kbuild left under a build folder. Bounded: at most `limit` folders are read. */
export async function findKbuild(buildDir: string, limit = 20_000): Promise<CommandList> {
  const commands: CompileCommand[] = [];
  const problems: string[] = [];
  const folders = [buildDir];
  for (let count = 0; folders.length > 0 && count < limit; count++) {
    const folder = folders.pop()!;
    const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
    for (const entry of entries) {
      if (entry.isDirectory() && entry.name !== '.git' && entry.name !== 'node_modules')
        folders.push(join(folder, entry.name));
      else if (entry.isFile() && entry.name.startsWith('.') && entry.name.endsWith('.o.cmd')) {
        const read = await readCmdFile(join(folder, entry.name), buildDir);
        commands.push(...read.commands);
        problems.push(...read.problems);
      }
    }
  }
  return { commands, problems };
}
