import { setMaxListeners } from 'node:events';
import { readFile, rm } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { type Analyser, createAnalyser } from './analyse.ts';
import { ModelCache } from './compare.ts';
import { markAccepted } from './core/findings/accept.ts';
import type { CallersElsewhere } from './core/render/report/types.ts';
import { lookAcross } from './session/across.ts';
import type { Session, SessionOptions } from './session/api.ts';
import { callersIn } from './session/callers.ts';
import { changedFiles, uncompiled } from './session/changed.ts';
import { BatchProgress } from './session/progress.ts';
import { BuildQueue, PRIORITY, type Slot } from './session/queue.ts';
import { BuildRoom, buildOriginal, type Original, type RoomOptions } from './session/room.ts';
import { Spread } from './session/spread.ts';
import { buildUnit, type Step } from './session/step.ts';
import { Tasks } from './session/tasks.ts';
import { watchFiles } from './session/watch.ts';
import type { SessionEvent } from './session-types.ts';
import { BaselineError } from './shell/baseline.ts';
import { BuildIndex } from './shell/build-index.ts';
import { canonical, isSource } from './shell/commandIndex.ts';
import { Compilers } from './shell/compiler.ts';
import { CONFIG_FILE, loadConfig } from './shell/config.ts';
import { Dependents } from './shell/dependents.ts';
import { makeSessionFolder } from './shell/sessionFolder.ts';
import { cacheFolder } from './shell/store.ts';
import type { CompileError, Config, Unit, UnitState } from './shell/types.ts';

export type { Session, SessionOptions } from './session/api.ts';

/** Everything that happens to a session from outside, in order. */
type Input =
  | { readonly kind: 'open' | 'saved' | 'looked' | 'closed'; readonly path: string }
  | { readonly kind: 'edited'; readonly path: string; readonly text: string | undefined }
  | { readonly kind: 'reload' };

/** What a compiler reads: other files that differ from the baseline change no code. */
export const isC = (path: string): boolean => isSource(path) || ['.h', '.inc', '.def'].includes(extname(path));

class BuildSession implements Session {
  readonly #analyser: Analyser;
  readonly #options: SessionOptions;
  readonly #roomOptions: RoomOptions;
  readonly #listeners = new Set<(event: SessionEvent) => void>();
  readonly #tasks: Tasks;
  readonly #progress: BatchProgress;
  readonly #queue: BuildQueue;
  readonly #open = new Set<string>();
  /** Unsaved buffers by canonical path. */
  readonly #unsaved = new Map<string, Uint8Array>();
  readonly #models = new ModelCache();
  readonly #dependents = new Dependents();
  readonly #spread: Spread;
  readonly #buildIndex: BuildIndex;
  readonly #unwatch: () => void;
  #room: BuildRoom;
  /** livepatch.json as it was read last. */
  #loaded: Promise<Config>;
  #stop = manyListeners();
  #inputs: Promise<void> = Promise.resolve();
  #disposed = false;

