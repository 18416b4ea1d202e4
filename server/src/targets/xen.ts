import { setTimeout as sleep } from 'node:timers/promises';
import { readElf } from '../core/elf/index.ts';
import { readXenManifest } from '../core/payload/xen.ts';
import { readFuncs } from '../core/payload/xen-symbols.ts';
import type { RunResult } from './transport/local.ts';
import type { SshTransport } from './transport/ssh.ts';
import type { AppliedPatch, Target, TargetEvent, TargetStatus } from './types.ts';
import { explainRefusal, type XenAction } from './xen-reasons.ts';

/** States of a payload in the hypervisor, and what may be done in each (common/livepatch.c). */
export const legalActions: Readonly<Record<'checked' | 'applied', readonly XenAction[]>> = {
  checked: ['apply', 'replace', 'unload'],
  applied: ['revert'],
};

/** A payload in the hypervisor. */
export interface XenPatch {
  readonly id: string;
  readonly state: 'checked' | 'applied';
  /** Error number of the last action; 0 = none. */
  readonly error: number;
  /** `name=value` strings that the payload carries, e.g. `patch`, `description`, `functions`. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** What became of an action on the hypervisor. `output` is what xen-livepatch printed. */
export type XenResult =
  | {
      readonly kind: 'done';
      readonly id: string;
      readonly output: string;
      /** Payloads afterwards, as the hypervisor lists them. */
      readonly list: readonly XenPatch[];
      /** Output of the user's own command, before and after. */
      readonly verify?: { readonly before: string; readonly after: string };
    }
  | {
      readonly kind: 'refused' | 'failed';
      readonly reason: string;
      readonly message: string;
      readonly lines: readonly string[];
      readonly list: readonly XenPatch[];
    };

/** A hypervisor reached over ssh, as domain 0's root. */
export interface XenTarget extends Target {
  readonly kind: 'xen';
  list(signal?: AbortSignal): Promise<{ patches: readonly XenPatch[] } | { reason: string; message: string }>;
  /** Uploads only: the payload is checked, and not applied. `id`: its name, for a payload that another tool wrote. */
  upload(payload: Uint8Array, signal?: AbortSignal, id?: string): Promise<XenResult>;
  /** Uploads and applies; what cannot be applied is unloaded again. */
  load(payload: Uint8Array, signal?: AbortSignal): Promise<XenResult>;
  /** Uploads, and applies in place of everything that is applied, in one step. */
  replaceWith(payload: Uint8Array, signal?: AbortSignal): Promise<XenResult>;
  /** One action on a payload that is there. */
  act(action: 'apply' | 'revert' | 'unload' | 'replace', id: string, signal?: AbortSignal): Promise<XenResult>;
}

/** A hypervisor that answers. */
export interface XenConnection {
  readonly ssh: SshTransport;
  /** Its serial console, where this machine has it; else `xl dmesg` is asked. */
  readonly console?: (offset: number) => Promise<{ text: string; size: number }>;
}

/** How to reach a hypervisor. */
export interface XenTargetOptions {
  readonly name: string;
  /** The way there, asked for before each action: a virtual machine may have been started anew. Throws a sentence where there is none. */
  readonly connect: () => Promise<XenConnection> | XenConnection;
  /** Shell command that shows whether the patch took, run there before and after. */
  readonly verify?: string;
  /** Seconds for one action. 60 where absent. */
  readonly seconds?: number;
}

/**
 * Runs there, `sh -c`: $1 the action (list, upload, load, replace-with, apply, revert, unload, replace), $2 the payload's name, $3 the verify
 * command. A payload comes through standard input. Prints each step between marks, with its exit status.
 */
const script = `
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
root=
[ "$(id -u)" = 0 ] || root="sudo -n"
tool=$(command -v xen-livepatch)
[ -n "$tool" ] || for tool in /usr/lib/xen-*/bin/xen-livepatch /usr/libexec/xen/bin/xen-livepatch; do [ -x "$tool" ] && break; done
[ -x "$tool" ] || { echo "@@no-tool"; exit 0; }
step() { echo "@@begin $1"; shift; "$@" 2>&1; echo; echo "@@end $?"; }
lp() { step "$1" $root "$tool" "$@"; }
verify() { [ -z "$verify" ] || step "$1" sh -c "$verify"; }
list() { lp list; }
action=$1 name=$2 verify=$3
case $action in
list) list ;;
upload|load|replace-with)
  file=$(mktemp) || exit 1
  trap 'rm -f "$file"' EXIT
  cat > "$file"
  verify verify-before
  result=$(lp upload "$name" "$file"); echo "$result"
  case $result in *completed*)
    if [ "$action" != upload ]; then
      next=apply; [ "$action" = replace-with ] && next=replace
      result=$(lp $next "$name"); echo "$result"
      case $result in *completed*|*"No action needed"*) ;; *) lp unload "$name" ;; esac
    fi ;;
  esac
  list
  verify verify-after ;;
*)
  verify verify-before
  result=$(lp "$action" "$name"); echo "$result"
  list
  verify verify-after ;;
esac
[ "$4" = no-dmesg ] || step console $root xl dmesg
`;

/** What a step of the script printed. */
interface Step {
  readonly name: string;
  readonly status: number;
  readonly output: string;
}

/** Steps between the script's marks; unfinished ones have status -1. */
export function readSteps(text: string): Step[] {
  const steps: Step[] = [];
  for (const part of text.split(/^@@begin /m).slice(1)) {
    const name = part.slice(0, part.indexOf('\n'));
    const end = /\n@@end (\d+)\s*$/m.exec(part);
    steps.push({
      name,
      status: end ? Number(end[1]) : -1,
      output: part.slice(name.length + 1, end?.index ?? part.length).trimEnd(),
    });
  }
  return steps;
}

/** Reads what `xen-livepatch list` prints: ` ID | status | metadata` below two lines of heading. */
export function readList(text: string): XenPatch[] {
  const found: XenPatch[] = [];
  for (const line of text.split('\n')) {
    const match = /^(\S+)\s*\| (CHECKED|APPLIED)(?: \((\d+),[^|]*\))?\s*\|\s?(.*)$/.exec(line);
    if (!match) continue;
    const pairs = match[4]!.split(';').filter((pair) => pair.includes('='));
    found.push({
      id: match[1]!,
      state: match[2] === 'APPLIED' ? 'applied' : 'checked',
      error: Number(match[3] ?? 0),
      metadata: new Map(pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)])),
    });
  }
  return found;
}

