import { realpathSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { readCompileCommands } from './compileCommands.ts';
import { findKbuild, kbuildCommandsOf } from './kbuild.ts';
import type { CompileCommand, Config, Unit } from './types.ts';

const folders = new Map<string, string>();

/** A path with its folder's symbolic links resolved: two spellings of a file compare equal. Folders are looked up once. */
export function canonical(path: string): string {
  const folder = dirname(path);
  let real = folders.get(folder);
  if (real === undefined) {
    try {
      real = realpathSync.native(folder);
    } catch {
      return path;
    }
    if (folders.size > 20_000) folders.clear();
    folders.set(folder, real);
  }
  return join(real, basename(path));
}

/** C sources and hand-written assembly: what a command can be expected for. Headers have none of their own. */
export function isSource(path: string): boolean {
  return ['.c', '.S', '.s', '.i'].includes(extname(path));
}

/** What Kbuild writes in its folder when a build has come to its end, of Linux and of Xen. */
const LINKED = ['.config', 'vmlinux', 'vmlinux.o', 'modules.order', 'xen-syms', 'prelink.o'] as const;

/** The commands of a workspace: compile_commands.json, else Kbuild's .cmd files. Read again when they change. */
export class CommandIndex {
  private readonly config: Config;
  private readonly path: string;
  private stamp = '';
  private byFile = new Map<string, Unit[]>();
  private list: Unit[] = [];
  problems: readonly string[] = [];

  constructor(config: Config) {
    this.config = config;
    this.path = config.buildDir.endsWith('.json') ? config.buildDir : join(config.buildDir, 'compile_commands.json');
  }

  /** Path of the compile_commands.json that is looked at, whether it exists or not. */
  get database(): string {
    return this.path;
  }

  get units(): readonly Unit[] {
    return this.list;
  }

  /** Reads the commands where they changed since the last time. @returns true where they were read again */
  async refresh(): Promise<boolean> {
    const info = await stat(this.path, { bigint: true }).catch(() => undefined);
    const stamp = info ? `${info.ino} ${info.size} ${info.mtimeNs}` : `none ${await this.kbuildStamp()}`;
    if (stamp === this.stamp) return false;
    const read = info ? await readCompileCommands(this.path) : await findKbuild(this.config.buildDir);
    this.problems = read.problems;
    // A list that is being written, or a build that was cleaned: what is known holds until there is another list.
    if (read.commands.length === 0 && this.list.length > 0) return false;
    this.stamp = stamp;
    this.byFile = new Map();
    this.list = [];
    // Two entries for one object are one unit: a recorder that appends lists the newest command last.
    const byObject = new Map<string, CompileCommand>();
    for (const command of read.commands) byObject.set(`${command.output ?? ''}\0${command.file}`, command);
    const taken = new Set<string>();
    for (const command of byObject.values()) {
      let id = command.output ?? command.file;
      while (taken.has(id)) id = `${id}#${basename(command.file)}`;
      taken.add(id);
      this.add({ id, command });
    }
    return true;
  }

  /** Changes when Kbuild has configured or linked: walking through its tree for every edit would take too long. */
  private async kbuildStamp(): Promise<string> {
    const stamps = await Promise.all(
      LINKED.map((name) =>
        stat(join(this.config.buildDir, name), { bigint: true }).then(
          ({ mtimeNs }) => `${mtimeNs}`,
          () => '-',
        ),
      ),
    );
    return stamps.join(' ');
  }

  private add(unit: Unit): void {
    this.list.push(unit);
    const key = canonical(unit.command.file);
    this.byFile.set(key, [...(this.byFile.get(key) ?? []), unit]);
  }

  /** Units that are built from a source. */
  unitsOf(file: string): readonly Unit[] {
    return this.byFile.get(canonical(file)) ?? [];
  }

  /** Like `unitsOf`, and looks once more for a .cmd file that Kbuild has written since. */
  async find(file: string): Promise<readonly Unit[]> {
    const known = this.unitsOf(file);
    if ((known.length > 0 && !known.some(({ command }) => command.origin.endsWith('.cmd'))) || !isSource(file))
      return known;
    const read = await kbuildCommandsOf(file, this.config.root, this.config.buildDir);
    for (const command of read.commands) {
      const id = command.output ?? command.file;
      const old = this.list.findIndex((unit) => unit.id === id);
      if (old >= 0) {
        if (JSON.stringify(this.list[old]!.command) === JSON.stringify(command)) continue;
        this.list.splice(old, 1);
        const key = canonical(command.file);
        this.byFile.set(
          key,
          (this.byFile.get(key) ?? []).filter((unit) => unit.id !== id),
        );
      }
      this.add({ id, command });
    }
    return this.unitsOf(file);
  }

  /** What was found where commands are looked for. */
  #whatThereIs(): string {
    const { length } = this.list;
    if (length > 0) return `${this.path} has ${length} other command${length === 1 ? '' : 's'}`;
    if (this.stamp.startsWith('none')) return `there is no ${this.path}, and no .cmd file of Kbuild`;
    return this.problems[0] ?? `${this.path} is empty`;
  }

  /** What to say of a header where no unit is known that could include it. */
  noUnits(file: string): string {
    return `Nothing is compared for ${basename(file)}: no command of the build is known (${this.#whatThereIs()}). Record the build: \`livepatch record -- make\`, or set \`buildDir\` in livepatch.json.`;
  }

  /** What to say of a new source beside those of the program: it may belong there or not. */
  newWithoutCommand(file: string): string {
    const kbuild = this.list[0]?.command.origin.endsWith('.cmd');
    const way = kbuild ? 'let make build its object' : 'build it once with `livepatch record -- make`';
    return `${basename(file)} is new, and the build has no command for it. If it belongs to the program, ${way}, and check again.`;
  }

  /** What to say of a file without a command. */
  noCommand(file: string): string {
    if (/\.lds(\.S)?$/.test(file))
      return `${basename(file)} is a script of the linker: it lays out the program as a whole, and no part of that gets into a patch. What it changes takes effect with a restart.`;
    if (this.list[0]?.command.origin.endsWith('.cmd'))
      return `No command that builds ${basename(file)} is known (Kbuild left ${this.list.length} others below ${this.config.buildDir}), and none is guessed. A new source has to be built once: let make build its object.`;
    const own = this.problems.find((problem) => problem.includes(basename(file)));
    if (own !== undefined)
      return `The command that builds ${basename(file)} cannot be used: ${own}. Record what is really run: \`livepatch record -- make\` (with a clean build folder).`;
    return (
      `No command that builds ${basename(file)} is known (${this.#whatThereIs()}), and none is guessed. ` +
      'Record the build: `livepatch record -- make` (with a clean build folder, so that every file is compiled), ' +
      'or set `buildDir` in livepatch.json to the folder that has compile_commands.json.'
    );
  }
}
