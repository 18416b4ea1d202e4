import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fromHex, toHex } from '../core/payload/sha256.ts';

/** An answer of the helper; `reason` where not ok. */
interface Answer {
  readonly ok: boolean;
  readonly reason?: string;
  readonly errno?: number;
  readonly [field: string]: unknown;
}

/** A thread that was in the way of a switch. */
export interface BusyThread {
  readonly tid: number;
  readonly range: number;
  readonly address: string;
  readonly proven: boolean;
  readonly frames: readonly string[];
}

/** What a switch led to. */
export interface SwitchAnswer {
  readonly ok: boolean;
  readonly reason: string;
  readonly tries: number;
  readonly stopNs: number;
  readonly longestNs: number;
  readonly busy?: readonly BusyThread[];
  readonly tid?: number;
  readonly address?: string;
  readonly bytes?: string;
}

/** Bytes to change at an address: verified before, all or none. */
export interface Poke {
  readonly address: number;
  readonly before: Uint8Array;
  readonly after: Uint8Array;
}

/** A word in the process that says how far the switch is. */
export interface Journal {
  readonly address: number;
  readonly before: Uint8Array;
  readonly during: Uint8Array;
  readonly after: Uint8Array;
}

/** Bounds of a switch's retries. */
export interface SwitchOptions {
  readonly tries?: number;
  readonly firstWaitMicroseconds?: number;
  readonly lastWaitMicroseconds?: number;
  readonly limitMilliseconds?: number;
  /** How long one try may wait for the threads to stop. */
  readonly budgetMicroseconds?: number;
}

/** The helper said no. `reason` is its word: `denied`, `gone`, `traced`, `memory`, `seccomp`, `timeout`, ... */
export class HelperError extends Error {
  readonly reason: string;
  readonly errno: number;

  constructor(reason: string, errno: number) {
    super(`livepatch-helper: ${reason}${errno ? ` (errno ${errno})` : ''}`);
    this.reason = reason;
    this.errno = errno;
  }
}

/** Where the helper may be: beside the bundle, or as `make` in server/native leaves it. */
export function findHelper(): string | undefined {
  const here = import.meta.dirname;
  const candidates = [
    process.env.LIVEPATCH_HELPER,
    join(here, 'livepatch-helper'),
    join(here, 'native', 'livepatch-helper'),
    join(here, '..', 'server', 'native', 'build', 'livepatch-helper'),
    join(here, '..', '..', 'native', 'build', 'livepatch-helper'),
  ];
  return candidates.find((path) => path !== undefined && path !== '' && existsSync(path));
}

/** Path of the helper; throws HelperError `helper-missing` where it is not built. */
export function helperPath(): string {
  const path = findHelper();
  if (!path) throw new HelperError('helper-missing', 0);
  return path;
}

const hex = (value: number): string => `0x${value.toString(16)}`;

/** A running helper: requests go out in order, each gets one answer. Ends with `close`. */
export class Helper {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #waiting: ((answer: Answer) => void)[] = [];
  #closed = false;

  private constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    createInterface({ input: child.stdout }).on('line', (line) => {
      let answer: Answer;
      try {
        answer = JSON.parse(line) as Answer;
      } catch {
        answer = { ok: false, reason: 'protocol' };
      }
      this.#waiting.shift()?.(answer);
    });
    const end = (): void => {
      this.#closed = true;
      for (const resolve of this.#waiting.splice(0)) resolve({ ok: false, reason: 'helper-died' });
    };
    child.on('error', end);
    child.on('close', end);
    child.stdin.on('error', () => {});
    child.stderr.resume();
  }

