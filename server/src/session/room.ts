import { readFile, stat } from 'node:fs/promises';
import { readElf } from '../core/elf/index.ts';
import type { Finding } from '../core/findings/types.ts';
import { isPartOf } from '../core/payload/place.ts';
import { type Baseline, BaselineError, openBaseline } from '../shell/baseline.ts';
import type { BaseObject, Failure } from '../shell/builder.ts';
import { Builder } from '../shell/builder.ts';
import { CommandIndex, canonical } from '../shell/commandIndex.ts';
import type { Compilers } from '../shell/compiler.ts';
import { linkedFiles } from '../shell/linked.ts';
import type { Replacement } from '../shell/mirror.ts';
import { checkProducer } from '../shell/producer.ts';
import { ObjectStore } from '../shell/store.ts';
import type { Config, Unit } from '../shell/types.ts';
import type { Slot } from './queue.ts';

/** Most files that git is asked about by name: they are arguments of one command. */
const MAX_PATHS = 2000;
/** How often an original is built anew because its sources changed in the meantime. */
const ATTEMPTS = 5;
/** Larger objects are not read. */
const MAX_OBJECT = 256 << 20;

/** What stays the same when livepatch.json changes. */
export interface RoomOptions {
  readonly cache: string;
  readonly scratch: string;
  readonly compilers: Compilers;
  readonly isTrusted: () => boolean;
  readonly log: (level: 'trace' | 'info' | 'warn' | 'error', text: string) => void;
  readonly jobs: number;
  /** Objects of edited files are kept in the cache, too. */
  readonly keepEdited?: boolean;
}

/** A unit's original object, and how the baseline differs from the disk (at least in the files that the unit reads). */
export interface Original {
  readonly base: BaseObject | Failure;
  readonly differing: ReadonlyMap<string, Replacement>;
}

/** Everything that follows from one configuration: commands, baseline, cache, builder. */
export class BuildRoom {
  readonly config: Config;
  readonly index: CommandIndex;
  readonly store: ObjectStore;
  readonly baseline: Promise<Baseline>;
  readonly builder: Promise<Builder>;
  /** Whether a linked file holds a unit's object of the real build, by unit. */
  readonly #inProgram = new Map<string, { readonly stamp: string; readonly answer: Promise<boolean> }>();

  /** @param before the room of the configuration before: what still holds is kept */
  constructor(config: Config, options: RoomOptions, before?: BuildRoom) {
    this.config = config;
    this.store = new ObjectStore(options.cache, config.cacheLimitMiB);
    this.index = before && before.config.buildDir === config.buildDir ? before.index : new CommandIndex(config);
    const same = before && JSON.stringify(before.config.baseline) === JSON.stringify(config.baseline);
    this.baseline = same ? before.baseline : openBaseline(config, options.scratch, options.isTrusted);
    this.baseline.then(
      ({ description }) => options.log('info', `baseline: ${description}`),
      (error: Error) => options.log('error', error.message),
    );
    this.builder = this.baseline.then(
      (baseline) =>
        new Builder({
          config,
          baseline,
          store: this.store,
          compilers: options.compilers,
          scratch: options.scratch,
          isTrusted: options.isTrusted,
          log: options.log,
          jobs: options.jobs,
          ...(options.keepEdited && { keepEdited: true }),
        }),
    );
    // Whoever needs it gets the error; nobody may need it.
    this.builder.catch(() => {});
  }

  /**
   * True for a unit whose source is part of the edit: the baseline does not have it, and the program was built without it. A source that is not
   * under version control and that the program has been built from all the same is compared with what it was at first.
   */
  async isAdded({ id, command }: Unit): Promise<boolean> {
    const real = canonical(command.file);
    const baseline = await this.baseline;
    if ((await baseline.has(real)) || !(await baseline.added([real])).includes(real)) return false;
    const info = command.output === undefined ? undefined : await stat(command.output).catch(() => undefined);
    if (!info?.isFile() || info.size > MAX_OBJECT) return true;
    const stamp = `${info.ino} ${info.size} ${info.mtimeMs}`;
    const known = this.#inProgram.get(id);
    if (known?.stamp === stamp) return !(await known.answer);
    const answer = inProgram(command.output!, this.config);
    this.#inProgram.set(id, { stamp, answer });
    return !(await answer);
  }

  /**
   * The unit's original object as the baseline gives it now: the one at hand where it still holds.
   * @param reads what the edited unit reads, as far as it is known
   * @param build builds it; called where none is at hand
   */
  async original(
    slot: Slot,
    reads: readonly string[],
    build: (
      builder: Builder,
      differing: ReadonlyMap<string, Replacement>,
      added: boolean,
    ) => Promise<BaseObject | Failure>,
  ): Promise<Original> {
    try {
      const builder = await this.builder;
      const baseline = await this.baseline;
      const added = await this.isAdded(slot.unit);
      const own = canonical(slot.unit.command.file);
      const original = (base: BaseObject | Failure, differing: ReadonlyMap<string, Replacement>): Original => ({
        base,
        differing: added ? new Map([...differing, [own, 'absent']]) : differing,
      });
      /** How the baseline differs from the disk. Only in what is read: the whole tree is asked about where an object has to be built. */
      const ask = (base: BaseObject) => {
        const paths = new Set([...base.dependencies, ...reads].map(canonical));
        return baseline.differing(paths.size <= MAX_PATHS ? [...paths] : undefined);
      };
      const kept = slot.base;
      if (kept && (kept.added ?? false) === added) {
        const differing = await ask(kept);
        if (await builder.isCurrent(kept, differing, slot.unit.command)) return original(kept, differing);
      }
      for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
        const before = await baseline.differing();
        const base = await build(builder, before, added);
        if (base.kind !== 'built') return { base, differing: before };
        // Saved after the question and before the compiler read it: the file was then read as edited, through its link. An original that
        // holds the edit would make the comparison say that nothing changed.
        const differing = await ask(base);
        if (await builder.isCurrent(base, differing, slot.unit.command)) return original(base, differing);
      }
      const message = 'The sources changed again and again while the original was built. Save once more.';
      return { base: { kind: 'failed', reason: 'other', message, log: '' }, differing: new Map() };
    } catch (error) {
      if (!(error instanceof BaselineError)) throw error;
      return { base: { kind: 'failed', reason: 'baseline', message: error.message, log: '' }, differing: new Map() };
    }
  }
}

/** Whether a linked file of the project was built from an object. */
async function inProgram(path: string, config: Config): Promise<boolean> {
  const { elf } = readElf(new Uint8Array(await readFile(path).catch(() => new Uint8Array(0))));
  return elf?.kind === 'rel' && (await linkedFiles(config)).some((module) => isPartOf(elf, module));
}

/** Builds the original object of a slot's unit, and looks at who made the real build's. */
export async function buildOriginal(
  slot: Slot,
  builder: Builder,
  differing: ReadonlyMap<string, Replacement>,
  signal: AbortSignal,
  priority: number,
  added = false,
): Promise<BaseObject | Failure> {
  const { unit } = slot;
  const base = await builder.original(unit.command, differing, signal, priority, added);
  if (base.kind !== 'built' || slot.unit !== unit) return base;
  const mismatch: Finding | undefined = await checkProducer(unit.command, base.object).catch(() => undefined);
  slot.base = base;
  slot.mismatch = mismatch;
  return base;
}
