import { EventEmitter, Uri, workspace } from 'vscode';
import { type VmItem, vms } from '../../server/src/protocol.ts';
import { runCli } from './cli.ts';
import type { Room } from './room.ts';
import { xenFolder } from './workspace.ts';

/** What a machine does, or what this window is doing with it. `absent`: a target names it, and it was not made yet. */
export type MachineState = VmItem['state'] | 'absent' | 'creating' | 'starting' | 'stopping';

/** A virtual machine to try patches in. */
export interface MachineItem extends Omit<VmItem, 'state' | 'version' | 'tree'> {
  readonly state: MachineState;
  readonly version?: string;
  readonly tree?: string;
}

/** The machines of `livepatch vm`: asked for while somebody looks, and after each action. */
export class Machines {
  readonly #room: Pick<Room, 'context' | 'server' | 'targets'>;
  readonly #changed = new EventEmitter<void>();
  readonly #busy = new Map<string, MachineState>();
  #known: readonly VmItem[] = [];
  #asking: Promise<void> | undefined;
  /** Somebody made or started a machine in this window: the list is of interest, whatever the folder is. */
  #used = false;
  #hasXen = false;
  readonly onDidChange = this.#changed.event;

  constructor(room: Pick<Room, 'context' | 'server' | 'targets'>) {
    this.#room = room;
  }

  /** A folder of the window is a Xen tree, or a target is of that kind. */
  get hasXen(): boolean {
    return this.#hasXen || this.#room.targets.list.some(({ kind }) => kind === 'xen');
  }

  /** Names of machines that targets speak of. */
  get #wanted(): readonly string[] {
    return this.#room.targets.list.flatMap(({ vm }) => vm ?? []);
  }

  /** What the view shows: all of them where a folder or a target has to do with Xen, or somebody used one in this window; else none. */
  get list(): readonly MachineItem[] {
    return this.hasXen || this.#used ? this.all : [];
  }

  /** Those that there are, those that are being made, and those that targets name. */
  get all(): readonly MachineItem[] {
    const names = new Set([...this.#known.map(({ name }) => name), ...this.#busy.keys(), ...this.#wanted]);
    return [...names].sort().map((name) => {
      const known = this.#known.find((each) => each.name === name);
      const state = this.#busy.get(name) ?? known?.state ?? 'absent';
      return { ...(known ?? { name }), state };
    });
  }

  /** While `work` goes on, the machine is shown in this state. */
  async during<T>(name: string, state: MachineState, work: () => Promise<T>): Promise<T> {
    this.#used = true;
    this.#busy.set(name, state);
    this.#changed.fire();
    try {
      return await work();
    } finally {
      this.#busy.delete(name);
      // A question that is under way may be older than what was done; what came of that counts, whether or not anybody answers.
      await this.#asking?.catch(() => {});
      await this.refresh().catch(() => {});
      this.#changed.fire();
    }
  }

  /** Asks what there is. The running language server is asked; where none runs, the command line. */
  refresh(): Promise<void> {
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  /** Looks whether a folder of the window is a Xen tree. Starts nothing. */
  async look(): Promise<void> {
    const before = this.#hasXen;
    const folders = workspace.workspaceFolders ?? [];
    const trees = await Promise.all(folders.map(({ uri }) => xenFolder(uri)));
    this.#hasXen = trees.some((tree) => tree !== undefined);
    if (this.#hasXen !== before) this.#changed.fire();
  }

  async #ask(): Promise<void> {
    const before = JSON.stringify(this.list);
    await this.look();
    this.#known = this.#room.server.running
      ? await this.#room.server.request(vms, {}).catch(() => this.#fromCli())
      : await this.#fromCli();
    if (JSON.stringify(this.list) !== before) this.#changed.fire();
  }

  async #fromCli(): Promise<readonly VmItem[]> {
    const { stdout } = await runCli(this.#room.context, ['vm', 'status', '--json']);
    try {
      return (JSON.parse(stdout) as { readonly states?: readonly VmItem[] }).states ?? [];
    } catch {
      return [];
    }
  }
}

/** Folders of the window that are Xen trees, by their top. */
export async function xenTrees(): Promise<readonly Uri[]> {
  const folders = workspace.workspaceFolders ?? [];
  const found = await Promise.all(
    folders.map(async ({ uri }) => {
      const tree = await xenFolder(uri);
      return tree === '.' ? Uri.joinPath(uri, '..') : tree && uri;
    }),
  );
  return found.filter((uri) => uri !== undefined);
}
