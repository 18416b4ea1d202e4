import type { Problem } from '../problem.ts';

/** Collects problems: each message once, and no more than a hundred, so that a damaged file does not drown the reader. */
export class ProblemLog {
  readonly list: Problem[] = [];
  readonly #seen = new Set<string>();

  add(area: string, message: string, offset?: number): void {
    const key = `${area}\n${message}`;
    if (this.list.length >= 100 || this.#seen.has(key)) return;
    this.#seen.add(key);
    this.list.push(offset === undefined ? { area, message } : { area, message, offset });
  }
}
