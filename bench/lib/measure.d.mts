export function median(values: readonly number[]): number;
export function round(value: number, digits?: number): number;
/** Milliseconds that an asynchronous piece of work took. */
export function timed(work: () => Promise<unknown>): Promise<number>;
/** Keeps a result under bench/results/, with what it was measured on. */
export function keep(name: string, result: Record<string, unknown>): void;
