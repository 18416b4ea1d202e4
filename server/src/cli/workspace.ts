import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { verdictOf } from '../core/findings/catalogue.ts';
import type { Finding } from '../core/findings/types.ts';
import { createSession, isC, type Session } from '../session.ts';
import { BaselineError } from '../shell/baseline.ts';
import { canonical } from '../shell/commandIndex.ts';
import { CONFIG_FILE, type ConfigOverrides, hasCommands, loadConfig } from '../shell/config.ts';
import { isWithin } from '../shell/mirror.ts';
import type { Config, UnitState } from '../shell/types.ts';
import { CannotError, type CliContext } from './command.ts';
import { shortPath } from './describe.ts';
import type { Verdict } from './report.ts';
import { printable } from './text.ts';

/** Where a command works, and what it was told. */
export interface WorkspaceOptions {
  readonly cwd: string;
  /** `-p`. */
  readonly build: string | undefined;
  /** `--base`. */
  readonly base: string | undefined;
}

/** An open workspace; its session is to be disposed of. */
export interface Workspace {
  readonly config: Config;
  readonly configProblems: readonly string[];
  readonly session: Session;
}

/** The comparison of the working tree with the baseline. */
export interface TreeResult {
  /** Files that were asked about, or that differ from the baseline; absolute. */
  readonly files: readonly string[];
  /** Units that were rebuilt. */
  readonly units: readonly UnitState[];
  /** Files for which the build has no command. */
  readonly withoutCommand: readonly { readonly file: string; readonly message: string }[];
  /** New files that may belong to the build, which does not know them yet. */
  readonly newWithoutCommand: readonly { readonly file: string; readonly message: string }[];
  readonly findings: readonly Finding[];
  /** Undefined where a unit could not be compared, and no other one blocks. */
  readonly verdict: Verdict | undefined;
}

/** The folder that `cwd` belongs to: the nearest one above with livepatch.json, else with .git (of submodules without a build the repository around them), else the top of a Xen tree, else `cwd` itself. */
export function findRoot(cwd: string): string {
  for (const marker of [CONFIG_FILE, '.git']) {
    let inner: string | undefined;
    for (let folder = resolve(cwd); ; folder = dirname(folder)) {
      if (existsSync(join(folder, marker))) {
        // The build is that of the repository around it, unless the submodule has one of its own.
        if (marker === CONFIG_FILE || !isSubmodule(folder) || hasCommands(folder)) return folder;
        inner ??= folder;
      }
      if (dirname(folder) === folder) break;
    }
    if (inner !== undefined) return inner;
  }
  for (let folder = resolve(cwd); dirname(folder) !== folder; folder = dirname(folder))
    if (existsSync(join(folder, 'xen', 'common', 'livepatch.c'))) return folder;
  return resolve(cwd);
}

/** A folder that another repository holds: its `.git` is a file that names a folder of that one's. */
function isSubmodule(folder: string): boolean {
  try {
    return /^gitdir: .*\/modules\//.test(readFileSync(join(folder, '.git'), 'utf8'));
  } catch {
    return false;
  }
}

/** The configuration that holds for `cwd`, with what the command line sets over it. */
export async function openConfig(options: WorkspaceOptions): Promise<{ config: Config; problems: string[] }> {
  const overrides: ConfigOverrides = {
    cwd: options.cwd,
    ...(options.build === undefined ? {} : { buildDir: options.build }),
    ...(options.base === undefined ? {} : { base: options.base }),
  };
  return loadConfig(findRoot(options.cwd), overrides);
}

/** Opens the workspace with a session of its own. */
export async function openWorkspace(options: WorkspaceOptions): Promise<Workspace> {
  const { config, problems } = await openConfig(options);
  const session = await createSession(config, { watch: false, keepEdited: true });
  return { config, configProblems: problems, session };
}

/**
 * Rebuilds the units that `files` belong to (by default: every file that differs from the baseline) and waits for all of them.
 * Ctrl-C cancels the compilers.
 */
