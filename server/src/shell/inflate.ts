import { inflateSync } from 'node:zlib';

/** Largest section that is decompressed: a crafted header must not make the process run out of memory. */
const MAX_INFLATED = 1 << 30;

/** zlib of `SHF_COMPRESSED` sections; the reader reads Zstandard itself. */
export function inflate(data: Uint8Array, _kind: 'zlib', size: number): Uint8Array | undefined {
  if (size > MAX_INFLATED) return undefined;
  try {
    return new Uint8Array(inflateSync(data, { maxOutputLength: Math.max(1, size) }));
  } catch {
    return undefined;
  }
}
