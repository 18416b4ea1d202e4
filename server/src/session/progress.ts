import type { SessionEvent } from '../session-types.ts';

/** Progress of one batch of background builds: shown from the second unit on, and over when all are done. */
export class BatchProgress {
  private done = 0;
  private total = 0;
  private title = '';
  private holds = 0;
  private readonly emit: (event: SessionEvent) => void;

  constructor(emit: (event: SessionEvent) => void) {
    this.emit = emit;
  }

  /** One more unit belongs to the batch. */
  add(title: string): void {
    this.title = title;
    this.total++;
    this.show();
  }

  finish(): void {
    this.done++;
    this.show();
  }

  /** While it is not known yet what else belongs to the batch, it does not end. @returns the function that lets it end */
  hold(): () => void {
    this.holds++;
    return () => {
      this.holds--;
      this.show();
    };
  }

  reset(): void {
    if (this.total > 0) this.emit({ kind: 'progressEnd' });
    this.done = 0;
    this.total = 0;
  }

  private show(): void {
    const { done, total, title } = this;
    if (total === 0) return;
    const over = done >= total && this.holds === 0;
    if (total > 1) this.emit({ kind: 'progress', title, done, total });
    if (!over) return;
    if (total > 1) this.emit({ kind: 'progressEnd' });
    this.done = 0;
    this.total = 0;
  }
}