  constructor(config: Config, options: SessionOptions, analyser: Analyser, scratch: string) {
    this.#options = options;
    this.#analyser = analyser;
    const isTrusted = () => !this.#disposed && (options.isTrusted?.() ?? true);
    const jobs = options.jobs ?? 2;
    this.#tasks = new Tasks((error) =>
      this.#log('error', error instanceof BaselineError ? error.message : (error.stack ?? error.message)),
    );
    this.#progress = new BatchProgress((event) => this.#emit(event));
    this.#queue = new BuildQueue({
      tasks: this.#tasks,
      progress: this.#progress,
      emit: (event) => this.#emit(event),
      build: (slot, generation, signal) => this.#build(slot, generation, signal),
      jobs,
    });
    this.#spread = new Spread({
      tasks: this.#tasks,
      progress: this.#progress,
      queue: this.#queue,
      dependents: this.#dependents,
      room: () => this.#room,
      signal: () => this.#stop.signal,
      isOpen: (path) => this.#open.has(path),
      isUnsaved: (path) => this.#unsaved.has(path),
      emit: (event) => this.#emit(event),
      say: (text, ...args) => this.#say(text, ...args),
    });
    this.#buildIndex = new BuildIndex(options.cacheDir ?? cacheFolder(), analyser);
    this.#roomOptions = {
      cache: options.cacheDir ?? cacheFolder(),
      scratch,
      compilers: new Compilers(isTrusted),
      isTrusted,
      log: (level, text) => this.#log(level, text),
      jobs,
      keepEdited: options.keepEdited ?? false,
    };
    this.#loaded = loadConfig(config.root, options.overrides).then((read) => read.config);
    this.#room = new BuildRoom(config, this.#roomOptions);
    this.#tellOfStart(this.#room);
    const watched = [join(config.root, CONFIG_FILE), this.#room.index.database];
    this.#unwatch = options.watch === false ? () => {} : watchFiles(watched, () => this.#input({ kind: 'reload' }));
  }

  #say(text: string, ...args: string[]): string {
    return (
      this.#options.say?.(text, ...args) ?? text.replace(/\{(\d)\}/g, (_all, at: string) => args[Number(at)] ?? '')
    );
  }

  get config(): Config {
    return this.#room.config;
  }

  /** Says that the files themselves are the baseline, where nothing better is at hand. */
  #tellOfStart(room: BuildRoom): void {
    room.baseline.then(
      ({ description }) => {
        if (!description.startsWith('start:')) return;
        const problem = `${this.config.root} is not in a git repository and livepatch.json names no baseline: edits are compared with the files as they were when this session started.`;
        this.#emit({ kind: 'config', problems: [problem] });
      },
      () => {},
    );
  }

  // --- what the editor tells -----------------------------------------------------------------------------------------

  open(path: string): void {
    this.#input({ kind: 'open', path });
  }

  saved(path: string): void {
    this.#input({ kind: 'saved', path });
  }

  looked(path: string): void {
    this.#input({ kind: 'looked', path });
  }

  reload(): void {
    this.#input({ kind: 'reload' });
  }

  edited(path: string, text: string | undefined): void {
    this.#input({ kind: 'edited', path, text });
  }

  closed(path: string): void {
    this.#input({ kind: 'closed', path });
  }

  #input(input: Input): void {
    if (this.#disposed) return;
    this.#tasks.run(async () => {
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
        if (this.#unsaved.delete(key)) await this.#spread.touched(input.path);
        return;
      case 'saved':
        this.#unsaved.delete(key);
        await this.#spread.touched(input.path);
        return;
      case 'looked':
        await this.#spread.touched(input.path);
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
        await this.#spread.touched(input.path);
        return;
      }
    }
  }

  async #refreshCommands(): Promise<void> {
    if (!(await this.#room.index.refresh())) return;
    this.#dependents.clear();
    for (const problem of this.#room.index.problems) this.#log('warn', problem);
    const units = new Map(this.#room.index.units.map((unit) => [unit.id, unit]));
    const lost = new Set<string>();
    for (const [id, slot] of this.#queue.slots) {
      const unit = units.get(id);
      if (!unit) {
        if (slot.state.phase !== 'idle' || slot.state.result) lost.add(slot.unit.command.file);
        this.#queue.drop(slot);
      } else if (this.#queue.follow(slot, unit) && slot.state.phase !== 'idle')
        this.#queue.enqueue(slot, PRIORITY.rest);
    }
    if (lost.size === 0) return;
    // Another build folder names its units otherwise: what was compared is compared there, and what was looked at is looked at again.
    this.#spread.forget();
    for (const file of lost)
      for (const unit of this.#room.index.unitsOf(file)) this.#queue.enqueue(this.#queue.slot(unit), PRIORITY.rest);
  }

  async #opened(path: string): Promise<void> {
    const units = await this.#room.index.find(path);
    const baseline = await this.#room.baseline.catch(() => undefined);
    // What the edit adds is all new, also after the window was opened again.
    const isAdded = async () => units[0] !== undefined && (await this.#room.isAdded(units[0]).catch(() => false));
    if (baseline && !(await isAdded())) await baseline.remember(canonical(path));
    if (units.length === 0) {
      if (isSource(path)) this.#emit({ kind: 'noCommand', file: path, message: this.#room.index.noCommand(path) });
      else this.#spread.survey(path);
      return;
    }
    for (const unit of units) {
      const slot = this.#queue.slot(unit);
      this.#tasks.run(() => this.#ahead(slot));
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
    const isEdited = base.added || base.dependencies.some((path) => differing.has(canonical(path)));
    if (slot.state.phase === 'idle' && isEdited) {
      this.#queue.enqueue(slot, PRIORITY.open);
    }
    const { file } = slot.unit.command;
    if (differing.has(canonical(file))) await this.#spread.openedEdited(file);
  }

  // --- building -----------------------------------------------------------------------------------------------------

  #build(slot: Slot, generation: number, signal: AbortSignal): Promise<void> {
    const step: Step = {
      room: this.#room,
      queue: this.#queue,
      dependents: this.#dependents,
      analyser: this.#analyser,
      models: this.#models,
      log: (level, text) => this.#log(level, text),
      unsaved: this.#unsaved,
      original: (of, priority) => this.#original(of, priority),
    };
    return buildUnit(step, slot, generation, signal).finally(() => this.#tasks.run(() => this.#lookAcross()));
  }

  /** When the last build is done: the units in the light of each other and of the rest of the build. */
  async #lookAcross(): Promise<void> {
    // Once the outcome of the build that just ended is in its slot.
    await new Promise(setImmediate);
    if (this.#disposed) return;
    const title = this.#say('Looking for other users of what changed');
    let told = false;
    const progress = (done: number, total: number): void => {
      told = true;
      this.#emit({ kind: 'progress', title, done, total });
    };
    try {
      await lookAcross(this.#queue, () => this.#room, this.#buildIndex, this.#stop.signal, progress);
    } finally {
      if (told) this.#emit({ kind: 'progressEnd' });
    }
  }

  /** The unit's original object. Its build is not stopped by newer edits: it stays the same. */
  #original(slot: Slot, priority: number): Promise<Original> {
    return this.#room.original(slot, this.#dependents.of(slot.unit.id), (builder, differing, added) => {
      const { signal } = this.#stop;
      const { unit } = slot;
      // One of other commands, or one that a cancel has just stopped, is none.
      if (!slot.basePending || slot.basePending.unit !== unit || slot.basePending.signal.aborted) {
        const work = buildOriginal(slot, builder, differing, signal, priority, added).finally(() => {
          if (slot.basePending?.work === work) delete slot.basePending;
        });
        slot.basePending = { unit, signal, work };
        // `idle` waits for it even where the edited source turned out not to compile.
        this.#tasks.run(() => work);
      }
      return slot.basePending.work;
    });
  }

  // --- what the views ask --------------------------------------------------------------------------------------------

  units(): readonly UnitState[] {
    return [...this.#queue.slots.values()].map(({ state }) => state);
  }

  unitsOf(path: string): readonly Unit[] {
    return this.#room.index.unitsOf(path);
  }

  errors(): readonly CompileError[] {
    return this.units().flatMap((state) => (state.phase === 'compileError' ? state.errors : []));
  }

  async baseText(path: string): Promise<string | undefined> {
    const baseline = await this.#room.baseline;
    const real = canonical(path);
    const replacement = (await baseline.differing()).get(real);
    if (replacement === 'absent') return undefined;
    if (replacement && 'content' in replacement) return Buffer.from(replacement.content).toString();
    if (!(await baseline.has(real))) return undefined;
    return readFile(path, 'utf8').catch(() => undefined);
  }

  async changedFiles(): Promise<readonly string[]> {
    await this.#refreshCommands();
    return changedFiles(this.#room);
  }

  uncompiled(): Promise<readonly { readonly file: string; readonly message: string }[]> {
    return uncompiled(this.#room);
  }

  async cover(): Promise<boolean> {
    const { signal } = this.#stop;
    const changed = await this.changedFiles().catch((error: unknown) => {
      if (error instanceof BaselineError) return [];
      throw error;
    });
    const unsaved = [...this.#unsaved.keys()];
    // Deleted files are edits, too: a unit that still includes one does not compile any more.
    const left = [...changed.filter(isC), ...unsaved].filter((path) => !this.#spread.isCovered(path));
    for (const path of new Set(left)) this.looked(path);
    // What a cancel left as it was before the newest edit.
    for (const slot of this.#queue.slots.values())
      if (slot.state.stale && slot.state.phase === 'ready') this.#queue.enqueue(slot, PRIORITY.open);
    await this.idle();
    return !signal.aborted;
  }

  async callers(
    names: readonly string[],
    but: ReadonlySet<string>,
    progress?: (done: number, total: number) => void,
  ): Promise<CallersElsewhere> {
    await this.#refreshCommands();
    const units = this.#room.index.units.filter((unit) => !but.has(unit.id));
    return callersIn(units, names, this.#buildIndex, this.#stop.signal, progress);
  }

  async baseline(): Promise<string> {
    return this.#room.baseline.then(
      ({ description }) => description,
      (error: Error) => error.message,
    );
  }

  async clearCache(): Promise<number> {
    return this.#room.store.clear();
  }

  idle(): Promise<void> {
    return this.#tasks.idle();
  }

  cancel(): void {
    this.#stop.abort();
    this.#stop = manyListeners();
    this.#spread.forget();
    this.#queue.cancel();
  }

  on(listener: (event: SessionEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#unwatch();
    this.cancel();
    this.#queue.close();
    this.#disposed = true;
    await this.idle();
    this.#listeners.clear();
    await rm(this.#roomOptions.scratch, { recursive: true, force: true, maxRetries: 3 });
  }

  // --- plumbing ------------------------------------------------------------------------------------------------------

  #emit(event: SessionEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  #log(level: 'trace' | 'info' | 'warn' | 'error', text: string): void {
    this.#emit({ kind: 'log', level, text });
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
    const changed = Object.entries({ accepted: [], ...loaded }).filter(
      ([key, value]) => JSON.stringify(value) !== JSON.stringify(before[key as keyof Config]),
    );
    const config: Config = { ...this.config, ...Object.fromEntries(changed) };
    this.#room = new BuildRoom(config, this.#roomOptions, this.#room);
    this.#tellOfStart(this.#room);
    await this.#refreshCommands();
    // What was accepted makes no other object: the comparisons at hand are judged anew.
    const judged = changed.every(([key]) => key === 'accepted');
    for (const slot of this.#queue.slots.values()) {
      const { result } = slot.state;
      if (judged && slot.state.phase === 'ready' && result) {
        this.#queue.set(slot, {
          result: { ...result, findings: markAccepted(result.findings, config.accepted ?? []) },
        });
        continue;
      }
      if (judged && slot.state.phase === 'idle') continue;
      delete slot.base;
      if (slot.state.phase !== 'idle') this.#queue.enqueue(slot, PRIORITY.open);
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

/** A controller whose signal every build of a large edit listens to: node takes more than ten for a leak, and says so to the user. */
function manyListeners(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return controller;
}
