import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import * as l10n from '@vscode/l10n';
import { acceptedSymbol } from '../core/findings/accept.ts';
import type { Finding } from '../core/findings/types.ts';
import { describePayload } from '../core/render/inspect.ts';
import { buildPatch, targetsOf } from '../patch.ts';
import type { ActionResult, Choices, TargetItem, XenRequest } from '../protocol.ts';
import type { Session } from '../session.ts';
import { writeAcceptance } from '../shell/accept.ts';
import type { Target, TargetEvent } from '../targets/types.ts';
import type { XenTarget } from '../targets/xen.ts';
import type { Keeper } from './keeper.ts';
import { editTexts, takeBuilt } from './lastBuilt.ts';
import { consoleText, performXen, xenTargetItem } from './xenActions.ts';

/** Larger than any payload that is built here. */
const MAX_PAYLOAD = 256 << 20;

const noSession = (): ActionResult => ({
  ok: false,
  message: l10n.t('No session is open: open a C source of a folder that is trusted and has a compile_commands.json.'),
});

/** Markdown list of why there is no payload. */
function refusalText(refusals: readonly Finding[]): string {
  const lines = refusals.map(
    ({ code, symbol, message }) => `- **${code}**${symbol ? ` (\`${symbol}\`)` : ''}: ${message}`,
  );
  return `# ${l10n.t('The patch was not built')}\n\n${lines.join('\n')}\n`;
}

const functionsText = (number: number): string =>
  number === 1 ? l10n.t('1 function') : l10n.t('{0} functions', number);

/** What happened on a target, in a sentence. */
function eventResult(event: TargetEvent, target: Target): ActionResult {
  // Targets other than processes have a sentence of their own: nothing about threads that stood still.
  if ((event.kind === 'applied' || event.kind === 'reverted') && event.message !== undefined)
    return { ok: true, id: event.id, message: event.message };
  switch (event.kind) {
    case 'uploaded':
    case 'unloaded':
      return { ok: true, id: event.id, message: event.message };
    case 'applied': {
      const attempts = event.attempts > 1 ? ` ${l10n.t('(at attempt {0})', event.attempts)}` : '';
      const functions = functionsText(event.functions);
      return {
        ok: true,
        id: event.id,
        message: `${l10n.t('{0} runs the new code of {1}; it stood still for {2} µs.', target.name, functions, event.stopMicroseconds)}${attempts}`,
      };
    }
    case 'reverted':
      return {
        ok: true,
        id: event.id,
        message: l10n.t('{0} runs the old code again; it stood still for {1} µs.', target.name, event.stopMicroseconds),
      };
    default:
      return {
        ok: false,
        message: event.message,
        ...(event.lines?.length ? { details: consoleText(event.message, event.lines) } : {}),
      };
  }
}

const isXen = (target: Target): target is XenTarget => target.kind === 'xen';

async function targetItem(target: Target, vm?: string): Promise<TargetItem> {
  const { name, kind } = target;
  try {
    if (isXen(target)) return await xenTargetItem(target, vm);
    const { alive, pid, message, patches } = await target.status({ verify: true });
    return {
      name,
      kind,
      alive,
      ...(pid === undefined ? {} : { pid }),
      ...(message === undefined ? {} : { message }),
      patches: patches.map(({ id, state, functions }) => ({
        id,
        state,
        functions: functions.map((each) => each.name),
        running: functions.map(({ name, oldAddress, newAddress, redirected, memory }) => ({
          name,
          oldAddress,
          newAddress,
          redirected,
          ...(memory ? { memory } : {}),
        })),
      })),
    };
  } catch (error) {
    return { name, kind, alive: false, message: error instanceof Error ? error.message : String(error), patches: [] };
  }
}

/** Name of a function as the source has it: Xen names local ones `common/keyhandler.c#show_handlers`. */
const plainFunction = (name: string): string => name.slice(name.lastIndexOf('#') + 1);

/** Building, applying and reverting on behalf of the editor: each outcome is a message to the user. */
export class Actions {
  readonly #keeper: Keeper;

  constructor(keeper: Keeper) {
    this.#keeper = keeper;
  }

  async targets(): Promise<readonly TargetItem[]> {
    const session = await this.#keeper.session();
    if (!session) return [];
    const machineOf = (name: string) => session.config.targets.find((each) => each.name === name)?.vm;
    return Promise.all(targetsOf(session.config).map((target) => targetItem(target, machineOf(target.name))));
  }

  /** Writes an acceptance into livepatch.json (or takes it out); the session follows the file. */
  async accept(about: {
    readonly code: string;
    readonly symbol: string;
    readonly reason?: string;
  }): Promise<ActionResult> {
    const session = await this.#keeper.session();
    if (!session) return noSession();
    const { root } = session.config;
    const found = session
      .units()
      .flatMap((state) => state.result?.findings ?? [])
      .filter(({ code, symbol }) => code === about.code && symbol === about.symbol);
    const first = found[0];
    if (!first)
      return { ok: false, message: l10n.t('There is no finding {0} about {1} any more.', about.code, about.symbol) };
    const name = { code: about.code, symbol: acceptedSymbol(first) };
    const file = await writeAcceptance(root, name, found, about.reason);
    session.reload();
    return {
      ok: true,
      file,
      message:
        about.reason === undefined
          ? l10n.t('{0} of {1} is no longer accepted in {2}.', about.code, name.symbol, basename(file))
          : l10n.t('{0} of {1} is accepted in {2}.', about.code, name.symbol, basename(file)),
    };
  }

  /** Builds what the session knows now, as one file in `folder`. */
  async build(
    { folder, leaveOut, overrides }: Choices & { readonly folder: string },
    signal: AbortSignal,
  ): Promise<ActionResult> {
    const session = await this.#keeper.session();
    if (!session) return noSession();
    // What was typed a moment ago is part of the patch, whatever pause the user set.
    this.#keeper.flush();
    // Half of an edit is not patched in: what was changed before the editor was opened is part of it, and where that was cancelled there
    // is no patch.
    const stop = (): void => session.cancel();
    signal.addEventListener('abort', stop, { once: true });
    const isWhole = await session.cover().finally(() => signal.removeEventListener('abort', stop));
    if (!isWhole || signal.aborted) return { ok: false, message: l10n.t('Cancelled.') };
    const states = session.units();
    const texts = editTexts(this.#keeper.model, states);
    const outcome = await buildPatch(states, session.config, {
      leaveOut,
      overrides,
      description: describe(session),
    });
    if (outcome.kind === 'refused') {
      const [first, ...others] = outcome.refusals;
      const more =
        others.length === 0
          ? ''
          : ` ${others.length === 1 ? l10n.t('(and 1 other reason)') : l10n.t('(and {0} other reasons)', others.length)}`;
      return {
        ok: false,
        message: `${l10n.t('The patch was not built: {0}', first?.message ?? '')}${more}`,
        details: refusalText(outcome.refusals),
      };
    }
    const forXen = outcome.manifest.target === 'xen';
    const file = join(folder, `${outcome.id}.${forXen ? 'livepatch' : 'lpp'}`);
    await keepOutOfGit(folder);
    await writeFile(file, outcome.bytes);
    await this.#keeper.keepBuilt(() => takeBuilt(this.#keeper.model, texts, { id: outcome.id, leaveOut }));
    const { manifest } = outcome;
    const functions = manifest.replaces.map((each) => plainFunction(each.name));
    return {
      ok: true,
      id: outcome.id,
      file,
      functions,
      ...(manifest.target === 'xen' && manifest.baseline.checked > 0 ? { baseline: manifest.baseline } : {}),
      message: l10n.t('{0} replaces {1}', basename(file), functionsText(functions.length)),
    };
  }

  async apply(file: string, name: string, signal: AbortSignal): Promise<ActionResult> {
    const target = await this.#target(name);
    if (!target) return { ok: false, message: l10n.t('There is no target “{0}” any more.', name) };
    const bytes = await readPatchFile(file);
    this.#keeper.say('info', `applying ${file} to ${name}`);
    return this.#told(eventResult(await target.apply(bytes, signal), target));
  }

  async revert(name: string, id: string | undefined, signal: AbortSignal): Promise<ActionResult> {
    const target = await this.#target(name);
    if (!target) return { ok: false, message: l10n.t('There is no target “{0}” any more.', name) };
    this.#keeper.say('info', `reverting ${id ?? 'the last patch'} on ${name}`);
    return this.#told(eventResult(await target.revert(id, signal), target));
  }

  /** A step of Xen's state machine on a target of that kind. */
  async xen(request: XenRequest, signal: AbortSignal): Promise<ActionResult> {
    const target = await this.#target(request.target);
    if (!target || !isXen(target))
      return { ok: false, message: l10n.t('There is no target “{0}” any more.', request.target) };
    const payload = request.file === undefined ? undefined : await readPatchFile(request.file);
    this.#keeper.say('info', `${request.action} ${request.id ?? request.file ?? ''} on ${request.target}`);
    return this.#told(await performXen(target, request, payload, signal));
  }

  async inspect(file: string): Promise<ActionResult> {
    const payload = describePayload(await readPatchFile(file));
    if (typeof payload === 'string') return { ok: false, message: `${basename(file)}: ${payload}` };
    const { manifest } = payload;
    return {
      ok: true,
      id: manifest.id,
      functions: manifest.replaces.map((each) => plainFunction(each.name)),
      message: manifest.id,
      details: payload.text,
    };
  }

  async clearCache(): Promise<ActionResult> {
    const session = await this.#keeper.session();
    if (!session) return noSession();
    const freed = await session.clearCache();
    return {
      ok: true,
      message: l10n.t('The cache of base objects is empty: {0} MiB were freed.', (freed / 1024 / 1024).toFixed(1)),
    };
  }

  async #target(name: string): Promise<Target | undefined> {
    const session = await this.#keeper.session();
    return session && targetsOf(session.config).find((each) => each.name === name);
  }

  #told(result: ActionResult): ActionResult {
    this.#keeper.say(result.ok ? 'info' : 'warn', result.message);
    return result;
  }
}

/** One line about the patch, kept in its manifest. */
function describe(session: Session): string {
  const changed = session.units().filter((state) => (state.result?.diff.functions.length ?? 0) > 0);
  return `Edits of ${changed.map((state) => basename(state.unit.command.file)).join(', ')}`.slice(0, 200);
}

async function readPatchFile(file: string): Promise<Uint8Array> {
  const { size } = await stat(file);
  if (size > MAX_PAYLOAD) throw new Error(l10n.t('{0} is too large for a payload ({1} bytes).', file, size));
  return new Uint8Array(await readFile(file));
}

/** Makes the folder for payloads; a new one keeps its contents out of git. */
async function keepOutOfGit(folder: string): Promise<void> {
  if ((await mkdir(folder, { recursive: true })) === undefined) return;
  await writeFile(join(folder, '.gitignore'), '*\n', { flag: 'wx' }).catch(() => {});
}
