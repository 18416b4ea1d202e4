import { setTimeout as sleep } from 'node:timers/promises';
import { readElf } from '../core/elf/index.ts';
import { readXenManifest } from '../core/payload/xen.ts';
import { MAX_PAYLOAD } from '../core/payload/xen-format.ts';
import { readFuncs } from '../core/payload/xen-symbols.ts';
import { lastLines, type RunResult } from './transport/local.ts';
import type { SshTransport } from './transport/ssh.ts';
import type { Target, TargetEvent, TargetStatus } from './types.ts';
import { type Answer, whyNoAnswer, withoutLogins } from './xen-answer.ts';
import { eventsOf } from './xen-events.ts';
import { explainRefusal, type XenAction } from './xen-reasons.ts';
import { completed, newWords, readBuildId, readList, readSteps, script } from './xen-script.ts';
import { functionsOf, memoryNote, statusOf } from './xen-status.ts';

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
      /** How often it was tried: the processors have to be brought to rest within 30 ms. */
      readonly attempts?: number;
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

/** What a hypervisor says of itself. */
export interface XenList {
  readonly patches: readonly XenPatch[];
  /** Its build id, hexadecimal, where domain 0 may know it. */
  readonly buildId?: string;
}

/** A hypervisor reached over ssh, as domain 0's root. */
export interface XenTarget extends Target {
  readonly kind: 'xen';
  list(signal?: AbortSignal): Promise<XenList | { reason: string; message: string }>;
  /** Uploads only: the payload is checked, and not applied. `id`: its name, for a payload that another tool wrote. */
  upload(payload: Uint8Array, signal?: AbortSignal, id?: string): Promise<XenResult>;
  /** Uploads and applies; what cannot be applied is unloaded again. */
  load(payload: Uint8Array, signal?: AbortSignal): Promise<XenResult>;
  /** Uploads, and applies in place of everything that is applied, in one step. */
  replaceWith(payload: Uint8Array, signal?: AbortSignal): Promise<XenResult>;
  /** One action on a payload that is there. */
  act(action: 'apply' | 'revert' | 'unload' | 'replace', id: string, signal?: AbortSignal): Promise<XenResult>;
  /** `replace`: in place of everything that is applied, in one step. */
  apply(payload: Uint8Array, signal?: AbortSignal, how?: { readonly replace?: boolean }): Promise<TargetEvent>;
  /** `keep`: the payload stays uploaded, and can be applied again. */
  revert(id: string | undefined, signal?: AbortSignal, how?: { readonly keep?: boolean }): Promise<TargetEvent>;
  /** Steps of Xen's state machine that `apply` and `revert` take several of, told as events. */
  step(step: XenStep, signal?: AbortSignal): Promise<TargetEvent>;
}

/** One step of Xen's state machine. */
export type XenStep =
  | { readonly action: 'upload'; readonly payload: Uint8Array }
  | { readonly action: 'apply' | 'replace' | 'unload'; readonly id: string };

/** Why a payload is not sent. */
export interface XenObjection {
  readonly kind: 'refused' | 'failed';
  readonly reason: string;
  readonly message: string;
}

/** A hypervisor that answers. */
export interface XenConnection {
  readonly ssh: SshTransport;
  /** Its serial console, where this machine has it; else `xl dmesg` is asked. */
  readonly console?: (offset: number) => Promise<{ text: string; size: number }>;
  /** Why it is not there any more, as a part of a sentence, where this machine can tell; asked when the connection broke. */
  readonly gone?: () => Promise<string | undefined>;
}

/** How to reach a hypervisor. */
export interface XenTargetOptions {
  readonly name: string;
  /** The way there, asked for before each action: a virtual machine may have been started anew. Throws a sentence where there is none. */
  readonly connect: () => Promise<XenConnection> | XenConnection;
  /** Shell command that shows whether the patch took, run there before and after. */
  readonly verify?: string;
  /**
   * What is listed in the order of the stack, the lowest first, what is not applied last. Absent: in the order in which the hypervisor lists, which
   * is that of the uploads.
   */
  readonly order?: (listed: XenList) => Promise<readonly XenPatch[]>;
  /** Called with each payload before anything of it is sent: what it returns stands in the way. */
  readonly prepare?: (payload: Uint8Array) => Promise<XenObjection | undefined>;
  /** Seconds for one action. 60 where absent. */
  readonly seconds?: number;
}

/** What is asked of the hypervisor when a payload is sent, by the script's action. */
const SENDING = {
  upload: ['upload'],
  load: ['upload', 'apply'],
  'replace-with': ['upload', 'replace'],
} as const satisfies Readonly<Record<string, readonly XenAction[]>>;
type Sending = keyof typeof SENDING;