export async function compareTree(
  workspace: Workspace,
  files: readonly string[],
  context: CliContext,
): Promise<TreeResult> {
  const { config, session } = workspace;
  if (config.baseline.kind === 'start') {
    // A command that runs once would compare the files with themselves.
    throw new CannotError(
      `${config.root} is not under git, and no baseline is set: there is nothing to compare with. Give the original sources: --base DIR, or "baseline" in ${CONFIG_FILE}.`,
    );
  }
  for (const problem of workspace.configProblems) context.err(`livepatch: ${problem}\n`);
  const paths = await wantedFiles(workspace, files, context.cwd);
  const withoutCommand: { file: string; message: string }[] = [];
  const errors = new Set<string>();
  const progress = progressLine(context);
  const stopListening = session.on((event) => {
    if (event.kind === 'noCommand') withoutCommand.push({ file: event.file, message: event.message });
    if (event.kind === 'progress') progress(`${event.title} ${event.done}/${event.total}`);
    if (event.kind === 'progressEnd') progress('');
    if (event.kind === 'log' && context.env.LIVEPATCH_TRACE) context.err(`${event.text}\n`);
    else if (event.kind === 'log' && event.level === 'error') errors.add(event.text);
  });
  const cancel = () => session.cancel();
  context.signal.addEventListener('abort', cancel);
  try {
    for (const path of paths) session.saved(path);
    await session.idle();
  } finally {
    context.signal.removeEventListener('abort', cancel);
    stopListening();
    progress('');
  }
  if (context.signal.aborted) throw new CannotError('Cancelled.');
  const newWithoutCommand = files.length > 0 ? [] : await session.uncompiled();
  // Only what was rebuilt: the session may know of more.
  const units = session.units().filter((unit) => unit.phase !== 'idle');
  // What a unit says itself is not said twice.
  for (const text of errors) if (!units.some(({ message }) => message === text)) context.err(`${text}\n`);
  const verdicts = units.map(unitVerdict);
  // Where nothing was found and something could not be compared, nothing is said of what was edited.
  const isBlind = verdicts.every((one) => one === 'unchanged') && (withoutCommand.length > 0 || errors.size > 0);
  const verdict = isBlind ? undefined : overall(verdicts);
  return {
    files: paths,
    units,
    withoutCommand,
    newWithoutCommand,
    findings: units.flatMap((unit) => unit.result?.findings ?? []),
    verdict,
  };
}

/** Notes about new files that were not looked at; empty where there are none. */
export function newFilesText({ newWithoutCommand }: TreeResult): string {
  const told = newWithoutCommand.slice(0, MANY).map(({ message }) => `Not looked at: ${printable(message)}\n`);
  const more = newWithoutCommand.length - told.length;
  return more > 0 ? `${told.join('')}Not looked at: ${more} other new files without a command.\n` : told.join('');
}

/** So many new files are named one by one. */
const MANY = 5;

/** Files that say how things are built: what an edit of them changes shows only in the commands of the next build. */
const ofTheBuild = /(^|\/)(GNUmakefile|[Mm]akefile|Kbuild|Kconfig[^/]*|CMakeLists\.txt|meson\.build)$|\.(mk|cmake)$/;

/** What to say of edited files that nothing was compared of; empty where there are none. */
export function unseenText(files: readonly string[], cwd: string): string {
  const unseen = files.filter((file) => ofTheBuild.test(file)).map((file) => printable(shortPath(file, cwd)));
  return unseen.length === 0
    ? ''
    : `Not looked at: ${unseen.join(', ')}. What ${unseen.length === 1 ? 'it changes' : 'they change'} shows when the build has run.\n`;
}

/** The files that were named, of folders what differs in them; by default all that differs. */
async function wantedFiles(workspace: Workspace, named: readonly string[], cwd: string): Promise<readonly string[]> {
  if (named.length === 0) return changedFiles(workspace);
  const wanted = new Set<string>();
  for (const path of named.map((file) => resolve(cwd, file))) {
    const info = statSync(path, { throwIfNoEntry: false });
    if (!info) throw new CannotError(`${path} does not exist.`);
    if (!info.isDirectory()) wanted.add(path);
    else
      for (const changed of await changedFiles(workspace))
        if (isWithin(changed, canonical(join(path, '.')))) wanted.add(changed);
  }
  return [...wanted];
}

/** Files that differ from the baseline; of those that were deleted what a compiler reads. */
async function changedFiles({ session }: Workspace): Promise<string[]> {
  try {
    return (await session.changedFiles()).filter((path) => existsSync(path) || isC(path));
  } catch (error) {
    if (error instanceof BaselineError) throw new CannotError(error.message);
    throw error;
  }
}

/** Verdict of one unit; undefined where it could not be compared. */
export function unitVerdict(unit: UnitState): Verdict | undefined {
  if (unit.phase !== 'ready' || !unit.result) return undefined;
  return verdictOf(unit.result.diff, unit.result.findings);
}

function overall(verdicts: readonly (Verdict | undefined)[]): Verdict | undefined {
  if (verdicts.includes('blocked')) return 'blocked';
  if (verdicts.includes(undefined)) return undefined;
  return verdicts.includes('patchable') ? 'patchable' : 'unchanged';
}

/** One line on standard error that is written over; nothing where that is no terminal. */
export function progressLine(context: CliContext): (text: string) => void {
  if (!context.colour || !process.stderr.isTTY) return () => {};
  return (text) => context.err(`\r\u001b[K${text}`);
}
