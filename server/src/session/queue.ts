import type { Finding } from '../core/findings/types.ts';
import type { SessionEvent } from '../session-types.ts';
import { BaselineError } from '../shell/baseline.ts';
import type { BaseObject, Failure } from '../shell/builder.ts';
import { isDiskFull } from '../shell/failures.ts';
import type { Unit, UnitState } from '../shell/types.ts';
import type { BatchProgress } from './progress.ts';
import type { Tasks } from './tasks.ts';

/** Order of building: what the user looks at, then what is open, then the rest. */
export const PRIORITY = { own: 2, open: 1, rest: 0, ahead: -1 } as const;

/** What the session keeps of one unit. */
export interface Slot {
  unit: Unit;
  state: UnitState;
  priority: number;
  controller?: AbortController;
  base?: BaseObject;
  /** The original while it is built: of which commands, until what stops it. */
  basePending?: { readonly unit: Unit; readonly signal: AbortSignal; readonly work: Promise<BaseObject | Failure> };
  mismatch?: Finding | undefined;
  /** Part of the batch whose progress is shown. */
  counted: boolean;
}

/** What the queue needs from the session. */
export interface QueueOptions {
  readonly tasks: Tasks;
  readonly progress: BatchProgress;
  readonly emit: (event: SessionEvent) => void;
  /** Builds and compares the unit as it is now. Returns early where the slot's generation has moved on. */
  readonly build: (slot: Slot, generation: number, signal: AbortSignal) => Promise<void>;
  /** Background units at once. */
  readonly jobs: number;
}

/** Units and the order in which they are built. A newer request stops the older build; the newest is never dropped. */
export class BuildQueue {
  readonly slots = new Map<string, Slot>();
  private readonly queue = new Set<Slot>();
  private readonly options: QueueOptions;
  private background = 0;
  private own = 0;
  private closed = false;

  constructor(options: QueueOptions) {
    this.options = options;
  }

  slot(unit: Unit): Slot {
    let slot = this.slots.get(unit.id);
    if (!slot) {
      const state: UnitState = { unit, phase: 'idle', generation: 0, stale: false, errors: [], dependencies: [] };
      slot = { unit, state, priority: 0, counted: false };
      this.slots.set(unit.id, slot);
    } else this.follow(slot, unit);
    return slot;
  }

  /** The unit is built by this command from now on. @returns false where it was before */
  follow(slot: Slot, unit: Unit): boolean {
    if (slot.unit === unit || JSON.stringify(slot.unit.command) === JSON.stringify(unit.command)) return false;
    delete slot.base;
    delete slot.mismatch;
    slot.unit = unit;
    slot.state = { ...slot.state, unit };
    return true;
  }

  set(slot: Slot, change: Partial<UnitState>): void {
    slot.state = { ...slot.state, ...change };
    this.options.emit({ kind: 'unit', state: slot.state });
  }

  /** The state that is left when a build does not come to an end. */
  restore(slot: Slot): void {
    this.set(slot, { phase: slot.state.result ? 'ready' : 'idle', stale: slot.state.result !== undefined });
  }

  /**
   * Asks for a build of the newest sources: an older build of the unit is stopped, and its result will not count.
   * @param batch title of the progress that the unit is part of
   */
  enqueue(slot: Slot, priority: number, batch?: string): void {
    slot.controller?.abort();
    delete slot.controller;
    slot.priority = this.queue.has(slot) ? Math.max(slot.priority, priority) : priority;
    if (batch !== undefined && !slot.counted) {
      slot.counted = true;
      this.options.progress.add(batch);
    }
    this.queue.add(slot);
    this.set(slot, { phase: 'queued', generation: slot.state.generation + 1, stale: slot.state.result !== undefined });
    this.pump();
  }

  /** Forgets a unit that the build does not have any more. */
  drop(slot: Slot): void {
    slot.controller?.abort();
    this.slots.delete(slot.unit.id);
    if (!this.queue.delete(slot) || !slot.counted) return;
    slot.counted = false;
    this.options.progress.finish();
  }

  cancel(): void {
    for (const slot of this.slots.values()) {
      if (this.queue.delete(slot)) this.restore(slot);
      slot.controller?.abort();
      slot.counted = false;
    }
    this.options.progress.reset();
  }

  close(): void {
    this.cancel();
    this.closed = true;
  }

  private pump(): void {
    while (this.queue.size > 0 && !this.closed) {
      let best: Slot | undefined;
      for (const slot of this.queue) if (!best || slot.priority > best.priority) best = slot;
      const slot = best!;
      const background = slot.priority < PRIORITY.own;
      // What somebody has just saved has the machine for itself.
      if (background && (this.own > 0 || this.background >= this.options.jobs)) return;
      this.queue.delete(slot);
      if (background) this.background++;
      else this.own++;
      this.options.tasks.run(() => this.run(slot, background));
    }
  }

  private async run(slot: Slot, background: boolean): Promise<void> {
    const controller = new AbortController();
    slot.controller = controller;
    const generation = slot.state.generation;
    try {
      this.set(slot, { phase: 'building' });
      await this.options.build(slot, generation, controller.signal);
    } catch (error) {
      if (slot.state.generation === generation) {
        const message = isDiskFull(error)
          ? `The disk is full: ${(error as Error).message}. Free some space.`
          : (error as Error).message;
        this.set(slot, { phase: 'failed', message, stale: slot.state.result !== undefined });
        if (!(error instanceof BaselineError)) {
          this.options.emit({ kind: 'log', level: 'error', text: (error as Error).stack ?? message });
        }
      }
    } finally {
      if (slot.controller === controller) delete slot.controller;
      if (slot.counted && slot.state.generation === generation) {
        slot.counted = false;
        this.options.progress.finish();
      }
      if (background) this.background--;
      else this.own--;
      this.pump();
    }
  }
}
