import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { acceptedOverrides } from './core/findings/accept.ts';
import type { Finding } from './core/findings/types.ts';
import { isPatchId } from './core/payload/manifest.ts';
import { buildProcessPayload } from './core/payload/process.ts';
import { refusal } from './core/payload/refusal.ts';
import type { LinkedModule, Manifest, PatchUnit } from './core/payload/types.ts';
import type { XenManifest, XenOptions } from './core/payload/xen.ts';
import { linkedFiles, readModule } from './shell/linked.ts';
import type { Config, TargetConfig, UnitState } from './shell/types.ts';
import { createProcessTarget } from './targets/process.ts';
import { processesOf } from './targets/procfs.ts';
import type { Target } from './targets/types.ts';
import { buildForXen, NoHypervisor, xenEntry, xenTargetOf } from './targets/xen-config.ts';

/** What the person who builds named is not there, or not what it has to be. */
export class CannotBuild extends Error {}

/** Choices of the person who builds; everything has a default. */
export interface BuildPatchOptions {
  /** Functions to leave out. */
  readonly leaveOut?: readonly string[];
  /** Keep functions of which only line numbers differ. */
  readonly keepLineOnly?: boolean;
  /** Finding code or `code:symbol` → written reason. */
  readonly overrides?: Readonly<Record<string, string>>;
  /** Identifier; made from the first function and the time where absent. */
  readonly id?: string;
  readonly description?: string;
  /** Where to write the payload; its folder is made. Not written where absent. */
  readonly output?: string;
  /** Process that the patch is for: of several linked files that hold the code, those that it runs are patched. */
  readonly pid?: number;
  /** Linked files to patch: units of other files are left aside. */
  readonly binaries?: readonly string[];
  /** What only payloads for Xen have. */
  readonly xen?: Pick<XenOptions, 'expectations' | 'nops' | 'keepDebug'>;
  /** Time of building, for tests. */
  readonly now?: Date;
}

/** A payload, or findings that say why there is none. */
export type BuildPatchOutcome =
  | {
      readonly kind: 'payload';
      readonly id: string;
      readonly bytes: Uint8Array;
      readonly manifest: Manifest | XenManifest;
      readonly file: string | undefined;
      /** Why the target was not asked what is applied to it, as a sentence: then the payload may not fit on top of that. */
      readonly unasked?: string;
    }
  | { readonly kind: 'refused'; readonly refusals: readonly Finding[] };

/**
 * Builds one payload out of everything that changed in the session's units. Units without a good comparison of their newest
 * text stand in the way: half of an edit must not be patched in.
 */
