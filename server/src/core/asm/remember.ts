import type { Decode, Instruction } from './types.ts';

/** Instructions, or rows, that are kept for each object; the last ones asked for are kept however many they are. */
const KEPT = 20_000;

/**
 * Keeps lists that were made last, up to a number of items together. A function that differs is decoded and listed by several rooms, one after the
 * other: the comparison, the rules of the catalogue, the listing that is shown.
 */
export class Recent<T> {
  readonly #lists = new Map<string, readonly T[]>();
  #held = 0;

  get(key: string, make: () => readonly T[]): readonly T[] {
    const known = this.#lists.get(key);
    if (known) return known;
    const made = make();
    this.#lists.set(key, made);
    this.#held += made.length;
    for (const [old, list] of this.#lists) {
      if (this.#held <= KEPT || old === key) break;
      this.#lists.delete(old);
      this.#held -= list.length;
    }
    return made;
  }
}

/** A decoder that keeps what it decoded last, for the code of one object. */
export function remembering(decode: Decode): Decode {
  const recent = new Recent<Instruction>();
  let from: ArrayBufferLike | undefined;
  return (bytes, offset) => {
    // Code of another buffer is none of the object's, and may be written to.
    from ??= bytes.buffer;
    if (bytes.buffer !== from) return decode(bytes, offset);
    const key = `${bytes.byteOffset} ${bytes.length} ${offset}`;
    return recent.get(key, () => decode(bytes, offset)) as Instruction[];
  };
}