/** Tries of an action while the hypervisor is busy, and the pause before the second one, doubled each time (ms). */
const TRIES = 6;
const PAUSE = 50;

/** Name of a payload that livepatch wrote, and how many functions it replaces; or why the file is none, as a sentence. */
export function payloadName(payload: Uint8Array): { id: string; functions: number } | { message: string } {
  const { elf, problems } = readElf(payload);
  if (!elf)
    return { message: `The file is no payload: ${(problems[0]?.message ?? 'not an ELF file').replace(/\.$/, '')}.` };
  const manifest = readXenManifest(elf);
  if (!manifest)
    return {
      message: problems[0]
        ? `The file is damaged: ${problems[0].message.replace(/\.$/, '')}. It was cut off, or is no payload: copy it again, or build it again.`
        : 'The file is no payload for Xen that livepatch wrote: it has no readable manifest.',
    };
  return { id: manifest.id, functions: readFuncs(elf).length };
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
      return { run, steps: [], console: '', tail: '', where: name };
    }
    const { ssh, console: serial } = connection;
    const before = (await serial?.(Number.MAX_SAFE_INTEGER))?.size ?? 0;
    const size = String(payload?.length ?? 0);
    const run = await ssh.script(script, [action, id, options.verify ?? '', serial ? 'no-dmesg' : '', size], {
      seconds,
      signal,
      ...(payload ? { input: payload } : {}),
    });
    const steps = readSteps(run.stdout);
    const said = (name: string): string => steps.find((step) => step.name === name && step.status === 0)?.output ?? '';
    let console = newWords(said('console-before'), said('console'));
    if (serial) {
      // The last words may still be on their way over the serial line.
      if (run.status !== 0 || steps.some((step) => step.status > 0 && !step.name.startsWith('console')))
        await sleep(150);
      console = (await serial(before)).text;
    }
    const tail = run.status !== 0 && serial ? lastLines(withoutLogins((await serial(0)).text), 12) : '';
    const gone = run.status === 255 ? await connection.gone?.() : undefined;
    return { run, steps, console, tail, gone, where: ssh.destination };
  };

  /** Tries again while the processors could not be brought to rest in time, with longer and longer pauses. */
  const perform = async (
    action: string,
    id: string,
    wanted: readonly XenAction[],
    payload?: Uint8Array,
    signal?: AbortSignal,
  ): Promise<XenResult> => {
    for (let attempt = 1; ; attempt++) {
      const result = await once(action, id, wanted, payload, signal);
      if (result.kind === 'done') return { ...result, attempts: attempt };
      const passing = result.kind === 'refused' && (result.reason === 'quiesce-timeout' || result.reason === 'busy');
      if (!passing || signal?.aborted) return result;
      if (attempt >= TRIES) return { ...result, message: `${result.message} Tried ${attempt} times.` };
      await sleep(PAUSE * 2 ** attempt, undefined, signal ? { signal } : {}).catch(() => {});
    }
  };

  const once = async (
    action: string,
    id: string,
    wanted: readonly XenAction[],
    payload?: Uint8Array,
    signal?: AbortSignal,
  ): Promise<XenResult> => {
    // The hypervisor says only that the argument is invalid.
    if (payload && payload.length > MAX_PAYLOAD) {
      const message = `Nothing was sent: ${id} has ${payload.length} bytes, and Xen takes at most ${MAX_PAYLOAD} (2 MiB).`;
      return { kind: 'refused', reason: 'too-large', message, lines: [], list: [] };
    }
    const answer = await call(action, id, payload, signal);
    const none = whyNoAnswer(answer, name, seconds);
    if (none) return { kind: 'failed', ...none, lines: [], list: [] };
    const { steps } = answer;
    const list = readList(steps.find((step) => step.name === 'list')?.output ?? '');
    for (const one of wanted) {
      const step = steps.find((candidate) => candidate.name === one);
      if (completed(step)) continue;
      const refusal = explainRefusal(one, id, `${step?.output ?? ''}\n${answer.run.stderr}`, answer.console);
      const runs = list.some((patch) => patch.id === id && patch.state === 'applied');
      const message = refusal.reason === 'already-uploaded' && runs ? runsAlready(id) : refusal.message;
      return { kind: 'refused', ...refusal, message, list };
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

  /** Name and number of functions of a payload that may be sent, or why it may not. */
  const prepared = async (
    payload: Uint8Array,
  ): Promise<XenObjection | { readonly id: string; readonly functions: number }> => {
    const known = payloadName(payload);
    if ('message' in known) return { kind: 'refused', reason: 'damaged-file', message: known.message };
    return (await options.prepare?.(payload)) ?? known;
  };

  const send = async (
    action: Sending,
    payload: Uint8Array,
    signal?: AbortSignal,
    given?: string,
  ): Promise<XenResult> => {
    const known = given === undefined ? await prepared(payload) : ((await options.prepare?.(payload)) ?? { id: given });
    if ('kind' in known) return { ...known, lines: [], list: [] };
    return perform(action, known.id, SENDING[action], payload, signal);
  };

  const inOrder = async (listed: XenList): Promise<readonly XenPatch[]> =>
    options.order ? options.order(listed) : listed.patches;

  const runsAlready = (id: string): string =>
    `${name} runs ${id} already. To apply another build of it, revert it first, or build that one under another name (--id).`;

  const told = eventsOf(name, options.verify);
  /** Names of what is applied; or why that is not known. */
  const applied = async (signal?: AbortSignal): Promise<readonly string[] | (TargetEvent & { kind: 'failed' })> => {
    const listed = await target.list(signal);
    if (!('patches' in listed)) return { kind: 'failed', reason: listed.reason, message: listed.message };
    return (await inOrder(listed)).filter(({ state }) => state === 'applied').map(({ id }) => id);
  };

  const target: XenTarget = {
    name,
    kind: 'xen',
    async list(signal) {
      const answer = await call('list', '', undefined, signal);
      const none = whyNoAnswer(answer, name, seconds);
      if (none) return none;
      const step = answer.steps.find((one) => one.name === 'list');
      if (step?.status !== 0 || !/Nothing to list|\| status/.test(step.output))
        return explainRefusal('list', '', step?.output ?? answer.run.stderr, answer.console);
      const buildId = readBuildId(answer.steps.find((one) => one.name === 'buildid')?.output ?? '');
      return { patches: readList(step.output), ...(buildId === undefined ? {} : { buildId }) };
    },
    upload: (payload, signal, id) => send('upload', payload, signal, id),
    load: (payload, signal) => send('load', payload, signal),
    replaceWith: (payload, signal) => send('replace-with', payload, signal),
    act: (action, id, signal) => perform(action, id, [action], undefined, signal),
    async apply(payload, signal, { replace = false } = {}) {
      const known = await prepared(payload);
      if ('kind' in known) return known;
      const listed = await target.list(signal);
      if (!('patches' in listed)) return { kind: 'failed', reason: listed.reason, message: listed.message };
      if (listed.patches.some((patch) => patch.id === known.id && patch.state === 'applied'))
        return {
          kind: 'refused',
          reason: 'already-uploaded',
          message: runsAlready(known.id),
        };
      // Reverted before and still there: it is unloaded, so that the bytes at hand are the ones that are applied.
      if (listed.patches.some((patch) => patch.id === known.id && patch.state === 'checked'))
        await target.act('unload', known.id, signal);
      const action = replace ? 'replace-with' : 'load';
      const result = await perform(action, known.id, SENDING[action], payload, signal);
      const before = listed.patches.filter(({ state }) => state === 'applied').map(({ id }) => id);
      return told.applied(result, known.functions, replace ? before : undefined);
    },
    async revert(id, signal, { keep = false } = {}) {
      let wanted = id;
      if (wanted === undefined) {
        const stack = await applied(signal);
        if ('kind' in stack) return stack;
        wanted = stack.at(-1);
        if (wanted === undefined)
          return { kind: 'refused', reason: 'nothing-applied', message: `No patch is applied to ${name}.` };
      }
      const result = await target.act('revert', wanted, signal);
      if (result.kind !== 'done' || keep) return told.reverted(result, false);
      // Out of the hypervisor altogether: what stays uploaded would only block the next upload of that name.
      const gone = await target.act('unload', wanted, signal);
      return told.reverted(result, gone.kind === 'done');
    },
    async step(step, signal) {
      if (step.action === 'upload') return told.uploaded(await send('upload', step.payload, signal));
      const { action, id } = step;
      if (action === 'unload') return told.unloaded(await target.act('unload', id, signal));
      const before = action === 'replace' ? await applied(signal) : undefined;
      if (before && 'kind' in before) return before;
      const result = await target.act(action, id, signal);
      const patch = result.list.find((each) => each.id === id);
      return told.applied(result, patch ? functionsOf(patch).length : 0, before);
    },
    async status({ verify = false } = {}): Promise<TargetStatus> {
      const listed = await target.list();
      if (!('patches' in listed)) return { alive: false, message: listed.message, patches: [] };
      const patches = statusOf(await inOrder(listed));
      return { alive: true, command: 'Xen', patches, ...(verify ? { note: memoryNote } : {}) };
    },
  };
  return target;
}