  /** Starts the helper and opens a process. Throws HelperError: `helper-missing`, `denied`, `gone`, `traced`. */
  static async open(pid: number, path?: string): Promise<Helper> {
    const file = path ?? findHelper();
    if (!file) throw new HelperError('helper-missing', 0);
    // A process group of its own: an interrupt typed at the terminal must not reach it half way.
    const helper = new Helper(spawn(file, [], { stdio: ['pipe', 'pipe', 'pipe'], detached: true }));
    try {
      await helper.#ask('hello');
      await helper.#ask(`open ${pid}`);
    } catch (error) {
      helper.close();
      throw error;
    }
    return helper;
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  close(): void {
    this.#child.stdin.end();
  }

  /** Asks a running switch to give up between two tries. */
  cancel(): void {
    this.#child.kill('SIGTERM');
  }

  #send(line: string): Promise<Answer> {
    if (this.#closed) return Promise.resolve({ ok: false, reason: 'helper-died' });
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#child.stdin.write(`${line}\n`);
    });
  }

  async #ask(line: string): Promise<Answer> {
    const answer = await this.#send(line);
    if (!answer.ok) throw new HelperError(answer.reason ?? 'protocol', answer.errno ?? 0);
    return answer;
  }

  /** Sends lines without waiting in between; throws for the first that was refused. */
  async #askAll(lines: readonly string[]): Promise<void> {
    const answers = await Promise.all(lines.map((line) => this.#send(line)));
    const bad = answers.find((answer) => !answer.ok);
    if (bad) throw new HelperError(bad.reason ?? 'protocol', bad.errno ?? 0);
  }

  /** Makes this helper the one that changes the process; false where another one is. */
  async claim(): Promise<boolean> {
    const answer = await this.#send('claim');
    if (!answer.ok && answer.reason !== 'occupied')
      throw new HelperError(answer.reason ?? 'protocol', answer.errno ?? 0);
    return answer.ok;
  }

  /** Lets others change the process. A helper that is dead has done so. */
  async release(): Promise<void> {
    await this.#send('release');
  }

  async read(address: number, size: number): Promise<Uint8Array> {
    const answer = await this.#ask(`read ${hex(address)} ${size}`);
    return fromHex(String(answer.data)) ?? new Uint8Array(0);
  }

  /** Reads where nothing may be mapped: undefined instead of an error. */
  async tryRead(address: number, size: number): Promise<Uint8Array | undefined> {
    const answer = await this.#send(`read ${hex(address)} ${size}`);
    if (answer.ok) return fromHex(String(answer.data));
    if (answer.reason === 'memory') return undefined;
    throw new HelperError(answer.reason ?? 'protocol', answer.errno ?? 0);
  }

  async write(address: number, bytes: Uint8Array): Promise<void> {
    const chunk = 1 << 20;
    for (let at = 0; at < bytes.length; at += chunk)
      await this.#ask(`write ${hex(address + at)} ${toHex(bytes.subarray(at, at + chunk))}`);
  }

  /** Address of the first occurrence of bytes in [low, high). */
  async find(low: number, high: number, needle: Uint8Array): Promise<number | undefined> {
    const answer = await this.#send(`find ${hex(low)} ${hex(high)} ${toHex(needle)}`);
    return answer.ok ? Number(answer.address) : undefined;
  }

  async gadgets(syscall: number, restorer: number): Promise<void> {
    await this.#ask(`gadgets ${hex(syscall)} ${hex(restorer)}`);
  }

  /** Maps memory at the first candidate that is free. */
  async map(
    size: number,
    candidates: readonly number[],
    protections: readonly { readonly offset: number; readonly size: number; readonly protection: number }[],
  ): Promise<number> {
    await this.#askAll([
      ...candidates.map((address) => `at ${hex(address)}`),
      ...protections.map((one) => `protect ${one.offset} ${one.size} ${one.protection}`),
    ]);
    const answer = await this.#ask(`map ${size}`);
    return Number(answer.address);
  }

  async unmap(address: number, size: number): Promise<void> {
    await this.#ask(`unmap ${hex(address)} ${size}`);
  }

  /** Calls a function without arguments in the process. */
  async call(address: number): Promise<number> {
    const answer = await this.#ask(`call ${hex(address)}`);
    return Number(answer.value);
  }

  async switch(
    ranges: readonly { readonly low: number; readonly high: number }[],
    pokes: readonly Poke[],
    journals: readonly Journal[],
    options: SwitchOptions = {},
  ): Promise<SwitchAnswer> {
    const option = (name: string, value: number | undefined): string[] =>
      value === undefined ? [] : [`option ${name} ${Math.round(value)}`];
    await this.#askAll([
      ...ranges.map((range) => `range ${hex(range.low)} ${hex(range.high)}`),
      ...pokes.map((one) => `poke ${hex(one.address)} ${toHex(one.before)} ${toHex(one.after)}`),
      ...journals.map(
        (one) => `journal ${hex(one.address)} ${toHex(one.before)} ${toHex(one.during)} ${toHex(one.after)}`,
      ),
      ...option('tries', options.tries),
      ...option('first-wait-us', options.firstWaitMicroseconds),
      ...option('last-wait-us', options.lastWaitMicroseconds),
      ...option('limit-ms', options.limitMilliseconds),
      ...option('budget-us', options.budgetMicroseconds),
    ]);
    const answer = await this.#send('switch');
    if (answer.tries === undefined) throw new HelperError(answer.reason ?? 'protocol', answer.errno ?? 0);
    return answer as unknown as SwitchAnswer;
  }
}
