import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { basename, extname, join, resolve } from 'node:path';
import { type Baseline, BaselineError } from './baseline.ts';
import { canonical } from './commandIndex.ts';
import { compilerIndex, type PathMap, prepareCommand, readsNothingElse } from './commandLine.ts';
import type { CompilerIdentity, Compilers } from './compiler.ts';
import { parseDepfile } from './depfiles.ts';
import { cleanLog } from './diagnostics.ts';
import { editedKey, type Preprocessed, preprocessed, sameFiles } from './edited.ts';
import { compilerEnvironment, keyOf } from './environment.ts';
import { diskFull, failureOf, isDiskFull } from './failures.ts';
import { FileHashes, sha256 } from './hashes.ts';
import { Mirror, type Replacement } from './mirror.ts';
import { type PreprocessedFiles, type PreprocessHow, preprocess } from './preprocess.ts';
import { expandResponseFiles } from './responseFiles.ts';
import { run } from './runner.ts';
import { Semaphore } from './semaphore.ts';
import type { ObjectStore, StoredObject, StoredSource } from './store.ts';
import { quoteCommand } from './tokenize.ts';
import type { BuildOutcome, CompileCommand, Config } from './types.ts';

/** A build that went well. */
export type Built = Extract<BuildOutcome, { kind: 'built' }>;

/** An original object, with what it was made from. */
export interface BaseObject extends Built {
  /** What it was made with besides its sources: command, response files, compiler, environment. */
  readonly key: string;
  readonly sources: readonly StoredSource[];
  /** The baseline does not have the source: made of an empty file. */
  readonly added?: true;
}

/** A build that did not go well. */
export type Failure = Exclude<BuildOutcome, Built>;

/** What the builder needs from the session. */
export interface BuilderOptions {
  readonly config: Config;
  readonly baseline: Baseline;
  readonly store: ObjectStore;
  readonly compilers: Compilers;
  /** Folder of this session, in the cache folder. */
  readonly scratch: string;
  readonly isTrusted: () => boolean;
  /** The exact commands, for the output channel. */
  readonly log: (level: 'trace' | 'info' | 'warn', text: string) => void;
  /** Compilers that may run at once. 2 by default. */
  readonly jobs?: number;
  /** Objects of edited files are kept, too: the next command compares the same edit again. */
  readonly keepEdited?: boolean;
}

/** Milliseconds that time stamps of files may be behind the clock. */
const CLOCK = 50;

/** Scratch folders of this process, numbered. */
let count = 0;

/** Builds base and next objects in scratch space with the user's exact commands. */
export class Builder {
  readonly hashes = new FileHashes();
  private readonly options: BuilderOptions;
  private readonly slots: Semaphore;
  private base: Promise<Mirror> | undefined;
  private overlay: Promise<Mirror> | undefined;

  constructor(options: BuilderOptions) {
    this.options = options;
    this.slots = new Semaphore(options.jobs ?? 2);
  }

