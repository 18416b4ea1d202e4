import { type FSWatcher, watch } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { type Analyser, createAnalyser } from './analyse.ts';
import { compareBuilds, ModelCache, sourceEdits, unitName } from './compare.ts';
import type { Finding } from './core/findings/types.ts';
import type { SessionApi, SessionEvent } from './session-types.ts';
import { type Baseline, BaselineError, openBaseline } from './shell/baseline.ts';
import { type BaseObject, Builder, type Failure } from './shell/builder.ts';
import { CommandIndex, canonical, isSource } from './shell/commandIndex.ts';
import { Compilers } from './shell/compiler.ts';
import { CONFIG_FILE, type ConfigOverrides, loadConfig } from './shell/config.ts';
import { Dependents } from './shell/dependents.ts';
import { isDiskFull } from './shell/failures.ts';
import type { Replacement } from './shell/mirror.ts';
import { checkProducer } from './shell/producer.ts';
import { makeSessionFolder } from './shell/sessionFolder.ts';
import { cacheFolder, ObjectStore } from './shell/store.ts';
import type { CompileError, Config, Unit, UnitState } from './shell/types.ts';

/** Settings of a session that are not part of livepatch.json. */
export interface SessionOptions {
  /** Asked before every program is started. Trusted by default (the command line: who runs it trusts the folder). */
  readonly isTrusted?: () => boolean;
  /** The core, where the caller has one already. */
  readonly analyser?: Analyser;
  /** Cache folder; the user's (XDG) by default. */
  readonly cacheDir?: string;
  /** Compilers at once. 2 by default. */
  readonly jobs?: number;
  /** Command line overrides, so that a changed livepatch.json is read with them again. */
  readonly overrides?: ConfigOverrides;
  /** Watch livepatch.json and compile_commands.json. On by default. */
  readonly watch?: boolean;
}

/** A session as the programs hold it: `SessionApi` and the parts that only some need. */
export interface Session extends SessionApi {
  readonly config: Config;
  /** Removes every cached original object. @returns bytes freed */
  clearCache(): Promise<number>;
  /** Files that differ from the baseline, by real path. @throws BaselineError */
  changedFiles(): Promise<readonly string[]>;
  /** `git:<commit>`, `folder:<path>`, `start:<time>`, or why there is none. */
  baseline(): Promise<string>;
}

/** Everything that happens to a session from outside, in order. */
type Input =
  | { readonly kind: 'open' | 'saved' | 'closed'; readonly path: string }
  | { readonly kind: 'edited'; readonly path: string; readonly text: string | undefined }
  | { readonly kind: 'reload' };

/** Order of building: what the user looks at, then what is open, then the rest. */
const PRIORITY = { own: 2, open: 1, rest: 0, ahead: -1 } as const;

/** Most files that git is asked about by name: they are arguments of one command. */
const MAX_PATHS = 2000;

/** What the session keeps of one unit. */
interface Slot {
  unit: Unit;
  state: UnitState;
  priority: number;
  controller?: AbortController;
  base?: BaseObject;
  basePending?: Promise<BaseObject | Failure>;
  mismatch?: Finding | undefined;
  /** Part of the batch whose progress is shown. */
  counted: boolean;
}

type Original = { readonly base: BaseObject | Failure; readonly differing: ReadonlyMap<string, Replacement> };

class BuildSession implements Session {
  config: Config;
  readonly #options: SessionOptions;
  readonly #analyser: Analyser;
  readonly #scratch: string;
  readonly #listeners = new Set<(event: SessionEvent) => void>();
  readonly #slots = new Map<string, Slot>();
  readonly #open = new Set<string>();
  /** Unsaved buffers by canonical path. */
  readonly #unsaved = new Map<string, Uint8Array>();
  readonly #models = new ModelCache();
  readonly #dependents = new Dependents();
  readonly #queue = new Set<Slot>();
  readonly #compilers: Compilers;
  readonly #watchers: FSWatcher[] = [];
  #store: ObjectStore;
  #index: CommandIndex;
  #baseline: Promise<Baseline>;
  #builder: Promise<Builder>;
  #stop = new AbortController();
  #background = 0;
  #progress = { done: 0, total: 0, title: '' };
  #surveys = 0;
  #busy = 0;
  #inputs: Promise<void> = Promise.resolve();
  /** livepatch.json as it was read last. */
  #loaded: Promise<Config>;
  #idle: (() => void)[] = [];
  #disposed = false;

