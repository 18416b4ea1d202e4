import { rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { unitName } from './compare.ts';
import { readElf } from './core/elf/index.ts';
import { compareWithXen, type XenBaseline } from './core/payload/xen-baseline.ts';
import { xenHome } from './core/payload/xen-home.ts';
import type { Hypervisor } from './core/payload/xen-symbols.ts';
import { BuildRoom } from './session/room.ts';
import { Compilers } from './shell/compiler.ts';
import { makeSessionFolder } from './shell/sessionFolder.ts';
import { cacheFolder } from './shell/store.ts';
import type { Config, Unit } from './shell/types.ts';

/** How one unit of the baseline compares with the hypervisor that runs. */
export interface Reproduced {
  /** Source as the build names it. */
  readonly unit: string;
  /** Function by function; undefined where the unit was not compared. */
  readonly baseline?: XenBaseline;
  /** Why it was not compared. */
  readonly message?: string;
}

/** What to look at, and whom to tell. */
export interface ReproduceOptions {
  /** Only units of these sources; absent: every unit of the build. */
  readonly files?: readonly string[];
  readonly signal?: AbortSignal;
  /** Called after each unit. */
  readonly each?: (done: number, of: number) => void;
}

/**
 * Compiles every unit of the baseline again, with the exact commands of the build, and compares each function with the hypervisor's: what a patch
 * is built on has to be what runs. Objects are kept in the cache.
 * @throws BaselineError where there is no baseline
 */
export async function reproduceTree(
  config: Config,
  hypervisor: Hypervisor,
  options: ReproduceOptions = {},
): Promise<Reproduced[]> {
  const cache = cacheFolder();
  const scratch = await makeSessionFolder(cache);
  const isTrusted = () => true;
  const jobs = Math.max(1, Math.min(8, availableParallelism()));
  try {
    const compilers = new Compilers(isTrusted);
    const room = new BuildRoom(config, { cache, scratch, compilers, isTrusted, log: () => {}, jobs });
    await room.index.refresh();
    const units: Unit[] = [];
    for (const file of options.files ?? []) units.push(...(await room.index.find(file)));
    if (options.files === undefined) units.push(...room.index.units);
    const wanted = units.filter(({ command }) => /\.[cS]$/.test(command.file) && /\.o$/.test(command.output ?? '.o'));
    const builder = await room.builder;
    const differing = await (await room.baseline).differing();
    const found: Reproduced[] = [];
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < wanted.length && !options.signal?.aborted) {
        const index = next++;
        const { command } = wanted[index]!;
        const unit = unitName(config, command.file, command.arguments, command.directory);
        const built = /\.S$/.test(command.file)
          ? undefined
          : await builder.original(command, differing, options.signal);
        if (built === undefined) found[index] = { unit, message: 'assembly' };
        else if (built.kind !== 'built') found[index] = { unit, message: why(built) };
        else found[index] = compared(unit, built.object, hypervisor);
        options.each?.(found.filter(Boolean).length, wanted.length);
      }
    };
    await Promise.all(Array.from({ length: jobs }, worker));
    return found.filter(Boolean);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

function why(failure: { readonly kind: string; readonly message?: string }): string {
  return failure.message ?? (failure.kind === 'compileError' ? 'it does not compile' : failure.kind);
}

function compared(unit: string, object: Uint8Array, hypervisor: Hypervisor): Reproduced {
  // ELFCLASS32
  if (object[4] === 1) return { unit, message: '32-bit code for the start of the machine' };
  const { elf, problems } = readElf(object);
  if (!elf) return { unit, message: problems[0]?.message ?? 'its object cannot be read' };
  if (elf.machine !== 62) return { unit, message: 'no object for x86-64' };
  const home = xenHome(elf, unit, hypervisor);
  if ('code' in home) return { unit, message: home.message };
  if (!home.linked) return { unit, message: 'not linked into the hypervisor' };
  return { unit, baseline: compareWithXen(elf, home, hypervisor) };
}
