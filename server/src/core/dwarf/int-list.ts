/** A list of whole numbers below 2^31 that grows. It takes a quarter of an array's memory, and the collector never looks into it. */
export class IntList {
  #items = new Int32Array(256);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Behind the end of the list it is 0. */
  at(index: number): number {
    return this.#items[index]!;
  }

  push(value: number): void {
    if (this.#length === this.#items.length) {
      const larger = new Int32Array(this.#length * 2);
      larger.set(this.#items);
      this.#items = larger;
    }
    this.#items[this.#length++] = value;
  }

  set(index: number, value: number): void {
    this.#items[index] = value;
  }

  /** Takes out what lies behind. */
  cut(length: number): void {
    this.#length = Math.min(length, this.#length);
  }
}
