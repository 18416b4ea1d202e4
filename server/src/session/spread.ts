import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import type { SessionEvent } from '../session-types.ts';
import { canonical, isSource } from '../shell/commandIndex.ts';
import type { Dependents } from '../shell/dependents.ts';
import type { Unit } from '../shell/types.ts';
import type { BatchProgress } from './progress.ts';
import { type BuildQueue, PRIORITY } from './queue.ts';
import type { BuildRoom } from './room.ts';
import type { Tasks } from './tasks.ts';

/** Up to so many units that include a file are rebuilt without asking whether its edit was taken back. */
const FEW = 8;
/** From so many units on, it is told how far looking through them is. */
const MANY = 8;

/** What finding the units of an edit needs of the session. */
export interface SpreadOptions {
  readonly tasks: Tasks;
  readonly progress: BatchProgress;
  readonly queue: BuildQueue;
  readonly dependents: Dependents;
  /** The room and the signal of now: both are other ones after a reload and a cancel. */
  readonly room: () => BuildRoom;
  readonly signal: () => AbortSignal;
  /** Canonical paths: documents that are open, and those with an unsaved text. */
  readonly isOpen: (path: string) => boolean;
  readonly isUnsaved: (path: string) => boolean;
  readonly emit: (event: SessionEvent) => void;
  /** A sentence in the editor's language. */
  readonly say: (text: string, ...args: string[]) => string;
}

/** From an edited file to the units that have to be built again: its own, and those that include it. */
export class Spread {
  readonly #options: SpreadOptions;
  /** Files whose edits were looked at, canonical: in the units that hold them. */
  readonly #covered = new Set<string>();

  constructor(options: SpreadOptions) {
    this.#options = options;
  }

