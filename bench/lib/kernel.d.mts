/** A kernel unit before and after one edit. */
export interface KernelPair {
  readonly unit: string;
  readonly base: string;
  readonly next: string;
  /** The function whose text was changed. */
  readonly edited: string;
  readonly edit: string;
  readonly size: number;
}
export interface PairOptions {
  readonly smallest?: number;
  readonly largest?: number;
  readonly units?: readonly string[];
}
export function kernelPairs(
  say: (text: string) => void,
  options: PairOptions & { readonly atHand: true },
): Promise<readonly KernelPair[] | undefined>;
export function kernelPairs(say: (text: string) => void, options?: PairOptions): Promise<readonly KernelPair[]>;
