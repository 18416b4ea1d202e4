import { EventEmitter } from 'vscode';
import { type TargetItem as ServerTarget, targets } from '../../server/src/protocol.ts';
import type { Server } from './client.ts';

/** A target, and the folder that configures it. */
export interface TargetItem extends ServerTarget {
  readonly root: string;
}

/** What the targets said last: asked while somebody looks, after each action, and on command. */
export class Targets {
  readonly #server: Server;
  readonly #changed = new EventEmitter<readonly TargetItem[]>();
  #list: readonly TargetItem[] = [];
  #asking: Promise<readonly TargetItem[]> | undefined;
  readonly onDidChange = this.#changed.event;

  constructor(server: Server) {
    this.#server = server;
  }

  get list(): readonly TargetItem[] {
    return this.#list;
  }

  async #ask(): Promise<readonly TargetItem[]> {
    const { states } = this.#server;
    if (states.length === 0) {
      const list = await this.#server.request(targets, {});
      return list.map((target) => ({ ...target, root: this.#server.state.root }));
    }
    const lists = await Promise.allSettled(
      states.map(async ({ root }) => {
        // A question of a view starts no server: what was known last stays.
        if (!this.#server.isRunning(root)) return this.#list.filter((each) => each.root === root);
        const list = await this.#server.request(targets, {}, undefined, root);
        return list.map((target) => ({ ...target, root }));
      }),
    );
    const told = lists.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    const failed = lists.find((each) => each.status === 'rejected');
    if (failed && told.length === 0) throw failed.reason;
    return told.flat();
  }

  /** Asks every target for its state. Questions that overlap share one answer. */
  refresh(): Promise<readonly TargetItem[]> {
    this.#asking ??= this.#ask()
      .then((list) => {
        const same = JSON.stringify(list) === JSON.stringify(this.#list);
        this.#list = list;
        if (!same) this.#changed.fire(list);
        return list;
      })
      .finally(() => {
        this.#asking = undefined;
      });
    return this.#asking;
  }

  /** Asks after an action: a question that is under way may have been put before it, so that another one follows. */
  async renew(): Promise<readonly TargetItem[]> {
    await this.#asking?.catch(() => {});
    return this.refresh();
  }
}
