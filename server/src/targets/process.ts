import { readFileSync } from 'node:fs';
import type { Payload } from '../core/payload/types.ts';
import { applyPayload } from './apply.ts';
import { HelperError, type SwitchOptions } from './helper.ts';
import { commandOf, isAlive, permissionAdvice, processesOf } from './procfs.ts';
import { revertPatch } from './revert.ts';
import type { AppliedPatch, StatusOptions, Target, TargetEvent, TargetStatus } from './types.ts';
import { verifyPatches } from './verify.ts';
import { Refusal, Visit } from './visit.ts';

/** How to find a process; the first that is given is used. */
export interface ProcessTargetOptions {
  readonly name: string;
  readonly pid?: number;
  /** File whose first word is the process id; read at each use, so that a restarted program is found again. */
  readonly pidFile?: string;
  /** Path of the executable. */
  readonly executable?: string;
  /** Path of livepatch-helper; looked for beside the program where absent. */
  readonly helper?: string;
  /** Bounds of the retries while old code is on a stack. */
  readonly switching?: SwitchOptions;
}

/** A running process of this machine as a target. Nothing is remembered here: each request asks the process. */
export function createProcessTarget(options: ProcessTargetOptions): Target & { readonly pid: () => number } {
  const pid = (): number => findPid(options);
  const visit = async <T>(work: (visit: Visit) => Promise<T>): Promise<T> => {
    const visited = await Visit.open(pid(), options.helper);
    try {
      return await work(visited);
    } finally {
      await visited.close();
    }
  };
  const event = async (work: (visit: Visit) => Promise<TargetEvent>): Promise<TargetEvent> => {
    try {
      return await visit(work);
    } catch (error) {
      // Whatever was found wrong with a process that ended meanwhile is wrong because it ended.
      if (options.pid !== undefined && !isAlive(options.pid))
        return { kind: 'refused', reason: 'dead', message: `Process ${options.pid} ended.` };
      return failure(error, options);
    }
  };
  return {
    name: options.name,
    kind: 'process',
    pid,
    apply: (payload: Payload['bytes'], signal?: AbortSignal) =>
      event((visited) => applyPayload(visited, payload, options.switching, signal)),
    revert: (id: string | undefined, signal?: AbortSignal) =>
      event((visited) => revertPatch(visited, id, options.switching, signal)),
    status: (looking?: StatusOptions) => statusOfTarget(options, looking ?? {}, visit),
  };
}

/** The process id; throws Refusal where there is none, or several. */
function findPid(options: ProcessTargetOptions): number {
  if (options.pid !== undefined) {
    if (!isAlive(options.pid)) throw new Refusal('dead', `There is no process ${options.pid}.`);
    return options.pid;
  }
  if (options.pidFile !== undefined) {
    let text: string;
    try {
      text = readFileSync(options.pidFile, 'utf8');
    } catch {
      throw new Refusal('dead', `${options.pidFile} cannot be read: the program seems not to run.`);
    }
    const pid = Number.parseInt(text, 10);
    if (!Number.isInteger(pid) || pid <= 0) throw new Refusal('dead', `${options.pidFile} holds no process id.`);
    if (!isAlive(pid)) throw new Refusal('dead', `${options.pidFile} names process ${pid}, which does not run.`);
    return pid;
  }
  if (options.executable !== undefined) {
    const found = processesOf(options.executable);
    if (found.length === 0) throw new Refusal('dead', `No process runs ${options.executable}.`);
    if (found.length > 1)
      throw new Refusal(
        'ambiguous',
        `Processes ${found.join(', ')} run ${options.executable}: name one by its process id.`,
      );
    return found[0]!;
  }
  throw new Refusal('dead', `Target ${options.name} names neither a process id, nor a pid file, nor an executable.`);
}

async function statusOfTarget(
  options: ProcessTargetOptions,
  { verify }: StatusOptions,
  visit: <T>(work: (visit: Visit) => Promise<T>) => Promise<T>,
): Promise<TargetStatus> {
  let pid: number;
  try {
    pid = findPid(options);
  } catch (error) {
    if (error instanceof Refusal) return { alive: false, patches: [], message: error.message };
    throw error;
  }
  const known = { pid, command: commandOf(pid) };
  try {
    const patches = await visit(async (visited): Promise<AppliedPatch[]> => {
      const found = await visited.patches();
      return verify ? verifyPatches(visited, found) : found.map(({ shown }) => shown);
    });
    return { alive: true, ...known, patches };
  } catch (error) {
    const { message } = failure(error, { ...options, pid });
    return { alive: isAlive(pid), ...known, patches: [], message };
  }
}

/** An exception as an event: a refusal where the target is untouched because of what it is, else a failure. */
function failure(error: unknown, options: ProcessTargetOptions): TargetEvent & { message: string } {
  if (error instanceof Refusal) return { kind: 'refused', reason: error.reason, message: error.message };
  if (!(error instanceof HelperError)) {
    const message = error instanceof Error ? error.message : String(error);
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ESRCH')
      return { kind: 'refused', reason: 'dead', message: `The process of ${options.name} ended.` };
    if (code === 'EACCES' || code === 'EPERM') return denied(options);
    return { kind: 'failed', reason: 'internal', message };
  }
  switch (error.reason) {
    case 'helper-missing':
      return {
        kind: 'failed',
        reason: 'helper-missing',
        message: 'livepatch-helper is not built: run `npm run native` (needs a C compiler and libunwind-dev).',
      };
    case 'denied':
      return denied(options);
    case 'traced':
      return {
        kind: 'refused',
        reason: 'traced',
        message: `The process of ${options.name} is traced by a debugger or another live patch tool: detach that first.`,
      };
    case 'gone':
      return {
        kind: 'refused',
        reason: 'dead',
        message: `The process of ${options.name} ended, or runs another program now.`,
      };
    case 'seccomp':
      return {
        kind: 'refused',
        reason: 'seccomp',
        message: `The process of ${options.name} filters its system calls (seccomp): memory for the patch cannot be mapped without the right to suspend the filter (CAP_SYS_ADMIN). Run as root.`,
      };
    case 'memory':
      return {
        kind: 'refused',
        reason: 'memory',
        message: `No memory could be mapped in the process of ${options.name} (errno ${error.errno}): its address space limit or a security policy forbids it.`,
      };
    case 'timeout':
      return {
        kind: 'refused',
        reason: 'busy',
        message: `No thread of ${options.name} could be stopped: all are in uninterruptible sleep. Try again later.`,
      };
    default:
      return { kind: 'failed', reason: error.reason, message: error.message };
  }
}

function denied(options: ProcessTargetOptions): TargetEvent & { message: string } {
  let pid = options.pid;
  try {
    pid ??= findPid(options);
  } catch {
    // It is gone; the general advice has to do.
  }
  const what = pid === undefined ? 'the process' : `process ${pid}`;
  return {
    kind: 'refused',
    reason: 'permission',
    message: `There is no permission to trace ${what}: ${pid === undefined ? 'run as root' : permissionAdvice(pid)}.`,
  };
}