  #say(text: string, ...args: string[]): string {
    return this.#options.say(text, ...args);
  }

  get #units(): readonly Unit[] {
    return this.#options.room().index.units;
  }

  /** Whether the edits of a file were looked at. */
  isCovered(path: string): boolean {
    return this.#covered.has(canonical(path));
  }

  /** After a cancel, what was given up is looked at again before a patch is built. */
  forget(): void {
    this.#covered.clear();
  }

  /** Queues every unit that depends on a file. */
  async touched(path: string): Promise<void> {
    const { queue, dependents, room, emit } = this.#options;
    this.#covered.add(canonical(path));
    const own = await room().index.find(path);
    for (const unit of own) queue.enqueue(queue.slot(unit), PRIORITY.own);
    const ids = new Set(own.map(({ id }) => id));
    const others = this.#units.filter((unit) => !ids.has(unit.id) && dependents.dependsOn(unit, path));
    const unknown = dependents.unknown(this.#units).length;
    const isBack = others.length + unknown > FEW && (await this.#isOriginal(path));
    const wanted = (unit: Unit) => !isBack || this.#isKnown(unit);
    for (const unit of others) if (wanted(unit)) this.#enqueue(unit, path);
    if (own.length > 0) {
      this.#includers(path, ids);
      return;
    }
    if (isSource(path) && others.length === 0 && unknown === 0 && !existsSync(path)) {
      // Deleted, and the build knows of it: no unit is made of it any more.
      emit({ kind: 'log', level: 'info', text: `${path} was deleted, and no unit of the build includes it` });
    } else if (isSource(path) && others.length === 0 && unknown === 0) {
      emit({ kind: 'noCommand', file: path, message: room().index.noCommand(path) });
    } else if (unknown > 0) {
      this.survey(path, wanted);
    } else if (this.#units.length === 0) {
      emit({ kind: 'noCommand', file: path, message: room().index.noUnits(path) });
    } else if (others.length === 0) {
      emit({ kind: 'log', level: 'info', text: `no unit of the build includes ${path}` });
    }
  }

  /** A source that was edited before it was opened: the units that include it hold the edit as well. */
  async openedEdited(file: string): Promise<void> {
    if (this.isCovered(file)) return;
    this.#covered.add(canonical(file));
    this.#includers(file, new Set((await this.#options.room().index.find(file)).map(({ id }) => id)));
  }

  /** A source that another source includes (Xen's and Linux's compat code) is in several units: what the last build noted tells. */
  #includers(path: string, own: ReadonlySet<string>): void {
    const { tasks, dependents, signal } = this.#options;
    tasks.run(async () => {
      const waiting = dependents.unknown(this.#units).filter((unit) => !own.has(unit.id));
      await dependents.recall(waiting, signal());
      for (const unit of this.#units)
        if (!own.has(unit.id) && dependents.dependsOn(unit, path) && !this.#isKnown(unit)) this.#enqueue(unit, path);
    });
  }

  /** True where a file is as the baseline has it, on the disk and in the editor. */
  async #isOriginal(path: string): Promise<boolean> {
    const real = canonical(path);
    if (this.#options.isUnsaved(real)) return false;
    return this.#options
      .room()
      .baseline.then(async (baseline) => !(await baseline.differing([real])).has(real))
      .catch(() => false);
  }

  /** Something was compared, or is about to be: of the others an edit that was taken back says nothing. */
  #isKnown(unit: Unit): boolean {
    const state = this.#options.queue.slots.get(unit.id)?.state;
    return state !== undefined && (state.phase !== 'idle' || state.result !== undefined);
  }

  #enqueue(unit: Unit, header: string): void {
    const { queue, isOpen } = this.#options;
    queue.enqueue(
      queue.slot(unit),
      isOpen(canonical(unit.command.file)) ? PRIORITY.open : PRIORITY.rest,
      this.#say('Rebuilding what includes {0}', basename(header)),
    );
  }

  /** Finds out what the other units are built from, and queues those that turn out to include the file; without `wanted` none. */
  survey(path: string, wanted?: (unit: Unit) => boolean): void {
    const { tasks, progress, dependents, room, isOpen, emit } = this.#options;
    const waiting = dependents.unknown(this.#units);
    if (waiting.length === 0) return;
    const order = (unit: Unit) => (isOpen(canonical(unit.command.file)) ? 0 : 1);
    waiting.sort((a, b) => order(a) - order(b));
    const signal = this.#options.signal();
    tasks.run(async () => {
      const builder = await room().builder;
      let found = 0;
      const title = this.#say('Looking for what includes {0}', basename(path));
      const letEnd = progress.hold();
      const unread: Unit[] = [];
      try {
        await dependents.survey(
          waiting,
          (command) => builder.scan(command, signal),
          (unit, done, isKnown) => {
            if (waiting.length > MANY) emit({ kind: 'progress', title, done, total: waiting.length });
            if (!isKnown) unread.push(unit);
            if (!wanted || !dependents.dependsOn(unit, path)) return;
            found++;
            if (wanted(unit)) this.#enqueue(unit, path);
          },
          signal,
        );
      } finally {
        if (waiting.length > MANY) emit({ kind: 'progressEnd' });
        letEnd();
      }
      if (wanted && !isSource(path) && unread.length > 0 && !signal.aborted)
        emit({ kind: 'noCommand', file: path, message: unreadText(path, unread) });
      if (wanted && found === 0 && !signal.aborted && isSource(path)) {
        const known = this.#units.some((unit) => dependents.dependsOn(unit, path));
        if (!known) emit({ kind: 'noCommand', file: path, message: room().index.noCommand(path) });
      }
    });
  }
}

/** What to say of a header where units could not be asked what they include. */
function unreadText(path: string, units: readonly Unit[]): string {
  const names = units.slice(0, 3).map(({ command }) => basename(command.file));
  const more = units.length > names.length ? ` and ${units.length - names.length} others` : '';
  return (
    `What ${names.join(', ')}${more} include could not be found out: the preprocessor failed. Whether the edit of ${basename(path)} ` +
    'reaches them is not known. Build the project once, so that what it generates is there.'
  );
}