/** Did the tool say that it was done? Its exit status alone does not tell: without a hypervisor it ends with 0. */
const completed = (step: Step | undefined): boolean =>
  step !== undefined && step.status === 0 && /completed|No action needed/.test(step.output);

/** What the script printed, and what the console said meanwhile. */
interface Answer {
  readonly run: RunResult;
  readonly steps: readonly Step[];
  readonly console: string;
  /** For messages: the host. */
  readonly where: string;
}

/** A target that is a hypervisor. */
export function createXenTarget(options: XenTargetOptions): XenTarget {
  const { name } = options;
  const seconds = options.seconds ?? 60;

  const call = async (
    action: string,
    id: string,
    payload: Uint8Array | undefined,
    signal?: AbortSignal,
  ): Promise<Answer> => {
    let connection: XenConnection;
    try {
      connection = await options.connect();
    } catch (error) {
      const run: RunResult = { status: 255, stdout: '', stderr: (error as Error).message };
      return { run, steps: [], console: '', where: name };
    }
    const { ssh, console: serial } = connection;
    const before = (await serial?.(Number.MAX_SAFE_INTEGER))?.size ?? 0;
    const run = await ssh.script(script, [action, id, options.verify ?? '', serial ? 'no-dmesg' : ''], {
      seconds,
      signal,
      ...(payload ? { input: payload } : {}),
    });
    const steps = readSteps(run.stdout);
    let console = steps.find((step) => step.name === 'console' && step.status === 0)?.output ?? '';
    if (serial) {
      // The last words may still be on their way over the serial line.
      if (steps.some((step) => step.status > 0 && step.name !== 'console')) await sleep(150);
      console = (await serial(before)).text;
    }
    return { run, steps, console, where: ssh.destination };
  };

  /** Why nothing was even tried, where that is so. */
  const unreachable = ({ run, where }: Answer): { reason: string; message: string } | undefined => {
    if (run.ended === 'cancelled')
      return { reason: 'cancelled', message: `Cancelled. The list of ${name} tells what was done.` };
    if (run.ended === 'timeout')
      return {
        reason: 'timeout',
        message: `${name} gave no answer in ${seconds} s. What was under way may still happen there: look at the list.`,
      };
    if (run.status === 255)
      return {
        reason: 'unreachable',
        message: `${where} does not answer: ${run.stderr.trim().split('\n').at(-1) || 'ssh gave no reason'}`,
      };
    if (run.status === 127)
      return { reason: 'no-ssh', message: 'There is no ssh program here: sudo apt-get install openssh-client' };
    if (run.stdout.includes('@@no-tool'))
      return {
        reason: 'no-tool',
        message: `${where} has no xen-livepatch: install Xen's tools there (Debian: xen-utils), of the hypervisor's version.`,
      };
    if (run.stdout.trim() === '')
      return {
        reason: 'failed',
        message: `${where}: ${run.stderr.trim().split('\n').at(-1) || 'no answer'}`,
      };
    return undefined;
  };

  const perform = async (
    action: string,
    id: string,
    wanted: readonly XenAction[],
    payload?: Uint8Array,
    signal?: AbortSignal,
  ): Promise<XenResult> => {
    const answer = await call(action, id, payload, signal);
    const none = unreachable(answer);
    if (none) return { kind: 'failed', ...none, lines: [], list: [] };
    const { steps } = answer;
    const list = readList(steps.find((step) => step.name === 'list')?.output ?? '');
    for (const one of wanted) {
      const step = steps.find((candidate) => candidate.name === one);
      if (completed(step)) continue;
      const refusal = explainRefusal(one, id, `${step?.output ?? ''}\n${answer.run.stderr}`, answer.console);
      return { kind: 'refused', ...refusal, list };
    }
    const last = wanted.at(-1)!;
    const now = list.find((patch) => patch.id === id)?.state;
    const expected = last === 'unload' ? undefined : last === 'apply' || last === 'replace' ? 'applied' : 'checked';
    if (now !== expected) {
      return {
        kind: 'failed',
        reason: 'not-taken',
        message: `The tool said that it was done, but the hypervisor lists ${id} as ${now ?? 'absent'}.`,
        lines: [],
        list,
      };
    }
    const output = (step: string): string => steps.find((candidate) => candidate.name === step)?.output ?? '';
    return {
      kind: 'done',
      id,
      output: wanted.map(output).join('\n'),
      list,
      ...(options.verify ? { verify: { before: output('verify-before'), after: output('verify-after') } } : {}),
    };
  };

  const nameOf = (payload: Uint8Array): { id: string; functions: number } | { message: string } => {
    const { elf, problems } = readElf(payload);
    if (!elf) return { message: `The file is no payload: ${problems[0]?.message ?? 'not an ELF file'}.` };
    const manifest = readXenManifest(elf);
    if (!manifest)
      return { message: 'The file is no payload for Xen that livepatch wrote: it has no readable manifest.' };
    return { id: manifest.id, functions: readFuncs(elf).length };
  };

  const send = async (
    action: 'upload' | 'load' | 'replace-with',
    payload: Uint8Array,
    wanted: readonly XenAction[],
    signal?: AbortSignal,
  ): Promise<XenResult> => {
    const known = nameOf(payload);
    if ('message' in known)
      return { kind: 'refused', reason: 'damaged-file', message: known.message, lines: [], list: [] };
    return perform(action, known.id, wanted, payload, signal);
  };

  const verifyText = (result: XenResult): string =>
    result.kind === 'done' && result.verify
      ? ` ${options.verify}: ${result.verify.before || '(nothing)'} → ${result.verify.after || '(nothing)'}`
      : '';
  const event = (result: XenResult, made: (result: XenResult & { kind: 'done' }) => TargetEvent): TargetEvent =>
    result.kind === 'done' ? made(result) : { kind: result.kind, reason: result.reason, message: result.message };

  const target: XenTarget = {
    name,
    kind: 'xen',
    async list(signal) {
      const answer = await call('list', '', undefined, signal);
      const none = unreachable(answer);
      if (none) return none;
      const step = answer.steps.find((one) => one.name === 'list');
      if (step?.status !== 0 || !/Nothing to list|\| status/.test(step.output))
        return explainRefusal('list', '', step?.output ?? answer.run.stderr, answer.console);
      return { patches: readList(step.output) };
    },
    upload: (payload, signal, id) =>
      id === undefined
        ? send('upload', payload, ['upload'], signal)
        : perform('upload', id, ['upload'], payload, signal),
    load: (payload, signal) => send('load', payload, ['upload', 'apply'], signal),
    replaceWith: (payload, signal) => send('replace-with', payload, ['upload', 'replace'], signal),
    act: (action, id, signal) => perform(action, id, [action], undefined, signal),
    async apply(payload, signal) {
      const known = nameOf(payload);
      if ('message' in known) return { kind: 'refused', reason: 'damaged-file', message: known.message };
      const listed = await target.list(signal);
      if (!('patches' in listed)) return { kind: 'failed', reason: listed.reason, message: listed.message };
      // Reverted before and still there: it is unloaded, so that the bytes at hand are the ones that are applied.
      if (listed.patches.some((patch) => patch.id === known.id && patch.state === 'checked'))
        await target.act('unload', known.id, signal);
      const result = await target.load(payload, signal);
      return event(result, () => ({
        kind: 'applied',
        id: known.id,
        functions: known.functions,
        stopMicroseconds: 0,
        attempts: 1,
        message: `${name} runs ${known.id}: ${known.functions} function${known.functions === 1 ? '' : 's'} replaced.${verifyText(result)}`,
      }));
    },
    async revert(id, signal) {
      let wanted = id;
      if (wanted === undefined) {
        const listed = await target.list(signal);
        if (!('patches' in listed)) return { kind: 'failed', reason: listed.reason, message: listed.message };
        wanted = listed.patches.filter((patch) => patch.state === 'applied').at(-1)?.id;
        if (wanted === undefined)
          return { kind: 'refused', reason: 'nothing-applied', message: `No patch is applied to ${name}.` };
      }
      const result = await target.act('revert', wanted, signal);
      if (result.kind !== 'done') return { kind: result.kind, reason: result.reason, message: result.message };
      // Out of the hypervisor altogether: what stays uploaded would only block the next upload of that name.
      const gone = await target.act('unload', wanted, signal);
      return event(result, () => ({
        kind: 'reverted',
        id: wanted,
        stopMicroseconds: 0,
        attempts: 1,
        message: `${name} runs the old code again; ${wanted} is ${gone.kind === 'done' ? 'unloaded' : 'still uploaded'}.${verifyText(result)}`,
      }));
    },
    async status(): Promise<TargetStatus> {
      const listed = await target.list();
      if (!('patches' in listed)) return { alive: false, message: listed.message, patches: [] };
      return { alive: true, command: 'Xen', patches: listed.patches.map(patchStatus) };
    },
  };
  return target;
}

function patchStatus(patch: XenPatch, order: number): AppliedPatch {
  const functions = patch.metadata.get('functions')?.split(',') ?? [];
  return {
    id: patch.id,
    description: patch.metadata.get('description') ?? '',
    state: patch.state,
    order,
    appliedAt: '',
    functions: functions.map((function_) => ({
      name: function_,
      oldAddress: '',
      newAddress: '',
      redirected: patch.state === 'applied',
    })),
  };
}