  constructor(config: Config, options: SessionOptions, analyser: Analyser, scratch: string) {
    this.config = config;
    this.#options = options;
    this.#analyser = analyser;
    this.#scratch = scratch;
    this.#compilers = new Compilers(this.#isTrusted);
    this.#store = new ObjectStore(this.#cache, config.cacheLimitMiB);
    this.#index = new CommandIndex(config);
    this.#loaded = loadConfig(config.root, options.overrides).then((read) => read.config);
    this.#baseline = this.#openBaseline();
    this.#builder = this.#openBuilder();
    // Whoever needs it gets the error; nobody may need it.
    this.#builder.catch(() => {});
    if (options.watch !== false) this.#watch();
  }

  readonly #isTrusted = (): boolean => !this.#disposed && (this.#options.isTrusted?.() ?? true);

  get #cache(): string {
    return this.#options.cacheDir ?? cacheFolder();
  }

  #openBaseline(): Promise<Baseline> {
    const baseline = openBaseline(this.config, this.#scratch, this.#isTrusted);
    baseline.then(
      ({ description }) => {
        this.#log('info', `baseline: ${description}`);
        if (description.startsWith('start:')) {
          const problem = `${this.config.root} is not in a git repository and livepatch.json names no baseline: edits are compared with the files as they were when this session started.`;
          this.#emit({ kind: 'config', problems: [problem] });
        }
      },
      (error: Error) => this.#log('error', error.message),
    );
    return baseline;
  }

  async #openBuilder(): Promise<Builder> {
    return new Builder({
      config: this.config,
      baseline: await this.#baseline,
      store: this.#store,
      compilers: this.#compilers,
      scratch: this.#scratch,
      isTrusted: this.#isTrusted,
      log: (level, text) => this.#log(level, text),
      ...(this.#options.jobs === undefined ? {} : { jobs: this.#options.jobs }),
    });
  }

  // --- what the editor tells -----------------------------------------------------------------------------------------

  open(path: string): void {
    this.#input({ kind: 'open', path });
  }

  saved(path: string): void {
    this.#input({ kind: 'saved', path });
  }

  edited(path: string, text: string | undefined): void {
    this.#input({ kind: 'edited', path, text });
  }

  closed(path: string): void {
    this.#input({ kind: 'closed', path });
  }

  #input(input: Input): void {
    if (this.#disposed) return;
    this.#task(async () => {
      const work = this.#inputs.then(() => this.#handle(input));
      this.#inputs = work.catch(() => {});
      await work;
    });
  }

  async #handle(input: Input): Promise<void> {
    if (this.#disposed) return;
    if (input.kind === 'reload') return this.#reload();
    await this.#refreshCommands();
    const key = canonical(input.path);
    switch (input.kind) {
      case 'open':
        this.#open.add(key);
        await this.#opened(input.path);
        return;
      case 'closed':
        this.#open.delete(key);
        if (this.#unsaved.delete(key)) await this.#touched(input.path);
        return;
      case 'saved':
        this.#unsaved.delete(key);
        await this.#touched(input.path);
        return;
      case 'edited': {
        const bytes = input.text === undefined ? undefined : Buffer.from(input.text);
        if (
          bytes === undefined
            ? !this.#unsaved.delete(key)
            : this.#unsaved.get(key) && Buffer.compare(this.#unsaved.get(key)!, bytes) === 0
        )
          return;
        if (bytes) this.#unsaved.set(key, new Uint8Array(bytes));
        await this.#touched(input.path);
        return;
      }
    }
  }

  async #refreshCommands(): Promise<void> {
    if (!(await this.#index.refresh())) return;
    this.#dependents.clear();
    for (const problem of this.#index.problems) this.#log('warn', problem);
    const units = new Map(this.#index.units.map((unit) => [unit.id, unit]));
    for (const [id, slot] of this.#slots) {
      const unit = units.get(id);
      if (!unit) this.#drop(slot);
      else if (JSON.stringify(unit.command) !== JSON.stringify(slot.unit.command)) {
        delete slot.base;
        delete slot.mismatch;
        slot.unit = unit;
        slot.state = { ...slot.state, unit };
        if (slot.state.phase !== 'idle') this.#enqueue(slot, PRIORITY.rest);
      }
    }
  }

  #drop(slot: Slot): void {
    slot.controller?.abort();
    this.#queue.delete(slot);
    this.#slots.delete(slot.unit.id);
  }

  async #opened(path: string): Promise<void> {
    const units = await this.#index.find(path);
    const baseline = await this.#baseline.catch(() => undefined);
    await baseline?.remember(canonical(path));
    if (units.length === 0) {
      if (isSource(path)) this.#emit({ kind: 'noCommand', file: path, message: this.#index.noCommand(path) });
      else this.#surveyFor(path, false);
      return;
    }
    for (const unit of units) {
      const slot = this.#slot(unit);
      this.#task(() => this.#ahead(slot));
    }
  }

  /** Builds the original object ahead, and the edited one too where the sources already differ. */
  async #ahead(slot: Slot): Promise<void> {
    const { base, differing } = await this.#original(slot, PRIORITY.ahead);
    if (base.kind !== 'built') {
      if (base.kind === 'failed') this.#log('warn', base.message);
      return;
    }
    if (this.#dependents.of(slot.unit.id).length === 0) this.#dependents.learn(slot.unit.id, base.dependencies);
    if (slot.state.phase === 'idle' && base.dependencies.some((path) => differing.has(canonical(path)))) {
      this.#enqueue(slot, PRIORITY.open);
    }
  }

  /** Queues every unit that depends on a file. */
  async #touched(path: string): Promise<void> {
    const own = await this.#index.find(path);
    for (const unit of own) this.#enqueue(this.#slot(unit), PRIORITY.own);
    const ids = new Set(own.map(({ id }) => id));
    const others = this.#index.units.filter((unit) => !ids.has(unit.id) && this.#dependents.dependsOn(unit, path));
    for (const unit of others) this.#enqueueDependent(unit, path);
    if (own.length > 0) return;
    const unknown = this.#dependents.unknown(this.#index.units).length;
    if (isSource(path) && others.length === 0 && unknown === 0) {
      this.#emit({ kind: 'noCommand', file: path, message: this.#index.noCommand(path) });
    } else if (unknown > 0) {
      this.#surveyFor(path, true);
    } else if (others.length === 0) {
      this.#log('info', `no unit of the build includes ${path}`);
    }
  }

  #enqueueDependent(unit: Unit, header: string): void {
    const isOpen = this.#open.has(canonical(unit.command.file));
    const slot = this.#slot(unit);
    this.#progress.title = `Rebuilding what includes ${basename(header)}`;
    this.#enqueue(slot, isOpen ? PRIORITY.open : PRIORITY.rest, true);
  }

  /** Finds out what the other units are built from, and queues those that turn out to include the file. */
  #surveyFor(path: string, build: boolean): void {
    const waiting = this.#dependents.unknown(this.#index.units);
    if (waiting.length === 0) return;
    const order = (unit: Unit) => (this.#open.has(canonical(unit.command.file)) ? 0 : 1);
    waiting.sort((a, b) => order(a) - order(b));
    const signal = this.#stop.signal;
    this.#task(async () => {
      const builder = await this.#builder;
      let found = 0;
      const title = `Looking for what includes ${basename(path)}`;
      this.#surveys++;
      await this.#dependents.survey(
        waiting,
        (command) => builder.scan(command, signal),
        (unit, done) => {
          if (waiting.length > 8) this.#emit({ kind: 'progress', title, done, total: waiting.length });
          if (!build || !this.#dependents.dependsOn(unit, path)) return;
          found++;
          this.#enqueueDependent(unit, path);
        },
        signal,
      );
      this.#surveys--;
      if (waiting.length > 8) this.#emit({ kind: 'progressEnd' });
      this.#showProgress();
      if (build && found === 0 && !signal.aborted && isSource(path)) {
        const known = this.#index.units.some((unit) => this.#dependents.dependsOn(unit, path));
        if (!known) this.#emit({ kind: 'noCommand', file: path, message: this.#index.noCommand(path) });
      }
    });
  }

  // --- the queue -----------------------------------------------------------------------------------------------------

  #slot(unit: Unit): Slot {
    let slot = this.#slots.get(unit.id);
    if (!slot) {
      const state: UnitState = { unit, phase: 'idle', generation: 0, stale: false, errors: [], dependencies: [] };
      slot = { unit, state, priority: 0, counted: false };
      this.#slots.set(unit.id, slot);
    }
    return slot;
  }

  #set(slot: Slot, change: Partial<UnitState>): void {
    slot.state = { ...slot.state, ...change };
    this.#emit({ kind: 'unit', state: slot.state });
  }

  /** Asks for a build of the newest sources: an older build of the unit is stopped, and its result will not count. */
  #enqueue(slot: Slot, priority: number, counted = false): void {
    slot.controller?.abort();
    delete slot.controller;
    slot.priority = this.#queue.has(slot) ? Math.max(slot.priority, priority) : priority;
    if (counted && !slot.counted) {
      slot.counted = true;
      this.#progress.total++;
      this.#showProgress();
    }
    this.#queue.add(slot);
    this.#set(slot, { phase: 'queued', generation: slot.state.generation + 1, stale: slot.state.result !== undefined });
    this.#pump();
  }

  #pump(): void {
    const limit = this.#options.jobs ?? 2;
    while (this.#queue.size > 0 && !this.#disposed) {
      let best: Slot | undefined;
      for (const slot of this.#queue) if (!best || slot.priority > best.priority) best = slot;
      const background = best!.priority < PRIORITY.own;
      if (background && this.#background >= limit) return;
      this.#queue.delete(best!);
      this.#task(() => this.#run(best!, background));
    }
  }

  async #run(slot: Slot, background: boolean): Promise<void> {
    if (background) this.#background++;
    const controller = new AbortController();
    slot.controller = controller;
    const generation = slot.state.generation;
    try {
      await this.#build(slot, generation, controller.signal);
    } catch (error) {
      if (slot.state.generation === generation) {
        const message = isDiskFull(error) ? `The disk is full: ${(error as Error).message}` : (error as Error).message;
        this.#set(slot, { phase: 'failed', message, stale: slot.state.result !== undefined });
        if (!(error instanceof BaselineError)) this.#log('error', (error as Error).stack ?? message);
      }
    } finally {
      if (slot.controller === controller) delete slot.controller;
      if (slot.counted && slot.state.generation === generation) {
        slot.counted = false;
        this.#progress.done++;
        this.#showProgress();
      }
      if (background) this.#background--;
      this.#pump();
    }
  }

  async #build(slot: Slot, generation: number, signal: AbortSignal): Promise<void> {
    this.#set(slot, { phase: 'building' });
    const { command } = slot.unit;
    const builder = await this.#builder;
    const unsaved = this.#unsavedFor(slot.unit);
    const original = this.#original(slot, slot.priority - 0.5);
    original.catch(() => {});
    // The overlay shows every unsaved buffer: units that build at the same time share it.
    const next = await builder.next(
      command,
      unsaved.size > 0 ? new Map(this.#unsaved) : unsaved,
      signal,
      slot.priority,
    );
    if (slot.state.generation !== generation) return;
    if (next.kind === 'cancelled') {
      this.#set(slot, { phase: slot.state.result ? 'ready' : 'idle', stale: slot.state.result !== undefined });
      return;
    }
    if (next.kind === 'compileError') {
      for (const error of next.errors.slice(0, 5))
        this.#log('info', `${error.at.file}:${error.at.line}: ${error.severity}: ${error.message}`);
      this.#set(slot, { phase: 'compileError', errors: next.errors, stale: slot.state.result !== undefined });
      return;
    }
    if (next.kind !== 'built') {
      this.#failed(slot, next);
      return;
    }
    this.#dependents.learn(slot.unit.id, next.dependencies);
    const { base, differing } = await original;
    if (slot.state.generation !== generation) return;
    if (base.kind === 'cancelled') {
      this.#set(slot, { phase: slot.state.result ? 'ready' : 'idle', stale: slot.state.result !== undefined });
      return;
    }
    if (base.kind !== 'built') {
      this.#failed(slot, base);
      return;
    }
    const started = performance.now();
    const edits = await sourceEdits([...next.dependencies, ...base.dependencies], differing, unsaved);
    const unit = unitName(this.config, command.file, command.arguments, command.directory);
    const baseline = (await this.#baseline).description;
    const result = compareBuilds(
      this.#analyser,
      this.#models,
      { base, next, differing, unsaved, unit, baseline },
      edits,
      generation,
      slot.mismatch,
    );
    if (slot.state.generation !== generation) return;
    const timings = { compile: next.milliseconds, analyse: performance.now() - started };
    const { message: _, ...rest } = slot.state;
    slot.state = rest;
    this.#set(slot, { phase: 'ready', result, stale: false, errors: [], timings, dependencies: next.dependencies });
    this.#log(
      'trace',
      `${unit}: compiled in ${timings.compile.toFixed(0)} ms, compared in ${timings.analyse.toFixed(0)} ms`,
    );
  }

  #failed(slot: Slot, failure: Failure): void {
    const message = 'message' in failure ? failure.message : 'The build failed.';
    this.#log('error', message);
    this.#set(slot, { phase: 'failed', message, stale: slot.state.result !== undefined });
  }

  /** Unsaved buffers that the unit reads. Where its dependencies are not known yet, all of them. */
  #unsavedFor(unit: Unit): Map<string, Uint8Array> {
    const known = this.#dependents.of(unit.id).length > 0;
    const own = canonical(unit.command.file);
    return new Map(
      [...this.#unsaved].filter(([path]) => !known || path === own || this.#dependents.dependsOn(unit, path)),
    );
  }

  /** The unit's original object as the baseline gives it now, built where it is not at hand. Not stopped by newer edits. */
  async #original(slot: Slot, priority: number): Promise<Original> {
    let differing: ReadonlyMap<string, Replacement>;
    let builder: Builder;
    try {
      builder = await this.#builder;
      const baseline = await this.#baseline;
      const base = slot.base;
      if (base) {
        // Only what the unit reads: the whole tree is asked about where an original object has to be built.
        const paths = new Set([...base.dependencies, ...this.#dependents.of(slot.unit.id)].map(canonical));
        if (paths.size <= MAX_PATHS) {
          differing = await baseline.differing([...paths]);
          if (await builder.isCurrent(base, differing)) return { base, differing };
        }
      }
      differing = await baseline.differing();
      if (base && (await builder.isCurrent(base, differing))) return { base, differing };
    } catch (error) {
      if (!(error instanceof BaselineError)) throw error;
      return { base: { kind: 'failed', reason: 'baseline', message: error.message, log: '' }, differing: new Map() };
    }
    if (!slot.basePending) {
      const pending = this.#buildOriginal(slot, builder, differing, priority).finally(() => {
        delete slot.basePending;
      });
      slot.basePending = pending;
      // `idle` waits for it even where the edited source turned out not to compile.
      this.#task(() => pending.then(() => {}));
    }
    return { base: await slot.basePending, differing };
  }

  async #buildOriginal(
    slot: Slot,
    builder: Builder,
    differing: ReadonlyMap<string, Replacement>,
    priority: number,
  ): Promise<BaseObject | Failure> {
    const { unit } = slot;
    const base = await builder.original(unit.command, differing, this.#stop.signal, priority);
    if (base.kind !== 'built' || slot.unit !== unit) return base;
    slot.base = base;
    slot.mismatch = await checkProducer(unit.command, base.object).catch(() => undefined);
    if (this.#open.has(canonical(unit.command.file)) && !this.#models.get(base.object)) {
      const { object } = this.#analyser.load(base.object);
      if (object) this.#models.set(base.object, object);
    }
    return base;
  }

  // --- what the views ask --------------------------------------------------------------------------------------------

  units(): readonly UnitState[] {
    return [...this.#slots.values()].map(({ state }) => state);
  }

  unitsOf(path: string): readonly Unit[] {
    return this.#index.unitsOf(path);
  }

  errors(): readonly CompileError[] {
    return this.units().flatMap((state) => (state.phase === 'compileError' ? state.errors : []));
  }

  async baseText(path: string): Promise<string | undefined> {
    const baseline = await this.#baseline;
    const real = canonical(path);
    const replacement = (await baseline.differing()).get(real);
    if (replacement === 'absent') return undefined;
    if (replacement && 'content' in replacement) return Buffer.from(replacement.content).toString();
    if (!(await baseline.has(real))) return undefined;
    return readFile(path, 'utf8').catch(() => undefined);
  }

  async changedFiles(): Promise<readonly string[]> {
    return [...(await (await this.#baseline).differing()).keys()].sort();
  }

  async baseline(): Promise<string> {
    return this.#baseline.then(
      ({ description }) => description,
      (error: Error) => error.message,
    );
  }

  async clearCache(): Promise<number> {
    return this.#store.clear();
  }

  idle(): Promise<void> {
    if (this.#busy === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  cancel(): void {
    this.#stop.abort();
    this.#stop = new AbortController();
    for (const slot of this.#slots.values()) {
      if (this.#queue.delete(slot)) {
        this.#set(slot, { phase: slot.state.result ? 'ready' : 'idle', stale: slot.state.result !== undefined });
      }
      slot.controller?.abort();
      slot.counted = false;
    }
    if (this.#progress.total > 0) this.#emit({ kind: 'progressEnd' });
    this.#progress = { done: 0, total: 0, title: '' };
  }

  on(listener: (event: SessionEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    for (const watcher of this.#watchers) watcher.close();
    this.cancel();
    this.#disposed = true;
    await this.idle();
    this.#listeners.clear();
    await rm(this.#scratch, { recursive: true, force: true, maxRetries: 3 });
  }

  // --- plumbing ------------------------------------------------------------------------------------------------------

  #emit(event: SessionEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  #log(level: 'trace' | 'info' | 'warn' | 'error', text: string): void {
    this.#emit({ kind: 'log', level, text });
  }

  #showProgress(): void {
    const { done, total, title } = this.#progress;
    if (total < 2) {
      if (done >= total && this.#surveys === 0) this.#progress = { done: 0, total: 0, title: '' };
      return;
    }
    this.#emit({ kind: 'progress', title, done, total });
    // While it is not known yet what else includes the header, more may come.
    if (done < total || this.#surveys > 0) return;
    this.#progress = { done: 0, total: 0, title: '' };
    this.#emit({ kind: 'progressEnd' });
  }

  /** Runs work that `idle` waits for; an error that nobody expected ends up in the log, never as an unhandled rejection. */
  #task(work: () => Promise<void>): void {
    this.#busy++;
    work()
      .catch((error: Error) =>
        this.#log('error', error instanceof BaselineError ? error.message : (error.stack ?? error.message)),
      )
      .finally(() => {
        if (--this.#busy > 0) return;
        const waiting = this.#idle;
        this.#idle = [];
        for (const resolve of waiting) resolve();
      });
  }

  #watch(): void {
    const observe = (folder: string, name: string) => {
      try {
        let timer: NodeJS.Timeout | undefined;
        const watcher = watch(folder, { persistent: false }, (_, changed) => {
          if (changed !== name || this.#disposed) return;
          clearTimeout(timer);
          timer = setTimeout(() => this.#input({ kind: 'reload' }), 300);
          timer.unref();
        });
        watcher.on('error', () => watcher.close());
        this.#watchers.push(watcher);
      } catch {
        // Without a watch the files are still looked at with every edit.
      }
    };
    observe(this.config.root, CONFIG_FILE);
    observe(dirname(this.#index.database), basename(this.#index.database));
  }

  /** Reads livepatch.json and the commands again, and rebuilds what was compared where they changed. */
  async #reload(): Promise<void> {
    const before = await this.#loaded;
    const { config: loaded, problems } = await loadConfig(this.config.root, this.#options.overrides);
    if (JSON.stringify(loaded) === JSON.stringify(before)) {
      await this.#refreshCommands();
      return;
    }
    this.#loaded = Promise.resolve(loaded);
    this.#emit({ kind: 'config', problems });
    // Only what changed in the file counts: the caller may have set other values of its own.
    const changed = Object.entries(loaded).filter(
      ([key, value]) => JSON.stringify(value) !== JSON.stringify(before[key as keyof Config]),
    );
    const config: Config = { ...this.config, ...Object.fromEntries(changed) };
    const rebased = JSON.stringify(config.baseline) !== JSON.stringify(this.config.baseline);
    const moved = config.buildDir !== this.config.buildDir;
    this.config = config;
    this.#store = new ObjectStore(this.#cache, config.cacheLimitMiB);
    if (rebased) this.#baseline = this.#openBaseline();
    this.#builder = this.#openBuilder();
    // Whoever needs it gets the error; nobody may need it.
    this.#builder.catch(() => {});
    if (moved) this.#index = new CommandIndex(config);
    await this.#refreshCommands();
    for (const slot of this.#slots.values()) {
      delete slot.base;
      if (slot.state.phase !== 'idle') this.#enqueue(slot, PRIORITY.open);
    }
  }
}

/**
 * Opens a session on a workspace: the one place with mutable state. Nothing is built until a file is opened or saved. The
 * scratch folder is in the cache folder; `dispose` removes it and stops every compiler.
 */
export async function createSession(config: Config, options: SessionOptions = {}): Promise<Session> {
  const analyser = options.analyser ?? (await createAnalyser());
  const scratch = await makeSessionFolder(options.cacheDir ?? cacheFolder());
  return new BuildSession(config, options, analyser, scratch);
}
