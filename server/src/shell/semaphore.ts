/** Lets a number of tasks run at once; of those that wait, the one with the highest priority goes first, then the oldest. */
export class Semaphore {
  private free: number;
  private readonly waiting: { priority: number; start: () => void }[] = [];

  constructor(slots: number) {
    this.free = slots;
  }

  /** Waits for a slot. @returns the function that gives it back, or undefined where the signal came first. */
  take(priority: number, signal?: AbortSignal): Promise<(() => void) | undefined> {
    if (signal?.aborted) return Promise.resolve(undefined);
    if (this.free > 0) {
      this.free--;
      return Promise.resolve(this.releaser());
    }
    return new Promise((resolve) => {
      const abort = () => {
        const at = this.waiting.indexOf(entry);
        if (at >= 0) this.waiting.splice(at, 1);
        resolve(undefined);
      };
      const entry = {
        priority,
        start: () => {
          signal?.removeEventListener('abort', abort);
          resolve(this.releaser());
        },
      };
      signal?.addEventListener('abort', abort, { once: true });
      this.waiting.push(entry);
    });
  }

  private releaser(): () => void {
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      let best = -1;
      this.waiting.forEach((entry, index) => {
        if (best < 0 || entry.priority > this.waiting[best]!.priority) best = index;
      });
      if (best >= 0) this.waiting.splice(best, 1)[0]!.start();
      else this.free++;
    };
  }
}