export async function buildPatch(
  states: readonly UnitState[],
  config: Config,
  options: BuildPatchOptions = {},
): Promise<BuildPatchOutcome> {
  const refusals: Finding[] = [];
  const units: PatchUnit[] = [];
  for (const state of states) {
    const file = state.unit.command.file;
    if (state.phase === 'compileError' || state.phase === 'failed')
      refusals.push(
        refusal(
          'edit-not-covered',
          basename(file),
          state.phase === 'failed'
            ? `${basename(file)} is not in the patch: ${(state.message ?? 'it could not be built').replace(/\.$/, '')}. Half of an edit is not patched in: take its edit back to build without it.`
            : `${basename(file)} is not in the patch: it does not compile. Repair it, or take its edit back.`,
        ),
      );
    else if (state.stale || state.phase === 'queued' || state.phase === 'building')
      refusals.push(
        refusal(
          'edit-not-covered',
          basename(file),
          `${basename(file)} is still being built. Build the patch when that is done.`,
        ),
      );
    else if (state.result && changes(state.result)) units.push(state.result);
  }
  if (refusals.length > 0) return { kind: 'refused', refusals };
  const xen = xenEntry(config);
  const choices = xenChoices(xen, options.xen);
  if (units.length === 0 && choices.nops.length === 0)
    return {
      kind: 'refused',
      refusals: [refusal('nothing-to-patch', '', 'No machine code changed: there is nothing to put into a patch.')],
    };
  const now = options.now ?? new Date();
  const id = options.id ?? defaultId(units, now);
  const plan = {
    leaveOut: options.leaveOut ?? [],
    keepLineOnly: options.keepLineOnly ?? false,
    overrides: { ...acceptedOverrides(units.flatMap((unit) => unit.findings)), ...options.overrides },
    id,
    description: options.description ?? '',
    created: now.toISOString(),
  };
  if (!xen && (options.xen?.expectations || options.xen?.keepDebug || (options.xen?.nops ?? []).length > 0))
    throw new CannotBuild(
      'NOP entries, expectations and debug information are for payloads for Xen, and livepatch.json names no target of kind xen.',
    );
  const linked = xen ? undefined : await modulesFor(config, options.binaries);
  const patched = options.pid === undefined ? linked?.patched : await buildIdsOf(options.pid);
  const about = units.map((unit) => findingsFor(unit, xen ? 'xen' : 'process'));
  const outcome = xen
    ? await buildForXen(about, xen, config, { ...plan, ...choices }).catch(cannotBuild)
    : buildProcessPayload(about, linked!.modules, { ...plan, ...(patched ? { modules: patched } : {}) });
  if (outcome.kind === 'refused') return outcome;
  const { bytes, manifest } = 'payload' in outcome ? outcome.payload : outcome;
  if (options.output !== undefined) {
    await mkdir(dirname(options.output), { recursive: true });
    await writeFile(options.output, bytes);
  }
  const unasked = 'unasked' in outcome ? outcome.unasked : undefined;
  return {
    kind: 'payload',
    id,
    bytes,
    manifest,
    file: options.output,
    ...(unasked === undefined ? {} : { unasked }),
  };
}

/** What was asked for this payload, on top of what the target of livepatch.json asks for all of them. */
function xenChoices(
  entry: TargetConfig | undefined,
  asked: BuildPatchOptions['xen'] = {},
): Required<NonNullable<BuildPatchOptions['xen']>> {
  const own = asked.nops ?? [];
  const nops = (entry?.nops ?? []).filter(({ name }) => !own.some((one) => one.name === name));
  return {
    expectations: asked.expectations === true || entry?.expect === true,
    nops: [...nops, ...own],
    keepDebug: asked.keepDebug === true,
  };
}

/** @throws CannotBuild instead of what says that the hypervisor is not known */
function cannotBuild(error: unknown): never {
  throw error instanceof NoHypervisor ? new CannotBuild(error.message) : error;
}

/** The unit with the findings that concern a payload of this kind. */
function findingsFor(unit: PatchUnit, kind: TargetConfig['kind']): PatchUnit {
  const findings = unit.findings.filter(
    ({ targets, from }) => from !== 'payload' && (targets === undefined || targets.includes(kind)),
  );
  return findings.length === unit.findings.length ? unit : { ...unit, findings };
}

/** A unit matters where its code changed, and where a blocker speaks of data that the code may not show. */
const changes = (unit: PatchUnit): boolean =>
  unit.diff.functions.length > 0 ||
  unit.diff.data.some((one) => one.status === 'new') ||
  unit.findings.some((finding) => finding.severity === 'blocker');

function defaultId(units: readonly PatchUnit[], now: Date): string {
  const name = units.flatMap((unit) =>
    unit.diff.functions.filter((one) => one.status === 'changed' && !one.lineOnly),
  )[0]?.name;
  // To the millisecond: a script builds several in one second.
  const stamp = now
    .toISOString()
    .replace(/[-:.Z]/g, '')
    .slice(0, 18);
  const id = `${(name ?? 'patch').replace(/[^A-Za-z0-9_.-]/g, '_').slice(0, 40)}-${stamp}`;
  return isPatchId(id) ? id : `patch-${stamp}`;
}

/**
 * Linked files that units may be part of: those that the configuration names, else all in the build folder and in the
 * workspace. With `chosen`, `patched` has the build ids of these. Where targets say which executables run, `patched` has their build ids and those of the libraries: what belongs to other
 * executables is no part of a patch.
 */
