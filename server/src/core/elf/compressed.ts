import type { Problem } from '../problem.ts';
import * as c from './constants.ts';
import { type RawSection, readU64 } from './container.ts';
import { unzstd } from './zstd.ts';

/** Decompresses zlib `data`; `size` is the length that the result must have. Undefined (or an exception) where it cannot. Zstandard is read here. */
export type Inflate = (data: Uint8Array, kind: 'zlib', size: number) => Uint8Array | undefined;

const EMPTY = new Uint8Array(0);
/** Deflate cannot do better than about 1032:1; a header that claims more is damaged. zstd can, but no debug section does. */
const MAX_RATIO = 1100;
/** Bytes that all sections of a file together may decompress to: a crafted file must not take the memory of the machine. */
export const MAX_DECOMPRESSED = 0x18000000;

/** True for SHF_COMPRESSED sections and for GNU's older `.zdebug_*`. */
export function isCompressed(section: RawSection): boolean {
  if (section.flags & c.SHF_COMPRESSED) return true;
  const d = section.data;
  return section.name.startsWith('.zdebug_') && d[0] === 0x5a && d[1] === 0x4c && d[2] === 0x49 && d[3] === 0x42;
}

/**
 * Contents of a compressed section (gABI 5 "Section Compression": Elf64_Chdr, then zlib or zstd; or `ZLIB` and a
 * big-endian size for `.zdebug_*`). `room` counts the bytes that the whole file may still take. Empty with a problem where it cannot be decompressed.
 */
export function decompress(
  section: RawSection,
  inflate: Inflate | undefined,
  room: { left: number },
  problems: Problem[],
): Uint8Array {
  const fail = (why: string) => {
    problems.push({
      area: 'elf.compressed',
      message: `Section ${section.name} is compressed and ${why}`,
      offset: section.offset,
    });
    return EMPTY;
  };
  const { data } = section;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let kind: 'zlib' | 'zstd';
  let size: number;
  let start: number;
  if (section.flags & c.SHF_COMPRESSED) {
    if (data.length < 24) return fail('its header is cut off.');
    const type = view.getUint32(0, true);
    if (type !== c.ELFCOMPRESS_ZLIB && type !== c.ELFCOMPRESS_ZSTD) return fail(`its method ${type} is unknown.`);
    kind = type === c.ELFCOMPRESS_ZLIB ? 'zlib' : 'zstd';
    size = readU64(view, 8);
    start = 24;
  } else {
    if (data.length < 12) return fail('its header is cut off.');
    kind = 'zlib';
    size = view.getUint32(4, false) * 0x1_0000_0000 + view.getUint32(8, false);
    start = 12;
  }
  if (kind === 'zlib' && !inflate) return fail('no decompressor is at hand; compile with -gz=none.');
  const possible = size <= (data.length - start) * MAX_RATIO + 4096;
  if (possible && size > room.left)
    return fail(`too large: the sections of a file may take ${MAX_DECOMPRESSED >> 20} MB. Compile with -gz=none.`);
  if (!possible) {
    return fail(`claims an impossible size of ${size} bytes.`);
  }
  room.left -= size;
  try {
    const packed = data.subarray(start);
    const out = kind === 'zlib' ? inflate?.(packed, kind, size) : unzstd(packed, size);
    if (out?.length === size) return out;
    return fail(
      out ? `decompresses to ${out.length} instead of ${size} bytes.` : `${kind} data could not be decompressed.`,
    );
  } catch (error) {
    return fail(`could not be decompressed: ${error instanceof Error ? error.message : String(error)}.`);
  }
}
