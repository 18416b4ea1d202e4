import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Session } from '../../server/src/session.ts';

/** Runs a program and throws with its words where it fails. */
export function sh(cwd: string, ...vector: string[]): string {
  const run = spawnSync(vector[0]!, vector.slice(1), {
    cwd,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
    env: { ...process.env, PWD: cwd },
  });
  if (run.error) throw run.error;
  if (run.status !== 0) throw new Error(`${vector.join(' ')}: ${run.stderr}`);
  return run.stdout;
}

/** A C project in a scratch folder, removed by `remove`. */
export class Project {
  /** Scratch folder that holds everything; a real path. */
  readonly top: string;
  /** The workspace. */
  readonly root: string;
  readonly cache: string;

  constructor(files: Readonly<Record<string, string>>, name = 'work') {
    this.top = realpathSync(mkdtempSync(join(tmpdir(), 'lpa-project-')));
    this.root = join(this.top, name);
    this.cache = join(this.top, 'cache');
    mkdirSync(this.root);
    for (const [path, text] of Object.entries(files)) this.write(path, text);
  }

  path(file: string): string {
    return join(this.root, file);
  }

  write(file: string, text: string): void {
    mkdirSync(dirname(this.path(file)), { recursive: true });
    writeFileSync(this.path(file), text);
  }

  read(file: string): string {
    return readFileSync(this.path(file), 'utf8');
  }

  /** Replaces text in a file; the text must be there. */
  edit(file: string, from: string, to: string): void {
    const text = this.read(file);
    if (!text.includes(from)) throw new Error(`${file} has no ${from}`);
    this.write(file, text.replace(from, to));
  }

  git(...args: string[]): string {
    return sh(
      this.root,
      'git',
      '-c',
      'user.name=t',
      '-c',
      'user.email=t@example.org',
      '-c',
      'init.defaultBranch=main',
      ...args,
    );
  }

  /** Puts everything under version control. */
  commit(message = 'state'): void {
    if (!readdirSync(this.root).includes('.git')) this.git('init', '-q');
    this.git('add', '-A');
    this.git('commit', '-q', '-m', message);
  }

  /** Writes compile_commands.json: file → arguments, all run in `directory`. */
  commands(entries: readonly { file: string; arguments: readonly string[]; directory?: string }[], at = ''): void {
    const list = entries.map(({ file, arguments: args, directory }) => ({
      directory: directory ?? this.root,
      file,
      arguments: args,
    }));
    this.write(join(at, 'compile_commands.json'), JSON.stringify(list));
  }

  /** Hash of every file of the project: names, kinds, contents. Git's own folder is part of it. */
  hash(): string {
    const hash = createHash('sha256');
    const walk = (folder: string) => {
      for (const name of readdirSync(folder).sort()) {
        const path = join(folder, name);
        const info = lstatSync(path);
        hash.update(`${path}\0${info.mode}\0${info.mtimeMs}\0`);
        if (info.isDirectory()) walk(path);
        else if (info.isSymbolicLink()) hash.update(readlinkSync(path));
        else hash.update(readFileSync(path));
      }
    };
    walk(this.root);
    return hash.digest('hex');
  }

  remove(): void {
    rmSync(this.top, { recursive: true, force: true });
  }
}

/** Names of the functions that differ in the units that are compared, sorted. */
export function changedFunctions(session: Session): string[] {
  return session
    .units()
    .flatMap(({ phase, result }) => (phase === 'ready' ? (result?.diff.functions ?? []).map(({ name }) => name) : []))
    .sort();
}