  /** Runs a command, and the steps that follow it, with the outputs in a scratch folder of its own. */
  private async compile(
    command: CompileCommand,
    settings: {
      readonly mirror?: PathMap & { unmap(text: string): string };
      readonly extra?: readonly string[];
      readonly priority?: number;
    },
    signal: AbortSignal | undefined,
  ): Promise<Built | Failure> {
    const { config, scratch, isTrusted, log } = this.options;
    const folder = join(scratch, 'out', String(++count));
    const object = join(
      folder,
      `${basename(command.output ?? command.file, extname(command.output ?? command.file))}.o`,
    );
    const depfile = `${object}.d`;
    const identity = await this.identify(command);
    const prepared = prepareCommand(command, {
      object,
      depfile,
      ...(settings.mirror ? { mirror: settings.mirror } : {}),
      extra: [...(identity?.debugOptions ?? []), ...(settings.extra ?? [])],
    });
    if (typeof prepared === 'string') return { kind: 'failed', reason: 'unsupported', message: prepared, log: '' };
    const back = { directory: command.directory, unmap: settings.mirror?.unmap ?? ((text: string) => text) };
    const release = await this.slots.take(settings.priority ?? 0, signal);
    if (!release) return { kind: 'cancelled' };
    try {
      await Promise.all([mkdir(folder, { recursive: true }), mkdir(join(scratch, 'tmp'), { recursive: true })]);
      const logs: string[] = [];
      let milliseconds = 0;
      const after = (command.after ?? []).map((step) => step.map((word) => (word === '{object}' ? object : word)));
      for (const [index, vector] of [prepared.arguments, ...after].entries()) {
        const directory = index === 0 ? prepared.directory : command.directory;
        log('info', `cd ${quoteCommand([directory])} && ${quoteCommand(vector)}`);
        const result = await run({
          arguments: vector,
          directory,
          environment: compilerEnvironment(directory, scratch),
          timeout: config.compileTimeout * 1000,
          signal,
          isTrusted,
        });
        const failure = failureOf(result, vector, command.file, folder, back);
        if (failure && failure.kind !== 'cancelled' && !settings.mirror && !(await isThere(command.file)))
          return { kind: 'failed', reason: 'other', message: deleted(command.file), log: '' };
        if (failure) return failure;
        if (result.kind !== 'exited') return { kind: 'cancelled' };
        milliseconds += result.milliseconds;
        logs.push(cleanLog(result.stderr.toString(), back));
      }
      const [bytes, deps] = await Promise.all([
        readFile(object).catch(() => undefined),
        readFile(depfile, 'utf8').catch(() => ''),
      ]);
      if (!bytes) {
        return {
          kind: 'failed',
          reason: 'other',
          message: `The command of ${basename(command.file)} ended well but wrote no object: ${quoteCommand(prepared.arguments)}`,
          log: logs.join(''),
        };
      }
      return {
        kind: 'built',
        object: new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength),
        dependencies: parseDepfile(deps, prepared.directory),
        command: prepared.arguments.slice(0, -5),
        compiler: identity?.version ?? '',
        log: logs.join(''),
        milliseconds,
        cached: false,
      };
    } catch (error) {
      if (isDiskFull(error)) return diskFull(scratch, String(error));
      return {
        kind: 'failed',
        reason: 'other',
        message: `${basename(command.file)}: ${(error as Error).message}`,
        log: '',
      };
    } finally {
      release();
      rm(folder, { recursive: true, force: true }).catch(() => {});
    }
  }

  private identify(command: CompileCommand): Promise<CompilerIdentity | undefined> {
    const program = command.arguments[compilerIndex(command.arguments)]!;
    return this.options.compilers.identify(program, command.directory).catch(() => undefined);
  }

  /**
   * Compiles the unit as it is edited: in place, or through an overlay where unsaved buffers differ from the files.
   * @param unsaved contents by path, as the editor names it
   */
  async next(
    given: CompileCommand,
    unsaved: ReadonlyMap<string, Uint8Array>,
    signal?: AbortSignal,
    priority = 0,
  ): Promise<BuildOutcome> {
    const command = await expanded(given);
    if (unsaved.size === 0)
      return this.options.keepEdited
        ? this.kept(command, signal, priority)
        : this.compile(command, { priority }, signal);
    try {
      const mirror = await this.mirror('overlay', command);
      const replacements = new Map<string, Replacement>();
      for (const [path, content] of unsaved) replacements.set(canonical(path), { content });
      await mirror.sync(replacements, { walk: false });
      let outcome = await this.compile(command, { mirror, priority }, signal);
      if (outcome.kind === 'compileError') {
        // A file that appeared since the overlay was made may be what is missing.
        await mirror.sync(replacements);
        outcome = await this.compile(command, { mirror, priority }, signal);
      }
      return outcome.kind === 'built' ? unmapped(outcome, mirror) : outcome;
    } catch (error) {
      if (isDiskFull(error)) return diskFull(this.options.scratch, String(error));
      return { kind: 'failed', reason: 'other', message: (error as Error).message, log: '' };
    }
  }

  /** The edited object from the cache where it follows from the same text, else compiled and kept. */
  private async kept(
    command: CompileCommand,
    signal: AbortSignal | undefined,
    priority: number,
  ): Promise<BuildOutcome> {
    const { store, log } = this.options;
    const compile = () => this.compile(command, { priority }, signal);
    const started = Date.now();
    const compiler = await this.identify(command);
    const text =
      compiler && readsNothingElse(command.arguments) ? await this.textOf(command, signal, priority) : undefined;
    if (!compiler || !text) return compile();
    const key = await editedKey(keyOf(command, compiler), text, command);
    const found = await store.find(key, (path) => this.hashes.of(path));
    if (found && sameFiles(found.sources, text.dependencies)) {
      log('trace', `edited object of ${command.file}: from the cache`);
      return cachedBuild(found, plainCommand(command, compiler), compiler);
    }
    const outcome = await compile();
    if (outcome.kind !== 'built') return outcome;
    const sources = await Promise.all(
      outcome.dependencies.map(async (path) => ({ path, hash: await this.hashes.of(path) })),
    );
    // Written meanwhile, or read past the preprocessor (a precompiled header): which text the object is of is not known.
    if (!sameFiles(sources, text.dependencies) || (await changedSince(outcome.dependencies, started - CLOCK)))
      return outcome;
    // The command that asked ends when it has its answer.
    const error = await store.keep(key, { object: outcome.object, sources });
    if (error) log('warn', `the edited object of ${command.file} was not kept in the cache: ${error.message}`);
    return outcome;
  }

  /** Hash of a file's contents in the baseline, given how the baseline differs from the disk. */
  async baselineHash(path: string, differing: ReadonlyMap<string, Replacement>): Promise<string> {
    const replacement = differing.get(path) ?? differing.get(canonical(path));
    if (replacement === undefined) return this.hashes.of(path);
    if (replacement === 'absent') return '-';
    return 'content' in replacement ? sha256(replacement.content) : this.hashes.of(path);
  }

  /** True where an object is still what the command makes of the baseline's sources (generated headers or the compiler may have changed). */
  async isCurrent(
    base: BaseObject,
    differing: ReadonlyMap<string, Replacement>,
    given: CompileCommand,
  ): Promise<boolean> {
    const command = await expanded(given);
    if (base.key !== keyOf(command, await this.identify(command), base.added)) return false;
    const hashes = await Promise.all(base.sources.map(({ path }) => this.baselineHash(path, differing)));
    return base.sources.every(({ hash }, index) => hash === hashes[index]);
  }

  /**
   * The original object of a unit: from the cache, or compiled from the baseline's sources through a mirror of the tree.
   * @param added the baseline does not have the source: what an empty file compiles to with the unit's command
   */
  async original(
    given: CompileCommand,
    differing: ReadonlyMap<string, Replacement>,
    signal?: AbortSignal,
    priority = 0,
    added = false,
  ): Promise<BaseObject | Failure> {
    const { store, log } = this.options;
    const command = await expanded(given);
    const compiler = await this.identify(command);
    const key = keyOf(command, compiler, added);
    if (compiler) {
      const found = await store.find(key, (path) => this.baselineHash(path, differing));
      if (found) {
        log('trace', `original object of ${command.file}: from the cache`);
        const built = cachedBuild(found, plainCommand(command, compiler), compiler);
        return { ...built, key, sources: found.sources, ...(added && { added }) };
      }
    }
    try {
      for (let attempt = 1; ; attempt++) {
        const started = Date.now();
        const outcome = await this.compileOriginal(command, differing, signal, priority, added);
        if (outcome.kind !== 'built') return outcome;
        const base: BaseObject = { ...outcome, key, ...(added && { added }) };
        // A file that was edited while the compiler ran may have been read as edited, through its link.
        if (attempt < 4 && (await changedSince(base.dependencies, started))) {
          differing = await this.options.baseline.differing();
          continue;
        }
        if (compiler) {
          store.keep(key, base).then((error) => {
            if (error)
              log('warn', `the original object of ${command.file} was not kept in the cache: ${error.message}`);
          });
        }
        return base;
      }
    } catch (error) {
      if (isDiskFull(error)) return diskFull(this.options.scratch, String(error));
      const reason = error instanceof BaselineError ? 'baseline' : 'other';
      return { kind: 'failed', reason, message: (error as Error).message, log: '' };
    }
  }

  /** Compiles a unit from the baseline's sources through the mirror, once. */
  private async compileOriginal(
    command: CompileCommand,
    differing: ReadonlyMap<string, Replacement>,
    signal: AbortSignal | undefined,
    priority: number,
    added: boolean,
  ): Promise<Omit<BaseObject, 'key'> | Failure> {
    const mirror = await this.mirror('base', command);
    const empty = added ? await this.emptySource(command) : undefined;
    await mirror.sync(differing);
    const source = empty === undefined ? command : withSource(command, empty);
    const outcome = await this.compile(source, { mirror, extra: ['-w'], priority }, signal);
    const name = basename(command.file);
    const failed = (message: string) =>
      ({ kind: 'failed', reason: 'baseline', message, log: 'log' in outcome ? outcome.log : '' }) as const;
    if (outcome.kind === 'compileError') {
      const first = outcome.errors.find(({ severity }) => severity === 'error');
      return failed(
        `The original ${name} does not compile: ${first?.message ?? ''}. ` +
          'Check that `baseline` in livepatch.json names the sources that the program was built from, and that generated headers are there.',
      );
    }
    if (outcome.kind !== 'built') return outcome;
    const escaped = this.escapes(outcome.dependencies, mirror, differing);
    if (escaped !== undefined) {
      return failed(
        `The original ${name} cannot be built apart from the edited tree: ${escaped} is included by its absolute path, past the copy of the original sources. ` +
          'Name a separate folder with the original sources as `baseline.folder` in livepatch.json, or include the file by a relative path.',
      );
    }
    const { dependencies, ...rest } = unmapped(outcome, mirror);
    const built = { ...rest, dependencies: dependencies.filter((path) => path !== empty) };
    const sources = await Promise.all(
      built.dependencies.map(async (path) => ({ path, hash: await this.baselineHash(path, differing) })),
    );
    return { ...built, command: plainCommand(command, await this.identify(command)), sources };
  }

  /** A source of nothing, under the name that the unit's has: what objects keep of it is the same. */
  private async emptySource(command: CompileCommand): Promise<string> {
    const folder = join(this.options.scratch, 'empty');
    await mkdir(folder, { recursive: true });
    const path = join(folder, basename(command.file));
    await writeFile(path, '');
    return path;
  }

  /** A file that was read past the mirror although the baseline has it otherwise. */
  private escapes(
    read: readonly string[],
    mirror: Mirror,
    differing: ReadonlyMap<string, Replacement>,
  ): string | undefined {
    if (differing.size === 0) return undefined;
    for (const path of read) {
      if (path.startsWith(`${mirror.top}/`)) continue;
      if (differing.has(canonical(path))) return path;
    }
    return undefined;
  }

  /** Files that the unit includes now, without compiling it (`-MM`); undefined where the preprocessor fails. */
  async scan(given: CompileCommand, signal?: AbortSignal): Promise<readonly string[] | undefined> {
    const read = await this.preprocess(await expanded(given), { scanOnly: true }, signal, -2);
    return read?.dependencies;
  }

  /** What the compiler gets to see of a unit, and what that was read from; undefined where the preprocessor fails. */
  private async textOf(
    command: CompileCommand,
    signal: AbortSignal | undefined,
    priority: number,
  ): Promise<Preprocessed | undefined> {
    const read = await this.preprocess(command, { textOnly: true }, signal, priority);
    return read?.text && preprocessed(read.text, read.dependencies);
  }

  /** Runs the preprocessor alone. */
  private async preprocess(
    command: CompileCommand,
    how: PreprocessHow,
    signal: AbortSignal | undefined,
    priority: number,
  ): Promise<PreprocessedFiles | undefined> {
    const release = await this.slots.take(priority, signal);
    if (!release) return undefined;
    const folder = join(this.options.scratch, 'out', String(++count));
    return preprocess(command, how, folder, { ...this.options, signal }).finally(release);
  }

  private async mirror(kind: 'base' | 'overlay', command: CompileCommand): Promise<Mirror> {
    const { baseline, config, scratch } = this.options;
    const make = async () => {
      const mirror = await Mirror.create(join(scratch, kind), baseline.descend);
      await mirror.addTree(config.root, true);
      for (const tree of baseline.trees) await mirror.addTree(tree, false);
      return mirror;
    };
    if (kind === 'base') this.base ??= make();
    else this.overlay ??= make();
    const mirror = await (kind === 'base' ? this.base : this.overlay)!;
    await mirror.addTree(command.directory, true);
    return mirror;
  }
}

