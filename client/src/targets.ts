import { EventEmitter } from 'vscode';
import { type TargetItem, targets } from '../../server/src/protocol.ts';
import type { Server } from './client.ts';

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

  /** Asks every target for its state. Questions that overlap share one answer. */
  refresh(): Promise<readonly TargetItem[]> {
    this.#asking ??= this.#server
      .request(targets, {})
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
