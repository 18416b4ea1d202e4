import { basename, relative } from 'node:path';
import type { Finding } from './core/findings/types.ts';
import type { Manifest } from './core/payload/types.ts';
import type { XenManifest } from './core/payload/xen.ts';
import { MAX_PAYLOAD } from './core/payload/xen-format.ts';
import { buildReport } from './core/render/report/build.ts';
import { size } from './core/render/report/text.ts';
import type {
  CallersElsewhere,
  ReportInput,
  ReportModel,
  ReportPayload,
  ReportUnit,
} from './core/render/report/types.ts';
import { buildPatch } from './patch.ts';
import type { Config, UnitState } from './shell/types.ts';
import { xenEntry } from './targets/xen-config.ts';

/** Most bytes that a payload for a process may load (docs/process-payload.md). */
const PROCESS_LIMIT = 64 << 20;

/** What the report is asked for besides the edits. */
export interface ReportOptions {
  readonly leaveOut?: readonly string[];
  readonly overrides?: Readonly<Record<string, string>>;
  readonly description?: string;
  /** Identifier that the payload would have; the same edits then give the same report. */
  readonly id?: string;
  /** Folder that paths are told from. */
  readonly from: string;
  readonly verdict: ReportInput['verdict'];
  readonly notCompared?: ReportInput['notCompared'];
  readonly reviewed?: ReportInput['reviewed'];
  readonly listings?: boolean;
  /** Asks the rest of the build who calls functions: all units but the compared ones. */
  readonly callers?: (names: readonly string[], but: ReadonlySet<string>) => Promise<CallersElsewhere | undefined>;
}

/**
 * Makes the report of a session's units. The payload is built in memory, for its size and for what it depends on: nothing is written.
 * The same edits give the same report.
 */
export async function makeReport(
  states: readonly UnitState[],
  config: Config,
  options: ReportOptions,
): Promise<ReportModel> {
  const shorten = (path: string): string => {
    if (!path.startsWith('/')) return path;
    const short = relative(options.from, path);
    return short === '' || short.startsWith('..') ? path : short;
  };
  const looked = states.filter((state) => state.phase !== 'idle' || state.result);
  const changed = looked.filter((state) => isWorthTelling(state));
  const baselines = new Set(looked.flatMap((state) => state.result?.pair.provenance.baseline ?? []));
  const entry = xenEntry(config);
  const callers = await options.callers?.(globals(changed), new Set(changed.map((state) => state.unit.id)));
  return buildReport({
    units: changed.map((state) => unitOf(state, shorten)),
    verdict: options.verdict,
    baseline: [...baselines].sort().join(', ') || baselineOf(config),
    target: entry ? 'xen' : 'process',
    description: options.description ?? '',
    payload: await payloadOf(states, config, options),
    leaveOut: options.leaveOut ?? [],
    overrides: options.overrides ?? {},
    notCompared: options.notCompared ?? [],
    shorten,
    listings: options.listings ?? true,
    ...(callers ? { callers } : {}),
    ...(options.reviewed ? { reviewed: options.reviewed } : {}),
  });
}

/** Functions of the running program that the patch replaces and that other units can call by name. */
const globals = (states: readonly UnitState[]): readonly string[] => [
  ...new Set(
    states.flatMap((state) =>
      (state.result?.diff.functions ?? []).flatMap(({ base }) => (base && base.bind !== 'local' ? [base.name] : [])),
    ),
  ),
];

function isWorthTelling({ result, phase, stale }: UnitState): boolean {
  if (!result || phase === 'compileError' || phase === 'failed' || stale) return true;
  const { functions, data, types } = result.diff;
  return functions.length > 0 || data.length > 0 || types.length > 0 || result.findings.length > 0;
}

function unitOf(state: UnitState, shorten: (path: string) => string): ReportUnit {
  const { file } = state.unit.command;
  const problem =
    state.phase === 'compileError'
      ? 'does not compile'
      : state.phase === 'failed'
        ? (state.message ?? 'could not be built')
        : state.stale || state.phase === 'queued' || state.phase === 'building'
          ? 'is still being built: what is told of it is older than the text'
          : undefined;
  return {
    id: state.unit.id,
    file: shorten(file),
    ...(state.result ? { result: state.result } : {}),
    ...(problem === undefined ? {} : { problem }),
  };
}

function baselineOf({ baseline }: Config): string {
  return baseline.kind === 'git'
    ? `git:${baseline.revision}`
    : baseline.kind === 'folder'
      ? `folder:${baseline.path}`
      : 'start:';
}

async function payloadOf(
  states: readonly UnitState[],
  config: Config,
  { leaveOut, overrides, id, description }: ReportOptions,
): Promise<ReportPayload> {
  const outcome = await buildPatch(states, config, {
    ...(leaveOut ? { leaveOut } : {}),
    ...(overrides ? { overrides } : {}),
    ...(description ? { description } : {}),
    id: id ?? 'patch',
    now: new Date(0),
  }).catch((error: Error) => ({
    kind: 'refused' as const,
    refusals: [{ code: 'not-built', message: error.message } as Finding],
  }));
  if (outcome.kind === 'refused')
    return { kind: 'refused', reasons: outcome.refusals.map(({ code, message }) => ({ code, message })) };
  const { manifest, bytes } = outcome;
  const common = {
    kind: 'payload' as const,
    id: outcome.id,
    bytes: bytes.length,
    adds: manifest.adds,
    leftOut: manifest.leftOut,
  };
  return manifest.target === 'xen' ? { ...common, ...xenNeeds(manifest) } : { ...common, ...processNeeds(manifest) };
}

function xenNeeds(manifest: XenManifest) {
  return {
    limit: MAX_PAYLOAD,
    limitText: `Xen takes at most ${size(MAX_PAYLOAD)}`,
    ...(manifest.baseline.checked > 0 ? { baseline: manifest.baseline.text } : {}),
    modules: [
      { name: 'xen', buildId: manifest.xen, role: 'hypervisor' },
      ...(manifest.depends === manifest.xen
        ? []
        : [{ name: 'the payload below', buildId: manifest.depends, role: 'applied before it' }]),
    ],
    imports: manifest.imports.map((name) => ({ name, kind: 'symbol', where: 'by name, when it is uploaded' })),
  };
}

function processNeeds(manifest: Manifest) {
  const names = new Map(manifest.modules.map((each) => [each.buildId, basename(each.name)]));
  return {
    limit: PROCESS_LIMIT,
    limitText: `a process takes at most ${size(PROCESS_LIMIT)}`,
    modules: manifest.modules.map(({ name, buildId, role }) => ({ name: basename(name), buildId, role })),
    imports: manifest.imports.map((each) => ({
      name: each.name,
      kind: each.kind === 'unknown' ? 'function or data' : each.kind,
      where:
        each.module === undefined
          ? 'by name, when it is applied'
          : `in ${names.get(each.module) ?? each.module.slice(0, 12)}`,
    })),
  };
}