/** The command with its response files read: what they say is redirected like the rest, and is part of the cache key. */
async function expanded(command: CompileCommand): Promise<CompileCommand> {
  const args = await expandResponseFiles(command.arguments, command.directory);
  return args === command.arguments ? command : { ...command, arguments: args };
}

/** The user's arguments with what is added, as shown beside results: free of scratch paths. */
function plainCommand(command: CompileCommand, compiler: CompilerIdentity | undefined): readonly string[] {
  const prepared = prepareCommand(command, { object: '', depfile: '', extra: compiler?.debugOptions ?? [] });
  return typeof prepared === 'string' ? command.arguments : prepared.arguments.slice(0, -5);
}

function unmapped(outcome: Built, mirror: Mirror): Built {
  return {
    ...outcome,
    dependencies: [...new Set(outcome.dependencies.map(mirror.unmap))],
    command: outcome.command.map(mirror.unmap),
  };
}

function cachedBuild(found: StoredObject, command: readonly string[], compiler: CompilerIdentity): Built {
  return {
    kind: 'built',
    object: found.object,
    dependencies: found.sources.map(({ path }) => path),
    command,
    compiler: compiler.version,
    log: '',
    milliseconds: 0,
    cached: true,
  };
}

/** The command with another source in the place of its own. */
function withSource(command: CompileCommand, file: string): CompileCommand {
  const own = canonical(command.file);
  const isOwn = (arg: string) => !arg.startsWith('-') && canonical(resolve(command.directory, arg)) === own;
  return { ...command, file, arguments: command.arguments.map((arg) => (isOwn(arg) ? file : arg)) };
}

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

function deleted(file: string): string {
  return (
    `${basename(file)} is not there any more, and the build still has a command for it. If it was deleted or renamed, build the project again, recorded, so that its commands are ` +
    'those of now: what the running program has of it stays in it. Else put it back.'
  );
}

/** True where one of the files was written, or put in place, since a time (milliseconds). */
async function changedSince(paths: readonly string[], time: number): Promise<boolean> {
  const stamps = await Promise.all(
    paths.map((path) =>
      stat(path).then(
        ({ ctimeMs }) => ctimeMs,
        () => 0,
      ),
    ),
  );
  return stamps.some((stamp) => stamp >= time);
}
