/** Below this size, making views costs more than it saves. */
const WORTH = 64;

/** True where `size` bytes of two arrays are the same; false where one of them has fewer. Four at a time where both lie alike. */
export function equalBytes(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number, size: number): boolean {
  if (aAt < 0 || bAt < 0 || aAt + size > a.length || bAt + size > b.length) return false;
  let i = 0;
  const from = a.byteOffset + aAt;
  const to = b.byteOffset + bAt;
  if (size >= WORTH && ((from ^ to) & 3) === 0) {
    const lead = -from & 3;
    for (; i < lead; i++) if (a[aAt + i] !== b[bAt + i]) return false;
    const words = (size - lead) >> 2;
    const left = new Int32Array(a.buffer, from + lead, words);
    const right = new Int32Array(b.buffer, to + lead, words);
    for (let k = 0; k < words; k++) if (left[k] !== right[k]) return false;
    i += words * 4;
  }
  for (; i < size; i++) if (a[aAt + i] !== b[bAt + i]) return false;
  return true;
}
