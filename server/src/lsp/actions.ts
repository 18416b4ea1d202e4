import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { acceptedSymbol } from '../core/findings/accept.ts';
import type { Finding } from '../core/findings/types.ts';
import { readPayload } from '../core/payload/read.ts';
import { renderPayload } from '../core/render/inspect.ts';
import { buildPatch, targetsOf } from '../patch.ts';
import type { ActionResult, Choices, TargetItem } from '../protocol.ts';
import type { Session } from '../session.ts';
import { writeAcceptance } from '../shell/accept.ts';
import type { Target, TargetEvent } from '../targets/types.ts';
import type { Keeper } from './keeper.ts';

/** Larger than any payload that is built here. */
const MAX_PAYLOAD = 256 << 20;

const NO_SESSION: ActionResult = {
  ok: false,
  message: 'No session is open: open a C source of a folder that is trusted and has a compile_commands.json.',
};

/** Markdown list of why there is no payload. */
function refusalText(refusals: readonly Finding[]): string {
  const lines = refusals.map(
    ({ code, symbol, message }) => `- **${code}**${symbol ? ` (\`${symbol}\`)` : ''}: ${message}`,
  );
  return `# The patch was not built\n\n${lines.join('\n')}\n`;
}

const plural = (number: number, word: string): string => `${number} ${word}${number === 1 ? '' : 's'}`;

/** What happened on a target, in a sentence. */
function eventResult(event: TargetEvent, target: Target): ActionResult {
  switch (event.kind) {
    case 'applied': {
      const attempts = event.attempts > 1 ? `, at attempt ${event.attempts}` : '';
      return {
        ok: true,
        id: event.id,
        message: `${target.name} runs the new code of ${plural(event.functions, 'function')}; it stood still for ${event.stopMicroseconds} µs${attempts}.`,
      };
    }
    case 'reverted':
      return {
        ok: true,
        id: event.id,
        message: `${target.name} runs the old code again; it stood still for ${event.stopMicroseconds} µs.`,
      };
    default:
      return { ok: false, message: event.message };
  }
}

async function targetItem(target: Target): Promise<TargetItem> {
  const { name, kind } = target;
  try {
    const { alive, pid, patches } = await target.status();
    return {
      name,
      kind,
      alive,
      ...(pid === undefined ? {} : { pid }),
      patches: patches.map(({ id, state, functions }) => ({
        id,
        state,
        functions: functions.map((each) => each.name),
      })),
    };
  } catch (error) {
    return { name, kind, alive: false, message: error instanceof Error ? error.message : String(error), patches: [] };
  }
}

/** Building, applying and reverting on behalf of the editor: each outcome is a message to the user. */
export class Actions {
  readonly #keeper: Keeper;

  constructor(keeper: Keeper) {
    this.#keeper = keeper;
  }

  async targets(): Promise<readonly TargetItem[]> {
    const session = await this.#keeper.session();
    return session ? Promise.all(targetsOf(session.config).map(targetItem)) : [];
  }

  /** Writes an acceptance into livepatch.json (or takes it out); the session follows the file. */
  async accept(about: {
    readonly code: string;
    readonly symbol: string;
    readonly reason?: string;
  }): Promise<ActionResult> {
    const session = await this.#keeper.session();
    if (!session) return NO_SESSION;
    const { root, accepted = [] } = session.config;
    const found = session
      .units()
      .flatMap((state) => state.result?.findings ?? [])
      .filter(({ code, symbol }) => code === about.code && symbol === about.symbol);
    const first = found[0];
    if (!first) return { ok: false, message: `There is no finding ${about.code} about ${about.symbol} any more.` };
    const name = { code: about.code, symbol: acceptedSymbol(first) };
    const file = await writeAcceptance(root, accepted, name, found, about.reason);
    return {
      ok: true,
      file,
      message: `${about.code} of ${name.symbol} is ${about.reason === undefined ? 'no longer accepted' : 'accepted'} in ${basename(file)}.`,
    };
  }

  /** Builds what the session knows now, as one file in `folder`. */
  async build({ folder, leaveOut, overrides }: Choices & { readonly folder: string }): Promise<ActionResult> {
    const session = await this.#keeper.session();
    if (!session) return NO_SESSION;
    await session.idle();
    const outcome = await buildPatch(session.units(), session.config, {
      leaveOut,
      overrides,
      description: describe(session),
    });
    if (outcome.kind === 'refused') {
      const [first, ...others] = outcome.refusals;
      const more = others.length > 0 ? ` (and ${plural(others.length, 'other reason')})` : '';
      return {
        ok: false,
        message: `The patch was not built: ${first?.message ?? ''}${more}`,
        details: refusalText(outcome.refusals),
      };
    }
    const file = join(folder, `${outcome.id}.lpp`);
    await keepOutOfGit(folder);
    await writeFile(file, outcome.bytes);
    this.#keeper.model.keepBuilt();
    const functions = outcome.manifest.replaces.map((each) => each.name);
    return {
      ok: true,
      id: outcome.id,
      file,
      functions,
      message: `${basename(file)} replaces ${plural(functions.length, 'function')}`,
    };
  }

  async apply(file: string, name: string, signal: AbortSignal): Promise<ActionResult> {
    const target = await this.#target(name);
    if (!target) return { ok: false, message: `There is no target “${name}” any more.` };
    const bytes = await readPatchFile(file);
    this.#keeper.say('info', `applying ${file} to ${name}`);
    return this.#told(eventResult(await target.apply(bytes, signal), target));
  }

  async revert(name: string, id: string | undefined, signal: AbortSignal): Promise<ActionResult> {
    const target = await this.#target(name);
    if (!target) return { ok: false, message: `There is no target “${name}” any more.` };
    this.#keeper.say('info', `reverting ${id ?? 'the last patch'} on ${name}`);
    return this.#told(eventResult(await target.revert(id, signal), target));
  }

  async inspect(file: string): Promise<ActionResult> {
    const payload = readPayload(await readPatchFile(file));
    if (typeof payload === 'string') return { ok: false, message: `${basename(file)}: ${payload}` };
    const { manifest } = payload;
    return {
      ok: true,
      id: manifest.id,
      functions: manifest.replaces.map((each) => each.name),
      message: manifest.id,
      details: renderPayload(payload),
    };
  }

  async clearCache(): Promise<ActionResult> {
    const session = await this.#keeper.session();
    if (!session) return NO_SESSION;
    const freed = await session.clearCache();
    return {
      ok: true,
      message: `The cache of base objects is empty: ${(freed / 1024 / 1024).toFixed(1)} MiB were freed.`,
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
  if (size > MAX_PAYLOAD) throw new Error(`${file} is too large for a payload (${size} bytes).`);
  return new Uint8Array(await readFile(file));
}

/** Makes the folder for payloads; a new one keeps its contents out of git. */
async function keepOutOfGit(folder: string): Promise<void> {
  if ((await mkdir(folder, { recursive: true })) === undefined) return;
  await writeFile(join(folder, '.gitignore'), '*\n', { flag: 'wx' }).catch(() => {});
}
