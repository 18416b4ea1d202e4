/** Work under way. `idle` resolves when all of it, and what it started in turn, has ended. */
export class Tasks {
  private busy = 0;
  private waiting: (() => void)[] = [];
  private readonly failed: (error: Error) => void;

  /** @param failed told of errors that nobody expected: they never become unhandled rejections */
  constructor(failed: (error: Error) => void) {
    this.failed = failed;
  }

  run(work: () => Promise<unknown>): void {
    this.busy++;
    work()
      .catch(this.failed)
      .finally(() => {
        if (--this.busy > 0) return;
        const waiting = this.waiting;
        this.waiting = [];
        for (const resolve of waiting) resolve();
      });
  }

  idle(): Promise<void> {
    if (this.busy === 0) return Promise.resolve();
    return new Promise((resolve) => this.waiting.push(resolve));
  }
}
