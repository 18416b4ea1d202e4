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
    const roots = this.#server.states.map((state) => state.root);
    if (roots.length === 0) {
      const list = await this.#server.request(targets, {});
      return list.map((target) => ({ ...target, root: this.#server.state.root }));
    }
    const lists = await Promise.all(
      roots.map(async (root) => {
        const list = await this.#server.request(targets, {}, undefined, root);
        return list.map((target) => ({ ...target, root }));
      }),
    );
    return lists.flat();
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
}
