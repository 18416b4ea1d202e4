import { canonical } from './commandIndex.ts';
import { knownDependencies } from './depfiles.ts';
import type { CompileCommand, Unit } from './types.ts';

/** What each unit is built from, so that a header edit finds the units that it touches. */
export class Dependents {
  private readonly files = new Map<string, { readonly raw: readonly string[]; readonly set: ReadonlySet<string> }>();
  private readonly tried = new Set<string>();
  private readonly recalled = new Set<string>();

  /** Notes the dependencies that a build or a scan of the unit told. */
  learn(unit: string, paths: readonly string[]): void {
    this.files.set(unit, { raw: paths, set: new Set(paths.map(canonical)) });
  }

  of(unit: string): readonly string[] {
    return this.files.get(unit)?.raw ?? [];
  }

  dependsOn(unit: Unit, path: string): boolean {
    return this.files.get(unit.id)?.set.has(canonical(path)) ?? false;
  }

  /** Units of which nothing is known yet. */
  unknown(units: readonly Unit[]): Unit[] {
    return units.filter(({ id }) => !this.files.has(id) && !this.tried.has(id));
  }

  /** Forgets all, after the commands changed. */
  clear(): void {
    this.tried.clear();
    this.recalled.clear();
  }

  /** Reads what the last real build noted of units; those without such a note stay unknown. Starts no program. */
  async recall(units: readonly Unit[], signal: AbortSignal): Promise<void> {
    for (const unit of units) {
      if (signal.aborted) return;
      if (this.recalled.has(unit.id)) continue;
      this.recalled.add(unit.id);
      const paths = await knownDependencies(unit.command);
      if (paths && !this.files.has(unit.id)) this.learn(unit.id, paths);
    }
  }

  /**
   * Finds out what units are built from: the dependency file of the last real build where there is one, else the
   * preprocessor. Two at once.
   * @param scan lists what a command includes; undefined where that fails
   * @param each called after each unit; `isKnown` is false where nothing could be found out
   */
  async survey(
    units: readonly Unit[],
    scan: (command: CompileCommand) => Promise<readonly string[] | undefined>,
    each: (unit: Unit, done: number, isKnown: boolean) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const waiting = [...units];
    let done = 0;
    const worker = async () => {
      for (let unit = waiting.shift(); unit && !signal.aborted; unit = waiting.shift()) {
        const paths = (await knownDependencies(unit.command)) ?? (await scan(unit.command));
        if (signal.aborted) return;
        // One that cannot be read now may be when the build has run.
        if (paths) this.tried.add(unit.id);
        if (paths && !this.files.has(unit.id)) this.learn(unit.id, paths);
        each(unit, ++done, paths !== undefined);
      }
    };
    await Promise.all([worker(), worker()]);
  }
}