async function modulesFor(
  config: Config,
  chosen: readonly string[] = [],
): Promise<{ modules: LinkedModule[]; patched?: string[] }> {
  const modules = await linkedFiles(config);
  if (chosen.length > 0) {
    const patched: LinkedModule[] = [];
    for (const path of chosen) {
      const module = await readModule(path);
      if (!module) throw new CannotBuild(`${path} is no program or library that can be patched.`);
      patched.push(module);
    }
    return { modules: [...modules, ...patched], patched: patched.map(({ elf }) => elf.buildId ?? '') };
  }
  const wanted = new Set<string>();
  for (const target of config.targets) {
    const module = await readModule((await executableOf(target)) ?? '');
    if (module?.elf.buildId) wanted.add(module.elf.buildId);
  }
  const isWanted = ({ elf }: LinkedModule): boolean => wanted.has(elf.buildId ?? '');
  if (!modules.some(isWanted)) return { modules };
  const patched = modules.filter((module) => module.elf.soname !== undefined || isLibrary(module) || isWanted(module));
  return { modules, patched: patched.flatMap(({ elf }) => elf.buildId ?? []) };
}

/** A shared object without a name of its own, a plugin for instance: nothing starts it. */
const isLibrary = ({ elf }: LinkedModule): boolean =>
  elf.kind === 'dyn' && !elf.segments.some((segment) => segment.type === 3) && elf.dynamicSymbols.length > 0;

async function executableOf(target: TargetConfig): Promise<string | undefined> {
  if (target.kind !== 'process') return undefined;
  if (target.pid !== undefined) return `/proc/${target.pid}/exe`;
  if (target.pidFile !== undefined) {
    const pid = Number.parseInt(await readFile(target.pidFile, 'utf8').catch(() => ''), 10);
    return Number.isInteger(pid) ? `/proc/${pid}/exe` : undefined;
  }
  return target.executable;
}

/**
 * Build ids of the files that a process has mapped, itself and its libraries.
 * @throws CannotBuild where there is no such process, or it may not be looked at
 */
async function buildIdsOf(pid: number): Promise<string[]> {
  const maps = await readFile(`/proc/${pid}/maps`, 'utf8').catch((error: NodeJS.ErrnoException) => {
    const why = error.code === 'ENOENT' ? 'there is no such process' : error.message;
    throw new CannotBuild(`Process ${pid} cannot be looked at: ${why}.`);
  });
  const ranges = maps.split('\n').flatMap((line) => {
    const match = /^([0-9a-f]+-[0-9a-f]+) \S+ 0+ \S+ [1-9]\d* +(\/.*)$/.exec(line);
    return match ? [[match[1]!, match[2]!] as const] : [];
  });
  const ids = new Set<string>();
  for (const [range, path] of ranges) {
    // The mapped file itself, also where another one has taken its place since; the name where that link may not be followed.
    const module = (await readModule(`/proc/${pid}/map_files/${range}`)) ?? (await readModule(path));
    if (module?.elf.buildId) ids.add(module.elf.buildId);
  }
  return [...ids];
}

/** The target of a configuration entry. Throws for kinds that this version cannot reach. */
export function resolveTarget(target: TargetConfig, _config?: Config): Target {
  if (target.kind === 'xen') return xenTargetOf(target);
  if (target.kind !== 'process') throw new Error(`Targets of kind ${target.kind} cannot be reached by this version.`);
  const { name, pid, pidFile, executable } = target;
  return createProcessTarget({
    name,
    ...(pid !== undefined && { pid }),
    ...(pidFile !== undefined && { pidFile }),
    ...(executable !== undefined && { executable }),
  });
}

/**
 * All targets of the configuration. An executable that several processes run gives one target for each, named after its
 * process id.
 */
export function targetsOf(config: Config): Target[] {
  return config.targets
    .filter((target) => target.kind !== 'linux')
    .flatMap((target) => {
      if (target.kind === 'xen') return [xenTargetOf(target)];
      if (target.pid !== undefined || target.pidFile !== undefined || target.executable === undefined)
        return [resolveTarget(target, config)];
      const pids = processesOf(target.executable);
      if (pids.length <= 1) return [resolveTarget(target, config)];
      return pids.map((pid) => createProcessTarget({ name: `${target.name} (${pid})`, pid }));
    });
}
